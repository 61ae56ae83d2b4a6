"""What the formats for people say about a report, in plain words and before any markup.

Phrases hold names as they are in the file, so each format still escapes them in its own way.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxtop.options import said
from onnxtop.reader.terms.facts import Port
from onnxtop.render.settings import phrases
from onnxtop.render.text import defined, figure, known
from onnxtop.results.headline import why_nothing
from onnxtop.results.outcome import INTERRUPTED, FailedModel, Outcome, Result
from onnxtop.results.report import (
    NOT_ASKED,
    Coverage,
    Finding,
    LayerPersistence,
    LayerReport,
    Report,
    SkippedWeight,
)
from onnxtop.results.words import SEVERITIES, counted, percent, samples_of, share

LONG_TABLE = 40
"""A table with more layers than this is summarised."""

_KINDS = 3
"""So many kinds of other constants are named, the largest."""

_ANY = "MODEL"
"""Stands in a command for a model."""

_FIRST, _LAST, _EXTREME, _ODD = 8, 6, 4, 6


@dataclass(frozen=True)
class Gap:
    """Layers left out of a table between two rows.

    ``low`` and ``high`` are the range of their normalized NP, ``bars`` the bars of the network they limit.
    """

    layers: int
    parameters: int
    low: float | None
    high: float | None
    bars: int | None = None


@dataclass(frozen=True)
class SkippedGroup:
    """Skipped weight tensors of one operator that share a reason."""

    op_type: str
    reason: str
    tensors: int
    parameters: int


def made_by(report: Report) -> list[str]:
    """Say what wrote the file, and in which dialect."""
    model = report.model
    opsets = [f"opset {domain or 'ai.onnx'} {version}" for domain, version in model.opset.items()]
    return [model.producer or "producer unknown", f"IR version {model.ir_version}", *opsets]


def size(report: Report) -> list[str]:
    """Give the exact size of the model."""
    model = report.model
    return [counted(model.parameters, "parameter"), counted(model.bytes, "byte")]


def ports(report: Report) -> list[tuple[str, str]]:
    """Tell what goes in and what comes out: which of these, and its name, type and sizes."""
    function = report.model.function
    if function is None:
        return []
    sides = (("input", function.inputs), ("output", function.outputs))
    return [(side, _port(port)) for side, ports in sides for port in ports]


def _port(port: Port) -> str:
    kind = port.type.lower() if port.type.isupper() else port.type
    if port.shape is None:
        return f"{port.name}: {kind}"
    return f"{port.name}: {kind}[{', '.join(str(size) if size != '' else '?' for size in port.shape)}]"


def encodings(report: Report) -> str:
    """Say how the weights are stored: the encodings of the layers, the most common first."""
    counts = Counter(layer.encoding for layer in report.layers).most_common()
    if len(counts) < 2:
        return "".join(encoding for encoding, _ in counts)
    named = [f"{encoding} in {counted(count, 'layer')}" for encoding, count in counts[:_KINDS]]
    return ", ".join([*named, *(["..."] if len(counts) > _KINDS else [])])


def analysed(coverage: Coverage) -> str:
    """Say how much of the weights was analysed; never rounds up to 100 %."""
    told = f"analysed {coverage.parameters_analysed:,} of {counted(coverage.parameters_total, 'weight')}"
    part = share_analysed(coverage)
    return f"{told} ({part})" if part else told


def share_analysed(coverage: Coverage) -> str:
    """Write the share of the weights that was analysed, empty if there are none."""
    total = coverage.parameters_total
    return share(coverage.parameters_analysed, total) if total else ""


def apart(coverage: Coverage) -> list[str]:
    """List the constants that are counted apart from weights."""
    groups = (
        (coverage.biases, "bias" if coverage.biases == 1 else "biases"),
        (coverage.normalisation, "normalisation"),
        (coverage.other_constants, _others(coverage)),
        (coverage.unused, "unused"),
    )
    held = [f"{count:,} {group}" for count, group in groups if count]
    return [*held, f"{coverage.constants:,} constants in all"] if held else []


def _others(coverage: Coverage) -> str:
    """Name the largest kinds of other constants."""
    noun = "other constant" if coverage.other_constants == 1 else "other constants"
    kinds = sorted(coverage.other_kinds.items(), key=lambda kind: -kind[1])
    named = [f"{count:,} {kind}" if len(kinds) > 1 else kind for kind, count in kinds[:_KINDS]]
    more = ["..."] if len(kinds) > _KINDS else []
    return f"{noun} ({', '.join(named + more)})" if named else noun


def settings(report: Report) -> list[str]:
    """Name everything that the figures depend on."""
    return phrases(report.settings, largest_weight(report))


def whole(report: Report) -> list[str]:
    """Tell what is said of all layers together, beside their mean."""
    network = report.network
    spread = "" if network.variance is None else f"variance of all weights {network.variance:.4g}"
    return list(
        filter(None, (f"sum of the layers' totals {figure(network.neural_persistence.total)}", spread))
    )


def largest_weight(report: Report) -> str:
    """Say in brackets which weight the others are divided by, nothing where it is no weight."""
    found = report.network.neural_persistence
    if found.scale is None or not defined(found.scale) or not isinstance(report.settings.scale, str):
        return ""
    at = found.largest
    place = f" of {at.layer}, row {at.row}, column {at.column}" if at else ""
    return f" (largest weight {found.scale:.6g}{place})"


def deep_graph(report: Report) -> list[str]:
    """Tell the deep graph persistence of the network in two lines, or why it is not defined in one."""
    found = report.network.deep_graph_persistence
    if not defined(found.normalized):
        return [f"not defined: {found.reason}" if found.reason else "not measured"]
    asked = report.settings
    variants = (
        "" if asked.standardise else "not standardised",
        "" if asked.rescale else "not rescaled",
        "with skips cut" if asked.skips == "cut" else "",
    )
    chosen = ", ".join(filter(None, variants))
    figures = f"{chosen}{chosen and ' '}{figure(found.normalized)} normalized, {figure(found.total)} total"
    cut = found.skips_cut.normalized
    shares = (
        f"{counted(found.inputs or 0, 'input')}, {counted(found.outputs or 0, 'output')}",
        f"connectivity {found.connectivity or 'unknown'}",
        "" if found.saturated is None else f"{percent(found.saturated)} of bars saturated",
    )
    other = "" if cut == found.normalized else f"; skips cut {figure(cut)}"
    return [figures + other, "; ".join(filter(None, shares))]


def run(report: Report) -> str:
    """Tell in a line on what the model was run and what came of it, empty if it was not run by itself."""
    found = report.run
    if found is None:
        return ""
    if found.failure is not None:
        return f"run on {found.source}: {found.failure.reason}"
    assumed = dict.fromkeys(size for given in found.inputs for size in given.assumed)
    sizes = f" with {', '.join(assumed)}" if assumed else ""
    sound = sum(not (each.nan or each.infinite) for each in found.outputs)
    outputs = f"{sound} of {counted(len(found.outputs), 'output')} finite"
    return f"run {counted(found.runs, 'time')} on {found.source}{sizes}: {outputs}"


def loss(report: Report) -> list[str]:
    """Tell what running the model gave, a line each; nothing if it was not run."""
    told = run(report)
    lines = [told] if told else []
    if (probe := report.loss_probe) is not None:
        lines += _probed(probe)
    if (landscape := report.loss_landscape) is not None:
        score = landscape["score"]
        mean = "not defined" if score["mean"] is None else f"<= {score['mean']:.4g}"
        how = f"{score['n_minima']} minima, {landscape['finder']}; {score['definition']}"
        lines.append(f"TO-score {mean}, an upper bound ({how})")
    runs = (found for found in (probe, landscape) if found is not None)
    notes = dict.fromkeys(note for found in runs for note in found["notes"])
    return [*lines, *notes, *(report.run.notes if report.run else ())]


def _probed(probe: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a probe gave, a line for each split of the data."""
    held_out = probe["splits"]
    samples = samples_of(probe["samples"], probe["split"], alone=not held_out)
    figures = (
        f"loss {figure(probe['loss'])} ({probe['loss_name']}, {samples})",
        probe["reason"],
        *_scores(probe),
        "" if probe["gradient_norm"] is None else f"gradient norm {probe['gradient_norm']:.4g}",
        probe["gradient_reason"],
    )
    yield "; ".join(filter(None, figures))
    for split in held_out:
        samples = samples_of(split["samples"], split["name"], alone=False)
        yield "; ".join((f"loss {figure(split['loss'])} ({samples})", *_scores(split)))


