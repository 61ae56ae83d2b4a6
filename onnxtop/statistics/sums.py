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

from onnxtop.network import Blocks, Extremes, Matrix, Stack, Tile, count_filled, lines_of, tiles, widened
from onnxtop.statistics.numbers import SMALLEST_NORMAL, sample
from onnxtop.statistics.products import PIECE, onto_columns, onto_parts, onto_rows, sum_of_squares
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

    def each(self) -> list["Lines"]:
        """Return those of each block, of a stack of them."""
        projections = [None] * len(self.sums) if self.projections is None else self.projections
        return [Lines(self.length, *each) for each in zip(self.sums, self.filled, projections, strict=True)]


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


def stackable(shape: tuple[int, int]) -> bool:
    """Tell whether a matrix is so small that what is added up of it comes of one product each.

    >>> stackable((16, 16)), stackable((1, 16)), stackable((2, 2000))
    (True, False, False)
    """
    return math.prod(shape) <= PIECE and min(shape) > 1 and max(shape) < _PART


@np.errstate(over="ignore", invalid="ignore")
def add_up_each(stack: Stack, *, half: bool = False) -> list[Sums]:
    """Add up layers of one matrix each, which are `stackable`: to the bit what `add_up` makes of each alone.

    Examples
    --------
    >>> matrices = [np.array([[1.0, -2.0], [0.0, 2.0]]), np.array([[3.0, 1.0], [0.5, 0.0]])]
    >>> [found.zeros for found in add_up_each(Stack.of(matrices))]
    [1, 1]
    """
    wide = stack.wide
    sizes = np.abs(wide.astype(np.float32, copy=False))
    there = wide != 0
    of_each = (1, 2)
    lows, highs = (wide.min(of_each) + 0.0).tolist(), (wide.max(of_each) + 0.0).tolist()
    zeros = stack.lines[0].size - np.count_nonzero(there, of_each)
    at_limit = np.count_nonzero(sizes == sizes.max(of_each, keepdims=True), of_each).tolist()
    small = (np.count_nonzero(sizes < SMALLEST_NORMAL, of_each) - zeros if half else 0 * zeros).tolist()
    entries = np.abs(stack.rows, dtype=np.float64)
    centres = [*map(_centre_of, entries.mean(axis=1).tolist(), entries.std(axis=1).tolist())]
    sizes -= np.array(centres, np.float32)[:, np.newaxis, np.newaxis]
    flat = sizes.reshape(len(sizes), -1)
    squares = np.vecdot(flat, flat).tolist()
    lines = _BlockLines(stack.lines, stack.turned, (0, 0), stack.shape)
    lines.multiply(slice(None), slice(None), wide.astype(np.float32, copy=False), sizes)
    lines.count(there)
    sketches = np.zeros((len(sizes), SIDE, SIDE))
    rows, columns = (side.each() for side in lines.pair(sketches))
    found = []
    for k, matrix in enumerate(stack.matrices):
        ends = Extremes(lows[k], highs[k])
        found.append(
            Sums(
                ends=ends,
                unit=1.0,
                centre=centres[k],
                size=matrix.size,
                zeros=int(zeros[k]),
                at_limit=at_limit[k],
                small=small[k],
                squares=squares[k],
                rows=(rows[k],),
                columns=(columns[k],),
                sketch=sketches[k],
            )
            if _has_unit(ends)
            else add_up([matrix], half=half)
        )
    return found


def _has_unit(ends: Extremes) -> bool:
    """Tell whether squares of the numbers neither overflow nor vanish as they are."""
    return ends.finite and (ends.largest == 0 or 1e-12 < ends.largest < 1e12)


def _centre(sizes: NDArray[np.float64]) -> float:
    """Return a typical magnitude if most are near it, 0 otherwise."""
    return _centre_of(float(sizes.mean()), float(sizes.std()))


