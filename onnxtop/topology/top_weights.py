"""The strongest weights of a layer, in one pass: all that a null model needs of it."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix

__all__ = ["strongest_weights"]

Bits: TypeAlias = NDArray[np.unsignedinteger[Any]]

CHUNK = 1 << 20
"""Weights compared at a time in the pass over all weights."""


def strongest_weights(blocks: Blocks, n: int) -> Matrix:
    """Return the n largest ``|w|`` of a layer, strongest first, in one pass and little memory.

    Fewer if the layer has fewer. NaN comes before infinity, infinity before all numbers. Ties are what they
    are: quantised layers take a second pass to count them.

    Examples
    --------
    >>> strongest_weights([np.array([[1.0, -3.0]]), np.array([[2.0], [0.5]])], 3)
    array([3., 2., 1.])
    """
    size = sum(block.size for block in blocks)
    dtype = np.result_type(*{block.dtype for block in blocks}).newbyteorder("=")
    n = min(n, size)
    level = _level(blocks, dtype, n, size)
    above = np.concatenate([chunk[chunk > level] for chunk in _magnitudes(blocks, dtype)])
    if above.size < n and level:
        n_equal = sum(np.count_nonzero(chunk == level) for chunk in _magnitudes(blocks, dtype))
        if above.size + n_equal < n:  # the sample misled us
            level = above.dtype.type(0)
            above = np.concatenate([chunk[chunk > 0] for chunk in _magnitudes(blocks, dtype)])
    strongest = np.full(n, level, above.dtype)
    above.sort()
    strongest[: above.size] = above[::-1][:n]
    return strongest.view(dtype)


def _magnitudes(blocks: Blocks, dtype: np.dtype[Any]) -> Iterator[Bits]:
    """Yield all magnitudes as integers, in any order; their order is that of ``|w|``.

    Without its sign bit, an IEEE 754 number read as an unsigned integer keeps its place, NaN being last.
    """
    unsigned = np.dtype(f"u{dtype.itemsize}")
    no_sign = unsigned.type(np.iinfo(unsigned).max >> 1)
    for flat in _flat(blocks):
        for start in range(0, flat.size, CHUNK):
            yield flat[start : start + CHUNK].astype(dtype, copy=False).view(unsigned) & no_sign


def _flat(blocks: Blocks) -> Iterator[Matrix]:
    if len(blocks) > 1 and sum(block.size for block in blocks) <= CHUNK:
        yield np.concatenate([block.ravel(order="K") for block in blocks])
    else:
        yield from (block.ravel(order="K") for block in blocks)


def _level(blocks: Sequence[Matrix], dtype: np.dtype[Any], n: int, size: int) -> Any:
    """Return a magnitude that probably more than n weights exceed, though not many times as many."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    if 4 * n > size:
        return unsigned.type(0)
    rng = np.random.default_rng(size)
    n_sampled = max(4096, 64 * size // n)
    parts = []
    for block in blocks:
        places = rng.integers(0, block.size, -(-n_sampled * block.size // size))
        lines = block.T if abs(block.strides[0]) < abs(block.strides[1]) else block
        parts.append(lines[np.divmod(places, lines.shape[1])].astype(dtype))
    sample = np.sort(np.abs(np.concatenate(parts)).view(unsigned))
    return sample[-1 - int(1.5 * n * sample.size / size)]
