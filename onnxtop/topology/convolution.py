"""The graphs of a convolution that take the whole layer as one, by name; `filters` has the paper's own.

flattened
    (channels in per group x taps) rows, channels out per group columns, one block per group
    (`Kernel.matrices`): the common practice.
channels
    Channels in x channels out, one block per group; the strength of an edge is the largest tap.
unrolled
    The neurons themselves: one vertex for every channel and position, in and out, one edge for every tap
    that falls inside. It is never formed: a tap joins positions in pairs, taps enter in descending order, and
    once a channel is joined to the rest as far as its taps can reach, taps between such channels are passed
    over.
"""

import functools
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.network import Blocks, Kernel
from onnxtop.topology.graph import Floats, Forest, Indices, empty_forest
from onnxtop.topology.spanning import GrowingForest, with_bias

BATCH = 1 << 18
"""Edges that enter together, at least; a graph with more vertices takes as many as it has vertices."""


def channels(kernel: Kernel) -> Blocks:
    """Return the blocks of the channel graph, shape (channels in per group, channels out per group).

    The largest tap in magnitude; NaN if one of the taps is.

    Examples
    --------
    >>> taps = np.array([[[[1.0, -3.0]], [[0.5, 0.0]]]])  # 1 group, 2 channels out, 1 in, 2 taps
    >>> channels(Kernel(taps, strides=(1,), pads=(0,), dilations=(1,)))
    [array([[3. , 0.5]])]
    """
    taps = tuple(range(2, kernel.weights.ndim - 1))
    return [np.maximum(group.max(taps), -group.min(taps)).T for group in kernel.weights]


def unrolled_forest(kernel: Kernel, *, bias: Floats | None = None, layer: int = 0) -> Forest:
    """Return the maximum spanning forest of the unrolled graph.

    Rows are input neurons, columns output neurons, both numbered by channel and then position in row-major
    order. Every position is a vertex, also where no tap reaches it.

    Parameters
    ----------
    kernel
        Weights with their strides, pads and dilations, and both sizes.
    bias
        Shape (channels out,): one vertex, joined to all positions of every output channel.
    layer
        First entry of the generators.

    Returns
    -------
    Forest
        Taps of weight zero are left out, like pairs without a tap. Without edges if a tap or bias is not
        finite, used or not.

    Raises
    ------
    UsageError
        A size is unknown, or the bias has another length.

    Notes
    -----
    Exact. Time depends on how many taps are needed: with weights of one scale about (V log V) / 2 edges of V
    vertices enter, whatever the number of taps. Memory is some 200 bytes a vertex and 20 a weight.

    Examples
    --------
    >>> taps = np.array([3.0, 2.0, 1.0]).reshape(1, 1, 1, 3)
    >>> kernel = Kernel(taps, strides=(1,), pads=(0,), dilations=(1,), in_size=(4,), out_size=(2,))
    >>> forest = unrolled_forest(kernel)
    >>> forest.strengths.tolist(), forest.edges[:2].tolist()
    ([3.0, 3.0, 2.0, 2.0, 1.0], [[0, 4], [1, 5]])
    """
    grid = Grid(kernel)
    check_bias(kernel, bias)
    bad = np.argwhere(~np.isfinite(kernel.weights))
    if len(bad):
        forest = empty_forest(grid.n_vertices, len(bad), tuple(bad[0].tolist()))
    else:
        forest = _taps_forest(kernel, grid, layer)
    if bias is None:
        return forest
    return with_bias(forest, grid.n_rows, np.repeat(bias, grid.n_out_positions), layer)


def check_bias(kernel: Kernel, bias: Floats | None) -> None:
    """Raise UsageError unless a bias has a number for each channel out."""
    n_out = kernel.weights.shape[0] * kernel.weights.shape[1]
    if bias is not None and np.shape(bias) != (n_out,):
        raise UsageError(
            f"wanted a bias of shape ({n_out},), found {np.shape(bias)}: pass one number a channel"
        )