def _scores(split: Mapping[str, Any]) -> Iterator[str]:
    if split["accuracy"] is not None:
        yield f"accuracy {percent(split['accuracy'])}"
    if split["rmse"] is not None:
        yield f"rmse {figure(split['rmse'])}"


def z_told(layer: LayerPersistence) -> str:
    """Write how far a layer is from its null model in standard deviations, empty if it has none."""
    return "" if layer.z is None else f"{layer.z:z.1f}"


def excess_told(layer: LayerPersistence) -> str:
    """Write the same in percent of the layer's NP."""
    return "" if layer.excess_share is None else f"{100 * layer.excess_share:z.1f} %"


def n_bars(report: Report) -> int | None:
    """Count the bars of the network, None without deep graph persistence."""
    found = report.network.deep_graph_persistence
    if not defined(found.normalized) or found.inputs is None or found.outputs is None:
        return None
    return found.inputs + found.outputs - 1


def limited_bars(layers: Sequence[LayerReport]) -> int | None:
    """Count the bars of the network that the layers limit, None if that was not measured."""
    roles = [layer.deep_graph_persistence for layer in layers]
    return sum(role.bars for role in roles if role is not None) if any(roles) else None


def bars_told(bars: int | None) -> str:
    """Write a count of bars, empty if it was not measured."""
    return "" if bars is None else f"{bars:,}"


