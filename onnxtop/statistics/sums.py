"""What one pass over a layer adds up: all that is asked of a weight alone, or of the line it stands in.

A tile of weights is read into the cache once, and everything is asked of it there. So statistics of a layer
and what tells it from its shuffles cost one reading of the memory, and a few operations in the cache.

Lines are the rows and the columns. Magnitudes are counted in a *unit*, so that squares neither overflow nor
vanish in float32, and from a *centre*, so that sums lose no digits where all magnitudes are nearly equal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Extremes, Matrix, Tile, count_filled, lines_of, tiles, widened
from onnxtop.statistics.numbers import SMALLEST_NORMAL, sample
from onnxtop.statistics.products import onto_columns, onto_parts, onto_rows, sum_of_squares
from onnxtop.statistics.sketch import SIDE, factors, spread, together

_CELLS = 1 << 19
"""Cells of many small blocks that are taken together."""
_PART = 1024
"""Cells of a line whose first quarter, if nothing in the layer is zero, tells equal lines as well."""
_MANY_BLOCKS = 32
"""More blocks of one shape than this are taken together; their lines are too short to be compared."""
_VARIED = 0.1
"""Deviation of magnitudes, relative to their mean, from which sums need no centre."""

Floats = NDArray[np.float32]


class Lines(NamedTuple):
    """The rows, or the columns, of a block: so many weights each, in the layer's unit and from its centre.

    ``sums`` of magnitudes, how many weights are ``filled`` (not zero), both of shape (n,), and a few random
    ``projections``, shape (n, SIDE), by which equal lines find each other; None where nobody looks for these.
    """

    length: int
    sums: NDArray[np.float64]
    filled: NDArray[np.intp]
    projections: Floats | None


@dataclass(frozen=True, eq=False)
class Sums:
    """What one pass leaves behind of a layer.

    Attributes
    ----------
    ends
        The smallest and the largest weight; if they are not finite, nothing else means anything.
    unit, centre
        What magnitudes are divided by, and what is subtracted then.
    size, zeros, at_limit, small
        How many weights there are, are zero, are as large as the largest, are too small for full precision
        as float16 (asked of what is stored so).
    squares
        Sum of the squares.
    rows, columns
        Those of every block; of very many blocks, those of all in one.
    sketch
        All weights in ``SIDE`` times ``SIDE`` random projections.
    """

    ends: Extremes
    unit: float
    centre: float
    size: int
    zeros: int
    at_limit: int
    small: int
    squares: float
    rows: tuple[Lines, ...]
    columns: tuple[Lines, ...]
    sketch: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean of the magnitudes, in the unit, from the centre."""
        return sum(float(lines.sums.sum()) for lines in self.rows) / self.size

    @property
    def rms(self) -> float:
        """Root of the mean square of the weights."""
        square = self.squares / self.size + 2 * self.centre * self.mean + self.centre**2
        return self.unit * math.sqrt(max(square, 0.0))


def add_up(blocks: Blocks, *, half: bool = False) -> Sums:
    """Add up a layer in one pass, or in a second one if its numbers are very large or very small.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out) that share no neuron, float16, float32 or float64, no side empty.
    half
        Whether they are stored as float16, whatever they were decoded to.

    Examples
    --------
    >>> found = add_up([np.array([[1.0, -2.0], [0.0, 2.0]])])
    >>> found.ends, found.zeros, found.at_limit, found.rms
    (Extremes(low=-2.0, high=2.0), 1, 2, 1.5)
    >>> found.rows[0].filled.tolist(), (found.columns[0].sums + 2 * found.centre).tolist()
    ([2, 1], [1.0, 4.0])
    """
    adder = Adder(blocks, half=half)
    if not adder.stacked:
        for tile in tiles(blocks):
            adder.add(tile)
    return adder.sums()


def _centre(sizes: NDArray[np.float64]) -> float:
    """Return a typical magnitude if most are near it, 0 otherwise."""
    mean = float(sizes.mean())
    return mean if math.isfinite(mean) and float(sizes.std()) < _VARIED * mean else 0.0


