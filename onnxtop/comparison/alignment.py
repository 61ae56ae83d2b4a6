"""The same weights in another order: rows, columns or groups permuted, a matrix transposed.

Rows are found again by a few random projections of each, columns likewise; where both are permuted, by
projections of the sorted row, which no permutation of columns changes. A rearrangement counts only if it
explains the weights: what is left must be less than half of them.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from onnxtop.network import Blocks, strips

EXPLAINED = 0.5
"""Relative change below which two layers hold the same weights, changed a little."""

_LARGEST = 1 << 24
"""Weights above which a layer is compared as it stands."""
_PROJECTIONS = 8
_SHORT = 1 << 10
"""Sizes of rows up to which directions are held: drawing them takes longer than their use."""
CHUNK = 1 << 20
"""Weights worked on at a time."""
_SQUARED = 256
"""Weights between two to this power and its inverse have squares that doubles hold, and sums of them."""

Floats = NDArray[np.float64]
Order = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Aligned:
    """The old blocks in the order of the new ones, and how they were rearranged (empty: not at all)."""

    blocks: Blocks
    order: str
    residual: float


def align(old: Blocks, new: Blocks) -> Aligned:
    """Rearrange old blocks so that they fit the new ones best; as they stand if nothing fits.

    The residual is infinite if the blocks cannot be compared at all.
    """
    same = [block.shape for block in old] == [block.shape for block in new]
    plain = Aligned(old, "", residual(old, new) if same else np.inf)
    if plain.residual < EXPLAINED or sum(block.size for block in new) > _LARGEST:
        return plain
    tries = _of_one(old[0], new[0]) if len(old) == len(new) == 1 else _of_many(old, new)
    found = (Aligned(blocks, order, residual(blocks, new)) for order, blocks in tries)
    return next((each for each in found if each.residual < EXPLAINED), plain)


def exponent(blocks: Blocks) -> int:
    """Return the power of two just above all weights; 0 where their squares are numbers as they stand.

    A change is a ratio, so weights may be divided by it first. Only doubles have squares that no double
    holds; what is not finite is nobody's measure.
    """
    wide = [block for block in blocks if block.dtype == np.float64]
    if not wide:
        return 0
    strip = ((block, rows) for block in wide for rows in strips(block.shape, CHUNK))
    largest = max((float(np.abs(block[rows]).max(initial=0.0)) for block, rows in strip), default=0.0)
    power = math.frexp(largest)[1] if math.isfinite(largest) else 0
    return power if abs(power) > _SQUARED else 0


def scaled(block: NDArray[Any], power: int) -> Floats:
    """Return weights as doubles, divided by a power of two: exact, but for what is nothing beside others."""
    values = block.astype(np.float64)
    return np.ldexp(values, -power) if power else values


def residual(old: Blocks, new: Blocks) -> float:
    """Return the relative change between blocks of equal shapes; infinite if it is not defined."""
    size = moved = 0.0
    power = exponent((*old, *new))
    for ours, theirs in zip(old, new, strict=True):
        for rows in strips(theirs.shape, CHUNK):
            before, after = scaled(ours[rows], power), scaled(theirs[rows], power)
            size += float((before**2).sum())
            moved += float(((after - before) ** 2).sum())
    if not np.isfinite(size) or not np.isfinite(moved):
        return float("inf")
    return float(np.sqrt(moved / size)) if size else (0.0 if moved == 0 else float("inf"))


def _of_one(old: NDArray[Any], new: NDArray[Any]) -> Iterator[tuple[str, Blocks]]:
    """Try a matrix in every order that would fit."""
    for turned, matrix in (("", old), ("transposed", old.T)):
        if matrix.shape != new.shape or not (np.isfinite(matrix).all() and np.isfinite(new).all()):
            continue
        if turned:
            yield turned, [matrix]
        prefix = f"{turned}, " if turned else ""
        yield f"{prefix}rows permuted", [matrix[_matching(matrix, new)]]
        yield f"{prefix}columns permuted", [matrix[:, _matching(matrix.T, new.T)]]
        rows = _matching(np.sort(matrix, axis=1), np.sort(new, axis=1))
        ordered = matrix[rows]
        both = ordered[:, _matching(ordered.T, new.T)]
        yield f"{prefix}rows and columns permuted", [both]


def _of_many(old: Blocks, new: Blocks) -> Iterator[tuple[str, Blocks]]:
    """Try the groups of a layer in another order."""
    if len(old) != len(new) or len({block.shape for block in (*old, *new)}) != 1:
        return
    flat_old, flat_new = (np.stack([np.ravel(block) for block in blocks]) for blocks in (old, new))
    if np.isfinite(flat_old).all() and np.isfinite(flat_new).all():
        yield "groups permuted", [old[group] for group in _matching(flat_old, flat_new).tolist()]


def _matching(old: NDArray[Any], new: NDArray[Any]) -> Order:
    """Return, for each row of new, the row of old that is most like it, each once.

    Rows that are alike (zeros, duplicates) stand for each other: what is left is paired in the order of its
    projections.
    """
    directions, power = _directions(old.shape[1]), exponent((old, new))
    ours, theirs = scaled(old, power) @ directions, scaled(new, power) @ directions
    taken, first = np.unique(cKDTree(ours).query(theirs)[1], return_index=True)
    order = np.full(len(new), -1, np.intp)
    order[first] = taken
    free = _others(taken, len(old))
    open_ = np.flatnonzero(order < 0)
    order[open_[np.argsort(theirs[open_, 0])]] = free[np.argsort(ours[free, 0])]
    return order


def _others(taken: Order, count: int) -> Order:
    """Return the places up to a count that are not taken, ascending."""
    free = np.ones(count, bool)
    free[taken] = False
    return np.flatnonzero(free)


def _directions(size: int) -> Floats:
    """Return directions to project rows of a size on, always the same."""
    return _held(size) if size <= _SHORT else _drawn(size)


def _drawn(size: int) -> Floats:
    return np.random.default_rng(0).standard_normal((size, _PROJECTIONS))


_held = functools.lru_cache(maxsize=64)(_drawn)
