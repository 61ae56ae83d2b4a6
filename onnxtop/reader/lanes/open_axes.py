"""Ranks and sizes that a model leaves open and that its operations and weights tell."""

from collections.abc import Iterator, Mapping, Sequence

from onnx import TensorProto

from onnxtop.reader.earlier import second_shape
from onnxtop.reader.model import Node, Value
from onnxtop.reader.schemas import RECURRENT

Shapes = Sequence[tuple[int, ...] | None]

_PRODUCTS, _CONVOLUTIONS = ("MatMul", "MatMulInteger"), ("Conv", "ConvTranspose")
_OF_FEATURES = ("LinearClassifier", "LinearRegressor", "Scaler")


class OpenError(Exception):
    """An axis of an input is open, and a weight tells its size."""

    def __init__(self, name: str, axis: int, size: int) -> None:
        super().__init__(f"axis {axis} of {name!r} is {size} long")
        self.name = name
        self.axis = axis
        self.size = size


def expected_sizes(node: Node, shapes: Shapes) -> Iterator[tuple[int, int, int]]:
    """Yield (input, axis from the end, size) wherever an operand's size differs from what a weight says."""
    for position, axis, size in _wanted(node, shapes):
        shape = shapes[position]
        if shape is not None and len(shape) >= -axis and shape[axis] != size:
            yield position, axis, size


def expected_rank(node: Node, tensors: Mapping[Value, TensorProto]) -> int | None:
    """Return how many axes an operation wants its first operand to have, None where it does not tell."""
    op = node.op_type
    if op in (*_PRODUCTS, *_CONVOLUTIONS):
        weight = tensors.get(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
        return None if weight is None else max(2, len(weight.dims))
    return 3 if op in RECURRENT else 2 if op in ("Gemm", *_OF_FEATURES) else None


def _wanted(node: Node, shapes: Shapes) -> Iterator[tuple[int, int, int]]:
    op = node.op_type
    if op in _PRODUCTS and len(shapes) > 1:
        yield from _product(shapes, transposed=False)
    elif op == "Gemm" and len(shapes) > 1:
        yield from _product(shapes, transposed=bool(node.attributes().get("transB")))
    elif op in _CONVOLUTIONS:
        yield from _channels(node, shapes)
    elif op in RECURRENT and shapes[1] and len(shapes[1]) == 3:
        yield 0, -1, shapes[1][2]
    elif op == "BatchNormalization" and shapes[0] and shapes[1]:
        yield 0, 1 - len(shapes[0]), shapes[1][0]
    elif op in ("Add", "Sub", "Mul", "Div") and len(shapes) == 2:
        left, right = shapes
        yield from _broadcast([left, right and second_shape(node, len(left or ()), right)])
    elif op in _OF_FEATURES:
        yield from _features(node)


def _product(shapes: Shapes, *, transposed: bool) -> Iterator[tuple[int, int, int]]:
    left, right = shapes[:2]
    if left and right and len(right) >= 2:
        yield 0, -1, right[-1] if transposed else right[-2]
    if left and right and len(left) >= 2 and len(right) >= 2 and not transposed:
        yield 1, -2, left[-1]


def _channels(node: Node, shapes: Shapes) -> Iterator[tuple[int, int, int]]:
    data, kernel = shapes[:2]
    if data and kernel and len(data) == len(kernel) >= 3:
        group = node.attributes().get("group", 1)
        transposed = node.op_type == "ConvTranspose"
        yield 0, 1 - len(data), kernel[0] if transposed else kernel[1] * group


def _broadcast(shapes: Shapes) -> Iterator[tuple[int, int, int]]:
    for this, other in ((0, 1), (1, 0)):
        own, theirs = shapes[this], shapes[other]
        if own and theirs:
            for axis in range(-1, -min(len(own), len(theirs)) - 1, -1):
                if theirs[axis] > 1 and own[axis] > 1:
                    yield this, axis, theirs[axis]


def _features(node: Node) -> Iterator[tuple[int, int, int]]:
    attributes = node.attributes()
    if node.op_type == "Scaler":
        count = len(attributes.get("scale", ()))
    else:
        rows = attributes.get("targets", 0) or len(attributes.get("intercepts", ()))
        count = len(attributes.get("coefficients", ())) // max(rows, 1)
    if count > 1:
        yield 0, -1, count
