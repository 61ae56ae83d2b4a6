"""The strongest weights of a layer, and what standardises them, in one pass over it.

The strength of a weight is ``|w - mean| / std``, divided by the largest such value of the network. Which
weights are strong is decided by comparing with two cuts, in the layer's own precision: every weight that is
left out lies between them, so the strength of the weaker cut bounds all that is not listed. Strengths
themselves are float64.

The cuts are set before the mean is known, about that of a sample. Where it is near 0, the largest weights are
as good, and these serve the spanning forest and the null model too: one scan is enough for all.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from onnxtop.network import Blocks, Extremes, Matrix, Stack, Tile, extremes, lines_of, strips, tiles
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.reach import Filled, LineCounter
from onnxtop.topology.spanning import strongest_first
from onnxtop.topology.strongest import (
    SMALL,
    BlockCells,
    Collector,
    StrongCells,
    Values,
    block_cells,
    chunks,
    collector_of,
    forest_cells,
    magnitudes,
    sample,
    submatrix,
    wide,
)

CHUNK = 1 << 18
"""Cells worked on at a time: they and what is made of them stay in the cache."""
NEAR = 0.05
"""Standard deviations from 0 within which the mean may be for the largest weights to be the strongest."""
_HUGE = 2.0**1000
"""Beyond this a weight may be farther from the mean than a number can say."""
SPARE = 1.25
"""A sample may set cuts that list fewer than are wanted: so many times as many are asked for."""
_CELLS = 1 << 16
"""Cells in float64 worked on at a time."""
_PIECE = 8192
"""Squares added at a time: for more, BLAS would wake its threads, which on a busy machine costs far more."""


Look = Callable[[Tile], object]
"""Is shown every tile of a layer."""


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
        mean, std = self.mean, self.std
        if max(abs(mean), std) > _HUGE:
            weights, mean, std = weights / 4, mean / 4, std / 4
        result = np.subtract(weights, mean, dtype=np.float64)
        np.divide(result, std, out=result)
        np.abs(result, out=result)
        return np.divide(result, self.top, out=result)

    def of(self, weight: float) -> float:
        """Return the strength of one weight."""
        if not (self.std > 0 and self.top > 0):
            return 0.0
        unit = 4.0 if max(abs(self.mean), self.std) > _HUGE else 1.0
        return abs((weight / unit - self.mean / unit) / (self.std / unit)) / self.top


@dataclass(frozen=True, eq=False)
class LayerScan:
    """The strongest weights of a layer, and what standardises all of them.

    Attributes
    ----------
    mean, std
        Over all weights, ddof 0; 0 and 1 if strengths are not standardised. ``std`` is 0 if all are equal.
    largest
        The largest ``|w - mean| / std``; 0 if all weights are equal, nan if one is not finite.
    blocks
        The strongest weights of each matrix.
    """

    mean: float
    std: float
    largest: float
    blocks: Sequence[BlockCells]

    @property
    def finite(self) -> bool:
        """Whether every weight is finite."""
        return math.isfinite(self.largest)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of the matrices."""
        return [block.shape for block in self.blocks]

    @property
    def complete(self) -> bool:
        """Whether all weights are listed that have a strength above 0."""
        return self.std == 0 or all(block.cuts is None for block in self.blocks)

    @property
    def bare(self) -> "LayerScan":
        """The same without the weights, which are nearly all that it takes of memory."""
        return replace(self, blocks=[block.bare for block in self.blocks])

    def strength(self, top: float) -> Strength:
        """Return the function from weights to strengths, given the network's largest ``|w - mean| / std``."""
        return Strength(self.mean, self.std, top)

    def limit(self, top: float, matrix: int) -> float:
        """Return a bound on the strength of all weights of a matrix that are not listed."""
        return _limit(self.strength(top), self.blocks[matrix])


