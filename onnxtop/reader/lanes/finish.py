"""From what the walk collected to the network graph: reach, skips, and the layer graph."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from onnxtop.network import Block, id_type
from onnxtop.reader.flow import Flow
from onnxtop.reader.lanes.arrays import NONE, Ids, distinct, each_once
from onnxtop.reader.lanes.builder import Edges, GraphBuilder


def reach(builder: GraphBuilder, sources: Ids, targets: Ids) -> tuple[Ids, Ids]:
    """Return masks of the vertices that the sources reach, and of those that reach the targets."""
    here, there, count = _all_edges(builder)
    forward = _spread(here, there, sources, count)[: builder.count]
    backward = _spread(there, here, targets, count)[: builder.count]
    return forward, backward


def _all_edges(builder: GraphBuilder) -> tuple[Ids, Ids, int]:
    """Return all edges, each block as one more vertex between its rows and its columns."""
    here: list[Ids] = [edges.source for edges in builder.edges]
    there: list[Ids] = [edges.target for edges in builder.edges]
    for place, block in enumerate(builder.blocks):
        rows = distinct(block.rows)
        middle = builder.count + place
        here += [rows, np.full(len(block.columns), middle)]
        there += [np.full(len(rows), middle), block.columns]
    count = builder.count + len(builder.blocks)
    kind, none = id_type(count), np.empty(0, np.intp)
    ends = (np.concatenate([none, *side], dtype=kind, casting="same_kind") for side in (here, there))
    return next(ends), next(ends), count


def _spread(here: Ids, there: Ids, front: Ids, count: int) -> Ids:
    order = np.argsort(here, kind="stable")
    ends = there[order]
    first = np.searchsorted(here[order], np.arange(count + 1, dtype=here.dtype))
    del order
    reached = np.zeros(count, bool)
    while front.size:
        reached[front] = True
        lengths = first[front + 1] - first[front]
        offsets = np.repeat(first[front] - np.cumsum(lengths) + lengths, lengths)
        next_ = ends[offsets + np.arange(lengths.sum())]
        front = each_once(next_[~reached[next_]], count)
    return reached


class Runs:
    """Which runs of vertices feed which, by structural edges and by uses of layers.

    ``uses`` has a row for each use of a layer (a convolution's may have a block for each of thousands of
    positions): the layer, and the runs that hold its rows and its columns.
    """

    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder
        self._starts = np.array([run.first for run in builder.runs])
        self.uses = list(self._by_use())

    def of(self, ids: Ids) -> list[int]:
        """Return the runs that hold the vertices, each once."""
        runs: list[int] = distinct(self._run(ids[ids != NONE])).tolist()
        return runs

    def pairs(self, source: Ids, target: Ids) -> list[tuple[int, int]]:
        """Return the distinct pairs of runs that edges join."""
        count = len(self._starts)
        codes = np.unique(self._run(source) * count + self._run(target))
        return list(zip((codes // count).tolist(), (codes % count).tolist(), strict=True))

    def _run(self, ids: Ids) -> Ids:
        return np.searchsorted(self._starts, ids, side="right") - 1

    def _by_use(self) -> Iterator[tuple[int, list[int], list[int]]]:
        def use(block: Block) -> tuple[int, int]:
            return block.layer, int(self._run(block.columns[:1].max(initial=0)))

        for (layer, _), group in groupby(self._builder.blocks, key=use):
            together = list(group)
            rows, columns = (
                np.concatenate([getattr(block, side) for block in together]) for side in ("rows", "columns")
            )
            yield layer, self.of(rows), self.of(columns)

    def skip_edges(self) -> Ids:
        """Return the edges that bring the earlier operand to a residual sum, shape (k, 2).

        An operand is earlier if the other one was computed from it. Runs stand in the order in which they
        were made, so that one pass finds all ancestors: a bit for each run that is an operand of a sum is the
        set of them. Sets are forgotten behind the last run that is made of theirs, and so are the bits below
        the first operand that a sum still waits for: along residual blocks they stay short.
        """
        entering, sums = self._entering()
        operands = {
            run: set(self._run(np.concatenate([e.source for e in sums[run]])).tolist()) for run in sums
        }
        until = {parent: run for run in sorted(operands) for parent in operands[run]}
        order = sorted(until)
        bits = {parent: bit for bit, parent in enumerate(order)}
        last = {parent: run for run in sorted(entering) for parent in entering[run]}
        ancestors: dict[int, tuple[int, int]] = {}
        found, first = [np.empty((0, 2), np.intp)], 0
        for run in range(len(self._starts)):
            while first < len(order) and until[order[first]] < run:
                first += 1
            before = 0
            for parent in entering.get(run, ()):
                known, since = ancestors[parent]
                before |= known >> first - since
            own = [parent for parent in operands.get(run, ()) if before >> bits[parent] - first & 1]
            for edges in sums.get(run, ()) if own else ():
                kept = np.isin(self._run(edges.source), own)
                found.append(np.column_stack([edges.source[kept], edges.target[kept]]))
            for parent in entering.get(run, ()):
                before |= 1 << bits[parent] - first if bits.get(parent, -1) >= first else 0
                if last[parent] == run:
                    del ancestors[parent]
            ancestors[run] = before, first
        return np.concatenate(found)

    def _entering(self) -> tuple[dict[int, set[int]], dict[int, list[Edges]]]:
        """Return the earlier runs that feed each run, and the edges of each sum."""
        entering: dict[int, set[int]] = {}
        sums: dict[int, list[Edges]] = {}
        structural = self._builder.structural()
        for a, b in self.pairs(structural[:, 0], structural[:, 1]):
            entering.setdefault(b, set()).add(a)
        added = [edges for edges in self._builder.edges if edges.sum_]
        made = self._run(np.array([edges.target[0] for edges in added], np.intp)).tolist()
        for run, edges in zip(made, added, strict=True):
            sums.setdefault(run, []).append(edges)
        for _, rows, columns in self.uses:
            for b in columns:
                entering.setdefault(b, set()).update(rows)
        return {run: {parent for parent in held if parent < run} for run, held in entering.items()}, sums

    def layer_graph(
        self, structural: Ids, names: Sequence[str], skipped: Sequence[str], outputs: Mapping[str, Ids]
    ) -> Flow:
        """Return the layers, inputs, outputs and the joins between them; an edge where neurons feed neurons.

        Every layer is there, whether or not anything reaches it. ``names`` are those of the blocks' layers.
        """
        graph = Flow()
        for kind, given in (("layer", names), ("skipped", skipped)):
            for name in given:
                graph.add(kind, name)
        owners = self._owners(names)
        for made in self._builder.runs:
            if made.kind in ("input", "vocabulary", "state"):
                graph.add(made.kind, made.name)
        for number, rows, _ in self.uses:
            layer = graph.add("layer", names[number])
            for run in rows:
                for owner in owners[run]:
                    graph.join(graph.add(*owner), layer)
        for a, b in self.pairs(structural[:, 0], structural[:, 1]):
            for source in owners[a]:
                for target in owners[b]:
                    graph.join(graph.add(*source), graph.add(*target))
        for name, ids in outputs.items():
            node = graph.add("output", name)
            for run in self.of(ids):
                for owner in owners[run]:
                    graph.join(graph.add(*owner), node)
        return graph

    def _owners(self, names: Sequence[str]) -> list[list[tuple[str, str]]]:
        """Return what stands for each run: the layers whose weights enter it, or what made it."""
        owners: list[dict[tuple[str, str], None]] = [{} for _ in self._builder.runs]
        for number, _, columns in self.uses:
            for run in columns:
                owners[run]["layer", names[number]] = None
        return [
            list(found) or [(run.kind, run.name)]
            for found, run in zip(owners, self._builder.runs, strict=True)
        ]
