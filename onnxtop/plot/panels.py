"""Pictures of single layers, one beside the other: persistence diagram, bars, weights."""

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.options import did_you_mean
from onnxtop.plot.figures import detailed, figure_of, layers_of, look, new, short
from onnxtop.render.svg import COLOURS, FAINT, GRID
from onnxtop.render.text import visible
from onnxtop.results.report import LayerReport, Report
from onnxtop.results.words import counted
from onnxtop.topology.persistence import Diagram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Draw = Callable[[Axes, LayerReport], None]

_WIDTH, _HEIGHT, _ACROSS = 3.3, 2.5, 4
"""Inches of a panel, and how many stand side by side at most."""

_LINE = 36
"""Characters of a line in a panel."""

_NARROW = 20
"""The only bar of a histogram takes this part of its panel."""

_BLUE, _RED = COLOURS[:2]


def diagram(
    report: Report | Diagram, layer: str | None = None, *, most: int = 12, ax: "Axes | None" = None
) -> "Figure":
    """Draw persistence diagrams: a point for every bar, and how many bars end where.

    Parameters
    ----------
    report
        Of `onnxtop.audit`; or one diagram, as measures of matrices return it.
    layer
        Which layer, by its name; the first ones if none is named.
    most
        How many layers at most, if none is named.
    ax
        Axes to draw one layer in, instead of a new figure.

    Raises
    ------
    UsageError
        There is no such layer, the report was read from a file, which holds no diagrams, or matplotlib is not
        installed.
    """
    if isinstance(report, Diagram):
        return _alone(lambda axes: _points(axes, report, "persistence diagram"), ax)
    return _panels(report, layer, most, ax, _diagram)


def bars(report: Report, layer: str | None = None, *, most: int = 12, ax: "Axes | None" = None) -> "Figure":
    """Draw the lengths of the bars of layers, longest first, beside those of the same weights at random.

    Parameters
    ----------
    report
        With details.
    layer, most, ax
        As for `diagram`.

    Raises
    ------
    UsageError
        As for `diagram`; or the report has no details.
    """
    return _panels(report, layer, most, ax, _bars)


def histogram(
    report: Report, layer: str | None = None, *, most: int = 12, ax: "Axes | None" = None
) -> "Figure":
    """Draw how many weights of layers are how large.

    Parameters
    ----------
    report
        With details.
    layer, most, ax
        As for `diagram`.

    Raises
    ------
    UsageError
        As for `bars`.
    """
    return _panels(report, layer, most, ax, _histogram)


# Which layers, and where


def _panels(report: Report, name: str | None, most: int, ax: "Axes | None", draw: "Draw") -> "Figure":
    layers = _chosen(report, name, most)
    if ax is not None and len(layers) != 1:
        raise UsageError(f"wanted one layer for the axes, found {len(layers)}: name it")
    if len(layers) == 1:
        return _alone(lambda axes: draw(axes, layers[0]), ax)
    across = min(_ACROSS, math.ceil(math.sqrt(len(layers))))
    down = math.ceil(len(layers) / across)
    with look():
        figure = new(_WIDTH * across, _HEIGHT * down + 0.3)
        for place, layer in enumerate(layers, 1):
            draw(figure.add_subplot(down, across, place), layer)
        whole = counted(len(report.layers), "layer")
        left_out = f", the first {len(layers)} of {whole}" if len(layers) < len(report.layers) else ""
        figure.suptitle(short(report.model.path) + left_out, x=0.01, ha="left", fontsize=10)
    return figure


def _alone(draw: "Callable[[Axes], None]", ax: "Axes | None") -> "Figure":
    if ax is not None:
        draw(ax)
        return figure_of(ax)
    with look():
        figure = new(1.5 * _WIDTH, 1.5 * _HEIGHT)
        draw(figure.add_subplot())
    return figure