class Adder:
    """Adds up the weights of a layer tile by tile, as `tiles` yields them, and whoever else looks at them.

    Of many small blocks, which are ``stacked``, nothing is to be added.
    """

    @np.errstate(over="ignore", invalid="ignore")
    def __init__(self, blocks: Blocks, unit: float = 1.0, *, half: bool = False) -> None:
        self._blocks, self._unit, self._half = blocks, unit, half
        self.stacked = len(blocks) > _MANY_BLOCKS and len({block.shape for block in blocks}) == 1
        entries = np.abs(sample(blocks), dtype=np.float64) / unit
        self._centre, self._dense = _centre(entries), bool(entries.all())
        self._sides = tuple(sum(block.shape[axis] for block in blocks) for axis in (0, 1))
        self._low, self._high = math.inf, -math.inf
        self._record, self._at_limit = np.float32(-1), 0
        self._zeros = self._small = 0
        self._squares = 0.0
        self._sketch = np.zeros((SIDE, SIDE))
        self._starts = np.cumsum([(0, 0), *(block.shape for block in blocks)], axis=0).tolist()
        self._lines: list[_BlockLines] = []

    @np.errstate(over="ignore", invalid="ignore")
    def sums(self) -> Sums:
        """Return the sums; all is added up once more if its numbers are very large or very small."""
        found = self._sums()
        largest = found.ends.largest
        if self._unit != 1 or not found.ends.finite or largest == 0 or 1e-12 < largest < 1e12:
            return found
        again = Adder(self._blocks, largest, half=self._half)
        for tile in () if self.stacked else tiles(self._blocks):
            again.add(tile)
        return again.sums()

    def _sums(self) -> Sums:
        blocks = self._blocks
        pairs = [self._stack()] if self.stacked else [lines.pair(self._sketch) for lines in self._lines]
        rows, columns = zip(*pairs, strict=True)
        return Sums(
            ends=Extremes(self._low + 0.0, self._high + 0.0),
            unit=self._unit,
            centre=self._centre,
            size=sum(block.size for block in blocks),
            zeros=self._zeros,
            at_limit=self._at_limit,
            small=self._small,
            squares=self._squares,
            rows=rows,
            columns=columns,
            sketch=self._sketch,
        )

    @np.errstate(over="ignore", invalid="ignore")
    def add(self, tile: Tile) -> None:
        """Add up the next tile."""
        if tile.number == len(self._lines):
            corner, sides = self._starts[tile.number], self._sides
            self._lines.append(_BlockLines(self._blocks[tile.number], corner, sides, dense=self._dense))
        self._lines[tile.number].add(tile, *self._take(tile.wide, tile.sizes))

    def _stack(self) -> tuple[Lines, Lines]:
        """Add up many small blocks of one shape, a stack of them at a time."""
        n_in, n_out = self._blocks[0].shape
        left, right = (spread(factors(side), 0) for side in self._sides)
        rows, columns = (
            Lines(self._blocks[0].shape[1 - side], *_nothing(self._sides[side])) for side in (0, 1)
        )
        step = max(_CELLS // (n_in * n_out), 1)
        for start in range(0, len(self._blocks), step):
            cells = widened(np.stack(self._blocks[start : start + step]))
            scaled, sizes, there = self._take(cells, np.abs(cells))
            ins = slice(start * n_in, (start + len(cells)) * n_in)
            outs = slice(start * n_out, (start + len(cells)) * n_out)
            rows.sums[ins], columns.sums[outs] = sizes.sum(axis=2).ravel(), sizes.sum(axis=1).ravel()
            rows.filled[ins] = n_out if there is None else np.count_nonzero(there, axis=2).ravel()
            columns.filled[outs] = n_in if there is None else np.count_nonzero(there, axis=1).ravel()
            lefts = left[ins].reshape(len(cells), n_in, SIDE).transpose(0, 2, 1)
            self._sketch += (lefts @ scaled @ right[outs].reshape(len(cells), n_out, SIDE)).sum(axis=0)
        return rows, columns

    def _take(self, wide: Matrix, sizes: Matrix) -> tuple[Floats, Floats, NDArray[np.bool_] | None]:
        """Return weights in the unit, magnitudes from the centre, and which are not zero; None if all are."""
        scaled = (wide if self._unit == 1 else wide / np.float64(self._unit)).astype(np.float32, copy=False)
        if scaled is not wide:
            sizes = np.abs(scaled)
        least, top = sizes.min(), sizes.max()
        beaten = np.float32(min(self._high, -self._low) / self._unit)
        if not (top < beaten or (top == beaten and wide is scaled)):  # else neither end can be new
            self._low = float(np.minimum(self._low, wide.min()))  # NaN stays, unlike with Python's own
            self._high = float(np.maximum(self._high, wide.max()))
        if top >= self._record:
            self._at_limit *= int(top == self._record)
            self._at_limit += int(np.count_nonzero(sizes == top))
            self._record = top
        there = wide != 0 if least == 0 else None
        zeros = 0 if there is None else wide.size - int(np.count_nonzero(there))
        self._zeros += zeros
        if self._half and least < SMALLEST_NORMAL:
            self._small += int(np.count_nonzero(sizes < np.float32(SMALLEST_NORMAL))) - zeros
        if self._centre:
            sizes = sizes - np.float32(self._centre)
        self._squares += sum_of_squares(sizes)
        return scaled, sizes, there


class _BlockLines:
    """The lines of one block while they are added up, in the order in which it lies in memory.

    ``corner`` is the cell of the layer that its first weight is, ``sides`` are those of the layer.
    """

    def __init__(self, block: Matrix, corner: Sequence[int], sides: Sequence[int], *, dense: bool) -> None:
        base = lines_of(block)
        self._flipped = base is not block
        turn = -1 if self._flipped else 1
        (self._first, self._other), lengths = corner[::turn], sides[::turn]
        n_along, n_across = base.shape
        self._left = factors(lengths[0])[self._first : self._first + n_along]
        self._right = factors(lengths[1])[self._other : self._other + n_across]
        self._along, self._across = (
            Lines(base.shape[1 - side], *_nothing(base.shape[side])) for side in (0, 1)
        )
        self._on_left = np.zeros((SIDE, n_across), np.float32)
        self._on_right = np.zeros((n_along, SIDE), np.float32)
        self._asked = n_across // 4 if dense and n_across >= _PART else n_across

    def add(self, tile: Tile, scaled: Floats, sizes: Floats, there: NDArray[np.bool_] | None) -> None:
        """Add up a tile: its weights in the unit, magnitudes from the centre, and which are not zero."""
        rows, columns, (along, across) = tile.rows, tile.columns, (self._along, self._across)
        if there is not None:
            count_filled(there, along.filled[rows], across.filled[columns])
        else:
            along.filled[rows] += sizes.shape[1]
            across.filled[columns] += len(sizes)
        along.sums[rows] += onto_columns(sizes, np.ones((sizes.shape[1], 1), np.float32))[:, 0]
        across.sums[columns] += onto_rows(np.ones((len(sizes), 1), np.float32), sizes)[0]
        if columns.start < self._asked:
            some = slice(columns.start, min(columns.stop, self._asked))
            parts = onto_parts(scaled[:, : some.stop - some.start], self._right[some], SIDE)
            self._on_right[rows] += parts
        together(self._on_left[:, columns], scaled, self._left[rows], self._first + rows.start)

    def pair(self, sketch: NDArray[np.float64]) -> tuple[Lines, Lines]:
        """Return the rows and the columns, and add the block to the sketch of its layer."""
        own = onto_columns(self._on_left, spread(self._right, self._other)).astype(np.float64)
        sketch += own.T if self._flipped else own
        pair = (
            self._along._replace(projections=self._on_right),
            self._across._replace(projections=self._on_left.T),
        )
        return pair[::-1] if self._flipped else pair


def _nothing(n: int) -> tuple[NDArray[np.float64], NDArray[np.intp], None]:
    return np.zeros(n), np.zeros(n, np.intp), None
