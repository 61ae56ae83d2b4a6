"""What the reader makes and the topology measures.

A *block* is a weight matrix of shape (n_in, n_out): rows are inputs, columns are outputs, always. A layer is
one block, or several that share no neuron (groups of a convolution, entries of a batched MatMul). The rows
of block ``b`` follow those of block ``b - 1``, likewise the columns, so that every weight of a layer has
one row and one column.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating[Any]]
"""A weight matrix, shape (n_in, n_out), float16, float32 or float64."""

Blocks = Sequence[Matrix]
"""The matrices of one layer; no two share a neuron."""


def id_type(count: int) -> np.dtype[np.signedinteger[Any]]:
    """Return the type in which ids below a count are held where there are many of them."""
    return np.dtype(np.int32 if count < 2**31 else np.intp)


def strips(shape: tuple[int, ...], cells: int) -> Iterator[slice]:
    """Cut the rows of a matrix of this shape into strips of at most so many cells, of a row at least."""
    height = max(1, cells // max(shape[1], 1))
    return (slice(start, start + height) for start in range(0, shape[0], height))


CHUNK = 1 << 17
"""Cells worked on at a time: they and what is made of them stay in the cache."""
_CELLS, _WIDTH, _TURN = 1 << 19, 1 << 14, 8
"""Cells of a tile, how wide it is at most, and of which its height is a multiple; tiles of a few rows have
slow products."""
_WIDE = 64
"""Cells from which a row is counted by itself."""
_INFINITY, _SIGN = 0x7C00, 0x8000
"""Patterns of float16."""


def lines_of(matrix: Matrix) -> Matrix:
    """Return the matrix, transposed if its columns are what lies together in memory."""
    return matrix.T if abs(matrix.strides[0]) < abs(matrix.strides[1]) else matrix


class Stack(NamedTuple):
    """Small matrices of one shape and type, which are looked at together: each is all that a layer has.

    ``lines``, shape (k, n, m), are in native byte order, as they lie in memory: if they are ``turned``, those
    of a matrix are its columns.
    """

    lines: Matrix
    turned: bool

    @classmethod
    def of(cls, matrices: Sequence[Matrix]) -> "Stack":
        """Copy matrices that lie alike in memory.

        >>> Stack.of([np.ones((2, 3)), np.zeros((2, 3))]).lines.shape
        (2, 2, 3)
        """
        lines = [lines_of(matrix) for matrix in matrices]
        together = np.stack(lines)
        native = together.dtype.newbyteorder("=")
        return cls(together.astype(native, copy=False), lines[0] is not matrices[0])

    def take(self, chosen: Sequence[int]) -> "Stack":
        """Return some of them."""
        return self if len(chosen) == len(self.lines) else Stack(self.lines[list(chosen)], self.turned)

    @property
    def shape(self) -> tuple[int, int]:
        """That of each matrix: its inputs and its outputs."""
        _, n_lines, length = self.lines.shape
        return (length, n_lines) if self.turned else (n_lines, length)

    @property
    def matrices(self) -> list[Matrix]:
        """The matrices, shape (n_in, n_out), views all."""
        return list(self.lines.transpose(0, 2, 1) if self.turned else self.lines)

    @property
    def rows(self) -> Matrix:
        """All entries of a matrix, as of its rows one after the other; shape (k, n_in * n_out)."""
        rows = self.lines.transpose(0, 2, 1) if self.turned else self.lines
        return rows.reshape(len(rows), -1)

    @property
    def wide(self) -> Matrix:
        """The lines in float32 or float64."""
        n_stacked, _, length = self.lines.shape
        return widened(self.lines.reshape(-1, length)).reshape(n_stacked, -1, length)


class Extremes(NamedTuple):
    """The smallest and the largest weight of a layer; both NaN if a weight is, or if there is none."""

    low: float
    high: float

    @property
    def largest(self) -> float:
        """The largest ``|w|``."""
        return max(self.high, -self.low)

    @property
    def finite(self) -> bool:
        """Whether all weights are finite, and there are any."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def extremes(blocks: Blocks) -> Extremes:
    """Return the smallest and the largest weight of a layer, in one pass.

    Examples
    --------
    >>> extremes([np.array([[1.0, -3.0]], np.float16), np.array([[2.0], [0.5]])])
    Extremes(low=-3.0, high=2.0)
    >>> extremes([np.array([[1.0, np.nan]])]).finite, extremes([np.array([[1.0, -np.inf]])]).largest
    (False, inf)
    """
    ends = [_ends(part) for block in blocks for part in _parts(block)]
    if not ends:
        return Extremes(math.nan, math.nan)
    low, high = np.min(ends, axis=0)[0], np.max(ends, axis=0)[1]
    return Extremes(float(low) + 0.0, float(high) + 0.0)  # no zero has a sign


