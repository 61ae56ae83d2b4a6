"""The layer graph for Mermaid, which GitHub draws in Markdown.

Ids are n0, n1, ...; names stand in quoted labels alone, everything odd in them as a numbered entity.
"""

from onnxtop.render import RenderOptions
from onnxtop.render.graph.words import lines
from onnxtop.render.text import TIMES, visible
from onnxtop.results.graph import GraphNode, LayerGraph

_PLAIN = frozenset(f" .,:/_-{TIMES}")
_ENDS = {
    "input": ("([", "])"),
    "vocabulary": ("([", "])"),
    "output": ("([", "])"),
    "join": ("((", "))"),
    "state": ("((", "))"),
    "hub": ("{{", "}}"),
}
"""What encloses a label: the shape of its node."""


def render(graph: LayerGraph, options: RenderOptions) -> str:
    """Write a flowchart from top to bottom; what is on no way from an input to an output is dashed."""
    ids = {key: f"n{number}" for number, key in enumerate(graph.nodes)}
    nodes = [f"  {ids[key]}{_label(node)}" for key, node in graph.nodes.items()]
    edges = [f"  {ids[tail]} --> {ids[head]}" for tail, head in graph.edges]
    cut_off = [ids[key] for key, node in graph.nodes.items() if node.remark]
    style = [f"  class {','.join(cut_off)} cutOff"] if cut_off else []
    style = ["  classDef cutOff stroke-dasharray: 4 4", *style] if cut_off else []
    return "\n".join(["flowchart TD", *nodes, *edges, *style, ""])


def _label(node: GraphNode) -> str:
    opening, closing = _ENDS.get(node.kind, ("[", "]"))
    return f'{opening}"{"<br/>".join(map(_escaped, lines(node)))}"{closing}'


def _escaped(text: str) -> str:
    """Write odd characters as entities.

    >>> _escaped('a"b')
    'a#34;b'
    """
    shown = visible(text)
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in shown)
