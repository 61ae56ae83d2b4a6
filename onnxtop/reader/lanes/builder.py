"""The network graph while it is made: vertices in runs, structural edges, blocks.

A run is a range of vertices that one node made together. Runs, not vertices, carry names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from onnxtop.network import Block
from onnxtop.reader.lanes.arrays import (
    NONE,
    Ids,
    NotUnrolledError,
    Unclear,
    distinct,
    laid_out,
    row_codes,
)
from onnxtop.reader.limits import Limits
from onnxtop.reader.model import Value

_BLOCKS, _WEIGHTED = 1 / 16, 4.0
"""Blocks, and edges in them, a neuron, that a graph may have whose convolutions are taken by positions."""


@dataclass(frozen=True)
class Vertices:
    """Vertices ``first`` to ``first + count - 1`` of the network graph, and where they come from.

    ``kind`` is "input", "vocabulary" (entries of a table that indices choose), "layer", "join", "state" (what
    a loop or a recurrence carries) or "hub". ``name`` is that of the input, of the layer, or of the node. A
    vertex's index in its run counts along the row-major order of the tensor's neuron axes.
    """

    first: int
    count: int
    kind: str
    name: str


@dataclass(frozen=True, eq=False)
class Edges:
    """Structural edges made together; ``sum_`` if they bring the operands of an addition."""

    source: Ids
    target: Ids
    sum_: bool = False


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Entries of a table that indices choose, which are inputs; ``index`` is the value that chooses."""

    ids: Ids
    index: Value


class Extent(NamedTuple):
    """How much of everything a builder has made."""

    runs: int
    edges: int
    blocks: int
    vocabularies: int
    vertices: int
    edge_count: int
    weighted: int