def _parts(block: Matrix) -> Iterator[Matrix]:
    """Yield all weights in strips that stay in the cache, in native byte order."""
    lines = lines_of(block)
    for rows in strips(lines.shape, CHUNK):
        part = lines[rows]
        if part.size:
            yield part.astype(part.dtype.newbyteorder("="), copy=False)


def _ends(part: Matrix) -> tuple[float, float]:
    """Return the smallest and the largest entry; both NaN if one is.

    Patterns of float16 are compared as integers, which is 40 times as quick: among the positive numbers the
    larger has the larger pattern, among the negative ones the smaller, and all of those, read without a
    sign, are above all positive ones.
    """
    if part.dtype != np.float16:
        return float(part.min()), float(part.max())
    signed, unsigned = part.view(np.int16), part.view(np.uint16)
    top, bottom = int(signed.max()), int(unsigned.max())
    if top > _INFINITY or bottom > _SIGN + _INFINITY:
        return math.nan, math.nan
    high = top if top >= 0 else int(unsigned.min())
    low = bottom if bottom >= _SIGN else int(signed.min())
    return _half(low), _half(high)


def _half(pattern: int) -> float:
    return float(np.uint16(pattern).view(np.float16))


def widened(block: Matrix, room: Matrix | None = None) -> Matrix:
    """Return weights in native float32 or float64, shape and order of memory as given, if need be a copy.

    ``room`` is an array of float32 of the same shape and order that float16 may be widened into.

    float16 is widened exactly by moving its digits, which is four times as quick as NumPy's own way; the
    exponents then differ by a constant, except where they stand for infinity and NaN.

    Examples
    --------
    >>> widened(np.array([[1.5, -np.inf]], np.float16))
    array([[ 1.5, -inf]], dtype=float32)
    """
    if block.dtype != np.float16:
        return block.astype(np.promote_types(block.dtype.newbyteorder("="), np.float32), copy=False)
    lines = lines_of(block)
    if room is None:
        room = np.empty_like(block, np.float32)
    found = room if lines is block else room.T
    for rows in strips(lines.shape, CHUNK):
        _widen(np.asarray(lines[rows], np.float16), found[rows])
    return room


def _widen(part: Matrix, into: Matrix) -> None:
    bits = into.view(np.int32)
    np.copyto(bits, part.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, np.int32(~0x70001FFF), out=bits)
    np.multiply(into, np.float32(2.0**112), out=into)
    if not math.isfinite(sum(_ends(part))):
        np.copyto(into, part)


