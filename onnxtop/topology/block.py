"""Exact maximum spanning forest of one dense matrix, in little more than one pass over its weights.

The tree of a complete bipartite graph on V vertices needs about (V log V) / 2 of its strongest edges, a
vanishing share of all. So it is made in three steps, and after each one the forest is part of a maximum
spanning forest:

1. a sample sets a level, one pass collects the weights above it, and Kruskal joins what they join;
2. while components remain, each takes the strongest weight that leaves it (Borůvka). Mostly these are single
   neurons whose weights are all small, so that one round over a few rows and columns is the last;
3. components that only zeros leave are joined by zeros.

"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Matrix, strips
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.spanning import GrowingForest
from onnxtop.topology.strongest import (
    CHUNK,
    Bits,
    Cells,
    Collector,
    StrongCells,
    chunks,
    join_cells,
    magnitudes,
    sample,
    submatrix,
)

Labels = NDArray[np.int32]

STRIP = 1 << 18
"""Cells looked at together in a round of Borůvka."""
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
    return scan_block(matrix)[0]


def scan_block(matrix: Matrix, wanted: int = 0) -> tuple[BlockForest | NonFinite, StrongCells | None]:
    """Return the forest of a matrix, and about so many of its strongest cells or more; None if not finite."""
    by_column = matrix.flags.f_contiguous
    lines = matrix.T if by_column else matrix
    lines = np.ascontiguousarray(lines, lines.dtype.newbyteorder("="))
    scan = _scan(lines, wanted)
    if scan is None:
        return _nonfinite(matrix), None
    growing = _GrowingBlock(lines)
    growing.join(scan.cells)
    if scan.level > 0:
        growing.join_strongest_exits()
    growing.join_zeros()
    rows, cols, strengths = growing.forest()
    values = scan.cells.values.view(lines.dtype)
    level = float(np.array(scan.level, scan.cells.values.dtype).view(lines.dtype))
    cells = StrongCells(values, level, matrix.size)
    return BlockForest(*((cols, rows) if by_column else (rows, cols)), strengths), cells


def _nonfinite(matrix: Matrix) -> NonFinite:
    count, first = 0, (0, 0)
    for rows in strips(matrix.shape, STRIP):
        bad = np.argwhere(~np.isfinite(matrix[rows]))
        if len(bad) and not count:
            first = (rows.start + int(bad[0, 0]), int(bad[0, 1]))
        count += len(bad)
    return NonFinite(count, first)


# Step 1: the cells above a level


class _Scan(NamedTuple):
    """Every cell above a level, and some that equal it, with their magnitudes."""

    cells: Cells
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


def _scan(lines: Matrix, wanted: int) -> _Scan | None:
    """Collect the strongest cells in one pass; None if one of them is not finite."""
    wanted = max(_n_wanted(lines.shape), wanted)
    infinity = magnitudes(np.array(np.inf, lines.dtype))
    if 3 * wanted > lines.size:  # everything that is not zero
        some = np.zeros(1, infinity.dtype)
    else:
        some = np.minimum(magnitudes(sample([lines], wanted)), infinity - 1)
    collector = Collector(some, lines.size, wanted)
    for start, chunk in chunks(lines, CHUNK):
        if collector.add(start, magnitudes(chunk)).max(initial=0) >= infinity:
            return None
    return _Scan(collector.cells(), int(collector.cuts[1]))


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

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._n_rows, self._n_cols = matrix.shape
        self._growing = GrowingForest(self._n_rows + self._n_cols)
        self._cells: list[Cells] = []

    def join(self, cells: Cells) -> None:
        """Join what these cells join, strongest first."""
        order = _strongest_first(cells.values)
        rows, cols = np.divmod(cells.positions[order], self._n_cols)
        self._cells.append(cells.take(order[self._growing.join(rows, cols + self._n_rows)]))

    def forest(self) -> BlockForest:
        """Return the edges so far."""
        cells = join_cells(self._cells)
        rows, cols = np.divmod(cells.positions, self._n_cols)
        return BlockForest(rows, cols, cells.values.view(self._matrix.dtype).astype(np.float64))

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
            self.join(exits.take(winners))

    def join_zeros(self) -> None:
        """Join what is still apart: only zeros lie between, and those of row 0 and column 0 suffice."""
        if self._growing.n_components > 1:
            cells = np.concatenate([np.arange(self._n_cols), np.arange(1, self._n_rows) * self._n_cols])
            self.join(Cells(cells, np.zeros_like(self._cells[0].values, shape=cells.size)))

    def _exits(self, vertices: Indices, labels: Labels | None) -> Cells:
        """Return the strongest cell that leads each of these rows and columns to another component."""
        rows, cols = vertices[vertices < self._n_rows], vertices[vertices >= self._n_rows] - self._n_rows
        every_row, every_col = np.arange(self._n_rows), np.arange(self._n_cols)
        if cols.size * NARROW > self._n_cols:
            of_rows, of_cols = _strongest(self._matrix, every_row, every_col, labels)
            of_rows, of_cols = of_rows.take(rows), of_cols.take(cols)
        else:
            of_rows = _strongest(self._matrix, rows, every_col, labels)[0]
            of_cols = _strongest(self._matrix, every_row, cols, labels)[1]
        return join_cells([of_rows, of_cols])


def _strongest_of_each(groups: Indices, values: Bits) -> Indices:
    """Return the position of the largest value of each group, where it is not 0."""
    positions = np.flatnonzero(values)
    positions = positions[_strongest_first(values[positions])]
    return positions[np.unique(groups[positions], return_index=True)[1]]


def _strongest(matrix: Matrix, rows: Indices, cols: Indices, labels: Labels | None) -> tuple[Cells, Cells]:
    """Return the strongest cell of every row, and of every column, of a submatrix; of magnitude 0 if none is.

    With labels, cells whose row and column are in the same component are left out.
    """
    n_rows, n_cols = matrix.shape
    none = magnitudes(np.zeros(0, matrix.dtype))
    of_rows, of_cols = (
        Cells(np.zeros(side.size, np.intp), np.zeros_like(none, shape=side.size)) for side in (rows, cols)
    )
    if not (rows.size and cols.size):
        return of_rows, of_cols
    strip_of = np.zeros(cols.size, np.intp)
    height = min(rows.size, max(1, STRIP // cols.size))
    for start in range(0, rows.size, height):
        some = rows[start : start + height]
        strip = magnitudes(submatrix(matrix, some, cols))
        if labels is not None:
            strip *= labels[some, None] != labels[n_rows + cols]
        best = strip.argmax(axis=1)
        of_rows.positions[start : start + height] = some * n_cols + cols[best]
        of_rows.values[start : start + height] = strip[np.arange(best.size), best]
        highest = strip.max(axis=0)
        strip_of[highest > of_cols.values] = start
        np.maximum(of_cols.values, highest, out=of_cols.values)
    # A maximum along columns is quick, its position is not: look it up in the one strip that has it.
    some = rows[np.minimum(strip_of + np.arange(height)[:, None], rows.size - 1)]
    strip = magnitudes(matrix[some, cols])
    if labels is not None:
        strip *= labels[some] != labels[n_rows + cols]
    of_cols.positions[:] = some[strip.argmax(axis=0), np.arange(cols.size)] * n_cols + cols
    return of_rows, of_cols
