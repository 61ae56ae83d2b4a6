"""One verdict of a model and of a run, and the exit code that goes with it."""

import dataclasses
import itertools
from typing import Any

import pytest

from onnxtop.results.outcome import (
    FailedModel,
    Outcome,
    Result,
    code_of,
    counts_of_run,
    exit_code,
    verdict_of,
    verdict_of_run,
)
from onnxtop.results.report import Coverage, Finding, NotRun, Report, RulesRun, SkippedWeight
from tests.render.conftest import build_layer, build_report


def finding(rule: str, severity: str, **changes: Any) -> Finding:
    return Finding(rule, severity, None, "odd", "00", **changes)


def with_findings(*findings: Finding, **changes: Any) -> Report:
    return build_report(build_layer(), findings=findings, **changes)


NOTHING = Coverage(0, 0, None, 0, 0, 0, 0, 0)
ALL_SKIPPED = Coverage(9, 0, 0.0, 0, 0, 0, 0, 9, {}, (SkippedWeight("w", "Odd", "why", 9),))

MODELS: dict[str, tuple[Result, Outcome, int]] = {
    "clean": (with_findings(), Outcome.PASSED, 0),
    "a note": (with_findings(finding("OT107", "note")), Outcome.PASSED, 0),
    "a warning": (with_findings(finding("OT102", "warning")), Outcome.PASSED, 0),
    "an error": (with_findings(finding("OT101", "error")), Outcome.FAILED, 1),
    "known": (with_findings(finding("OT101", "error", known=True)), Outcome.PASSED, 0),
    "no weights": (build_report(coverage=NOTHING), Outcome.NOTHING, 4),
    "all skipped": (build_report(coverage=ALL_SKIPPED), Outcome.NOTHING, 4),
    "no weights and NaN": (
        build_report(coverage=NOTHING, findings=(finding("OT109", "error"),)), Outcome.FAILED, 1
    ),
    "no weights, known": (
        build_report(coverage=NOTHING, findings=(finding("OT109", "error", known=True),)), Outcome.NOTHING, 4
    ),
    "no rule ran": (with_findings(rules=RulesRun((), (NotRun("OT501", "no baseline"),))), Outcome.NOTHING, 4),
    "only read": (
        with_findings(settings=dataclasses.replace(build_report().settings, topology=False)),
        Outcome.NOT_JUDGED, 0
    ),
    "no layer shown": (
        build_report(coverage=Coverage(9, 9, 1.0, 0, 0, 0, 0, 9)), Outcome.NOTHING, 4
    ),
    "incomparable": (
        with_findings(finding("OT500", "error"), finding("OT101", "error")), Outcome.INCOMPARABLE, 3
    ),
    "cut off": (FailedModel("bad.onnx", 3, "cut off"), Outcome.NOT_ANALYSED, 3),
    "mistaken": (FailedModel("bad.onnx", 2, "no such layer"), Outcome.NOT_ANALYSED, 2),
    "a bug": (FailedModel("bad.onnx", 5, "oops"), Outcome.NOT_ANALYSED, 5),
    "empty folder": (FailedModel("folder", 4, "no .onnx file"), Outcome.NOTHING, 4),
    "not reached": (FailedModel("late.onnx", 130, "not reached"), Outcome.INTERRUPTED, 130),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_verdict_and_the_code_of_a_model(name: str) -> None:
    result, verdict, code = MODELS[name]
    assert verdict_of(result, "error") is verdict
    assert verdict_of(result, None) is verdict
    assert code_of(result, "error") == code


@pytest.mark.parametrize(
    ("name", "fail_on", "verdict"),
    [
        ("a warning", "warning", Outcome.FAILED),
        ("a note", "warning", Outcome.PASSED),
        ("an error", "never", Outcome.PASSED),
        ("no rule ran", "never", Outcome.PASSED),
        ("no weights", "never", Outcome.NOTHING),
        ("incomparable", "never", Outcome.INCOMPARABLE),
    ],
)
def test_what_fails_is_for_the_caller_to_say(name: str, fail_on: str, verdict: Outcome) -> None:
    assert verdict_of(MODELS[name][0], fail_on) is verdict


ORDER = (130, 2, 5, 3, 1, 0, 4)


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(MODELS, 2)))
def test_a_mixed_run_has_the_first_code_that_applies(pair: tuple[str, str]) -> None:
    """And the verdict that goes with it: 4 only if no model had anything to analyse."""
    results = [MODELS[name][0] for name in pair]
    code = exit_code(code_of(result, "error") for result in results)
    assert code == min((MODELS[name][2] for name in pair), key=ORDER.index)
    verdict = verdict_of_run(results, "error")
    codes = {code for _, of, code in MODELS.values() if of is verdict}
    assert code in codes | ({3} if verdict is Outcome.NOT_ANALYSED else set())
    assert verdict in [MODELS[name][1] for name in pair]
    counts = dataclasses.asdict(counts_of_run(results, "error"))
    assert counts["models"] == 2 == sum(counts[each.replace(" ", "_")] for each in Outcome)


def test_a_run_without_models_has_nothing_to_analyse() -> None:
    assert verdict_of_run([], "error") is Outcome.NOTHING
    assert exit_code([]) == 4


def test_findings_are_counted_once() -> None:
    found = with_findings(
        finding("OT101", "error"), finding("OT102", "warning", known=True), finding("OT107", "note")
    )
    counts = counts_of_run([found, found, MODELS["cut off"][0]], "error")
    assert (counts.errors, counts.warnings, counts.notes, counts.known) == (2, 0, 2, 2)
    assert (counts.rules_run, counts.rules_not_run) == (4, 1)
