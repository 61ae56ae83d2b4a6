"""Weights that were probably never trained: tables that an exporter or a front end put into the graph.

Mel filter banks, Fourier tables, selections, diagonals and blur kernels are products with constants like any
layer. They are told by structure that training does not leave: exact zeros outside bands, pure sinusoids,
one kernel for all channels.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix
from onnxtop.statistics.numbers import spread_evenly

Indices = NDArray[np.int64]

_SMALLEST = 16  # weights below which structure may be chance
_PLACES = 4096
_WAVE = 32  # length from which a sinusoid is told from noise


def probably_fixed(blocks: Blocks) -> str | None:
    """Return why a layer's weights were probably not trained, None if nothing says so."""
    if sum(block.size for block in blocks) < _SMALLEST:
        return None
    if len(blocks) > 1:
        return _one_kernel(blocks)
    (matrix,) = blocks
    if min(matrix.shape) < 2:
        return None
    if _zero_share(matrix) >= 0.5:
        return _sparse_table(matrix)
    return _sinusoids(matrix)


def _zero_share(matrix: Matrix) -> float:
    """Return the share of zeros among 4096 entries in fixed places."""
    if matrix.size < _PLACES and matrix.all():
        return 0.0
    return float(np.mean(matrix[_places(*matrix.shape)] == 0))


@functools.lru_cache(64)
def _places(n_rows: int, n_columns: int) -> tuple[Indices, Indices]:
    rng = np.random.default_rng(0)
    return rng.integers(0, n_rows, _PLACES), rng.integers(0, n_columns, _PLACES)


def _sparse_table(matrix: Matrix) -> str | None:
    filled = matrix != 0
    count = int(np.count_nonzero(filled))
    if count == 0 or not np.isfinite(matrix).all():
        return None
    if matrix.shape[0] == matrix.shape[1] and count == np.count_nonzero(np.diagonal(filled)):
        return "it is diagonal"
    if np.unique(matrix[filled]).size == 1 and any(filled.sum(axis=axis).max() <= 1 for axis in (0, 1)):
        return "it selects: one equal weight a row or column, zeros elsewhere"
    if matrix.min() >= 0 and any(_in_bands(view) for view in (filled, filled.T)):
        return "it is a filter bank: positive bands, zeros elsewhere"
    return None


def _in_bands(filled: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> bool:
    """Tell whether the filled cells of each column are one run, and the runs are shorter than the column."""
    starts = np.count_nonzero(filled[1:] & ~filled[:-1], axis=0) + filled[0]
    return filled.shape[1] >= 8 and bool(np.all(starts <= 1)) and not bool(np.any(np.all(filled, axis=0)))


def _sinusoids(matrix: Matrix) -> str | None:
    for view in (matrix, matrix.T):
        if len(view) >= _WAVE and view.shape[1] >= 8:
            few = spread_evenly(view.shape[1], 8)
            seen = _wave_share(view[:, few[::3]]) > 0  # else at least 3 of the 8 are none
            if seen and _wave_share(view[:, few]) >= 0.75 and _wave_share(view) >= 0.9:
                return "it is a table of sinusoids"
    return None


def _wave_share(columns: Matrix) -> float:
    """Return the share of columns with 99 % of their energy within two frequencies of their strongest.

    A window widens a sinusoid to a few neighbouring frequencies. Columns that hardly vary do not count.
    """
    with np.errstate(all="ignore"):
        energy = np.abs(np.fft.rfft(columns.astype(np.float64), axis=0)) ** 2
    if not np.isfinite(energy).all():
        return 0.0
    total = energy.sum(axis=0)
    centre = energy.argmax(axis=0)
    near = sum(
        np.where((centre + step >= 0) & (centre + step < len(energy)), _pick(energy, centre + step), 0.0)
        for step in range(-2, 3)
    )
    return float(np.mean((near >= 0.99 * total) & (centre > 0)))


def _pick(energy: Matrix, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Matrix:
    inside: Matrix = energy[np.clip(rows, 0, len(energy) - 1), np.arange(energy.shape[1])]
    return inside


def _one_kernel(blocks: Blocks) -> str | None:
    """Name a kernel that is the same for all channels and symmetric, as blurs and resamplers are."""
    first = blocks[0]
    if first.shape[1] != 1 or len(first) < 3 or not np.array_equal(first, first[::-1]) or np.ptp(first) == 0:
        return None
    same = all(np.array_equal(first, block) for block in blocks[1:])
    return "it is one symmetric kernel for all channels" if same else None
