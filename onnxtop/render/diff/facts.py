"""What the formats for people say about a comparison: the answer in a sentence, then what to show of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from onnxtop.results.diff import Diff, Figure, LayerDiff, Verdict
from onnxtop.results.headline import Headline, Tone
from onnxtop.results.run import PairOutput, PairRun, Parting
from onnxtop.results.words import counted

_ROWS = 40
"""A table with more rows shows those that changed most."""


_MANY = 4
"""From so many layers on, one sentence stands for all."""

_PLAIN = {
    Verdict.SAME: Headline(Tone.GOOD, "the same model"),
    Verdict.EQUIVALENT: Headline(Tone.GOOD, "the same function"),
    Verdict.WITHIN: Headline(Tone.GOOD, "changed within the tolerance"),
    Verdict.CHANGED: Headline(Tone.BAD, "changed"),
    Verdict.UNPROVEN: Headline(Tone.DOUBT, "cannot tell whether it is the same function"),
    Verdict.NONE_FOUND: Headline(Tone.GOOD, "no difference found where both were run"),
}


def verdict(diff: Diff) -> Headline:
    """Say in plain words what became of the model, and in how many layers."""
    plain, changed = _PLAIN[diff.whole.verdict], sum(bool(layer.changes) for layer in diff.layers)
    beside = [
        *([] if diff.same_architecture else ["another architecture"]),
        *([f"{changed:,} of {counted(len(diff.layers), 'layer')}"] if changed else []),
        *(["outputs differ"] if diff.run is not None and diff.run.differs else []),
    ]
    told = f"{plain.words}: {', '.join(beside)}" if diff.changed and beside else plain.words
    return replace(plain, words=told)


def answer(diff: Diff) -> str:
    """Say in one sentence what became of the model."""
    return "; ".join([_architecture(diff), *_what_changed(diff)])


def headline(diff: Diff) -> str:
    """Say what the verdict rests on: what became of the layers where that tells it, else the reason."""
    told = diff.layers and (
        diff.whole.verdict is Verdict.WITHIN
        or (diff.whole.verdict is Verdict.CHANGED and not (diff.same_architecture and not _changed(diff)))
    )
    return answer(diff) if told else diff.whole.reason


def grounds(diff: Diff) -> Iterator[str]:
    """Yield what else is to be said of the whole: its reason or layers, how it was compared, what was not."""
    whole = diff.whole
    if headline(diff) != whole.reason:
        yield f"whole model: {whole.reason}"
    elif diff.layers:
        yield f"layers: {answer(diff)}"
    if whole.operations:
        old, new = whole.operations
        sizes = f"{old:,}" if old == new else f"{old:,} and {new:,}"
        yield f"{whole.matched:,} of {sizes} operations matched, {_WRITTEN[whole.level or 0]}"
    for what in whole.dropped:
        yield f"left out or assumed: {what}"


def run(diff: Diff) -> Iterator[str]:
    """Yield what a run of both models gave, a sentence each; nothing if they were not run."""
    found = diff.run
    if found is None:
        return
    if found.failure is not None:
        which = f", the {'new' if found.failed_new else 'old'} model"
        yield f"not run{'' if found.failure.kind == 'inputs' else which}: {found.failure.reason}"
        return
    yield f"run {counted(found.runs, 'time')} on {found.source}{_assumed(found)}; {found.limit}"
    for output in found.outputs:
        yield f"output {output.name}: {_apart(output)}"
    if found.parting is not None:
        yield f"they part at {_parting(found.parting)}"
    yield from found.notes


def _assumed(found: PairRun) -> str:
    sizes = dict.fromkeys(size for given in found.inputs for size in given.assumed)
    return f", {', '.join(sizes)}" if sizes else ""


def _apart(output: PairOutput) -> str:
    if output.largest is None or output.reason:
        return output.reason or "not compared"
    figures = [
        f"largest difference {output.largest:.3g} ({percent(output.largest_relative)} of the spread)",
        f"mean {output.mean:.3g}",
        f"root mean square {percent(output.relative)} of the spread",
    ]
    if output.top is not None:
        figures.append(f"top class the same in {percent(output.top)} of {counted(output.rows, 'row')}")
    return ("DIFFERS: " if output.differs else "") + ", ".join(figures)


def _parting(found: Parting) -> str:
    was = f", was {found.old_name}" if found.old_name != found.name else ""
    far = "" if found.relative is None else f": {percent(found.relative)} of its spread"
    return f"{found.op_type} {found.name}{was}{far}"


_WRITTEN = ("as they stand", "in one normal form", "in one normal form, without what rounds")


def counting(diff: Diff) -> list[tuple[str, str]]:
    """Return (kind, sentence) of every difference of the whole that counts, the most important first."""
    whole = diff.whole
    return [
        (each.kind, f"{each.where}: {each.what}")
        for each in (*whole.interface, *whole.changes)
        if each.counts
    ]


def tolerated(diff: Diff) -> list[tuple[str, str]]:
    """Return (kind, sentence) of every difference of the whole that does not count."""
    whole = diff.whole
    return [
        (each.kind, each.what if each.what.startswith(each.where) else f"{each.where}: {each.what}")
        for each in (*whole.interface, *whole.changes)
        if not each.counts
    ]


def _changed(diff: Diff) -> bool:
    return any(layer.changes for layer in diff.layers)


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


_LARGE = 1e9
"""Percent, from which on a number is told by its power of ten."""


def percent(share: float | None, undefined: str = "") -> str:
    """Write a share in percent, with three digits; a nonzero one never as 0 %.

    >>> percent(0.71258), percent(0.0), percent(3e-7), percent(12.0), percent(1e106)
    ('71.3 %', '0 %', '< 0.01 %', '1200 %', '1e+108 %')
    """
    if share is None:
        return undefined
    value = 100 * share
    if 0 < value < 0.01:
        return "< 0.01 %"
    return f"{value:.0f} %" if 100 <= value < _LARGE or value == 0 else f"{value:.3g} %"


def direction(figure: Figure) -> str:
    """Say which way a figure went."""
    return "more" if (figure.new or 0.0) > (figure.old or 0.0) else "less"


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
        if told := remark(layer):
            groups.setdefault((told, bool(layer.changes)), []).append(layer.name)
    found = [
        (name, sentence, counts)
        for (sentence, counts), names in groups.items()
        for name in (names if len(names) < _MANY else [counted(len(names), "layer")])
    ]
    return sorted(found, key=lambda each: not each[2])


def remark(layer: LayerDiff) -> str:
    """Say what is to be said of a layer beside its figures."""
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
