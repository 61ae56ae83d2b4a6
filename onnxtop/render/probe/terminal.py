"""What a probe of a model found, for people: one page a model, nothing wider than the terminal."""

import math
from collections.abc import Iterable, Iterator, Sequence

from onnxtop.loss.directions import Profile
from onnxtop.loss.scores import ClassScore
from onnxtop.loss.summary import LayerGradient
from onnxtop.render import RenderOptions
from onnxtop.render.cells import ASCII, UNICODE, Signs
from onnxtop.render.page import widths_of
from onnxtop.render.probe import Probed
from onnxtop.render.probe.facts import cut_short, described, figures, number, profile_name, sentences, span
from onnxtop.render.table import Column, Columns, Layout, Row, table
from onnxtop.results.outcome import FailedModel

_LISTED = 20
"""At most so many layers and classes are listed; ``all_rows`` lists all."""

_HEIGHT = 6
"""Lines of a chart."""

_BARS = {True: " ▁▂▃▄▅▆▇█", False: " #"}

_GAP = 3

_LAYERS = {
    "layer": Column("layer", "left"),
    "parameters": Column("parameters"),
    "gradient": Column("gradient"),
    "share": Column("share of its square", "left"),
}

_LAYOUT = Layout(lesser=("parameters",), enough={"layer": 12}, shrink=(("layer", 8),), ruled=False)

_CLASSES = {
    "class": Column("class", least=6),
    "samples": Column("samples", least=8),
    "recall": Column("recall", least=8),
    "precision": Column("precision"),
}


def render(results: Sequence[Probed | FailedModel], options: RenderOptions) -> str:
    """Draw a page a model, ``options.width`` cells wide, and no less than 40."""
    shown = [result for result in results if options.failed or not isinstance(result, FailedModel)]
    pages = [_page(result, options) for result in shown]
    return "\n".join("".join(f"{line.rstrip()}\n" for line in page) for page in pages)


def _page(found: Probed | FailedModel, options: RenderOptions) -> list[str]:
    signs = UNICODE if options.unicode else ASCII
    width, drawn = widths_of(options)
    if isinstance(found, FailedModel):
        return [signs.short(found.path, width), *_wrapped(f"not probed: {signs.shown(found.message)}", width)]
    result = found.result
    lines = [signs.short(found.path, width), *_wrapped(signs.dot.join(described(result)), width)]
    lines += _wrapped(signs.dot.join(figures(result)), width)
    for sentence in sentences(result):
        lines += _wrapped(signs.shown(sentence), width)
    for failure in result.failed:
        lines += _wrapped(f"FAILED: {signs.shown(failure)}", width)
    lines += _layers(result.layers, signs, width, options.whole)
    lines += _classes(result.classes, signs, width, options.whole)
    lines += _charts(result.profiles, signs, drawn)
    if result.stopped:
        lines += ["", *_wrapped(cut_short(result), width)]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, subsequent_indent="  ") or [""]


def _layers(layers: Sequence[LayerGradient], signs: Signs, width: int, all_rows: bool) -> Iterator[str]:
    largest = sorted(layers, key=lambda layer: -layer.gradient_norm)[:_LISTED]
    rows = [_layer_row(layer, signs) for layer in layers if all_rows or layer in largest]
    yield from _listed(_LAYERS, rows, f"largest of {len(layers)} layers", len(layers), signs, width)


def _listed(
    columns: Columns, rows: Sequence[Row], which: str, of: int, signs: Signs, width: int
) -> Iterator[str]:
    """Draw a table, and say which rows it shows if that is not all of them."""
    if rows:
        yield from ("", *(line.plain for line in table(columns, [rows], _LAYOUT, signs, width)))
    if len(rows) < of:
        yield from _wrapped(f"the {len(rows)} {which}; --all shows every one", width)