def _chosen(report: Report, name: str | None, most: int) -> Sequence[LayerReport]:
    layers = layers_of(report)
    if name is None:
        return layers[:most]
    layers = [layer for layer in layers if layer.name == name]
    if not layers:
        hint = did_you_mean(name, [layer.name for layer in report.layers])
        raise UsageError(f"wanted the name of a layer, found {name!r}{hint}")
    return layers


# One layer


def _diagram(axes: "Axes", layer: LayerReport) -> None:
    if layer.neural_persistence.diagram is None:
        raise UsageError("wanted a report of onnxtop.audit, found one without diagrams: no file holds them")
    _points(axes, layer.neural_persistence.diagram, short(layer.name, _LINE))
    _say_why(axes, layer, drawn=len(layer.neural_persistence.diagram.points) > 0)


def _points(axes: "Axes", found: Diagram, title: str) -> None:
    """Draw a diagram; births are mostly one, so deaths are counted beside it."""
    births, deaths = found.points.T
    low = min(0.0, float(deaths.min(initial=0.0)))
    axes.set_title(title, parse_math=False)
    axes.plot([low, 1], [low, 1], color=FAINT, linewidth=0.8)
    counts, edges = np.histogram(deaths, bins=40, range=(low, 1.0))
    longest = max(int(counts.max(initial=0)), 1)
    lengths = 0.9 * (1 - low) * counts / longest
    axes.barh(edges[:-1], -lengths, np.diff(edges), left=1, align="edge", color=_BLUE, alpha=0.25)
    axes.plot(births, deaths, ".", color=_BLUE, alpha=0.5, markersize=5, label=counted(len(births), "bar"))
    axes.plot(*found.essential, "D", color=_RED, markersize=4, label="essential class", clip_on=False)
    axes.set(xlabel="birth", ylabel="death", xlim=(low, 1.03), ylim=(low - 0.01, 1.03))
    axes.legend(loc="upper left", fontsize=7)


def _bars(axes: "Axes", layer: LayerReport) -> None:
    details = detailed(layer.details)
    z = layer.neural_persistence.z
    told = "" if z is None else f"   z {z:z.1f}"
    axes.set_title(short(layer.name, _LINE - len(told)) + told, parse_math=False)
    if details.null_low is not None and details.null_high is not None:
        ends = details.null_low, details.null_high
        band: dict[str, Any] = {"color": FAINT, "alpha": 0.45, "linewidth": 0}
        axes.fill_between(details.ranks, *ends, label="in random places", **band)
    axes.plot(details.ranks, details.bars, color=_BLUE, label=counted(details.n_bars, "bar"))
    axes.set(xlabel="rank, longest first", ylabel="length of a bar", ylim=(-0.02, 1.05))
    axes.grid(color=GRID)
    if details.n_bars:
        axes.set_xlim(1, max(details.n_bars, 2))
        axes.legend(loc="lower left", fontsize=7)
    _say_why(axes, layer, drawn=details.n_bars > 0)


def _histogram(axes: "Axes", layer: LayerReport) -> None:
    found = detailed(layer.details).histogram
    axes.set_title(short(layer.name, _LINE), parse_math=False)
    axes.set(xlabel="weight", ylabel="count")
    if found is not None:
        low, high = found.low, found.high
        margin = 0.5 * (abs(low) or 1.0) if low == high else 0.0
        edges = np.linspace(low - margin / _NARROW, high + margin / _NARROW, len(found.counts) + 1)
        axes.stairs(found.counts, edges, fill=True, color=_BLUE, alpha=0.6)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        if margin:  # all weights are one value
            axes.set(xlim=(low - margin, high + margin), xticks=[low])
    _say_why(axes, layer, drawn=found is not None)


def _say_why(axes: "Axes", layer: LayerReport, *, drawn: bool) -> None:
    """Say in an empty panel why there is nothing in it."""
    if drawn:
        return
    why = layer.neural_persistence.reason or layer.reason or "not measured"
    words: dict[str, Any] = {"transform": axes.transAxes, "parse_math": False}
    lines = textwrap.wrap(visible(why), _LINE)
    axes.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", **words)
