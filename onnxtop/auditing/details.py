"""What is drawn of layers: looked at while their weights are in memory, named when the network is known."""

from bisect import bisect
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from onnxtop.network import Block, Blocks
from onnxtop.reader.connectivity import Connected
from onnxtop.results.details import LayerDetails, StrongWeight
from onnxtop.statistics.facts import Histogram
from onnxtop.statistics.histogram import histogram
from onnxtop.topology.graph import Floats, Indices
from onnxtop.topology.persistence import Diagram
from onnxtop.topology.strongest import strongest_cells

LISTED = 10
"""So many strongest and bottleneck weights are kept of a layer."""

SHOWN = 64
"""So many bars are kept of a layer."""

Band = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Glance:
    """What is kept of a layer's weights for its details: rows, columns and values of the strongest.

    ``starts`` are the first row and the first column of every matrix.
    """

    histogram: Histogram | None
    strongest: tuple[Indices, Indices, Floats]
    starts: tuple[list[int], list[int]]


def glance(weights: Blocks) -> Glance:
    """Look at the weights of a layer, in some three passes."""
    counts = histogram(weights)
    rows, columns = (list(accumulate((block.shape[axis] for block in weights), initial=0)) for axis in (0, 1))
    return Glance(counts, strongest_cells(weights if counts else (), LISTED), (rows, columns))


def ranks_of(diagram: Diagram) -> Indices:
    """Return the ranks, 1 for the longest, of the bars that are kept of a diagram, spread over all."""
    n_bars = len(diagram.points)
    return np.unique(np.linspace(1, n_bars, min(SHOWN, n_bars)).round().astype(np.intp))


def details_of(
    number: int, neurons: "NamedNeurons", seen: Glance, diagram: Diagram, band: Band | None
) -> LayerDetails:
    """Return the details of a layer by its number, in the scale of its diagram, with its null band."""
    ranks = ranks_of(diagram)
    births, deaths = diagram.points[::-1][ranks - 1].T
    low, high = band or (None, None)
    return LayerDetails(
        n_bars=len(diagram.points),
        ranks=tuple(ranks.tolist()),
        bars=tuple((births - deaths).tolist()),
        null_low=low,
        null_high=high,
        histogram=seen.histogram,
        strongest=neurons.weights(number, seen, *seen.strongest),
        bottlenecks=neurons.bottlenecks(number, seen),
    )


class NamedNeurons:
    """The neurons of a network by name, and the weights at which the bars of its diagram end."""

    def __init__(self, connected: Connected | None, diagram: Diagram) -> None:
        self._connected, self._diagram = connected, diagram

    def weights(
        self, number: int, seen: Glance, rows: Indices, columns: Indices, values: Floats
    ) -> tuple[StrongWeight, ...]:
        """Return weights of a layer with the names of the neurons that they join."""
        bars = self._limits.get(number, {})
        return tuple(
            StrongWeight(
                row,
                column,
                value,
                source=self._name(number, seen, 0, row) or f"input {row}",
                target=self._name(number, seen, 1, column) or f"output {column}",
                bars=bars.get((row, column), 0),
            )
            for row, column, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True)
        )

    def bottlenecks(self, number: int, seen: Glance) -> tuple[StrongWeight, ...]:
        """Return the first weights of a layer, strongest first, at which bars of the network end."""
        places = list(self._limits.get(number, {}))[:LISTED]
        if self._connected is None or not places:
            return ()
        blocks = self._connected.graph.layers[number].read()
        values = []
        for row, column in places:
            matrix = bisect(seen.starts[0], row) - 1
            values.append(blocks[matrix][row - seen.starts[0][matrix], column - seen.starts[1][matrix]])
        rows, columns = np.array(places, np.intp).T
        return self.weights(number, seen, rows, columns, np.array(values, np.float64))

    def _name(self, number: int, seen: Glance, side: int, line: int) -> str | None:
        """Return the name of the neuron that a row (side 0) or column of a layer is; None if it is none."""
        matrix = bisect(seen.starts[side], line) - 1
        block = self._blocks.get((number, matrix))
        if self._connected is None or block is None:
            return None
        vertex = int((block.rows, block.columns)[side][line - seen.starts[side][matrix]])
        run = self._connected.vertices[bisect(self._firsts, vertex) - 1]
        return f"{run.name}[{vertex - run.first}]" if vertex >= 0 else None

    @cached_property
    def _firsts(self) -> list[int]:
        return [run.first for run in self._connected.vertices] if self._connected else []

    @cached_property
    def _blocks(self) -> dict[tuple[int, int], Block]:
        """The first use of every matrix of every layer."""
        blocks = self._connected.graph.blocks if self._connected else ()
        return {(block.layer, block.matrix): block for block in reversed(blocks)}

    @cached_property
    def _limits(self) -> dict[int, dict[tuple[int, int], int]]:
        """By layer, row and column: how many bars end there; in the order of the bars."""
        limits: dict[int, dict[tuple[int, int], int]] = {}
        for layer, row, column in self._diagram.generators.tolist():
            if layer >= 0:
                of_layer = limits.setdefault(layer, {})
                of_layer[row, column] = of_layer.get((row, column), 0) + 1
        return limits
