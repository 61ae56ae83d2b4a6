"""A loss landscape as a picture: the barcode above, the loss along the paths below."""

from collections.abc import Iterator

from onnxtop.render import RenderOptions
from onnxtop.render.landscape.facts import (
    BOUNDS,
    at_most,
    at_top,
    bounded,
    described,
    endless,
    short_names,
    small,
)
from onnxtop.render.svg import (
    BACK,
    COLOURS,
    FAINT,
    GRID,
    Scale,
    curve,
    document,
    element,
    grid,
    inline,
    label,
    spot,
    told_apart,
)
from onnxtop.results.landscape import LossLandscape, Minimum, Pass

_WIDTH, _LEFT, _RIGHT = 860, 170, 40
_BAR, _CURVES, _LEGEND = 26, 260, 18
_ALONG = "Loss along the paths that end a bar"


def render(landscape: LossLandscape, options: RenderOptions) -> str:
    """Draw a landscape; wide enough for its names, as high as it has minima."""
    top = 104
    curves = _axis(landscape, top) + 76
    height = curves + _CURVES + 60 + _LEGEND * len(_chosen(landscape))
    parts = (
        element("title", f"Loss barcode of {len(landscape.minima)} minima"),
        element("rect", width=_WIDTH, height=height, fill=BACK),
        *_head(landscape),
        *_bars(landscape, top),
        *([label(_LEFT, curves - 14, _ALONG)] if _chosen(landscape) else []),
        *_curves(landscape, curves),
    )
    return document(_WIDTH, height, parts, font_family="system-ui, sans-serif", font_size=12)


def barcode(landscape: LossLandscape) -> str:
    """Draw the bars alone, for a page."""
    axis = _axis(landscape, 0)
    title = f"Loss barcode of {len(landscape.minima)} minima"
    return inline(title, (0, -12, _WIDTH, axis + 56), _bars(landscape, 0))


def profiles(landscape: LossLandscape) -> str:
    """Draw the loss along the paths that end a bar alone, for a page; empty if there are none."""
    chosen = _chosen(landscape)
    height = _CURVES + 50 + _LEGEND * len(chosen)
    return inline(_ALONG, (0, -10, _WIDTH, height), _curves(landscape, 0)) if chosen else ""


def _axis(landscape: LossLandscape, top: int) -> int:
    """Return where the axis of the bars is."""
    return top + _BAR * len(landscape.minima) + 8


def _chosen(landscape: LossLandscape) -> list[Pass]:
    """Return the paths that are drawn, those that end a bar."""
    return [item for item in landscape.passes if item.in_tree]


def _short(landscape: LossLandscape) -> dict[str, str]:
    names = short_names([minimum.name for minimum in landscape.minima])
    return dict(zip(names, told_apart([*names.values()], 22), strict=True))


def _head(landscape: LossLandscape) -> Iterator[str]:
    score = landscape.score
    yield label(20, 30, "Loss barcode" if landscape.complete else "Loss barcode (incomplete)", size=18)
    known = f"{landscape.finder}, {BOUNDS[score.bound]}"
    how = f"N = {score.n_minima} minima, {known}; mean finite length, onnxtop's reading"
    yield label(20, 52, f"TO-score {bounded(score.mean, score.mean_most, score.bound, '≤')} ({how})")
    yield label(20, 70, " · ".join(described(landscape)), colour=FAINT)


def _bars(landscape: LossLandscape, top: int) -> Iterator[str]:
    axis, short = _axis(landscape, top), _short(landscape)
    births = [minimum.loss for minimum in landscape.minima]
    deaths = [minimum.death for minimum in landscape.minima if minimum.death is not None]
    scale = Scale(min(births), max([*births, *deaths]), _LEFT, _WIDTH - _RIGHT - 20)
    for value in scale.ticks():
        x = scale(value)
        yield element("line", x1=x, y1=top - 6, x2=x, y2=axis, stroke=GRID)
        yield label(x, axis + 16, f"{value:g}", anchor="middle", colour=FAINT)
    yield label((_LEFT + _WIDTH - _RIGHT) / 2, axis + 36, "loss", anchor="middle", colour=FAINT)
    for number, minimum in enumerate(landscape.minima):
        y = top + _BAR * number + 8
        start = scale(minimum.loss)
        end = float(_WIDTH - _RIGHT) if minimum.death is None else max(scale(minimum.death), start + 1)
        colour = FAINT if minimum.reason else COLOURS[0]
        yield label(_LEFT - 14, y + 4, short[minimum.name], anchor="end")
        yield element("line", x1=start, y1=y, x2=end, y2=y, stroke=colour, stroke_width=7)
        yield spot(start, y, colour, f"{short[minimum.name]}: {_ends(minimum)}", r=4.5)
        if minimum.death is None:
            yield element("path", d=f"M {end:.1f} {y - 8} l 14 8 l -14 8 z", fill=colour)
        if minimum.length is not None:
            yield _beside(end, y, bounded(minimum.length, minimum.length_most, minimum.bound, "≤"))
    if any(minimum.reason for minimum in landscape.minima):
        falls = "; from some the loss falls for ever" if endless(landscape) else ""
        yield label(20, axis + 36, f"grey: no minimum, see the report{falls}", colour=FAINT)


def _ends(minimum: Minimum) -> str:
    death = "never" if minimum.death is None else at_most(minimum.death, "≤")
    return f"birth {small(minimum.loss)}, death {death}"


def _beside(end: float, y: float, words: str) -> str:
    """Write the length after a bar, or above its end where there is no room after it."""
    if end < _WIDTH - _RIGHT - 80:
        return label(end + 8, y + 4, words, colour=FAINT, size=11)
    return label(end, y - 6, words, anchor="end", colour=FAINT, size=11)


def _curves(landscape: LossLandscape, top: int) -> Iterator[str]:
    """Draw the profiles of the paths that end a bar."""
    chosen, short = _chosen(landscape), _short(landscape)
    finite = [loss for item in chosen for loss in item.losses if loss is not None]
    if not finite:
        return
    low = min(minimum.loss for minimum in landscape.minima)
    scale = Scale(low, max(finite), top + _CURVES, top)
    across = Scale(0.0, 1.0, _LEFT, _WIDTH - _RIGHT)
    yield from grid(scale, _LEFT, _WIDTH - _RIGHT)
    for number, item in enumerate(chosen):
        colour = COLOURS[number % len(COLOURS)]
        yield from curve(zip(item.positions, item.losses, strict=True), across, scale, colour)
        x, y = 20, top + _CURVES + 44 + _LEGEND * number
        yield element("rect", x=x, y=y - 5, width=14, height=3, fill=colour)
        words = f"{short[item.first]} → {short[item.second]}, {at_most(item.height, '≤')}; {at_top(item)}"
        yield label(x + 20, y, words, size=11)
    caption = "from the lower end of the path to the higher"
    yield label((_LEFT + _WIDTH - _RIGHT) / 2, top + _CURVES + 20, caption, anchor="middle", colour=FAINT)
