"""All statistics of one layer, in one pass over its weights while they are in the cache."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Matrix, RawCodes, strips
from onnxtop.statistics.duplicates import Repeats, find_repeats
from onnxtop.statistics.facts import LISTED, LayerStatistics, Units
from onnxtop.statistics.numbers import count_apart, is_varied, narrower_type, out_of_range, sample
from onnxtop.statistics.products import onto_columns, onto_rows
from onnxtop.statistics.quantisation import code_statistics
from onnxtop.statistics.sketch import NARROW, SIDE, WIDE, directions, pack

_CHUNK = 2**18
"""Cells that stay in the cache while several things are asked of them."""

_MANY_BLOCKS = 32
"""More blocks than this are taken together; their units are too short to be compared."""

_SHORT = 8
"""Units with fewer weights that are not zero may be equal by chance."""

_RANK_TOLERANCE = 1e-5
"""Singular values below this share of the largest count as zero."""

Floats = NDArray[np.float32]


def layer_statistics(
    blocks: Blocks, codes: RawCodes | None = None, *, half: bool = False
) -> LayerStatistics | None:
    """Return the statistics of a layer.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out) that share no neuron.
    codes
        The codes behind them, if the layer is quantised.
    half
        Whether they are stored as float16.

    Returns
    -------
    LayerStatistics
        None for a layer without weights, or with a weight that is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> found = layer_statistics([np.array([[1.0, 0.0], [0.0, 0.0]])])
    >>> found.dead_inputs, found.dead_outputs.indices, found.zeros
    (Units(count=1, indices=(1,)), (1,), 3)
    """
    if not blocks or not all(block.size for block in blocks):
        return None
    ends = [(float(block.min()), float(block.max())) for block in blocks]
    minimum, maximum = min(low for low, _ in ends), max(high for _, high in ends)
    if not (math.isfinite(minimum + sum(low for low, _ in ends)) and math.isfinite(maximum)):
        return None
    n_in, n_out = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    largest = max(maximum, -minimum)
    total = _Total(n_in, n_out, largest, _unit(largest))
    shapes = {block.shape for block in blocks}
    if len(blocks) > _MANY_BLOCKS and len(shapes) == 1:
        _take_together(blocks, total)
    else:
        for block in blocks:
            _take(block, total)
    subnormal, saturated = out_of_range(blocks) if half else (0, 0)
    entries = sample(blocks)
    at_limit = total.at_limit
    if at_limit > 2 and not codes and is_varied(entries):
        at_limit = count_apart(blocks, largest)
    return LayerStatistics(
        n_in=n_in,
        n_out=n_out,
        minimum=minimum,
        maximum=maximum,
        rms=total.unit * math.sqrt(total.squares / total.size),
        zeros=total.zeros,
        dead_inputs=_units(np.concatenate(total.dead_rows)),
        dead_outputs=_units(np.concatenate(total.dead_columns)),
        duplicate_inputs=_units(_join([each.equal for each in total.repeated_rows])),
        duplicate_outputs=_units(_join([each.equal for each in total.repeated_columns])),
        near_duplicate_outputs=_units(_join([each.near for each in total.repeated_columns])),
        rank=total.rank,
        rank_limit=total.rank_limit,
        subnormal=subnormal,
        saturated=saturated,
        at_limit=at_limit,
        varied=is_varied(entries),
        precision=None if codes else narrower_type(entries),
        codes=code_statistics(codes) if codes else None,
        sketch=pack(total.sketch),
    )


@dataclass(eq=False)
class _Total:
    """What has been seen of a layer so far; the only mutable thing here."""

    n_rows: int
    n_columns: int
    largest: float
    unit: float
    row: int = 0
    column: int = 0
    size: int = 0
    zeros: int = 0
    at_limit: int = 0
    squares: float = 0.0
    rank: int | None = None
    rank_limit: int | None = None
    dead_rows: list[NDArray[np.intp]] = field(default_factory=list)
    dead_columns: list[NDArray[np.intp]] = field(default_factory=list)
    repeated_rows: list[Repeats] = field(default_factory=list)
    repeated_columns: list[Repeats] = field(default_factory=list)
    sketch: NDArray[np.float64] = field(default_factory=lambda: np.zeros((SIDE, SIDE)))

    def add(self, cells: Floats, zeros: int) -> None:
        """Take in some weights, in the layer's unit."""
        self.size += cells.size
        self.zeros += zeros
        self.at_limit += int(np.count_nonzero(np.abs(cells) == np.float32(self.largest / self.unit)))
        self.squares += float(np.einsum("...j,...j->...", cells, cells).sum(dtype=np.float64))

    def scaled(self, cells: Matrix) -> Floats:
        """Return weights in the layer's unit, so that squares neither overflow nor vanish in float32."""
        return (cells if self.unit == 1 else cells / np.float64(self.unit)).astype(np.float32, copy=False)

    def close(self, filled_rows: NDArray[np.intp], filled_columns: NDArray[np.intp]) -> None:
        """Take in which rows and columns of the next blocks hold anything, and step behind those blocks."""
        self.dead_rows.append(np.flatnonzero(filled_rows == 0) + self.row)
        self.dead_columns.append(np.flatnonzero(filled_columns == 0) + self.column)
        self.row += filled_rows.size
        self.column += filled_columns.size


