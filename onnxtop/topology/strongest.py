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

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, Tile, lines_of, strips, widened
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.spanning import strongest_first

Bits = NDArray[np.unsignedinteger[Any]]
Positions = NDArray[np.integer[Any]]
Values = NDArray[Any]
"""Weights, or their magnitudes as integers, shape (k,)."""

CHUNK = 1 << 18
"""Magnitudes compared at a time: they stay in the cache."""
ALL = 1 << 14
"""Cells up to which a layer is not worth a sample."""
SMALL = 4096
"""Cells up to which a matrix is not worth one: all are listed."""
RUN = 16
"""Neighbouring weights read for each sampled position: a cache line of float32."""


def magnitudes(weights: Matrix, out: Bits | None = None) -> Bits:
    """Return ``|w|`` as integers in the same order, shape as given; the weights are in native byte order."""
    bits = weights.view(f"u{weights.itemsize}")
    sizes: Bits = np.bitwise_and(bits, bits.dtype.type((1 << 8 * bits.itemsize - 1) - 1), out=out)
    return sizes


def wide(weights: Matrix) -> Matrix:
    """Return weights of shape (k,) in float32 or float64."""
    result: Matrix = widened(weights[None])[0]
    return result


def chunks(matrix: Matrix, cells: int) -> Iterator[tuple[int, Matrix]]:
    """Yield all weights in the order of memory, with the position of the first of each chunk.

    A chunk is whole lines, or part of one where a line has more cells than are wanted at a time. Weights are
    in native byte order and aligned, shape (k,).
    """
    lines = lines_of(matrix)
    length, native = lines.shape[1], lines.dtype.newbyteorder("=")
    for rows in strips(lines.shape, cells):
        strip = lines[rows].reshape(-1)
        strip = strip.astype(native, copy=not strip.flags.aligned)
        for start in range(0, strip.size, cells):
            yield rows.start * length + start, strip[start : start + cells]


