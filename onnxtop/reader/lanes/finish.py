"""From what the walk collected to the network graph: reach, skips, and the layer graph."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import networkx as nx
import numpy as np

from onnxtop.network import Block
from onnxtop.reader.lanes.arrays import NONE, Ids
from onnxtop.reader.lanes.builder import Builder

__all__ = ["layer_graph", "reach", "skip_edges"]


def reach(builder: Builder, sources: Ids, targets: Ids) -> tuple[Ids, Ids]:
    """Return masks of the vertices that the sources reach, and of those that reach the targets."""
    here, there, count = _all_edges(builder)
    forward = _spread(here, there, sources, count)[: builder.count]
    backward = _spread(there, here, targets, count)[: builder.count]
    return forward, backward


def _all_edges(builder: Builder) -> tuple[Ids, Ids, int]:
    """Return all edges, each block as one more vertex between its rows and its columns."""
    here: list[Ids] = [edges.source for edges in builder.edges]
    there: list[Ids] = [edges.target for edges in builder.edges]
    for place, block in enumerate(builder.blocks):
        rows = np.unique(block.rows[block.rows != NONE])
        middle = builder.count + place
        here += [rows, np.full(len(block.columns), middle)]
        there += [np.full(len(rows), middle), block.columns]
    if not here:
        here, there = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    return np.concatenate(here), np.concatenate(there), builder.count + len(builder.blocks)


def _spread(here: Ids, there: Ids, start: Ids, count: int) -> Ids:
    order = np.argsort(here, kind="stable")
    ends = there[order]
    first = np.searchsorted(here[order], np.arange(count + 1))
    reached = np.zeros(count, bool)
    front = np.unique(start)
    while front.size:
        reached[front] = True
        lengths = first[front + 1] - first[front]
        offsets = np.repeat(first[front] - np.cumsum(lengths) + lengths, lengths)
        next_ = ends[offsets + np.arange(lengths.sum())]
        front = _each_once(next_[~reached[next_]], count)
    return reached


def _each_once(ids: Ids, count: int) -> Ids:
    """Return the numbers below ``count``, each once: by marking them where they are many, else by sorting."""
    if len(ids) < count // 32:
        return np.unique(ids)
    there = np.zeros(count, bool)
    there[ids] = True
    return np.flatnonzero(there)


def runs_of(builder: Builder, ids: Ids) -> Ids:
    """Return the indices of the runs that hold the vertices, each once."""
    starts = np.array([run.first for run in builder.runs])
    return np.unique(np.searchsorted(starts, ids[ids != NONE], side="right") - 1)


def _uses(builder: Builder, blocks: Sequence[Block]) -> Iterator[tuple[int, Ids, Ids]]:
    """Return, for each use of a layer, the layer, and rows and columns of all blocks that it made.

    A convolution's use may have a block for each of thousands of positions.
    """
    starts = np.array([run.first for run in builder.runs])

    def use(block: Block) -> tuple[int, int]:
        return block.layer, int(np.searchsorted(starts, block.columns[:1].max(initial=0), side="right"))

    for (layer, _), group in groupby(blocks, key=use):
        together = list(group)
        yield (
            layer,
            np.concatenate([block.rows for block in together]),
            np.concatenate([block.columns for block in together]),
        )


def _distinct_pairs(first: Ids, second: Ids, count: int) -> list[tuple[int, int]]:
    """Return the distinct pairs of two columns of numbers below ``count``."""
    codes = np.unique(first * count + second)
    return list(zip((codes // count).tolist(), (codes % count).tolist(), strict=True))


def skip_edges(builder: Builder) -> Ids:
    """Return the edges that bring the earlier operand to a residual sum, shape (k, 2).

    An operand is earlier if the other one was computed from it. Runs stand in the order in which they were
    made, so that one pass finds all ancestors; a bit for each run is its set.
    """
    starts = np.array([run.first for run in builder.runs])
    entering: dict[int, set[int]] = {}
    sums: dict[int, list[tuple[Ids, Ids]]] = {}
    for edges in builder.edges:
        source = np.searchsorted(starts, edges.source, side="right") - 1
        target = np.searchsorted(starts, edges.target, side="right") - 1
        for a, b in _distinct_pairs(source, target, len(starts)):
            entering.setdefault(b, set()).add(a)
        if edges.sum_:
            sums.setdefault(int(target[0]), []).append(
                (source, np.column_stack([edges.source, edges.target]))
            )
    for _, rows, columns in _uses(builder, builder.blocks):
        sources = runs_of(builder, rows).tolist()
        for b in runs_of(builder, columns).tolist():
            entering.setdefault(b, set()).update(sources)
    ancestors: list[int] = []
    found = [np.empty((0, 2), np.intp)]
    for run in range(len(builder.runs)):
        parents = [parent for parent in entering.get(run, ()) if parent < run]
        before = 0
        for parent in parents:
            before |= ancestors[parent]
        for source, pairs in sums.get(run, ()):
            own = [parent for parent in np.unique(source).tolist() if before >> parent & 1]
            found.append(pairs[np.isin(source, own)])
        for parent in parents:
            before |= 1 << parent
        ancestors.append(before)
    return np.concatenate(found)


def layer_graph(
    builder: Builder,
    blocks: Sequence[Block],
    structural: Ids,
    names: Sequence[str],
    skipped: Sequence[str],
    outputs: Mapping[str, Ids],
) -> "nx.DiGraph[str]":
    """Return the layers, inputs, outputs and the joins between them; an edge where neurons feed neurons.

    Nodes are named ``kind:name`` and have the attributes ``kind`` and ``name``; every layer is there, whether
    or not anything reaches it. ``names`` are those of the blocks' layers.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    for kind, given in (("layer", names), ("skipped", skipped)):
        for name in given:
            _node(graph, kind, name)
    owners = _owners(builder, blocks, names)
    for run in builder.runs:
        if run.kind in ("input", "vocabulary", "state"):
            _node(graph, run.kind, run.name)
    for number, rows, _ in _uses(builder, blocks):
        layer = _node(graph, "layer", names[number])
        for run in runs_of(builder, rows):
            for owner in owners[run]:
                graph.add_edge(_node(graph, *owner), layer)
    starts = np.array([run.first for run in builder.runs])
    if structural.size:
        pairs = np.searchsorted(starts, structural, side="right") - 1
        for a, b in _distinct_pairs(pairs[:, 0], pairs[:, 1], len(starts)):
            for source in owners[a]:
                for target in owners[b]:
                    graph.add_edge(_node(graph, *source), _node(graph, *target))
    for name, ids in outputs.items():
        node = _node(graph, "output", name)
        for run in runs_of(builder, ids) if ids.size else ():
            for owner in owners[run]:
                graph.add_edge(_node(graph, *owner), node)
    return graph


def _owners(builder: Builder, blocks: Sequence[Block], names: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return what stands for each run: the layers whose weights enter it, or what made it."""
    owners: list[list[tuple[str, str]]] = [[] for _ in builder.runs]
    for number, _, columns in _uses(builder, blocks):
        for run in runs_of(builder, columns):
            owner = "layer", names[number]
            if owner not in owners[run]:
                owners[run].append(owner)
    return [found or [(run.kind, run.name)] for found, run in zip(owners, builder.runs, strict=True)]


def _node(graph: "nx.DiGraph[str]", kind: str, name: str) -> str:
    node = f"{kind}:{name}"
    if node not in graph:
        graph.add_node(node, kind=kind, name=name)
    return node