def _take(block: Matrix, total: _Total) -> None:
    """Take in one block, in the order in which it lies in memory."""
    flipped = not block.flags.c_contiguous and block.flags.f_contiguous
    base = block.T if flipped else block
    offsets = (total.column, total.row) if flipped else (total.row, total.column)
    sides = (total.n_columns, total.n_rows) if flipped else (total.n_rows, total.n_columns)
    left, right = (
        directions(side)[offset : offset + length]
        for side, offset, length in zip(sides, offsets, base.shape, strict=True)
    )
    filled_rows, filled_columns = np.zeros(base.shape[0], np.intp), np.zeros(base.shape[1], np.intp)
    on_left, on_right = np.zeros((NARROW, base.shape[1]), np.float32), np.empty((len(base), WIDE), np.float32)
    for rows, cells in _chunks(base):
        in_row, in_column = _count_filled(cells)
        filled_rows[rows] = in_row
        filled_columns += in_column
        scaled = total.scaled(cells)
        total.add(scaled, cells.size - int(in_row.sum()))
        on_left += onto_rows(left[rows, :NARROW], scaled)
        on_right[rows] = onto_columns(scaled, right)
    sketch = onto_columns(on_left, right[:, :SIDE]).astype(np.float64)
    total.sketch += sketch.T if flipped else sketch
    if total.row == 0 and base.shape == sides:
        limit = min(int(np.count_nonzero(filled_rows)), int(np.count_nonzero(filled_columns)), WIDE)
        total.rank_limit, total.rank = limit, _rank(on_right, limit)
    repeated_rows = _repeats(base, on_right[:, :NARROW], filled_rows, offsets[0])
    repeated_columns = _repeats(base.T, on_left.T, filled_columns, offsets[1])
    if flipped:
        repeated_rows, repeated_columns = repeated_columns, repeated_rows
        filled_rows, filled_columns = filled_columns, filled_rows
    total.repeated_rows.append(repeated_rows)
    total.repeated_columns.append(repeated_columns)
    total.close(filled_rows, filled_columns)


def _count_filled(cells: Matrix) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Count the weights that are not zero in every row and every column."""
    n_rows, n_columns = cells.shape
    if np.count_nonzero(cells) == cells.size:
        return np.full(n_rows, n_columns), np.full(n_columns, n_rows)
    filled = (cells != 0).astype(np.float32)  # products with ones count fast, and exactly below 2**24
    in_row = onto_columns(filled, np.ones((n_columns, 1), np.float32))[:, 0]
    in_column = onto_rows(np.ones((n_rows, 1), np.float32), filled)[0]
    return in_row.astype(np.intp), in_column.astype(np.intp)


def _take_together(blocks: Blocks, total: _Total) -> None:
    """Take in many small blocks of one shape, a stack of them at a time."""
    n_in, n_out = blocks[0].shape
    step = max(_CHUNK // (n_in * n_out), 1)
    left, right = directions(total.n_rows)[:, :SIDE], directions(total.n_columns)[:, :SIDE]
    for start in range(0, len(blocks), step):
        cells = np.stack(blocks[start : start + step])
        filled = cells != 0
        scaled = total.scaled(cells)
        total.add(scaled, cells.size - int(np.count_nonzero(filled)))
        count = len(cells)
        lefts = left[total.row : total.row + count * n_in].reshape(count, n_in, SIDE)
        rights = right[total.column : total.column + count * n_out].reshape(count, n_out, SIDE)
        total.sketch += (lefts.transpose(0, 2, 1) @ scaled @ rights).sum(axis=0)
        in_row, in_column = np.count_nonzero(filled, axis=2), np.count_nonzero(filled, axis=1)
        total.close(in_row.reshape(-1), in_column.reshape(-1))


def _chunks(base: Matrix) -> Iterator[tuple[slice, Matrix]]:
    for rows in strips(base.shape, _CHUNK):
        cells = np.ascontiguousarray(base[rows])
        yield rows, cells.astype(np.float32) if cells.itemsize < 4 else cells  # float16 has no fast product


def _unit(largest: float) -> float:
    """Return the unit in which weights are counted: 1 unless float32 would overflow or vanish."""
    return 1.0 if largest == 0 or 1e-12 < largest < 1e12 else largest


def _rank(projected: Floats, limit: int) -> int:
    """Return how many directions the projected rows span."""
    wide = projected.astype(np.float64)
    energies = np.linalg.eigvalsh(onto_rows(wide, wide))[::-1]
    if not energies[0] > 0:
        return 0
    return min(int(np.count_nonzero(energies > (_RANK_TOLERANCE**2) * energies[0])), limit)


def _repeats(units: Matrix, projections: Floats, filled: NDArray[np.intp], offset: int) -> Repeats:
    if units.shape[1] < _SHORT or len(units) < 2:
        none = np.empty(0, np.intp)
        return Repeats(none, none)
    found = find_repeats(units, projections, filled >= _SHORT)
    return Repeats(found.equal + offset, found.near + offset)


def _join(parts: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.concatenate(parts) if parts else np.empty(0, np.intp)


def _units(indices: NDArray[np.intp]) -> Units:
    return Units(int(indices.size), tuple(indices[:LISTED].tolist()))
