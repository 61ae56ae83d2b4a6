"""Operations of the ONNX standard in NumPy: where onnx's reference copies, is slow, or gives another answer.

A function takes the operands, and the attributes as keywords. The rest of the standard is left to the
reference (see `evaluate`).
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Array = NDArray[Any]

MOVEMENT = frozenset({"Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operations that keep every element of their first input and only move it."""

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
        lengths = equal_pieces(data.shape[axis], count)
    if min(lengths, default=0) < 0 or sum(lengths) != data.shape[axis]:
        raise ValueError(f"pieces of {lengths} along an axis of {data.shape[axis]}")
    return np.split(data, list(accumulate(lengths))[:-1], axis)


def equal_pieces(size: int, count: int) -> list[int]:
    """Return how long the pieces of an axis are that are to be alike; the last is shorter, or below zero."""
    each = -(-size // count)
    return [each] * (count - 1) + [size - each * (count - 1)]


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
    fill = 0 if value is None else np.asarray(value).item()
    return padded(data, pad_widths(given, axes, data.ndim), mode, fill)


def pad_widths(pads: Sequence[int], axes: Sequence[int], rank: int) -> list[tuple[int, int]]:
    """Return what is added before and behind every axis, of what is said of some of them."""
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{len(pads)} pads for {len(axes)} axes")
    widths = [(0, 0)] * rank
    for axis, *both in zip(axes, pads, pads[len(axes) :], strict=False):
        widths[axis] = both[0], both[1]
    return widths


def padded(data: Array, widths: Sequence[tuple[int, int]], mode: bytes, fill: Any) -> Array:
    """Add to both ends of every axis, or take away where a number is below zero."""
    kept = tuple(
        slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(widths, data.shape, strict=True)
    )
    around = [(max(0, a), max(0, b)) for a, b in widths]
    if mode == b"constant":
        return np.pad(data[kept], around, constant_values=fill)
    modes: dict[bytes, Any] = {b"edge": "edge", b"reflect": "reflect", b"wrap": "wrap"}
    return np.asarray(np.pad(data[kept], around, modes[mode]))


# Operations that onnx 1.23's reference computes wrongly, or one entry at a time.


def _erf(data: Array) -> Array:
    from scipy.special import erf  # loads much, for few models

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


OWN: dict[str, Callable[..., Array | list[Array]]] = {
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
