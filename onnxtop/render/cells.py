"""What fits into the cells of a terminal: signs, shortened texts, bars, in Unicode or in ASCII."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from onnxtop.render.text import DASH, TIMES, defined, figure, known, visible

BAR = 10
"""Cells of a full bar."""

_STEPS = tuple(digit * 10.0**-power for power in (3, 2, 1) for digit in (1, 2, 5))[2:]
"""Between the lines of a scale, the least first."""

_LINES = 5
"""Steps of a scale, at most."""


@dataclass(frozen=True)
class Signs:
    """The signs of a page.

    ``steps`` fill the last cell of a bar, the last of them fills a whole cell; ``heights`` are those of a
    course, the lowest first; ``tones`` stand before good, doubtful and bad news.
    """

    undefined: str
    times: str
    dot: str
    ellipsis: str
    gap: str
    rule: str
    steps: str
    heights: str
    tones: Mapping[str, str]
    ascii_only: bool = False

    def shown(self, text: str) -> str:
        """Escape what does not print, and on an ASCII page what is not ASCII."""
        text = visible(text)
        return text.encode("ascii", "backslashreplace").decode() if self.ascii_only else text

    def short(self, text: str, width: int) -> str:
        """Show a name in at most so many cells."""
        return elide(self.shown(text), width, self.ellipsis)

    def figure(self, value: float | None) -> str:
        """Write a measured figure, or the sign for one that is not defined."""
        return figure(value, self.undefined)

    def bar(self, value: float | None, scale: "BarEnds | None" = None, width: int = BAR) -> str:
        """Draw a bar for a value on a scale, from 0 to 1 without one; normalized NP may be slightly above 1.

        On a scale of its own the least value has a bar as well.
        """
        if not defined(value):
            return ""
        low, high = (scale.low, scale.high) if scale else (0.0, 1.0)
        cell = len(self.steps)
        steps = round(min(max((value - low) / (high - low), 0.0), 1.0) * width * cell)
        whole, part = divmod(max(steps, 1 if scale else 0), cell)
        return self.steps[-1] * whole + (self.steps[part - 1] if part else "")

    def levels(self, values: Sequence[float | None], low: float, high: float) -> str:
        """Draw a sign a value, as high as it is between two others; a blank where it is not defined."""
        top, span = len(self.heights) - 1, (high - low) or 1.0
        return "".join(
            self.heights[round(min(max((value - low) / span, 0.0), 1.0) * top)] if defined(value) else " "
            for value in values
        )


_TONES = {"good": "✓", "doubt": "?", "bad": "✗"}

UNICODE = Signs(DASH, TIMES, " · ", "…", "⋮", "─", "▏▎▍▌▋▊▉█", "▁▂▃▄▅▆▇█", _TONES)
ASCII = Signs("-", "x", ", ", "..", ":", "-", "#", ".:-=+*%#", {**_TONES, "good": "+", "bad": "x"}, True)


@dataclass(frozen=True)
class BarEnds:
    """What the two ends of a bar stand for."""

    low: float
    high: float

    def title(self, width: int) -> str:
        """Write the ends above bars of this width.

        >>> BarEnds(0.85, 0.9).title(10)
        '0.85   0.9'
        """
        high = f"{self.high:g}"
        return f"{self.low:g}".ljust(width - len(high)) + high


def scale_of(values: Iterable[float | None]) -> BarEnds:
    """Return the scale on which values are told apart, between round numbers; from 0 to 1 where none are.

    >>> scale_of([0.912, 0.903, None, 0.917]), scale_of([0.1, 0.7]), scale_of([0.5])
    (BarEnds(low=0.9, high=0.92), BarEnds(low=0.0, high=0.8), BarEnds(low=0.0, high=1.0))
    """
    some = known(values)
    low, high = min(some, default=0.0), max(some, default=0.0)
    for step in _STEPS if high > low else ():
        least, most = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if most - least <= _LINES:
            return BarEnds(round(least * step, 3), round(max(most, least + 1) * step, 3))
    return BarEnds(0.0, 1.0)


def elide(text: str, width: int, ellipsis: str = "…") -> str:
    """Shorten a text to so many cells by taking out its middle: both ends of a layer's name tell.

    >>> elide("/model/encoder/layers.11/attention/query/MatMul", 20)
    '/model/enc…ry/MatMul'
    """
    if cell_len(text) <= width:
        return text
    room = max(width - len(ellipsis), 0)
    tail = _fitting(text[::-1], room // 2)[::-1]
    return _fitting(text, room - cell_len(tail)) + ellipsis + tail


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Shorten words to so many cells by taking off their end.

    >>> cut("uint4 block 32", 10)
    'uint4 blo…'
    """
    if cell_len(text) <= width:
        return text
    return _fitting(text, max(width - len(ellipsis), 0)).rstrip() + ellipsis


def _fitting(text: str, width: int) -> str:
    """Return the longest beginning that fits; a pile of marks without width is cut as well."""
    end = 0
    while end < min(len(text), 4 * width) and cell_len(text[: end + 1]) <= width:
        end += 1
    return text[:end]
