"""Convolutions by channel: one neuron a channel out, all taps are parallel edges."""

from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Unclear, compressed
from onnxtop.reader.lanes.products import plus
from onnxtop.reader.lanes.step import Result, Step
from onnxtop.reader.lanes.uniting import covers_input
from onnxtop.reader.lanes.weights import Use

__all__ = ["convolution", "deformed"]

_COPIES = 16


def convolution(step: Step, *, extra: int = -1, **_: Any) -> Result:
    """Make a neuron for each channel out; positions share it.

    A kernel that covers its whole input at once is fully connected over space.
    """
    made = _convolved(step)
    return plus(step, made, extra) if extra >= 0 else made


def _convolved(step: Step) -> Ids:
    if not step.uses:
        raise Unclear(step.skipped or "its kernel is no constant")
    use = step.uses[0]
    last = step.node.domain.startswith("qonnx")
    ids = np.moveaxis(step.ids(0), -1, 1) if last else step.ids(0)
    if ids.ndim != len(use.taps) - 1:
        raise Unclear(f"a kernel over {len(use.taps) - 3} axes meets a tensor of {ids.ndim} axes")
    whole = ids[0].size > ids.shape[1] and covers_input(step.node, use, step.shape(0)[2:])
    space = range(2, ids.ndim)
    if not whole:
        ids = step.reduce(ids, space)
    if ids.shape[0] > _COPIES:
        ids = step.coarse(ids, [0], f"{ids.shape[0]} images with neurons of their own share its kernel")
    made = np.stack([_channels(step, image, use) for image in ids])
    made = compressed(made.reshape(*made.shape, *[1] * len(space)))
    return np.moveaxis(made, 1, -1) if last else made


def _channels(step: Step, ids: Ids, use: Use) -> Ids:
    """Make the blocks of one image, lanes (channels, *space), and return its channels out."""
    groups, outs, ins, *taps = use.taps
    if ids.shape[0] not in (1, groups * ins):
        raise Unclear(f"{ids.shape[0]} channels meet a kernel for {groups * ins}")
    made = step.new(groups * outs).reshape(groups, outs)
    channels = np.broadcast_to(ids, (groups * ins, *ids.shape[1:])).reshape(groups, ins, *ids.shape[1:])
    rows = np.broadcast_to(channels.reshape(groups, ins, *_room(ids, taps)), (groups, ins, *taps))
    for group in range(groups):
        step.builder.block(use.layer, group, rows[group].ravel(), made[group])
    return made.ravel()


def _room(ids: Ids, taps: list[int]) -> list[int]:
    space = list(ids.shape[1:])
    return space if len(space) == len(taps) else [1] * len(taps)


def deformed(step: Step, **_: Any) -> Result:
    """DeformConv: offsets and mask reach every channel."""
    made = _convolved(step)
    more = [step.ids(place) for place in (2, 4) if step.lanes(place) is not None]
    moved = [step.reduce(ids, range(ids.ndim)).reshape((1,) * made.ndim) for ids in more]
    return step.join([made, *moved])
