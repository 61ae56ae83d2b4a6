r"""The layer graph for Graphviz.

Ids are n0, n1, ...; names stand in labels alone, where a quote, a backslash and an ampersand would mean
something: they are written as ``\"``, ``\\`` and ``&amp;``.
"""

from onnxtop.render import RenderOptions
from onnxtop.render.graph.picture import Item, Picture
from onnxtop.render.text import visible

_SHAPES = {
    "input": "ellipse",
    "vocabulary": "ellipse",
    "output": "ellipse",
    "join": "circle",
    "state": "circle",
    "hub": "octagon",
}


def render(picture: Picture, options: RenderOptions) -> str:
    """Write a directed graph; what is on no way from an input to an output is dashed."""
    ids = {key: f"n{number}" for number, key in enumerate(picture.items)}
    nodes = [f"  {ids[key]} [{_attributes(item)}];" for key, item in picture.items.items()]
    edges = [f"  {ids[tail]} -> {ids[head]};" for tail, head in picture.edges]
    head = ("digraph layers {", f"  label={_quoted(picture.model)};", "  node [shape=box];")
    return "\n".join([*head, *nodes, *edges, "}", ""])


def _attributes(item: Item) -> str:
    lines = [item.name, item.what, *([item.remark] if item.remark else [])]
    found = [f"label={_quoted(*lines)}"]
    if item.kind in _SHAPES:
        found.append(f"shape={_SHAPES[item.kind]}")
    if item.remark:
        found.append("style=dashed")
    return ", ".join(found)


def _quoted(*lines: str) -> str:
    r"""Quote lines of a label.

    >>> print(_quoted("fc", 'a\\b"c'))
    "fc\na\\b\"c"
    """
    return '"' + r"\n".join(_escaped(visible(line)) for line in lines) + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;")
