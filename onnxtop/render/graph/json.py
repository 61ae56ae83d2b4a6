"""The layer graph as JSON, in the node-link form that networkx and d3 read."""

import dataclasses

from onnxtop.render import RenderOptions
from onnxtop.render.graph.picture import Picture
from onnxtop.render.json import document
from onnxtop.results.report import SCHEMA_VERSION


def render(picture: Picture, options: RenderOptions) -> str:
    """Write strict JSON; a node's id is "kind:name", a fact that is not known is null."""
    nodes = [{"id": key, **dataclasses.asdict(item)} for key, item in picture.items.items()]
    edges = [{"source": tail, "target": head} for tail, head in picture.edges]
    about = {"model": picture.model, "connectivity": picture.connectivity, "notes": picture.notes}
    whole = {
        "schema_version": SCHEMA_VERSION,
        "directed": True,
        "multigraph": False,
        "graph": about,
        "nodes": nodes,
        "edges": edges,
    }
    return document(whole)
