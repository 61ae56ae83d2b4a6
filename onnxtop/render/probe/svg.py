"""The loss over a plane through a model's weights as a picture: filled contours, no library.

Levels are drawn from low to high, each as the region where the loss is at least that high: cells that lie
wholly inside are joined to runs, cells that a level crosses are cut along a straight line between the points
where the loss, interpolated along the cell's sides, reaches it.
"""

import math
from collections.abc import Iterator, Sequence

from onnxtop.errors import UsageError
from onnxtop.loss.directions import Surface
from onnxtop.render import RenderOptions
from onnxtop.render.probe import Probed
from onnxtop.render.probe.facts import span, why_early
from onnxtop.render.svg import BACK, FAINT, INK, clipped, document, element, inline, path, ramp, text
from onnxtop.results.outcome import FailedModel

_SIDE, _LEFT, _TOP = 480, 70, 56
_BAR = 18
_LEVELS = 16
_LONGEST = 72  # characters of a title; a path's end tells more than its beginning

Point = tuple[float, float]


def render(results: Sequence[Probed | FailedModel], options: RenderOptions) -> str:
    """Draw the surface of the one model that has one.

    Raises
    ------
    UsageError
        None has, or several.
    """
    surfaces = [found for found in results if isinstance(found, Probed) and found.result.surface is not None]
    if len(surfaces) != 1:
        raise UsageError(
            f"wanted one model with --surface for svg, found {len(surfaces)}{_why_none(results)}"
        )
    (found,) = surfaces
    assert found.result.surface is not None
    return svg(found.result.surface, found.path, found.result.loss_name)


def _why_none(results: Sequence[Probed | FailedModel]) -> str:
    """Say why there is no surface of the one model that was probed."""
    if len(results) != 1 or not isinstance(results[0], Probed):
        return ""
    result = results[0].result
    return f": {result.reason}" if result.loss is None else f": {why_early(result)} before it was measured"


def svg(surface: Surface, title: str, loss_name: str) -> str:
    """Draw a loss surface; the model's own weights are the cross in the middle."""
    width, height = _LEFT + _SIDE + 120, _TOP + _SIDE + 60
    parts = (
        element("rect", width=width, height=height, fill=BACK),
        text(_LEFT, 24, _named(title), font_size=15),
        text(_LEFT, 43, about(surface, loss_name), fill=FAINT),
        *_plane(surface),
    )
    return document(width, height, parts, font_family="sans-serif", font_size=13, fill=INK)


def plane(surface: Surface, loss_name: str) -> str:
    """Draw a loss surface alone, for a page."""
    box = 0, _TOP - 12, _LEFT + _SIDE + 120, _SIDE + 72
    return inline(about(surface, loss_name), box, _plane(surface))


def about(surface: Surface, loss_name: str) -> str:
    """Say what is drawn."""
    words = f"loss ({_named(loss_name)}) over two random filter-normalised directions"
    return words + (", logarithmic" if _span(surface)[2] else "")


def _span(surface: Surface) -> tuple[float, float, bool]:
    """Return the least and the greatest loss, and whether levels are even in the logarithm."""
    low, high, logarithmic = span(surface.losses)
    return low, high if high > low else low + 1.0, logarithmic


def _plane(surface: Surface) -> Iterator[str]:
    low, high, logarithmic = _span(surface)
    levels = _levels(low, high, logarithmic)
    grid = [[loss if math.isfinite(loss) else high for loss in row] for row in surface.losses]
    yield _square(fill=ramp(0))
    yield from _regions(grid, levels)
    yield from _cross()
    yield from _axes(surface)
    yield from _legend(levels, low, high)


def _named(name: str) -> str:
    return clipped(name, _LONGEST, _LONGEST - 1)


def _square(**attributes: str) -> str:
    return element("rect", x=_LEFT, y=_TOP, width=_SIDE, height=_SIDE, **attributes)


def _levels(low: float, high: float, logarithmic: bool) -> list[float]:
    shares = [number / _LEVELS for number in range(1, _LEVELS)]
    if logarithmic:
        return [low * (high / low) ** share for share in shares]
    return [low + (high - low) * share for share in shares]


def _regions(grid: Sequence[Sequence[float]], levels: Sequence[float]) -> Iterator[str]:
    for number, level in enumerate(levels, start=1):
        if region := "".join(_region(grid, level)):
            colour = ramp(number / (_LEVELS - 1))
            yield element("path", d=region, fill=colour, stroke=colour, stroke_width=0.6)
        if line := "".join(_lines(grid, level)):
            yield element(
                "path", d=line, fill="none", stroke="black", stroke_opacity="0.25", stroke_width=0.8
            )


