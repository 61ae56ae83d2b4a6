"""Barcodes of a function by the elder rule: which minima there are, and at what height each is lost.

Vertex
    A minimum, born at its value; in a point cloud every point, born at its own.
Edge
    A pass between two minima, as high as the highest point of the best path known; in a point cloud a pair of
    neighbours, as high as the higher of the two.
Bar
    Edges enter lowest first. One that joins two components ends the younger, whose lowest vertex is the
    higher one: its bar goes from there to the height of the edge. What is never ended is essential.
Ties
    Of two equal values the earlier vertex is the elder. Bars as a multiset do not depend on it.

Every path that is known gives an upper bound of a death: more passes never make a bar longer.

S. Barannikov, A. Korotin, D. Oganesyan, D. Emtsev, E. Burnaev. Barcodes as summary of loss function topology.
arXiv:1912.00043. S. Barannikov, D. Voronkova, I. Trofimov, A. Korotin, G. Sotnikov, E. Burnaev. Topological
obstructions in neural networks learning. arXiv:2012.15834.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnxtop.errors import UsageError
from onnxtop.topology.basins import (
    Batches,
    bottoms,
    grid_edges,
    homes,
    nearest_edges,
    passes_between,
)
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.spanning import GrowingForest


@dataclass(frozen=True, eq=False)
class Barcode:
    """Bars of dimension 0, lowest birth first; of equal births the longer one first.

    Attributes
    ----------
    bars
        Shape (k, 2), birth and death of the finite bars, in the unit of the function.
    essential
        Shape (m,), births of the bars that never end: one for each piece that nothing joins to a lower one.
    cluster_sizes
        Shape (k,), how many vertices a component had just before its bar ended.
    essential_sizes
        Shape (m,), how many vertices each piece has in the end.
    minima, essential_minima
        Shapes (k,) and (m,), the vertex where each bar was born.
    partners
        Shape (k,), the lowest vertex of the component that it was lost to.
    edges
        Shape (k,), the edge that ended each bar: a row of ``passes``, or the higher point of the pair.
    """

    bars: Floats
    essential: Floats
    cluster_sizes: Indices
    essential_sizes: Indices
    minima: Indices
    essential_minima: Indices
    partners: Indices
    edges: Indices

    @property
    def lengths(self) -> Floats:
        """Shape (k,), death less birth: what it costs at least to escape."""
        lengths: Floats = self.bars[:, 1] - self.bars[:, 0]
        return lengths

    def larger_than(self, size: int) -> "Barcode":
        """Return the barcode without the finite bars of clusters of at most so many vertices (noise)."""
        return self._select(self.cluster_sizes > size)

    def longer_than(self, length: float) -> "Barcode":
        """Return the barcode without the finite bars of at most this length."""
        return self._select(self.lengths > length)

    def _select(self, chosen: NDArray[np.bool_]) -> "Barcode":
        per_bar = ("bars", "cluster_sizes", "minima", "partners", "edges")
        return replace(self, **{name: getattr(self, name)[chosen] for name in per_bar})


@dataclass(frozen=True)
class ToScore:
    """TO-score of a network, in onnxtop's own reading: the papers describe it and give no formula.

    ``mean``, ``longest`` and ``total`` are of the lengths of the finite bars, None if there are none;
    ``scale_free`` is the mean divided by what there is to learn, None where that is not positive;
    ``n_minima`` counts all minima, ``n_bars`` the finite bars.
    """

    mean: float | None
    longest: float | None
    total: float | None
    scale_free: float | None
    n_minima: int
    n_bars: int


def merge_tree_barcode(losses: ArrayLike, passes: ArrayLike) -> Barcode:
    """Return the barcode of minima and the passes between them.

    Parameters
    ----------
    losses
        Shape (n,), the function at each minimum; finite.
    passes
        Shape (m, 3), rows (i, j, height): a path from minimum i to minimum j rises to that height. A height
        below one of its ends is raised to it. Infinite: there is no pass. Parallel passes are allowed, the
        lowest counts.

    Returns
    -------
    Barcode
        n - 1 finite bars if the passes join everything. Each piece that they leave apart adds an essential
        bar and has one finite bar less. No minima give no bars.

    Raises
    ------
    UsageError
        A loss is not finite, a height is NaN or minus infinity, or there is no such minimum.

    Notes
    -----
    The papers take for each minimum the lowest direct path to a lower one (`direct_barcode`). Kruskal's tree
    over the same paths, after Barannikov et al. (arXiv:2012.15834), is never higher.

    Examples
    --------
    >>> barcode = merge_tree_barcode([0.0, 0.5, 1.0], [[0, 2, 5.0], [0, 1, 2.0], [1, 2, 3.0]])
    >>> barcode.bars.tolist(), barcode.essential.tolist()
    ([[0.5, 2.0], [1.0, 3.0]], [0.0])
    """
    births, ends, heights = _check_passes(losses, passes)
    order = np.argsort(heights, kind="stable")
    joins = order[GrowingForest(births.size).join(ends[order, 0], ends[order, 1])]
    deaths = _elder_rule(births, ends[joins])
    sizes = _subtotals(np.ones(births.size, np.intp), deaths.dying, deaths.elders)
    return _assemble(births, heights[joins], sizes, deaths, joins)


def direct_barcode(losses: ArrayLike, passes: ArrayLike) -> Barcode:
    """Return the bars that end at the lowest direct pass to a lower minimum, as the papers' code does.

    Parameters and errors are those of `merge_tree_barcode`, whose bars are never longer. Of equal losses the
    earlier minimum counts as lower. A cluster is the minimum alone.

    Examples
    --------
    >>> direct_barcode([0.0, 0.5, 1.0], [[0, 2, 5.0], [0, 1, 2.0], [1, 2, 3.0]]).bars.tolist()
    [[0.5, 2.0], [1.0, 3.0]]
    >>> direct_barcode([0.0, 1.0, 0.5], [[1, 2, 3.0], [0, 1, 5.0], [0, 2, 4.0]]).bars.tolist()
    [[0.5, 4.0], [1.0, 3.0]]
    """
    births, ends, heights = _check_passes(losses, passes)
    age = _ranks(births)
    order = np.argsort(heights, kind="stable")
    swap = age[ends[:, 0]] < age[ends[:, 1]]
    young, old = np.where(swap, ends[:, 1], ends[:, 0]), np.where(swap, ends[:, 0], ends[:, 1])
    order = order[young[order] != old[order]]
    dying, first = np.unique(young[order], return_index=True)
    edges = order[first]
    return _assemble(births, heights[edges], np.ones(births.size, np.intp), _Deaths(dying, old[edges]), edges)


def point_cloud_barcode(
    points: ArrayLike | None,
    values: ArrayLike | Callable[[Floats], ArrayLike],
    *,
    neighbours: int | None = None,
    grid_shape: Sequence[int] | None = None,
) -> Barcode:
    """Return the barcode of a function known at some points; no gradient is needed.

    Parameters
    ----------
    points
        Shape (n, d), or (n,) for d = 1. May be None for values on a grid.
    values
        The function at these points, shape (n,), finite; or the function itself, which is given all points
        at once, in the shape in which they came.
    neighbours
        How many nearest points each is joined to (an edge either way joins); 4 d by default.
    grid_shape
        The points lie on a grid of this shape, the last axis varying fastest: each is joined to the one
        before and the one after along every axis, and no distance is taken.

    Returns
    -------
    Barcode
        Vertices are points. Bars of length 0 (ties) are left out. One point, or a constant function, has no
        finite bar. `Barcode.larger_than` takes out the noise of sampling.

    Raises
    ------
    UsageError
        Shapes that do not fit, values that are not finite, or both kinds of neighbours.

    Notes
    -----
    The algorithm of arXiv:1912.00043 sweeps all points in the order of their values. Here every point is
    first sent down to a minimum along its lowest neighbours, which changes no bar, and only the passes
    between basins are swept. Time is n log n, memory some ten numbers a point and, without a grid, two a
    neighbour.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(-1.5, 1.5, 3001)
    >>> barcode = point_cloud_barcode(x, x**4 - x**2 + 0.1 * x, grid_shape=(3001,))
    >>> barcode.bars.round(4).tolist(), barcode.essential.round(4).tolist()
    ([[-0.1806, 0.0025]], [-0.3219])
    """
    cloud = None if points is None else _cloud(points)
    if callable(values):
        if cloud is None:
            raise UsageError("wanted points to call the function on, found None")
        values = values(np.asarray(points, np.float64))
    heights = _values(values, None if cloud is None else len(cloud))
    if grid_shape is not None:
        if neighbours is not None:
            raise UsageError("wanted neighbours or grid_shape, found both")
        return _sweep(heights, grid_edges(grid_shape, heights.size))
    if cloud is None:
        raise UsageError("wanted points or grid_shape, found neither")
    return _sweep(heights, nearest_edges(cloud, neighbours))


def to_score(barcode: Barcode, reference: float | None = None) -> ToScore:
    """Return the TO-score of a network, onnxtop's own reading: the mean length of the finite bars.

    Zero if no barrier stands between any of the minima. Few minima are few samples: say how many.

    Parameters
    ----------
    barcode
        Of the network's minima.
    reference
        Loss of the predictor that knows nothing. The scale-free form divides the mean by its distance from
        the lowest minimum; it is None without a reference, or with one that is not above that minimum.

    Examples
    --------
    >>> to_score(merge_tree_barcode([0.0, 0.5], [[0, 1, 0.7]]), reference=2.0).scale_free
    0.1
    """
    lengths = barcode.lengths
    n_minima = lengths.size + barcode.essential.size
    if not lengths.size:
        return ToScore(None, None, None, None, n_minima, 0)
    mean = float(lengths.mean())
    room = 0.0 if reference is None else reference - float(barcode.essential.min())
    return ToScore(
        mean=mean,
        longest=float(lengths.max()),
        total=float(lengths.sum()),
        scale_free=_tidy(mean / room) if room > 0 else None,
        n_minima=n_minima,
        n_bars=lengths.size,
    )


def _tidy(value: float) -> float:
    return float(f"{value:.12g}")


@dataclass(frozen=True, eq=False)
class _Deaths:
    """Who died and to whom, in the order of the passes."""

    dying: Indices
    elders: Indices


def _check_passes(losses: ArrayLike, passes: ArrayLike) -> tuple[Floats, Indices, Floats]:
    """Return births, ends (m, 2) and heights (m,) of passes; rows without a pass stay, at infinity."""
    births = _values(losses, None)
    table = np.asarray(passes, np.float64)
    table = table.reshape(0, 3) if table.size == 0 else table
    if table.ndim != 2 or table.shape[1] != 3:
        raise UsageError(f"wanted passes as rows (i, j, height), found shape {table.shape}")
    heights = table[:, 2]
    if np.isnan(heights).any() or np.isneginf(heights).any():
        raise UsageError("wanted heights that are numbers (infinite for no pass), found NaN or -infinity")
    ends = np.where(np.isfinite(table[:, :2]), table[:, :2], -1).astype(np.intp)
    if (ends != table[:, :2]).any() or (ends < 0).any() or (ends >= births.size).any():
        raise UsageError(f"wanted minima numbered from 0 to {births.size - 1} in the passes, found others")
    ends = np.where(np.isinf(heights)[:, None], ends[:, :1], ends)  # a loop joins nothing
    return births, ends, np.maximum(heights, births[ends].max(axis=1, initial=-np.inf))


def _values(values: Any, n: int | None) -> Floats:
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or (n is not None and found.size != n):
        wanted = "(n,)" if n is None else f"({n},)"
        raise UsageError(f"wanted values of shape {wanted}, found {found.shape}")
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        raise UsageError(
            f"wanted finite values, found {bad.size} that are not, the first at {int(bad[0])}: leave them out"
        )
    return found


def _cloud(points: ArrayLike) -> Floats:
    cloud = np.asarray(points, np.float64)
    cloud = cloud[:, None] if cloud.ndim == 1 else cloud
    if cloud.ndim != 2 or not np.isfinite(cloud).all():
        raise UsageError(f"wanted finite points of shape (n, d), found shape {cloud.shape}")
    return cloud


def _ranks(values: Floats) -> Indices:
    """Return the place of each value in their order; of equal values the earlier is lower."""
    ranks = np.empty(values.size, np.intp)
    ranks[np.argsort(values, kind="stable")] = np.arange(values.size)
    return ranks


def _elder_rule(births: Floats, joins: Indices) -> _Deaths:
    """Decide who dies at each edge of a spanning forest, given lowest first."""
    age = _ranks(births).tolist()
    parent = list(range(births.size))

    def oldest(vertex: int) -> int:
        while parent[vertex] != vertex:
            parent[vertex] = parent[parent[vertex]]
            vertex = parent[vertex]
        return vertex

    dying, elders = [], []
    for tail, head in joins.tolist():
        young, old = oldest(tail), oldest(head)
        if age[young] < age[old]:
            young, old = old, young
        parent[young] = old
        dying.append(young)
        elders.append(old)
    return _Deaths(np.array(dying, np.intp), np.array(elders, np.intp))


def _at_once(deaths: _Deaths, tops: Indices) -> _Deaths:
    """Let all that meet at one point be lost to the oldest of them, whatever the order of the edges."""
    _, group, count = np.unique(tops, return_inverse=True, return_counts=True)
    return _Deaths(deaths.dying, deaths.elders[np.cumsum(count) - 1][group])


def _subtotals(counts: Indices, dying: Indices, elders: Indices) -> Indices:
    """Add to each the counts of all that were lost to it, in the order of the deaths."""
    totals = counts.tolist()
    for young, old in zip(dying.tolist(), elders.tolist(), strict=True):
        totals[old] += totals[young]
    return np.array(totals, np.intp)


def _assemble(births: Floats, heights: Floats, sizes: Indices, deaths: _Deaths, edges: Indices) -> Barcode:
    bars = np.column_stack([births[deaths.dying], heights])
    alive = np.ones(births.size, bool)
    alive[deaths.dying] = False
    left = np.flatnonzero(alive)
    left = left[np.argsort(births[left], kind="stable")]
    order = np.lexsort((-bars[:, 1], bars[:, 0]))
    return Barcode(
        bars=bars[order],
        essential=births[left],
        cluster_sizes=sizes[deaths.dying][order],
        essential_sizes=sizes[left],
        minima=deaths.dying[order],
        essential_minima=left,
        partners=deaths.elders[order],
        edges=edges[order],
    )


def _sweep(values: Floats, edges: Batches) -> Barcode:
    """Return the barcode of a function on a graph, by the passes between the basins of its minima."""
    order = np.argsort(values, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    bottom = order[bottoms(rank, order, edges)]
    minima = np.unique(bottom)
    basin = np.searchsorted(minima, bottom)
    ends, tops = passes_between(basin, rank, edges, minima.size)
    joins = GrowingForest(minima.size).join(ends[:, 0], ends[:, 1])
    deaths = _at_once(_elder_rule(values[minima], ends[joins]), tops[joins])
    counts = homes(basin, rank, deaths.dying, deaths.elders, tops[joins])
    sizes = _subtotals(counts, deaths.dying, deaths.elders)
    passing = order[tops[joins]]
    found = _assemble(values[minima], values[passing], sizes, deaths, passing)
    named = replace(
        found,
        minima=minima[found.minima],
        essential_minima=minima[found.essential_minima],
        partners=minima[found.partners],
    )
    return named.longer_than(0.0)
