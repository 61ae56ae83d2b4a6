"""Operations entry by entry, of one activation or several, and reductions: joins of neurons."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from onnxtop.reader.earlier import second_shape
from onnxtop.reader.lanes.arrays import NONE, Ids, Unclear, aligned, check_room, compressed, distinct
from onnxtop.reader.lanes.step import Lanes, Result, Step, of_all
from onnxtop.windows import Window, windows


def elementwise(
    step: Step, *, sum_: bool = False, positions: Sequence[int] | None = None, **_: Any
) -> Result:
    """Lanes stay; where those of several operands differ, a new vertex joins them."""
    lanes_of = {place: _placed(step, place) for place in step.with_lanes()}
    operands = [lanes for place, lanes in lanes_of.items() if positions is None or place in positions]
    if not operands:
        return None
    joined = _without_statistics(step, operands)
    rank = max(step.result_rank(0), *(lanes.ids.ndim for lanes in operands))
    ids = [aligned(lanes.ids, rank) for lanes in joined]
    made = step.builder.join(ids, step.name, sum_=sum_) if len(ids) > 1 else ids[0]
    if any(lanes.of is None for lanes in joined):
        return Lanes(made)
    return Lanes(made, of_all(joined), _is_negative(step, joined))


def _placed(step: Step, place: int) -> Lanes:
    """Return an operand's lanes as they broadcast from the right: a second one was once laid elsewhere."""
    lanes = step.required(place)
    if place != 1 or not step.node.proto.attribute:
        return lanes
    shape = second_shape(step.node, len(step.shape(0)), lanes.ids.shape)
    return Lanes(lanes.ids.reshape(shape), lanes.of, lanes.negative)


def _is_negative(step: Step, operands: Sequence[Lanes]) -> bool:
    """Tell whether a statistic is subtracted where it is added next."""
    turned = step.node.op_type == "Neg" or (step.node.op_type == "Sub" and step.lanes(0) is None)
    return any(lanes.negative for lanes in operands) != turned


def _without_statistics(step: Step, operands: Sequence[Lanes]) -> Sequence[Lanes]:
    """Leave out the statistics of the neurons that they are subtracted from, or divide.

    ``x - mean(x)`` mixes all of x into each entry, as LayerNorm and Softmax do: that mixing is left out.
    """
    if step.node.op_type not in ("Sub", "Div", "Mul", "Add") or len(operands) != 2:
        return operands
    plain = [lanes for lanes in operands if lanes.of is None]
    if len(plain) != 1:
        return operands
    statistic = next(lanes for lanes in operands if lanes.of is not None)
    assert statistic.of is not None
    if step.node.op_type == "Add" and not statistic.negative:
        return operands
    if not np.isin(statistic.of, plain[0].ids).all():
        return operands
    step.note("normalisations written out, read as elementwise", plain[0].ids, statistic.of)
    return plain


def Where(step: Step, **_: Any) -> Result:
    """Choose where the condition is known, join the sides where it is not.

    A neuron that positions share is there if any of them chooses it.
    """
    condition = step.array(0)
    if condition is None or step.lanes(0) is not None:
        return elementwise(step)
    rank = max(condition.ndim, step.result_rank(0), *(step.ids(place).ndim for place in step.with_lanes()))
    condition = condition.astype(bool).reshape((1,) * (rank - condition.ndim) + condition.shape)
    chosen = {1: condition, 2: ~condition}
    sides = {place: aligned(step.ids(place), rank) for place in step.with_lanes()}
    sizes = np.broadcast_shapes(*(ids.shape for ids in sides.values()))
    shared = [axis for axis, size in enumerate(sizes) if size == 1]
    return compressed(step.join([step.masked(ids, chosen[place], shared) for place, ids in sides.items()]))


def normalised(step: Step, *, noted: bool = True, **_: Any) -> Result:
    """Read a normalisation as elementwise: what it mixes of its own operand is left out.

    BatchNormalization mixes nothing once it is trained: that needs no note.
    """
    lanes = step.lanes(0)
    if noted:
        step.note(f"{step.node.op}, read as elementwise", *([] if lanes is None else [lanes.ids]))
    if lanes is None or any(place != 0 for place in step.with_lanes()):
        raise Unclear("it is scaled by other activations")
    return Lanes(lanes.ids, lanes.of)


def dynamic_quantize(step: Step, **_: Any) -> Result:
    """Only the codes carry neurons; scale and zero point are the whole tensor's."""
    step.note("scales of DynamicQuantizeLinear, read as constants", step.ids(0))
    return [step.ids(0), None, None]


