"""Operations as earlier opsets meant them, written as today's: the one place that knows how they differ.

Operands that broadcast along an axis of their own, parameters that were attributes, a Softmax of matrices.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from onnxtop.reader.model import Node
from onnxtop.reader.schemas import since

Array = NDArray[Any]
Inputs = Sequence[Array | None]

_BROADCASTING = frozenset({"Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor"})


@dataclass(frozen=True, eq=False)
class Today:
    """A node and its operands as a later opset writes them.

    ``shape`` is what the first result is reshaped to; None where it stays as it is.
    """

    proto: NodeProto
    inputs: Inputs
    opset: int
    shape: tuple[int, ...] | None = None


def second_shape(node: Node, rank: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape with which a node's second operand broadcasts to the first, of ``rank`` axes.

    Before opset 7 its first axis could be laid on any axis of the first operand (``broadcast``, ``axis``);
    since then the last axes are laid on each other.
    """
    if node.domain or node.op_type not in _BROADCASTING or not node.proto.attribute:
        return shape
    attributes = node.attributes()
    axis = attributes.get("axis")
    if not attributes.get("broadcast") or axis is None:
        return shape
    return (*shape, *[1] * (rank - (axis + rank if axis < 0 else axis) - len(shape)))


def today(node: Node, inputs: Inputs, opset: int) -> Today:
    """Write a node of the ONNX standard as today's opsets do; most are the same."""
    if node.domain:
        return Today(node.proto, inputs, opset)
    if node.op_type in _BROADCASTING and node.proto.attribute:
        return _aligned(node, inputs, opset)
    until, rewrite = _REWRITTEN.get(node.op_type, (0, None))
    if rewrite is not None and opset < until:
        return rewrite(node, inputs, opset)
    if opset < 6 and any(item.name == "consumed_inputs" for item in node.proto.attribute):
        return Today(_with(node, len(inputs), without=("consumed_inputs",)), inputs, 6)
    return Today(node.proto, inputs, opset)


def meaning(op_type: str, opset: int) -> int:
    """Return 0 for an operation that means what today's does, else the version that tells it apart."""
    until = max(_REWRITTEN.get(op_type, (0, None))[0], _OTHERWISE.get(op_type, 0))
    return since(op_type, opset) if opset < until else 0  # none: written out, and newer than the model


def _with(
    node: Node, count: int, *, without: Sequence[str] = (), op_type: str = "", **attributes: Any
) -> NodeProto:
    """Return a copy of the node with so many operands, some attributes left out and others set."""
    proto = NodeProto(op_type=op_type or node.op_type, output=node.proto.output)
    proto.input.extend(f"operand_{place}" for place in range(count))
    gone = {*without, *attributes}
    proto.attribute.extend(item for item in node.proto.attribute if item.name not in gone)
    proto.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    return proto


def _aligned(node: Node, inputs: Inputs, opset: int) -> Today:
    first, second = inputs
    if first is None or second is None:
        raise ValueError("an operand is left out")
    second = second.reshape(second_shape(node, first.ndim, second.shape))
    without = ("broadcast", "axis", "consumed_inputs")
    return Today(_with(node, 2, without=without), [first, second], max(opset, 7))


def _prelu(node: Node, inputs: Inputs, _: int) -> Today:
    """Lay one slope a channel on the second axis."""
    data, slope = inputs
    if data is not None and slope is not None and slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape(-1, *[1] * (data.ndim - 2))
    return Today(_with(node, 2, without=("consumed_inputs",)), [data, slope], 9)


def _cast(node: Node, inputs: Inputs, _: int) -> Today:
    name = node.attributes().get("to", b"")
    to = name if isinstance(name, int) else TensorProto.DataType.Value(name.decode())
    return Today(_with(node, 1, to=to), inputs, 9)


def _concat(node: Node, inputs: Inputs, opset: int) -> Today:
    return Today(_with(node, len(inputs), axis=node.attributes().get("axis", 1)), inputs, opset)


