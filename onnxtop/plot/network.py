"""Pictures of all layers: neural persistence of each beside that of chance, and who feeds whom."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from onnxtop.plot.figures import LONGEST, detailed, figure_of, layers_of, look, new, short
from onnxtop.render.graph.labels import DOTS, RADIUS, Box, box, short_names
from onnxtop.render.graph.layout import GraphDrawing, layout
from onnxtop.render.graph.svg import shade, shades_of
from onnxtop.render.graph.ways import Point, Way
from onnxtop.render.svg import COLOURS, FAINT, GRID, INK, told_apart
from onnxtop.results.graph import GraphNode, LayerGraph
from onnxtop.results.report import LayerReport, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _TALLEST = 0.2, 40.0
"""Inches of a row, and of a picture of many."""

_UNITS = 80
"""Pixels of a laid out graph that are an inch."""

_BLUE = COLOURS[0]


def layers(report: Report, *, ax: "Axes | None" = None) -> "Figure":
    """Draw the normalized neural persistence of every layer, and what the same weights give at random.

    Parameters
    ----------
    report
        Of `onnxtop.audit`.
    ax
        Axes to draw in, instead of a new figure.

    Raises
    ------
    UsageError
        The report has no layers, or matplotlib is not installed.
    """
    found = layers_of(report)
    if ax is not None:
        _rows(ax, found)
        return figure_of(ax)
    with look():
        figure = new(7.5, min(1.2 + _ROW * len(found), _TALLEST))
        _rows(figure.add_subplot(), found)
        figure.suptitle(short(report.model.path), x=0.01, ha="left", fontsize=9)
    return figure


def _rows(axes: "Axes", found: Sequence[LayerReport]) -> None:
    figures = [(row, layer.neural_persistence) for row, layer in enumerate(found)]
    known = [(row, each.normalized) for row, each in figures if each.normalized is not None]
    chance = [
        (row, each.null_mean, 2 * (each.null_std or 0.0))
        for row, each in figures
        if each.null_mean is not None
    ]
    if chance:
        rows, means, spreads = zip(*chance, strict=True)
        axes.errorbar(
            means, rows, xerr=spreads, fmt="|", color=FAINT, elinewidth=3, alpha=0.7, label="in random places"
        )
    if known:
        rows, values = zip(*known, strict=True)
        axes.plot(values, rows, "o", color=_BLUE, markersize=4, label="neural persistence")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=7)
    step = -(-len(found) // int(_TALLEST / _ROW))
    names = told_apart([layer.name for layer in found[::step]], LONGEST)
    axes.set_yticks(range(0, len(found), step), names, parse_math=False)
    axes.set(xlabel="NP, normalized", ylim=(len(found) - 0.4, -0.6))
    axes.grid(color=GRID)


def graph(report: Report | LayerGraph, *, ax: "Axes | None" = None) -> "Figure":
    """Draw which layer feeds which, coloured by neural persistence.

    Parameters
    ----------
    report
        With details; or a layer graph by itself, which has no colours.
    ax
        Axes to draw in, instead of a new figure.

    Raises
    ------
    UsageError
        The report has no details, or matplotlib is not installed.
    """
    found = report if isinstance(report, LayerGraph) else detailed(report.graph)
    values = {} if isinstance(report, LayerGraph) else _values(report)
    names = short_names(found)
    boxes = {key: box([key], found.nodes, names, looped=False) for key in found.nodes}
    placed = layout({key: each.room for key, each in boxes.items()}, found.edges)
    if ax is not None:
        _drawn(ax, found, boxes, placed, values)
        return figure_of(ax)
    with look():
        figure = new(max(placed.width / _UNITS + 0.2, 4.5), placed.height / _UNITS + 1.0)
        axes = figure.add_subplot()
        _drawn(axes, found, boxes, placed, values)
        figure.suptitle(short(found.model), x=0.01, ha="left", fontsize=9)
        if values:
            _add_key(figure, axes, min(values.values()), max(values.values()))
    return figure


def _values(report: Report) -> dict[str, float]:
    figures = ((layer.name, layer.neural_persistence.normalized) for layer in report.layers)
    return {name: value for name, value in figures if value is not None}


def _add_key(figure: "Figure", axes: "Axes", low: float, high: float) -> None:
    """Say what the colours are."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("", [shade(place / 16)[0] for place in range(17)])
    key = ScalarMappable(Normalize(low, high), colours)
    width, height = (float(side) for side in figure.get_size_inches())
    share, inch = min(1.0, 3 / width), 1 / max(height - 1, 1)
    # inside of the axes: the layout would place one beside them anew from where it was drawn last
    place = axes.inset_axes((0.5 - share / 2, 1 + 0.06 * inch, share, 0.12 * inch))
    figure.colorbar(key, cax=place, orientation="horizontal", label="NP, normalized")
    place.xaxis.set_ticks_position("top")
    place.xaxis.set_label_position("top")


def _drawn(
    axes: "Axes",
    found: LayerGraph,
    boxes: Mapping[str, Box],
    placed: GraphDrawing,
    values: Mapping[str, float],
) -> None:
    back = found.back
    for edge in found.edges:
        if edge[0] != edge[1]:
            _edge(axes, placed.ways[edge], closes=edge in back)
    shades = shades_of(values)
    for key, each in boxes.items():
        colours = "#f6f8fa", INK
        if key in shades:
            colours = shade(shades[key])
        _node(axes, found.nodes[key], each, placed.centres[key], colours)
    axes.set(xlim=(-4, placed.width + 4), ylim=(placed.height + 4, -4), aspect="equal")
    axes.set_axis_off()


def _edge(axes: "Axes", way: Way, *, closes: bool) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    look_: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "linestyle": "--" if closes else "-"}
    axes.add_patch(FancyArrowPatch(path=Path(*_bent(way)), arrowstyle="->", mutation_scale=7, **look_))


def _node(axes: "Axes", node: GraphNode, own: Box, centre: Point, colours: tuple[str, str]) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    fill, ink = colours
    look_: dict[str, Any] = {
        "facecolor": fill,
        "edgecolor": _BLUE if node.kind == "layer" else FAINT,
        "linestyle": "--" if node.remark else "-",
        "linewidth": 0.8,
    }
    x, y = centre
    if node.kind in DOTS:
        axes.add_patch(Circle((x, y), RADIUS, **look_))
        return
    corner = (x - own.width / 2, y - own.height / 2)
    axes.add_patch(
        FancyBboxPatch(corner, own.width, own.height, boxstyle="round,pad=0,rounding_size=5", **look_)
    )
    words: dict[str, Any] = {"fontsize": 8.5, "family": "monospace", "parse_math": False}
    axes.text(x, y, "\n".join(own.lines), ha="center", va="center", color=ink, **words)


def _bent(way: Way) -> tuple[list[Point], list[int]]:
    """Return the points and codes of a way: lines, or curves that leave and arrive upright."""
    from matplotlib.path import Path

    points, codes = [way[0]], [int(Path.MOVETO)]
    for (x, y), (to, end) in pairwise(way):
        if x == to or y == end:
            points.append((to, end))
            codes.append(int(Path.LINETO))
        else:
            points += [(x, (y + end) / 2), (to, (y + end) / 2), (to, end)]
            codes += [int(Path.CURVE4)] * 3
    return points, codes
