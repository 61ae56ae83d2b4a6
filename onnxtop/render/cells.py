"""What fits into the cells of a terminal: signs, shortened names, bars, in Unicode or in ASCII."""

import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from onnxtop.render.text import DASH, TIMES, defined, figure, visible

BAR = 10
"""Cells of a full bar, normalized NP 1."""


@dataclass(frozen=True)
class Signs:
    """The signs of a page.

    ``steps`` fill the last cell of a bar, the last of them fills a whole cell; ``heights`` are those of a
    course, the lowest first.
    """

    undefined: str
    times: str
    dot: str
    ellipsis: str
    gap: str
    rule: str
    steps: str
    heights: str
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

    def bar(self, value: float | None) -> str:
        """Draw a bar for a value from 0 to 1; normalized NP may be slightly above 1."""
        if value is None or not defined(value):
            return ""
        cell = len(self.steps)
        whole, part = divmod(round(min(max(value, 0.0), 1.0) * BAR * cell), cell)
        return self.steps[-1] * whole + (self.steps[part - 1] if part else "")

    def levels(self, values: Sequence[float | None], low: float, high: float) -> str:
        """Draw a sign a value, as high as it is between two others; a blank where it is not defined."""
        top, span = len(self.heights) - 1, (high - low) or 1.0
        return "".join(
            self.heights[round(min(max((value - low) / span, 0.0), 1.0) * top)]
            if value is not None and defined(value)
            else " "
            for value in values
        )


UNICODE = Signs(DASH, TIMES, " · ", "…", "⋮", "─", "▏▎▍▌▋▊▉█", "▁▂▃▄▅▆▇█")
ASCII = Signs("-", "x", ", ", "..", ":", "-", "#", ".:-=+*%#", ascii_only=True)


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


def without_common_ends(names: Sequence[str], ellipsis: str = "…") -> list[str]:
    """Take out of names what they all begin and end with, in whole segments: the rest tells them apart.

    >>> without_common_ends(["net_1/a/query/MatMul", "net_1/b/key/MatMul"])
    ['…/a/query/…', '…/b/key/…']
    """
    if len(set(names)) < 2:
        return list(names)
    head = _shared_segments(names)
    rests = [name[head:] for name in names]
    tail = _shared_segments([rest[::-1] for rest in rests])
    return [f"{ellipsis * (head > 0)}{rest[: len(rest) - tail]}{ellipsis * (tail > 0)}" for rest in rests]


def _shared_segments(names: Sequence[str]) -> int:
    """Return the length of the whole segments that all names begin with, less the last separator."""
    shared = os.path.commonprefix(names)  # noqa: RUF071 (characters are meant: names are no paths)
    separators = [match.start() for match in re.finditer(r"[/.:]", shared)]
    return separators[-1] if separators else 0


def _fitting(text: str, width: int) -> str:
    """Return the longest beginning that fits; a pile of marks without width is cut as well."""
    end = 0
    while end < min(len(text), 4 * width) and cell_len(text[: end + 1]) <= width:
        end += 1
    return text[:end]
