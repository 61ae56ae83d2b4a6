"""Slow and obvious versions of what topology computes."""

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Kernel
from onnxtop.topology.graph import Forest


def prim_strengths(matrix: NDArray) -> NDArray[np.float64]:
    """Strengths of the maximum spanning tree of the complete bipartite graph, strongest first, by Prim."""
    weights = np.abs(matrix).astype(np.float64)
    n_rows, n_cols = weights.shape
    reach = np.concatenate([np.full(n_rows, -1.0), weights[0]])
    inside = np.zeros(n_rows + n_cols, bool)
    inside[0] = True
    strengths = []
    for _ in range(n_rows + n_cols - 1):
        vertex = int(np.argmax(np.where(inside, -2.0, reach)))
        strengths.append(reach[vertex])
        inside[vertex] = True
        if vertex < n_rows:
            reach[n_rows:] = np.maximum(reach[n_rows:], weights[vertex])
        else:
            reach[:n_rows] = np.maximum(reach[:n_rows], weights[:, vertex - n_rows])
    return np.sort(strengths)[::-1]


def kruskal(n_vertices: int, edges: NDArray, strengths: NDArray) -> list[int]:
    """Positions of the edges of the maximum spanning forest, strongest first, by textbook Kruskal."""
    parent = list(range(n_vertices))

    def root(vertex: int) -> int:
        while parent[vertex] != vertex:
            vertex = parent[vertex]
        return vertex

    used = []
    for position in np.argsort(-strengths, kind="stable").tolist():
        tail, head = (root(vertex) for vertex in edges[position].tolist())
        if tail != head:
            parent[tail] = head
            used.append(position)
    return used


def is_forest(forest: Forest) -> bool:
    """Whether no edge closes a circle."""
    return len(kruskal(forest.n_vertices, forest.edges, forest.strengths)) == len(forest.edges)


def on_diagonal(blocks: list[NDArray]) -> NDArray[np.float64]:
    """One matrix with zeros outside the blocks."""
    offsets = np.cumsum([block.shape for block in blocks], axis=0)
    matrix = np.zeros(offsets[-1])
    for block, (row, col) in zip(blocks, offsets, strict=True):
        matrix[row - block.shape[0] : row, col - block.shape[1] : col] = block
    return matrix


def unrolled(kernel: Kernel) -> NDArray[np.float64]:
    """The unrolled matrix, every neuron and every tap in a loop of its own."""
    weights = kernel.weights
    groups, n_out, n_in = weights.shape[:3]
    in_size, out_size = kernel.in_size, kernel.out_size
    striding, reached = (in_size, out_size) if kernel.transposed else (out_size, in_size)
    blocks = np.zeros((groups, n_in, *in_size, groups, n_out, *out_size))
    for here in np.ndindex(*striding):
        for tap in np.ndindex(*weights.shape[3:]):
            axes = zip(here, kernel.strides, kernel.pads, tap, kernel.dilations, strict=True)
            there = tuple(y * stride - pad + k * dilation for y, stride, pad, k, dilation in axes)
            if all(0 <= x < size for x, size in zip(there, reached, strict=True)):
                x, y = (here, there) if kernel.transposed else (there, here)
                for group in range(groups):
                    blocks[(group, slice(None), *x, group, slice(None), *y)] = weights[(group, ..., *tap)].T
    return blocks.reshape(groups * n_in * int(np.prod(in_size)), -1)
