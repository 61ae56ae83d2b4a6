"""The strongest weights of a layer, and what standardises them, in two passes over it.

The strength of a weight is ``|w - mean| / std``, divided by the largest such value of the network. Which
weights are strong is decided by comparing with two cuts, in the layer's own precision: every weight that is
left out lies between them, so the strength of the weaker cut bounds all that is not listed. Strengths
themselves are float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix
from onnxtop.topology.graph import Floats, Indices

__all__ = ["LayerScan", "Strength", "StrongCells", "scan_layer", "strongest_in_lines"]

CHUNK = 1 << 17
"""Cells worked on at a time: they and what is made of them stay in the cache."""
ALL = 1 << 14
"""Cells up to which a layer is listed whole."""
RUN = 16
"""Neighbouring weights read for each sampled position: a cache line of float32."""

Values = NDArray[np.floating[Any]]


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


class StrongCells(NamedTuple):
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
    cells: Sequence[StrongCells]
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
    sample = _sample(matrices, wanted)
    moments = _moments(matrices, sample, standardise)
    shapes = [matrix.shape for matrix in matrices]
    if not (np.isfinite(moments.low) and moments.std > 0):
        nothing = [
            StrongCells(*_cell_places(matrix, np.empty(0, np.intp)), sample[:0]) for matrix in matrices
        ]
        return LayerScan(*moments, shapes, nothing, None)
    collector = _Collector(sample, moments.mean, size, wanted)
    offset = 0
    for matrix in matrices:
        for start, chunk in _chunks(matrix):
            collector.add(offset + start, chunk)
        offset += matrix.size
    return LayerScan(*moments, shapes, collector.cells(matrices), collector.cuts)


def _scan_whole(matrices: Blocks, standardise: bool) -> LayerScan:
    """Scan a layer of which every cell is wanted: it may be thousands of tiny matrices."""
    flat = np.concatenate([_working(matrix).reshape(-1) for matrix in matrices])
    weights = np.split(flat, np.cumsum([matrix.size for matrix in matrices])[:-1])
    shapes = [matrix.shape for matrix in matrices]
    places = {shape: np.indices(shape, np.int32).reshape(2, -1) for shape in set(shapes)}
    cells = [
        StrongCells(places[shape][0], places[shape][1], part)
        for shape, part in zip(shapes, weights, strict=True)
    ]
    return LayerScan(*_moments([flat[None]], flat, standardise), shapes, cells, None)


def _n_wanted(n_rows: int, n_cols: int) -> int:
    """How many cells leave a random matrix hardly a row or column without one.

    n cells for each of k rows leave about k exp(-n) rows empty; those that are left cost a look at the row.
    """
    return int(max(n_rows * (np.log(n_rows) + 4), n_cols * (np.log(n_cols) + 4)))


def _by_memory(matrix: Matrix) -> Matrix:
    """Return the matrix, transposed if its columns are what lies together in memory."""
    return matrix.T if abs(matrix.strides[0]) < abs(matrix.strides[1]) else matrix


def _working(chunk: Matrix) -> Matrix:
    """Return native float32 or float64: comparing float16 is slower than converting it."""
    return chunk.astype(np.promote_types(chunk.dtype.newbyteorder("="), np.float32), copy=False)


def _chunks(matrix: Matrix) -> Iterator[tuple[int, Values]]:
    """Yield all weights in the order of memory, with the position of the first of each chunk."""
    lines = _by_memory(matrix)
    if lines.flags.c_contiguous:
        flat = lines.reshape(-1)
        for start in range(0, flat.size, CHUNK):
            yield start, _working(flat[start : start + CHUNK])
        return
    width = lines.shape[1]
    height = max(1, CHUNK // width)
    for line in range(0, lines.shape[0], height):
        yield line * width, _working(lines[line : line + height]).reshape(-1)


def _sample(matrices: Blocks, wanted: int) -> Values:
    """Return some weights, in short runs, enough to place the cuts; each matrix has its share."""
    size = sum(matrix.size for matrix in matrices)
    n_runs = min(size, max(4096, 96 * size // max(wanted, 1))) // RUN + 1
    rng = np.random.default_rng(size)
    parts = []
    for matrix in matrices:
        lines = _by_memory(matrix)
        first = rng.integers(0, matrix.size, 1 + n_runs * matrix.size // size)
        positions = np.minimum(first[:, None] + np.arange(RUN), matrix.size - 1)
        parts.append(_working(lines[np.divmod(positions.reshape(-1), lines.shape[1])]))
    return np.concatenate(parts)


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


class _Cuts(NamedTuple):
    """Weights below ``low`` or above ``high`` are taken, and this share of those equal to either."""

    low: Any
    high: Any
    equal_share: float

    def beyond(self, weights: Values) -> NDArray[np.bool_]:
        """Tell which weights are taken."""
        taken: NDArray[np.bool_] = weights > self.high
        taken |= weights < self.low
        return taken

    def at(self, weights: Values) -> NDArray[np.bool_]:
        """Tell which weights are at a cut."""
        at: NDArray[np.bool_] = (weights == self.low) | (weights == self.high)
        return at


def _first_cuts(sample: Values, mean: float, size: int, wanted: int) -> _Cuts:
    """Return cuts with about as many weights beyond as wanted.

    Cuts are values of the sample, so that one that is common (int8, int4, binary weights) is met exactly. If
    all cells that have it would be too many, some of them do: they are interchangeable.
    """
    to = sample.dtype.type
    distances = np.abs(np.subtract(sample, mean, dtype=np.float64))
    rank = min(sample.size - 1, wanted * sample.size // size)
    level = np.partition(distances, -1 - rank)[-1 - rank]
    below = _cut_below(sample, distances, mean, level)
    above = -_cut_below(-sample, distances, -mean, level)
    cuts = _Cuts(below, above, 0.0)
    expected = size / sample.size
    if np.count_nonzero(cuts.beyond(sample) | cuts.at(sample)) * expected > 3 * wanted:
        share = wanted / (np.count_nonzero(distances == level) * expected)
        return _Cuts(below, above, min(1.0, share))
    return _Cuts(np.nextafter(below, to(np.inf)), np.nextafter(above, to(-np.inf)), 0.0)


def _cut_below(sample: Values, distances: Floats, mean: float, level: float) -> Any:
    """Return the nearest value below the mean that is as far as the level; the farthest if none is."""
    here = sample <= mean
    far = sample[here & (distances >= level)]
    if far.size:
        return far.max()
    return sample[here].min() if here.any() else sample.dtype.type(2 * mean - float(sample.max()))


class _Collector:
    """Takes chunk after chunk and keeps the cells beyond the cuts; positions are in the order of memory."""

    def __init__(self, sample: Values, mean: float, size: int, wanted: int) -> None:
        self._rng = np.random.default_rng(size)
        self._mean, self._size, self._wanted = mean, size, wanted
        self._cuts = _first_cuts(sample, mean, size, wanted)
        self._positions = [np.empty(0, np.intp)]
        self._weights = [sample[:0]]
        self._n_found = 0

    @property
    def cuts(self) -> tuple[float, float]:
        """What all that is not listed lies between."""
        return float(self._cuts.low), float(self._cuts.high)

    def add(self, start: int, chunk: Values) -> None:
        """Take a chunk of weights that begins at a position of the layer."""
        found = np.flatnonzero(self._cuts.beyond(chunk))
        if self._cuts.equal_share:
            some = self._rng.integers(0, chunk.size, int(self._cuts.equal_share * chunk.size) + 1)
            found = np.concatenate([found, some[self._cuts.at(chunk[some])]])
        self._positions.append(found + start)
        self._weights.append(chunk[found])
        self._n_found += found.size
        if self._n_found > 8 * self._wanted + 1024:  # the sample misled us: go on with fewer
            self._raise_cuts((start + chunk.size) / self._size)

    def _raise_cuts(self, done: float) -> None:
        """Drop the weaker cells, of a layer of which this share is done."""
        positions, weights = np.concatenate(self._positions), np.concatenate(self._weights)
        distances = np.abs(np.subtract(weights, self._mean, dtype=np.float64))
        level = np.partition(distances, -self._wanted)[-self._wanted]
        dropped = weights[distances <= level]
        n_at = np.count_nonzero(distances == level)
        share = min(1.0, self._wanted * done / n_at)
        low, high = min(self._cuts.low, dropped.min()), max(self._cuts.high, dropped.max())
        self._cuts = _Cuts(low, high, share if n_at > self._wanted else 0.0)
        kept = (distances > level) | ((distances == level) & (self._rng.random(distances.size) < share))
        self._positions, self._weights = [positions[kept]], [weights[kept]]
        self._n_found = int(np.count_nonzero(kept))

    def cells(self, matrices: Blocks) -> list[StrongCells]:
        """Return the cells of each matrix."""
        positions, weights = np.concatenate(self._positions), np.concatenate(self._weights)
        ends = np.cumsum([matrix.size for matrix in matrices])
        matrix_of = np.searchsorted(ends, positions, side="right")
        order = np.argsort(matrix_of, kind="stable") if len(matrices) > 1 else slice(None)
        splits = np.cumsum(np.bincount(matrix_of, minlength=len(matrices)))[:-1]
        places = np.split((positions - (ends - [m.size for m in matrices])[matrix_of])[order], splits)
        return [
            StrongCells(*_cell_places(matrix, place), found)
            for matrix, place, found in zip(matrices, places, np.split(weights[order], splits), strict=True)
        ]


def _cell_places(matrix: Matrix, positions: Indices) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns of positions in the order of memory."""
    lines = _by_memory(matrix)
    line, place = (part.astype(np.int32) for part in np.divmod(positions, lines.shape[1]))
    return (line, place) if lines is matrix else (place, line)


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
    height = max(1, CHUNK // useful.size)
    for start in range(0, lines.size, height):
        some = lines[start : start + height]
        found = np.minimum(strength(_submatrix(matrix, some, useful)), caps[useful])
        if groups is not None:
            found *= groups[0][some, None] != groups[1][useful]
        best = found.argmax(axis=1)
        columns[start : start + height] = useful[best]
        values[start : start + height] = found[np.arange(some.size), best]
    return columns, values


def _submatrix(matrix: Matrix, rows: Indices, cols: Indices) -> Matrix:
    """Return some rows and columns, both ascending, as a view if possible."""
    if rows[-1] - rows[0] + 1 == rows.size:
        matrix = matrix[rows[0] : rows[-1] + 1]
        return matrix if cols.size == matrix.shape[1] else matrix[:, cols]
    return matrix[rows] if cols.size == matrix.shape[1] else matrix[rows[:, None], cols]
