"""Operations that move elements, repeat them or leave some out: the adjoint goes the way back."""

import math
from collections.abc import Sequence

import numpy as np

from onnxtop.gradient.engine import Adjoints, RuleCall, constant_of
from onnxtop.gradient.graph import Array, Tensor

__all__ = [
    "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Identity", "Pad", "Reshape", "ReverseSequence",
    "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze",
]  # fmt: skip


def Identity(call: RuleCall, x: Tensor) -> Adjoints:
    """Return the adjoint itself."""
    return (call.dy,)


def Dropout(
    call: RuleCall, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None, *, seed: int = 0
) -> Adjoints:
    """Return the adjoint itself: outside training nothing is dropped."""
    return call.dy, None, None


def Reshape(call: RuleCall, x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Adjoints:
    """Give the adjoint the input's shape."""
    return call.dy.reshape(x.shape), None


def Flatten(call: RuleCall, x: Tensor, *, axis: int = 1) -> Adjoints:
    """Give the adjoint the input's shape."""
    return (call.dy.reshape(x.shape),)


def Squeeze(call: RuleCall, x: Tensor, axes: Tensor | None = None) -> Adjoints:
    """Give the adjoint the input's shape."""
    return call.dy.reshape(x.shape), None


def Unsqueeze(call: RuleCall, x: Tensor, axes: Tensor) -> Adjoints:
    """Give the adjoint the input's shape."""
    return call.dy.reshape(x.shape), None


def Transpose(call: RuleCall, x: Tensor, *, perm: Sequence[int] | None = None) -> Adjoints:
    """Put the adjoint's axes back."""
    order = list(range(x.rank))[::-1] if perm is None else list(perm)
    return (call.dy.transpose(np.argsort(order).tolist()),)


def Expand(call: RuleCall, x: Tensor, shape: Tensor) -> Adjoints:
    """Sum over all copies."""
    return call.dy.sum_to(x.shape), None


def Tile(call: RuleCall, x: Tensor, repeats: Tensor) -> Adjoints:
    """Sum over all copies."""
    counts = np.asarray(constant_of(repeats)).tolist()
    split = [number for count, size in zip(counts, x.shape, strict=True) for number in (count, size)]
    return call.dy.reshape(split).sum(range(0, 2 * x.rank, 2)), None


def Concat(call: RuleCall, *inputs: Tensor, axis: int) -> Adjoints:
    """Give each input its part."""
    ends = np.cumsum([x.shape[axis] for x in inputs]).tolist()
    return [call.dy.slice(axis, end - x.shape[axis], end) for x, end in zip(inputs, ends, strict=True)]


def Split(
    call: RuleCall, x: Tensor, split: Tensor | None = None, *, axis: int = 0, num_outputs: int = 0
) -> Adjoints:
    """Join the parts' adjoints; 0 for a part that is not used."""
    parts = [
        call.graph.tensor(name).zeros() if adjoint is None else adjoint
        for name, adjoint in zip(call.node.output, call.adjoints, strict=True)
    ]
    return call.graph.emit("Concat", *parts, shape=x.shape, axis=axis), None


def Slice(
    call: RuleCall,
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Adjoints:
    """Put the adjoint where it was cut out, 0 elsewhere."""
    begin, end = np.asarray(constant_of(starts)).tolist(), np.asarray(constant_of(ends)).tolist()
    along = list(range(len(begin))) if axes is None else np.asarray(constant_of(axes)).tolist()
    step = [1] * len(begin) if steps is None else np.asarray(constant_of(steps)).tolist()
    cuts = [slice(None)] * x.rank
    for axis, first, last, stride in zip(along, begin, end, step, strict=True):
        cuts[axis] = slice(first, None if stride < 0 and last < -x.shape[axis] else last, stride)
    if all(stride == 1 for stride in step):
        runs = [cut.indices(size) for cut, size in zip(cuts, x.shape, strict=True)]
        before = [first for first, _, _ in runs]
        sizes = zip(x.shape, before, call.dy.shape, strict=True)
        return (call.dy.pad(before, [size - first - cut for size, first, cut in sizes]),)
    return (spread(call.dy, _places(x)[tuple(cuts)], x),)


def Pad(
    call: RuleCall,
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    *,
    mode: str = "constant",
) -> Adjoints:
    """Cut out what was inside; sum over the copies of what was repeated."""
    given = np.asarray(constant_of(pads)).tolist()
    along = (
        list(range(x.rank)) if axes is None else [a % x.rank for a in np.asarray(constant_of(axes)).tolist()]
    )
    before, after = [0] * x.rank, [0] * x.rank
    for position, axis in enumerate(along):
        before[axis], after[axis] = given[position], given[position + len(along)]
    if mode == "constant":
        return call.dy.pad([-n for n in before], [-n for n in after]), None
    widths = list(zip(before, after, strict=True))
    modes = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}
    places = np.pad(_places(x), widths, mode=modes[mode])  # type: ignore[call-overload]
    return spread(call.dy, places, x), None


def ReverseSequence(
    call: RuleCall, x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> Adjoints:
    """Reverse once more."""
    dx = call.graph.emit(
        "ReverseSequence", call.dy, lengths, shape=x.shape, batch_axis=batch_axis, time_axis=time_axis
    )
    return dx, None


def DepthToSpace(call: RuleCall, x: Tensor, *, blocksize: int, mode: str = "DCR") -> Adjoints:
    """Turn blocks of positions back into channels."""
    n, depth, height, width = x.shape
    channels = depth // blocksize**2
    parts = call.dy.reshape((n, channels, height, blocksize, width, blocksize))
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return (parts.transpose(order).reshape(x.shape),)


def SpaceToDepth(call: RuleCall, x: Tensor, *, blocksize: int, mode: str = "DCR") -> Adjoints:
    """Turn channels back into blocks of positions."""
    n, channels, height, width = x.shape
    rows, columns = height // blocksize, width // blocksize
    parts = call.dy.reshape((n, blocksize, blocksize, channels, rows, columns))
    return (parts.transpose((0, 3, 4, 1, 5, 2)).reshape(x.shape),)


def Trilu(call: RuleCall, x: Tensor, k: Tensor | None = None, *, upper: int = 1) -> Adjoints:
    """Take the same triangle of the adjoint."""
    return call.graph.emit("Trilu", call.dy, k, shape=x.shape, upper=upper), None


def _places(x: Tensor) -> Array:
    """Return the numbers of a tensor's elements, in its shape."""
    return np.arange(x.size).reshape(x.shape)


def spread(dy: Tensor, places: Array, like: Tensor) -> Tensor:
    """Add the elements of an adjoint at places of a tensor, which are numbered in row-major order."""
    flat = like.graph.constant(np.zeros(math.prod(like.shape), like.dtype))
    indices = like.graph.constant(np.ascontiguousarray(places).ravel())
    whole = like.graph.emit(
        "ScatterElements", flat, indices, dy.reshape((-1,)), shape=flat.shape, axis=0, reduction="add"
    )
    return whole.reshape(like.shape)
