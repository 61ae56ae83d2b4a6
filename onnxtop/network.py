"""What the reader makes and the topology measures.

A *block* is a weight matrix of shape (n_in, n_out): rows are inputs, columns are outputs, always. A layer is
one block, or several that share no neuron (groups of a convolution, entries of a batched MatMul). The rows
of block ``b`` follow those of block ``b - 1``, likewise the columns, so that every weight of a layer has
one row and one column.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating[Any]]
"""A weight matrix, shape (n_in, n_out), float16, float32 or float64."""

Blocks = Sequence[Matrix]
"""The matrices of one layer; no two share a neuron."""


def strips(shape: tuple[int, ...], cells: int) -> Iterator[slice]:
    """Cut the rows of a matrix of this shape into strips of at most so many cells, of a row at least."""
    height = max(1, cells // max(shape[1], 1))
    return (slice(start, start + height) for start in range(0, shape[0], height))


@dataclass(frozen=True, eq=False)
class Kernel:
    r"""Weights of a convolution with what places them on the grid.

    ``weights`` has shape (groups, channels out per group, channels in per group, \*taps). Per spatial axis,
    a convolution joins input position ``y * stride - pad + tap * dilation`` to output position ``y``; a
    transposed one joins input position ``x`` to output position ``x * stride - pad + tap * dilation``; so
    ``pads`` holds the padding before the first position of each axis.
    Positions outside ``in_size`` or ``out_size`` are padding and have no neuron. Sizes are None where the
    model does not tell them.
    """

    weights: Matrix
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    transposed: bool = False
    in_size: tuple[int, ...] | None = None
    out_size: tuple[int, ...] | None = None

    @property
    def groups(self) -> int:
        """How many groups of channels share no weight."""
        return int(self.weights.shape[0])

    def matrices(self) -> list[Matrix]:
        """Return one matrix a group, (channels in per group * taps, channels out per group).

        This is the graph called ``flattened``: views of the kernel where its memory order allows.
        """
        outs = self.weights.shape[1]
        return [group.reshape(outs, -1).T for group in self.weights]


@dataclass(frozen=True, eq=False)
class RawCodes:
    """The codes of a quantised layer before they are decoded, in any shape.

    ``bits`` is the width of a code, at most 8; ``scale`` holds one number or many.
    """

    codes: NDArray[Any]
    bits: int
    scale: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one layer, read on demand: ``read()`` gives its matrices, one layer at a time."""

    name: str
    read: Callable[[], Blocks]


@dataclass(frozen=True, eq=False)
class Block:
    """One use of one matrix in the network graph: an edge from row vertex to column vertex for every weight.

    ``layer`` and ``matrix`` say which: ``graph.layers[layer].read()[matrix]``. ``rows`` and ``columns`` are
    vertex ids, shapes (n_in,) and (n_out,); an id may stand several times (the taps of a convolution, shared
    neurons), which makes parallel edges, of which the strongest counts. Id -1 is padding, which is no neuron.
    """

    layer: int
    matrix: int
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class NetworkGraph:
    """The neurons of a whole network and what joins them, directed from inputs to outputs; cycles allowed.

    Vertices are numbered from 0. ``inputs`` and ``outputs`` are ids without repetition; an id may be in both.
    ``structural`` edges, shape (k, 2), from and to, carry no weight: their strength is the top of the
    filtration. ``skips`` are those of them that bring the earlier operand to a residual join.
    """

    n_vertices: int
    inputs: NDArray[np.intp]
    outputs: NDArray[np.intp]
    layers: Sequence[Weights]
    blocks: Sequence[Block]
    structural: NDArray[np.intp]
    skips: NDArray[np.intp]
