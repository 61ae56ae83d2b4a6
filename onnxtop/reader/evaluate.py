"""Operations of the ONNX standard on constant arrays.

Movement is done by views, so that a weight costs no memory beyond its own; decoding follows the runtime's
arithmetic; all else is left to onnx's reference operations, but for those that are slow or wrong there. What
an operation costs is told before it runs (see `bounds`).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from itertools import accumulate
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from scipy.special import erf

from onnxtop.reader.bounds import Budget, cost
from onnxtop.reader.dequantize import (
    affine,
    bipolar,
    blocked,
    check_scale,
    float_quant,
    integer_quant,
    truncated,
)
from onnxtop.reader.earlier import Today, today
from onnxtop.reader.model import Node

Array = NDArray[Any]

MOVEMENT = frozenset({"Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operations that keep every element of their first input and only move it."""

_SHAPE_INPUT = {"Expand": 1, "Reshape": 1, "Tile": 1}
_QONNX = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")


def is_decoder(node: Node) -> bool:
    """Tell whether a node turns codes, or values to be rounded, into weights."""
    if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
        return node.domain == ""
    return node.op_type in _DECODERS and node.domain in _QONNX


def is_computed(node: Node) -> bool:
    """Tell whether a node's results follow from its inputs alone, and so are constant where they are.

    Any operation of the ONNX standard is; not what holds a graph of its own (If, Loop, Scan), what is random,
    what takes no input, nor what another domain defines.
    """
    if not node.inputs or is_decoder(node):
        return bool(node.inputs)
    return node.domain == "" and _is_standard(node.op_type) and node.attributes().get("is_test", 1) != 0


@cache
def _is_standard(op_type: str) -> bool:
    """Tell a function of its inputs among the operations of the standard: random ones have a seed."""
    if not onnx.defs.has(op_type):
        return False
    attributes = onnx.defs.get_schema(op_type).attributes
    bodies = (onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS)
    random = "seed" in attributes and op_type != "Dropout"  # which is random in training only
    return not random and all(item.type not in bodies for item in attributes.values())


def keeps_elements(node: Node) -> bool:
    """Tell whether a node's result holds each element of its first input once, moved or decoded."""
    return (
        bool(node.inputs)
        and node.inputs[0] is not None
        and ((node.domain == "" and node.op_type in (*MOVEMENT, "Cast", "CastLike")) or is_decoder(node))
    )


def run(node: Node, inputs: Sequence[Array | None], opset: int, budget: Budget | None = None) -> list[Array]:
    """Compute a node's results; raises whatever NumPy or onnx raises where the inputs do not fit.

    What it costs is taken off the budget before it runs, if there is one.
    """
    call = today(node, inputs, opset)
    _check(call)
    if budget is not None:
        budget.spend(cost(call))
    with np.errstate(all="ignore"):  # infinities and NaN are what the runtime makes of them, too
        results = _computed(node, call, budget)
    if call.shape is not None:
        results[0] = results[0].reshape(call.shape)
    return results


def _check(call: Today) -> None:
    """Refuse operands that NumPy or onnx would take for what they are not."""
    op_type, arrays = call.proto.op_type, [array for array in call.inputs if array is not None]
    if any(array.dtype.kind in "OSU" for array in arrays) or _casts_to_text(call.proto):
        raise ValueError("text is no weight")
    place = _SHAPE_INPUT.get(op_type, len(call.inputs))
    shape = call.inputs[place] if place < len(call.inputs) else None
    if shape is not None and (shape.ndim != 1 or shape.dtype.kind != "i"):
        raise ValueError(f"{shape.dtype} of {shape.ndim} axes is no shape")
    if (
        op_type in ("Div", "Mod")
        and len(arrays) == 2
        and arrays[1].dtype.kind in "iu"
        and not arrays[1].all()
    ):
        raise ZeroDivisionError("an integer is divided by zero")


def _casts_to_text(proto: onnx.NodeProto) -> bool:
    return proto.op_type == "Cast" and any(
        item.name == "to" and item.i == onnx.TensorProto.STRING for item in proto.attribute
    )


def _computed(node: Node, call: Today, budget: Budget | None) -> list[Array]:
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in call.proto.attribute}
    if is_decoder(node) and node.op_type in _DECODERS:
        return [_DECODERS[node.op_type](call.inputs, attributes)]
    if not node.domain and _is_own(call, attributes):
        made = _OWN[call.proto.op_type](*call.inputs, **attributes)
        results = made if isinstance(made, list) else [made]
        return [result for name, result in zip(call.proto.output, results, strict=False) if name]
    return _referred(call, attributes, budget)


