"""Normalisation with given or own statistics.

With x' = (x - mean) / deviation and y = gain x' + shift, over n elements that share their statistics:
dx = (d - mean(d) - x' mean(d x')) / deviation, where d = gain dy.
"""

import math
from collections.abc import Sequence

import numpy as np

from onnxtop.gradient.engine import Adjoints, RuleCall
from onnxtop.gradient.graph import Tensor

__all__ = [
    "LRN", "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
    "LpNormalization", "MeanVarianceNormalization", "RMSNormalization", "SimplifiedLayerNormalization",
]  # fmt: skip


def BatchNormalization(
    call: RuleCall,
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Adjoints:
    """With stored statistics: a gain and a shift for every channel. In training mode those of x."""
    dy = call.dy
    channels = (-1, *[1] * (x.rank - 2))
    axes = [0, *range(2, x.rank)]
    total = dy.sum(axes)
    if training_mode:
        centred = x - x.mean(axes, keepdims=True)
        scale = ((centred * centred).mean(axes, keepdims=True) + epsilon).sqrt().apply("Reciprocal")
        normal = centred * scale
        across = dy - dy.mean(axes, keepdims=True) - normal * (dy * normal).mean(axes, keepdims=True)
        dx = gain.reshape(channels) * scale * across
        return dx, (dy * normal).sum(axes), total, mean.zeros(), variance.zeros()
    inverse = (variance + epsilon).apply("Sqrt").apply("Reciprocal")
    dgain = inverse * ((dy * x).sum(axes) - mean * total)
    return dy * (gain * inverse).reshape(channels), dgain, total, None, None


def LayerNormalization(
    call: RuleCall,
    x: Tensor,
    gain: Tensor,
    shift: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Adjoints:
    """Statistics over the last axes of each entry; the saved ones are used."""
    axes = list(range(axis % x.rank, x.rank))
    lead = (*x.shape[: axes[0]], *[1] * len(axes))
    mean, inverse = call.output(1, lead, np.float32), call.output(2, lead, np.float32)
    normal = (x - mean.cast(x.dtype)) * inverse.cast(x.dtype)
    d = call.dy * gain
    dx = inverse.cast(x.dtype) * (
        d - d.mean(axes, keepdims=True) - normal * (d * normal).mean(axes, keepdims=True)
    )
    return dx, (call.dy * normal).sum_to(gain.shape), None if shift is None else call.dy.sum_to(shift.shape)


def RMSNormalization(
    call: RuleCall, x: Tensor, gain: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Adjoints:
    """As layer normalisation, around 0 instead of the mean."""
    axes = list(range(axis % x.rank, x.rank))
    inverse = ((x * x).mean(axes, keepdims=True) + epsilon).sqrt().apply("Reciprocal")
    normal = x * inverse
    d = call.dy * gain
    dx = inverse * (d - normal * (d * normal).mean(axes, keepdims=True))
    return dx, (call.dy * normal).sum_to(gain.shape)


def SimplifiedLayerNormalization(
    call: RuleCall, x: Tensor, gain: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Adjoints:
    """Apply RMSNormalization, which onnxruntime calls so."""
    return RMSNormalization(call, x, gain, axis=axis, epsilon=epsilon)


def MeanVarianceNormalization(call: RuleCall, x: Tensor, *, axes: Sequence[int] = (0, 2, 3)) -> Adjoints:
    """Without gain and shift, over some axes; 1e-9 is added to the deviation."""
    along = list(axes)
    centred = x - x.mean(along, keepdims=True)
    deviation = (centred * centred).mean(along, keepdims=True).sqrt()
    inverse = (deviation + 1e-9).apply("Reciprocal")
    d = call.dy - call.dy.mean(along, keepdims=True)
    slope = (call.dy * centred).mean(along, keepdims=True) * inverse * inverse / deviation
    return (d * inverse - centred * slope,)


def InstanceNormalization(
    call: RuleCall, x: Tensor, gain: Tensor, shift: Tensor, *, epsilon: float = 1e-5
) -> Adjoints:
    """Statistics over the positions of each channel of each entry."""
    channels = gain.reshape((-1, *[1] * (x.rank - 2)))
    dx, dgain = _whitened(x, call.dy, channels, list(range(2, x.rank)), epsilon)
    return dx, dgain.reshape(gain.shape), call.dy.sum([0, *range(2, x.rank)])


def GroupNormalization(
    call: RuleCall,
    x: Tensor,
    gain: Tensor,
    shift: Tensor,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
) -> Adjoints:
    """Statistics over groups of channels of each entry; a gain for every channel."""
    n, channels = x.shape[:2]
    shape = (n, num_groups, channels // num_groups, math.prod(x.shape[2:]))
    each = gain.reshape((1, num_groups, channels // num_groups, 1))
    dx, dgain = _whitened(x.reshape(shape), call.dy.reshape(shape), each, [2, 3], epsilon)
    return dx.reshape(x.shape), dgain.reshape(gain.shape), call.dy.sum([0, *range(2, x.rank)])


def _whitened(x: Tensor, dy: Tensor, gain: Tensor, axes: list[int], epsilon: float) -> tuple[Tensor, Tensor]:
    """Return the adjoints of input and gain of a normalisation over some axes."""
    centred = x - x.mean(axes, keepdims=True)
    inverse = ((centred * centred).mean(axes, keepdims=True) + epsilon).sqrt().apply("Reciprocal")
    normal = centred * inverse
    d = dy * gain
    dx = inverse * (d - d.mean(axes, keepdims=True) - normal * (d * normal).mean(axes, keepdims=True))
    return dx, (dy * normal).sum_to(gain.shape)


def LRN(
    call: RuleCall, x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Adjoints:
    """Of x b^-beta, b = bias + alpha / size times the sum of squares over near channels."""
    channels = x.shape[1]
    gap = np.arange(channels)[None] - np.arange(channels)[:, None]
    near = ((gap >= -((size - 1) // 2)) & (gap <= size // 2)).astype(x.dtype)  # row i: the window of i
    flat = (x.shape[0], channels, -1)
    square = (x * x).reshape(flat)
    band = call.graph.constant(near)
    base = (band @ square * (alpha / size) + bias).reshape(x.shape)
    power = base.with_("Pow", -beta)
    inner = (call.dy * x * power / base).reshape(flat)
    spread = (call.graph.constant(np.ascontiguousarray(near.T)) @ inner).reshape(x.shape)
    return (call.dy * power - x * spread * (2 * alpha * beta / size),)


def LpNormalization(call: RuleCall, x: Tensor, *, axis: int = -1, p: int = 2) -> Adjoints:
    """Of x / |x|: (dy - y sum(y dy)) / |x| for p = 2; with signs instead of y for p = 1."""
    along: Sequence[int] = [axis]
    if p == 1:
        length = x.apply("Abs").sum(along, keepdims=True)
        return ((call.dy - x.apply("Sign") * (call.dy * call.y).sum(along, keepdims=True)) / length,)
    length = (x * x).sum(along, keepdims=True).sqrt()
    return ((call.dy - call.y * (call.dy * call.y).sum(along, keepdims=True)) / length,)
