"""Operations that move entries: the same on the array of lanes, axes that share neurons left at size 1."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxtop.reader.forms import equal_pieces, pad_widths, padded
from onnxtop.reader.lanes.arrays import (
    NONE,
    Ids,
    Misfit,
    Unclear,
    aligned,
    check_room,
    compressed,
    filled,
    regrouped,
    spread,
)
from onnxtop.reader.lanes.step import Lanes, Result, Step

__all__ = [
    "Concat",
    "DepthToSpace",
    "Expand",
    "Pad",
    "Reshape",
    "ReverseSequence",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
]


def _like(step: Step, ids: Ids) -> Lanes:
    """Return moved lanes, a statistic still if the operand was one."""
    lanes = step.lanes(0)
    return Lanes(ids) if lanes is None else Lanes(ids, lanes.of, lanes.negative)


def Transpose(step: Step, *, perm: Sequence[int] | None = None, **_: Any) -> Result:
    """Permute the axes."""
    return _like(step, step.ids(0).transpose(perm))


def Reshape(step: Step, **_: Any) -> Result:
    """Reshape, Flatten: see `regrouped`."""
    ids = step.ids(0)
    after = step.result_shape()
    if ids.size == 1:
        return _like(step, ids.reshape((1,) * len(after)))
    return _like(step, regrouped(ids, step.shape(0), after, step.most))


def _axes(step: Step, axes: Sequence[int] | None, rank: int) -> set[int] | None:
    chosen = axes if axes is not None else step.numbers(1)
    return None if chosen is None else {axis % rank for axis in chosen}


def Squeeze(step: Step, *, axes: Sequence[int] | None = None, **_: Any) -> Result:
    """Drop axes; one that holds neurons cannot be dropped."""
    ids = step.ids(0)
    gone = _axes(step, axes, max(ids.ndim, 1))
    if gone is None:
        gone = {axis for axis, size in enumerate(step.shape(0)) if size == 1}
    if any(ids.shape[axis] > 1 for axis in gone):
        raise Misfit("it drops an axis that is not 1 long")
    return _like(step, ids.squeeze(tuple(gone)))


def Unsqueeze(step: Step, *, axes: Sequence[int] | None = None, **_: Any) -> Result:
    """Put in axes of size 1."""
    ids = step.ids(0)
    chosen = axes if axes is not None else step.numbers(1) or []
    return _like(step, np.expand_dims(ids, tuple(chosen)))


def Expand(step: Step, **_: Any) -> Result:
    """Broadcast: new axes share the neurons."""
    return _like(step, aligned(step.ids(0), step.result_rank(step.ids(0).ndim)))


def Tile(step: Step, **_: Any) -> Result:
    """Repeat along axes of neurons; the others share them anyway."""
    ids = step.ids(0)
    repeats = step.numbers(1) or []
    times = [n if ids.shape[axis] > 1 else 1 for axis, n in enumerate(repeats)]
    check_room(step.most, *ids.shape, *times)
    return compressed(np.tile(ids, times))


def Slice(
    step: Step, *, starts: Sequence[int] | None = None, axes: Sequence[int] | None = None, **_: Any
) -> Result:
    """Take a stretch of an axis; axes that share their neurons may be cut anywhere."""
    ids = step.ids(0)
    if starts is None:
        axes = step.numbers(3)
    count = step.shape(1)[0] if starts is None else len(starts)
    chosen = range(count) if axes is None else axes
    if all(ids.shape[axis] == 1 for axis in chosen):
        return _like(step, ids)
    where = range(1, len(step.node.inputs))
    if any(step.array(place) is None and step.value(place) is not None for place in where):
        raise Unclear("it does not say where to cut")
    cut = step.run(spread(ids, step.shape(0), step.most, chosen), *(step.array(place) for place in where))
    return _like(step, cut) if cut.size else None


def Split(step: Step, *, axis: int = 0, split: Sequence[int] | None = None, **_: Any) -> Result:
    """Cut an axis into stretches."""
    ids = step.ids(0)
    axis = step.along(0, axis)
    count = len(step.results)
    if ids.shape[axis] == 1:
        return [_like(step, ids)] * count
    parts = split if split is not None else step.numbers(1)
    size = step.shape(0)[axis]
    if parts is None:
        parts = equal_pieces(size, count)
    if min(parts, default=0) < 0 or sum(parts) > size:
        raise Misfit(f"an axis of {size} is cut into stretches of {sum(parts)}")
    ends = np.cumsum(parts)
    return [
        _like(step, compressed(ids.take(range(end - part, end), axis)))
        for part, end in zip(parts, ends, strict=True)
    ]


def Concat(step: Step, *, axis: int, **_: Any) -> Result:
    """Put operands behind each other; along an axis that shares neurons that joins them.

    Where every operand is 1 long along the axis, its entries are told apart from here on.
    """
    places = [place for place in range(len(step.node.inputs)) if step.value(place) is not None]
    with_lanes = [place for place in places if step.lanes(place) is not None]
    axis = step.along(with_lanes[0], axis)
    shared = all(step.ids(place).shape[axis] == 1 for place in with_lanes)
    if shared and (len(places) == 1 or any(step.shape(place)[axis] != 1 for place in places)):
        return step.join([step.ids(place) for place in with_lanes])
    parts = []
    rank = step.ids(with_lanes[0]).ndim
    for place in places:
        lanes = step.lanes(place)
        ids = filled(NONE, rank) if lanes is None else lanes.ids
        parts.append(spread(ids, step.shape(place), step.most, [axis]))
    others = np.broadcast_shapes(*((*part.shape[:axis], 1, *part.shape[axis + 1 :]) for part in parts))
    check_room(step.most, *others, sum(part.shape[axis] for part in parts))
    whole = [np.broadcast_to(part, (*others[:axis], part.shape[axis], *others[axis + 1 :])) for part in parts]
    return compressed(np.concatenate(whole, axis))


def Pad(step: Step, *, pads: Sequence[int] | None = None, mode: bytes = b"constant", **more: Any) -> Result:
    """Pad axes of neurons by entries that are none (or that repeat neurons); others stay shared."""
    ids = step.ids(0)
    given = pads if pads is not None else more.get("paddings")
    wide = [axis for axis, size in enumerate(ids.shape) if size > 1]
    axes = list(range(ids.ndim)) if given is not None else step.numbers(3) or list(range(ids.ndim))
    if not any(axis % ids.ndim in wide for axis in axes):
        return _like(step, ids)
    if step.lanes(2) is not None:
        raise Unclear("what it pads with is computed")
    amounts = given if given is not None else step.numbers(1)
    if amounts is None:
        raise Unclear("it does not say how much to pad")
    widths = pad_widths(amounts, axes, ids.ndim)
    widths = [both if size > 1 else (0, 0) for both, size in zip(widths, ids.shape, strict=True)]
    check_room(step.most, *(max(size + sum(both), 0) for both, size in zip(widths, ids.shape, strict=True)))
    return _like(step, compressed(padded(ids, widths, mode, NONE)))


def DepthToSpace(step: Step, *, blocksize: int, mode: bytes = b"DCR", **_: Any) -> Result:
    """Spread channels over positions: the channels that meet at one become joins."""
    batch, depth, height, width = step.shape(0)
    inner = depth // blocksize**2
    if mode == b"DCR":
        split, order = (batch, blocksize, blocksize, inner, height, width), (0, 3, 4, 1, 5, 2)
    else:
        split, order = (batch, inner, blocksize, blocksize, height, width), (0, 1, 4, 2, 5, 3)
    return _rearranged(step, split, order)


def SpaceToDepth(step: Step, *, blocksize: int, **_: Any) -> Result:
    """Gather positions into channels."""
    batch, depth, height, width = step.shape(0)
    split = (batch, depth, height // blocksize, blocksize, width // blocksize, blocksize)
    return _rearranged(step, split, (0, 3, 5, 1, 2, 4))


def Trilu(step: Step, *, upper: int = 1, **_: Any) -> Result:
    """Drop the entries on one side of the diagonal, and neurons all of whose entries are there."""
    ids = step.ids(0)
    offset = (step.numbers(1) or [0])[0]
    sizes = zip(step.shape(0)[-2:], ids.shape[-2:], strict=True)
    ends = (range(size)[:: 1 if lanes > 1 else max(size - 1, 1)] for size, lanes in sizes)
    rows, columns = np.ix_(*ends)  # of an axis that shares its neurons the first and the last tell
    kept = columns - rows >= offset if upper else columns - rows <= offset
    return step.masked(ids, kept, [axis for axis in (-2, -1) if ids.shape[axis] == 1])


def ReverseSequence(step: Step, *, time_axis: int = 0, batch_axis: int = 1, **_: Any) -> Result:
    """Turn each sequence of a batch round as far as it is long."""
    ids = step.ids(0)
    if ids.shape[time_axis] == 1:
        return ids
    lengths = step.array(1)
    if lengths is None:
        return step.coarse(ids, [time_axis], "the data tell how long its sequences are")
    return step.run(spread(ids, step.shape(0), step.most, [time_axis, batch_axis]), lengths)


def _rearranged(step: Step, split: Sequence[int], order: Sequence[int]) -> Ids:
    apart = regrouped(step.ids(0), step.shape(0), split, step.most).transpose(order)
    return regrouped(apart, [split[axis] for axis in order], step.result_shape(), step.most)
