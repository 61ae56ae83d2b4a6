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
from dataclasses import dataclass

from onnxtop.landscape.alignment import Layout, UnitGroup
from onnxtop.landscape.symmetry_rules import RULES
from onnxtop.landscape.units import UnsureError, Walk, groups_of
from onnxtop.reader.constants import Constants
from onnxtop.reader.lanes.arrays import Unclear
from onnxtop.reader.lanes.sizes import Sizes, graph_inputs
from onnxtop.reader.lanes.tables import SILENT
from onnxtop.reader.lanes.walk import MISFITS
from onnxtop.reader.model import Model, Node
from onnxtop.reader.skeleton import infer_shapes

_ASSUMED = (3, 64)
"""Sizes that open axes take, the first and the others."""


@dataclass(frozen=True, eq=False)
class Symmetries:
    """Groups that may be renumbered, and a note on each kind of operation that held units in place."""

    groups: tuple[UnitGroup, ...]
    notes: tuple[str, ...]


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
    walk = Walk(model, layout, constants, Sizes(model, constants, inputs, _ASSUMED), batch_statistics)
    for node in model.nodes:
        walk.sizes.measure(node)
        _visit(walk, node)
    for value in model.results:
        walk.hold_value(value)
    return Symmetries(groups_of(walk), tuple(_notes(walk)))


def _notes(walk: Walk) -> Iterator[str]:
    """Say what held units in place that are no results of the model."""
    marks = [walk.roots(walk.marks[value].ids) for value in walk.model.results if value in walk.marks]
    results = {unit for ids in marks for unit in ids.ravel().tolist()}
    for op, units in walk.held.items():
        count = len({walk.units.root(unit) for unit in units} - results)
        if count:
            yield f"{op} holds {count:,} unit{'s' if count > 1 else ''} in place, so bounds are looser"


def _visit(walk: Walk, node: Node) -> None:
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
