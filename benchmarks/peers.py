"""The tree of one layer against peers.

Bars of dimension 0 of one layer: SciPy's `minimum_spanning_tree`, gudhi, ripser and networkx on all edges,
and Prim's algorithm in NumPy, which needs none. Putting the weights into the form that a peer takes is
counted, the quickest way that it has. Gaussian, heavy-tailed and int8 weights; the figure is that of the
weights on which onnxtop is least ahead. Every peer has to find the same total length.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from benchmarks._measuring import Figure, ratio, seconds, shown
from benchmarks._rows import row
from onnxtop.topology.neural_persistence import layer_forest, layer_persistence
from tests.topology.hard_matrices import random_matrix

Matrix = np.ndarray
DISTRIBUTIONS = {"gaussian": "gaussian", "heavy_tails": "heavy-tailed", "int8_of_rows": "int8"}


def by_scipy(lengths: Matrix) -> float:
    """SciPy's tree of all edges, which takes the place of the lengths."""
    n_rows, n_cols = lengths.shape
    n = n_rows + n_cols
    starts = np.minimum(np.arange(n + 1), n_rows) * n_cols
    heads = np.tile(np.arange(n_rows, n, dtype=np.int32), n_rows)
    graph = csr_array((lengths.ravel(), heads, starts.astype(np.int32)), shape=(n, n))
    return float(minimum_spanning_tree(graph, overwrite=True).sum())


def by_gudhi(lengths: Matrix) -> float:
    """A simplex tree of a matrix of all lengths, with every neuron at 0."""
    import gudhi

    n_rows, n_cols = lengths.shape
    square = np.full((n_rows + n_cols,) * 2, np.inf)
    square[:n_rows, n_rows:], square[n_rows:, :n_rows] = lengths, lengths.T
    np.fill_diagonal(square, 0.0)
    tree = gudhi.SimplexTree.create_from_array(square, max_filtration=2.0)
    tree.compute_persistence(homology_coeff_field=2)
    deaths = tree.persistence_intervals_in_dimension(0)[:, 1]
    return float(deaths[np.isfinite(deaths)].sum())


def by_ripser(lengths: Matrix) -> float:
    """A sparse matrix of distances; in float32."""
    import ripser

    n = sum(lengths.shape)
    distances = coo_array((lengths.ravel(), tuple(ends(lengths))), shape=(n, n))
    deaths = ripser.ripser(distances, maxdim=0, distance_matrix=True)["dgms"][0][:, 1]
    return float(deaths[np.isfinite(deaths)].sum())


def by_networkx(lengths: Matrix) -> float:
    """A graph in Python, and Kruskal's algorithm."""
    import networkx

    graph: Any = networkx.Graph()
    graph.add_weighted_edges_from(zip(*ends(lengths).tolist(), lengths.ravel().tolist(), strict=True))
    return float(sum(edge[2]["weight"] for edge in networkx.minimum_spanning_edges(graph)))


def by_prim(lengths: Matrix) -> float:
    """Prim's algorithm, vertex by vertex, whole lines at a time."""
    lines = lengths, np.ascontiguousarray(lengths.T)
    nearest = [np.full(side, np.inf) for side in lengths.shape]
    outside = [np.ones(side, bool) for side in lengths.shape]
    total, axis, at = 0.0, 0, 0
    for _ in range(sum(lengths.shape) - 1):
        outside[axis][at], nearest[axis][at] = False, np.inf
        other = 1 - axis
        np.minimum(nearest[other], lines[axis][at], out=nearest[other], where=outside[other])
        first = [int(each.argmin()) for each in nearest]
        axis = int(nearest[1][first[1]] < nearest[0][first[0]])
        at = first[axis]
        total += float(nearest[axis][at])
    return total


def ends(lengths: Matrix) -> np.ndarray:
    """Return the vertices of all edges, shape (2, edges)."""
    n_rows, n_cols = lengths.shape
    tails = np.repeat(np.arange(n_rows, dtype=np.int32), n_cols)
    heads = np.tile(np.arange(n_rows, n_rows + n_cols, dtype=np.int32), n_rows)
    return np.stack([tails, heads])


def by_onnxtop(matrix: Matrix) -> float:
    """The same total of the forest that is measured."""
    forest = layer_forest([matrix])
    return float((2.0 - forest.strengths / np.abs(matrix).max()).sum())


def ahead(*, peer: Callable[[Matrix], float], shape: tuple[int, int]) -> Figure:
    """Return how many times as long a peer takes, where that is least."""
    each = {name: _ahead(peer, random_matrix(kind, *shape)) for kind, name in DISTRIBUTIONS.items()}
    detail = "; ".join(f"{name} {shown(theirs)} over {shown(ours)}" for name, (theirs, ours) in each.items())
    return Figure(min(theirs / ours for theirs, ours in each.values()), detail)


def _ahead(peer: Callable[[Matrix], float], matrix: Matrix) -> tuple[float, float]:
    scale = np.abs(matrix).max()
    total, own = peer(2.0 - np.abs(matrix, dtype=np.float64) / scale), by_onnxtop(matrix)
    if not np.isclose(total, own, rtol=1e-6):
        raise ValueError(f"wanted one total length of all, found {total} beside {own}")
    theirs, ours = seconds(
        lambda: peer(2.0 - np.abs(matrix, dtype=np.float64) / scale), lambda: layer_forest([matrix]),
        least=1, budget=2,
    )  # fmt: skip
    return theirs, ours


for _peer, _what, _needs, _goals in (
    (by_scipy, "SciPy", (), {256: 1, 1024: 10, 2048: 10, 4096: 10}),
    (by_gudhi, "gudhi", ("gudhi",), {256: 1, 1024: 10, 2048: 10}),
    (by_ripser, "ripser", ("ripser",), {256: 1, 1024: 10, 2048: 10}),
    (by_networkx, "networkx", (), {128: 10, 512: 10}),
    (by_prim, "Prim's algorithm in NumPy", (), {256: 1, 1024: 1, 4096: 1}),
):
    for _size, _goal in _goals.items():
        row(
            f"tree-{_peer.__name__.removeprefix('by_')}-{_size}",
            f"{_what}, over the forest of one layer of {_size} x {_size}",
            "x",
            at_least=_goal,
            needs=_needs,
            arguments={"peer": _peer, "shape": (_size, _size)},
            tiny={"shape": (12, 9)},
        )(ahead)


@row(
    "tree-scipy",
    "SciPy's tree of all edges of gaussian 2048 x 2048, over its NP",
    "x",
    at_least=100,
    tiny={"shape": (12, 9)},
)
def beside_scipy(shape: tuple[int, int] = (2048, 2048)) -> Figure:
    matrix = random_matrix("gaussian", *shape)
    theirs, ours = seconds(lambda: by_scipy(-np.abs(matrix).astype(float)), lambda: layer_persistence(matrix))
    return ratio(theirs, ours)
