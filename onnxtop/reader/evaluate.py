"""Operations of the ONNX standard on constant arrays: a fixed list, each bounded before it runs.

Movement is done by views, so that a weight costs no memory beyond its own; decoding follows the runtime's
arithmetic; all else is left to onnx's reference operations.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from onnxtop.reader.dequantize import (
    affine,
    bipolar,
    blocked,
    check_scale,
    float_quant,
    integer_quant,
    truncated,
)
from onnxtop.reader.model import Node

Array = NDArray[Any]

MOVEMENT = frozenset({"Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operations that keep every element of their first input and only move it."""

# Operations that are computed. Those whose result can be far larger than their inputs have a bound below.
_COMPUTED = MOVEMENT | frozenset(
    """
    Abs Add And Cast CastLike Ceil Clip Concat ConstantOfShape CumSum DepthToSpace DequantizeLinear Div Equal
    Exp Expand EyeLike Floor Gather GatherElements GatherND Greater GreaterOrEqual Less LessOrEqual Log
    Max Mean Min Mod Mul Neg Not Or Pad Pow QuantizeLinear Range Reciprocal ReduceL1 ReduceL2 ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Round ScatterElements ScatterND Shape
    Sigmoid Sign Size Slice SpaceToDepth Split Sqrt Sub Sum Tanh Tile Trilu Where Xor
    """.split()  # noqa: SIM905 - a list of eighty words reads better as text
)
_SHAPE_INPUT = {"Expand": 1, "Reshape": 1, "Tile": 1}
_QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def is_decoder(node: Node) -> bool:
    """Tell whether a node turns codes, or values to be rounded, into weights."""
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return node.domain == ""
    return node.op_type in _DECODERS and node.domain in _QONNX


def is_computed(node: Node) -> bool:
    """Tell whether a node with constant inputs is computed."""
    return bool(node.inputs) and ((node.domain == "" and node.op_type in _COMPUTED) or is_decoder(node))


def keeps_elements(node: Node) -> bool:
    """Tell whether a node's result holds each element of its first input once, moved or decoded."""
    return (
        bool(node.inputs)
        and node.inputs[0] is not None
        and ((node.domain == "" and (node.op_type in MOVEMENT or node.op_type == "Cast")) or is_decoder(node))
    )


def run(node: Node, inputs: Sequence[Array | None], opset: int) -> list[Array]:
    """Compute a node's results; raises whatever NumPy raises where the inputs do not fit."""
    shape = inputs[_SHAPE_INPUT[node.op_type]] if node.op_type in _SHAPE_INPUT and len(inputs) > 1 else None
    if shape is not None and (shape.ndim != 1 or shape.dtype.kind != "i"):
        raise ValueError(f"{shape.dtype} of {shape.ndim} axes is no shape")
    if node.op_type == "Cast" and node.attributes().get("to") == onnx.TensorProto.STRING:
        raise ValueError("text is no weight")
    if node.op_type in _DECODERS:
        return [_DECODERS[node.op_type](inputs, node.attributes())]
    if _is_own(node, inputs):
        return [_OWN[node.op_type](*inputs, **node.attributes())]
    feeds = {name: array for name, array in zip(node.proto.input, inputs, strict=True) if array is not None}
    untyped = [onnx.ValueInfoProto(name=name) for name in feeds]
    results = [onnx.ValueInfoProto(name=name) for name in node.proto.output if name]
    graph = onnx.helper.make_graph([node.proto], "constant", untyped, results)
    return [np.asarray(result) for result in ReferenceEvaluator(graph, opsets={"": opset}).run(None, feeds)]


