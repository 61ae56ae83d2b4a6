"""The report as Markdown: a section a model."""

from collections.abc import Iterator, Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.markdown import code, listed, prose, row, table
from onnxtop.render.report import columns as named, facts
from onnxtop.render.text import TIMES, figure
from onnxtop.results.headline import headline_of
from onnxtop.results.outcome import FailedModel, Result
from onnxtop.results.report import Finding, LayerReport, Report
from onnxtop.results.words import counted, severities

_SIZE = f"in {TIMES} out"

_WORDS = ("layer", "op", "note")
"""Columns of the table that hold words."""


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render a section a model."""
    sections = ["\n".join(_section(result, options)) + "\n" for result in results]
    told = facts.incomplete(results)
    return "\n".join([*([f"**{told}**\n"] if told else []), *sections])


def _section(result: Result, options: RenderOptions) -> Iterator[str]:
    if isinstance(result, FailedModel):
        yield from (f"## {code(result.path)}", "", f"**Not analysed:** {prose(result.message)}")
        return
    yield from (
        f"## {code(result.model.path)}",
        "",
        f"**{prose(headline_of(result, options.fail_on).words)}**",
        "",
    )
    yield from _facts(result)
    yield from (("", *_network(result), "") if result.settings.topology else ("",))
    yield from _table(result, options)
    yield from _skipped(result, options)
    yield from _findings(result, options)


def _facts(report: Report) -> Iterator[str]:
    for side, port in facts.ports(report):
        yield f"- {side.capitalize()}: {code(port)}"
    yield f"- Made by: {prose(', '.join(facts.made_by(report)))}"
    yield f"- Size: {', '.join(facts.size(report))}"
    yield f"- Weights: {prose('; apart: '.join(_weights(report)))}"
    if report.settings.topology:
        yield f"- Settings: {prose(', '.join(facts.settings(report)))}"


def _weights(report: Report) -> list[str]:
    apart = ", ".join(facts.apart(report.coverage))
    return [facts.analysed(report.coverage), *([apart] if apart else [])]


def _network(report: Report) -> Iterator[str]:
    network = report.network.neural_persistence
    reason = f" ({prose(network.reason)})" if network.reason else ""
    mean, whole = figure(network.mean_normalized), ", ".join(facts.whole(report))
    yield f"**Network:** mean normalized neural persistence (NP) {mean}, {whole}{reason}"
    if report.coverage.parameters_analysed:
        yield from ("", f"**Deep graph persistence:** {prose('; '.join(facts.deep_graph(report)))}")
    for line in facts.loss(report):
        yield from ("", f"**On data:** {prose(line)}")


def _table(report: Report, options: RenderOptions) -> Iterator[str]:
    if not report.layers:
        yield f"**{prose(facts.nothing(report))}**"
        return
    rows = facts.chosen_rows(report, options.all_rows)
    extra = named.asked_for(options.columns)
    titles = ["layer", *named.chosen(options.columns, _usual(report)), "note"]
    columns = {title: ":--" if title in (*_WORDS, *named.WORDS) else "--:" for title in titles}
    cells = (_layer(each, extra) if isinstance(each, LayerReport) else _gap(each) for each in rows)
    lines = [row(each.get(title, "") for title in columns) for each in cells]
    note = facts.rows_note(report, rows)
    summary = counted(len(report.layers), "layer")
    yield from table(columns, lines, summary, f"{prose(note)}." if note else "")


def _usual(report: Report) -> list[str]:
    """Return the titles of the columns that are there where no others are asked for."""
    null = any(each.neural_persistence.z is not None for each in report.layers)
    measured = ("NP", "total", *(("z", "excess") if null else ()))
    figures = measured if report.settings.topology else ("encoding", "uses")
    bars = ["bars"] if facts.limited_bars(report.layers) is not None else []
    return ["op", _SIZE, "weights", *figures, *bars]


def _layer(layer: LayerReport, extra: Sequence[str]) -> dict[str, str]:
    persistence = layer.neural_persistence
    values = named.values(layer) if extra else {}
    return {
        "layer": code(layer.name),
        "op": code(layer.op_type),
        _SIZE: f"{layer.n_in} {TIMES} {layer.n_out}",
        "weights": f"{layer.parameters:,}",
        "encoding": code(layer.encoding),
        "uses": str(len(layer.uses)),
        "NP": figure(persistence.normalized),
        "total": figure(persistence.total),
        "z": facts.z_told(persistence),
        "excess": facts.excess_told(persistence),
        "bars": facts.bars_told(facts.limited_bars([layer])),
        "note": prose(facts.remark(layer)),
        **{name: _value(name, named.told(values[name])) for name in extra},
    }


def _value(name: str, told: str) -> str:
    return code(told) if told and name in named.WORDS else told


def _gap(gap: facts.Gap) -> dict[str, str]:
    return {
        "layer": f"*{gap.layers:,} layers left out*",
        "weights": f"{gap.parameters:,}",
        "NP": f"{figure(gap.low)} to {figure(gap.high)}",
        "bars": facts.bars_told(gap.bars),
    }


def _skipped(report: Report, options: RenderOptions) -> Iterator[str]:
    groups = facts.skipped_groups(report.coverage.skipped)
    if not groups:
        return
    yield from ("", f"**Skipped:** {counted(len(report.coverage.skipped), 'weight tensor')}", "")
    lines = [
        f"- {group.tensors:,} {TIMES} {code(group.op_type)}, {counted(group.parameters, 'parameter')}: "
        f"{prose(group.reason)}"
        for group in groups
    ]
    yield from listed(lines, options)


def _findings(report: Report, options: RenderOptions) -> Iterator[str]:
    if report.findings:
        yield from ("", f"**Findings:** {severities(report.findings)}", "")
        yield from listed([finding_line(each) for each in facts.by_severity(report.findings)], options)
    if told := facts.unchecked([report]):
        yield from ("", prose("; ".join(told)))


def finding_line(finding: Finding) -> str:
    """Write an entry of the list of findings."""
    place = f" {code(finding.layer)}" if finding.layer is not None else ""
    return f"- **{finding.severity}** {prose(finding.rule)}{place}: {prose(finding.message)}"
