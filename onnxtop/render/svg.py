"""SVG 1.1 without scripts: elements, and values to places on the page."""

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from onnxtop.render.names import shortened
from onnxtop.render.text import defined, visible

Points: TypeAlias = Iterable[tuple[float, float | None]]
"""Where along an axis, and what there; None where it is not defined."""

INK, FAINT, GRID, BACK = "#24292f", "#8b949e", "#eaeef2", "#ffffff"
COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#8250df", "#bf8700", "#1b7c83", "#bc4c00", "#6e40c9")
"""Ink, what is beside it, lines of axes, the ground, and what tells curves apart."""

VIRIDIS = (
    *("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c"),
    *("#28ae80", "#5ec962", "#addc30", "#fde725"),
)
"""Viridis at nine places (S. van der Walt and N. Smith, CC0), which those see who tell no red from green."""


def document(width: int, height: int, parts: Iterable[str], **attributes: str | float) -> str:
    """Write a page on a white ground."""
    size = {"width": width, "height": height}
    about = {"xmlns": "http://www.w3.org/2000/svg", **size, "viewBox": f"0 0 {width} {height}", **attributes}
    return holder("svg", parts, **about) + "\n"


def inline(words: str, box: tuple[float, float, float, float], parts: Iterable[str]) -> str:
    """Write a part of a drawing for a page around it: its left, top, width and height, and what it shows."""
    view = " ".join(f"{value:g}" for value in box)
    inside = [element("title", visible(words)), *parts]
    return holder("svg", inside, class_="drawing", role="img", viewBox=view, fill=INK)


def holder(name: str, parts: Iterable[str], **attributes: str | float) -> str:
    """Write an element that holds others, each on a line."""
    return "\n".join([f"{_opened(name, attributes)}>", *parts, f"</{name}>"])


def element(name: str, words: str | None = None, /, **attributes: str | float) -> str:
    """Write an element; an underscore in an attribute's name is a hyphen, at its end nothing.

    >>> element("text", "a < b", x=1, stroke_width=0.5, class_="a")
    '<text x="1" stroke-width="0.5" class="a">a &lt; b</text>'
    """
    opened = _opened(name, attributes)
    return f"{opened}/>" if words is None else f"{opened}>{html.escape(words, quote=False)}</{name}>"


def text(x: float, y: float, words: str, **attributes: str | float) -> str:
    """Write words; what does not print in them is escaped."""
    return element("text", visible(words), x=x, y=y, **attributes)


def label(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, size: int = 12) -> str:
    """Write words of a picture in its one look."""
    return text(float(x), float(y), words, text_anchor=anchor, fill=colour, font_size=size)


def _opened(name: str, attributes: Mapping[str, str | float]) -> str:
    told = (f'{key.rstrip("_").replace("_", "-")}="{_written(value)}"' for key, value in attributes.items())
    return " ".join([f"<{name}", *told])


def _written(value: str | float) -> str:
    return f"{value:.1f}" if isinstance(value, float) else html.escape(visible(str(value)))


def path(points: Iterable[tuple[float, float]]) -> str:
    """Write the data of a path along points.

    >>> path([(0, 0.5), (1, 2)])
    'M0.0 0.5L1.0 2.0'
    """
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def clipped(name: str, longest: int, tail: int) -> str:
    """Shorten a name to so many characters, of which these are its end."""
    shown = visible(name)
    return shown if len(shown) <= longest else f"{shown[: longest - tail - 1]}…{shown[-tail:]}"


def told_apart(names: Sequence[str], longest: int) -> list[str]:
    """Shorten names that stand beside each other to so many characters: those that differ still do.

    >>> told_apart(["/hidden1/Gemm", "/hidden2/Gemm"], 10)
    ['/hidden1…', '/hidden2…']
    """
    return shortened([visible(name) for name in names], longest)


def spot(x: float, y: float, colour: str, words: str, r: float = 2.5) -> str:
    """Write a dot that says what it stands for where it is pointed at."""
    return holder("circle", [element("title", visible(words))], cx=float(x), cy=float(y), r=r, fill=colour)


def ramp(share: float, stops: Sequence[str] = VIRIDIS) -> str:
    """Return the colour of a share from 0 to 1.

    >>> ramp(0.0), ramp(0.9375), ramp(2.0)
    ('#440154', '#d5e22a', '#fde725')
    """
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    first = min(int(place), len(stops) - 2)
    low, high = (bytes.fromhex(stops[stop][1:]) for stop in (first, first + 1))
    return "#" + bytes(round(a + (b - a) * (place - first)) for a, b in zip(low, high, strict=True)).hex()


class Scale:
    """Values to places on the page; a value that is alone stands in the middle, and is the only round one."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.only = None if high > low else low
        self.span = high - low if high > low else abs(low) or 1.0
        self.low = low if high > low else low - self.span / 2
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        return self.start + (value - self.low) / self.span * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values, about five."""
        if self.only is not None:
            return [self.only]
        raw = self.span / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
        first, last = math.ceil(self.low / step - 1e-9), math.floor((self.low + self.span) / step + 1e-9)
        return [float(f"{n * step:.10g}") for n in range(first, last + 1)]


def grid(up: Scale, left: float, right: float, size: int = 12) -> Iterator[str]:
    """Draw a line at every round value, with the value before it."""
    for value in up.ticks():
        y = up(value)
        yield element("line", x1=left, y1=y, x2=right, y2=y, stroke=GRID)
        yield label(left - 10, y + 4, f"{value:g}", anchor="end", colour=FAINT, size=size)


def curve(points: Points, across: Scale, up: Scale, colour: str, names: Sequence[str] = ()) -> Iterator[str]:
    """Draw a curve, broken where it is not defined; with ``names`` of its points each has a dot."""
    points = list(points)
    named = {x: f"{name}: " for (x, _), name in zip(points, names, strict=False)}
    for run in runs(points):
        drawn = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in run)
        yield element("polyline", points=drawn, fill="none", stroke=colour, stroke_width=1.8)
        for x, y in run if named or len(run) == 1 else ():
            yield spot(across(x), up(y), colour, f"{named.get(x, '')}{y:.4g}")


def runs(points: Points) -> Iterator[list[tuple[float, float]]]:
    """Give the stretches on which values are defined.

    >>> list(runs([(0, 0.5), (1, None), (2, 0.1), (3, 0.2)]))
    [[(0, 0.5)], [(2, 0.1), (3, 0.2)]]
    """
    for is_known, run in groupby(points, lambda point: defined(point[1])):
        if is_known:
            yield [(x, y) for x, y in run if y is not None]
