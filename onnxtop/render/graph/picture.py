"""What all pictures of a layer graph show: its nodes with what they are, and which of them are cut off."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.connectivity import Connectivity
from onnxtop.reader.lanes.arrays import distinct
from onnxtop.reader.lanes.builder import Vertices
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.render.text import TIMES, counted

_NOUNS = {
    "layer": "layer",
    "skipped": "skipped layer",
    "join": "join",
    "hub": "hub",
    "state": "state",
    "vocabulary": "table",
    "input": "input",
    "output": "output",
}
"""What the nodes of a kind are called, in the order in which they are counted."""

NOT_USED, NOT_REACHED, NOT_TAKEN = "reaches no output", "no input reaches it", "not taken as an input"


@dataclass(frozen=True)
class Item:
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

    @property
    def what(self) -> str:
        """Say in two or three words what the node is; holds an operator's name as it is in the file."""
        if self.kind == "layer":
            return f"{self.op_type} {self.n_in} {TIMES} {self.n_out}"
        if self.kind == "skipped":
            return f"{self.op_type}, skipped"
        return self.kind if self.neurons is None else f"{self.kind}, {self.neurons:,}"


@dataclass(frozen=True, eq=False)
class Picture:
    """A layer graph ready to draw.

    ``items`` are its nodes by their key "kind:name", inputs first and in the order of the flow; ``edges`` are
    pairs of keys in the same order; ``back`` are those that close a cycle. ``connectivity`` is "exact", or
    "conservative" and what made it so.
    """

    model: str
    connectivity: str
    notes: tuple[str, ...]
    items: Mapping[str, Item]
    edges: Sequence[tuple[str, str]]
    back: frozenset[tuple[str, str]]

    @property
    def counts(self) -> str:
        """Count the nodes by kind.

        >>> Picture("m", "exact", (), {"layer:a": Item("layer", "a")}, [], frozenset()).counts
        '1 layer'
        """
        many = Counter(item.kind for item in self.items.values())
        return ", ".join(counted(many[kind], noun) for kind, noun in _NOUNS.items() if many[kind])


def describe(model: str, connected: Connectivity, layers: Sequence[Layer | Skipped]) -> Picture:
    """Describe the layer graph of a model.

    Parameters
    ----------
    model
        What to call it.
    connected, layers
        The model's network graph, and the layers that it was made from.
    """
    graph: nx.DiGraph[str] = connected.layer_graph.copy()
    graph.remove_edges_from([(key, key) for key in list(graph) if graph.nodes[key]["kind"] == "join"])
    cut_off = _cut_off(graph, connected)
    order = _order(graph)
    place = {key: number for number, key in enumerate(order)}
    known = {f"{'layer' if isinstance(each, Layer) else 'skipped'}:{each.name}": each for each in layers}
    sizes = _neurons(connected)
    items = {}
    for key in order:
        kind, name = graph.nodes[key]["kind"], graph.nodes[key]["name"]
        items[key] = _item(kind, name, known.get(key), sizes.get(key), cut_off.get(key))
    edges = sorted(graph.edges, key=lambda edge: (place[edge[0]], place[edge[1]]))
    return Picture(
        model=model,
        connectivity="exact" if connected.exact else f"conservative ({'; '.join(connected.hubs)})",
        notes=connected.notes,
        items=items,
        edges=edges,
        back=frozenset((a, b) for a, b in edges if place[a] >= place[b]),
    )


def _item(
    kind: str, name: str, layer: Layer | Skipped | None, neurons: int | None, remark: str | None
) -> Item:
    if isinstance(layer, Layer):
        shape = {"n_in": layer.n_in, "n_out": layer.n_out, "parameters": layer.parameters}
        return Item(kind, name, layer.op_type, **shape, neurons=layer.n_out, remark=remark)
    if isinstance(layer, Skipped):
        return Item(kind, name, layer.op_type, remark=layer.reason)
    return Item(kind, name, neurons=neurons, remark=remark)


def _neurons(connected: Connectivity) -> dict[str, int]:
    """Count the vertices of inputs, joins and the like, and of the outputs."""
    found: Counter[str] = Counter()
    for run in connected.vertices:
        found[f"{run.kind}:{run.name}"] += run.count
    for key in connected.layer_graph:
        kind, name = (connected.layer_graph.nodes[key][what] for what in ("kind", "name"))
        if kind == "output" and name in connected.lanes:
            ids = connected.lanes[name]
            found[key] = distinct(ids).size
    return dict(found)


def _cut_off(graph: "nx.DiGraph[str]", connected: Connectivity) -> dict[str, str]:
    """Say of every node on no way from the inputs to the outputs that were asked for why it is on none."""
    sources = {f"{run.kind}:{run.name}" for run in _runs(connected.vertices, connected.graph.inputs)}
    targets = {key for key in graph if graph.nodes[key]["kind"] == "output"}
    reached, used = _spread(graph, sources), _spread(graph.reverse(copy=False), targets)
    remarks = {
        key: NOT_TAKEN if graph.nodes[key]["kind"] in ("input", "vocabulary") else NOT_REACHED
        for key in graph
        if key not in reached
    }
    remarks |= {key: NOT_USED for key in graph if key not in used}
    beside = {f"layer:{connected.graph.layers[number].name}" for number, _ in connected.beside}
    return {key: remark for key, remark in remarks.items() if key not in beside}


def _runs(vertices: Sequence[Vertices], ids: NDArray[np.intp]) -> list[Vertices]:
    starts = [run.first for run in vertices]
    return [vertices[place] for place in np.unique(np.searchsorted(starts, ids, side="right") - 1).tolist()]


def _spread(graph: "nx.DiGraph[str]", keys: Iterable[str]) -> set[str]:
    found = set(keys) & set(graph)
    return found.union(*(nx.descendants(graph, key) for key in found))


def _order(graph: "nx.DiGraph[str]") -> list[str]:
    """Return the nodes in the order of the flow; what is in one cycle stays together."""
    first = {key: number for number, key in enumerate(graph)}
    whole = nx.condensation(graph)
    members = {part: sorted(keys, key=first.__getitem__) for part, keys in whole.nodes(data="members")}
    flow = nx.lexicographical_topological_sort(whole, key=lambda part: first[members[part][0]])
    return [key for part in flow for key in members[part]]
