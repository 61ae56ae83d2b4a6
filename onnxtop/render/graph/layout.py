"""Where the nodes of a graph are drawn and how its edges run, whatever they stand for.

Rows from top to bottom in the order of the flow, folded into columns where the whole would be too tall; parts
that nothing connects one beside the other. The work grows little faster than what is drawn, and the same
graph gives the same drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxtop.render.graph.columns import columns
from onnxtop.render.graph.crossings import order
from onnxtop.render.graph.ranks import ASPECT, Edge, rows_of
from onnxtop.render.graph.ways import GraphPage, Point, Way

_APART = 40.0
"""Between two parts that nothing connects."""


@dataclass(frozen=True)
class GraphDrawing:
    """A drawing, in pixels from its upper left corner.

    ``centres`` are the middles of the nodes. ``ways`` are those of the edges, from the border of the tail to
    that of the head: between two points of one x or one y a line, otherwise a curve that leaves the one and
    reaches the other upright.
    """

    width: float
    height: float
    centres: Mapping[str, Point]
    ways: Mapping[tuple[str, str], Way]


def layout(sizes: Mapping[str, Point], edges: Sequence[tuple[str, str]]) -> GraphDrawing:
    """Place nodes of these widths and heights, which stand in the order of the flow.

    An edge from a node to one before it closes a cycle; an edge from a node to itself is not drawn.
    """
    parts = [_part(names, sizes, own) for names, own in _parts(list(sizes), edges)]
    aim = max(max((part.width for part in parts), default=0), _aim(parts))
    x = y = high = width = 0.0
    centres: dict[str, Point] = {}
    ways: dict[tuple[str, str], Way] = {}
    for part in parts:
        if x and x + part.width > aim:
            x, y, high = 0.0, y + high + _APART, 0.0
        centres |= {name: (x + a, y + b) for name, (a, b) in part.centres.items()}
        ways |= {edge: tuple((x + a, y + b) for a, b in way) for edge, way in part.ways.items()}
        width, high = max(width, x + part.width), max(high, part.height)
        x += part.width + _APART
    return GraphDrawing(width, y + high, centres, ways)


def _aim(parts: Sequence[GraphDrawing]) -> float:
    return float((ASPECT * sum((part.width + _APART) * (part.height + _APART) for part in parts)) ** 0.5)


def _parts(
    names: Sequence[str], edges: Sequence[tuple[str, str]]
) -> list[tuple[list[str], list[tuple[str, str]]]]:
    """Return the nodes and edges of each connected part, in the order of their first nodes."""
    root = {name: name for name in names}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for tail, head in edges:
        root[find(head)] = find(tail)
    parts: dict[str, tuple[list[str], list[tuple[str, str]]]] = {}
    for name in names:
        parts.setdefault(find(name), ([], []))[0].append(name)
    for edge in edges:
        parts[find(edge[0])][1].append(edge)
    return list(parts.values())


def _part(names: Sequence[str], sizes: Mapping[str, Point], edges: Sequence[tuple[str, str]]) -> GraphDrawing:
    """Place what is connected."""
    number = {name: place for place, name in enumerate(names)}
    drawn = [edge for edge in edges if edge[0] != edge[1]]
    numbered = [(number[tail], number[head]) for tail, head in drawn]
    own = [sizes[name] for name in names]
    rows = rows_of(own, [Edge(min(pair), max(pair), pair[0] > pair[1]) for pair in numbered])
    order(rows)
    page = GraphPage(rows, columns(rows, own), [height for _, height in own])
    ways = (page.way(chain) for chain in rows.chains)
    return GraphDrawing(
        *page.size,
        {name: page.centre(number[name]) for name in names},
        {
            edge: way[::-1] if tail > head else way
            for edge, (tail, head), way in zip(drawn, numbered, ways, strict=True)
        },
    )
