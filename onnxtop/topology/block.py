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

from onnxtop.network import Matrix, lines_of, strips
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.spanning import GrowingForest, strongest_first
from onnxtop.topology.strongest import (
    Bits,
    BlockCells,
    Cells,
    join_cells,
    magnitudes,
    strong_cells,
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


def block_forest(matrix: Matrix, cells: BlockCells | None = None) -> BlockForest | NonFinite:
    """Return the maximum spanning forest of the complete bipartite graph of a matrix.

    C- and F-contiguous matrices are read in place, others are copied once. Zeros are edges of strength 0, so
    there are always rows + columns - 1 edges. ``cells`` are the strongest of the matrix, if they are listed.
    """
    turned = lines_of(matrix) is not matrix
    lines = np.ascontiguousarray(lines_of(matrix), matrix.dtype.newbyteorder("="))
    if cells is None:
        strong = strong_cells([lines])
        if strong is None:
            return nonfinite(matrix)
        cells = strong.blocks[0]
    growing = _GrowingBlock(lines)
    growing.join(Cells(cells.positions, magnitudes(cells.weights)))
    if cells.level > 0:
        growing.join_strongest_exits()
    growing.join_zeros()
    rows, cols, strengths = growing.forest()
    return BlockForest(cols, rows, strengths) if turned else BlockForest(rows, cols, strengths)


def nonfinite(matrix: Matrix) -> NonFinite:
    """Count the weights of a matrix that are not finite."""
    count, first = 0, (0, 0)
    for rows in strips(matrix.shape, STRIP):
        bad = np.argwhere(~np.isfinite(matrix[rows]))
        if len(bad) and not count:
            first = (rows.start + int(bad[0, 0]), int(bad[0, 1]))
        count += len(bad)
    return NonFinite(count, first)


# Steps 2 and 3: what the pass has left apart


class _GrowingBlock:
    """The forest of a block while it grows, with the cells its edges come from."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self._n_rows, self._n_cols = matrix.shape
        self._growing = GrowingForest(self._n_rows + self._n_cols)
        self._cells: list[Cells] = []

    def join(self, cells: Cells) -> None:
        """Join what these cells join, which are sorted strongest first."""
        rows, cols = np.divmod(cells.positions, self._n_cols)
        self._cells.append(cells.take(self._growing.join(rows, cols + self._n_rows)))

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
            self.join(exits.take(winners[strongest_first(exits.values[winners])]))

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
    positions = positions[strongest_first(values[positions])]
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