def _is_own(node: Node, inputs: Sequence[Array | None]) -> bool:
    """Tell whether a node is computed here: movement, or NumPy's own types throughout."""
    if node.domain or node.op_type not in _OWN:
        return False
    if node.op_type in MOVEMENT or node.op_type == "Slice":
        return True
    kinds = [array.dtype for array in inputs if array is not None]
    if node.op_type in ("Add", "Div", "Equal", "Mul", "Sub") and node.proto.attribute:
        return False  # before opset 7 they broadcast in a way of their own
    if node.op_type == "Cast":
        kinds.append(onnx.helper.tensor_dtype_to_np_dtype(node.attributes()["to"]))
    return len(kinds) >= len(inputs) and all(kind.kind in "iufb" for kind in kinds)


# Movement without a copy: the reader's promise that a weight costs no memory beyond its own.


def _reshape(data: Array, shape: Any = None, *, allowzero: int = 0) -> Array:
    sizes = np.ravel(shape).tolist()
    if not allowzero:
        sizes = [data.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return data.reshape(sizes)


def _flatten(data: Array, *, axis: int = 1) -> Array:
    return data.reshape(math.prod(data.shape[:axis]), -1)


def _unsqueeze(data: Array, where: Array | None = None, *, axes: Sequence[int] = ()) -> Array:
    return np.expand_dims(data, tuple(axes if where is None else where.ravel().tolist()))


def _squeeze(data: Array, where: Array | None = None, *, axes: Sequence[int] | None = None) -> Array:
    chosen = axes if where is None else where.ravel().tolist()
    return np.squeeze(data, None if chosen is None else tuple(chosen))


def _slice(data: Array, *where: Array | None, **attributes: Any) -> Array:
    """Take a stretch of some axes; what says where is an attribute before opset 10."""
    given: list[Any] = [None if array is None else array.ravel().tolist() for array in where]
    given = given or [attributes[name] for name in ("starts", "ends", "axes") if name in attributes]
    starts, ends, axes, steps = [*given, None, None][:4]
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    cuts = [slice(None)] * data.ndim
    for begin, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        whole_back = step < 0 and end < -data.shape[axis]
        cuts[axis] = slice(begin, None if whole_back else end, step)
    return data[tuple(cuts)]


# Indexing and arithmetic: onnx's reference operations loop in Python, or take a third of a millisecond each,
# where the arithmetic of shapes has thousands of nodes.


def _gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    return np.asarray(data[_element_places(indices, axis)])


def _element_places(indices: Array, axis: int) -> tuple[Array, ...]:
    """Return the index arrays of GatherElements and ScatterElements: its own place, but along the axis."""
    places = list(np.meshgrid(*map(np.arange, indices.shape), indexing="ij", sparse=True))
    places[axis] = indices
    return tuple(places)


def _gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    if batch_dims:
        raise ValueError("GatherND with batch_dims")
    return np.asarray(data[tuple(np.moveaxis(indices, -1, 0))])


def _scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: bytes = b"none") -> Array:
    if reduction != b"none":
        raise ValueError("ScatterND with a reduction")
    result = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return np.asarray(result)


def _scatter_elements(
    data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: bytes = b"none"
) -> Array:
    if reduction != b"none":
        raise ValueError("ScatterElements with a reduction")
    result = data.copy()
    result[_element_places(indices, axis)] = updates
    return np.asarray(result)


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.asarray((np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype))
    return np.asarray(a / b)


def _constant_of_shape(shape: Array, *, value: Any = None) -> Array:
    fill = np.float32(0) if value is None else onnx.numpy_helper.to_array(value).ravel()[0]
    return np.full(tuple(shape.tolist()), fill)


_OWN: dict[str, Callable[..., Array]] = {
    "Add": lambda a, b: np.asarray(a + b),
    "Cast": lambda data, *, to, **_: data.astype(onnx.helper.tensor_dtype_to_np_dtype(to)),
    "Compress": lambda data, kept, *, axis=None: np.compress(kept, data, axis),
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "ConstantOfShape": _constant_of_shape,
    "Div": _div,
    "Equal": lambda a, b: np.asarray(a == b),
    "Flatten": _flatten,
    "Gather": lambda data, indices, *, axis=0: np.asarray(np.take(data, indices, axis)),
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": lambda data: data,
    "Mul": lambda a, b: np.asarray(a * b),
    "Range": lambda a, b, c: np.arange(a.item(), b.item(), c.item(), dtype=a.dtype),
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": lambda a, b: np.asarray(a - b),
    "Transpose": lambda data, *, perm=None: np.transpose(data, perm),
    "Unsqueeze": _unsqueeze,
    "Where": lambda a, b, c: np.asarray(np.where(a, b, c)),
}


