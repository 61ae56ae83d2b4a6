"""The graph of a model's layers: what its nodes are, and who feeds whom."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GraphNode:
    """A node of the layer graph.

    ``kind`` is "input", "vocabulary" (entries of a table that indices choose), "layer", "skipped" (a layer
    that could not be read), "join" (neurons of several others are added or mixed), "state" (what a
    recurrence carries), "hub" (what could not be understood, and joins everything) or "output". ``neurons``
    counts what the node makes; ``n_in`` and ``n_out`` are the shape of a layer's matrix. ``remark`` says why
    the node is on no way from an input to an output, None if it is on one.
    """

    kind: str
    name: str
    op_type: str | None = None
    n_in: int | None = None
    n_out: int | None = None
    parameters: int | None = None
    neurons: int | None = None
    remark: str | None = None


@dataclass(frozen=True)
class LayerGraph:
    """A layer graph, ready to draw.

    ``nodes`` are by their key, kind and name with a colon between, inputs first and in the order of the flow;
    ``edges`` are pairs of keys, tail and head, in the same order. ``connectivity`` is "exact", or
    "conservative" and what made it so; ``notes`` say what was read in a way that should be known.
    """

    model: str
    connectivity: str
    notes: tuple[str, ...]
    nodes: Mapping[str, GraphNode]
    edges: tuple[tuple[str, str], ...]

    @property
    def back(self) -> frozenset[tuple[str, str]]:
        """The edges that close a cycle: they do not go on in the order of the flow."""
        place = {key: number for number, key in enumerate(self.nodes)}
        return frozenset((tail, head) for tail, head in self.edges if place[tail] >= place[head])
