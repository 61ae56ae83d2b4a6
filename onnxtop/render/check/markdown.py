"""The answer of ``check`` as Markdown, for the summary of a job: the verdict, all models, then the failures.

GitHub takes a summary of at most 1 MiB. What does not fit is left out in whole lines, and counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, takewhile

from onnxtop.render import RenderOptions
from onnxtop.render.cells import elide
from onnxtop.render.check.verdicts import by_verdict, summed_up
from onnxtop.render.markdown import code, listed, prose, row
from onnxtop.render.report import facts
from onnxtop.render.report.markdown import finding_line
from onnxtop.results.headline import why_nothing
from onnxtop.results.outcome import FailedModel, Outcome, Result, counts_of, path_of, verdict_of_run
from onnxtop.results.report import Finding, Report
from onnxtop.results.words import counted, severities

_ROOM = 1_000_000
"""Bytes of the whole; the rest of 1 MiB is for what else the job has to say."""

_TABLE = 600_000
"""Bytes of the table of models."""

_SHORT = 160
"""Characters of a path or a finding in the table."""

_LONG = 1000
"""Characters of a name or a message elsewhere."""

_SIGNS: Mapping[Outcome, str] = {
    Outcome.FAILED: "❌",
    Outcome.INCOMPARABLE: "❌",
    Outcome.NOT_ANALYSED: "❌",
    Outcome.INTERRUPTED: "❌",
    Outcome.NOTHING: "⚪",
    Outcome.NOT_JUDGED: "⚪",
    Outcome.PASSED: "✅",
}


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render the verdict, a table of all models, failures first, and what was found in those that failed."""
    judged = by_verdict(results, options.fail_on)
    head = [*_head(results, options), *_table(judged)]
    room = _ROOM - _size(head)
    return "\n".join([*head, *_details(judged, options, room)]) + "\n"


def _head(results: Sequence[Result], options: RenderOptions) -> Iterator[str]:
    verdict = verdict_of_run(results, options.fail_on)
    yield f"## {_SIGNS[verdict]} onnxtop check: {verdict}"
    yield ""
    yield f"**{summed_up(results, options.fail_on)}**"
    if told := facts.incomplete(results):
        yield from ("", f"**{told}**")
    if told := "; ".join(facts.unchecked(results)):
        yield from ("", f"{prose(told)}")
    yield ""


def _table(judged: Sequence[tuple[Outcome, Result]]) -> Iterator[str]:
    yield "| | model | verdict | errors | warnings | first finding |"
    yield "|:--|:--|:--|--:|--:|:--|"
    rows = [_row(verdict, result) for verdict, result in judged]
    shown = _fitting(rows, _TABLE)
    yield from shown
    if left_out := [verdict for verdict, _ in judged[len(shown) :]]:
        bad = sum(verdict is not Outcome.PASSED for verdict in left_out)
        yield from (
            "",
            f"{counted(len(left_out), 'more model')} left out here, {bad:,} of them did not pass.",
        )
    yield ""


def _row(verdict: Outcome, result: Result) -> str:
    name = code(elide(path_of(result), _SHORT))
    if isinstance(result, FailedModel):
        return row((_SIGNS[verdict], name, verdict, "", "", prose(elide(result.message, _SHORT))))
    counts = counts_of(result)
    cells = _SIGNS[verdict], name, verdict, f"{counts.errors:,}", f"{counts.warnings:,}"
    return row((*cells, prose(elide(_first(verdict, result), _SHORT))))


def _first(verdict: Outcome, report: Report) -> str:
    """Say why there was nothing to analyse, or what was found first of what is worse than a note."""
    if verdict is Outcome.NOTHING:
        return why_nothing(report)
    new = [each for each in report.findings if not (each.known or each.severity == "note")]
    return next(map(_told, facts.by_severity(new)), "")


def _told(finding: Finding) -> str:
    where = "" if finding.layer is None else f"{finding.layer}: "
    return f"{finding.rule} {where}{finding.message}"


def _details(judged: Sequence[tuple[Outcome, Result]], options: RenderOptions, room: int) -> Iterator[str]:
    """Write a folded part for every model that did not pass and has findings, as long as there is room."""
    told = [result for verdict, result in judged if verdict is not Outcome.PASSED]
    parts = ["\n".join(_part(each, options)) for each in told if isinstance(each, Report) and each.findings]
    shown = _fitting(parts, room - _size([_left_out(len(parts))]))
    yield from shown
    if len(shown) < len(parts):
        yield _left_out(len(parts) - len(shown))


def _left_out(models: int) -> str:
    more = counted(models, "more model")
    return f"Findings of {more} left out: a summary holds 1 MiB; other formats hold all."


def _part(report: Report, options: RenderOptions) -> Iterator[str]:
    name = code(elide(report.model.path, _SHORT), in_html=True)
    yield f"<details><summary>{name}: {severities(report.findings)}</summary>"
    yield ""
    yield from listed([finding_line(_short(each)) for each in facts.by_severity(report.findings)], options)
    yield from ("", "</details>", "")


def _short(finding: Finding) -> Finding:
    """Cut names and messages that only a hostile file has."""
    layer = None if finding.layer is None else elide(finding.layer, _LONG)
    return replace(finding, layer=layer, message=elide(finding.message, _LONG))


def _size(lines: Sequence[str]) -> int:
    """Return the bytes of lines with their ends."""
    return sum(len(line.encode("utf-8", "backslashreplace")) + 1 for line in lines)


def _fitting(lines: Sequence[str], room: int) -> Sequence[str]:
    """Return the first lines that fit into so many bytes."""
    ends = accumulate(_size([line]) for line in lines)
    return lines[: sum(1 for _ in takewhile(lambda end: end <= room, ends))]
