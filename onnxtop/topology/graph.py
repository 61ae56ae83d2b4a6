"""Graph representations: what a vertex, an edge, a strength, a missing edge and a generator are.

Every measure of this package is taken on one kind of object, a weighted graph with its strongest edges first.

Vertex
    A neuron, numbered from 0. Within a layer, row ``r`` of the weight matrix is vertex ``r``, column ``c`` is
    vertex ``n_rows + c``, and the bias, where it takes part, is the one vertex ``n_rows + n_cols``. A layer
    of several blocks has the rows of all its blocks first: those of block ``b`` follow those of block
    ``b - 1``, likewise the columns. All vertices are there from the start, at strength infinity.
Edge
    A weight, undirected. The bias vertex has an edge to every column.
Strength
    ``|w|``, float64, not scaled: the scale (usually the largest strength of the network) is only known when
    all layers have been seen, and dividing by it changes no tree. The sign never matters.
Missing edge
    A pair of vertices without a weight, such as neurons of two groups of a convolution. Where a complete
    graph is asked for, it counts as an edge of strength 0. A weight that is zero is an edge of strength 0
    like any other.
Spanning forest
    The edges, strongest first, that join two components when they enter. Their strengths, as a multiset, do
    not depend on how ties are broken. A graph of k components has n_vertices - k of them.
Generator
    The weight that made an edge of the forest, so the weight behind a bar: (layer, row, column), where row
    and column belong to the layer's matrix (the unrolled matrix for an unrolled convolution), and the bias is
    row ``n_rows``. A missing pair has no weight: row and column are -1.
Not finite
    A graph with a NaN or an infinity among its weights has no order, hence no forest. It is never an error:
    the forest is empty and says how many such weights there are and where the first one is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import id_type

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Ids = NDArray[np.signedinteger[Any]]
"""Numbers of vertices or edges, in as few bytes as they need."""


_NONE: Indices = np.empty(0, np.intp)


def distinct(ids: Indices) -> Indices:
    """Return each id once, ascending; NumPy's own `unique` hashes, which takes several times as long.

    >>> distinct(np.array([3, 1, 3])).tolist()
    [1, 3]
    """
    if ids.size < 2:
        return ids
    ordered = np.sort(ids)
    first = np.empty(ordered.size, bool)
    first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


@dataclass(frozen=True, eq=False)
class Forest:
    """A maximum spanning forest: the strongest edges that join everything that can be joined.

    Attributes
    ----------
    n_vertices
        All vertices, also those without an edge.
    edges
        Shape (k, 2), the vertices each edge joins; k is at most ``n_vertices - 1``, and as much smaller as
        there are further components.
    strengths
        Shape (k,), ``|w|`` in the unit of the weights, strongest first.
    generators
        Shape (k, 3), (layer, row, column) of the weight that made each edge.
    nonfinite
        How many weights are NaN or infinite; if there are any, the forest has no edges.
    first_nonfinite
        Where the first of them is: (row, column) of the layer's matrix, or an index of ``Kernel.weights``
        for an unrolled convolution. The bias is row ``n_rows``.
    """

    n_vertices: int
    edges: Indices
    strengths: Floats
    generators: Indices
    nonfinite: int = 0
    first_nonfinite: tuple[int, ...] | None = None

    @property
    def strongest(self) -> float:
        """The largest strength of the whole graph, not only of the forest: it is always in the forest."""
        return float(self.strengths[0]) if self.strengths.size else 0.0

    @property
    def strongest_at(self) -> tuple[int, int] | None:
        """Row and column of the weight that made the strongest edge, None without edges."""
        if not self.strengths.size:
            return None
        _, row, column = self.generators[0].tolist()
        return row, column


def empty_forest(
    n_vertices: int, nonfinite: int = 0, first_nonfinite: tuple[int, ...] | None = None
) -> Forest:
    """Return a forest without edges."""
    none = np.empty(0, np.intp)
    return Forest(n_vertices, none.reshape(0, 2), np.empty(0), none.reshape(0, 3), nonfinite, first_nonfinite)


class Leaving:
    """Where each vertex leads to: edges from and to, shapes (k,), from ``count`` vertices.

    There are as many as a network has neurons, so they are held in half the bytes where numbers are small.
    """

    def __init__(self, count: int, tails: Ids, heads: Ids) -> None:
        kind = id_type(max(count, heads.size, int(heads.max(initial=0))) + 1)
        tails, heads = tails.astype(kind, copy=False), heads.astype(kind, copy=False)
        if not (tails[1:] >= tails[:-1]).all():
            order = np.argsort(tails, kind="stable")
            tails, heads = tails[order], heads[order]
        self._heads = heads
        self._first = np.searchsorted(tails, np.arange(count + 1, dtype=kind)).astype(kind)

    def of(self, vertices: Indices) -> Indices:
        """Return where some vertices lead to."""
        return self.pairs(vertices)[1]

    def pairs(self, vertices: Indices) -> tuple[Indices, Indices]:
        """Return the edges from some vertices."""
        first = self._first[vertices]
        counts = self._first[vertices + 1] - first
        ends = counts.cumsum()
        if not (ends.size and ends[-1]):
            return _NONE, _NONE
        places = (first - ends + counts).repeat(counts)
        places += np.arange(places.size)
        return vertices.repeat(counts), self._heads[places].astype(np.intp)