# Decoding, with the arithmetic of the runtime.


def _dequantize(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    codes, scale, *rest = inputs
    zero_point = rest[0] if rest else None
    axis, block_size = attributes.get("axis", 1), attributes.get("block_size", 0)
    check_scale(codes, scale, zero_point, axis, block_size)
    if block_size:
        return blocked(codes, scale, zero_point, axis, block_size)
    return affine(codes, scale, zero_point, axis)


def _options(attributes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: attributes[name] for name in names if name in attributes}


def _quant(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    return integer_quant(*inputs, **_options(attributes, "signed", "narrow", "rounding_mode"))


def _bipolar(inputs: Sequence[Any], _: dict[str, Any]) -> Array:
    return bipolar(*inputs)


def _float_quant(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    return float_quant(*inputs, **_options(attributes, "rounding_mode", "saturation", "has_inf"))


def _trunc(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    return truncated(*inputs, **_options(attributes, "rounding_mode"))


_DECODERS: dict[str, Callable[[Sequence[Any], dict[str, Any]], Array]] = {
    "DequantizeLinear": _dequantize,
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "FloatQuant": _float_quant,
    "Trunc": _trunc,
}


def bound(node: Node, inputs: Sequence[Array | None]) -> int:
    """Return how many bytes the node's results can take, from its inputs' sizes alone."""
    arrays = [array for array in inputs if array is not None]
    given = sum(array.nbytes for array in arrays)
    width = max((array.itemsize for array in arrays), default=8)
    try:
        match node.op_type:
            case "Identity" | "Transpose" | "Reshape" | "Flatten":
                return 0
            case "Expand":
                return int(math.prod(np.broadcast_shapes(arrays[0].shape, tuple(arrays[1].tolist()))) * width)
            case "Tile":
                return arrays[0].nbytes * int(math.prod(arrays[1].tolist()))
            case "ConstantOfShape":
                return int(math.prod(arrays[0].tolist())) * 8
            case "Range":
                start, stop, step = (array.item() for array in arrays)
                return int(abs((stop - start) / step) + 1) * 8
            case "Pad":
                return _padded(node, arrays) * width
            case "Gather" | "GatherND" | "GatherElements":
                return _gathered(node, *arrays[:2]) * width
            case op if op in ("Cast", "CastLike", *_DECODERS):
                return arrays[0].size * 8
            case "Concat" | "Slice" | "Split" | "Squeeze" | "Unsqueeze":
                return given
            case _:
                return max(given, _broadcast_size(arrays) * max(width, 8))
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError):
        return given  # such inputs make the operation itself fail, with the better message


def _gathered(node: Node, data: Array, indices: Array) -> int:
    count = int(indices.size)
    if node.op_type == "GatherElements":
        return count
    if node.op_type == "Gather":
        return count * data.size // max(1, int(data.shape[node.attributes().get("axis", 0)]))
    depth = int(indices.shape[-1])
    return count // max(1, depth) * math.prod(data.shape[depth:])


def _padded(node: Node, arrays: Sequence[Array]) -> int:
    shape = arrays[0].shape
    pads = arrays[1].tolist() if len(arrays) > 1 else node.attributes().get("pads", [])
    if len(pads) == 2 * len(shape):
        return math.prod(size + a + b for size, a, b in zip(shape, pads, pads[len(shape) :], strict=False))
    return math.prod(size + sum(pads) for size in shape)


def _broadcast_size(arrays: Sequence[Array]) -> int:
    try:
        return math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
    except ValueError:
        return max(array.size for array in arrays)
