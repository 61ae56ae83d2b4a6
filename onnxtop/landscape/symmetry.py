"""Which hidden units of a model may be renumbered without changing what it computes.

Every value of the graph gets a mark for each of its axes: the units that lie along it, or none. A weighted
operation starts new units; an elementwise one hands them on; a residual join makes two sets of units one; an
operation that treats units differently, or that is not known here, holds them in place. What reaches the
model's inputs or outputs stays in place too. What is left over are the groups of `alignment`.

Wherever this walk is not sure it holds units in place, so a group may be missing but none is wrong; the
caller checks the function on data all the same.
"""

from dataclasses import dataclass

from onnxtop.landscape.alignment import Layout, UnitGroup
from onnxtop.landscape.symmetry_rules import RULES
from onnxtop.landscape.units import Walk
from onnxtop.reader.model import Model, Node
from onnxtop.reader.skeleton import infer_shapes


@dataclass(frozen=True, eq=False)
class Symmetries:
    """Groups that may be renumbered, and a note on each kind of operation that held units in place."""

    groups: tuple[UnitGroup, ...]
    notes: tuple[str, ...]


def find_groups(model: Model, layout: Layout, *, batch_statistics: bool = True) -> Symmetries:
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

    Returns
    -------
    Symmetries
        No groups where nothing may be renumbered, with notes saying why.
    """
    walk = Walk(model, layout, infer_shapes(model), batch_statistics)
    for node in model.nodes:
        _visit(walk, node)
    for value in model.results:
        walk.hold(value)
    return Symmetries(walk.groups(), tuple(walk.notes))


def _visit(walk: Walk, node: Node) -> None:
    """Mark what a node makes, or hold in place what reaches it."""
    rule = RULES.get((node.domain, node.op_type))
    if rule is None or not node.outputs or not rule(walk, node):
        held = [value for value in node.inputs if value is not None and walk.hold(value)]
        if held:
            walk.notes[f"{node.op} holds units in place"] = None