class GraphBuilder:
    """Collects vertices, edges and blocks; can be taken back to an earlier state.

    A ``bounded`` one refuses, by a `NotUnrolledError`, to grow beyond what is worth its time.
    """

    def __init__(self, limits: Limits, *, bounded: bool = False) -> None:
        self.bounded = bounded
        self.limits = limits
        self.runs: list[Vertices] = []
        self.edges: list[Edges] = []
        self.blocks: list[Block] = []
        self.vocabularies: dict[tuple[Value, str, int], Vocabulary] = {}
        self.count = 0
        self.edge_count = 0
        self.weighted = 0

    def structural(self) -> Ids:
        """Return the structural edges, from and to, shape (k, 2)."""
        pairs = [np.column_stack([edges.source, edges.target]) for edges in self.edges]
        return np.concatenate(pairs) if pairs else np.empty((0, 2), np.intp)

    def mark(self) -> "Extent":
        """Return what `back_to` needs to forget everything made from here on."""
        lengths = len(self.runs), len(self.edges), len(self.blocks), len(self.vocabularies)
        return Extent(*lengths, self.count, self.edge_count, self.weighted)

    def back_to(self, mark: "Extent") -> None:
        """Forget what was made since the mark."""
        del self.runs[mark.runs :], self.edges[mark.edges :], self.blocks[mark.blocks :]
        while len(self.vocabularies) > mark.vocabularies:
            self.vocabularies.popitem()
        self.count, self.edge_count, self.weighted = mark.vertices, mark.edge_count, mark.weighted

    def new(self, count: int, kind: str, name: str) -> Ids:
        """Make vertices."""
        self.check(count)
        if count > 1 and self.count + count > self.limits.neurons:  # one for all is made
            raise Unclear(f"its vertices: {self.limits.most('neurons', self.count + count)}")
        ids: Ids = np.arange(self.count, self.count + count)
        if count:
            self.runs.append(Vertices(self.count, count, kind, name))
        self.count += count
        return ids

    def check(self, count: int, blocks: int = 0, weighted: int = 0) -> None:
        """Look whether there is room for so many vertices, blocks, and edges in these."""
        if not self.bounded:
            return
        for what, size, share in (
            ("neurons", self.count + count, 1.0),
            ("blocks", len(self.blocks) + blocks, _BLOCKS),
            ("weighted edges", self.weighted + weighted, _WEIGHTED),
        ):
            if size > (most := int(share * self.limits.neurons)):
                raise NotUnrolledError(
                    f"the graph would have more than {most} {what}; --limit neurons=NUMBER allows more"
                )

    def alike(self, ids: Ids, axes: Sequence[int]) -> None:
        """Hear that a weight reads lanes alike along the axes; each that differs is a use of its own."""

    def connect(self, source: Ids, target: Ids, *, sum_: bool = False) -> None:
        """Add structural edges; the two arrays broadcast, and missing lanes make none."""
        source, target = (np.ravel(side) for side in np.broadcast_arrays(source, target))
        there = (source != NONE) & (target != NONE) & (source != target)
        if there.any():
            self.edges.append(Edges(source[there], target[there], sum_))
            self.edge_count += len(self.edges[-1].source)

    def vocabulary(self, count: int, index: Value, table: str, name: str) -> Ids:
        """Return the vertices of a table's entries, the same for the same index and table."""
        key = index, table, count
        if key not in self.vocabularies:
            self.vocabularies[key] = Vocabulary(self.new(count, "vocabulary", name), index)
        return self.vocabularies[key].ids

    def block(self, layer: int, matrix: int, rows: Ids, columns: Ids) -> None:
        """Add one use of one matrix."""
        self.check(0, 1, len(rows) * len(columns))
        self.weighted += len(rows) * len(columns)
        self.blocks.append(Block(layer, matrix, np.ascontiguousarray(rows), np.ascontiguousarray(columns)))

    def join(self, operands: Sequence[Ids], name: str, *, sum_: bool = False) -> Ids:
        """Return lanes that hold all operands: a new vertex wherever their ids differ."""
        shape = np.broadcast_shapes(*(ids.shape for ids in operands))
        first = operands[0]
        if all(ids is first or (ids.shape == first.shape and (ids == first).all()) for ids in operands[1:]):
            return first
        if np.prod(shape, dtype=float) * len(operands) > self.limits.neurons:
            raise Unclear(f"its lanes would need {np.prod(shape)} entries")
        rows = np.stack([laid_out(ids, shape).ravel() for ids in operands], 1)
        joined: Ids = rows.max(1)
        mixed = ((rows != joined[:, None]) & (rows != NONE)).any(1)
        if mixed.any():
            joined[mixed] = self._merge(np.sort(rows[mixed], 1), name, sum_)
        return joined.reshape(shape)

    def _merge(self, rows: Ids, name: str, sum_: bool) -> Ids:
        """Make one vertex for each kind of row (sorted), with an edge from every vertex in it."""
        first, kinds = row_codes(rows)
        kept = rows[first]
        if self.edge_count + kept.size > self.limits.neurons:
            raise Unclear(f"its edges: {self.limits.most('neurons', self.edge_count + kept.size)}")
        again = np.zeros(kept.shape, bool)
        again[:, 1:] = kept[:, 1:] == kept[:, :-1]
        made = self.new(len(first), "join", name)
        self.connect(np.where(again, NONE, kept), made[:, None], sum_=sum_)
        return made[kinds]

    def reduce(self, ids: Ids, axes: Sequence[int], name: str) -> Ids:
        """Return lanes of size 1 along the axes: one new vertex for all that stood along them."""
        wide = [axis % ids.ndim for axis in axes if ids.shape[axis] > 1]
        if not wide:
            return ids
        rest = [axis for axis in range(ids.ndim) if axis not in wide]
        rows = ids.transpose(*rest, *wide).reshape(int(np.prod([ids.shape[axis] for axis in rest])), -1)
        rows = np.sort(rows, 1)
        same = ((rows == rows[:, -1:]) | (rows == NONE)).all(1)
        out = rows[:, -1].copy()
        if not same.all():
            out[~same] = self._merge(rows[~same], name, sum_=False)
        return out.reshape([1 if axis in wide else size for axis, size in enumerate(ids.shape)])

    def gather(self, operands: Sequence[Ids], kind: str, name: str) -> Ids:
        """Return one new vertex with an edge from every vertex of the operands, shape (1,)."""
        made = self.new(1, kind, name)
        self.connect(distinct(*operands), made)
        return made