def remark(layer: LayerReport) -> str:
    """Say why a layer has no NP or stands apart from the others, empty if neither."""
    persistence = layer.neural_persistence
    if not defined(persistence.normalized) and persistence.reason != NOT_ASKED:
        return persistence.reason or layer.reason or "not defined"
    if layer.copy_of is not None:
        return f"a copy of {layer.copy_of}, counted there"
    if layer.apart is not None:
        return f"measured by itself: {layer.apart}"
    return f"probably not trained: {layer.probably_fixed}" if layer.probably_fixed else ""


def nothing(report: Report) -> str:
    """Say that there was nothing to analyse, and why."""
    return f"{Outcome.NOTHING}: {why_nothing(report)}"


def unchecked(results: Iterable[Result]) -> list[str]:
    """Count the rules that did not run, by the reason, the most first, and on how many models if not on all.

    That only some layers were chosen stands behind them.
    """
    reports = [result for result in results if not isinstance(result, FailedModel)]
    rules: dict[str, set[str]] = {}
    for each in (each for report in reports for each in report.rules.not_run):
        rules.setdefault(each.reason, set()).add(each.rule)
    models = Counter(
        reason for report in reports for reason in {each.reason for each in report.rules.not_run}
    )
    patterns = dict.fromkeys(report.settings.layers for report in reports)
    return [
        *(
            f"{counted(len(found), 'rule')} not run: {reason}{on_some(models[reason], len(reports))}"
            for reason, found in sorted(rules.items(), key=lambda item: -len(item[1]))
        ),
        *(f"only layers matching {said(each)} were looked at" for each in patterns if each is not None),
    ]


def on_some(part: int, models: int) -> str:
    """Say on how many models, nothing if on all."""
    return "" if part == models else f" (on {part:,} of {counted(models, 'model')})"


def incomplete(results: Sequence[Result]) -> str:
    """Say that a run was interrupted, and how much of it was done; empty if it was not."""
    missed = sum(isinstance(each, FailedModel) and each.code == INTERRUPTED for each in results)
    return (
        f"incomplete: interrupted, {missed:,} of {counted(len(results), 'model')} not done" if missed else ""
    )


