"""The strongest weights of a layer, and what standardises them, in two passes over it.

The strength of a weight is ``|w - mean| / std``, divided by the largest such value of the network. Which
weights are strong is decided by comparing with two cuts, in the layer's own precision: every weight that is
left out lies between them, so the strength of the weaker cut bounds all that is not listed. Strengths
themselves are float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, strips
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.strongest import (
    ALL,
    Cells,
    Collector,
    Values,
    cell_places,
    chunks,
    sample,
    submatrix,
)

CHUNK = 1 << 17
"""Cells worked on at a time: they and what is made of them stay in the cache."""


@dataclass(frozen=True)
class Strength:
    """From weights to strengths: ``|w - mean| / std / top``; 0 for a layer whose weights are all equal."""

    mean: float
    std: float
    top: float

    def __call__(self, weights: Values) -> Floats:
        """Return strengths in float64, shape as given."""
        if not (self.std > 0 and self.top > 0):
            return np.zeros(weights.shape)
        result = np.subtract(weights, self.mean, dtype=np.float64)
        np.divide(result, self.std, out=result)
        np.abs(result, out=result)
        return np.divide(result, self.top, out=result)


class MatrixCells(NamedTuple):
    """Cells of one matrix with their weights, shapes (k,)."""

    rows: NDArray[np.int32]
    cols: NDArray[np.int32]
    weights: Values


@dataclass(frozen=True, eq=False)
class LayerScan:
    """The strongest weights of a layer, and what standardises all of them.

    Attributes
    ----------
    mean, std
        Over all weights, ddof 0; 0 and 1 if strengths are not standardised. ``std`` is 0 if all are equal.
    low, high
        The smallest and the largest weight; not finite if any weight is not.
    shapes
        Of each matrix.
    cells
        The strongest weights of each matrix.
    cuts
        Every weight that is not listed lies between these two; None if all of strength above 0 are listed.
    """

    mean: float
    std: float
    low: float
    high: float
    shapes: Sequence[tuple[int, int]]
    cells: Sequence[MatrixCells]
    cuts: tuple[float, float] | None

    @property
    def finite(self) -> bool:
        """Whether every weight is finite."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def strength(self, top: float) -> Strength:
        """Return the function from weights to strengths, given the network's largest ``|w - mean| / std``."""
        return Strength(self.mean, self.std, top)

    def limit(self, top: float) -> float:
        """Return a bound on the strength of all weights that are not listed."""
        return 0.0 if self.cuts is None else float(self.strength(top)(np.array(self.cuts)).max())


def scan_layer(matrices: Blocks, *, standardise: bool = True, n_wanted: int | None = None) -> LayerScan:
    """Find the strongest weights of a layer and what standardises all of them.

    Parameters
    ----------
    matrices
        (n_in, n_out), float16, float32 or float64. Contiguous ones are read in place, others copied a chunk
        at a time.
    n_wanted
        About how many weights to list; None for so many that hardly a neuron is without one. Where one value
        is very common (quantised weights), some of the cells that have it are listed and some not.

    Examples
    --------
    >>> scan = scan_layer([np.array([[1.0, -3.0], [2.0, 4.0]])])
    >>> scan.mean, round(scan.std**2, 12), scan.cells[0].weights.tolist(), scan.limit(1.0)
    (1.0, 6.5, [1.0, -3.0, 2.0, 4.0], 0.0)
    """
    size = sum(matrix.size for matrix in matrices)
    wanted = n_wanted or sum(_n_wanted(*matrix.shape) for matrix in matrices)
    if not n_wanted and (size <= ALL or 3 * wanted > size):
        return _scan_whole(matrices, standardise)
    some = _working(sample(matrices, wanted))
    moments = _moments(matrices, some, standardise)
    shapes = [matrix.shape for matrix in matrices]
    if not (np.isfinite(moments.low) and moments.std > 0):
        nothing = _by_matrix(Cells(np.empty(0, np.intp), some[:0]), matrices)
        return LayerScan(*moments, shapes, nothing, None)
    collector = Collector(some, size, wanted, moments.mean)
    offset = 0
    for matrix in matrices:
        for start, chunk in _chunks(matrix):
            collector.add(offset + start, chunk)
        offset += matrix.size
    low, high = collector.cuts
    return LayerScan(*moments, shapes, _by_matrix(collector.cells(), matrices), (float(low), float(high)))


