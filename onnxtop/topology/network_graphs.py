"""Network graphs before they are measured: a stack of matrices as one, its ends apart, its skips cut."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from onnxtop.errors import UsageError
from onnxtop.network import Block, NetworkGraph, Weights
from onnxtop.topology.arguments import as_matrix
from onnxtop.topology.reach import reach

Skips = Literal["keep", "cut"]
"""Whether paths may take the earlier operand of a residual join (the definition), or not."""


def stack(matrices: Sequence[ArrayLike] | Mapping[str, ArrayLike]) -> NetworkGraph:
    """Return the network graph of a stack of matrices."""
    named = matrices if isinstance(matrices, Mapping) else {f"layer {k}": m for k, m in enumerate(matrices)}
    checked = {name: as_matrix(matrix, f"layer {name!r}") for name, matrix in named.items()}
    if not checked:
        raise UsageError("wanted the matrices of a network, found none: pass at least one")
    shapes = [matrix.shape for matrix in checked.values()]
    for name, before, after in zip(list(checked)[1:], shapes, shapes[1:], strict=False):
        if before[1] != after[0]:
            raise UsageError(
                f"wanted {before[1]} rows in layer {name!r}, as many as columns before it, "
                f"found shape {after}: rows are inputs, so transpose what is stored (n_out, n_in)"
            )
    widths = [shapes[0][0], *(shape[1] for shape in shapes)]
    ids = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
    none = np.empty((0, 2), np.intp)
    return NetworkGraph(
        n_vertices=sum(widths),
        inputs=ids[0],
        outputs=ids[-1],
        layers=[Weights(name, lambda matrix=matrix: [matrix]) for name, matrix in checked.items()],  # type: ignore[misc]
        blocks=[Block(k, 0, ids[k], ids[k + 1]) for k in range(len(checked))],
        structural=none,
        skips=none,
    )


def with_skips(graph: NetworkGraph, skips: Skips) -> NetworkGraph:
    """Leave out the edges that bring the earlier operand to a residual join, if they are to be cut."""
    if skips == "keep" or not graph.skips.size:
        return graph
    skip, edge = (pairs @ [graph.n_vertices, 1] for pairs in (graph.skips, graph.structural))
    return replace(graph, structural=graph.structural[~np.isin(edge, skip)])


def with_separate_ends(graph: NetworkGraph) -> NetworkGraph:
    """Split vertices that are input and output in two, joined by a structural edge."""
    both = np.flatnonzero(np.isin(graph.outputs, graph.inputs))
    if not both.size:
        return graph
    outputs = graph.outputs.copy()
    outputs[both] = graph.n_vertices + np.arange(both.size)
    ties = np.column_stack([graph.outputs[both], outputs[both]])
    structural = np.concatenate([graph.structural.reshape(-1, 2), ties])
    return replace(graph, n_vertices=graph.n_vertices + both.size, outputs=outputs, structural=structural)


def layers_on_paths(graph: NetworkGraph) -> set[int]:
    """Return the layers with a weight on a path from an input to an output, whatever the weights are."""
    found = reach(graph)
    return {block.layer for block in graph.blocks if found.passes(block)}