def _region(grid: Sequence[Sequence[float]], level: float) -> Iterator[str]:
    """Yield the path of the region at or above a level."""
    n = len(grid)
    for j in range(n - 1):
        start: int | None = None
        for i in range(n):
            whole = i < n - 1 and all(value >= level for value in _corners(grid, i, j))
            if whole and start is None:
                start = i
            if not whole and start is not None:
                yield _polygon([_at(start, j, n), _at(i, j, n), _at(i, j + 1, n), _at(start, j + 1, n)])
                start = None
            if i < n - 1 and not whole:
                cut = _cut(grid, i, j, level)
                if len(cut) > 2:
                    yield _polygon(cut)


def _lines(grid: Sequence[Sequence[float]], level: float) -> Iterator[str]:
    """Yield the contour line: in each cell that the level crosses, the pieces that are not on its sides."""
    n = len(grid)
    for j in range(n - 1):
        for i in range(n - 1):
            crossings = [point for point, is_corner in _outline(grid, i, j, level) if not is_corner]
            for a, b in zip(crossings[::2], crossings[1::2], strict=False):
                yield path([a, b])


def _corners(grid: Sequence[Sequence[float]], i: int, j: int) -> tuple[float, float, float, float]:
    return grid[j][i], grid[j][i + 1], grid[j + 1][i + 1], grid[j + 1][i]


def _outline(grid: Sequence[Sequence[float]], i: int, j: int, level: float) -> Iterator[tuple[Point, bool]]:
    """Walk around a cell: yield the corners at or above a level, and the crossings between."""
    n = len(grid)
    places = ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1))
    values = _corners(grid, i, j)
    for k in range(4):
        here, there = values[k], values[(k + 1) % 4]
        a, b = _at(*places[k], n), _at(*places[(k + 1) % 4], n)
        if here >= level:
            yield a, True
        if (here >= level) != (there >= level):
            share = (level - here) / (there - here)
            yield (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share), False


def _cut(grid: Sequence[Sequence[float]], i: int, j: int, level: float) -> list[Point]:
    return [point for point, _ in _outline(grid, i, j, level)]


def _at(i: int, j: int, n: int) -> Point:
    """Return where a point of the grid is drawn; y grows upwards."""
    return _LEFT + _SIDE * i / (n - 1), _TOP + _SIDE * (1 - j / (n - 1))


def _polygon(points: Sequence[Point]) -> str:
    return path(points) + "Z"


def _cross() -> Iterator[str]:
    x, y, arm = _LEFT + _SIDE / 2, _TOP + _SIDE / 2, 7
    arms = f"M{x - arm} {y}H{x + arm}M{x} {y - arm}V{y + arm}"
    yield element("path", d=arms, stroke="white", stroke_width=4)
    yield element("path", d=arms, stroke="#c00", stroke_width=2)


def _axes(surface: Surface) -> Iterator[str]:
    yield _square(fill="none", stroke=INK)
    first, last = surface.steps[0], surface.steps[-1]
    for number in range(5):
        step = f"{first + (last - first) * number / 4:g}"
        x, y = _LEFT + _SIDE * number / 4, _TOP + _SIDE * (1 - number / 4)
        yield element("path", d=f"M{x} {_TOP + _SIDE}v5M{_LEFT} {y}h-5", stroke=INK)
        yield text(x, _TOP + _SIDE + 20, step, text_anchor="middle")
        yield text(_LEFT - 9, y + 4, step, text_anchor="end")
    below = "first direction, in lengths of the filters"
    yield text(_LEFT + _SIDE / 2, _TOP + _SIDE + 44, below, text_anchor="middle")
    x, y = 20, _TOP + _SIDE / 2
    yield text(x, y, "second direction", text_anchor="middle", transform=f"rotate(-90 {x} {y})")


def _legend(levels: Sequence[float], low: float, high: float) -> Iterator[str]:
    x, each = _LEFT + _SIDE + 24, _SIDE / _LEVELS
    for number in range(_LEVELS):
        y = _TOP + _SIDE - (number + 1) * each
        colour = ramp(number / (_LEVELS - 1))
        yield element("rect", x=x, y=y, width=_BAR, height=each + 0.5, fill=colour)
    for number, value in enumerate((low, *levels, high)):
        if number % 3 == 0 or number == _LEVELS:
            y = _TOP + _SIDE - number * each + 4
            if number == _LEVELS or _LEVELS - number > 1:
                yield text(x + _BAR + 6, y, f"{value:.3g}")
