"""Basins of a function on a graph: where each point runs down to, and the passes from basin to basin.

A basin is all that runs down to one minimum along lowest neighbours. Only passes between basins can join
components of a sublevel set, so a graph of millions of points shrinks to one of its minima.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from scipy.spatial import cKDTree

from onnxtop.errors import UsageError
from onnxtop.topology.graph import Floats, Indices

Batches: TypeAlias = Callable[[], Iterator[tuple[Indices, Indices]]]
"""Gives the edges of a graph, tails and heads, as often as it is called; a batch at a time."""


def grid_edges(shape: Sequence[int], n: int) -> Batches:
    """Join each point of a grid to the one before and the one after along every axis."""
    sizes = tuple(int(size) for size in shape)
    if not sizes or min(sizes) < 1 or np.prod(sizes, dtype=object) != n:
        raise UsageError(f"wanted a grid of {n} points, found shape {sizes}")
    ids = np.arange(n).reshape(sizes)

    def edges() -> Iterator[tuple[Indices, Indices]]:
        for axis in range(ids.ndim):
            along = np.moveaxis(ids, axis, 0)
            yield along[:-1].ravel(), along[1:].ravel()

    return edges


def nearest_edges(cloud: Floats, neighbours: int | None) -> Batches:
    """Join each point to its nearest ones, 4 d of them by default."""
    n, d = cloud.shape
    k = min(4 * d if neighbours is None else neighbours, n - 1)
    if neighbours is not None and neighbours < 1:
        raise UsageError(f"wanted at least 1 neighbour, found {neighbours}")
    near = np.empty((n, 0), np.intp) if k < 1 else cKDTree(cloud).query(cloud, k + 1)[1]
    tails = np.repeat(np.arange(n), near.shape[1])
    return lambda: iter([(tails, near.astype(np.intp).ravel())])


def bottoms(rank: Indices, order: Indices, edges: Batches) -> Indices:
    """Return the rank of the minimum that each point runs down to by its lowest neighbours."""
    lowest = rank.copy()
    for tails, heads in edges():
        np.minimum.at(lowest, tails, rank[heads])
        np.minimum.at(lowest, heads, rank[tails])
    down = lowest[order]  # by rank: where each runs to; never up, so doubling the steps ends
    while True:
        further = down[down]
        if np.array_equal(further, down):
            return down[rank]
        down = further


def passes_between(label: Indices, rank: Indices, edges: Batches, n_basins: int) -> tuple[Indices, Indices]:
    """Return the lowest pass of every two basins that touch, lowest first: ends (k, 2), rank of its top."""
    keys, tops = [], []
    for tails, heads in edges():
        one, two = label[tails], label[heads]
        cut = one != two
        one, two = one[cut], two[cut]
        top = np.maximum(rank[tails[cut]], rank[heads[cut]])
        by_height = np.argsort(top)
        key = (np.minimum(one, two) * n_basins + np.maximum(one, two))[by_height]
        unique, first = np.unique(key, return_index=True)
        keys.append(unique)
        tops.append(top[by_height][first])
    top = np.concatenate(tops)
    by_height = np.argsort(top, kind="stable")
    unique, first = np.unique(np.concatenate(keys)[by_height], return_index=True)
    found = np.sort(first)
    key = np.concatenate(keys)[by_height][found]
    return np.column_stack([key // n_basins, key % n_basins]), top[by_height][found]


def homes(basin: Indices, rank: Indices, dying: Indices, elders: Indices, tops: Indices) -> Indices:
    """Count the points that enter each component themselves, shape (n_basins,).

    A point enters the component that its basin belongs to at that moment: the first in the chain of elders
    that is lost later. The chain is climbed in steps of falling powers of 2. The point of a pass enters the
    component that survives it.

    Parameters
    ----------
    basin, rank
        Of each point.
    dying, elders, tops
        Of each pass that joins two components: the basin that is lost, the one it is lost to, and the rank at
        which this happens.
    """
    n_basins = int(basin.max(initial=-1)) + 1
    lost_at = np.full(n_basins, rank.size, np.intp)
    lost_at[dying] = tops
    elder = np.arange(n_basins)
    elder[dying] = elders
    climbs = [elder]
    while not np.array_equal(further := climbs[-1][climbs[-1]], climbs[-1]):
        climbs.append(further)
    late = np.flatnonzero(lost_at[basin] <= rank)
    now, when = basin[late], rank[late]
    for climb in reversed(climbs):
        now = np.where(lost_at[climb[now]] <= when, climb[now], now)
    home = basin.copy()
    home[late] = elder[now]
    return np.bincount(home, minlength=n_basins).astype(np.intp)