def skipped_groups(skipped: Sequence[SkippedWeight]) -> list[SkippedGroup]:
    """Group the skipped tensors by reason and operator, the largest loss first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for weight in skipped:
        groups.setdefault((weight.op_type, weight.reason), []).append(weight.parameters)
    found = [SkippedGroup(op, reason, len(each), sum(each)) for (op, reason), each in groups.items()]
    return sorted(found, key=lambda group: -group.parameters)


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Put errors before warnings before notes, each in its order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def chosen_rows(report: Report, all_rows: bool) -> list[LayerReport | Gap]:
    """Choose the rows of a long table: its ends, its extremes and its odd ones, and gaps between them."""
    layers = report.layers
    if all_rows or len(layers) <= LONG_TABLE:
        return list(layers)
    rows: list[LayerReport | Gap] = []
    start = 0
    for index in [*sorted(_worth_showing(report)), len(layers)]:
        rows += _between(layers[start:index])
        rows += layers[index : index + 1]
        start = index + 1
    return rows


def next_steps(results: Sequence[Result], longest: int | None = None) -> list[tuple[str, str]]:
    """Say what to do next: at most two commands, and what each of them tells.

    They name the model if it is one, and its name no ``longest`` one.
    """
    reports = [result for result in results if isinstance(result, Report)]
    name = in_command(reports[0], longest) if len(results) == len(reports) == 1 else _ANY
    worst = by_severity([finding for report in reports for finding in report.findings])[:1]
    if any(not report.settings.topology for report in reports):
        return [(f"onnxtop report {name}", "measures these layers and judges them")]
    if not any(report.layers for report in reports):
        return [(f"onnxtop graph {name}", "shows what is in the model")] if reports else []
    explained = (
        (f"onnxtop explain {each.rule}", f"says what {each.rule} means and what to make of it")
        for each in worst
    )
    usual = (
        ("onnxtop explain np", "says what a column means, and its limits"),
        (f"onnxtop check {name}", "fails a build on errors"),
    )
    return [*explained, *usual][:2]


def in_command(report: Report, longest: int | None = None) -> str:
    """Return the path of a model as a shell reads it, a word for it where none can be copied.

    An address may be shown without what lets in; what does not print, or begins as an option does, would
    be another name when it is copied.
    """
    path = report.model.path
    plain = path.endswith(".onnx") and path.isprintable() and not path.startswith("-") and "://" not in path
    quoted = shlex.quote(path)
    cells = len(quoted) * (1 if path.isascii() else 2)  # at most
    return quoted if plain and (longest is None or cells <= longest) else _ANY


def rows_note(report: Report, rows: Sequence[LayerReport | Gap]) -> str:
    """Say which part of the network's layers the rows are, empty if all of them."""
    shown, layers = sum(isinstance(row, LayerReport) for row in rows), len(report.layers)
    pattern = report.settings.layers
    notes = (
        "" if shown == layers else f"{shown} of {counted(layers, 'layer')} shown, --all shows every one",
        ""
        if pattern is None
        else f"only layers matching {said(pattern)}; network figures are over all layers",
    )
    return "; ".join(filter(None, notes))


def _worth_showing(report: Report) -> set[int]:
    layers = report.layers
    named = {finding.layer for finding in report.findings if finding.severity != "note"}
    odd = [i for i, layer in enumerate(layers) if layer.name in named or remark(layer)]
    figures = [layer.neural_persistence.normalized for layer in layers]
    ranked = sorted((value, i) for i, value in enumerate(figures) if defined(value))
    extreme = [i for _, i in (*ranked[:_EXTREME], *ranked[-_EXTREME:])]
    limiting = sorted((-bars, i) for i, layer in enumerate(layers) if (bars := limited_bars([layer])))
    narrow = [i for _, i in limiting[:_EXTREME]]
    ends = (*range(_FIRST), *range(len(layers) - _LAST, len(layers)))
    return {*ends, *odd[:_ODD], *extreme, *narrow}


def _between(layers: Sequence[LayerReport]) -> list[LayerReport | Gap]:
    """Fold neighbouring layers into a gap; one alone takes no more room as itself."""
    if len(layers) < 2:
        return list(layers)
    some = known(layer.neural_persistence.normalized for layer in layers)
    parameters = sum(layer.parameters for layer in layers)
    ends = min(some, default=None), max(some, default=None)
    return [Gap(len(layers), parameters, *ends, limited_bars(layers))]
