"""What the float type does to the weights: too small, too large, or wider than they need."""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import CHUNK, Blocks, Matrix, lines_of, strips

SMALLEST_NORMAL, LARGEST = 2.0**-14, 65504.0
"""Of float16."""

_SAMPLE = 4096
_FEW = 256
"""Fewer different values than this fit many types by chance: codes, signs."""
_LINE = 3
"""Weights that a line has at least if the neighbours of one can tell it from others."""


@functools.lru_cache(256)
def spread_evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return so many places from the first to the last, or all where there are fewer; not to be changed.

    >>> spread_evenly(9, 3).tolist(), spread_evenly(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    places = np.linspace(0, count - 1, min(count, most)).astype(np.intp)
    places.setflags(write=False)
    return places


def unit_of(size: float) -> float:
    """Return the power of two at or below a size, by which dividing loses no digit; 1 of none.

    >>> unit_of(5.0), unit_of(0.0)
    (4.0, 1.0)
    """
    return math.ldexp(1.0, math.frexp(size)[1] - 1) if 0 < size < math.inf else 1.0


def sample(blocks: Blocks) -> NDArray[np.generic]:
    """Return entries of the largest block, spread evenly."""
    block = max(blocks, key=lambda each: each.size)
    rows, columns = np.divmod(spread_evenly(block.size, _SAMPLE), block.shape[1])
    return np.ascontiguousarray(block[rows, columns])


def six_digits(value: float) -> float:
    """Cut a figure off: sums of float32 have no more digits, and machines add in different orders."""
    return float(f"{value:.6g}")


def is_varied(entries: NDArray[np.generic]) -> bool:
    """Tell whether a sample has so many different values that no few codes can be behind it."""
    return np.unique(entries).size >= min(_FEW, 0.9 * entries.size)


def count_apart(blocks: Blocks, size: float) -> int:
    """Count the weights of a magnitude that are not there because whole lines, channels or kernels repeat.

    Copies of a line have the same neighbours. So the weights are told apart by those that stand before and
    behind them, along the rows or along the columns, whichever tells fewer apart; magnitudes only, so that
    mirrored and negated copies are copies. Of very many weights, a sample is looked at.

    >>> import numpy as np
    >>> kernel = np.random.default_rng(0).uniform(-1, 1, size=(25, 1))
    >>> count_apart([kernel] * 32, np.abs(kernel).max())
    1
    """
    found = [_places(block, size) for block in blocks]
    total = sum(len(places) for places in found)
    step = -(-total // _SAMPLE) or 1
    apart = [total]
    for axis in (0, 1):
        pairs = [
            _neighbours(block, places[::step], axis)
            for block, places in zip(blocks, found, strict=True)
            if len(places)
        ]
        if pairs and all(block.shape[axis] >= _LINE for block in blocks):
            apart.append(step * len(np.unique(np.concatenate(pairs), axis=0)))
    return min(apart)


def _places(block: Matrix, size: float) -> NDArray[np.intp]:
    """Return row and column of each weight of a magnitude, in order."""
    lines = lines_of(block)
    parts = [np.empty((0, 2), np.intp)]
    for rows in strips(lines.shape, CHUNK):
        parts.append(np.argwhere(np.abs(lines[rows]) == size))
        parts[-1][:, 0] += rows.start
    places = np.concatenate(parts)
    return places if lines is block else places[np.argsort(places[:, 1], kind="stable"), ::-1]


def _neighbours(block: Matrix, places: NDArray[np.intp], axis: int) -> NDArray[np.generic]:
    """Return the magnitudes of the two weights beside each place along an axis, in order; lines are rings."""
    length = block.shape[axis]
    beside = []
    for move in (-1, 1):
        moved = places.copy()
        moved[:, axis] = (moved[:, axis] + move) % length
        beside.append(np.abs(block[moved[:, 0], moved[:, 1]]))
    return np.sort(np.stack(beside, axis=1), axis=1)


def narrower_type(entries: NDArray[np.generic]) -> str | None:
    """Return the narrower float type that holds a sample of float32 weights exactly, None if there is none.

    >>> import numpy as np
    >>> weights = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    >>> narrower_type(weights), narrower_type(weights.astype(np.float16).astype(np.float32))
    (None, 'float16')
    """
    return narrower_types(entries[np.newaxis])[0]


def narrower_types(samples: NDArray[np.generic]) -> list[str | None]:
    """Return that of each of some samples, shape (k, n)."""
    found: list[str | None] = [None] * len(samples)
    if samples.dtype != np.float32:
        return found
    for name, hold in (("float16", _hold_float16), ("bfloat16", _hold_bfloat16)):
        for k in np.flatnonzero(hold(samples[:, :_FEW])).tolist():
            if hold(samples[[k]])[0] and is_varied(samples[k]):
                found[k] = name
    return found


def _hold_bfloat16(samples: NDArray[np.generic]) -> NDArray[np.bool_]:
    rest = samples.view(np.uint32) & np.uint32(0xFFFF)
    exact: NDArray[np.bool_] = np.bitwise_or.reduce(rest, axis=1) == 0
    return exact


def _hold_float16(samples: NDArray[np.generic]) -> NDArray[np.bool_]:
    with np.errstate(over="ignore"):
        same = samples.astype(np.float16).astype(np.float32) == samples
    exact: NDArray[np.bool_] = np.logical_and.reduce(same, axis=1)
    return exact
