"""Transforms, losses and other operations that mix whole axes."""

import math
from typing import Any

from onnxtop.reader.lanes.arrays import Unclear, compressed, spread
from onnxtop.reader.lanes.products import linear
from onnxtop.reader.lanes.step import Result, Step


def DFT(step: Step, *, axis: int | None = None, **_: Any) -> Result:
    """Every frequency depends on the whole axis, real and imaginary part on both."""
    old = step.sizes.model.opset.get("ai.onnx", 20) < 20  # the axis was an attribute, with another default
    chosen = (1 if axis is None else axis) if old else (step.numbers(2) or [-2])[0]
    return compressed(step.reduce(step.ids(0), [step.along(0, chosen), -1]))


def STFT(step: Step, **_: Any) -> Result:
    """Every frame is transformed alike: frames and frequencies share their neurons."""
    ids = step.reduce(step.ids(0), range(1, step.ids(0).ndim))
    return ids.reshape(ids.shape[0], 1, 1, 1)


def Det(step: Step, **_: Any) -> Result:
    """Each determinant depends on its whole matrix."""
    return compressed(step.reduce(step.ids(0), [-2, -1])[..., 0, 0])


def Compress(step: Step, *, axis: int | None = None, **_: Any) -> Result:
    """Keep some entries of an axis; which ones, the data may tell."""
    ids = step.ids(0)
    if axis is None:
        return step.all_in_one(ids, 1)
    if ids.shape[axis] == 1:
        return ids
    kept = step.array(1)
    if kept is None:
        return step.reduce(ids, [axis])
    return step.run(spread(ids, step.shape(0), step.most, [axis]), kept)


def Col2Im(step: Step, **_: Any) -> Result:
    """Add blocks back into an image: positions share the neurons of a channel."""
    ids = step.ids(0)
    if step.table.unrolled:
        ids = step.coarse(ids, [2], "its positions share the neurons of a channel")
    ids = step.reduce(ids, [2])
    taps = math.prod(step.numbers(2) or [1])
    shape = step.result_shape()
    if ids.shape[1] > 1:
        ids = step.reduce(ids.reshape(ids.shape[0], -1, taps), [2])
    return compressed(ids.reshape(*ids.shape[:2], *[1] * (len(shape) - 2)))


def TensorScatter(step: Step, *, axis: int = -2, **_: Any) -> Result:
    """Write new entries into a cache, somewhere along an axis."""
    operands = [step.ids(place) for place in (0, 1) if step.lanes(place) is not None]
    return step.join([step.reduce(ids, [axis]) for ids in operands])


def loss(step: Step, *, reduction: bytes = b"mean", **_: Any) -> Result:
    """Sum over everything."""
    if reduction == b"none":
        raise Unclear("it gives one loss for each entry")
    operands = [step.ids(place) for place in step.with_lanes()]
    return [step.join([step.all_in_one(ids, 0) for ids in operands])]


def SVMClassifier(step: Step, **_: Any) -> Result:
    """Support vectors make one neuron each, coefficients join them; label and scores are a vote."""
    ids = step.ids(0)
    if not step.uses:
        raise Unclear("its weight is not read")
    for use in step.uses:
        ids = linear(step, ids, use)
    vote = step.coarse(ids, [-1], "classes are told by a vote among pairs")
    return [vote.reshape(vote.shape[:-1]), vote]