def _limit(strength: Strength, block: BlockCells) -> float:
    return 0.0 if block.cuts is None else max(map(strength.of, block.cuts))


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
    >>> scan.mean, round(scan.std**2, 12), scan.blocks[0].weights.tolist(), scan.limit(1.0, 0)
    (1.0, 6.5, [1.0, -3.0, 2.0, 4.0], 0.0)
    """
    wanted = _shares(matrices, n_wanted) if n_wanted else [_path_cells(*each.shape) for each in matrices]
    return _scan(matrices, wanted, standardise, ())[0]


class LayerScans(NamedTuple):
    """What one pass finds of a layer for all who ask.

    ``paths`` is as from `scan_layer`, None if that was not asked for. ``cells`` are the weights of largest
    magnitude, None if a weight is not finite. ``filled`` is as from `filled_lines`, empty where others look.
    """

    paths: LayerScan | None
    cells: StrongCells | None
    filled: tuple[Filled, ...]


def scan_once(
    matrices: Blocks,
    n_wanted: int = 0,
    *,
    standardise: bool | None = True,
    look: Look | None = None,
) -> LayerScans:
    """Find what `scan_layer` and `strong_cells` do, and count what `filled_lines` does, in one pass.

    Parameters
    ----------
    n_wanted
        About how many weights of largest magnitude to list, at least.
    standardise
        Whether to standardise, as `scan_layer` has it; None if no paths are asked for.
    look
        Who else looks at every tile of the weights as it passes; then the lines are not counted.
    """
    wanted = [
        max(share, forest_cells(matrix.shape), 0 if standardise is None else _path_cells(*matrix.shape))
        for matrix, share in zip(matrices, _shares(matrices, int(SPARE * n_wanted)), strict=True)
    ]
    counters = [LineCounter(matrix) for matrix in matrices] if look is None else []
    count: Look = lambda tile: counters[tile.number].add(tile)  # noqa: E731
    paths, cells = _scan(matrices, wanted, bool(standardise), [look or count])
    filled = tuple(counter.filled() for counter in counters)
    cells = cells and cells.sorted()
    return LayerScans(None if standardise is None else paths, cells, filled)


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def scan_each(stack: Stack, *, standardise: bool | None = True) -> list[LayerScans]:
    """Find of layers of one matrix each what `scan_once` finds of each; nobody counts the lines.

    The matrices have at most `SMALL` cells, and all are listed.

    Examples
    --------
    >>> first, second = scan_each(Stack.of([np.array([[1.0, -3.0]]), np.array([[2.0, np.inf]])]))
    >>> first.cells.blocks[0].weights.tolist(), first.paths.mean, second.cells, second.paths.finite
    ([-3.0, 1.0], -1.0, None, False)
    """
    every = stack.lines.reshape(len(stack.lines), -1)
    order = strongest_first(magnitudes(every))
    weights = np.take_along_axis(every, order, axis=1)
    finite = np.flatnonzero(np.isfinite(every).all(axis=1)).tolist()
    standards = _standard_of_each(stack) if standardise else [(0.0, 1.0)] * len(every)
    lows, highs = every.min(axis=1).tolist(), every.max(axis=1).tolist()
    listed = BlockCells(np.arange(every.shape[1]), every[0], None, stack.shape, stack.turned)
    nothing = LayerScan(np.nan, np.nan, np.nan, ())
    found = [LayerScans(None if standardise is None else nothing, None, ())] * len(every)
    for k in finite:
        strength = Strength(*standards[k], 1.0)
        largest = max(strength.of(lows[k]), strength.of(highs[k]))
        paths = LayerScan(*standards[k], largest, [listed._replace(weights=every[k])])
        cells = StrongCells([listed._replace(positions=order[k], weights=weights[k])])
        found[k] = LayerScans(None if standardise is None else paths, cells, ())
    return found


def _standard_of_each(stack: Stack) -> list[tuple[float, float]]:
    """Return mean and standard deviation of each layer; nothing that makes sense where one is not finite."""
    values = stack.wide.reshape(len(stack.lines), -1).astype(np.float64)
    means, deviations = values.mean(axis=1).tolist(), values.std(axis=1).tolist()
    centers = [*map(_center, values, means, deviations)]
    values -= np.array(centers)[:, np.newaxis]
    sums = zip(values.sum(axis=1).tolist(), np.vecdot(values, values).tolist(), centers, strict=True)
    return [
        _standard(total, squares, center, [matrix])
        for matrix, (total, squares, center) in zip(stack.matrices, sums, strict=True)
    ]


def _shares(matrices: Blocks, n_wanted: int) -> list[int]:
    size = sum(matrix.size for matrix in matrices)
    return [n_wanted * matrix.size // size for matrix in matrices]


def _path_cells(n_rows: int, n_cols: int) -> int:
    """How many cells leave a random matrix hardly a row or column without one.

    n cells for each of k rows leave about k exp(-n) rows empty; those that are left cost a look at the row.
    """
    return int(max(n_rows * (np.log(n_rows) + 2), n_cols * (np.log(n_cols) + 2)))


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def _scan(
    matrices: Blocks, wanted: Sequence[int], standardise: bool, looks: Sequence[Look]
) -> tuple[LayerScan, StrongCells | None]:
    """Scan a layer, and let others look at every tile as it passes."""
    if all(matrix.size <= SMALL for matrix in matrices):
        return _scan_small(matrices, standardise, looks)
    some = sample(matrices, sum(wanted))
    sums = _Sums(some) if standardise else None
    large = _collectors(matrices, wanted, None, some)
    far = _collectors(matrices, wanted, sums.far_center, some) if sums and sums.far_center else large
    for tile in tiles(matrices):
        large[tile.number].take(tile)
        if sums is not None:
            sums.add(tile.wide.reshape(-1))
            if far is not large:
                far[tile.number].take(tile)
        for look in looks:
            look(tile)
    cells, others = (
        [block_cells(matrix, collector) for matrix, collector in zip(matrices, collectors, strict=True)]
        for collectors in (large, far)
    )
    if not all(block.finite for block in cells):
        return LayerScan(np.nan, np.nan, np.nan, ()), None
    mean, std = sums.standard(matrices) if sums is not None else (0.0, 1.0)
    largest = _largest(Strength(mean, std, 1.0), others, matrices)
    return LayerScan(mean, std, largest, [block.narrow for block in others]), StrongCells(cells)


def _scan_small(
    matrices: Blocks, standardise: bool, looks: Sequence[Look]
) -> tuple[LayerScan, StrongCells | None]:
    """Scan a layer of which every cell is listed: it may be thousands of tiny matrices."""
    weights = []
    for tile in tiles(matrices):
        weights.append(np.array(tile.cells).reshape(-1))
        for look in looks:
            look(tile)
    every = np.concatenate(weights)
    if not np.isfinite(every).all():
        return LayerScan(np.nan, np.nan, np.nan, ()), None
    mean, std = 0.0, 1.0
    if standardise:
        sums = _Sums(every)
        sums.add(wide(every))
        mean, std = sums.standard(matrices)
    positions = {size: np.arange(size) for size in {matrix.size for matrix in matrices}}
    parts = [every] if len(weights) == 1 else np.split(every, np.cumsum([part.size for part in weights])[:-1])
    blocks = [
        BlockCells(
            positions[part.size], part, None, (len(matrix), matrix.shape[1]), lines_of(matrix) is not matrix
        )
        for matrix, part in zip(matrices, parts, strict=True)
    ]
    return LayerScan(mean, std, _largest(Strength(mean, std, 1.0), blocks, matrices), blocks), StrongCells(
        blocks
    )


def _collectors(
    matrices: Blocks, wanted: Sequence[int], center: float | None, some: Matrix
) -> list[Collector]:
    """Return a collector for each matrix; a single one has the sample of the layer."""
    shared = some if len(matrices) == 1 else None
    return [collector_of(matrix, n, center, shared) for matrix, n in zip(matrices, wanted, strict=True)]


def _largest(strength: Strength, blocks: Sequence[BlockCells], matrices: Blocks) -> float:
    """Return the largest strength of all weights: listed, unless the cuts were set unluckily."""
    listed = np.concatenate([block.weights for block in blocks])
    ends = [float(listed.min()), float(listed.max())] if listed.size else []
    largest = max(map(strength.of, ends), default=0.0)
    if largest >= max(_limit(strength, block) for block in blocks):
        return largest
    return max(map(strength.of, extremes(matrices)))


class _Sums:
    """What mean and standard deviation are made of, in float64.

    Weights far from evenly spread (pruned layers) make float32 sums wrong in the sixth digit.
    """

    def __init__(self, sample: Matrix) -> None:
        some = wide(sample)
        some = some[np.isfinite(some)]
        values = some if some.size else np.zeros(1)
        mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        self.far_center = None if abs(mean) <= NEAR * std or not 0 < std < np.inf else mean
        self._center = _center(values, mean, std)
        self._total, self._squares = 0.0, 0.0
        self._buffer = np.empty(0)

    def add(self, weights: Values) -> None:
        """Take some of the weights, of float32 or float64."""
        if self._buffer.size < min(weights.size, _CELLS):
            self._buffer = np.empty(min(weights.size, _CELLS))
        for start in range(0, weights.size, _CELLS):
            chunk = weights[start : start + _CELLS]
            part = self._buffer[: chunk.size]
            np.copyto(part, chunk)
            if self._center:
                np.subtract(part, self._center, out=part)
            self._total += float(part.sum())
            self._squares += _sum_of_squares(part)

    def standard(self, matrices: Blocks) -> tuple[float, float]:
        """Return mean and standard deviation, which is 0 if all weights are equal."""
        return _standard(self._total, self._squares, self._center, matrices)


def _standard(total: float, squares: float, center: float, matrices: Blocks) -> tuple[float, float]:
    """Return mean and standard deviation from sums about a center; the deviation is 0 if all are equal."""
    size = sum(matrix.size for matrix in matrices)
    mean = total / size
    variance = squares / size - mean * mean
    # Squares beyond the range of float64, or a center far from the mean: once more, with care.
    if np.finfo(np.float64).tiny * 1e20 < variance < np.inf and variance > 1e-3 * mean * mean:
        return center + mean, float(np.sqrt(variance))
    return _careful_moments(matrices, extremes(matrices))


def _sum_of_squares(part: Floats) -> float:
    whole = part[: part.size // _PIECE * _PIECE].reshape(-1, 1, _PIECE)
    rest = part[whole.size :]
    return float(np.matmul(whole, whole.transpose(0, 2, 1)).sum() + np.dot(rest, rest))


def _center(sample: Values, mean: float, std: float) -> float:
    """Return a value near the mean, so that sums of squares about it lose no digits.

    It is a multiple of a power of two about as large as the std: sums of quantised weights stay exact, and a
    weight that equals the mean has strength 0.
    """
    if not (np.isfinite(mean) and 0 < std < np.inf):
        return float(sample[0]) if std == 0 else 0.0
    step = 2.0 ** np.floor(np.log2(std))
    return float(np.round(mean / step) * step)


def _careful_moments(matrices: Blocks, ends: Extremes) -> tuple[float, float]:
    """Return mean and standard deviation, in float64 and a unit in which nothing overflows."""
    if ends.low == ends.high:
        return ends.low, 0.0
    size, largest = sum(matrix.size for matrix in matrices), ends.largest
    mean = sum(float(part.sum()) for part in _parts(matrices, largest)) / size
    squares = sum(float(np.square(part - mean).sum()) for part in _parts(matrices, largest))
    return mean * largest, float(np.sqrt(squares / size)) * largest


def _parts(matrices: Blocks, unit: float) -> Iterator[Floats]:
    for matrix in matrices:
        for _, chunk in chunks(matrix, CHUNK):
            yield np.divide(chunk, unit, dtype=np.float64)


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
