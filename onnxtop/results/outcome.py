"""What became of a model and of a run: the one verdict that exit codes and every format read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from onnxtop.reader.address import called

if TYPE_CHECKING:
    from onnxtop.results.report import Finding, Report

INTERRUPTED = 130
"""The exit code of a run that was stopped before its end."""

_FAILING = {"error": ("error",), "warning": ("error", "warning"), "never": ()}


@dataclass(frozen=True)
class FailedModel:
    """A model that could not be analysed; ``code`` is the exit code that this failure alone would give.

    Of an address ``path`` shows no password, as everywhere.
    """

    path: str
    code: int
    message: str

    def __post_init__(self) -> None:
        """Leave out of an address what is not shown."""
        object.__setattr__(self, "path", called(self.path))


Result: TypeAlias = "Report | FailedModel"


class Outcome(StrEnum):
    """A verdict. That of a run is the first of these that any of its models has.

    So a run has nothing to analyse only if that is so of each model, and a model without anything to analyse
    has never passed.
    """

    INTERRUPTED = "interrupted"
    NOT_ANALYSED = "not analysed"
    INCOMPARABLE = "incomparable"
    FAILED = "failed"
    NOT_JUDGED = "not judged"
    PASSED = "passed"
    NOTHING = "nothing to analyse"


_CODES: Mapping[Outcome, int] = {
    Outcome.INTERRUPTED: INTERRUPTED,
    Outcome.INCOMPARABLE: 3,
    Outcome.FAILED: 1,
    Outcome.NOT_JUDGED: 0,
    Outcome.PASSED: 0,
    Outcome.NOTHING: 4,
}

_ORDER = (INTERRUPTED, 2, 5, 3, 1, 0, 4)
"""The first of these that any model has is the exit code of a run."""


@dataclass(frozen=True)
class ModelCounts:
    """What was found in a model; findings that are ``known`` are counted there alone."""

    errors: int
    warnings: int
    notes: int
    known: int
    rules_run: int
    rules_not_run: int


@dataclass(frozen=True)
class RunCounts:
    """Models by their verdict, and what was found in all of them.

    A rule has run if it has on any model, and has not if there is any on which it has not.
    """

    models: int
    passed: int
    failed: int
    not_judged: int
    incomparable: int
    not_analysed: int
    nothing_to_analyse: int
    interrupted: int
    errors: int
    warnings: int
    notes: int
    known: int
    rules_run: int
    rules_not_run: int


def path_of(result: Result) -> str:
    """Return the path of a model, analysed or not."""
    return result.path if isinstance(result, FailedModel) else result.model.path


def fails(finding: "Finding", fail_on: str | None) -> bool:
    """Tell whether a finding fails a run with this ``--fail-on``; errors do where that was not said."""
    return finding.severity in _FAILING[fail_on or "error"] and not finding.known


def verdict_of(result: Result, fail_on: str | None) -> Outcome:
    """Return the verdict of a model.

    One that cannot be compared with its baseline is incomparable, whatever else was found. Without weights,
    without a layer that was asked for, or if no rule ran though findings count, nothing was analysed. Weights
    that were only read, and not measured, are not judged.
    """
    if isinstance(result, FailedModel):
        special = {INTERRUPTED: Outcome.INTERRUPTED, _CODES[Outcome.NOTHING]: Outcome.NOTHING}
        return special.get(result.code, Outcome.NOT_ANALYSED)
    if any(finding.rule == "OT500" for finding in result.findings):
        return Outcome.INCOMPARABLE
    if any(fails(finding, fail_on) for finding in result.findings):
        return Outcome.FAILED
    ruled = result.rules.run or fail_on == "never"
    if not (ruled and result.coverage.parameters_analysed and result.layers):
        return Outcome.NOTHING
    return Outcome.PASSED if result.settings.topology else Outcome.NOT_JUDGED


def verdict_of_run(results: Iterable[Result], fail_on: str | None) -> Outcome:
    """Return the verdict of a run; one without models had nothing to analyse."""
    verdicts = {verdict_of(result, fail_on) for result in results}
    return next((each for each in Outcome if each in verdicts), Outcome.NOTHING)


def code_of(result: Result, fail_on: str | None) -> int:
    """Return the exit code of one model."""
    return result.code if isinstance(result, FailedModel) else _CODES[verdict_of(result, fail_on)]


def exit_code(codes: Iterable[int]) -> int:
    """Return the exit code of a run from those of its models."""
    found = set(codes)
    return next((code for code in _ORDER if code in found), _CODES[Outcome.NOTHING])


def counts_of(report: "Report") -> ModelCounts:
    """Count what was found in a model."""
    new = [finding.severity for finding in report.findings if not finding.known]
    return ModelCounts(
        errors=new.count("error"),
        warnings=new.count("warning"),
        notes=new.count("note"),
        known=len(report.findings) - len(new),
        rules_run=len(report.rules.run),
        rules_not_run=len(report.rules.not_run),
    )


def counts_of_run(results: Sequence[Result], fail_on: str | None) -> RunCounts:
    """Count models by their verdict, and findings."""
    verdicts = [verdict_of(result, fail_on) for result in results]
    reports = [result for result in results if not isinstance(result, FailedModel)]
    counts = [counts_of(report) for report in reports]
    return RunCounts(
        models=len(results),
        **{each.replace(" ", "_"): verdicts.count(each) for each in Outcome},
        errors=sum(each.errors for each in counts),
        warnings=sum(each.warnings for each in counts),
        notes=sum(each.notes for each in counts),
        known=sum(each.known for each in counts),
        rules_run=len({code for report in reports for code in report.rules.run}),
        rules_not_run=len({each.rule for report in reports for each in report.rules.not_run}),
    )
