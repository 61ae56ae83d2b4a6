"""A training run as a picture: mean NP with the stopping point above, each layer in a small one below."""

import math
import textwrap
from collections.abc import Iterator, Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.svg import (
    BACK,
    COLOURS,
    FAINT,
    GRID,
    Scale,
    clipped,
    curve,
    document,
    element,
    grid,
    label,
    told_apart,
)
from onnxtop.render.text import known, visible
from onnxtop.render.trace.facts import about, stopping
from onnxtop.results.trace import Checkpoint, Trace

_WIDTH, _LEFT, _RIGHT, _TOP = 860, 70, 40, 120
_HIGH, _LINE = 240, 18
_ACROSS, _SMALL, _GAP, _CAPTION = 3, 90, 64, 40
_MOST = 24
"""Layers that are drawn; ``all_rows`` draws all."""
_DOTTED = 60
"""Checkpoints of which each has a dot on a curve."""
_LONGEST = 125
"""Characters of a line of the head."""


def render(trace: Trace, options: RenderOptions) -> str:
    """Draw a run; as high as it has layers."""
    points = trace.measured
    count = len(points[-1].layers) if points else 0
    shown = count if options.all_rows else min(count, _MOST)
    about_lines = textwrap.wrap(visible(" · ".join(about(trace))), _LONGEST, break_on_hyphens=False)
    top = _TOP + _LINE * (len(about_lines) - 1)
    below = top + _HIGH + 84
    height = below + math.ceil(shown / _ACROSS) * (_SMALL + _GAP)
    names = told_apart([layer.name for layer in points[-1].layers[:shown]], 32) if shown else []
    parts = (
        element("title", f"Training run of {len(trace.checkpoints)} checkpoints"),
        element("rect", width=_WIDTH, height=height, fill=BACK),
        *_head(trace, about_lines),
        *(_whole(trace, top) if points else ()),
        *(part for number, name in enumerate(names) for part in _layer(points, number, name, below)),
        *(
            [label(20, height - 10, f"{count - shown} more layers: --all", colour=FAINT)]
            if shown < count
            else ()
        ),
    )
    return document(_WIDTH, height, parts, font_family="system-ui, sans-serif", font_size=12)


def _head(trace: Trace, about_lines: Sequence[str]) -> Iterator[str]:
    yield label(20, 30, "Training run" if trace.complete else "Training run (incomplete)", size=18)
    yield label(20, 52, clipped(trace.verdict.sentence, _LONGEST, 20))
    yield label(20, 70, clipped(stopping(trace)[0].partition(";")[0], _LONGEST, 40))
    for number, line in enumerate(about_lines):
        yield label(20, 88 + _LINE * number, line, colour=FAINT)


def _whole(trace: Trace, top: int) -> Iterator[str]:
    """Draw the mean NP in both scales, and where the rule would have stopped."""
    points = trace.measured
    curves = {
        "scale global": [point.scale_global for point in points],
        "scale layer": [point.scale_layer for point in points],
        "DGP": [point.deep_graph_persistence for point in points],
    }
    values = known([value for course in curves.values() for value in course])
    if not values:
        return
    across = Scale(0, max(len(points) - 1, 1), _LEFT, _WIDTH - _RIGHT)
    up = Scale(min(values), max(values), top + _HIGH, top)
    yield label(_LEFT, top - 12, "Mean NP and DGP")
    yield from grid(up, _LEFT, _WIDTH - _RIGHT)
    yield from _names(points, across, top + _HIGH + 18)
    places = {point.name: number for number, point in enumerate(points)}
    for name, words in ((trace.verdict.since, trace.verdict.course), (trace.stopping.stopped, "stop")):
        if name is not None:
            yield from _mark(across(places[name]), top, str(words), words == "stop")
    names = [point.name for point in points] if len(points) <= _DOTTED else []
    for number, (words, course) in enumerate(curves.items()):
        yield from curve(enumerate(course), across, up, COLOURS[number], names)
        x, y = _LEFT + 160 * number, top + _HIGH + 44
        yield element("rect", x=x, y=y - 5, width=14, height=3, fill=COLOURS[number])
        yield label(x + 20, y, words if words == "DGP" else f"mean NP, {words}", size=11)


def _mark(x: float, top: int, words: str, above: bool) -> Iterator[str]:
    """Draw an upright where something is so from there on."""
    yield element("line", x1=x, y1=top, x2=x, y2=top + _HIGH, stroke=FAINT, stroke_dasharray="4 3")
    yield label(x - 4, top + (12 if above else _HIGH - 6), words, anchor="end", colour=FAINT, size=11)


def _names(points: Sequence[Checkpoint], across: Scale, y: float) -> Iterator[str]:
    """Write the names of checkpoints below their places, as many as there is room for."""
    longest = max(len(point.name) for point in points)
    step = max(1, math.ceil(len(points) * min(longest, 16) * 7 / (_WIDTH - _LEFT - _RIGHT)))
    numbers = range(0, len(points), step)
    names = told_apart([points[number].name for number in numbers], 16)
    for number, name in zip(numbers, names, strict=True):
        yield label(across(number), y, name, anchor="middle", colour=FAINT, size=11)


def _layer(points: Sequence[Checkpoint], number: int, name: str, below: int) -> Iterator[str]:
    """Draw the NP of one layer, from 0 to 1 or as high as it gets."""
    room = (_WIDTH - _LEFT - _RIGHT - (_ACROSS - 1) * _CAPTION) / _ACROSS
    left = _LEFT + number % _ACROSS * (room + _CAPTION)
    top = below + number // _ACROSS * (_SMALL + _GAP)
    layers = [point.layers[number] for point in points]
    course = [layer.neural_persistence for layer in layers]
    across = Scale(0, max(len(points) - 1, 1), left, left + room)
    up = Scale(0.0, max([1.0, *known(course)]), top + _SMALL, top)
    yield label(left, top - 10, name, size=11)
    for value in (0.0, 0.5, 1.0):
        yield element("line", x1=left, y1=up(value), x2=left + room, y2=up(value), stroke=GRID)
        yield label(left - 6, up(value) + 4, f"{value:g}", anchor="end", colour=FAINT, size=10)
    yield from curve(enumerate(course), across, up, COLOURS[0])
    z = layers[-1].z
    told = f"NP {_told(course[0])} to {_told(course[-1])}{'' if z is None else f', z {z:z.1f}'}"
    yield label(left, top + _SMALL + 16, told, colour=FAINT, size=11)


def _told(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