def _flattened(node: Node, inputs: Inputs, _: int) -> Today:
    """Compute Softmax and its like on a matrix: all axes before ``axis``, and all from it on."""
    (data,) = inputs
    if data is None:
        raise ValueError("an operand is left out")
    axis = node.attributes().get("axis", 1)
    if not -data.ndim <= axis <= data.ndim:
        raise ValueError(f"axis {axis} of {data.ndim} axes")
    rows = math.prod(data.shape[: axis + data.ndim if axis < 0 else axis])
    flat = data.reshape(rows, data.size // max(rows, 1))
    return Today(_with(node, 1, axis=-1), [flat], 13, data.shape)


def _batch_normalization(node: Node, inputs: Inputs, opset: int) -> Today:
    """Tell training by an attribute, as since opset 14; before, by ``is_test`` or the number of results."""
    attributes = node.attributes()
    if attributes.get("spatial", 1) == 0:
        raise ValueError("BatchNormalization with spatial=0")
    training = not attributes.get("is_test", 0) if opset < 7 else len(node.outputs) > 1
    without = ("consumed_inputs", "is_test", "spatial")
    return Today(_with(node, len(inputs), without=without, training_mode=int(training)), inputs, 15)


def _resize(node: Node, inputs: Inputs, _: int) -> Today:
    """Write Upsample, and Resize of opset 10, as the Resize since opset 11.

    The nearest entry is the one before; onnxruntime takes the one behind where it makes an axis smaller.
    """
    attributes = node.attributes()
    data, *more = inputs
    scales = more[0] if more else None
    if data is None:
        raise ValueError("an operand is left out")
    if "scales" in attributes:
        scales = np.array(attributes["scales"], np.float32)
    elif "height_scale" in attributes:
        scales = np.array([1, 1, attributes["height_scale"], attributes["width_scale"]], np.float32)
    smaller = scales is not None and bool((scales < 1).any())
    if smaller and scales is not None and bool((scales > 1).any()):
        raise ValueError(f"{node.op_type} with scales {scales.tolist()}")
    proto = _with(
        node,
        3,
        without=("scales", "height_scale", "width_scale"),
        op_type="Resize",
        mode={b"bilinear": b"linear"}.get(
            attributes.get("mode", b"nearest"), attributes.get("mode", b"nearest")
        ),
        coordinate_transformation_mode="asymmetric",
        nearest_mode="ceil" if smaller else "floor",
    )
    proto.input[1] = ""
    return Today(proto, [data, None, scales], 13)


def _roi_align(node: Node, inputs: Inputs, _: int) -> Today:
    mode = "output_half_pixel"
    return Today(_with(node, len(inputs), coordinate_transformation_mode=mode), inputs, 16)


def _split(node: Node, inputs: Inputs, opset: int) -> Today:
    if len(inputs) > 1 or "split" in node.attributes():
        return Today(node.proto, inputs, opset)
    return Today(_with(node, 1, num_outputs=len(node.proto.output)), inputs, 18)


def _scatter(node: Node, inputs: Inputs, _: int) -> Today:
    return Today(_with(node, len(inputs), op_type="ScatterElements"), inputs, 13)


_NOW = onnx.defs.onnx_opset_version() + 1
_REWRITTEN: dict[str, tuple[int, Callable[[Node, Inputs, int], Today]]] = {
    "BatchNormalization": (14, _batch_normalization),
    "Cast": (6, _cast),
    "Concat": (4, _concat),
    "Hardmax": (13, _flattened),
    "LogSoftmax": (13, _flattened),
    "PRelu": (7, _prelu),
    "Resize": (11, _resize),
    "RoiAlign": (16, _roi_align),
    "Scatter": (_NOW, _scatter),
    "Softmax": (13, _flattened),
    "Split": (18, _split),
    "Upsample": (_NOW, _resize),
}
"""Operations that the evaluation takes as today's, and the opset since which they mean the same."""

_OTHERWISE: dict[str, int] = {
    "Attention": 24,
    "ConvTranspose": 11,
    "DFT": 20,
    "GRU": 7,
    "GlobalLpPool": 2,
    "GridSample": 20,
    "GroupNormalization": 21,
    "LSTM": 7,
    "LpPool": 18,
    "MaxUnpool": 11,
    "NegativeLogLikelihoodLoss": 13,
    "NonMaxSuppression": 11,
    "OneHot": 11,
    "RNN": 7,
    "Scan": 9,
    "SoftmaxCrossEntropyLoss": 13,
    "Tile": 6,
}
"""Operations that meant something else, and are not written as today's: the opset that changed them."""
