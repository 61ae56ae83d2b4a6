"""The layer graph as a picture, without Graphviz: for a page of HTML, and as a file of its own.

No scripts, no styles and no ids. Colours are attributes and ``currentColor``, which a page may replace by
its style sheet: a node is a "node" of its kind with a "shape", an edge an "edge", and "back" if it closes a
cycle.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from onnxtop.render import RenderOptions
from onnxtop.render.graph.labels import CELL, DOTS, LINE, RADIUS, ROW, Box, box, short_names
from onnxtop.render.graph.layout import layout
from onnxtop.render.graph.ways import Point, Way
from onnxtop.render.graph.words import counts, groups, what
from onnxtop.render.svg import BACK, FAINT, INK, VIRIDIS, clipped, document, element, holder, label, ramp
from onnxtop.render.text import defined, known, visible
from onnxtop.results.graph import GraphNode, LayerGraph
from onnxtop.results.words import counted

_EDGE = 12.0
"""Around a drawing."""

_ALIKE = 3
"""So many nodes that are alike (the gates of a cell) share a frame."""

_NOTES = 6
"""Notes that are shown; the listing shows all."""

_HEAD = 22
"""From one line of a file's head to the next."""

_MOST = 120
"""Characters of such a line."""

_MIDDLE = 0.179
"""Luminance on which black and white have the same contrast."""

_LOOKS: Mapping[str, Mapping[str, str | float]] = {
    "layer": {"stroke": "#0969da", "fill": "#0969da", "fill_opacity": "0.1"},
    "skipped": {"stroke": "#cf222e", "fill": "#cf222e", "fill_opacity": "0.06"},
    "hub": {"stroke": "#bf8700", "fill": "#bf8700", "fill_opacity": "0.15"},
    "join": {"stroke": "none", "fill": "currentColor", "fill_opacity": "0.6"},
}
_LOOK: Mapping[str, str | float] = {
    "stroke": "currentColor",
    "fill": "currentColor",
    "fill_opacity": "0.06",
}
"""How a kind looks that nobody gave a colour."""

PLAIN = (str(_LOOKS["layer"]["fill"]), "currentColor", str(_LOOKS["layer"]["fill_opacity"]))
"""Fill, ink and opacity of a layer without a shade."""


