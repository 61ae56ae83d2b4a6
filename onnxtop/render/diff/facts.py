"""What a comparison of two models found: the answer in a sentence, then the table; or all of it as JSON."""

import importlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxtop.errors import UsageError
from onnxtop.render.text import counted
from onnxtop.results.diff import Diff, LayerDiff

if TYPE_CHECKING:
    from onnxtop.render import RenderOptions

__all__ = ["FORMATS", "SUFFIXES", "answer", "chosen", "percent", "remarks", "render", "render_json", "tables"]

FORMATS = ("terminal", "json", "markdown")
"""Formats of ``onnxtop diff``."""

SUFFIXES = {".txt": "terminal", ".json": "json", ".md": "markdown"}

_ROWS = 40
"""A table with more rows shows those that changed most."""


_MANY = 4
"""From so many layers on, one sentence stands for all."""


def render(format_name: str, diff: Diff, options: "RenderOptions") -> str:
    """Render a comparison.

    Raises
    ------
    UsageError
        There is no such format.
    """
    if format_name not in FORMATS:
        raise UsageError(f"wanted a format out of {', '.join(FORMATS)}, found {format_name!r}")
    if format_name == "json":
        return render_json(diff)
    text: str = importlib.import_module(f"onnxtop.render.diff.{format_name}").render(diff, options)
    return text


def render_json(diff: Diff) -> str:
    """Render a comparison as strict JSON; the same comparison gives the same bytes."""
    from onnxtop.render.report.json import strict
    from onnxtop.results.report import SCHEMA_VERSION

    return strict({"schema_version": SCHEMA_VERSION, **diff.to_dict()}, indent=2) + "\n"


def answer(diff: Diff) -> str:
    """Say in one sentence what became of the model."""
    return "; ".join([_architecture(diff), *_what_changed(diff)])


def _architecture(diff: Diff) -> str:
    if diff.same_architecture:
        return "same architecture"
    resized = sum(not layer.same_size for layer in diff.layers)
    parts = (
        (len(diff.appeared), "appeared"),
        (len(diff.vanished), "vanished"),
        (resized, "changed size"),
    )
    told = ", ".join(f"{counted(count, 'layer')} {what}" for count, what in parts if count)
    return f"another architecture: {told}"


def _what_changed(diff: Diff) -> list[str]:
    layers = diff.layers
    if not layers:
        return []
    changed = [layer for layer in layers if layer.changes]
    if not changed and all(layer.is_same for layer in layers):
        return [f"all {counted(len(layers), 'layer')} hold the same weights"]
    told = [f"{len(changed):,} of {counted(len(layers), 'layer')} changed"]
    known = [layer for layer in layers if layer.weights.relative is not None]
    worst = max(known, key=lambda layer: layer.weights.relative or 0.0, default=None)
    if worst is not None and worst.weights.relative:
        told.append(f"largest relative change {percent(worst.weights.relative)} ({worst.name})")
    elif any(layer.order for layer in layers):
        told.append("every weight is still there, some in another order")
    special = (
        (sum(layer.same_size and layer.weights.reason is not None for layer in layers), "not comparable"),
        (sum(layer.holds is not None for layer in layers), "with the weights of another"),
        (sum(layer.retied is not None for layer in layers), "tied or untied"),
    )
    told += [f"{count:,} {what}" for count, what in special if count]
    recoded = Counter(layer.encoding for layer in layers if layer.encoding != layer.old_encoding)
    return [*told, *(f"{count:,} now {encoding}" for encoding, count in recoded.items())]


def percent(share: float | None, undefined: str = "") -> str:
    """Write a share in percent, with three digits; a nonzero one never as 0 %.

    >>> percent(0.71258), percent(0.0), percent(3e-7), percent(12.0)
    ('71.3 %', '0 %', '< 0.01 %', '1200 %')
    """
    if share is None:
        return undefined
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    return f"{value:.0f} %" if value >= 100 or value == 0 else f"{value:.3g} %"


def chosen(diff: Diff, all_rows: bool) -> tuple[LayerDiff, ...]:
    """Return the layers to show, in graph order: all, or those that changed most."""
    if all_rows or len(diff.layers) <= _ROWS:
        return diff.layers
    ranked = sorted(range(len(diff.layers)), key=lambda i: _rank(diff.layers[i]), reverse=True)
    return tuple(diff.layers[i] for i in sorted(ranked[:_ROWS]))


def _rank(layer: LayerDiff) -> tuple[int, float]:
    return len(layer.changes), layer.weights.relative or 0.0


def remarks(diff: Diff, rows: Sequence[LayerDiff]) -> list[tuple[str, str, bool]]:
    """Return (layer, sentence, whether it counts) for every layer of the rows with something to tell.

    What many layers have in common is told once.
    """
    groups: dict[tuple[str, bool], list[str]] = {}
    for layer in rows:
        if told := _told(layer):
            groups.setdefault((told, bool(layer.changes)), []).append(layer.name)
    found = [
        (name, sentence, counts)
        for (sentence, counts), names in groups.items()
        for name in (names if len(names) < _MANY else [counted(len(names), "layer")])
    ]
    return sorted(found, key=lambda each: not each[2])


def _told(layer: LayerDiff) -> str:
    renamed = f"was {layer.old_name}" if layer.old_name != layer.name else ""
    by = f"found by {layer.matched_by}" if layer.matched_by in ("content", "place") else ""
    parts = [*layer.changes, *layer.notes, ", ".join(filter(None, (renamed, by)))]
    return "; ".join(filter(None, parts))


def tables(diff: Diff) -> list[tuple[str, str, str]]:
    """Return (appeared or vanished, layer, what it is) for the layers that only one model has."""
    return [
        (word, each.name, f"{each.op_type}, {counted(each.parameters, 'weight')}")
        for word, layers in (("vanished", diff.vanished), ("appeared", diff.appeared))
        for each in layers
    ]
