"""Rows or columns that repeat earlier ones: candidates by a few random projections, then entry by entry.

The projections of n units are dropped into a grid, so the cost is that of a sort and not of n * n
comparisons. Two grids, half a cell apart, hardly ever both part a pair. Each unit is compared with the first
of its cell only, a few times over; nothing grows with the number of pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Matrix, strips

NEAR = 1e-3
"""Two units are nearly equal if they differ by less than this share of their length."""

_CELL, _DIGITS, _ROUNDS = 0.05, 5, 3
_SPREAD = 64  # more than the number of cells along a direction
_BATCH = 2**20

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Repeats:
    """Indices of the units that equal an earlier one, and of those that nearly do; both ascending."""

    equal: Indices
    near: Indices


def find_repeats(matrix: Matrix, projections: NDArray[np.floating], alive: NDArray[np.bool_]) -> Repeats:
    """Find the rows of a matrix that repeat an earlier row.

    Parameters
    ----------
    matrix
        Shape (n, length), finite.
    projections
        Shape (n, k), the rows on k random directions.
    alive
        Shape (n,): the rows that take part.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.001]])
    >>> found = find_repeats(rows, rows @ np.random.default_rng(0).normal(size=(2, 8)), np.ones(4, bool))
    >>> found.equal.tolist(), found.near.tolist()
    ([2], [3])
    """
    units = np.flatnonzero(alive)
    earlier = _candidates(projections[units].astype(np.float64))
    later = np.flatnonzero(earlier >= 0)
    equal, near = _compare(matrix, units[earlier[later]], units[later])
    return Repeats(units[later[equal]], units[later[near & ~equal]])


def _candidates(projections: NDArray[np.float64]) -> Indices:
    """Return for every unit an earlier one that looks equal, -1 if there is none."""
    lengths = np.maximum(np.linalg.norm(projections, axis=1), np.finfo(np.float64).tiny)
    shape = projections / lengths[:, np.newaxis]
    digits = np.column_stack([shape[:, :_DIGITS], np.log(lengths)])
    earlier = np.full(len(shape), -1, np.intp)
    for shift in (0.0, 0.5):
        cells = np.floor(digits / _CELL + shift).astype(np.int64) + _SPREAD // 2
        keys = cells @ (_SPREAD ** np.arange(_DIGITS + 1, dtype=np.int64))
        left = np.flatnonzero(earlier < 0)
        if np.unique(keys[left]).size == left.size:
            continue
        for _ in range(_ROUNDS):
            first = _first_of_cell(keys[left])
            origin = left[first]
            alike = np.abs(shape[left] - shape[origin]).max(axis=1, initial=0.0) <= 4 * NEAR
            alike &= np.abs(lengths[left] - lengths[origin]) <= 4 * NEAR * lengths[origin]
            found = alike & (origin < left)
            earlier[left[found]] = origin[found]
            left = left[~alike]
            if not left.size:
                break
    return earlier


def _first_of_cell(keys: NDArray[np.int64]) -> Indices:
    """Return for every key where it occurs first."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(first[which.reshape(-1)], np.intp)


def _compare(matrix: Matrix, left: Indices, right: Indices) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which pairs of rows are equal, and which are nearly equal."""
    equal, near = np.zeros(left.size, np.bool_), np.zeros(left.size, np.bool_)
    if matrix.flags.c_contiguous or matrix.shape[1] <= 1:
        for part in strips((left.size, matrix.shape[1]), _BATCH):
            a, b = matrix[left[part]], matrix[right[part]]
            equal[part] = (a == b).all(axis=1)
            near[part] = _distance(a, b).sum(axis=1) <= NEAR**2 * _distance(a).sum(axis=1)
        return equal, near
    equal[:] = True
    apart, length = np.zeros(left.size), np.zeros(left.size)
    for part in strips((matrix.shape[1] if left.size else 0, left.size), _BATCH):
        columns = matrix.T[part]
        a, b = columns[:, left], columns[:, right]
        equal &= (a == b).all(axis=0)
        apart += _distance(a, b).sum(axis=0)
        length += _distance(a).sum(axis=0)
    return equal, apart <= NEAR**2 * length


def _distance(a: Matrix, b: Matrix | float = 0.0) -> NDArray[np.float64]:
    difference = a.astype(np.float64) - b
    return difference * difference