def _layer_row(layer: LayerGradient, signs: Signs) -> Row:
    cells = {
        "layer": signs.shown(layer.name),
        "parameters": f"{layer.parameters:,}",
        "gradient": number(layer.gradient_norm),
        "share": f"{layer.share:>6.1%} {signs.bar(layer.share)}",
    }
    return Row(cells)


def _classes(classes: Sequence[ClassScore], signs: Signs, width: int, all_rows: bool) -> Iterator[str]:
    worst = sorted(classes, key=lambda found: found.recall if found.recall is not None else 2)[:_LISTED]
    rows = [_class_row(found, signs) for found in classes if all_rows or found in worst]
    yield from _listed(_CLASSES, rows, f"worst of {len(classes)} classes", len(classes), signs, width)


def _class_row(found: ClassScore, signs: Signs) -> Row:
    recall, precision = (
        signs.undefined if share is None else f"{share:.4f}" for share in (found.recall, found.precision)
    )
    cells = {"class": f"{found.label}", "samples": f"{found.samples:,}"}
    return Row({**cells, "recall": recall, "precision": precision})


def _charts(profiles: Sequence[Profile], signs: Signs, width: int) -> Iterator[str]:
    """Draw the profiles side by side, as many as fit, with one scale."""
    if not profiles:
        return
    low, high, logarithmic = span(profile.losses for profile in profiles)
    yield ""
    scale = ", logarithmic" if logarithmic else ""
    yield from _wrapped(f"loss along directions{scale}; step 1 is as long as the weights", width)
    label = max(len(number(low)), len(number(high)))
    each = max(len(profile.losses) for profile in profiles)
    fit = max((width - label - 1 + _GAP) // (each + _GAP), 1)
    for start in range(0, len(profiles), fit):
        group = profiles[start : start + fit]
        yield from _row_of_charts(group, low, high, logarithmic, label, not signs.ascii_only)


def _row_of_charts(
    profiles: Sequence[Profile], low: float, high: float, logarithmic: bool, label: int, unicode: bool
) -> Iterator[str]:
    drawn = [
        chart(profile.losses, low, high, logarithmic=logarithmic, unicode=unicode) for profile in profiles
    ]
    for row in range(_HEIGHT):
        mark = number(high) if row == 0 else number(low) if row == _HEIGHT - 1 else ""
        yield f"{mark:>{label}} " + (" " * _GAP).join(picture[row] for picture in drawn)
    yield " " * (label + 1) + (" " * _GAP).join(_axis(profile) for profile in profiles)
    names = [profile_name(profile) for profile in profiles]
    centred = (f"{name:^{len(p.losses)}}" for name, p in zip(names, profiles, strict=True))
    yield " " * (label + 1) + (" " * _GAP).join(centred)


def _axis(profile: Profile) -> str:
    size = len(profile.losses)
    left, right = f"{profile.steps[0]:g}", f"{profile.steps[-1]:g}"
    inner = size - len(left) - len(right)
    return f"{left}{'0':^{inner}}{right}"


def chart(
    losses: Iterable[float], low: float, high: float, *, logarithmic: bool, unicode: bool = True
) -> list[str]:
    """Draw one bar a value, ``_HEIGHT`` lines, top first; the lowest value has the lowest bar there is."""
    steps = _BARS[unicode]
    fine = len(steps) - 1
    heights = [_height(loss, low, high, logarithmic) * _HEIGHT * fine for loss in losses]
    lines = []
    for row in range(_HEIGHT - 1, -1, -1):
        cells = (min(max(round(height) - row * fine, 0), fine) for height in heights)
        lines.append("".join(steps[cell] for cell in cells))
    return lines


def _height(loss: float, low: float, high: float, logarithmic: bool) -> float:
    """Return a height between a sliver and 1; what is not finite is as high as can be."""
    if not math.isfinite(loss):
        return 1.0
    if high <= low:
        return 0.5
    if logarithmic:
        share = math.log(max(loss, low) / low) / math.log(high / low)
    else:
        share = (loss - low) / (high - low)
    return 0.03 + 0.97 * share
