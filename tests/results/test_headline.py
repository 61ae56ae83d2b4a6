"""A headline says in plain words what is to be thought of a model, and no more than was looked at."""

from dataclasses import replace
from typing import Any

import pytest

from onnxtop.glossary.untrained import TOO_SMALL
from onnxtop.results.headline import Headline, Tone, headline_of, headline_of_run
from onnxtop.results.outcome import FailedModel, Result
from onnxtop.results.report import Coverage, Finding, LayerReport, NotRun, Report, RulesRun, SkippedWeight
from onnxtop.statistics.facts import Exchangeability
from tests.render.conftest import build_layer, build_report

CANNOT = "cannot tell whether it was trained"


def layer(exchangeable: bool | None, **changes: Any) -> LayerReport:
    return build_layer(exchangeability=Exchangeability(exchangeable, **changes))


TRAINED, FLAT, SMALL = layer(False), layer(True), layer(None, reason=TOO_SMALL)


def found(*findings: tuple[str, str], known: bool = False) -> tuple[Finding, ...]:
    return tuple(Finding(rule, severity, None, "odd", "00", known) for rule, severity in findings)


def model(*layers: LayerReport, findings: tuple[Finding, ...] = (), **changes: Any) -> Report:
    return build_report(*(layers or (TRAINED,)), findings=findings, **changes)


def set_to(**changes: Any) -> Any:
    return replace(build_report().settings, **changes)


ERRORS = found(("OT101", "error"), ("OT101", "error"), ("OT201", "warning"), ("OT107", "note"))
HALF = Coverage(400, 200, 0.5, 0, 0, 0, 0, 400, {}, (SkippedWeight("w", "Odd", "why", 200),))
NEARLY = Coverage(3000, 2999, 2999 / 3000, 0, 0, 0, 0, 3000, {}, (SkippedWeight("w", "Odd", "why", 1),))
BARELY = Coverage(3000, 1, 1 / 3000, 0, 0, 0, 0, 3000, {}, (SkippedWeight("w", "Odd", "why", 2999),))
ALL_SKIPPED = Coverage(9, 0, 0.0, 0, 0, 0, 0, 9, {}, (SkippedWeight("w", "Odd", "why", 9),))
SOME_RULES = RulesRun(("OT101",), (NotRun("OT102", "not selected"), NotRun("OT208", "not selected")))

