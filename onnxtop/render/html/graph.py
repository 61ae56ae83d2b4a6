"""The layer graph on a page: drawn once, coloured by figures of the table of layers.

The script finds the figures of a node in the table, so that nothing of them stands twice on the page; the
drawing itself is coloured by the first of them.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from onnxtop.render.graph.svg import PLAIN, drawing, shade, shades_of
from onnxtop.render.svg import element, holder
from onnxtop.render.text import figure, known
from onnxtop.results.graph import LayerGraph

_STEPS = 16
"""Colours of the scale."""


def graph_figure(
    graph: LayerGraph, values: Mapping[str, float | None], table: str, columns: Sequence[str]
) -> Markup:
    """Draw a layer graph.

    Parameters
    ----------
    graph
        What to draw.
    values
        What layers are coloured by, by their names: the first of ``columns``.
    table, columns
        The id of the table of layers, and the titles of the columns whose figures layers may be coloured by.
    """
    some = known(values.values())
    low, high = min(some, default=0.0), max(some, default=0.0)
    stops = [shade(step / (_STEPS - 1)) for step in range(_STEPS)]
    scale = Markup(
        '<p class="scale"><span class="what">{}</span> <span class="low">{}</span> {} '
        '<span class="high">{}</span></p>'
    ).format(columns[0], figure(low), _gradient([colour for colour, _ in stops]), figure(high))
    return Markup(
        '<figure class="graph" data-table="{}" data-columns="{}" data-stops="{}" data-plain="{}">{}'
        '<div class="scroll" tabindex="0" role="region" aria-label="Layer graph">\n{}</div></figure>'
    ).format(
        table,
        "\n".join(columns if some else ()),
        " ".join(f"{colour},{ink}" for colour, ink in stops),
        ",".join(PLAIN),
        scale if some else "",
        Markup(drawing(graph, shades_of(values))),  # noqa: S704 (every word of it is escaped)
    )


def _gradient(colours: Sequence[str]) -> Markup:
    steps = (
        element("rect", x=10 * step, width=10, height=10, fill=colour) for step, colour in enumerate(colours)
    )
    about = {"viewBox": f"0 0 {10 * len(colours)} 10", "preserveAspectRatio": "none", "aria_hidden": "true"}
    return Markup(holder("svg", steps, class_="ramp", **about))  # noqa: S704 (numbers and colours)
