"""The strongest of a layer's weights, in one pass that a sample guides.

Forests, null models and paths through a network need only the few strongest of a layer's many weights. A
sample sets *cuts* with about as many weights beyond them as are wanted, and one pass lists those. The sample
may mislead: if far too many weights turn out to be beyond the cuts, these move outwards on the way. So in the
end every weight beyond the cuts is listed, and what is not listed lies between them.

Weights of one value are interchangeable. Where a cut is so common a value (int8, int4, binary weights) that
all its cells would be too many, some of them are listed and some not.

What is strong is either far from a center, or large. Magnitudes are compared as integers: without its sign
bit, the pattern of an IEEE 754 number, read as an unsigned integer, is in the order of the magnitudes, with
infinity above every number and NaN above infinity. So float16 needs no conversion, and a weight that is not
finite is above any level and cannot be missed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, lines_of, strips
from onnxtop.topology.graph import Floats, Indices

Bits = NDArray[np.unsignedinteger[Any]]
Values = NDArray[Any]
"""Weights, or their magnitudes as integers, shape (k,)."""

CHUNK = 1 << 18
"""Magnitudes compared at a time: they stay in the cache."""
ALL = 1 << 14
"""Cells up to which a layer is not worth a sample."""
RUN = 16
"""Neighbouring weights read for each sampled position: a cache line of float32."""


def magnitudes(weights: Matrix) -> Bits:
    """Return ``|w|`` as integers in the same order, shape as given; the weights are in native byte order."""
    bits = weights.view(f"u{weights.itemsize}")
    sizes: Bits = np.bitwise_and(bits, bits.dtype.type(np.iinfo(bits.dtype).max >> 1))
    return sizes


def chunks(matrix: Matrix, cells: int) -> Iterator[tuple[int, Matrix]]:
    """Yield all weights in the order of memory, so many at a time, with the position of the first of each."""
    lines = lines_of(matrix)
    if lines.flags.c_contiguous:
        flat = lines.reshape(-1)
        for start in range(0, flat.size, cells):
            yield start, flat[start : start + cells]
        return
    for rows in strips(lines.shape, cells):
        yield rows.start * lines.shape[1], lines[rows].reshape(-1)


def sample(matrices: Blocks, wanted: int) -> Matrix:
    """Return some weights, in short runs, enough to place cuts for so many; each matrix has its share."""
    size = sum(matrix.size for matrix in matrices)
    n_runs = min(size, max(4096, 96 * size // max(wanted, 1))) // RUN + 1
    rng = np.random.default_rng(size)
    parts = []
    for matrix in matrices:
        lines = lines_of(matrix)
        first = rng.integers(0, matrix.size, 1 + n_runs * matrix.size // size)
        positions = np.minimum(first[:, None] + np.arange(RUN), matrix.size - 1)
        parts.append(_at(lines, positions.reshape(-1)))
    return np.concatenate(parts)


def _at(lines: Matrix, positions: Indices) -> Matrix:
    weights: Matrix = lines.reshape(-1)[positions] if lines.flags.c_contiguous else lines.flat[positions]
    return weights


def submatrix(matrix: Matrix, rows: Indices, cols: Indices) -> Matrix:
    """Return some rows and columns, both ascending, as a view if possible."""
    if rows[-1] - rows[0] + 1 == rows.size:
        matrix = matrix[rows[0] : rows[-1] + 1]
        return matrix if cols.size == matrix.shape[1] else matrix[:, cols]
    return matrix[rows] if cols.size == matrix.shape[1] else matrix[rows[:, None], cols]


class Cells(NamedTuple):
    """Cells by their positions in the order of memory, and what they hold; shapes (k,)."""

    positions: Indices
    values: Values

    def take(self, chosen: Indices | NDArray[np.bool_]) -> "Cells":
        """Return some of them."""
        return Cells(self.positions[chosen], self.values[chosen])


def join_cells(parts: Sequence[Cells]) -> Cells:
    """Return the cells of all parts."""
    return Cells(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@dataclass(frozen=True, eq=False)
class StrongCells:
    """Magnitudes of a layer that a scan has listed: all above a level, and some that equal it.

    Attributes
    ----------
    values
        Weights without their signs, shape (k,), in the layer's own precision, in any order.
    level
        No weight that is not listed is larger.
    size
        How many weights the layer has.

    Examples
    --------
    >>> cells = StrongCells(np.array([2.0, 4.0, 3.0]), level=1.0, size=5)
    >>> cells.strongest(2).tolist(), cells.strongest(4)
    ([4.0, 3.0], None)
    """

    values: Matrix
    level: float
    size: int

    def strongest(self, n: int) -> Matrix | None:
        """Return the n largest, strongest first, all if there are fewer; None if they are not listed."""
        n = min(n, self.size)
        short = n - self.values.size
        if short > 0 and self.level > 0:
            return None
        listed: Matrix = np.append(self.values, np.zeros(max(short, 0), self.values.dtype))
        strongest: Matrix = np.sort(listed)[::-1][:n]
        return strongest if not n or strongest[-1] >= self.level else None


class Collector:
    """Takes a layer chunk by chunk and keeps the cells beyond its cuts.

    Parameters
    ----------
    sample
        Some of the values.
    size
        How many values there are in all.
    wanted
        About how many cells to list; at most some 8 times as many are.
    center
        Values are the stronger the farther they are from it; None for magnitudes, of which the large ones
        are.

    Examples
    --------
    >>> weights = np.array([3.0, -1.0, 0.5, -4.0, 2.0])
    >>> collector = Collector(magnitudes(weights), size=5, wanted=1)
    >>> collector.add(0, magnitudes(weights)).view(np.float64).tolist(), collector.cells().positions.tolist()
    ([3.0, 4.0], [0, 3])
    """

    def __init__(self, sample: Values, size: int, wanted: int, center: float | None = None) -> None:
        self._rng = np.random.default_rng(size)
        self._size, self._wanted, self._center = size, wanted, center
        self._cuts = _first_cuts(sample, size, wanted, center)
        self._cells = [Cells(np.empty(0, np.intp), sample[:0])]
        self._n_listed = 0

    @property
    def cuts(self) -> tuple[Any, Any]:
        """What all that is not listed lies between; the lower one is None for magnitudes."""
        return self._cuts.low, self._cuts.high

    def add(self, start: int, chunk: Values) -> Values:
        """Take the values from a position on; return those of them that are listed."""
        found = np.flatnonzero(self._cuts.beyond(chunk))
        if self._cuts.equal_share:
            some = self._rng.integers(0, chunk.size, int(self._cuts.equal_share * chunk.size) + 1)
            found = np.concatenate([found, some[self._cuts.at(chunk[some])]])
        values = chunk[found]
        self._cells.append(Cells(found + start, values))
        self._n_listed += found.size
        if self._n_listed > 8 * self._wanted + 1024:  # the sample misled us: go on with fewer
            self._raise_cuts((start + chunk.size) / self._size)
        return values

    def cells(self) -> Cells:
        """Return what is listed."""
        return join_cells(self._cells)

    def _raise_cuts(self, done: float) -> None:
        """Drop the weaker cells, of a layer of which this share is done."""
        cells = self.cells()
        strengths = _strengths(cells.values, self._center)
        level = np.sort(strengths)[-self._wanted]
        n_at = np.count_nonzero(strengths == level)
        share = min(1.0, self._wanted * done / n_at)
        equal_share = share if n_at > self._wanted else 0.0
        self._cuts = self._cuts.outside(cells.values[strengths <= level], equal_share)
        strong = (strengths > level) | ((strengths == level) & (self._rng.random(strengths.size) < share))
        self._cells = [cells.take(strong)]
        self._n_listed = int(np.count_nonzero(strong))


def _strengths(values: Values, center: float | None) -> Values:
    return values if center is None else np.abs(np.subtract(values, center, dtype=np.float64))


class _Cuts(NamedTuple):
    """Values below ``low`` or above ``high`` are listed, and this share of those equal to either."""

    low: Any
    high: Any
    equal_share: float = 0.0

    def beyond(self, values: Values) -> NDArray[np.bool_]:
        """Tell which values are listed."""
        listed: NDArray[np.bool_] = values > self.high
        if self.low is not None:
            listed |= values < self.low
        return listed

    def at(self, values: Values) -> NDArray[np.bool_]:
        """Tell which values are at a cut."""
        at: NDArray[np.bool_] = values == self.high
        return at if self.low is None else at | (values == self.low)

    def outside(self, values: Values, equal_share: float) -> "_Cuts":
        """Return cuts that no value is beyond."""
        low = None if self.low is None else min(self.low, values.min())
        return _Cuts(low, max(self.high, values.max()), equal_share)

    def just_inside(self) -> "_Cuts":
        """Return cuts that these are the first values beyond."""
        if self.low is None:
            return _Cuts(None, self.high - min(self.high, 1))
        to = type(self.low)
        return _Cuts(np.nextafter(self.low, to(np.inf)), np.nextafter(self.high, to(-np.inf)))


def _first_cuts(sample: Values, size: int, wanted: int, center: float | None) -> _Cuts:
    """Return cuts with about as many values beyond as wanted.

    Cuts are values of the sample, so that one that is common is met exactly.
    """
    strengths = _strengths(sample, center)
    rank = min(sample.size - 1, wanted * sample.size // size)
    level = np.sort(strengths)[-1 - rank]
    if center is None:
        cuts = _Cuts(None, level)
    else:
        below = _cut_below(sample, strengths, center, level)
        cuts = _Cuts(below, -_cut_below(-sample, strengths, -center, level))
    expected = size / sample.size
    if np.count_nonzero(cuts.beyond(sample) | cuts.at(sample)) * expected <= 3 * wanted:
        return cuts.just_inside()
    share = wanted / (np.count_nonzero(strengths == level) * expected)
    return cuts._replace(equal_share=min(1.0, share)) if level > 0 else cuts


def _cut_below(sample: Values, strengths: Values, center: float, level: float) -> Any:
    """Return the nearest value below the center that is as far as the level; the farthest if none is."""
    here = sample <= center
    far = sample[here & (strengths >= level)]
    if far.size:
        return far.max()
    return sample[here].min() if here.any() else sample.dtype.type(2 * center - float(sample.max()))


def strongest_weights(blocks: Blocks, n: int) -> Matrix:
    """Return the n largest ``|w|`` of a layer, strongest first, in little memory.

    Fewer if the layer has fewer. NaN comes before infinity, infinity before all numbers. One pass is enough,
    unless the sample misled us or the last of them are ties.

    Examples
    --------
    >>> strongest_weights([np.array([[1.0, -3.0]]), np.array([[2.0], [0.5]])], 3)
    array([3., 2., 1.])
    """
    size = sum(block.size for block in blocks)
    n, wanted = min(n, size), 2 * n
    while ALL < size > 2 * wanted:
        values = _beyond_cut(blocks, n, wanted)
        if values.size >= n:
            break
        wanted *= 8
    else:
        values = np.concatenate([chunk for _, chunk in _all_magnitudes(blocks)])
    strongest: Matrix = np.sort(values)[::-1][:n].view(_dtype(blocks))  # a partition is slow on ties
    return strongest


def strongest_cells(blocks: Blocks, n: int) -> tuple[Indices, Indices, Floats]:
    """Return row, column and value of the n largest ``|w|`` of a layer, strongest first, in one pass.

    Fewer if the layer has fewer; of equal ones those that come first in memory. All weights are finite.

    Examples
    --------
    >>> rows, columns, values = strongest_cells([np.array([[1.0, -3.0]]), np.array([[2.0], [0.5]])], 3)
    >>> list(zip(rows.tolist(), columns.tolist(), values.tolist()))
    [(0, 1, -3.0), (1, 2, 2.0), (0, 0, 1.0)]
    """
    places, values = np.empty((0, 2), np.intp), np.empty(0)
    corner = np.zeros(2, np.intp)
    for block in blocks:
        for start, chunk in chunks(block, CHUNK):
            some = _largest(np.abs(chunk), n, abs(values[-1]) if values.size == n else -1.0)
            if some.size:
                new = np.column_stack(cell_places(block, some + start)) + corner
                places, values = np.concatenate([places, new]), np.concatenate([values, chunk[some]])
                first = np.argsort(-np.abs(values), kind="stable")[:n]
                places, values = places[first], values[first]
        corner += block.shape
    return places[:, 0], places[:, 1], values


def _largest(sizes: Matrix, n: int, level: float) -> Indices:
    """Return the positions of the n largest, and of those equal to the last of them, above a level."""
    if not (above := np.flatnonzero(sizes > level)).size > n:
        return above
    return np.flatnonzero(sizes >= max(level, np.partition(sizes, -n)[-n]))


def cell_places(matrix: Matrix, positions: Indices) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return rows and columns of positions in the order of memory."""
    lines = lines_of(matrix)
    line, place = (part.astype(np.int32) for part in np.divmod(positions, lines.shape[1]))
    return (line, place) if lines is matrix else (place, line)


def _beyond_cut(blocks: Blocks, n: int, wanted: int) -> Bits:
    """Return all magnitudes above some level, and as many that equal it as there are, up to n."""
    size = sum(block.size for block in blocks)
    collector = Collector(magnitudes(sample(blocks, wanted // 4).astype(_dtype(blocks))), size, wanted)
    for start, chunk in _all_magnitudes(blocks):
        collector.add(start, chunk)
    _, level = collector.cuts
    values = collector.cells().values
    above: Bits = values[values > level]
    if above.size >= n:
        return above
    n_equal = sum(np.count_nonzero(chunk == level) for _, chunk in _all_magnitudes(blocks))
    return np.concatenate([above, np.full(min(n_equal, n - above.size), level, above.dtype)])


def _all_magnitudes(blocks: Blocks) -> Iterator[tuple[int, Bits]]:
    dtype, offset = _dtype(blocks), 0
    for block in blocks:
        for start, chunk in chunks(block, CHUNK):
            yield offset + start, magnitudes(chunk.astype(dtype, copy=False))
        offset += block.size


def _dtype(blocks: Blocks) -> np.dtype[Any]:
    return np.result_type(*{block.dtype for block in blocks}).newbyteorder("=")
