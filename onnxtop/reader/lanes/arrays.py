"""Lane arrays: arrays of vertex ids with a tensor's rank, of size 1 along the axes that share their neurons.

`NONE` stands where no neuron is: padding, and entries that come from constants. It never joins anything.
"""

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.intp]

NONE = -1
_FEW = 16
"""Rows up to which NumPy's `unique` takes longer than Python."""


class Unclear(Exception):  # noqa: N818 - it is no error of anybody: the message says why a node is a hub
    """What a node does to the lanes is not known; the message is the reason, written for the report."""


class Unread(Unclear):
    """It uses weights that are not read: nobody knows which of them are zeros."""


class Misfit(Unclear):
    """Sizes contradict each other: where some were assumed, others may fit."""


class NotUnrolledError(Exception):
    """Convolutions cannot be taken position by position; the message says why, for a note."""


def check_room(most: int, *sizes: int) -> None:
    """Refuse to make lanes with these sizes before anything is allocated: a file may declare any.

    A size of 0 counts as 1: on the way to lanes that are none, the other sizes are laid out all the same.
    """
    count = math.prod(max(int(size), 1) for size in sizes)
    if count > most:
        raise Unclear(f"its lanes would need {count} entries")


def filled(value: int, rank: int) -> Ids:
    """Return one lane that is shared along every axis."""
    return np.full((1,) * rank, value, np.intp)


def compressed(ids: Ids) -> Ids:
    """Return the lanes with size 1 along every axis along which they are all equal."""
    for axis, size in enumerate(ids.shape):
        if size > 1:
            first = ids.take([0], axis)
            if (ids == first).all():
                ids = first
    return ids


def aligned(ids: Ids, rank: int) -> Ids:
    """Return the lanes with axes of size 1 before them, as broadcasting puts them."""
    if ids.ndim > rank:
        raise Misfit(f"a tensor of {ids.ndim} axes stands where {rank} were found")
    return ids.reshape((1,) * (rank - ids.ndim) + ids.shape)


def laid_out(ids: Ids, shape: tuple[int, ...]) -> Ids:
    """Return the lanes with a shape that they broadcast to, which mostly is their own."""
    return ids if ids.shape == shape else np.broadcast_to(ids, shape)


def spread(ids: Ids, shape: Sequence[int], most: int, axes: Iterable[int] | None = None) -> Ids:
    """Return the lanes with shared axes written out to their real size, all of them or the ones given."""
    chosen = range(ids.ndim) if axes is None else [axis % max(ids.ndim, 1) for axis in axes]
    target = [shape[axis] if axis in chosen else size for axis, size in enumerate(ids.shape)]
    check_room(most, *target)
    return np.broadcast_to(ids, target)


def distinct(*lanes: Ids) -> Ids:
    """Return the vertices among the lanes, sorted, each once."""
    kept: Ids = np.concatenate([ids[ids != NONE] for ids in lanes]) if lanes else np.empty(0, np.intp)
    return kept if kept.size < 2 else each_once(kept, int(kept.max()) + 1)


def each_once(ids: Ids, count: int) -> Ids:
    """Return the numbers below ``count``, sorted, each once: by marking them where they are many."""
    if len(ids) < count // 32:
        return np.unique(ids)
    there = np.zeros(count, bool)
    there[ids] = True
    return np.flatnonzero(there)


def regrouped(ids: Ids, before: Sequence[int], after: Sequence[int], most: int) -> Ids:
    """Reshape the lanes as a tensor of real shape ``before`` becomes one of shape ``after``.

    Axes are taken in the smallest runs that have the same product on both sides; a run that holds no neuron
    axis stays at size 1.
    """
    if math.prod(before) != math.prod(after) or 0 in (*before, *after):
        raise Misfit(f"a tensor of shape {tuple(before)} does not fit into {tuple(after)}")
    taken: list[int] = []
    made: list[int] = []
    for run_in, run_out in _runs(before, after):
        shared = all(ids.shape[axis] == 1 for axis in run_in)
        taken += [1 if shared else before[axis] for axis in run_in]
        made += [1 if shared else after[axis] for axis in run_out]
    check_room(most, *taken)
    return compressed(np.broadcast_to(ids, taken).reshape(made))


def _runs(before: Sequence[int], after: Sequence[int]) -> Iterable[tuple[range, range]]:
    i = j = 0
    while i < len(before) or j < len(after):
        begin = i, j
        left = right = 1
        if i < len(before):
            left, i = before[i], i + 1
        if j < len(after):
            right, j = after[j], j + 1
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        yield range(begin[0], i), range(begin[1], j)


def row_codes(rows: Ids) -> tuple[Ids, Ids]:
    """Return the index of a first row of each kind, and for each row its kind: ``np.unique`` along axis 0.

    Rows are told apart by a random sum of 64 bits, which is far quicker than comparing them; two of a million
    rows meet by chance once in ten million graphs.
    """
    if len(rows) == 1:
        return np.zeros(1, np.intp), np.zeros(1, np.intp)
    sums = (rows.astype(np.uint64) * _factors(rows.shape[1])).sum(1, dtype=np.uint64)
    if len(rows) <= _FEW:
        kinds = sums.tolist()
        places = {kind: place for place, kind in enumerate(sorted(set(kinds)))}
        return np.array([kinds.index(kind) for kind in places]), np.array([places[kind] for kind in kinds])
    _, first, codes = np.unique(sums, return_index=True, return_inverse=True)
    return first, codes


@functools.lru_cache(64)
def _factors(count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(count).integers(1, 2**63, count, np.uint64) * 2 + 1