def _referred(call: Today, attributes: dict[str, Any], budget: Budget | None) -> list[Array]:
    """Ask onnx's reference operation; floats of two bytes are computed in four, and rounded once."""
    pairs = {
        name: array for name, array in zip(call.proto.input, call.inputs, strict=True) if array is not None
    }
    halves = {array.dtype for array in pairs.values() if array.dtype in _HALVES}
    narrow = (
        halves.pop() if len(halves) == 1 and not attributes.keys() & {"to", "dtype", "output_dtype"} else None
    )
    if narrow is not None and call.proto.op_type not in ("CastLike", "QuantizeLinear"):
        pairs = {
            name: array.astype(np.float32) if array.dtype == narrow else array
            for name, array in pairs.items()
        }
    else:
        narrow = None
    typed = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in pairs.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in call.proto.output if name]
    graph = onnx.helper.make_graph([call.proto], "constant", typed, results)
    evaluator = ReferenceEvaluator(graph, opsets={"": call.opset})
    with warnings.catch_warnings(), budget.counted() if budget is not None else nullcontext():
        warnings.simplefilter("ignore")
        made = evaluator.run(None, pairs)
    if any(isinstance(result, list) or result is None for result in made):
        raise ValueError("its result is no tensor")
    arrays = [np.asarray(result) for result in made]
    return [
        array.astype(narrow) if narrow is not None and array.dtype == np.float32 else array
        for array in arrays
    ]


_HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def _is_own(call: Today, attributes: dict[str, Any]) -> bool:
    """Tell whether a node is computed here: movement, or NumPy's own types throughout."""
    op_type = call.proto.op_type
    if op_type not in _OWN:
        return False
    if op_type in MOVEMENT or op_type in ("Slice", "Split", "Dropout"):
        return True
    kinds = [array.dtype for array in call.inputs if array is not None]
    if op_type == "Cast":
        kinds.append(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))
    return len(kinds) >= len(call.inputs) - (op_type == "Pad") and all(kind.kind in "iufb" for kind in kinds)


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
    if not 0 <= batch_dims < min(data.ndim, indices.ndim):
        raise ValueError(f"{batch_dims} batch axes of {data.ndim} and {indices.ndim}")
    batch = np.meshgrid(*map(np.arange, data.shape[:batch_dims]), indexing="ij")
    more = (1,) * (indices.ndim - 1 - batch_dims)
    places = [place.reshape(*place.shape, *more) for place in batch]
    return np.asarray(data[(*places, *np.moveaxis(indices, -1, 0))])


def _scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: bytes = b"none") -> Array:
    return _scattered(data, tuple(np.moveaxis(indices, -1, 0)), updates, reduction)


def _scatter_elements(
    data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: bytes = b"none"
) -> Array:
    return _scattered(data, _element_places(indices, axis), updates, reduction)


_REDUCTIONS = {b"add": np.add, b"mul": np.multiply, b"max": np.maximum, b"min": np.minimum}


def _scattered(data: Array, places: tuple[Array, ...], updates: Array, reduction: bytes) -> Array:
    result = data.copy()
    if reduction == b"none":
        result[places] = updates
    else:
        _REDUCTIONS[reduction].at(result, places, updates)
    return np.asarray(result)


