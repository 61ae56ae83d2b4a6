"""Who reaches whom through weights that are not zero: a breadth-first search over the neurons of a network.

A weight of 0 carries nothing; any other does, NaN among them. How many weights of each row and each column
are not zero is counted while a layer is in memory (`filled_lines`), and mostly that decides: a column is
reached as soon as more rows are than it has zeros. Only blocks where it does not are looked at again, in the
rows that are reached and the columns that are not.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Block, Blocks, Matrix, NetworkGraph, Tile, count_filled, lines_of, strips, tiles
from onnxtop.topology.graph import Indices, Leaving
from onnxtop.topology.strongest import CHUNK, magnitudes, submatrix

Mask = NDArray[np.bool_]


class Filled(NamedTuple):
    """How many weights of every row, and of every column of a matrix are not zero."""

    rows: Indices
    columns: Indices


class LineCounter:
    """Counts the weights of the rows and columns of a matrix that are not zero, tile by tile."""

    def __init__(self, matrix: Matrix) -> None:
        lines = lines_of(matrix)
        self._turned = lines is not matrix
        self._along, self._across = (np.zeros(side, np.intp) for side in lines.shape)

    def add(self, tile: Tile) -> None:
        """Take the next tile of the matrix."""
        count_filled(_not_zero(tile.cells), self._along[tile.rows], self._across[tile.columns])

    def filled(self) -> Filled:
        """Return the counts."""
        return Filled(*((self._across, self._along) if self._turned else (self._along, self._across)))


def _not_zero(weights: Matrix) -> Mask:
    """Tell which weights are not zero; of float16 as integers, without their signs."""
    there: Mask = magnitudes(weights) != 0 if weights.dtype == "=f2" else weights != 0
    return there


def filled_lines(matrices: Blocks) -> tuple[Filled, ...]:
    """Count the weights of every row and column that are not zero, for each matrix of a layer.

    >>> filled_lines([np.array([[1.0, 0.0], [np.nan, 0.0]])])[0]
    Filled(rows=array([1, 1]), columns=array([2, 0]))
    """
    counters = [LineCounter(matrix) for matrix in matrices]
    for tile in tiles(matrices):
        counters[tile.number].add(tile)
    return tuple(counter.filled() for counter in counters)


class Reach(NamedTuple):
    """Masks of the vertices that the inputs reach, and of those that reach an output.

    Both have one entry more than there are vertices: it stands for padding, and is False.
    """

    forward: Mask
    backward: Mask

    def passes(self, block: Block) -> bool:
        """Tell whether a block lies between what the inputs reach and what reaches an output."""
        return bool(self.forward[block.rows].any() and self.backward[block.columns].any())


def reach(
    graph: NetworkGraph,
    filled: Mapping[int, Sequence[Filled]] | None = None,
    mixed: Sequence[Indices] = (),
) -> Reach:
    """Search a network from its inputs and from its outputs.

    Parameters
    ----------
    graph
        The network.
    filled
        Of each layer by number, as `filled_lines` counts it; a layer that is missing is read and counted.
        None if zeros carry as well, so that no weight is read.
    mixed
        Groups of vertices that reach each other.

    Examples
    --------
    >>> from onnxtop.topology.network_graphs import stack
    >>> found = reach(stack([np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0], [1.0]])]), {})
    >>> found.forward.tolist(), found.backward.tolist()
    ([True, True, True, False, False, False], [False, False, False, True, True, False])
    """
    edges = np.concatenate([graph.structural.reshape(-1, 2), *_edges_of(mixed, graph.n_vertices)])
    count = graph.n_vertices + len(mixed)
    forward, backward = (
        _Search(graph, edges, count, filled, backwards=backwards).spread(start)
        for backwards, start in ((False, graph.inputs), (True, graph.outputs))
    )
    return Reach(*(np.append(mask[: graph.n_vertices], False) for mask in (forward, backward)))


def _edges_of(mixed: Sequence[Indices], first: int) -> Iterator[Indices]:
    """Yield the edges to and from one more vertex for each group."""
    for middle, group in enumerate(mixed, start=first):
        both = np.column_stack([group, np.full(group.size, middle)])
        yield from (both, both[:, ::-1])


class _Search:
    """One search, along the edges or against them."""

    def __init__(
        self,
        graph: NetworkGraph,
        edges: Indices,
        count: int,
        filled: Mapping[int, Sequence[Filled]] | None,
        *,
        backwards: bool,
    ) -> None:
        self._graph = graph
        self._turned = backwards
        self._reached = np.zeros(count + 1, bool)  # the last stands for padding
        self._place = np.zeros(count, np.intp)
        sides = [(block.rows, block.columns) for block in graph.blocks]
        self._sides = [side[::-1] for side in sides] if backwards else sides
        self._counts = self._fillings(filled)
        self._open: dict[int, Indices] = {}
        self._done = np.zeros(len(sides), bool)
        ends = edges[:, ::-1] if backwards else edges
        self._edges = Leaving(count, ends[:, 0], ends[:, 1])
        tails = [tails for tails, _ in self._sides]
        numbers = np.repeat(np.arange(len(tails)), [ids.size for ids in tails])
        flat = np.concatenate([*tails, np.empty(0, np.intp)])
        self._crossings = Leaving(count, flat[flat >= 0], numbers[flat >= 0])

    def _fillings(self, filled: Mapping[int, Sequence[Filled]] | None) -> list[Indices | None]:
        """Return for each block how many weights are not zero on the way to each head, None for all."""
        if filled is None:
            return [None] * len(self._sides)
        known: dict[int, list[Indices | None]] = {}
        for number in dict.fromkeys(block.layer for block in self._graph.blocks):
            lines = filled[number] if number in filled else filled_lines(self._graph.layers[number].read())
            sides = [each if self._turned else each[::-1] for each in lines]
            known[number] = [None if (to == from_.size).all() else to for to, from_ in sides]
        return [known[block.layer][block.matrix] for block in self._graph.blocks]

    def spread(self, start: Indices) -> Mask:
        """Return a mask of what the start reaches, and the start itself."""
        front = self._new(start)
        while front.size:
            pending: set[int] = set()
            while front.size:
                touched = self._crossings.of(front)
                numbers = np.unique(touched[~self._done[touched]]).tolist()
                found = [self._edges.of(front), *(self._cross(number) for number in numbers)]
                pending.update(number for number in numbers if not self._done[number])
                front = self._new(np.concatenate(found))
            front = self._new(np.concatenate([*self._look(sorted(pending)), front]))
        return self._reached[:-1]

    def _new(self, ids: Indices) -> Indices:
        """Mark what is not reached yet, and return it, each once."""
        ids = ids[(ids >= 0) & ~self._reached[ids]]
        self._reached[ids] = True
        order: Indices = np.arange(ids.size)
        self._place[ids] = order
        once: Indices = ids[self._place[ids] == order]
        return once

    def _cross(self, number: int) -> Indices:
        """Return what a block reaches for sure, by the number of its tails that are reached."""
        tails, heads = self._sides[number]
        counts = self._counts[number]
        if counts is None:
            self._done[number] = True
            return heads
        if number not in self._open:
            self._open[number] = np.flatnonzero((counts > 0) & (heads >= 0))
        open_ = self._still_open(number)
        sure = np.count_nonzero(self._reached[tails]) > tails.size - counts[open_]
        self._open[number] = open_[~sure]
        self._done[number] = sure.all()
        return heads[open_[sure]]

    def _still_open(self, number: int) -> Indices:
        open_ = self._open[number]
        left: Indices = open_[~self._reached[self._sides[number][1][open_]]]
        return left

    def _look(self, numbers: Sequence[int]) -> Iterator[Indices]:
        """Yield what blocks reach that their counts leave open, read a layer at a time."""
        blocks = self._graph.blocks
        for layer, group in groupby(numbers, key=lambda number: blocks[number].layer):
            matrices: Blocks | None = None
            for number in group:
                tails, heads = self._sides[number]
                open_ = self._still_open(number)
                if open_.size:
                    matrices = matrices or self._graph.layers[layer].read()
                    matrix = matrices[blocks[number].matrix]
                    rows = np.flatnonzero(self._reached[tails])
                    hit = _any_filled(matrix.T if self._turned else matrix, rows, open_)
                    yield heads[open_[hit]]
                    open_ = open_[~hit]
                self._open[number] = open_
                self._done[number] = not open_.size


def _any_filled(matrix: Matrix, rows: Indices, columns: Indices) -> Mask:
    """Tell of some columns whether a weight in one of some rows is not zero."""
    hit = np.zeros(columns.size, bool)
    for part in strips((rows.size, columns.size), CHUNK):
        left = np.flatnonzero(~hit)
        if not left.size:
            break
        hit[left] = _not_zero(submatrix(matrix, rows[part], columns[left])).any(axis=0)
    return hit