def _taps_forest(kernel: Kernel, grid: "Grid", layer: int) -> Forest:
    """Let taps enter, strongest first, until none can join anything."""
    strengths = np.abs(kernel.weights).reshape(-1)
    # Equal taps enter scattered: in their own order, the last channels would wait for all of the first.
    scattered = np.random.default_rng(0).permutation(strengths.size)
    order = scattered[np.argsort(-strengths[scattered], kind="stable")][: np.count_nonzero(strengths)]
    taps = order[grid.n_edges(order) > 0]
    growing = GrowingForest(grid.n_vertices)
    batch = max(BATCH, grid.n_vertices)
    rows, cols, used = [taps[:0]], [taps[:0]], [taps[:0]]
    while taps.size:
        n_taps = int(np.searchsorted(np.cumsum(grid.n_edges(taps[:batch])), batch)) + 1
        row, col, which = grid.edges(taps[:n_taps])
        joined = growing.join(row, grid.n_rows + col)
        rows.append(row[joined])
        cols.append(col[joined])
        used.append(taps[which[joined]])
        taps = taps[n_taps:]
        taps = taps[grid.can_join(taps, growing.labels)]
    row, col, tap = np.concatenate(rows), np.concatenate(cols), np.concatenate(used)
    generators = np.column_stack([np.full_like(row, layer), row, col])
    edges = np.column_stack([row, grid.n_rows + col])
    return Forest(grid.n_vertices, edges, strengths[tap].astype(np.float64), generators)


