"""How the weights of a layer are distributed, for a picture."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, strips
from onnxtop.statistics.facts import Histogram

BINS = 40

_CHUNK = 1 << 17
"""Cells worked on at a time, so that they stay in the cache."""


def histogram(blocks: Blocks) -> Histogram | None:
    """Return the histogram of the weights of a layer, every weight in one bin.

    None for a layer without weights, or with a weight that is not finite. Two passes over the weights.

    Examples
    --------
    >>> found = histogram([np.array([[-1.0, 0.0], [0.5, 1.0]])])
    >>> found.low, found.high, [bin for bin, count in enumerate(found.counts) if count]
    (-1.0, 1.0, [0, 20, 30, 39])
    >>> histogram([np.ones((2, 3))])
    Histogram(low=1.0, high=1.0, counts=(6,))
    """
    ends = [(float(block.min()), float(block.max())) for block in blocks if block.size]
    low, high = min((end[0] for end in ends), default=np.nan), max((end[1] for end in ends), default=np.nan)
    if not np.isfinite(ends).all() or not ends:
        return None
    if low == high:
        return Histogram(low, high, (sum(block.size for block in blocks),))
    unit = max(abs(low), abs(high))  # a range may be too wide, or too narrow, for a float
    counts = np.zeros(BINS, np.intp)
    for part in _parts(blocks):
        places = (part / unit - low / unit) * (BINS / (high / unit - low / unit))
        counts += np.bincount(np.minimum(places.astype(np.intp), BINS - 1), minlength=BINS)
    return Histogram(low, high, tuple(counts.tolist()))


def _parts(blocks: Blocks) -> Iterator[NDArray[np.float64]]:
    """Yield all weights, in any order, as float64."""
    small: list[Matrix] = []
    for block in blocks:
        if block.size > _CHUNK:
            lines = block.T if abs(block.strides[0]) < abs(block.strides[1]) else block
            yield from (lines[part].ravel().astype(np.float64) for part in strips(lines.shape, _CHUNK))
        else:
            small.append(block)
    if small:
        yield np.concatenate([block.ravel() for block in small]).astype(np.float64)
