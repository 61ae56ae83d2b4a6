"""Annotations of GitHub Actions: a workflow command a finding, the worst first.

GitHub shows ten errors, ten warnings and ten notices a step. A finding that is in the baseline already is a
notice.
"""

from collections.abc import Iterator, Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.report import facts
from onnxtop.render.report.places import SourcePlace, by_path, message_of, model_place, place_of, title_of
from onnxtop.render.text import visible
from onnxtop.results.outcome import FailedModel, Outcome, Result, verdict_of
from onnxtop.results.report import Finding, Report

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}

_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render a line a finding, and a line a model that could not be analysed or holds nothing to analyse."""
    return "".join(f"{line}\n" for result in by_path(results) for line in _lines(result, options.fail_on))


def _lines(result: Result, fail_on: str | None) -> Iterator[str]:
    if isinstance(result, FailedModel):
        verdict = verdict_of(result, fail_on)
        kind = "warning" if verdict is Outcome.NOTHING else "error"
        yield _command(kind, model_place(result.path), verdict, f"{result.path}: {result.message}")
        return
    if verdict_of(result, fail_on) is Outcome.NOTHING:
        told = f"{result.model.path}: {facts.nothing(result)}"
        yield _command("warning", model_place(result.model.path), Outcome.NOTHING, told)
    for finding in facts.by_severity(result.findings):
        yield _annotation(result, finding)


def _annotation(report: Report, finding: Finding) -> str:
    known = " (known: it is in the baseline)" if finding.known else ""
    command = "notice" if finding.known else _COMMANDS[finding.severity]
    message = f"{message_of(report, finding)}{known}"
    return _command(command, place_of(report, finding), title_of(finding.rule), message)


def _command(name: str, place: SourcePlace, title: str, message: str) -> str:
    properties = {"file": place.path, "line": str(place.line), "endLine": str(place.line), "title": title}
    told = ",".join(f"{key}={visible(value).translate(_PROPERTY)}" for key, value in properties.items())
    return f"::{name} {told}::{visible(message).translate(_DATA)}"
