"""What stands in the boxes of a drawn layer graph, and how large they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import commonprefix

from rich.cells import cell_len

from onnxtop.render.cells import elide
from onnxtop.render.graph.words import what
from onnxtop.render.names import without_common_ends
from onnxtop.render.text import visible
from onnxtop.results.graph import GraphNode, LayerGraph

DOTS = ("join", "state")
"""Kinds that are drawn as a dot, without a label."""

CELL, LINE = 6.7, 14.0
"""Pixels of a cell of monospaced text, and of a line of it."""

RADIUS = 6.0

_LONGEST = 28
"""Cells of a line; a name has two."""

_SHORT = 12
"""Cells of the label of one of many in a box."""

_NARROWEST, _MARGIN = 64.0, 16.0
ROW = 18.0
_LOOP = 26.0


@dataclass(frozen=True)
class Box:
    """What is drawn of a node, or of many that are alike: lines of a label, and a cell for each of the many.

    ``across`` are the cells of a row, ``cell`` is the width of one.
    """

    keys: Sequence[str]
    lines: Sequence[str]
    cells: Sequence[str]
    across: int
    cell: float
    width: float
    height: float
    looped: bool

    @property
    def room(self) -> tuple[float, float]:
        """Width and height that it takes, with its way to itself if there is one."""
        return self.width + 2 * _LOOP * self.looped, self.height


def short_names(graph: LayerGraph) -> dict[str, str]:
    """Return names of nodes that can be shown; those of layers without what they all begin and end with."""
    shown = {key: visible(node.name) or '""' for key, node in graph.nodes.items()}
    layers = [key for key, node in graph.nodes.items() if node.kind in ("layer", "skipped")]
    short = without_common_ends([shown[key] for key in layers])
    return shown | dict(zip(layers, short, strict=True))


def box(
    keys: Sequence[str], nodes: Mapping[str, GraphNode], names: Mapping[str, str], *, looped: bool
) -> Box:
    """Return the box of a node, or of many."""
    node = nodes[keys[0]]
    if node.kind in DOTS:
        return Box(keys, (), (), 0, 0, 2 * RADIUS, 2 * RADIUS, looped)
    own = [names[key] for key in keys]
    if len(keys) == 1:
        lines = [*_folded(own[0]), elide(visible(what(node)), _LONGEST)]
        return Box(keys, lines, (), 0, 0, _wide(lines), LINE * len(lines) + _MARGIN / 2, looped)
    shared = commonprefix(own)  # noqa: RUF071 (characters are meant: names are no paths)
    lines = [*_folded(f"{shared}… ({len(keys):,})"), elide(visible(what(node)), _LONGEST)]
    cells = [elide(name[len(shared) :], _SHORT) for name in own]
    cell = max(map(cell_len, cells)) * CELL + 8
    across = max(round((2.4 * len(cells) * ROW / cell) ** 0.5), int((_wide(lines) - _MARGIN) // cell), 1)
    across = min(across, len(cells))
    height = LINE * len(lines) + _MARGIN + ROW * -(-len(cells) // across)
    return Box(keys, lines, cells, across, cell, max(_wide(lines), across * cell + _MARGIN), height, looped)


def _wide(lines: Sequence[str]) -> float:
    return max(max(map(cell_len, lines)) * CELL + _MARGIN, _NARROWEST)


def _folded(name: str) -> list[str]:
    """Break a long name at a separator into two lines, of which the second keeps both its ends.

    >>> _folded("model.decoder.layers.11.self_attention.query_projection")
    ['model.decoder.layers.11.', 'self_attention…ry_projection']
    """
    if cell_len(name) <= _LONGEST:
        return [name]
    end = _LONGEST
    while cell_len(name[:end]) > _LONGEST:
        end -= 1
    separators = [place + 1 for place, sign in enumerate(name[:end]) if sign in "/._: "]
    if separators and separators[-1] > _LONGEST // 3:
        end = separators[-1]
    return [name[:end], elide(name[end:], _LONGEST)]
