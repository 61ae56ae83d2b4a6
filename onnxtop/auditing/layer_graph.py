"""The layer graph of a model: its nodes with what they are, and which of them are cut off."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.connectivity import Connected
from onnxtop.reader.lanes.arrays import distinct
from onnxtop.reader.lanes.builder import Vertices
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.search import reached
from onnxtop.results.graph import GraphNode, LayerGraph

NOT_USED, NOT_REACHED, NOT_TAKEN = "reaches no output", "no input reaches it", "not taken as an input"


def describe(model: str, connected: Connected, layers: Sequence[Layer | Skipped]) -> LayerGraph:
    """Describe the layer graph of a model.

    Parameters
    ----------
    model
        What to call it.
    connected, layers
        The model's network graph, and the layers that it was made from.
    """
    flow = connected.layer_graph
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from((key, {"kind": kind, "name": name}) for key, (kind, name) in flow.nodes.items())
    joins = set(flow.of("join"))
    graph.add_edges_from((tail, head) for tail, head in flow.edges if tail != head or tail not in joins)
    cut_off = _cut_off(graph, connected)
    order = _order(graph)
    place = {key: number for number, key in enumerate(order)}
    known = {f"{'layer' if isinstance(each, Layer) else 'skipped'}:{each.name}": each for each in layers}
    sizes = _neurons(connected)
    nodes = {}
    for key in order:
        kind, name = graph.nodes[key]["kind"], graph.nodes[key]["name"]
        nodes[key] = _node(kind, name, known.get(key), sizes.get(key), cut_off.get(key))
    edges = sorted(graph.edges, key=lambda edge: (place[edge[0]], place[edge[1]]))
    return LayerGraph(
        model=model,
        connectivity=connected.in_words,
        notes=connected.notes,
        nodes=nodes,
        edges=tuple(edges),
    )


def _node(
    kind: str, name: str, layer: Layer | Skipped | None, neurons: int | None, remark: str | None
) -> GraphNode:
    if isinstance(layer, Layer):
        shape = {"n_in": layer.n_in, "n_out": layer.n_out, "parameters": layer.parameters}
        return GraphNode(kind, name, layer.op_type, **shape, neurons=layer.n_out, remark=remark)
    if isinstance(layer, Skipped):
        return GraphNode(kind, name, layer.op_type, remark=layer.reason)
    return GraphNode(kind, name, neurons=neurons, remark=remark)


def _neurons(connected: Connected) -> dict[str, int]:
    """Count the vertices of inputs, joins and the like, and of the outputs."""
    found: Counter[str] = Counter()
    for run in connected.vertices:
        found[f"{run.kind}:{run.name}"] += run.count
    for key in connected.layer_graph.of("output"):
        _, name = connected.layer_graph.nodes[key]
        if name in connected.lanes:
            ids = connected.lanes[name]
            found[key] = distinct(ids).size
    return dict(found)


def _cut_off(graph: "nx.DiGraph[str]", connected: Connected) -> dict[str, str]:
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
    return set(reached((key for key in keys if key in graph), graph.successors))


def _order(graph: "nx.DiGraph[str]") -> list[str]:
    """Return the nodes in the order of the flow; what is in one cycle stays together, states first."""
    return [key for part in _parts(graph) for key in _cycle(graph, part)]


def _cycle(graph: "nx.DiGraph[str]", keys: list[str]) -> list[str]:
    """Return the nodes of a cycle as one turn of it goes, from the states on: the way to these is back."""
    if len(keys) == 1:
        return keys
    turn: nx.DiGraph[str] = nx.DiGraph()
    turn.add_nodes_from(keys)
    states = {key for key in keys if graph.nodes[key]["kind"] in ("state", "input", "vocabulary")}
    turn.add_edges_from((tail, head) for tail, head in graph.subgraph(keys).edges if head not in states)
    return [key for part in _parts(turn) for key in part]


def _parts(graph: "nx.DiGraph[str]") -> Iterator[list[str]]:
    """Yield what is in one cycle, in the order of the flow."""
    first = {key: number for number, key in enumerate(graph)}
    whole = nx.condensation(graph)
    members = {part: sorted(keys, key=first.__getitem__) for part, keys in whole.nodes(data="members")}
    flow = nx.lexicographical_topological_sort(whole, key=lambda part: first[members[part][0]])
    return (members[part] for part in flow)