def _centre_of(mean: float, deviation: float) -> float:
    return mean if math.isfinite(mean) and deviation < _VARIED * mean else 0.0


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
        if self._unit != 1 or not found.ends.finite or _has_unit(found.ends):
            return found
        again = Adder(self._blocks, found.ends.largest, half=self._half)
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
            block = self._blocks[tile.number]
            lines, corner = lines_of(block), self._starts[tile.number]
            self._lines.append(_BlockLines(lines, lines is not block, corner, self._sides, dense=self._dense))
        scaled, sizes, there = self._take(tile.wide, tile.sizes)
        self._lines[tile.number].count_tile(tile, there)
        self._lines[tile.number].multiply(tile.rows, tile.columns, scaled, sizes)

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

    ``base`` are its lines, its own columns if it is ``flipped``. ``corner`` is the cell of the layer that its
    first weight is, ``sides`` are those of the layer. All is the same of a stack of blocks, which are layers
    each, with a first axis more.
    """

    def __init__(
        self, base: Matrix, flipped: bool, corner: Sequence[int], sides: Sequence[int], *, dense: bool = False
    ) -> None:
        self._flipped = flipped
        turn = -1 if flipped else 1
        (self._first, self._other), lengths = corner[::turn], sides[::turn]
        *stacked, n_along, n_across = base.shape
        self._left = factors(lengths[0])[self._first : self._first + n_along]
        self._right = factors(lengths[1])[self._other : self._other + n_across]
        self._along, self._across = (
            Lines(length, *_nothing(*stacked, side))
            for length, side in ((n_across, n_along), (n_along, n_across))
        )
        self._on_left = np.zeros((*stacked, SIDE, n_across), np.float32)
        self._on_right = np.zeros((*stacked, n_along, SIDE), np.float32)
        self._asked = n_across // 4 if dense and n_across >= _PART else n_across

    def count_tile(self, tile: Tile, there: NDArray[np.bool_] | None) -> None:
        """Count which of a tile are not zero; all are if nothing is said."""
        rows, columns, (along, across) = tile.rows, tile.columns, (self._along, self._across)
        if there is not None:
            count_filled(there, along.filled[rows], across.filled[columns])
        else:
            along.filled[rows] += columns.stop - columns.start
            across.filled[columns] += rows.stop - rows.start

    def count(self, there: NDArray[np.bool_]) -> None:
        """Count which of all are not zero."""
        self._along.filled[:] = np.count_nonzero(there, axis=-1)
        self._across.filled[:] = np.count_nonzero(there, axis=-2)

    def multiply(self, rows: slice, columns: slice, scaled: Floats, sizes: Floats) -> None:
        """Add up a part of each: its weights in the unit, and magnitudes from the centre."""
        n_rows, n_columns = sizes.shape[-2:]
        first, start = rows.start or 0, columns.start or 0
        self._along.sums[..., rows] += onto_columns(sizes, np.ones((n_columns, 1), np.float32))[..., 0]
        self._across.sums[..., columns] += onto_rows(np.ones((n_rows, 1), np.float32), sizes)[..., 0, :]
        if start < self._asked:
            asked = min(n_columns, self._asked - start)
            parts = onto_parts(scaled[..., :asked], self._right[start : start + asked], SIDE)
            self._on_right[..., rows, :] += parts
        together(self._on_left[..., columns], scaled, self._left[rows], self._first + first)

    def pair(self, sketch: NDArray[np.float64]) -> tuple[Lines, Lines]:
        """Return the rows and the columns, and add the block to the sketch of its layer."""
        own = onto_columns(self._on_left, spread(self._right, self._other)).astype(np.float64)
        sketch += own.swapaxes(-1, -2) if self._flipped else own
        pair = (
            self._along._replace(projections=self._on_right),
            self._across._replace(projections=self._on_left.swapaxes(-1, -2)),
        )
        return pair[::-1] if self._flipped else pair


def _nothing(*shape: int) -> tuple[NDArray[np.float64], NDArray[np.intp], None]:
    return np.zeros(shape), np.zeros(shape, np.intp), None