def render(graph: LayerGraph, options: RenderOptions) -> str:
    """Draw a graph as a file, with a head that says what it is."""
    facts = [counts(graph), f"connectivity {graph.connectivity}", *graph.notes[:_NOTES]]
    if len(graph.notes) > _NOTES:
        facts.append(f"{counted(len(graph.notes) - _NOTES, 'more note')}: -f text")
    lines = [clipped(fact, _MOST, _MOST // 2) for fact in (graph.model, *facts)]
    width, height, parts = _drawn(graph, {})
    top = _HEAD * (len(lines) + 1)
    wide = round(max(width, len(lines[0]) * 9.5 + 2 * _EDGE, max(map(len, lines)) * CELL + 2 * _EDGE))
    heads = (
        label(_EDGE, _HEAD * (number + 1), line, colour=FAINT if number else INK, size=12 if number else 16)
        for number, line in enumerate(lines)
    )
    body = holder("g", parts, transform=f"translate({(wide - width) / 2:.1f} {top})")
    ground = element("rect", width=wide, height=top + height, fill=BACK)
    look = {"color": INK, "font_family": "system-ui, sans-serif"}
    return document(wide, top + height, [_title(graph), ground, *heads, body], **look)


def drawing(graph: LayerGraph, shades: Mapping[str, float] | None = None) -> str:
    """Draw a graph for a page of HTML.

    Parameters
    ----------
    graph
        What to draw.
    shades
        Values from 0 to 1 by the keys of nodes: `shade` gives their colours.

    Returns
    -------
    str
        One ``<svg>``. A node is a ``<g class="node ..." data-key="..." tabindex="0">``, in the order of the
        flow but for nodes that share a box; an edge has the numbers of its nodes, as they stand in the graph,
        in ``data-from`` and ``data-to``, which a node has in ``data-node``.
    """
    width, height, parts = _drawn(graph, shades or {})
    return document(width, height, [_title(graph), *parts], class_="layer-graph")


def shade(value: float) -> tuple[str, str]:
    """Return the colour of a value from 0 to 1, and that of words on it.

    >>> shade(0.0), shade(0.875)
    (('#440154', '#ffffff'), ('#aed844', '#000000'))
    """
    colour = ramp(value, VIRIDIS[::2])
    return colour, "#000000" if _luminance(bytes.fromhex(colour[1:])) > _MIDDLE else "#ffffff"


def shades_of(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return where the values of layers, by name, lie between the least and the greatest, by keys of nodes.

    >>> shades_of({"a": 0.5, "b": None, "c": 0.75, "d": 1.0})
    {'layer:a': 0.0, 'layer:c': 0.5, 'layer:d': 1.0}
    """
    some = known(values.values())
    low, span = min(some, default=0.0), (max(some, default=0.0) - min(some, default=0.0)) or 1.0
    return {f"layer:{name}": (value - low) / span for name, value in values.items() if defined(value)}


def _luminance(colour: Sequence[int]) -> float:
    """Return the relative luminance of red, green and blue, as in WCAG 2, which is about sRGB."""
    parts = ((part / 255 / 12.92 if part < 11 else ((part / 255 + 0.055) / 1.055) ** 2.4) for part in colour)
    return sum(part * weight for part, weight in zip(parts, (0.2126, 0.7152, 0.0722), strict=True))


def _title(graph: LayerGraph) -> str:
    return element("title", visible(f"Layers of {graph.model}: {counts(graph)}"))


def _drawn(graph: LayerGraph, shades: Mapping[str, float]) -> tuple[int, int, list[str]]:
    """Return the width and height of a drawing, and what is in it."""
    first = {key: keys[0] for keys in groups(graph, lambda node: None, _ALIKE) for key in keys}
    members: dict[str, list[str]] = {}
    for key in graph.nodes:
        members.setdefault(first[key], []).append(key)
    edges = list(dict.fromkeys((first[tail], first[head]) for tail, head in graph.edges))
    looped = {tail for tail, head in edges if tail == head}
    names = short_names(graph)
    boxes = {key: box(keys, graph.nodes, names, looped=key in looped) for key, keys in members.items()}
    placed = layout({key: each.room for key, each in boxes.items()}, edges)
    ways = {key: _loop(boxes[key], placed.centres[key]) for key in looped}
    number = {key: str(place) for place, key in enumerate(graph.nodes)}
    ends = {key: " ".join(number[each] for each in keys) for key, keys in members.items()}
    order = {key: place for place, key in enumerate(boxes)}
    lines = [
        _edge(
            ways[tail] if tail == head else _path(placed.ways[tail, head]),
            ends[tail],
            ends[head],
            back=order[tail] >= order[head],
        )
        for tail, head in edges
    ]
    nodes = [_node(each, placed.centres[key], graph, number, shades) for key, each in boxes.items()]
    parts = [
        holder("g", lines, class_="edges", fill="none", stroke="currentColor", opacity="0.55"),
        holder("g", nodes, font_family="ui-monospace, Menlo, Consolas, monospace", font_size=11),
    ]
    body = holder("g", parts, transform=f"translate({_EDGE:g} {_EDGE:g})")
    return round(placed.width + 2 * _EDGE), round(placed.height + 2 * _EDGE), [body]


# Edges


def _edge(data: str, tail: str, head: str, *, back: bool) -> str:
    dashes = {"stroke_dasharray": "5 3"} if back else {}
    kind = "edge back" if back else "edge"
    return element("path", d=data, class_=kind, **dashes, data_from=tail, data_to=head)


def _path(way: Way) -> str:
    """Write a way, with an arrow at its end, and one on each line that leads to another column."""
    data = [f"M{_at(way[0])}"]
    for (x, y), (to, end) in pairwise(way):
        middle = (y + end) / 2
        if x == to:
            data.append(f"V{end:.1f}")
        elif y == end:
            data.append(f"H{to:.1f}")
        else:
            data.append(f"C{_at((x, middle))} {_at((to, middle))} {_at((to, end))}")
    for before, (x, y), (to, end), after in zip(way, way[1:], way[2:], way[3:], strict=False):
        if x == to and before[1] == y and after[1] == end:
            data.append(_arrow((x, (y + end) / 2), end > y))
    return "".join([*data, _arrow(way[-1], way[-1][1] > way[-2][1])])


def _arrow(tip: Point, down: bool) -> str:
    x, y = tip
    back = y - 5 if down else y + 5
    return f"M{_at((x - 3.5, back))}L{_at(tip)}L{_at((x + 3.5, back))}"


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def _loop(own: Box, centre: Point) -> str:
    """Write a way from a node to itself, on its right."""
    x, y = centre[0] + own.width / 2, centre[1]
    out = x + 26
    bend = f"C{_at((out, y - 9))} {_at((out, y + 9))} {_at((x, y + 5))}"
    return f"M{_at((x, y - 5))}{bend}M{_at((x + 6, y + 2))}L{_at((x, y + 5))}L{_at((x + 5, y + 8.5))}"


# Nodes


def _node(
    own: Box, centre: Point, graph: LayerGraph, number: Mapping[str, str], shades: Mapping[str, float]
) -> str:
    """Draw a node, or the frame around many with a node in each of its cells."""
    left, top = centre[0] - own.width / 2, centre[1] - own.height / 2
    node = graph.nodes[own.keys[0]]
    if own.cells:
        frame = element("rect", x=left, y=top, width=own.width, height=own.height, rx=5, **_look(node))
        cells = (_cell(own, place, (left, top), graph, number, shades) for place in range(len(own.cells)))
        return holder("g", [frame, *_words(own.lines, centre[0], top), *cells], class_=f"group {node.kind}")
    look, ink = _coloured(node, shades.get(own.keys[0]))
    if node.kind in DOTS:
        shape = element("circle", cx=centre[0], cy=centre[1], r=RADIUS, class_="shape", **look)
    else:
        round_ = own.height / 2 if node.kind in ("input", "output", "vocabulary") else 5
        shape = element(
            "rect", x=left, y=top, width=own.width, height=own.height, rx=round_, class_="shape", **look
        )
    return _held(own.keys[0], number[own.keys[0]], node, [shape, *_words(own.lines, centre[0], top, ink)])


def _cell(
    own: Box,
    place: int,
    corner: Point,
    graph: LayerGraph,
    number: Mapping[str, str],
    shades: Mapping[str, float],
) -> str:
    row, column = divmod(place, own.across)
    key = own.keys[place]
    x = corner[0] + (own.width - own.across * own.cell) / 2 + column * own.cell
    y = corner[1] + LINE * len(own.lines) + 10 + row * ROW
    look, ink = _coloured(graph.nodes[key], shades.get(key))
    shape = element(
        "rect", x=x + 1, y=y + 1, width=own.cell - 2, height=ROW - 2, rx=3, class_="shape", **look
    )
    words = element("text", own.cells[place], x=x + own.cell / 2, y=y + 13, text_anchor="middle", fill=ink)
    return _held(key, number[key], graph.nodes[key], [shape, words])


def _held(key: str, number: str, node: GraphNode, parts: Sequence[str]) -> str:
    told = [node.name, what(node)]
    if node.parameters is not None:
        told.append(counted(node.parameters, "parameter"))
    if node.remark:
        told.append(node.remark)
    title = element("title", "\n".join(map(visible, told)))
    kind = f"node {node.kind}{' cut-off' if node.remark else ''}"
    return holder("g", [title, *parts], class_=kind, data_key=key, data_node=number, tabindex=0)


def _coloured(node: GraphNode, value: float | None) -> tuple[dict[str, str | float], str]:
    """Return the look of a node's shape, and the colour of the words on it."""
    if value is None:
        return _look(node), "currentColor"
    fill, ink = shade(value)
    return _look(node) | {"fill": fill, "fill_opacity": 1}, ink


def _look(node: GraphNode) -> dict[str, str | float]:
    look = dict(_LOOKS.get(node.kind, _LOOK))
    return look | ({"stroke_dasharray": "4 3"} if node.remark else {})


def _words(lines: Iterable[str], middle: float, top: float, ink: str = "currentColor") -> Iterator[str]:
    lines = list(lines)
    for number, line in enumerate(lines):
        last = number == len(lines) - 1
        faint: dict[str, str | float] = {"font_size": 10} if last else {}
        if last and ink == "currentColor":  # on a shade there is no contrast to give away
            faint = {"opacity": "0.75", **faint}
        yield element(
            "text", line, x=middle, y=top + LINE * (number + 1) + 1, text_anchor="middle", fill=ink, **faint
        )
