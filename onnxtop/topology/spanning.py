"""Maximum spanning forests of edge lists, by SciPy's Kruskal.

The rest of the package finds the few edges that can matter; this module decides which of them do.

SciPy's `minimum_spanning_tree` drops edges of weight 0 and returns weights instead of edge numbers. Both are
cured by giving it ranks, from 1 for the strongest edge, as weights. Its conversion `tocsr` adds parallel
edges up; the CSR arrays are therefore built here, where parallel edges may stay.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from onnxtop.topology.graph import Floats, Forest, Indices, empty_forest

_TINY = 64
"""So many components are joined one by one."""
_FEW = 8192
"""Up to so many are quicker sorted by comparing them."""


def strongest_first(strengths: NDArray[Any]) -> Indices:
    """Return the order of falling strength, equals as they come; of few, also of each row of several.

    Strengths are unsigned integers, or floats that are not negative. Many are sorted digit by digit, 16 bits
    at a time, the last ones first: NumPy sorts so short integers without comparing them.

    Examples
    --------
    >>> strongest_first(np.array([2.0, 5.0, 0.0, 5.0])).tolist()
    [1, 3, 0, 2]
    """
    keys = ~strengths.view(f"u{strengths.itemsize}")
    if keys.ndim > 1 or keys.size <= _FEW:
        return np.argsort(keys, kind="stable")
    order = np.argsort(keys.astype(np.uint16), kind="stable")
    for shift in range(16, 8 * keys.itemsize, 16):
        digits = (keys >> keys.dtype.type(shift)).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


class GrowingForest:
    """A maximum spanning forest that is fed edges and remembers only which vertices it has joined.

    Feed edges by falling strength, as many at a time as is convenient. More generally, it stays part of a
    maximum spanning forest if every edge that is fed is, at that moment, either among the strongest of all
    edges between components, with none stronger left out, or the strongest edge that leaves one of the
    components (Borůvka).

    Attributes
    ----------
    labels
        Shape (n_vertices,), the component of every vertex.
    n_components
        How many components there are; labels run from 0 to this.
    """

    def __init__(self, n_vertices: int) -> None:
        self.labels: Indices = np.arange(n_vertices)
        self.n_components = n_vertices

    def join(self, tails: Indices, heads: Indices) -> Indices:
        """Join components by edges sorted strongest first, and return the positions of the edges used.

        Filter-Kruskal (Osipov, Sanders, Singler 2009): edges are taken in batches, and a batch that has
        joined most vertices spares the tree most of the edges after it. Loops and parallel edges are
        harmless.
        """
        used = []
        rest = np.arange(tails.size)
        size = max(1024, int(1.6 * self.n_components))
        while rest.size and self.n_components > 1:
            batch, rest = rest[:size], rest[size:]
            used.append(batch[self._join_batch(self.labels[tails[batch]], self.labels[heads[batch]])])
            rest = rest[self.labels[tails[rest]] != self.labels[heads[rest]]]
            size *= 2
        return np.concatenate(used) if used else np.empty(0, np.intp)

    def _join_batch(self, tails: Indices, heads: Indices) -> Indices:
        """Join components given by label; return the positions used, ascending."""
        between = np.flatnonzero(tails != heads)
        if self.n_components <= _TINY:
            return between[self._join_one_by_one(tails[between].tolist(), heads[between].tolist())]
        tree = _rank_tree(tails[between], heads[between], self.n_components)
        if tree.nnz:
            self._merge(tree)
        return between[np.sort(tree.data).astype(np.intp) - 1]

    def _join_one_by_one(self, tails: Sequence[int], heads: Sequence[int]) -> list[int]:
        """Join a handful of components, which takes less than to set up sparse arrays (Kruskal)."""
        above = list(range(self.n_components))  # the smallest of a component stands for it
        used = []
        for place, (a, b) in enumerate(zip(tails, heads, strict=True)):
            while above[a] != a:
                a = above[a]
            while above[b] != b:
                b = above[b]
            if a != b:
                above[max(a, b)] = min(a, b)
                used.append(place)
                if len(used) == self.n_components - 1:
                    break
        labels: list[int] = []
        count = 0
        for vertex, parent in enumerate(above):
            labels.append(count if parent == vertex else labels[parent])
            count += parent == vertex
        self.n_components, self.labels = count, np.array(labels, np.intp)[self.labels]
        return used

    def _merge(self, tree: csr_array) -> None:
        if tree.nnz == self.n_components - 1:
            self.n_components, self.labels = 1, np.zeros_like(self.labels)
        else:
            self.n_components, merged = connected_components(tree, directed=False)
            self.labels = merged.astype(np.intp)[self.labels]


def _rank_tree(tails: Indices, heads: Indices, n: int) -> csr_array:
    """Return the spanning forest of edges sorted strongest first; its data are ranks from 1."""
    by_tail = np.argsort(tails.astype(np.uint16) if n <= 1 << 16 else tails, kind="stable")
    starts = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(tails, minlength=n), out=starts[1:])
    ranks = (by_tail + 1).astype(np.float64)
    graph = csr_array((ranks, heads[by_tail].astype(np.int32), starts), shape=(n, n))
    return minimum_spanning_tree(graph, overwrite=True)


def edge_forest(n_vertices: int, edges: Indices, strengths: Floats, generators: Indices) -> Forest:
    """Return the maximum spanning forest of an edge list.

    Parameters
    ----------
    n_vertices
        Vertices are numbered from 0; those without an edge stay alone.
    edges, strengths, generators
        Shapes (k, 2), (k,) and (k, 3), in any order; strengths finite and not negative. Parallel edges are
        allowed, the strongest counts. Equal strengths are taken in the order given.

    Examples
    --------
    >>> import numpy as np
    >>> edges = np.array([[0, 1], [1, 2], [2, 0], [0, 1]])
    >>> forest = edge_forest(4, edges, np.array([1.0, 0.0, 2.0, 3.0]), np.zeros((4, 3), np.intp))
    >>> forest.edges.tolist(), forest.strengths.tolist()
    ([[0, 1], [2, 0]], [3.0, 2.0])
    """
    if not strengths.size:
        return empty_forest(n_vertices)
    order = strongest_first(strengths)
    ends = edges[order]
    used = order[GrowingForest(n_vertices).join(ends[:, 0], ends[:, 1])]
    return Forest(n_vertices, edges[used], strengths[used], generators[used])


def with_bias(forest: Forest, n_rows: int, bias: Floats, layer: int = 0) -> Forest:
    """Return the forest of a layer with one more vertex, joined to every column by its bias.

    The tree of a graph with some edges more is the tree of its tree and those edges, so the weights need not
    be seen again.

    Parameters
    ----------
    forest
        Of the layer alone, vertices ``n_rows`` and up being the columns.
    bias
        Shape (n_cols,), any sign.

    Examples
    --------
    >>> import numpy as np
    >>> layer = edge_forest(2, np.array([[0, 1]]), np.array([1.0]), np.array([[0, 0, 0]]))
    >>> with_bias(layer, 1, np.array([-3.0])).generators.tolist()
    [[0, 1, 0], [0, 0, 0]]
    """
    n_vertices, cols = forest.n_vertices + 1, np.arange(bias.size)
    bad = np.flatnonzero(~np.isfinite(bias))
    if forest.nonfinite or bad.size:
        first = forest.first_nonfinite or (n_rows, int(bad[0]))
        return empty_forest(n_vertices, forest.nonfinite + bad.size, first)
    star = np.column_stack([np.full_like(cols, forest.n_vertices), n_rows + cols])
    generators = np.column_stack([np.full_like(cols, layer), np.full_like(cols, n_rows), cols])
    return edge_forest(
        n_vertices,
        np.concatenate([forest.edges, star]),
        np.concatenate([forest.strengths, np.abs(bias, dtype=np.float64)]),
        np.concatenate([forest.generators, generators]),
    )
