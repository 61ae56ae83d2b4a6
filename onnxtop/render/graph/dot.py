r"""The layer graph for Graphviz.

Ids are n0, n1, ...; names stand in labels alone, where a quote, a backslash and an ampersand would mean
something: they are written as ``\"``, ``\\`` and ``&amp;``.
"""

from onnxtop.render import RenderOptions
from onnxtop.render.graph.words import lines
from onnxtop.render.text import visible
from onnxtop.results.graph import GraphNode, LayerGraph

_SHAPES = {
    "input": "ellipse",
    "vocabulary": "ellipse",
    "output": "ellipse",
    "join": "circle",
    "state": "circle",
    "hub": "octagon",
}


def render(graph: LayerGraph, options: RenderOptions) -> str:
    """Write a directed graph; what is on no way from an input to an output is dashed."""
    ids = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    nodes = [f"  {ids[key]} [{_attributes(node)}];" for key, node in graph.nodes.items()]
    edges = [f"  {ids[tail]} -> {ids[head]};" for tail, head in graph.edges]
    head = ("digraph layers {", f"  label={_quoted(graph.model)};", "  node [shape=box];")
    return "\n".join([*head, *nodes, *edges, "}", ""])


def _attributes(node: GraphNode) -> str:
    attributes = [f"label={_quoted(*lines(node))}"]
    if node.kind in _SHAPES:
        attributes.append(f"shape={_SHAPES[node.kind]}")
    if node.remark:
        attributes.append("style=dashed")
    return ", ".join(attributes)


def _quoted(*parts: str) -> str:
    r"""Quote lines of a label.

    >>> print(_quoted("fc", 'a\\b"c'))
    "fc\na\\b\"c"
    """
    return '"' + r"\n".join(_escaped(visible(part)) for part in parts) + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;")
