"""The layer graph as GraphML, for yEd, Gephi, igraph and networkx.

Ids are n0, n1, ...; XML cannot hold characters that do not print, so names hold their escapes.
"""

import dataclasses

import networkx as nx

from onnxtop.render import RenderOptions
from onnxtop.render.graph.picture import Item, Picture
from onnxtop.render.text import visible


def render(picture: Picture, options: RenderOptions) -> str:
    """Write the graph as networkx does; a node has the attributes of `Item` that are known."""
    graph: nx.DiGraph[str] = nx.DiGraph(
        model=visible(picture.model), connectivity=visible(picture.connectivity)
    )
    ids = {key: f"n{number}" for number, key in enumerate(picture.items)}
    for key, item in picture.items.items():
        graph.add_node(ids[key], **_attributes(item))
    graph.add_edges_from((ids[tail], ids[head]) for tail, head in picture.edges)
    return "\n".join([*nx.generate_graphml(graph), ""])


def _attributes(item: Item) -> dict[str, str | int]:
    known = {name: value for name, value in dataclasses.asdict(item).items() if value is not None}
    return {name: visible(value) if isinstance(value, str) else value for name, value in known.items()}