def reduced(step: Step, *, axes: Sequence[int] | None = None, keepdims: int = 1, **more: Any) -> Result:
    """Drop axes that share neurons; join along those that do not."""
    lanes = step.required(0)
    rank = lanes.ids.ndim
    if axes is None:
        axes = step.numbers(1)
    if not axes:
        axes = [] if more.get("noop_with_empty_axes") else list(range(rank))
    return _reduced(step, lanes, [step.along(0, axis) for axis in axes], bool(keepdims))


def _reduced(step: Step, lanes: Lanes, axes: Sequence[int], keep: bool) -> Lanes:
    ids = step.reduce(lanes.ids, axes)
    statistic = lanes.of
    if any(lanes.ids.shape[axis] > 1 for axis in axes):
        statistic = distinct(lanes.ids) if lanes.of is None else lanes.of
    if not keep:
        ids = ids.squeeze(tuple({*axes}))
    return Lanes(compressed(ids), statistic)


def mixed(step: Step, *, axis: int = 0, keepdims: int = 1, **_: Any) -> Result:
    """Every entry along an axis depends on all of them: ArgMax, TopK and the like."""
    places = len(step.results)
    lanes = step.required(0)
    axis = step.along(0, axis)
    one = Lanes(step.reduce(lanes.ids, [axis]))
    if not keepdims and one.ids.ndim > step.result_rank(one.ids.ndim):
        one = Lanes(one.ids.squeeze(axis))
    return [one] * places


def cumulative(
    step: Step, *, axis: int | None = None, reverse: int = 0, exclusive: int = 0, **_: Any
) -> Result:
    """Each entry along the axis takes in those before it."""
    chosen = axis if axis is not None else (step.numbers(1) or [0])[0]
    ids = step.ids(0)
    axis = step.along(0, chosen)
    if ids.shape[axis] == 1:
        return ids
    moved = np.moveaxis(ids, axis, 0)
    moved = moved[::-1] if reverse else moved
    rows = [np.full_like(moved[0], NONE) if exclusive else moved[0]]
    for before, here in pairwise(moved):
        rows.append(step.join([rows[-1], before if exclusive else here]))
    made = np.stack(rows)
    return compressed(np.moveaxis(made[::-1] if reverse else made, 0, axis))


def pooled(step: Step, *, everywhere: bool = False, **attributes: Any) -> Result:
    """Pool over positions that share neurons: nothing changes. Over neurons, each window is a join."""
    ids = step.ids(0)
    wide = [axis for axis in range(2, ids.ndim) if ids.shape[axis] > 1]
    if step.node.op_type == "MaxUnpool" and step.table.unrolled:
        return step.coarse(ids, wide, "the data tell which positions it fills")
    if everywhere:
        return Lanes(compressed(step.reduce(ids, wide)), distinct(ids) if wide else None)
    along = windows(attributes, attributes["kernel_shape"]) if wide else []
    for axis in wide:
        ids = _pooled(step, ids, axis, along[axis - 2])
    return [compressed(ids)] * len(step.results)


def _pooled(step: Step, ids: Ids, axis: int, window: Window) -> Ids:
    """Join the lanes of every window along one axis; windows in several axes are products of these."""
    result = step.result_shape()[axis]
    check_room(step.most, result, window.taps, *ids.shape[:axis], *ids.shape[axis + 1 :])
    index = window.read(step.shape(0)[axis], result)
    taken = np.moveaxis(ids, axis, 0)[index]
    taken[index == NONE] = NONE
    joined = step.reduce(taken, [1])[:, 0]
    return np.moveaxis(joined, 0, axis)


def resized(step: Step, **_: Any) -> Result:
    """Resize positions that share neurons: nothing changes."""
    ids = step.ids(0)
    shape, after = step.shape(0), step.result_shape()
    wide = [axis for axis in range(ids.ndim) if ids.shape[axis] > 1 and shape[axis] != after[axis]]
    return step.coarse(ids, wide, "it resizes an axis of neurons")


def sampled(step: Step, **_: Any) -> Result:
    """Take entries from positions that other operands tell: GridSample, RoiAlign."""
    space = range(2, step.ids(0).ndim)
    if step.table.unrolled:
        data = step.coarse(step.ids(0), space, "the data tell which positions it reads")
    else:
        data = step.reduce(step.ids(0), space)
    places = [step.ids(place) for place in step.with_lanes() if place > 0]
    rank = step.result_rank(data.ndim)
    one = [step.all_in_one(ids, rank) for ids in places]
    return step.join([aligned(data, rank), *one])


add = partial(elementwise, sum_=True)