def sample(matrices: Blocks, wanted: int) -> Matrix:
    """Return some weights, in short runs, enough to place cuts for so many; each matrix has its share."""
    size = sum(matrix.size for matrix in matrices)
    n_runs = min(size, max(SMALL, 64 * size // max(wanted, 1))) // RUN + 1
    if n_runs * RUN >= size:
        return np.concatenate([chunk for matrix in matrices for _, chunk in chunks(matrix, CHUNK)])
    rng = np.random.default_rng(size)
    parts = []
    for matrix in matrices:
        lines = lines_of(matrix)
        first = rng.integers(0, matrix.size, 1 + n_runs * matrix.size // size)
        positions = np.minimum(first[:, None] + np.arange(RUN), matrix.size - 1)
        parts.append(_at(lines, positions.reshape(-1)))
    some: Matrix = np.concatenate(parts)
    return some.astype(some.dtype.newbyteorder("="), copy=False)


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

    positions: Positions
    values: Values

    def take(self, chosen: Indices | NDArray[np.bool_]) -> "Cells":
        """Return some of them."""
        return Cells(self.positions[chosen], self.values[chosen])


def join_cells(parts: Sequence[Cells]) -> Cells:
    """Return the cells of all parts."""
    return Cells(*(np.concatenate(part) for part in zip(*parts, strict=True)))


_NO_PLACE, _NO_WEIGHT = np.empty(0, np.intp), np.empty(0)


class BlockCells(NamedTuple):
    """The strongest weights of a matrix, as a scan has listed them.

    Attributes
    ----------
    positions, weights
        Where they are in the order of memory, and the weights themselves; shapes (k,).
    cuts
        Every weight that is not listed lies between these two; None if all are listed.
    shape, turned
        Of the matrix, and whether its columns are what lies together in memory.
    """

    positions: Positions
    weights: Matrix
    cuts: tuple[float, float] | None
    shape: tuple[int, int]
    turned: bool

    @property
    def places(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Rows and columns."""
        line, place = (
            part.astype(np.int32) for part in np.divmod(self.positions, self.shape[0 if self.turned else 1])
        )
        return (place, line) if self.turned else (line, place)

    @property
    def narrow(self) -> "BlockCells":
        """The same with positions that take half the memory, where these are small enough."""
        least = np.uint32 if math.prod(self.shape) < 2**32 else np.intp
        return self._replace(positions=self.positions.astype(least, copy=False))

    @property
    def bare(self) -> "BlockCells":
        """The same without the cells."""
        return self._replace(positions=_NO_PLACE, weights=_NO_WEIGHT)

    @property
    def finite(self) -> bool:
        """Whether all weights of the matrix are finite: one that is not is beyond any cut."""
        return bool(np.isfinite(self.weights).all())

    @property
    def level(self) -> float:
        """No weight that is not listed is larger."""
        return 0.0 if self.cuts is None else max(abs(cut) for cut in self.cuts)

    def sorted(self) -> "BlockCells":
        """Return the cells by falling magnitude."""
        order = strongest_first(magnitudes(self.weights))
        return self._replace(positions=self.positions[order], weights=self.weights[order])


class StrongCells(NamedTuple):
    """The strongest weights of a layer, by matrix; those of small ones among others in any order.

    Examples
    --------
    >>> cells = strong_cells([np.array([[2.0, -4.0, 3.0]])])
    >>> cells.strongest(2).tolist(), cells.blocks[0].places[1].tolist()
    ([4.0, 3.0], [1, 2, 0])
    """

    blocks: Sequence[BlockCells]

    def sorted(self) -> "StrongCells":
        """Return the cells of each matrix by falling magnitude, where each has a forest of its own."""
        alone = len(self.blocks) == 1
        return StrongCells([b.sorted() if alone or math.prod(b.shape) > SMALL else b for b in self.blocks])

    def strongest(self, n: int) -> Matrix | None:
        """Return the n largest ``|w|``, strongest first, or all; None if not all of these are listed."""
        first, *others = self.blocks
        values: Matrix = first.weights
        if others:
            values = np.concatenate([block.weights for block in self.blocks])
            values = np.sort(magnitudes(values))[::-1].view(values.dtype)
        n = min(n, sum(math.prod(block.shape) for block in self.blocks))
        strongest: Matrix = np.abs(values[:n])
        level = max(block.level for block in self.blocks)
        return strongest if strongest.size == n and (not n or strongest[-1] >= level) else None


def strong_cells(blocks: Blocks, wanted: int = 0) -> StrongCells | None:
    """List the strongest weights of a layer in one pass; None if a weight is not finite.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out), float16, float32 or float64, read in place.
    wanted
        About how many to list at least, of all matrices together.
    """
    size = sum(block.size for block in blocks)
    listed = []
    for block in blocks:
        collector = collector_of(block, max(forest_cells(block.shape), wanted * block.size // size))
        for start, chunk in chunks(block, CHUNK):
            collector.add(start, chunk)
        listed.append(block_cells(block, collector))
        if not listed[-1].finite:
            return None
    return StrongCells(listed).sorted()


def forest_cells(shape: tuple[int, ...]) -> int:
    """Return how many of the strongest cells of a matrix it takes to join most of its rows and columns.

    a ln(a / 2) cells leave about 2 vertices of the longer side a without an edge. Where that side is much
    longer, it is cheaper to join only the shorter side b, through neighbours that two of its vertices share.
    """
    a, b = max(shape), min(shape)
    join_most = a * max(2.0, float(np.log(a / 2)))
    join_shorter = float(np.sqrt(1.4 * a * b * np.log(b + 3))) + 2 * b
    return int(min(join_most, join_shorter) if a >= 8 * b else join_most) + 64


def collector_of(
    matrix: Matrix, wanted: int, center: float | None = None, some: Matrix | None = None
) -> "Collector":
    """Return a collector of the strongest weights of a matrix, given a sample; of all where it is small."""
    if matrix.size <= max(SMALL, 3 * wanted):
        return Collector(None, matrix.size, wanted, center)
    some = sample([matrix], wanted) if some is None else some
    return Collector(some if center is None else wide(some), matrix.size, wanted, center)


def block_cells(matrix: Matrix, collector: "Collector") -> BlockCells:
    """Return what is listed of a matrix, as cells of it."""
    turned = lines_of(matrix) is not matrix
    return BlockCells(*collector.cells(), collector.cuts, (matrix.shape[0], matrix.shape[1]), turned)


class Collector:
    """Takes a matrix chunk by chunk and keeps the cells beyond its cuts.

    Parameters
    ----------
    sample
        Some of the weights; None to list all.
    size
        How many weights there are in all.
    wanted
        About how many cells to list; at most some 8 times as many are.
    center
        Weights are the stronger the farther they are from it; None for magnitudes, of which the large ones
        are.

    Examples
    --------
    >>> weights = np.array([3.0, -1.0, 0.5, -4.0, 2.0])
    >>> collector = Collector(weights, size=5, wanted=1)
    >>> collector.add(0, weights)
    >>> collector.cells().values.tolist(), collector.cells().positions.tolist()
    ([3.0, -4.0], [0, 3])
    """

    def __init__(self, sample: Matrix | None, size: int, wanted: int, center: float | None = None) -> None:
        self._size, self._wanted, self._center = size, wanted, center
        self._cuts = None if sample is None else _first_cuts(self._keys(sample), size, wanted, center)
        self._cells: list[Cells] = []
        self._n_listed = self._n_seen = 0
        self._mask, self._buffer = np.empty(0, bool), np.empty(0, np.uint8)

    @cached_property
    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._size)

    @property
    def cuts(self) -> tuple[float, float] | None:
        """What all that is not listed lies between; None if all is listed."""
        if self._cuts is None:
            return None
        if self._cuts.low is not None:
            return float(self._cuts.low), float(self._cuts.high)
        level = float(np.array(self._cuts.high).view(f"f{self._cuts.high.itemsize}"))
        return -level, level

    def take(self, tile: Tile) -> None:
        """Take the weights of a tile."""
        keys = None
        if self._center is None and tile.cells.dtype != np.float16:
            keys = tile.sizes.reshape(-1).view(f"u{tile.sizes.itemsize}")
        cells = tile.cells if self._center is None else tile.wide
        self.add(tile.first, cells.reshape(-1), keys, (tile.cells.shape[1], tile.gap))

    def add(
        self, start: int, chunk: Matrix, keys: Bits | None = None, lines: tuple[int, int] = (1, 0)
    ) -> None:
        """Take the weights from a position on.

        ``keys`` are their magnitudes as integers, where these are known; ``lines`` says after how many there
        is a gap, and how wide it is.
        """
        if self._cuts is None:
            listed = Cells(np.arange(chunk.size), np.array(chunk))
        else:
            listed = self._beyond(self._cuts, chunk, keys)
        width, gap = lines
        if gap:
            np.add(listed.positions, listed.positions // width * gap, out=listed.positions)
        np.add(listed.positions, start, out=listed.positions)
        self._cells.append(listed)
        self._n_listed += listed.positions.size
        self._n_seen += chunk.size
        if self._cuts is not None and self._n_listed > 8 * self._wanted + 1024:
            self._raise_cuts(self._cuts, self._n_seen / self._size)  # the sample misled us

    def cells(self) -> Cells:
        """Return what is listed; weights that are not finite always are."""
        return join_cells(self._cells)

    def _keys(self, weights: Matrix, out: Bits | None = None) -> Values:
        return magnitudes(weights, out) if self._center is None else weights

    def _beyond(self, cuts: "_Cuts", chunk: Matrix, keys: Bits | None) -> Cells:
        if self._mask.size < chunk.size:  # once: fresh memory costs more than what is done in it
            self._mask, self._buffer = np.empty(chunk.size, bool), np.empty(chunk.size, f"u{chunk.itemsize}")
        values: Values = self._keys(chunk, self._buffer[: chunk.size]) if keys is None else keys
        beyond = np.flatnonzero(cuts.beyond(values, self._mask[: chunk.size]))
        if cuts.equal_share:
            some = self._rng.integers(0, chunk.size, int(cuts.equal_share * chunk.size) + 1)
            beyond = np.concatenate([beyond, some[cuts.at(values[some])]])
        return Cells(beyond, chunk[beyond])

    def _raise_cuts(self, cuts: "_Cuts", done: float) -> None:
        """Drop the weaker cells, of a layer of which this share is done."""
        cells = self.cells()
        keys = self._keys(cells.values)
        strengths = _strengths(keys, self._center)
        level = np.sort(strengths)[-self._wanted]
        n_at = np.count_nonzero(strengths == level)
        share = min(1.0, self._wanted * done / n_at) if n_at else 0.0
        equal_share = share if n_at > self._wanted else 0.0
        self._cuts = cuts.outside(keys[strengths <= level], equal_share)
        strong = (strengths > level) | ((strengths == level) & (self._rng.random(strengths.size) < share))
        self._cells = [cells.take(strong)]
        self._n_listed = int(np.count_nonzero(strong))


def _strengths(keys: Values, center: float | None) -> Values:
    if center is None:
        return keys
    return np.nan_to_num(np.abs(np.subtract(keys, center, dtype=np.float64)), nan=np.inf)


class _Cuts(NamedTuple):
    """Values below ``low`` or above ``high`` are listed, and this share of those equal to either."""

    low: Any
    high: Any
    equal_share: float = 0.0

    def beyond(self, values: Values, out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Tell which values are listed, NaN among them."""
        if self.low is None:
            listed: NDArray[np.bool_] = np.greater(values, self.high, out=out)
            return listed
        listed = np.greater_equal(values, self.low, out=out)
        listed &= values <= self.high
        np.logical_not(listed, out=listed)
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
    top = magnitudes(np.array(np.inf, f"f{sample.itemsize}")) - 1
    sample = np.minimum(sample, top) if center is None else sample[np.isfinite(sample)]
    strengths = _strengths(sample, center)
    rank = min(sample.size - 1, wanted * sample.size // size)
    level = np.partition(strengths, -1 - rank)[-1 - rank]
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
        values = np.concatenate([magnitudes(chunk) for _, chunk in _all_weights(blocks)])
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
            some = _largest(np.abs(wide(chunk)), n, abs(values[-1]) if values.size == n else -1.0)
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
    collector = Collector(sample(blocks, wanted // 4).astype(_dtype(blocks)), size, wanted)
    for start, chunk in _all_weights(blocks):
        collector.add(start, chunk)
    values, level = (
        magnitudes(collector.cells().values),
        magnitudes(np.array(collector.cuts, _dtype(blocks)))[1],
    )
    above: Bits = values[values > level]
    if above.size >= n:
        return above
    n_equal = sum(np.count_nonzero(magnitudes(chunk) == level) for _, chunk in _all_weights(blocks))
    return np.concatenate([above, np.full(min(n_equal, n - above.size), level, above.dtype)])


def _all_weights(blocks: Blocks) -> Iterator[tuple[int, Matrix]]:
    dtype, offset = _dtype(blocks), 0
    for block in blocks:
        for start, chunk in chunks(block, CHUNK):
            yield offset + start, chunk.astype(dtype, copy=False)
        offset += block.size


def _dtype(blocks: Blocks) -> np.dtype[Any]:
    return np.result_type(*{block.dtype for block in blocks}).newbyteorder("=")
