"""GitHub-flavoured Markdown, fit for a pull-request comment.

Names are shown as code, where Markdown, HTML, mentions and links mean nothing.
"""

import re
from collections.abc import Iterator, Sequence

from onnxtop.render import FailedModel, RenderOptions, Result
from onnxtop.render.report import facts
from onnxtop.render.text import TIMES, counted, figure, visible
from onnxtop.results.report import Finding, LayerReport, Report

__all__ = ["render"]

_FOLDED = 15
"""A table with more rows than this starts folded."""

_LISTED = 20
"""At most so many findings or reasons are listed; ``all_rows`` lists all."""


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render a section a model."""
    return "\n".join("\n".join(_section(result, options)) + "\n" for result in results)


def _section(result: Result, options: RenderOptions) -> Iterator[str]:
    if isinstance(result, FailedModel):
        yield from (f"## {_code(result.path)}", "", f"**Not analysed:** {_prose(result.message)}")
        return
    yield from (f"## {_code(result.model.path)}", "")
    yield from _facts(result)
    yield from (("", *_network(result), "") if result.settings.topology else ("",))
    yield from _table(result, options)
    yield from _skipped(result, options)
    yield from _findings(result, options)


def _facts(report: Report) -> Iterator[str]:
    yield f"- Made by: {_prose(', '.join(facts.made_by(report)))}"
    yield f"- Size: {', '.join(facts.size(report))}"
    yield f"- Weights: {_prose('; apart: '.join(_weights(report)))}"
    if report.settings.topology:
        yield f"- Settings: {_prose(', '.join(facts.settings(report)))}"


def _weights(report: Report) -> list[str]:
    apart = ", ".join(facts.apart(report.coverage))
    return [facts.analysed(report.coverage), *([apart] if apart else [])]


def _network(report: Report) -> Iterator[str]:
    network = report.network.neural_persistence
    reason = f" ({_prose(network.reason)})" if network.reason else ""
    mean, total = figure(network.mean_normalized), figure(network.total)
    yield f"**Network:** mean normalized neural persistence (NP) {mean}, sum of totals {total}{reason}"
    if report.coverage.parameters_analysed:
        yield from ("", f"**Deep graph persistence:** {_prose('; '.join(facts.deep_graph(report)))}")
    for line in facts.loss(report):
        yield from ("", f"**On data:** {_prose(line)}")


def _table(report: Report, options: RenderOptions) -> Iterator[str]:
    if not report.layers:
        yield f"No layers: {_prose(facts.why_empty(report))}."
        return
    rows = facts.chosen_rows(report, options.all_rows)
    folded = len(rows) > _FOLDED
    if folded:
        yield from (f"<details><summary>{counted(len(report.layers), 'layer')}</summary>", "")
    bars = facts.limited_bars(report.layers) is not None
    figures = ("NP", "total") if report.settings.topology else ("encoding", "uses")
    titles = (*figures, "bars") if bars else figures
    yield f"| layer | op | in {TIMES} out | weights | {' | '.join(titles)} | note |"
    yield f"|:--|:--|--:|--:|{'--:|' * len(titles)}:--|"
    yield from (_row(row, report.settings.topology, bars) for row in rows)
    note = facts.rows_note(report, rows)
    yield from (("", f"{_prose(note)}.") if note else ())
    yield from (("", "</details>") if folded else ())


def _row(row: LayerReport | facts.Gap, measured: bool, bars: bool) -> str:
    return _layer(row, measured, bars) if isinstance(row, LayerReport) else _gap(row, bars)


def _layer(layer: LayerReport, measured: bool, bars: bool) -> str:
    persistence = layer.neural_persistence
    figures = (figure(persistence.normalized), figure(persistence.total))
    facts_of_reading = (_code(layer.encoding), str(len(layer.uses)))
    cells = (
        _code(layer.name),
        _code(layer.op_type),
        f"{layer.n_in} {TIMES} {layer.n_out}",
        f"{layer.parameters:,}",
        *(figures if measured else facts_of_reading),
        *([_count(facts.limited_bars([layer]))] if bars else []),
        _prose(facts.remark(layer)),
    )
    return f"| {' | '.join(cells)} |"


def _gap(gap: facts.Gap, bars: bool) -> str:
    known = f"{figure(gap.low)} to {figure(gap.high)}"
    limited = f" {_count(gap.bars)} |" if bars else ""
    return f"| *{gap.layers:,} layers left out* | | | {gap.parameters:,} | {known} | |{limited} |"


def _count(bars: int | None) -> str:
    return "" if bars is None else f"{bars:,}"


def _skipped(report: Report, options: RenderOptions) -> Iterator[str]:
    groups = facts.skipped_groups(report.coverage.skipped)
    if not groups:
        return
    yield from ("", f"**Skipped:** {counted(len(report.coverage.skipped), 'weight tensor')}", "")
    lines = [
        f"- {group.tensors:,} {TIMES} {_code(group.op_type)}, {counted(group.parameters, 'parameter')}: "
        f"{_prose(group.reason)}"
        for group in groups
    ]
    yield from _listed(lines, options)


def _findings(report: Report, options: RenderOptions) -> Iterator[str]:
    if report.findings:
        yield from ("", f"**Findings:** {facts.severities(report.findings)}", "")
        yield from _listed([_finding(each) for each in facts.by_severity(report.findings)], options)


def _finding(finding: Finding) -> str:
    place = f" {_code(finding.layer)}" if finding.layer is not None else ""
    return f"- **{finding.severity}** {_prose(finding.rule)}{place}: {_prose(finding.message)}"


def _listed(lines: list[str], options: RenderOptions) -> list[str]:
    if options.all_rows or len(lines) <= _LISTED:
        return lines
    return [*lines[:_LISTED], f"- and {len(lines) - _LISTED:,} more; --all lists every one"]


def _code(name: str) -> str:
    """Show a name as code; a span where that is safe, else HTML with everything odd as an entity."""
    shown = visible(name)
    if shown.strip() and not re.search(r"[`|\\]", shown):
        return f"`{shown}`"
    return f"<code>{''.join(c if c.isalnum() else f'&#{ord(c)};' for c in shown)}</code>"


def _prose(text: str) -> str:
    """Show a sentence as text: no markup, no HTML, no mention of a person or an issue."""
    return re.sub(r"[\\`*_{}\[\]<>|~&:!$]|[@#]|www(?=\.)", _harmless, visible(text))


def _harmless(match: re.Match[str]) -> str:
    """Write markup as an entity; part a mention or link from what it would refer to."""
    found = match[0]
    return f"{found}&#8203;" if found in ("@", "#", "www") else f"&#{ord(found)};"
