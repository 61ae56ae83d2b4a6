"""The layer graph as JSON, in the node-link form that networkx and d3 read."""

from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.results.graph import LayerGraph
from onnxtop.results.report import SCHEMA_VERSION


def render(graph: LayerGraph, options: RenderOptions) -> str:
    """Write strict JSON; a node's id is "kind:name", a fact that is not known is null."""
    nodes = [{"id": key, **vars(node)} for key, node in graph.nodes.items()]
    edges = [{"source": tail, "target": head} for tail, head in graph.edges]
    about = {"model": graph.model, "connectivity": graph.connectivity, "notes": graph.notes}
    whole = {
        "schema_version": SCHEMA_VERSION,
        "directed": True,
        "multigraph": False,
        "graph": about,
        "nodes": nodes,
        "edges": edges,
    }
    return document(whole)