def _split(data: Array, sizes: Array | None = None, **attributes: Any) -> list[Array]:
    """Cut an axis into pieces: of the given sizes, or as many equal ones as there are results."""
    axis, given = attributes.get("axis", 0), attributes.get("split")
    lengths = given if sizes is None else sizes.ravel().tolist()
    if lengths is None:
        count = attributes["num_outputs"]
        if not 0 < count <= max(1, data.shape[axis]):
            raise ValueError(f"{count} pieces of an axis of {data.shape[axis]}")
        size = -(-data.shape[axis] // count)
        lengths = [size] * (count - 1)
        lengths.append(data.shape[axis] - sum(lengths))
    if min(lengths, default=0) < 0 or sum(lengths) != data.shape[axis]:
        raise ValueError(f"pieces of {lengths} along an axis of {data.shape[axis]}")
    return np.split(data, list(accumulate(lengths))[:-1], axis)


def _dropout(data: Array, _: Array | None = None, training: Array | None = None, **__: Any) -> list[Array]:
    if training is not None and training.any():
        raise ValueError("Dropout in training is random")
    return [data, np.broadcast_to(np.True_, data.shape)]


def _pad(
    data: Array,
    pads: Any = None,
    value: Any = None,
    *more: Array,
    mode: bytes = b"constant",
    paddings: Any = (),
) -> Array:
    """Add to both ends of the axes, or take away where a number is below zero; attributes before opset 11."""
    given = np.ravel(paddings if pads is None else pads).tolist()
    axes = more[0].ravel().tolist() if more else list(range(data.ndim))
    if len(given) != 2 * len(axes):
        raise ValueError(f"{len(given)} pads for {len(axes)} axes")
    widths = [(0, 0)] * data.ndim
    for axis, begin, end in zip(axes, given, given[len(given) // 2 :], strict=False):
        widths[axis] = begin, end
    kept = tuple(
        slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(widths, data.shape, strict=True)
    )
    around = [(max(0, a), max(0, b)) for a, b in widths]
    if mode == b"constant":
        return np.pad(data[kept], around, constant_values=0 if value is None else np.asarray(value).item())
    modes: dict[bytes, Any] = {b"edge": "edge", b"reflect": "reflect", b"wrap": "wrap"}
    return np.asarray(np.pad(data[kept], around, modes[mode]))


# Operations that onnx 1.23's reference computes wrongly, or one entry at a time.


def _erf(data: Array) -> Array:
    return np.asarray(erf(data.astype(np.promote_types(data.dtype, np.float32))).astype(data.dtype))


def _lrn(data: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Array:
    """Divide each channel by the squares of those around it."""
    squares = np.square(data.astype(np.promote_types(data.dtype, np.float32)))
    before = (size - 1) // 2
    sums = np.stack(
        [
            squares[:, max(0, channel - before) : channel + size - before].sum(axis=1)
            for channel in range(data.shape[1])
        ],
        axis=1,
    )
    return np.asarray((data / (bias + alpha / size * sums) ** beta).astype(data.dtype))


def _lp_normalization(data: Array, *, axis: int = -1, p: int = 2) -> Array:
    norm = np.linalg.norm(data.astype(np.promote_types(data.dtype, np.float32)), p, axis, keepdims=True)
    return np.asarray((data / np.where(norm == 0, 1, norm)).astype(data.dtype))


def _unique(data: Array, *, axis: int | None = None, sorted: int = 1) -> list[Array]:
    values, first, inverse, counts = np.unique(data, True, True, True, axis)
    inverse = inverse.ravel()
    if not sorted:
        order = np.argsort(first)
        values, first, counts = np.take(values, order, axis or 0), first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    return [values, first, inverse, counts]


def _wide(data: Array) -> Array:
    return data.astype(np.float32) if data.dtype.itemsize < 4 and data.dtype.kind == "f" else data


def _div(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.asarray((np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype))
    return np.asarray(a / b)


def _constant_of_shape(shape: Array, *, value: Any = None) -> Array:
    fill = np.float32(0) if value is None else onnx.numpy_helper.to_array(value).ravel()[0]
    return np.full(tuple(shape.tolist()), fill)


_OWN: dict[str, Callable[..., Array | list[Array]]] = {
    "Add": lambda a, b: np.asarray(a + b),
    "Cast": lambda data, *, to, **_: data.astype(onnx.helper.tensor_dtype_to_np_dtype(to)),
    "Compress": lambda data, kept, *, axis=None: np.compress(kept, data, axis),
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis),
    "ConstantOfShape": _constant_of_shape,
    "Div": _div,
    "Dropout": _dropout,
    "Equal": lambda a, b: np.asarray(a == b),
    "Erf": _erf,
    "Flatten": _flatten,
    "Gather": lambda data, indices, *, axis=0: np.asarray(np.take(data, indices, axis)),
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": lambda data: data,
    "LRN": _lrn,
    "LpNormalization": _lp_normalization,
    "MatMul": lambda a, b: np.asarray(np.matmul(_wide(a), _wide(b)).astype(a.dtype)),
    "Mul": lambda a, b: np.asarray(a * b),
    "Pad": _pad,
    "Range": lambda a, b, c: np.arange(a.item(), b.item(), c.item(), dtype=a.dtype),
    "Reshape": _reshape,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": lambda a, b: np.asarray(a - b),
    "Transpose": lambda data, *, perm=None: np.transpose(data, perm),
    "Unique": _unique,
    "Unsqueeze": _unsqueeze,
    "Where": lambda a, b, c: np.asarray(np.where(a, b, c)),
}


# Decoding, with the arithmetic of the runtime.


def _dequantize(inputs: Sequence[Any], attributes: dict[str, Any]) -> Array:
    codes, scale, *rest = inputs
    zero_point = rest[0] if rest else None
    axis, block_size = attributes.get("axis", 1), attributes.get("block_size", 0)
    check_scale(codes, scale, zero_point, axis, block_size)
    kind = attributes.get("output_dtype", 0)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else scale.dtype
    if dtype == ml_dtypes.float8_e8m0fnu:
        raise ValueError(f"a result of type {dtype}, which has no sign")
    if block_size:
        return blocked(codes, scale, zero_point, axis, block_size, dtype)
    return affine(codes, scale, zero_point, axis, dtype)


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
