"""Exact maximum spanning forest of one dense matrix, in little more than one pass over its weights.

The tree of a complete bipartite graph on V vertices needs about (V log V) / 2 of its strongest edges, a
vanishing share of all. So it is made in three steps, and after each one the forest is part of a maximum
spanning forest:

1. a sample sets a level, one pass collects the weights above it, and Kruskal joins what they join;
2. while components remain, each takes the strongest weight that leaves it (Borůvka). Mostly these are single
   neurons whose weights are all small, so that one round over a few rows and columns is the last;
3. components that only zeros leave are joined by zeros.

Magnitudes are compared as integers: without its sign bit, the pattern of an IEEE 754 number, read as an
unsigned integer, is in the order of the magnitudes, with infinity above every number and NaN above infinity.
So float16 needs no conversion, and a weight that is not finite is above any level and cannot be missed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Matrix
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.spanning import GrowingForest

__all__ = ["BlockForest", "NonFinite", "block_forest"]

Bits = NDArray[np.unsignedinteger[Any]]
Labels = NDArray[np.int32]

CHUNK = 1 << 20
"""Cells compared at a time in the pass over all weights: they stay in the cache."""
STRIP = 1 << 18
"""Cells looked at together in a round of Borůvka."""
RUN = 16
"""Neighbouring weights read for each sampled position: a cache line of float32."""
NARROW = 24
"""A gather of columns costs about this many times as much a cell as a pass over whole rows."""


class BlockForest(NamedTuple):
    """Edges of a forest, by the cells of the matrix they come from."""

    rows: Indices
    cols: Indices
    strengths: Floats


@dataclass(frozen=True)
class NonFinite:
    """How many weights are not finite, and the first one's row and column."""

    count: int
    first: tuple[int, int]


def block_forest(matrix: Matrix) -> BlockForest | NonFinite:
    """Return the maximum spanning forest of the complete bipartite graph of a matrix.

    C- and F-contiguous matrices are read in place, others are copied once. Zeros are edges of strength 0, so
    there are always rows + columns - 1 edges.
    """
    by_column = matrix.flags.f_contiguous
    magnitudes = _Magnitudes(matrix.T if by_column else matrix)
    scan = _scan(magnitudes)
    if scan is None:
        return _nonfinite(matrix)
    growing = _GrowingBlock(magnitudes)
    growing.join(scan.cells, scan.values)
    if scan.level > 0:
        growing.join_strongest_exits()
    growing.join_zeros()
    rows, cols, strengths = growing.forest()
    return BlockForest(cols, rows, strengths) if by_column else BlockForest(rows, cols, strengths)


