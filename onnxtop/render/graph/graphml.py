"""The layer graph as GraphML, for yEd, Gephi, igraph and networkx.

Ids are n0, n1, ...; XML cannot hold characters that do not print, so names hold their escapes.
"""

import dataclasses

import networkx as nx

from onnxtop.render import RenderOptions
from onnxtop.render.text import visible
from onnxtop.results.graph import GraphNode, LayerGraph


def render(graph: LayerGraph, options: RenderOptions) -> str:
    """Write the graph as networkx does; a node has the attributes of `GraphNode` that are known."""
    drawn: nx.DiGraph[str] = nx.DiGraph(model=visible(graph.model), connectivity=visible(graph.connectivity))
    ids = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    for key, node in graph.nodes.items():
        drawn.add_node(ids[key], **_attributes(node))
    drawn.add_edges_from((ids[tail], ids[head]) for tail, head in graph.edges)
    return "\n".join([*nx.generate_graphml(drawn), ""])


def _attributes(node: GraphNode) -> dict[str, str | int]:
    known = {name: value for name, value in dataclasses.asdict(node).items() if value is not None}
    return {name: visible(value) if isinstance(value, str) else value for name, value in known.items()}
