"""Products written out in ordinary arithmetic: a Mul of which only sums over what both share are left."""

from dataclasses import dataclass, field

from onnxtop.reader.carriers.shapes import wide_axes
from onnxtop.reader.carriers.spanning import Spanning
from onnxtop.reader.constants import UnreadableConstantError
from onnxtop.reader.declared import Shape
from onnxtop.reader.equation import letters_of
from onnxtop.reader.lanes.tables import ELEMENTWISE
from onnxtop.reader.model import Node, Value
from onnxtop.reader.ops.tables import SUMS
from onnxtop.reader.search import folded

_Axes = frozenset[int] | None
"""Axes that are summed, from the end where the rank is known; None where more than sums are left."""


@dataclass(eq=False)
class WrittenOut:
    """Tells which Muls are products."""

    spanning: Spanning
    _known: dict[Value, _Axes] = field(default_factory=dict)
    _passing: dict[int, frozenset[Value]] = field(default_factory=dict)

    def is_product(self, node: Node) -> bool:
        """Tell whether a node multiplies, and every way from it ends in sums over axes that both span.

        What constants alone make is none.
        """
        if (node.domain, node.op_type) != ("", "Mul") or self.spanning.is_made(node):
            return False
        summed = folded(node.outputs[0], self._beyond, self._summed, self._known)
        if not summed:
            return False
        factors = [self.spanning.shapes.dims(value) for value in node.inputs if value is not None]
        known = [dims for dims in factors if dims is not None]
        rank = max(map(len, known), default=0)
        both = set.intersection(*map(wide_axes, known)) if known else set[int]()
        return {axis - rank if axis >= 0 else axis for axis in summed} <= both

    def _beyond(self, value: Value) -> list[Value]:
        return [made for node in self._users(value) if self._passes(node, value) for made in node.outputs]

    def _summed(self, value: Value, beyond: list[_Axes]) -> _Axes:
        """Return the axes that are summed on any way from a value, if all ways end so."""
        sums = [self._axes(node, value) for node in self._users(value) if not self._passes(node, value)]
        found = [*sums, *beyond]
        if value in self.spanning.model.results or None in found:
            return None
        return frozenset[int]().union(*(axes for axes in found if axes is not None))

    def _users(self, value: Value) -> list[Node]:
        return list(dict.fromkeys(use.node for use in self.spanning.model.users.get(value, ())))

    def _passes(self, node: Node, value: Value) -> bool:
        """Tell whether a node's result holds, in each place, what the value holds there."""
        if (node.domain, node.op_type) not in ELEMENTWISE:
            return False
        if node.index not in self._passing:  # each of its inputs asks, thousands perhaps
            self._passing[node.index] = frozenset(self.spanning.carriers(node))
        return value in self._passing[node.index]

    def _axes(self, node: Node, value: Value) -> _Axes:
        """Return the axes over which a node sums a value, None if it does anything else."""
        dims = self.spanning.shapes.dims(value)
        if (node.domain, node.op_type) in SUMS and node.inputs[0] is value:
            axes = self._named(node)
        elif (node.domain, node.op_type) == ("", "Einsum") and len(node.inputs) == 1:
            axes = self._left_out(node, dims)
        else:
            return None
        rank = len(dims) if dims is not None else 0
        return frozenset(axis - rank if axis >= 0 else axis for axis in axes) or None

    def _left_out(self, node: Node, dims: Shape | None) -> list[int]:
        """Return the axes of the one operand of an Einsum that its result lacks."""
        equation = node.attributes().get("equation")
        if dims is None or not isinstance(equation, bytes):
            return []
        (letters, *_), result = letters_of(equation.decode(errors="replace"), [len(dims)])
        whole = len(set(letters)) == len(letters) == len(dims)
        return [axis for axis, letter in enumerate(letters) if letter not in result] if whole else []

    def _named(self, node: Node) -> list[int]:
        value = node.inputs[1] if len(node.inputs) > 1 else None
        if value is None:
            return list(node.attributes().get("axes", ()))
        try:
            axes = self.spanning.constants.read(value).ravel() if value in self.spanning.constants else None
        except UnreadableConstantError:
            return []
        return axes.tolist() if axes is not None and axes.dtype.kind in "iu" else []