MODELS: dict[str, tuple[Result, Tone, str]] = {
    "well": (model(TRAINED, SMALL), Tone.GOOD, "trained; nothing wrong found"),
    "notes": (model(findings=found(("OT107", "note"))), Tone.GOOD, "trained; nothing wrong found"),
    "known": (
        model(findings=found(("OT101", "error"), known=True)), Tone.GOOD, "trained; nothing new found"
    ),
    "errors": (model(findings=ERRORS), Tone.BAD, "2 errors, 1 warning; trained"),
    "a warning": (model(findings=found(("OT201", "warning"))), Tone.DOUBT, "1 warning; trained"),
    "untrained": (model(FLAT, findings=found(("OT208", "error"))), Tone.BAD, "looks untrained"),
    "untrained and known": (
        model(FLAT, findings=found(("OT208", "error"), known=True)), Tone.BAD, "looks untrained"
    ),
    "untrained and more": (
        model(FLAT, findings=found(("OT208", "error"), ("OT101", "error"))), Tone.BAD,
        "looks untrained; beside that 1 error"
    ),
    "small by chance": (
        model(*[layer(False, reason=TOO_SMALL)] * 4, *[SMALL] * 396), Tone.DOUBT,
        f"{CANNOT}: no layer is large enough to tell from chance; nothing wrong found"
    ),
    "small not by chance": (
        model(layer(False, reason=TOO_SMALL), *[SMALL] * 3), Tone.GOOD, "trained; nothing wrong found"
    ),
    "too small": (
        model(SMALL), Tone.DOUBT,
        f"{CANNOT}: no layer is large enough to tell from chance; nothing wrong found"
    ),
    "too small, but moved": (
        model(layer(None, bias_moved=True)), Tone.DOUBT,
        f"{CANNOT}: no layer is large enough to tell from chance; nothing wrong found"
    ),
    "half of it": (model(TRAINED, FLAT, SMALL), Tone.GOOD, "trained; nothing wrong found"),
    "less than half": (
        model(TRAINED, FLAT, FLAT), Tone.DOUBT, f"{CANNOT}: only 1 of 3 layers show it; nothing wrong found"
    ),
    "no structure": (model(FLAT), Tone.DOUBT, f"{CANNOT}: no layer shows it; nothing wrong found"),
    "only fixed ones show it": (
        model(replace(TRAINED, probably_fixed="a window"), FLAT), Tone.DOUBT,
        f"{CANNOT}: no layer shows it; nothing wrong found"
    ),
    "made by hand": (
        model(replace(TRAINED, probably_fixed="a window")), Tone.DOUBT,
        f"{CANNOT}: its layers look made, not learned; nothing wrong found"
    ),
    "quick": (
        model(build_layer(), settings=set_to(structure=False)), Tone.DOUBT,
        f"{CANNOT}: --quick does not look; nothing wrong found"
    ),
    "a warning, and too small": (
        model(SMALL, findings=found(("OT201", "warning"))), Tone.DOUBT, f"1 warning; {CANNOT}"
    ),
    "only read": (
        model(build_layer(), settings=set_to(topology=False)), Tone.DOUBT,
        "the weights were read, not measured"
    ),
    "half read": (
        model(coverage=HALF), Tone.GOOD,
        "trained; nothing wrong found in the weights that could be read (50 %)"
    ),
    "nearly all read": (
        model(coverage=NEARLY), Tone.GOOD,
        "trained; nothing wrong found in the weights that could be read (99.9 %)"
    ),
    "hardly read": (
        model(coverage=BARELY), Tone.GOOD,
        "trained; nothing wrong found in the weights that could be read (less than 0.1 %)"
    ),
    "some layers": (
        model(settings=set_to(layers="fc")), Tone.GOOD,
        "trained; nothing wrong found in the layers that were asked for"
    ),
    "some rules": (
        model(rules=SOME_RULES), Tone.GOOD, "trained; nothing wrong found by the 1 rule that ran"
    ),
    "skipped": (
        build_report(coverage=ALL_SKIPPED), Tone.DOUBT,
        "nothing to analyse: 1 weight tensor (9 parameters), every one skipped"
    ),
    "incomparable": (
        model(findings=found(("OT500", "error"))), Tone.BAD, "cannot be compared with its baseline"
    ),
    "broken": (FailedModel("a.onnx", 3, "it is cut off"), Tone.BAD, "not analysed: it is cut off"),
    "empty": (FailedModel("a", 4, "no .onnx file"), Tone.DOUBT, "nothing to analyse: no .onnx file"),
    "late": (FailedModel("b", 130, "not reached"), Tone.BAD, "not analysed: not reached"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_headline_of_a_model(name: str) -> None:
    result, tone, words = MODELS[name]
    assert headline_of(result) == Headline(tone, words)
    assert headline_of_run([result]) == headline_of(result)


def test_a_warning_that_fails_is_bad_news() -> None:
    result, _, words = MODELS["a warning"]
    assert headline_of(result, "warning") == Headline(Tone.BAD, words)
    assert headline_of(MODELS["errors"][0], "never").tone is Tone.BAD


def test_many_models_are_counted_the_worst_first() -> None:
    results = [MODELS[name][0] for name in ("well", "errors", "notes", "untrained", "broken", "too small")]
    assert headline_of_run(results) == Headline(
        Tone.BAD,
        "6 models: 1 not analysed, 1 looking untrained, 1 with errors, 1 not known to be trained, "
        "2 trained with nothing wrong found",
    )


def test_a_run_is_as_good_as_its_worst_model() -> None:
    good, doubt = MODELS["well"][0], MODELS["too small"][0]
    assert headline_of_run([good, good]) == Headline(
        Tone.GOOD, "2 models: 2 trained with nothing wrong found"
    )
    assert headline_of_run([good, doubt, good]).tone is Tone.DOUBT
    assert headline_of_run([]) == Headline(Tone.DOUBT, "nothing to analyse: no model")
