"""Small pictures of a page: inline SVG without scripts, ids or inline style; colours are classes.

Each has a title that says what it shows to those who do not see it; places are whole numbers where that is
fine enough, which keeps pages of thousands of pictures small. Nothing that is not finite is drawn.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from onnxtop.render.svg import Scale, element, path, runs, told_apart
from onnxtop.render.text import defined, known, number, visible

__all__ = ["bar", "bars", "curve", "diagram", "histogram", "lines", "spark"]

Values = Sequence[float | None]

_LEFT, _BOTTOM, _TOP = 44, 22, 16
_SERIES = 8
"""So many colours there are; then they begin again."""
_LETTERS, _LETTER, _NAMED = 10, 6, 78
"""Letters of a name below an axis, how wide one is, and how far such names are from each other at least."""
_ALONE = 3
"""Half the width of the only bar of a histogram."""
_DOTTED = 60
"""Values of a curve of which each has a dot."""


def bar(value: float | None, *, low: float = 0.0, high: float = 1.0) -> Markup:
    """Draw a bar for a cell, filled as far as a value is from ``low`` to ``high``; empty where it is none."""
    if value is None or not defined(value) or high <= low:
        return Markup()
    share = 100 * min(max((value - low) / (high - low), 0.0), 1.0)
    return Markup('<svg class="bar" aria-hidden="true"><rect width="{:.3g}%" height="100%"/></svg>').format(
        share
    )


def spark(values: Values, low: Values = (), high: Values = ()) -> Markup:
    """Draw a curve for a cell, in front of a band from ``low`` to ``high`` if there is one.

    It is small on the page and in bytes: whole numbers, on a ground of 80 by 40.
    """
    if not known(values):
        return Markup()
    ends = known([*values, *low, *high])
    x, y = Scale(0, max(len(values) - 1, 1), 1, 79), Scale(min(ends), max(ends), 37, 3)

    def way(side: Values) -> list[str]:
        return [f"{x(place):.0f} {y(value):.0f}" for place, value in enumerate(side) if defined(value)]

    around = [*way(high), *reversed(way(low))]
    band = f'<path class="band" d="M{"L".join(around)}z"/>' if around else ""
    line = f'<path d="M{"L".join(way(values))}"/>'
    return Markup(f'<svg class="spark" viewBox="0 0 80 40" aria-hidden="true">{band}{line}</svg>')  # noqa: S704 (numbers)


def curve(
    values: Values,
    low: Values = (),
    high: Values = (),
    *,
    at: Sequence[float] = (),
    title: str,
    across: str = "",
    up: str = "",
    size: tuple[int, int] = (300, 160),
) -> Markup:
    """Draw values, ``at`` these places or at 0, 1, ..., in front of a band from ``low`` to ``high``."""
    if not known(values):
        return Markup()
    places = at or range(len(values))
    x = Scale(places[0], places[-1], _LEFT, size[0] - 6)
    y = _upright([*values, *low, *high], size)
    parts = [*_axes(x, y, size, across, up), *_band(low, high, x, y, places)]
    return _drawn(size, title, [*parts, *_lines(values, x, y, "line s0", places)])


def diagram(deaths: Sequence[float], *, title: str, births: float = 1.0) -> Markup:
    """Draw a persistence diagram of bars born at one value: points (birth, death) and the diagonal.

    Strong weights die near the diagonal, weak ones far below it.
    """
    size = (170, 160)
    if not known(deaths):
        return Markup()
    x, y = Scale(0.0, births, _LEFT, size[0] - 10), Scale(0.0, births, size[1] - _BOTTOM, _TOP)
    points = sorted({(round(x(births)), round(y(value))) for value in deaths if defined(value)})
    dots = "".join(f"M{a} {b}h0" for a, b in points)
    diagonal = f"M{x(0):.0f} {y(0):.0f}L{x(births):.0f} {y(births):.0f}"
    parts = [
        *_axes(x, y, size, "birth", "death"),
        element("path", d=diagonal, class_="axis", stroke_dasharray="3 3"),
        element("path", d=dots, class_="dots s0"),
    ]
    return _drawn(size, title, parts)


def histogram(
    low: float, high: float, counts: Sequence[int], *, title: str, size: tuple[int, int] = (300, 160)
) -> Markup:
    """Draw how many values lie in each of as many equal parts of the range from ``low`` to ``high``.

    If all are one value there is a narrow bar at it.
    """
    if not counts or not (defined(low) and defined(high)) or not max(counts):
        return Markup()
    x, y = Scale(low, high, _LEFT, size[0] - 6), Scale(0.0, max(counts), size[1] - _BOTTOM, _TOP)
    ends = (x(low), x(high)) if x.only is None else (x(low) - _ALONE, x(low) + _ALONE)
    wide = (ends[1] - ends[0]) / len(counts)
    steps = "".join(
        f"V{y(count):.0f}H{ends[0] + (place + 1) * wide:.0f}" for place, count in enumerate(counts)
    )
    base = size[1] - _BOTTOM
    parts = [*_axes(x, y, size), element("path", d=f"M{ends[0]:.0f} {base}{steps}V{base}z", class_="f0")]
    return _drawn(size, title, parts)


def bars(entries: Mapping[str, float | None], *, title: str, width: int = 600) -> Markup:
    """Draw a bar a name, from 0, with its value behind it."""
    values = known(entries.values())
    x = Scale(min(0.0, *values, 0.0), max(0.0, *values, 0.0), 0.36 * width, 0.88 * width)
    zero = x(0.0)
    parts = []
    for place, (name, value) in enumerate(zip(told_apart([*entries], 32), entries.values(), strict=True)):
        middle = 20 * place + 14
        parts.append(_words(0.36 * width - 8, middle + 4, name, "words", "end"))
        if defined(value):
            end = x(value)
            around = f"M{zero:.0f} {middle - 6}H{end:.0f}V{middle + 6}H{zero:.0f}z"
            parts.append(element("path", d=around, class_=f"f{0 if value >= 0 else 1}"))
            parts.append(_words(max(end, zero) + 6, middle + 4, _number(value), "label"))
    return _drawn((width, 20 * len(entries) + 8), title, parts)


def lines(
    series: Mapping[str, Values],
    *,
    at: Sequence[float] = (),
    names: Sequence[str] = (),
    title: str,
    across: str = "",
    up: str = "",
    marks: Mapping[float, str] | None = None,
    logarithmic: bool = False,
    size: tuple[int, int] = (760, 260),
) -> Markup:
    """Draw several curves over one axis, each in its colour; the macro ``legend`` names them.

    Parameters
    ----------
    series
        The values of each curve by its name; where one is None the curve is broken.
    at, names
        Where the values stand, 0, 1, ... unless told; or names of the places, which are then even.
    across, up
        What the axes show.
    marks
        Upright lines at places, with a word each.
    logarithmic
        Whether heights go by the logarithm of the values; those that have none are left out.
    """
    if logarithmic:
        series = {name: [_logarithm(value) for value in values] for name, values in series.items()}
    heights = [value for values in series.values() for value in values]
    if not known(heights):
        return Markup()
    places = at or range(max(map(len, series.values())))
    x, y = Scale(places[0], places[-1], _LEFT + 6, size[0] - 12), _upright(heights, size)
    parts = [*_axes(x, y, size, across, up, names, logarithmic)]
    for place, word in (marks or {}).items():
        parts.append(element("path", d=f"M{x(place):.1f} {_TOP}V{size[1] - _BOTTOM}", class_="mark"))
        parts.append(_words(x(place) + 4, _TOP + 10, word, "words"))
    for number_, values in enumerate(series.values()):
        parts += _lines(values, x, y, f"line s{number_ % _SERIES}", places)
        if len(values) <= _DOTTED:
            words = names or [_number(place) for place in places]
            parts += _dots(values, x, y, f"dots s{number_ % _SERIES}", places, words, logarithmic)
    return _drawn(size, title, parts)


def _dots(
    values: Values,
    x: Scale,
    y: Scale,
    look: str,
    places: Sequence[float],
    words: Sequence[str],
    logarithmic: bool,
) -> Iterator[str]:
    """Draw a dot a value that says what it stands for where it is pointed at."""
    for place, value, word in zip(places, values, words, strict=False):
        if defined(value):
            told = f"{visible(word)}: {_number(10**value if logarithmic else value)}"
            dot = f'<path class="{look}" d="M{x(place):.1f} {y(value):.1f}h0">'
            yield f"{dot}{element('title', told)}</path>"


def _logarithm(value: float | None) -> float | None:
    return math.log10(value) if defined(value) and value > 0 else None


def _upright(values: Values, size: tuple[int, int]) -> Scale:
    ends = known(values)
    return Scale(min(ends), max(ends), size[1] - _BOTTOM, _TOP)


def _lines(values: Values, x: Scale, y: Scale, look: str, places: Sequence[float]) -> Iterator[str]:
    """Draw a curve, broken where it has no value; a value alone is a dot."""
    for run in runs(zip(places, values, strict=False)):
        alone = "h0" if len(run) == 1 else ""
        yield element("path", d=path((x(a), y(b)) for a, b in run).replace(".0", "") + alone, class_=look)


def _band(low: Values, high: Values, x: Scale, y: Scale, places: Sequence[float]) -> Iterator[str]:
    upper, lower = (
        [(x(a), y(b)) for a, b in zip(places, side, strict=False) if defined(b)] for side in (high, low)
    )
    if upper and lower:
        yield element("path", d=path((*upper, *reversed(lower))).replace(".0", "") + "z", class_="band")


def _axes(
    x: Scale,
    y: Scale,
    size: tuple[int, int],
    across: str = "",
    up: str = "",
    names: Sequence[str] = (),
    logarithmic: bool = False,
) -> Iterator[str]:
    """Draw grid lines with their numbers, and what the axes show."""
    width, height = size
    rows = [value for value in y.ticks() if min(y.start, y.end) - 1 <= y(value) <= max(y.start, y.end) + 1]
    grid = "".join(f"M{x.start:.0f} {y(value):.0f}H{width - 6}" for value in rows)
    yield element("path", d=grid + f"M{x.start:.0f} {height - _BOTTOM}H{width - 6}", class_="grid")
    for value in rows:
        shown = _number(10**value if logarithmic else value)
        yield _words(x.start - 5, y(value) + 4, shown, "label", "end")
    room = width - (7 * len(across) + 24 if across else 0)
    for place, word in _columns(x, names):
        if x(place) <= room:
            yield _centred(x(place), height - 8, word, width)
    if across:
        yield _words(width - 6, height - 8, across, "label", "end")
    if up:
        yield _words(x.start - 5, 9, up, "label", "end" if len(up) < 7 else "")


def _columns(x: Scale, names: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Return places with their words, as many as there is room for."""
    if names:
        step = max(1, math.ceil(_NAMED * (len(names) - 1) / abs(x.end - x.start)))
        places = range(0, len(names), step)
        return zip(places, told_apart([names[place] for place in places], _LETTERS), strict=True)
    return ((value, _number(value)) for value in x.ticks())


def _centred(x: float, y: float, word: str, width: float) -> str:
    """Write a word below its place; one that would go beyond the right edge ends there."""
    if x + _LETTER * len(word) / 2 <= width:
        return _words(x, y, word, "label", "middle")
    return _words(width, y, word, "label", "end")


def _number(value: float) -> str:
    return number(float(f"{value:.4g}"))


def _words(x: float, y: float, words: str, look: str, anchor: str = "") -> str:
    anchored = {"text_anchor": anchor} if anchor else {}
    return element("text", visible(words), x=f"{x:.0f}", y=f"{y:.0f}", class_=look, **anchored)


def _drawn(size: tuple[int, int], title: str, parts: Sequence[str]) -> Markup:
    box = f'width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}"'
    about = element("title", visible(title))
    return Markup("".join([f'<svg class="chart" {box} role="img">', about, *parts, "</svg>"]))  # noqa: S704 (every word of it is escaped)
