"""Taking entries by index: vocabularies of embeddings and codes, Gather and Scatter on activations."""

from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import NONE, Ids, Misfit, Unclear, compressed, distinct, filled, spread
from onnxtop.reader.lanes.pointwise import elementwise
from onnxtop.reader.lanes.step import Lanes, Result, Step
from onnxtop.reader.lanes.weights import WeightOfNode


def Gather(step: Step, *, axis: int = 0, **_: Any) -> Result:
    """Take entries along an axis; from a weight, that is an embedding."""
    if step.uses:
        return _embedded(step, axis)
    rank = step.sizes.of(step.value(1)).shape
    if rank is None:
        raise Unclear("the shape of its indices is not known")
    if step.lanes(0) is None:
        return _by_computed_index(step)
    ids = step.ids(0)
    axis = step.along(0, axis)
    index = step.array(1)
    if ids.shape[axis] > 1 and index is not None:
        return Lanes(compressed(np.take(ids, index.astype(np.intp), axis)), _statistic(step))
    one = step.reduce(ids, [axis])
    made = one.reshape(one.shape[:axis] + (1,) * len(rank) + one.shape[axis + 1 :])
    return Lanes(_chosen_by(step, made), _statistic(step))


def _statistic(step: Step) -> Ids | None:
    lanes = step.lanes(0)
    return None if lanes is None else lanes.of


def _by_computed_index(step: Step) -> Result:
    """Take entries of a constant that holds no weights: the result depends on the index alone."""
    return step.all_in_one(step.ids(1), len(step.result_shape()))


def _vocabulary(step: Step, count: int, position: int, table: str) -> Ids:
    """Make one vertex for each entry that can be chosen: inputs, or hidden where the index is computed."""
    chosen, value = step.lanes(position), step.value(position)
    if chosen is None and value is not None:
        return step.builder.vocabulary(count, value, table, step.name)
    made = step.new(count, "vocabulary", step.name)
    if chosen is not None:
        step.builder.connect(step.builder.gather([chosen.ids], "join", step.name), made)
    return made


def table(step: Step, use: WeightOfNode, position: int) -> Ids:
    """Make the vocabulary of a table and the neurons that it maps to, shape (n_out,)."""
    entries, width = use.matrices[0]
    name = step.table.weights[use.layer].name
    rows = _vocabulary(step, entries, position, name)
    made = step.new(width, name=name)
    step.builder.block(use.layer, 0, rows, made)
    return made


def _embedded(step: Step, axis: int) -> Result:
    use = step.uses[0]
    axis %= len(use.shape)
    rest = (*use.shape[:axis], *use.shape[axis + 1 :])
    between = len(step.result_shape()) - len(rest)
    made = table(step, use, 1).reshape(rest)
    return compressed(made.reshape(*rest[:axis], *[1] * between, *rest[axis:]))


def OneHot(step: Step, *, axis: int = -1, **_: Any) -> Result:
    """Each code is a vertex of its own."""
    depth = step.numbers(1)
    rank = len(step.result_shape())
    if not depth:
        raise Unclear("the number of codes is not known")
    made = _vocabulary(step, depth[0], 0, "codes")
    return made.reshape([depth[0] if place == axis % rank else 1 for place in range(rank)])


def Equal(step: Step, **_: Any) -> Result:
    """Compare; indices compared with all the codes there are is a one-hot encoding written out."""
    if step.with_lanes():
        return elementwise(step)
    position = 0 if step.array(0) is None else 1
    codes = step.array(1 - position)
    shape = step.result_shape()
    wide = () if codes is None else [axis for axis in range(-codes.ndim, 0) if codes.shape[axis] > 1]
    if codes is None or len(wide) != 1 or not np.array_equal(np.ravel(codes), np.arange(codes.size)):
        return None
    if np.broadcast_shapes(codes.shape, step.shape(position)) == step.shape(position):
        return None  # positions are compared with positions
    made = _vocabulary(step, codes.size, position, "codes")
    return made.reshape([codes.size if axis == wide[0] else 1 for axis in range(-len(shape), 0)])


def GatherElements(step: Step, *, axis: int = 0, **_: Any) -> Result:
    """Take an entry of the axis for every place of the result."""
    if step.lanes(0) is None:
        return _by_computed_index(step)
    ids = step.ids(0)
    axis = step.along(0, axis)
    chosen = step.lanes(1)
    if ids.shape[axis] > 1 and step.array(1) is not None and chosen is None:
        return step.run(spread(ids, step.shape(0), step.most), step.array(1))
    one = step.reduce(ids, [axis])
    return one if chosen is None else step.join([one, chosen.ids])


def GatherND(step: Step, *, batch_dims: int = 0, **_: Any) -> Result:
    """Take the entries that rows of indices name."""
    if step.lanes(0) is None:
        return _by_computed_index(step)
    ids = step.ids(0)
    rank = len(step.result_shape())
    depth = step.shape(1)[-1]
    index = step.array(1)
    if ids.size == 1:
        return _chosen_by(step, ids.reshape((1,) * rank))
    if batch_dims:
        raise Unclear("it takes entries batch by batch")
    if index is not None:
        return step.run(spread(ids, step.shape(0), step.most, range(depth)), index)
    one = step.reduce(ids, range(depth))
    one = one.reshape((1,) * (rank - ids.ndim + depth) + one.shape[depth:])
    return _chosen_by(step, one)


def ScatterND(step: Step, *, reduction: bytes = b"none", **_: Any) -> Result:
    """Put entries where rows of indices say; in unknown places, they join what is there."""
    index = step.array(1)
    if index is None or reduction != b"none":
        return _scattered(step, step.shape(1)[-1])
    return _put(step)


def _put(step: Step) -> Ids:
    """Run the operation on the lanes of data and updates, all written out."""
    data, updates = (spread(_or_none(step, place), step.shape(place), step.most) for place in (0, 2))
    return step.run(data, step.array(1), updates)


def _or_none(step: Step, position: int) -> Ids:
    lanes = step.lanes(position)
    return filled(NONE, len(step.shape(position))) if lanes is None else lanes.ids


def _scattered(step: Step, depth: int) -> Result:
    """Join data and updates that may land anywhere along the first axes."""
    data = step.reduce(_or_none(step, 0), range(depth))
    updates = _or_none(step, 2)
    rows = len(step.shape(1)) - 1
    updates = step.reduce(updates, range(rows))
    return _chosen_by(step, step.join([data, updates.reshape((1,) * depth + updates.shape[rows:])]))


def _chosen_by(step: Step, ids: Ids) -> Ids:
    """Join the lanes with all of the index that chose them, if that is computed."""
    if step.lanes(1) is None:
        return ids
    return step.join([ids, step.all_in_one(step.ids(1), ids.ndim)])


def ScatterElements(step: Step, *, axis: int = 0, reduction: bytes = b"none", **_: Any) -> Result:
    """Put entries along an axis; in unknown places, they join what is there."""
    data, updates = _or_none(step, 0), _or_none(step, 2)
    axis %= data.ndim
    index = step.array(1)
    if index is not None and reduction == b"none" and (data.shape[axis] > 1 or updates.shape[axis] > 1):
        return _put(step)
    other = [a for a in range(data.ndim) if a != axis and data.shape[a] != 1 != updates.shape[a]]
    if any(data.shape[a] != updates.shape[a] for a in other):
        raise Misfit("updates and data differ in size")
    if not distinct(updates).size:
        return _chosen_by(step, data)
    return _chosen_by(step, step.join([step.reduce(data, [axis]), step.reduce(updates, [axis])]))