class Tile:
    """Some weights of a block as one pass brings them: so many of its lines, and a part of each.

    ``cells``, which are ``rows`` and ``columns`` of what `lines_of` gives of block ``number``, are in native
    byte order, aligned, and lie together. What several ask of them is made once, and gone with the next tile.
    ``first`` is the position of the first cell in the order of memory, ``gap`` how many of a line are left
    out.
    """

    def __init__(
        self, number: int, lines: Matrix, rows: slice, columns: slice, rooms: dict[str, NDArray[Any]]
    ) -> None:
        self.number, self.rows, self.columns = number, rows, columns
        self.gap = lines.shape[1] - (columns.stop - columns.start)
        self.first = rows.start * lines.shape[1] + columns.start
        self._rooms = rooms
        part = lines[rows, columns]
        native = part.dtype.newbyteorder("=")
        if part.flags.c_contiguous and part.flags.aligned and part.dtype == native:
            self.cells = part
        else:
            self.cells = self._room("cells", part.shape, native)
            np.copyto(self.cells, part)

    @cached_property
    def wide(self) -> Matrix:
        """The weights in float32 or float64."""
        if self.cells.dtype != np.float16:
            return self.cells
        return widened(self.cells, self._room("wide", self.cells.shape, np.dtype(np.float32)))

    @cached_property
    def sizes(self) -> Matrix:
        """Their magnitudes, in float32 or float64."""
        result: Matrix = np.abs(self.wide, out=self._room("sizes", self.wide.shape, self.wide.dtype))
        return result

    def _room(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        size, room = math.prod(shape), self._rooms.get(name)
        if room is None or room.size < size or room.dtype != dtype:
            room = self._rooms[name] = np.empty(size, dtype)
        return room[:size].reshape(shape)


def tiles(blocks: Blocks) -> Iterator[Tile]:
    """Yield all weights of a layer in tiles that stay in the cache, in the order of memory.

    Examples
    --------
    >>> [tile] = tiles([np.array([[1.0, -3.0], [0.5, 2.0]], np.float16).T])
    >>> tile.cells.tolist(), tile.sizes.dtype, (tile.rows, tile.columns) == (slice(0, 2), slice(0, 2))
    ([[1.0, -3.0], [0.5, 2.0]], dtype('float32'), True)
    """
    rooms: dict[str, NDArray[Any]] = {}
    for number, block in enumerate(blocks):
        lines = lines_of(block)
        n_rows, n_columns = lines.shape
        width = max(min(n_columns, _WIDTH), 1)
        height = -(-_CELLS // width // _TURN) * _TURN
        for row in range(0, n_rows, height):
            rows = slice(row, min(row + height, n_rows))
            for column in range(0, n_columns, width):
                columns = slice(column, min(column + width, n_columns))
                yield Tile(number, lines, rows, columns, rooms)


def count_filled(there: NDArray[np.bool_], along: NDArray[np.intp], across: NDArray[np.intp]) -> None:
    """Add to the rows, and to the columns, how many of their weights are there: those that are not zero.

    Examples
    --------
    >>> along, across = np.zeros(2, int), np.zeros(3, int)
    >>> count_filled(np.array([[True, False, True], [True, False, False]]), along, across)
    >>> along.tolist(), across.tolist()
    ([2, 1], [2, 0, 1])
    """
    n_rows, n_columns = there.shape
    if there.all():
        along += n_columns
        across += n_rows
        return
    along += (
        [np.count_nonzero(row) for row in there] if n_columns >= _WIDE else np.count_nonzero(there, axis=1)
    )
    for first in range(0, n_rows, 255):  # sums of so few fit into a byte, which is quick
        across += np.add.reduce(there[first : first + 255].view(np.uint8), axis=0, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Kernel:
    r"""Weights of a convolution with what places them on the grid.

    ``weights`` has shape (groups, channels out per group, channels in per group, \*taps). Per spatial axis,
    a convolution joins input position ``y * stride - pad + tap * dilation`` to output position ``y``; a
    transposed one joins input position ``x`` to output position ``x * stride - pad + tap * dilation``; so
    ``pads`` holds the padding before the first position of each axis.
    Positions outside ``in_size`` or ``out_size`` are padding and have no neuron. Sizes are None where the
    model does not tell them.
    """

    weights: Matrix
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    transposed: bool = False
    in_size: tuple[int, ...] | None = None
    out_size: tuple[int, ...] | None = None

    @property
    def groups(self) -> int:
        """How many groups of channels share no weight."""
        return int(self.weights.shape[0])

    def matrices(self) -> list[Matrix]:
        """Return one matrix a group, (channels in per group * taps, channels out per group).

        This is the graph called ``flattened``: views of the kernel where its memory order allows.
        """
        outs = self.weights.shape[1]
        return [group.reshape(outs, -1).T for group in self.weights]


@dataclass(frozen=True, eq=False)
class RawCodes:
    """The codes of a quantised layer before they are decoded, in any shape.

    ``bits`` is the width of a code, at most 8; ``scale`` holds one number or many.
    """

    codes: NDArray[Any]
    bits: int
    scale: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one layer, read on demand: ``read()`` gives its matrices, one layer at a time."""

    name: str
    read: Callable[[], Blocks]


@dataclass(frozen=True, eq=False)
class Block:
    """One use of one matrix in the network graph: an edge from row vertex to column vertex for every weight.

    ``layer`` and ``matrix`` say which: ``graph.layers[layer].read()[matrix]``. ``rows`` and ``columns`` are
    vertex ids, shapes (n_in,) and (n_out,); an id may stand several times (the taps of a convolution, shared
    neurons), which makes parallel edges, of which the strongest counts. Id -1 is padding, which is no neuron.
    """

    layer: int
    matrix: int
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class NetworkGraph:
    """The neurons of a whole network and what joins them, directed from inputs to outputs; cycles allowed.

    Vertices are numbered from 0. ``inputs`` and ``outputs`` are ids without repetition; an id may be in both.
    ``structural`` edges, shape (k, 2), from and to, carry no weight: their strength is the top of the
    filtration. ``skips`` are those of them that bring the earlier operand to a residual join.
    """

    n_vertices: int
    inputs: NDArray[np.intp]
    outputs: NDArray[np.intp]
    layers: Sequence[Weights]
    blocks: Sequence[Block]
    structural: NDArray[np.intp]
    skips: NDArray[np.intp]
