"""Sizes of operations that ONNX does not define."""

from collections.abc import Callable, Sequence
from operator import index

from onnx import TensorProto

from onnxtop.reader.model import Node

Shape = tuple[int, ...] | None
Answers = dict[int, tuple[Shape, int]]

_FLOAT = TensorProto.FLOAT


def stand_in(node: Node, shapes: Sequence[Shape]) -> Answers | None:
    """Return shape and type of the outputs by place; None if ONNX knows the operation itself.

    Raises
    ------
    TypeError, KeyError, IndexError, ValueError, ArithmeticError
        The node lacks what tells a size, or it is no whole number.
    """
    if node.domain in ("", "ai.onnx.ml") and node.op_type not in _OLD:
        return None
    rule = _RULES.get(node.op_type, _first)
    made = rule(node, shapes).items()
    return {
        place: (shape if shape is None else tuple(map(index, shape)), kind) for place, (shape, kind) in made
    }


_OLD = frozenset({"SimplifiedLayerNormalization"})
"""Operations that onnxruntime writes into the standard's domain."""


def _at(shapes: Sequence[Shape], place: int) -> Shape:
    return shapes[place] if place < len(shapes) else None


def _first(node: Node, shapes: Sequence[Shape]) -> Answers:
    """Every output has the size of the first input."""
    return {place: (_at(shapes, 0), _FLOAT) for place in range(len(node.proto.output))}


def _n_bits(node: Node, shapes: Sequence[Shape]) -> Answers:
    data = _at(shapes, 0)
    return {} if data is None else {0: ((*data[:-1], node.attributes()["N"]), _FLOAT)}


def _attention(node: Node, shapes: Sequence[Shape]) -> Answers:
    """Return the size of the values: a third of the packed weight, unless attributes say otherwise."""
    data, weight = _at(shapes, 0), _at(shapes, 1)
    if data is None or weight is None:
        return {}
    sizes = node.attributes().get("qkv_hidden_sizes") or [weight[-1] // 3] * 3
    return {0: ((*data[:-1], sizes[2]), _FLOAT)}


def _lstm(node: Node, shapes: Sequence[Shape]) -> Answers:
    data = _at(shapes, 0)
    if data is None:
        return {}
    directions = 2 if node.attributes().get("direction") == b"bidirectional" else 1
    hidden = node.attributes()["hidden_size"]
    state = (directions, data[1], hidden)
    return {0: ((data[0], directions, data[1], hidden), _FLOAT), 1: (state, _FLOAT), 2: (state, _FLOAT)}


def _gather(node: Node, shapes: Sequence[Shape]) -> Answers:
    table, indices = _at(shapes, 0), _at(shapes, 1)
    if table is None or indices is None:
        return {}
    packed = 8 // node.attributes().get("bits", 4) if node.attributes().get("bits") else 1
    return {0: ((*indices, table[-1] * packed), _FLOAT)}


def _query(node: Node, shapes: Sequence[Shape]) -> Answers:
    query, value = _at(shapes, 0), _at(shapes, 2)
    if query is None or len(query) != 3 or value is None or len(value) != 3:
        return {}
    return {0: ((*query[:2], value[-1]), _FLOAT)}


_RULES: dict[str, Callable[[Node, Sequence[Shape]], Answers]] = {
    "Attention": _attention,
    "DynamicQuantizeLSTM": _lstm,
    "GatherBlockQuantized": _gather,
    "MatMulNBits": _n_bits,
    "MultiHeadAttention": _query,
    "QAttention": _attention,
}
