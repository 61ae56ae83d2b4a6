"""What is to be thought of a model, in one line of plain words: what every page for people begins with.

It claims no more than was looked at: of which part of the weights, in which layers, and by which rules.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from onnxtop.options import said
from onnxtop.results.outcome import FailedModel, Outcome, Result, fails, path_of, verdict_of
from onnxtop.results.report import (
    IGNORED,
    LOOKS_UNTRAINED,
    NOT_SELECTED,
    SWITCHED_OFF,
    Finding,
    Report,
)
from onnxtop.results.words import counted, severities, share


class Tone(StrEnum):
    """Whether a headline is good news."""

    GOOD = "good"
    DOUBT = "doubt"
    BAD = "bad"


@dataclass(frozen=True)
class Headline:
    """A verdict in plain words."""

    tone: Tone
    words: str


class _Kind(StrEnum):
    """What a headline says of one model among many, the worst first."""

    NOT_ANALYSED = "not analysed"
    INTERRUPTED = "not done"
    INCOMPARABLE = "not comparable with the baseline"
    UNTRAINED = "looking untrained"
    ERRORS = "with errors"
    FAILED = "with findings that fail"
    WARNINGS = "with warnings"
    UNSURE = "not known to be trained"
    NOTHING = "with nothing to analyse"
    READ = "read and not judged"
    GOOD = "trained with nothing wrong found"


_DOUBTFUL = (_Kind.WARNINGS, _Kind.UNSURE, _Kind.NOTHING, _Kind.READ)

_NOT_BY_CHANCE = 0.25
"""Share of small layers with structure from which on that is not chance: of random ones about 1 % have."""

_KINDS = {
    Outcome.NOT_ANALYSED: _Kind.NOT_ANALYSED,
    Outcome.INTERRUPTED: _Kind.INTERRUPTED,
    Outcome.INCOMPARABLE: _Kind.INCOMPARABLE,
    Outcome.NOTHING: _Kind.NOTHING,
}
"""Verdicts that say all there is to say."""


def headline_of(result: Result, fail_on: str | None = None) -> Headline:
    """Return the headline of one model; ``fail_on`` says which findings are failures."""
    kind = _kind(result, fail_on)
    return Headline(_tone(kind), _words(kind, result))


def headline_of_run(results: Sequence[Result], fail_on: str | None = None) -> Headline:
    """Return the headline of a run: that of its one model, or its models by what is to be thought of them."""
    if not results:
        return Headline(Tone.DOUBT, f"{Outcome.NOTHING}: no model")
    if len(results) == 1:
        return headline_of(results[0], fail_on)
    kinds = Counter(_kind(result, fail_on) for result in results)
    told = ", ".join(f"{kinds[kind]:,} {kind}" for kind in _Kind if kinds[kind])
    return Headline(_tone(min(kinds, key=list(_Kind).index)), f"{counted(len(results), 'model')}: {told}")


def worst_first(results: Iterable[Result], fail_on: str | None = None) -> list[Result]:
    """Return results in the order in which somebody should look at them, then by path."""
    order = list(_Kind)
    return sorted(results, key=lambda each: (order.index(_kind(each, fail_on)), path_of(each)))


def _kind(result: Result, fail_on: str | None) -> _Kind:
    if kind := _KINDS.get(verdict_of(result, fail_on)):
        return kind
    assert isinstance(result, Report)  # a failed model has one of the verdicts above
    new = _new(result)
    if any(each.rule == LOOKS_UNTRAINED for each in result.findings):
        return _Kind.UNTRAINED
    for severity, kind in (("error", _Kind.ERRORS), ("warning", _Kind.WARNINGS)):
        if any(each.severity == severity for each in new):
            failed = severity != "error" and any(fails(each, fail_on) for each in new)
            return _Kind.FAILED if failed else kind
    if not result.settings.topology:
        return _Kind.READ
    return _Kind.UNSURE if _doubt(result) else _Kind.GOOD


def _tone(kind: _Kind) -> Tone:
    return Tone.GOOD if kind is _Kind.GOOD else Tone.DOUBT if kind in _DOUBTFUL else Tone.BAD


def _words(kind: _Kind, result: Result) -> str:
    if isinstance(result, FailedModel):
        return f"{Outcome.NOTHING if kind is _Kind.NOTHING else Outcome.NOT_ANALYSED}: {result.message}"
    if kind is _Kind.NOTHING:
        return f"{Outcome.NOTHING}: {why_nothing(result)}"
    if kind is _Kind.INCOMPARABLE:
        return "cannot be compared with its baseline"
    if kind is _Kind.UNTRAINED:
        others = severities([each for each in _worse(result) if each.rule != LOOKS_UNTRAINED])
        return f"looks untrained; beside that {others}" if others else "looks untrained"
    problems, doubt = severities(_worse(result)), _doubt(result)
    if not result.settings.topology:
        return "; ".join(filter(None, (problems, "the weights were read, not measured")))
    training = "cannot tell whether it was trained" if doubt else "trained"
    if problems:
        return f"{problems}; {training}"
    told = f"{training}: {doubt}" if doubt else training
    return f"{told}; nothing {_wrong(result)} found{_where(result)}"


def _new(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if not finding.known]


def _worse(report: Report) -> list[Finding]:
    """Return the new findings that are more than a note."""
    return [finding for finding in _new(report) if finding.severity != "note"]


def _wrong(report: Report) -> str:
    return "new" if any(each.known for each in report.findings) else "wrong"


def _where(report: Report) -> str:
    """Say what "nothing" speaks of, where that is less than the whole model and all rules."""
    covered, total = report.coverage.parameters_analysed, report.coverage.parameters_total
    chosen = any(each.reason in (IGNORED, NOT_SELECTED, SWITCHED_OFF) for each in report.rules.not_run)
    limits = (
        f"by the {counted(len(report.rules.run), 'rule')} that ran" if chosen else "",
        "in the layers that were asked for" if report.settings.layers is not None else "",
        f"in the weights that could be read ({share(covered, total)})" if covered < total else "",
    )
    return "".join(f" {limit}" for limit in limits if limit)


def _doubt(report: Report) -> str:
    """Say why it cannot be told that a model was trained, which is not to say that it looks untrained.

    It was if at least half of the layers that can be judged have structure. Of layers that are too small z
    alone is asked, which can only find structure: among many it does by chance, so that few count for none.
    """
    layers = [each for each in report.layers if each.copy_of is None and each.probably_fixed is None]
    asked = [each.exchangeability for each in layers if each.exchangeability]
    small = [each.exchangeable for each in asked if each.is_small]
    verdicts = [each.exchangeable for each in asked if not each.is_small]
    if small.count(False) >= _NOT_BY_CHANCE * len(small):
        verdicts += small
    structured, judged = verdicts.count(False), len(verdicts) - verdicts.count(None)
    if judged and 2 * structured >= judged:
        return ""
    if not report.settings.structure:
        return "--quick does not look"
    if not layers:
        return "its layers look made, not learned"
    if not judged:
        return "no layer is large enough to tell from chance"
    return f"only {structured} of {counted(judged, 'layer')} show it" if structured else "no layer shows it"


def why_nothing(report: Report) -> str:
    """Say why there was nothing to analyse."""
    if report.coverage.parameters_analysed:
        pattern = report.settings.layers
        return "no rule ran" if report.layers else f"no layer name matches {said(pattern)}"
    skipped = len(report.coverage.skipped)
    if not skipped:
        return "the model has no weight tensors"
    lost = sum(weight.parameters for weight in report.coverage.skipped)
    return f"{counted(skipped, 'weight tensor')} ({counted(lost, 'parameter')}), every one skipped"
