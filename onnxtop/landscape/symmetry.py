"""Which hidden units of a model may be renumbered without changing what it computes.

The values of the graph are marked with the units that lie along them, entry by entry, as lanes are in
`onnxtop.reader.lanes`. A weighted operation starts new units; an elementwise one hands them on; a residual
join makes two sets of units one; a product of queries and keys makes heads, below which their columns stand;
an operation that treats units differently, or that is not known here, holds them in place. What reaches the
model's inputs or outputs stays in place too. What is left over are the groups of `alignment`.

Wherever this walk is not sure it holds units in place, so a group may be missing but none is wrong; the
caller checks the function on data all the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onnxtop.landscape.alignment import Floats, Layout, UnitGroup, align, balanced, scrambled
from onnxtop.landscape.symmetry_rules import RULES
from onnxtop.landscape.units import UnitWalk, UnsureError, groups_of
from onnxtop.loss.parameters import find_parameters
from onnxtop.reader.constants import Constants
from onnxtop.reader.lanes.arrays import Unclear
from onnxtop.reader.lanes.sizes import Sizes, graph_inputs
from onnxtop.reader.lanes.tables import SILENT
from onnxtop.reader.lanes.walk import MISFITS
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model, ModelSource, Node
from onnxtop.reader.skeleton import infer_shapes

_ASSUMED = (3, 64)
"""Sizes that open axes take, the first and the others."""


@dataclass(frozen=True, eq=False)
class Symmetries:
    """What may be done to the weights of a model without changing what it computes.

    Attributes
    ----------
    groups
        Sets of hidden units that may be renumbered, with the factors that they may have.
    notes
        A sentence on each kind of operation that held units in place.
    layout
        The tensors of theta by name: where each lies in it, and its shape.
    """

    groups: tuple[UnitGroup, ...] = ()
    notes: tuple[str, ...] = ()
    layout: Layout = field(default_factory=dict)

    @property
    def units(self) -> int:
        """How many hidden units may be renumbered."""
        return sum(group.units for group in self.groups)

    def align(self, target: Floats, theta: Floats) -> Floats:
        """Return theta with its units renumbered to lie near a target, see `alignment.align`."""
        return align(target, theta, self.groups, self.layout)

    def balanced(self, theta: Floats) -> Floats:
        """Return theta with its units scaled in the one way, see `alignment.balanced`."""
        return balanced(theta, self.groups, self.layout)

    def scrambled(self, theta: Floats, seed: int = 0) -> Floats:
        """Return another theta of the same function, drawn at random."""
        return scrambled(theta, self.groups, self.layout, seed)


def symmetries(model: ModelSource, *, batchnorm: str = "batch") -> Symmetries:
    """Find what may be done to the weights of a model without changing what it computes.

    Parameters
    ----------
    model
        Its path, its bytes, a binary file object, or a ModelProto.
    batchnorm
        Where BatchNorm has its statistics from, see `onnxtop.Probe`: stored ones (``frozen``) hold their
        units in place.

    Returns
    -------
    Symmetries
        They act on parameters laid out as ``Probe.theta0``.

    Raises
    ------
    onnxtop.errors.ModelError
        The model cannot be read.

    Examples
    --------
    ::

        probe = onnxtop.Probe("mlp.onnx", data)
        same = onnxtop.symmetries("mlp.onnx").scrambled(probe.theta0)
        probe.loss(same)  # that of theta0
    """
    opened = load(model)
    layout = {each.name: (each.slice, each.shape) for each in find_parameters(opened).parameters}
    return find_groups(opened, layout, batch_statistics=batchnorm != "frozen")


def find_groups(
    model: Model,
    layout: Layout,
    *,
    batch_statistics: bool = True,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Symmetries:
    """Find the groups of units of a model.

    Parameters
    ----------
    model
        The model.
    layout
        The tensors of theta by name; what is not in it is a constant.
    batch_statistics
        Whether BatchNorm takes its mean and variance from the batch. Stored ones belong to the units as they
        are numbered, so they hold them in place.

    input_shapes
        Shapes of inputs, where the model leaves them open.

    Returns
    -------
    Symmetries
        No groups where nothing may be renumbered, with notes saying why.
    """
    constants = Constants(model)
    inputs = graph_inputs(model, infer_shapes(model), input_shapes or {}, {})
    walk = UnitWalk(model, layout, constants, Sizes(model, constants, inputs, _ASSUMED), batch_statistics)
    for node in model.nodes:
        walk.sizes.measure(node)
        _visit(walk, node)
    for value in model.results:
        walk.hold_value(value)
    return Symmetries(groups_of(walk), tuple(_notes(walk)), layout)


def _notes(walk: UnitWalk) -> Iterator[str]:
    """Say what held units in place that are no results of the model."""
    marks = [walk.roots(walk.marks[value].ids) for value in walk.model.results if value in walk.marks]
    results = {unit for ids in marks for unit in ids.ravel().tolist()}
    for op, units in walk.held.items():
        count = len({walk.units.root(unit) for unit in units} - results)
        if count:
            yield f"{op} holds {count:,} unit{'s' if count > 1 else ''} in place, so bounds are looser"


def _visit(walk: UnitWalk, node: Node) -> None:
    """Mark what a node makes, or hold in place what reaches it."""
    key = node.domain, node.op_type
    reached = any(value in walk.marks or walk.source(value) is not None for value in node.inputs)
    if key in SILENT or not reached:
        return
    try:
        if key not in RULES or not node.outputs:
            raise UnsureError
        RULES[key](walk, node)
    except (UnsureError, Unclear, *MISFITS):
        walk.hold(node)
