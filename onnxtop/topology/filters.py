"""A convolution filter by filter: one unrolled graph for each filter and each channel that it reads.

This is the reading of the paper (Rieck et al. 2019, appendix) as its public transcriptions give it: each
graph is normalised by its own number of neurons, and the layer's value is the mean over its graphs. The
graphs of a layer have the same neurons and the same taps and differ in the strengths of these. How many edges
of a spanning forest a tap makes depends on the set of taps that are stronger, on nothing else; so what is
kept of a graph are the strengths of its taps and a count for each, and what was counted for a set serves all
graphs that meet it.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Kernel, Matrix, strips
from onnxtop.topology.convolution import Grid, check_bias, ranges
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.persistence import Convention, scaled
from onnxtop.topology.spanning import GrowingForest

TOGETHER = 1 << 18
"""Vertices of graphs that grow side by side, for speed."""
FEW_TAPS = 16
"""With so many taps or fewer, what was counted is remembered for every set of them: 4 bytes a set."""
AT_ONCE = 64
"""Graphs that grow side by side where others can use what they count."""
CELLS = 1 << 20
"""Strengths that are worked on at a time."""


@dataclass(frozen=True, eq=False)
class FilterForests:
    """Maximum spanning forests of the graphs of one convolution, by filter and channel.

    Attributes
    ----------
    n_vertices
        Of each graph.
    strengths
        Shape (graphs, taps), ``|w|`` strongest first, in the unit and precision of the weights; with biases,
        the bias of the filter is one more tap.
    edges
        Shape (graphs, taps), how many edges of the forest each tap makes.
    strongest
        The largest strength of an edge; a tap that never falls inside makes none.
    strongest_at
        (row, column) of its weight in the flattened matrix, the bias being the row after the last; None
        without edges.
    nonfinite, first_nonfinite
        As for `Forest`: if a weight is not finite there are no graphs.
    """

    n_vertices: int
    strengths: Matrix
    edges: NDArray[np.unsignedinteger]
    strongest: float = 0.0
    strongest_at: tuple[int, int] | None = None
    nonfinite: int = 0
    first_nonfinite: tuple[int, ...] | None = None

    def norm(self, scale: float, p: float, convention: Convention, n: float = 1) -> float:
        """Return the mean over the graphs of what `Diagram.norm` gives for each, strengths being scaled."""
        parts = [self._norms(part, scale, p, convention, n) for part in strips(self.strengths.shape, CELLS)]
        return float(np.concatenate(parts).mean())

    def _norms(self, part: slice, scale: float, p: float, convention: Convention, n: float) -> Floats:
        """Return the norm of each of some graphs; a missing edge is a bar of length 1."""
        edges = self.edges[part]
        lengths = 1.0 - scaled(self.strengths[part], scale)
        whole = self.n_vertices - 1 + (convention == "essential") - edges.sum(axis=1, dtype=np.intp)
        longest = np.where(whole > 0, 1.0, np.where(edges > 0, lengths, 0.0).max(axis=1))
        if p == np.inf:
            return longest
        shares = np.where(edges > 0, lengths, 0.0) / np.where(longest > 0, longest, 1.0)[:, None]
        powers = edges * shares**p
        with np.errstate(over="ignore"):
            norms: Floats = longest * ((powers.sum(axis=1) + whole) / n) ** (1 / p)
        return norms


def filter_forests(kernel: Kernel, *, bias: Floats | None = None) -> FilterForests:
    """Return the maximum spanning forests of the unrolled graphs of every filter and channel in.

    Parameters
    ----------
    kernel
        Weights with their strides, pads and dilations, and both sizes.
    bias
        Shape (channels out,): in each graph of the filter one more vertex, joined to every output position.

    Returns
    -------
    FilterForests
        Positions that no tap reaches are vertices; a tap of weight zero is like none.

    Raises
    ------
    UsageError
        A size is unknown, or the bias has another length.

    Notes
    -----
    Exact. With up to 16 taps the time is that of sorting the taps of each graph, and of at most 2 ** taps
    small graphs for a geometry, whatever the number of filters; with more taps every graph is grown.

    Examples
    --------
    >>> taps = np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 4.0]]).reshape(1, 2, 1, 3)
    >>> kernel = Kernel(taps, strides=(1,), pads=(0,), dilations=(1,), in_size=(4,), out_size=(2,))
    >>> forests = filter_forests(kernel)
    >>> forests.n_vertices, forests.strengths.tolist(), forests.edges.tolist()
    (6, [[3.0, 2.0, 1.0], [4.0, 1.0, 1.0]], [[2, 2, 1], [2, 2, 1]])
    >>> round(forests.norm(4.0, 2.0, "essential", n=5), 6)
    0.697291
    """
    check_bias(kernel, bias)
    counts = _counts_of(kernel, bias is not None)
    taps, bad = _taps(kernel, bias)
    places = _Places(taps.shape, bias is not None)
    if bad:
        none = np.empty((0, taps.shape[3]))
        first = places.of(*bad[0])
        return FilterForests(counts.n_vertices, none, none.astype(np.uint8), 0.0, None, len(bad), first)
    strengths = np.abs(taps.reshape(-1, taps.shape[3]))
    orders = np.argsort(-strengths, axis=1, kind="stable")
    edges = counts.along(orders)
    strengths = np.take_along_axis(strengths, orders, axis=1)
    graph, turn = np.unravel_index(np.argmax(np.where(edges > 0, strengths, -1.0)), edges.shape)
    if not edges[graph, turn]:
        return FilterForests(counts.n_vertices, strengths, edges)
    at = (*np.unravel_index(graph, taps.shape[:3]), orders[graph, turn])
    return FilterForests(counts.n_vertices, strengths, edges, float(strengths[graph, turn]), places.of(*at))


def _taps(kernel: Kernel, bias: Floats | None) -> tuple[Matrix, list[list[int]]]:
    """Return weights (group, filter, channel, tap), a bias as one more tap, and where some are not finite."""
    weights = kernel.weights
    taps = weights.reshape(*weights.shape[:3], -1)
    bad = np.argwhere(~np.isfinite(taps)).tolist()
    if bias is None:
        return taps, bad
    filters = bias.reshape(weights.shape[:2])
    bad += [[*at, 0, taps.shape[3]] for at in np.argwhere(~np.isfinite(filters)).tolist()]
    return np.concatenate([taps, np.broadcast_to(filters[..., None, None], (*taps.shape[:3], 1))], 3), bad


class _Places(NamedTuple):
    """From (group, filter, channel, tap) to row and column of the flattened matrix."""

    shape: tuple[int, ...]
    with_bias: bool

    def of(self, group: int, out: int, channel: int, tap: int) -> tuple[int, int]:
        groups, n_out, n_in, n_taps = self.shape
        n_weights = n_taps - self.with_bias
        row = (group * n_in + channel) * n_weights + tap if tap < n_weights else groups * n_in * n_weights
        return int(row), int(group * n_out + out)


# How many edges a tap makes


def _counts_of(kernel: Kernel, with_bias: bool) -> "_EdgeCounts":
    taps = kernel.weights.shape[3:]
    return _edge_counts(
        taps,
        kernel.strides,
        kernel.pads,
        kernel.dilations,
        kernel.transposed,
        kernel.in_size,
        kernel.out_size,
        with_bias=with_bias,
    )


@functools.lru_cache(maxsize=4)
def _edge_counts(taps: tuple[int, ...], *place: object, with_bias: bool) -> "_EdgeCounts":
    """Return the counts of a geometry; layers that share it, which many do, share them."""
    return _EdgeCounts(Kernel(np.zeros((1, 1, 1, *taps)), *place), with_bias)  # type: ignore[arg-type]


class _EdgeCounts:
    """How many edges of a spanning forest each tap makes, the taps entering one by one."""

    def __init__(self, kernel: Kernel, with_bias: bool) -> None:
        grid = Grid(kernel)
        n_taps = kernel.weights.size
        rows, cols, which = grid.edges(np.arange(n_taps))
        self.n_vertices = grid.n_vertices
        tails, heads = [rows], [grid.n_rows + cols]
        if with_bias:
            outputs = np.arange(grid.n_rows, grid.n_vertices)
            tails, heads = [rows, np.full_like(outputs, grid.n_vertices)], [*heads, outputs]
            which = np.concatenate([which, np.full_like(outputs, n_taps)])
            self.n_vertices += 1
        by_tap = np.argsort(which, kind="stable")
        self._tails, self._heads = np.concatenate(tails)[by_tap], np.concatenate(heads)[by_tap]
        self._sizes = np.bincount(which, minlength=n_taps + with_bias)
        self._first = np.cumsum(self._sizes) - self._sizes
        self._most = GrowingForest(self.n_vertices).join(self._tails, self._heads).size
        self._dtype = np.min_scalar_type(self._most)
        few = self._sizes.size <= FEW_TAPS
        self._known = np.full(1 << self._sizes.size, -1, np.int32) if few else None
        if self._known is not None:
            self._known[0] = 0

    def along(self, orders: Indices) -> NDArray[np.unsignedinteger]:
        """Return the edges that each tap makes after those before it, shape and order as given."""
        if self._known is None:
            parts = [self._grow(orders[part]) for part in strips((len(orders), self.n_vertices), TOGETHER)]
            return np.concatenate(parts)
        sets = np.cumsum(1 << orders, axis=1)
        open_orders = np.arange(len(orders))
        while open_orders.size:
            open_orders = open_orders[np.any(self._known[sets[open_orders]] < 0, axis=1)]
            some = open_orders[: min(AT_ONCE, max(1, TOGETHER // self.n_vertices))]
            self._known[sets[some]] = np.cumsum(self._grow(orders[some]), axis=1, dtype=np.int32)
        return np.diff(self._known[sets], axis=1, prepend=0).astype(self._dtype)

    def _grow(self, orders: Indices) -> NDArray[np.unsignedinteger]:
        """Let the taps of some graphs enter, one of each graph at a time, until nothing is left to join."""
        growing = GrowingForest(len(orders) * self.n_vertices)
        counts = np.zeros(orders.shape, self._dtype)
        for turn, taps in enumerate(orders.T):
            if growing.n_components == len(orders) * (self.n_vertices - self._most):
                break
            step, graph = ranges(self._sizes[taps])
            edge = step + self._first[taps][graph]
            start = graph * self.n_vertices
            used = growing.join(start + self._tails[edge], start + self._heads[edge])
            counts[:, turn] = np.bincount(graph[used], minlength=len(orders))
        return counts