def _scan_whole(matrices: Blocks, standardise: bool) -> LayerScan:
    """Scan a layer of which every cell is wanted: it may be thousands of tiny matrices."""
    flat = np.concatenate([_working(matrix).reshape(-1) for matrix in matrices])
    weights = np.split(flat, np.cumsum([matrix.size for matrix in matrices])[:-1])
    shapes = [matrix.shape for matrix in matrices]
    places = {shape: np.indices(shape, np.int32).reshape(2, -1) for shape in set(shapes)}
    cells = [
        MatrixCells(places[shape][0], places[shape][1], part)
        for shape, part in zip(shapes, weights, strict=True)
    ]
    return LayerScan(*_moments([flat[None]], flat, standardise), shapes, cells, None)


def _n_wanted(n_rows: int, n_cols: int) -> int:
    """How many cells leave a random matrix hardly a row or column without one.

    n cells for each of k rows leave about k exp(-n) rows empty; those that are left cost a look at the row.
    """
    return int(max(n_rows * (np.log(n_rows) + 4), n_cols * (np.log(n_cols) + 4)))


def _working(chunk: Matrix) -> Matrix:
    """Return native float32 or float64: comparing float16 is slower than converting it."""
    return chunk.astype(np.promote_types(chunk.dtype.newbyteorder("="), np.float32), copy=False)


def _chunks(matrix: Matrix) -> Iterator[tuple[int, Values]]:
    """Yield all weights in the order of memory, with the position of the first of each chunk."""
    return ((start, _working(chunk)) for start, chunk in chunks(matrix, CHUNK))


# First pass: mean, std, extremes


class _Moments(NamedTuple):
    mean: float
    std: float
    low: float
    high: float


def _moments(matrices: Blocks, sample: Values, standardise: bool) -> _Moments:
    """Return what standardises a layer; extremes are nan if a weight is not finite."""
    size = sum(matrix.size for matrix in matrices)
    center = _center(sample)
    low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
    buffer = np.empty(CHUNK)
    for _, chunk in (part for matrix in matrices for part in _chunks(matrix)):
        lowest, highest = float(chunk.min()), float(chunk.max())
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            return _Moments(np.nan, np.nan, np.nan, np.nan)
        low, high = min(low, lowest), max(high, highest)
        if standardise:
            sums = _sums(chunk, center, buffer)
            total, squares = total + sums[0], squares + sums[1]
    if not standardise:
        return _Moments(0.0, 1.0, low, high)
    if low == high:
        return _Moments(low, 0.0, low, high)
    mean = total / size
    variance = squares / size - mean * mean
    # Squares beyond the range of float64, or a center far from the mean: once more, with care.
    if np.finfo(np.float64).tiny * 1e20 < variance < np.inf and variance > 1e-3 * mean * mean:
        return _Moments(center + mean, float(np.sqrt(variance)), low, high)
    return _Moments(*_careful_moments(matrices, max(abs(low), abs(high))), low, high)


