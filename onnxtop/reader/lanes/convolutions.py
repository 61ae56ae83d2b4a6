"""Convolutions by channel: one neuron a channel out, all taps are parallel edges.

Unrolled, positions are neurons of their own: each position out of a group has a block with the group's
matrix, whose rows are the neurons that the taps meet there, padding where they meet none.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import NONE, Ids, Misfit, NotUnrolledError, Unclear, compressed
from onnxtop.reader.lanes.step import Result, Step
from onnxtop.reader.lanes.weights import WeightOfNode
from onnxtop.reader.model import Node
from onnxtop.windows import windows

_COPIES = 16


def convolution(step: Step, **_: Any) -> Result:
    """Make a neuron for each channel out; positions share it unless they are unrolled.

    A kernel that covers its whole input at once is fully connected over space.
    """
    return _convolved(step, unrolled=step.table.unrolled)


def _convolved(step: Step, *, unrolled: bool) -> Ids:
    if not step.uses:
        raise Unclear("its kernel is no constant")
    use = step.uses[0]
    ids = step.ids(0)
    if ids.ndim != len(use.taps) - 1:
        raise Unclear(f"a kernel over {len(use.taps) - 3} axes meets a tensor of {ids.ndim} axes")
    space = range(2, ids.ndim)
    whole = unrolled or (ids[0].size > ids.shape[1] and _covers_input(step.node, use, step.shape(0)[2:]))
    step.builder.alike(ids, [0] if whole else [0, *space])
    if not whole:
        ids = step.reduce(ids, space)
    if ids.shape[0] > _COPIES:
        ids = step.coarse(ids, [0], f"{ids.shape[0]} images with neurons of their own share its kernel")
    if unrolled:
        met = _met(step, use)
        made = compressed(np.stack([_positions(step, image, use, met) for image in ids]))
    else:
        made = np.stack([_channels(step, image, use) for image in ids])
        made = compressed(made.reshape(*made.shape, *[1] * len(space)))
    return made


def _channels(step: Step, ids: Ids, use: WeightOfNode) -> Ids:
    """Make the blocks of one image, lanes (channels, *space), and return its channels out."""
    groups, outs, ins, *taps = use.taps
    if ids.shape[0] not in (1, groups * ins):
        raise Misfit(f"{ids.shape[0]} channels meet a kernel for {groups * ins}")
    made = step.new(groups * outs).reshape(groups, outs)
    channels = np.broadcast_to(ids, (groups * ins, *ids.shape[1:])).reshape(groups, ins, *ids.shape[1:])
    rows = np.broadcast_to(channels.reshape(groups, ins, *_room(ids, taps)), (groups, ins, *taps))
    for group in range(groups):
        step.builder.block(use.layer, group, rows[group].ravel(), made[group])
    return made.ravel()


def _room(ids: Ids, taps: list[int]) -> list[int]:
    space = list(ids.shape[1:])
    return space if len(space) == len(taps) else [1] * len(taps)


def _met(step: Step, use: WeightOfNode) -> list[Ids]:
    """Return, axis by axis, the position in that each position out meets by each tap, -1 for none."""
    try:
        before, after = step.shape(0), step.result_shape()
    except Unclear as why:
        raise NotUnrolledError(f"{step.operation}: {why}") from None
    along = windows(step.node.attributes(), use.taps[3:])
    reads = (max(result, 1) * window.taps for window, result in zip(along, after[2:], strict=True))
    if max(*before[2:], *reads) > step.most:
        raise NotUnrolledError(f"{step.operation}: over {step.most} positions along an axis")
    sizes = list(zip(along, before[2:], after[2:], strict=True))
    if step.node.op_type != "ConvTranspose":
        return [window.read(size, result) for window, size, result in sizes]
    if any(window.is_same and window.wanted is None for window in along) and any(
        window.more for window in along
    ):  # runtime and shape inference differ in the size
        raise NotUnrolledError(f"{step.operation}: it has auto_pad and output_padding")
    return [window.turned_read(size, result) for window, size, result in sizes]


def _positions(step: Step, ids: Ids, use: WeightOfNode, met: Sequence[Ids]) -> Ids:
    """Make the blocks of one image, lanes (channels, *space), and return its neurons out, shaped alike."""
    groups, outs, ins, *taps = use.taps
    space = step.shape(0)[2:]
    if ids.shape[0] not in (1, groups * ins):
        raise Misfit(f"{ids.shape[0]} channels meet a kernel for {groups * ins}")
    after = [len(index) for index in met]
    count = math.prod(after)
    step.builder.check(groups * outs * count, groups * count, groups * outs * count * ins * math.prod(taps))
    step.builder.check(groups * ins * math.prod(space))
    every = np.broadcast_to(ids, (groups * ins, *space))
    every = np.pad(every, [(0, 0), *[(0, 1)] * len(space)], constant_values=NONE)  # -1 takes the padding
    axes = len(met)
    places = [
        index.reshape([size if k in (axis, axes + axis) else 1 for k, size in enumerate((*after, *taps))])
        for axis, index in enumerate(met)
    ]
    channels = np.arange(groups * ins).reshape(-1, *[1] * 2 * axes)
    taken = every[(channels, *places)].reshape(groups, ins, count, -1)
    rows = taken.swapaxes(1, 2).reshape(groups, count, -1)
    made = step.new(groups * outs * count)
    columns = made.reshape(groups, outs, count)
    for group in range(groups):
        for place in range(count):
            step.builder.block(use.layer, group, rows[group, place], columns[group, :, place])
    return made.reshape(groups * outs, *after)


def deformed(step: Step, **_: Any) -> Result:
    """DeformConv: offsets and mask reach every channel."""
    made = _convolved(step, unrolled=False)
    more = [step.ids(place) for place in (2, 4) if step.lanes(place) is not None]
    moved = [step.all_in_one(ids, made.ndim) for ids in more]
    return step.join([made, *moved])


def _covers_input(node: Node, use: WeightOfNode, size: Sequence[int]) -> bool:
    """Tell whether a convolution's kernel sees its whole input at once, so that it is fully connected."""
    taps = use.taps[3:]
    return (
        node.op_type not in ("ConvTranspose", "DeformConv")
        and len(taps) == len(size)
        and all(window.covers(n) for window, n in zip(windows(node.attributes(), taps), size, strict=True))
    )
