"""One step back: which inputs span a node's result, and so carry it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from onnxtop.reader.carriers.shapes import Shapes, wide_axes
from onnxtop.reader.constants import Constants
from onnxtop.reader.evaluate import is_decoder
from onnxtop.reader.lanes.tables import ELEMENTWISE
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.ops.tables import CARRY_NOTHING, IN_BODIES, SIDES


@dataclass(eq=False)
class Spanning:
    """Knows the carriers of every node of a model."""

    model: Model
    constants: Constants
    _known: dict[int, list[Value]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes = Shapes(self.model, self.constants)

    def carriers(self, node: Node) -> list[Value]:
        """Return the inputs that span a node's result; none where it makes something new."""
        if node.index not in self._known:  # each of its inputs asks, thousands perhaps
            self._known[node.index] = self._spans(node)
        return self._known[node.index]

    def _spans(self, node: Node) -> list[Value]:
        key = node.domain, node.op_type
        given = [value for value in node.inputs if value is not None]
        if key in CARRY_NOTHING or (is_weighted(node) and not self.is_made(node)):
            return []
        if key in (("", "Concat"), ("", "SequenceConstruct")):
            return given
        if key == ("", "SequenceInsert"):
            return [value for value in given[:2] if not self._is_empty_sequence(value)]
        if is_weighted(node):
            return [value for _, value in factors(node)]
        if key[0] == "" and node.op_type.startswith("Scatter"):
            return given[::2]
        if key in ELEMENTWISE and not is_decoder(node) and len(given) > 1:
            widest = self._widest(given[node.op_type == "Where" :])
            return widest[:1] if node.op_type == "BitShift" else widest  # by how much is a setting
        return given[:1]

    def _is_empty_sequence(self, value: Value) -> bool:
        node = self.model.producers.get(value)
        return node is not None and (node.domain, node.op_type) == ("", "SequenceEmpty")

    def _widest(self, values: Sequence[Value]) -> list[Value]:
        """Return the operands whose axes of more than one entry another one does not have too, and more."""
        shapes = [self.shapes.dims(value) for value in values]
        if any(dims is None for dims in shapes):  # what the input changes is taken to span all
            return [value for value in values if value not in self.constants] or list(values)
        axes = [frozenset(wide_axes(dims or ())) for dims in shapes]
        kinds = set(axes)
        narrow = {own for own in kinds if any(own < other for other in kinds)}
        return [value for value, own in zip(values, axes, strict=True) if own not in narrow]

    def is_made(self, node: Node) -> bool:
        """Tell whether a node is computed from constants alone."""
        return node.outputs[0] in self.constants

    def is_leaf(self, value: Value) -> bool:
        """Tell whether a constant begins here: it is stored, or filled with one number."""
        return value in self.model.tensors or self.constants.is_fill(value)


def is_weighted(node: Node) -> bool:
    """Tell whether an operation has sides that take weights."""
    return (node.domain, node.op_type) in SIDES


def mixes(node: Node) -> bool:
    """Tell whether a node multiplies its operands with each other, or may: in bodies, or nobody knows how."""
    return is_weighted(node) or bool(node.domain) or ("", node.op_type) in IN_BODIES


def factors(node: Node) -> list[tuple[int, Value]]:
    """Return what an operation with weights multiplies: its data, and what any of its sides takes."""
    sides = SIDES[node.domain, node.op_type]
    return [
        (place, value)
        for place, value in enumerate(node.inputs)
        if value is not None and (place == 0 or any(place in side for side in sides))
    ]