def _center(sample: Values) -> float:
    """Return a value near the mean, so that sums of squares about it lose no digits.

    It is a multiple of a power of two about as large as the std: sums of quantised weights stay exact, and a
    weight that equals the mean has strength 0.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(sample.mean(dtype=np.float64)), float(sample.std(dtype=np.float64))
    if not (np.isfinite(mean) and 0 < std < np.inf):
        return float(sample[0]) if std == 0 else 0.0
    step = 2.0 ** np.floor(np.log2(std))
    return float(np.round(mean / step) * step)


def _sums(chunk: Values, center: float, buffer: Floats) -> tuple[float, float]:
    """Return the sums of differences from the center and of their squares, in float64.

    Weights far from evenly spread (pruned layers) make float32 sums wrong in the sixth digit.
    """
    part = buffer[: chunk.size] if chunk.size <= buffer.size else np.empty(chunk.size)
    np.copyto(part, chunk)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if center:
            np.subtract(part, center, out=part)
        # einsum, not dot: BLAS would wake its threads for each chunk, which on a busy machine costs far more
        return float(part.sum()), float(np.einsum("i,i->", part, part))


def _careful_moments(matrices: Blocks, largest: float) -> tuple[float, float]:
    """Return mean and standard deviation, in float64 and a unit in which nothing overflows."""
    size = sum(matrix.size for matrix in matrices)
    chunks = [partial(_chunks, matrix) for matrix in matrices]
    mean = (
        sum(float(np.divide(c, largest, dtype=np.float64).sum()) for make in chunks for _, c in make()) / size
    )
    squares = sum(
        float(np.square(np.divide(c, largest, dtype=np.float64) - mean).sum())
        for make in chunks
        for _, c in make()
    )
    return mean * largest, float(np.sqrt(squares / size)) * largest


# Second pass: the cells beyond the cuts


def _by_matrix(cells: Cells, matrices: Blocks) -> list[MatrixCells]:
    """Return the cells of each matrix."""
    ends = np.cumsum([matrix.size for matrix in matrices])
    matrix_of = np.searchsorted(ends, cells.positions, side="right")
    order = np.argsort(matrix_of, kind="stable") if len(matrices) > 1 else slice(None)
    splits = np.cumsum(np.bincount(matrix_of, minlength=len(matrices)))[:-1]
    places = np.split((cells.positions - (ends - [m.size for m in matrices])[matrix_of])[order], splits)
    return [
        MatrixCells(*cell_places(matrix, place), weights)
        for matrix, place, weights in zip(
            matrices, places, np.split(cells.values[order], splits), strict=True
        )
    ]


# Later: lines that are not decided by the strongest cells


def strongest_in_lines(
    matrix: Matrix,
    strength: Strength,
    lines: Indices,
    caps: Floats,
    *,
    floor: float = 0.0,
    groups: tuple[Indices, Indices] | None = None,
) -> tuple[Indices, Floats]:
    """Return, for some rows of a matrix, the column and the value of the largest ``min(strength, cap)``.

    Parameters
    ----------
    matrix
        Shape (n, m); transpose it to look along columns.
    lines
        Rows to look at, ascending.
    caps
        Shape (m,), one for each column.
    floor
        Values at or below this do not matter, and need not be right; at least 0.
    groups
        Of each row, shape (n,), and of each column, shape (m,): pairs of the same group do not count.

    Returns
    -------
    tuple
        Columns and values, shape (len(lines),); value 0 where nothing counts.

    Examples
    --------
    >>> matrix, plain = np.array([[0.5, -1.0], [1.0, 0.25]]), Strength(0.0, 1.0, 1.0)
    >>> columns, values = strongest_in_lines(matrix, plain, np.array([0, 1]), np.array([1.0, 0.75]))
    >>> columns.tolist(), values.tolist()
    ([1, 0], [0.75, 1.0])
    """
    useful = np.flatnonzero(caps > floor)
    columns, values = np.zeros(lines.size, np.intp), np.zeros(lines.size)
    if not useful.size:
        return columns, values
    for part in strips((lines.size, useful.size), CHUNK):
        some = lines[part]
        found = np.minimum(strength(submatrix(matrix, some, useful)), caps[useful])
        if groups is not None:
            found *= groups[0][some, None] != groups[1][useful]
        best = found.argmax(axis=1)
        columns[part] = useful[best]
        values[part] = found[np.arange(some.size), best]
    return columns, values