class Grid:
    """The neurons of a convolution. A tap is a flat position in ``Kernel.weights``."""

    def __init__(self, kernel: Kernel) -> None:
        if kernel.in_size is None or kernel.out_size is None:
            raise UsageError(
                "wanted the input and output size of the convolution, "
                f"found {kernel.in_size} and {kernel.out_size}: "
                "give the model's input shape, or take the flattened or the channels graph"
            )
        sizes = zip(kernel.in_size, kernel.out_size, strict=True)
        self._shape = kernel.weights.shape
        self._axes = [_Axis.of(kernel, axis, *size) for axis, size in enumerate(sizes)]
        self._n_in_positions = math.prod(kernel.in_size)
        self.n_out_positions = math.prod(kernel.out_size)
        groups, n_out, n_in = self._shape[:3]
        self.n_rows = groups * n_in * self._n_in_positions
        self.n_vertices = self.n_rows + groups * n_out * self.n_out_positions
        self._edges_of_tap = functools.reduce(np.multiply.outer, [axis.count for axis in self._axes]).ravel()
        position = self._position_of_vertices()
        self._reached = np.flatnonzero(position >= 0)
        self._position = position[self._reached]

    def n_edges(self, taps: Indices) -> Indices:
        """Return how many edges each tap has."""
        return self._edges_of_tap[taps % self._edges_of_tap.size]

    def edges(self, taps: Indices) -> tuple[Indices, Indices, Indices]:
        """Return row and column of every edge of some taps, and the position of its tap among them."""
        group, c_out, c_in, *tap = np.unravel_index(taps, self._shape)
        step, which = ranges(self.n_edges(taps))
        n_in, n_out = 1, 1
        rows, cols = np.zeros_like(step), np.zeros_like(step)
        for axis, k in zip(reversed(self._axes), reversed(tap), strict=True):
            step, along = np.divmod(step, axis.count[k][which])
            ins, outs = axis.pairs(axis.first[k][which], axis.offset[k][which], along)
            rows += ins * n_in
            cols += outs * n_out
            n_in, n_out = n_in * axis.n_in, n_out * axis.n_out
        rows += ((group * self._shape[2] + c_in) * n_in)[which]
        cols += ((group * self._shape[1] + c_out) * n_out)[which]
        return rows, cols, which

    def can_join(self, taps: Indices, labels: Indices) -> NDArray[np.bool_]:
        """Say which taps may still join something, given the component of every vertex.

        An edge joins positions of one component of the position graph. In a settled channel all positions of
        such a component have the label that is most frequent there, so between settled channels every edge is
        a loop.
        """
        sizes = np.bincount(labels)
        own = labels[self._reached]
        best = np.zeros(self._position.max(initial=0) + 1, np.intp)
        np.maximum.at(best, self._position, sizes[own] * sizes.size + own)
        settled = np.ones(self.n_vertices, bool)
        settled[self._reached] = own == best[self._position] % sizes.size
        settled_in = np.all(settled[: self.n_rows].reshape(-1, self._n_in_positions), axis=1)
        settled_out = np.all(settled[self.n_rows :].reshape(-1, self.n_out_positions), axis=1)
        _, n_out, n_in = self._shape[:3]
        channel_out, rest = np.divmod(taps // self._edges_of_tap.size, n_in)
        done: NDArray[np.bool_] = settled_out[channel_out] & settled_in[channel_out // n_out * n_in + rest]
        return ~done

    def _position_of_vertices(self) -> Indices:
        """Return the component of the position graph that every vertex is in, -1 where no tap reaches.

        Every group has its own. Components are products of those of the axes: a path on one axis can wait for
        another by going to and fro.
        """
        ins, outs, n_labels = np.zeros(1, np.intp), np.zeros(1, np.intp), 1
        for axis in self._axes:
            axis_in, axis_out, n_axis = axis.components()
            ins, outs = _product(ins, axis_in, n_axis), _product(outs, axis_out, n_axis)
            n_labels *= n_axis
        groups, n_out, n_in = self._shape[:3]
        group = np.arange(groups)[:, None, None] * n_labels
        in_vertices = np.broadcast_to(np.where(ins < 0, -1, ins + group), (groups, n_in, ins.size))
        out_vertices = np.broadcast_to(np.where(outs < 0, -1, outs + group), (groups, n_out, outs.size))
        return np.concatenate([in_vertices.ravel(), out_vertices.ravel()])


def _product(labels: Indices, of_axis: Indices, n_axis: int) -> Indices:
    labels = labels[:, None]
    return np.where((labels < 0) | (of_axis < 0), -1, labels * n_axis + of_axis).ravel()


@dataclass(frozen=True)
class _Axis:
    """One spatial axis: the side that strides (output, or input if transposed), and the side it reaches.

    Tap k joins striding position ``first[k] + j``, for j below ``count[k]``, to reached position
    ``(first[k] + j) * stride + offset[k]``.
    """

    n_in: int
    n_out: int
    stride: int
    transposed: bool
    offset: Indices
    first: Indices
    count: Indices

    @classmethod
    def of(cls, kernel: Kernel, axis: int, n_in: int, n_out: int) -> Self:
        n_taps = kernel.weights.shape[3 + axis]
        stride = kernel.strides[axis]
        offset = np.arange(n_taps) * kernel.dilations[axis] - kernel.pads[axis]
        n_striding, n_reached = (n_in, n_out) if kernel.transposed else (n_out, n_in)
        first = np.maximum(0, -(offset // stride))
        last = np.minimum(n_striding - 1, (n_reached - 1 - offset) // stride)
        return cls(n_in, n_out, stride, kernel.transposed, offset, first, np.maximum(0, last - first + 1))

    def pairs(self, first: Indices, offset: Indices, step: Indices) -> tuple[Indices, Indices]:
        """Return input and output positions of the given steps."""
        striding = first + step
        reached = striding * self.stride + offset
        return (striding, reached) if self.transposed else (reached, striding)

    def components(self) -> tuple[Indices, Indices, int]:
        """Return the component of every input and output position, -1 if unreached, and a bound on labels."""
        step, tap = ranges(self.count)
        tails, heads = self.pairs(self.first[tap], self.offset[tap], step)
        growing = GrowingForest(self.n_in + self.n_out)
        growing.join(tails, self.n_in + heads)
        reached = np.zeros(self.n_in + self.n_out, bool)
        reached[tails] = reached[self.n_in + heads] = True
        labels = np.where(reached, growing.labels, -1)
        return labels[: self.n_in], labels[self.n_in :], growing.n_components


def ranges(counts: Indices) -> tuple[Indices, Indices]:
    """Concatenate ranges 0..count, and say which range each number is from."""
    which = np.repeat(np.arange(counts.size), counts)
    return np.arange(which.size) - (np.cumsum(counts) - counts)[which], which