def _nonfinite(matrix: Matrix) -> NonFinite:
    count, first = 0, (0, 0)
    height = max(1, CHUNK // matrix.shape[1])
    for start in range(0, matrix.shape[0], height):
        bad = np.argwhere(~np.isfinite(matrix[start : start + height]))
        if len(bad) and not count:
            first = (start + int(bad[0, 0]), int(bad[0, 1]))
        count += len(bad)
    return NonFinite(count, first)


class _Magnitudes:
    """A matrix as integers in the order of |w|, made a part at a time; cells are numbered row by row."""

    def __init__(self, matrix: Matrix) -> None:
        matrix = np.ascontiguousarray(matrix, matrix.dtype.newbyteorder("="))
        self.bits: Bits = matrix.view(f"u{matrix.itemsize}")
        self.flat = self.bits.reshape(-1)
        self.dtype = self.bits.dtype
        self.no_sign = self.dtype.type(np.iinfo(self.dtype).max >> 1)
        self.infinity = int(np.array(np.inf, matrix.dtype).view(self.dtype))
        self._float = matrix.dtype

    def chunks(self) -> Iterator[tuple[int, Bits]]:
        """Yield all magnitudes in order, with the first cell of each chunk; the next one overwrites it."""
        buffer = np.empty(min(self.flat.size, CHUNK), self.dtype)
        for start in range(0, self.flat.size, CHUNK):
            part = self.flat[start : start + CHUNK]
            yield start, np.bitwise_and(part, self.no_sign, out=buffer[: part.size])

    def at(self, cells: Indices) -> Bits:
        """Return the magnitudes of some cells."""
        return np.bitwise_and(self.flat[cells], self.no_sign)

    def submatrix(self, rows: Indices, cols: Indices) -> Bits:
        """Return the magnitudes of some rows and columns, both ascending."""
        together = rows[-1] - rows[0] + 1 == rows.size
        part = self.bits[rows[0] : rows[-1] + 1] if together else self.bits[rows]
        return np.bitwise_and(part if cols.size == part.shape[1] else part[:, cols], self.no_sign)

    def strengths(self, magnitudes: Bits) -> Floats:
        """Return |w| of magnitudes."""
        return magnitudes.view(self._float).astype(np.float64)


# Step 1: the cells above a level


class _Scan(NamedTuple):
    """Every cell above a level, and some that equal it, with their magnitudes."""

    cells: Indices
    values: Bits
    level: int


def _n_wanted(shape: tuple[int, ...]) -> int:
    """How many of the strongest cells to collect.

    a ln(a / 2) cells leave about 2 vertices of the longer side a without an edge. Where that side is much
    longer, it is cheaper to join only the shorter side b, through neighbours that two of its vertices share.
    """
    a, b = max(shape), min(shape)
    join_most = a * max(2.0, float(np.log(a / 2)))
    join_shorter = float(np.sqrt(1.4 * a * b * np.log(b + 3))) + 2 * b
    return int(min(join_most, join_shorter) if a >= 8 * b else join_most) + 64


def _level(magnitudes: _Magnitudes, wanted: int, rng: np.random.Generator) -> tuple[int, float]:
    """Return a level with about as many cells above it as wanted, and the share to take of those equal to it.

    The share is 0 unless the level is so common (int8, int4, binary weights) that all its cells would be too
    many. Cells of one magnitude are interchangeable, so any of them will do.
    """
    size = magnitudes.flat.size
    if 3 * wanted > size:
        return 0, 0.0
    n_runs = min(size // 4, max(2048, 96 * size // wanted)) // RUN + 1
    starts = rng.integers(0, size - RUN + 1, n_runs)
    sample = np.sort(magnitudes.at((starts[:, None] + np.arange(RUN)).ravel()))
    level = int(sample[-1 - wanted * sample.size // size])
    if level == 0 or level >= magnitudes.infinity:  # everything that is not zero, or not finite
        return min(level, magnitudes.infinity - 1), 0.0
    below = np.searchsorted(sample, np.array([level, level + 1], sample.dtype))
    at_least, above = ((sample.size - below) * (size / sample.size)).tolist()
    if at_least <= 3 * wanted:
        return level - 1, 0.0
    return level, max(wanted - above, wanted / 4) / (at_least - above)


def _scan(magnitudes: _Magnitudes) -> _Scan | None:
    """Collect the strongest cells in one pass; None if one of them is not finite."""
    rng = np.random.default_rng(magnitudes.bits.shape)
    wanted = _n_wanted(magnitudes.bits.shape)
    level, equal_share = _level(magnitudes, wanted, rng)
    cells: list[Indices] = []
    values: list[Bits] = []
    n_found = 0
    for start, chunk in magnitudes.chunks():
        found = np.flatnonzero(chunk > level)
        if equal_share:
            some = rng.integers(0, chunk.size, int(equal_share * chunk.size) + 1)
            found = np.concatenate([found, some[chunk[some] == level]])
        cells.append(found + start)
        values.append(chunk[found])
        if values[-1].max(initial=0) >= magnitudes.infinity:
            return None
        n_found += found.size
        if n_found > 8 * wanted:  # the sample misled us: go on from a higher level
            scan = _upper_part(_Scan(np.concatenate(cells), np.concatenate(values), level), 2 * wanted)
            cells, values, n_found = [scan.cells], [scan.values], scan.cells.size
            level, equal_share = scan.level, 0.0
    return _Scan(np.concatenate(cells), np.concatenate(values), level)


def _upper_part(scan: _Scan, n: int) -> _Scan:
    """Raise the level until at most n cells are above it."""
    level = int(np.sort(scan.values)[-1 - n])
    keep = scan.values > level
    return _Scan(scan.cells[keep], scan.values[keep], level)


def _strongest_first(values: Bits) -> Indices:
    """Return the order of falling magnitude, equals as they come, alike on all machines.

    NumPy sorts integers several times as fast as it argsorts them stably, so the position rides along.
    """
    if values.itemsize > 4 or values.size >> 32:
        return np.argsort(~values, kind="stable")
    keys = (~values).astype(np.uint64) << np.uint64(32)
    keys += np.arange(values.size, dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


# Steps 2 and 3: what the pass has left apart


class _GrowingBlock:
    """The forest of a block while it grows, with the cells its edges come from."""

    def __init__(self, magnitudes: _Magnitudes) -> None:
        self._magnitudes = magnitudes
        self._n_rows, self._n_cols = magnitudes.bits.shape
        self._growing = GrowingForest(self._n_rows + self._n_cols)
        self._cells: list[Indices] = []
        self._values: list[Bits] = []

    def join(self, cells: Indices, values: Bits) -> None:
        """Join what these cells join, strongest first."""
        order = _strongest_first(values)
        rows, cols = np.divmod(cells[order], self._n_cols)
        used = order[self._growing.join(rows, cols + self._n_rows)]
        self._cells.append(cells[used])
        self._values.append(values[used])

    def forest(self) -> BlockForest:
        """Return the edges so far."""
        rows, cols = np.divmod(np.concatenate(self._cells), self._n_cols)
        return BlockForest(rows, cols, self._magnitudes.strengths(np.concatenate(self._values)))

    def join_strongest_exits(self) -> None:
        """Let every component but the largest take its strongest exit, until only zeros leave any of them.

        Vertices that are alone go first: they are most, and no cell has to be masked for them.
        """
        exhausted = np.zeros(self._growing.labels.size, bool)
        while self._growing.n_components > 1:
            labels = self._growing.labels
            sizes = np.bincount(labels)
            alone = (sizes[labels] == 1) & ~exhausted
            chosen = np.flatnonzero(alone if alone.any() else (labels != sizes.argmax()) & ~exhausted)
            if not chosen.size:
                return
            exits = self._exits(chosen, None if alone.any() else labels.astype(np.int32))
            winners = _strongest_of_each(labels[chosen], exits.values)
            exhausted[chosen] = ~np.isin(labels[chosen], labels[chosen[winners]])
            self.join(exits.cells[winners], exits.values[winners])

    def join_zeros(self) -> None:
        """Join what is still apart: only zeros lie between, and those of row 0 and column 0 suffice."""
        if self._growing.n_components > 1:
            cells = np.concatenate([np.arange(self._n_cols), np.arange(1, self._n_rows) * self._n_cols])
            self.join(cells, np.zeros(cells.size, self._magnitudes.dtype))

    def _exits(self, vertices: Indices, labels: Labels | None) -> "_Strongest":
        """Return the strongest cell that leads each of these rows and columns to another component."""
        rows, cols = vertices[vertices < self._n_rows], vertices[vertices >= self._n_rows] - self._n_rows
        every_row, every_col = np.arange(self._n_rows), np.arange(self._n_cols)
        if cols.size * NARROW > self._n_cols:
            of_rows, of_cols = _strongest(self._magnitudes, every_row, every_col, labels)
            of_rows, of_cols = of_rows.take(rows), of_cols.take(cols)
        else:
            of_rows = _strongest(self._magnitudes, rows, every_col, labels)[0]
            of_cols = _strongest(self._magnitudes, every_row, cols, labels)[1]
        return _Strongest(*(np.concatenate(pair) for pair in zip(of_rows, of_cols, strict=True)))


class _Strongest(NamedTuple):
    """The strongest cell of each row, or column; of magnitude 0 if there is none."""

    cells: Indices
    values: Bits

    def take(self, lines: Indices) -> "_Strongest":
        return _Strongest(self.cells[lines], self.values[lines])


def _strongest_of_each(groups: Indices, values: Bits) -> Indices:
    """Return the position of the largest value of each group, where it is not 0."""
    positions = np.flatnonzero(values)
    positions = positions[_strongest_first(values[positions])]
    return positions[np.unique(groups[positions], return_index=True)[1]]


def _strongest(
    magnitudes: _Magnitudes, rows: Indices, cols: Indices, labels: Labels | None
) -> tuple[_Strongest, _Strongest]:
    """Return the strongest cell of every row, and of every column, of a submatrix.

    With labels, cells whose row and column are in the same component are left out.
    """
    n_rows, n_cols = magnitudes.bits.shape
    of_rows = _Strongest(np.zeros(rows.size, np.intp), np.zeros(rows.size, magnitudes.dtype))
    of_cols = _Strongest(np.zeros(cols.size, np.intp), np.zeros(cols.size, magnitudes.dtype))
    if not (rows.size and cols.size):
        return of_rows, of_cols
    strip_of = np.zeros(cols.size, np.intp)
    height = min(rows.size, max(1, STRIP // cols.size))
    for start in range(0, rows.size, height):
        some = rows[start : start + height]
        strip = magnitudes.submatrix(some, cols)
        if labels is not None:
            strip *= labels[some, None] != labels[n_rows + cols]
        best = strip.argmax(axis=1)
        of_rows.cells[start : start + height] = some * n_cols + cols[best]
        of_rows.values[start : start + height] = strip[np.arange(best.size), best]
        highest = strip.max(axis=0)
        strip_of[highest > of_cols.values] = start
        np.maximum(of_cols.values, highest, out=of_cols.values)
    # A maximum along columns is quick, its position is not: look it up in the one strip that has it.
    some = rows[np.minimum(strip_of + np.arange(height)[:, None], rows.size - 1)]
    strip = magnitudes.at(some * n_cols + cols)
    if labels is not None:
        strip *= labels[some] != labels[n_rows + cols]
    of_cols.cells[:] = some[strip.argmax(axis=0), np.arange(cols.size)] * n_cols + cols
    return of_rows, of_cols
