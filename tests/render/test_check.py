"""What ``check`` tells people: failures first, nothing to analyse is no pass, the summary of a job fits."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest

from onnxtop.render import RenderOptions, render
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import Coverage, Finding, NotRun, Report, RulesRun

Make = Callable[..., Any]
NOTHING = Coverage(0, 0, None, 0, 0, 0, 0, 0)
LIMIT = 1024 * 1024
"""Bytes of a job summary on GitHub."""


def error(number: int = 1, message: str = "odd", layer: str | None = None) -> Finding:
    return Finding("OT101", "error", layer, message, f"{number:016x}")


@pytest.fixture
def models(report: Make, layer: Make) -> list[Any]:
    """Return one model of each verdict, the good ones first."""
    other = Finding("OT500", "error", None, "other settings", "00")
    note = Finding("OT107", "note", None, "a note", "00")
    return [
        report(layer(), path="good.onnx", findings=(note,)),
        report(path="empty.onnx", coverage=NOTHING),
        FailedModel("late.onnx", 130, "not reached"),
        FailedModel("cut.onnx", 3, "cut off"),
        report(layer(), path="other.onnx", findings=(other,)),
        report(layer(), path="bad.onnx", findings=(error(),)),
    ]


def order(text: str) -> list[str]:
    return re.findall(r"\b(\w+)\.onnx", text)


def test_the_terminal_tells_failures_first(models: list[Any]) -> None:
    text = render("check", "terminal", models)
    assert list(dict.fromkeys(order(text))) == ["bad", "other", "cut", "late", "empty", "good"]
    words = re.findall(r"^(\w{4})  \w+\.onnx  (.*)$", text, re.M)
    assert words == [
        ("FAIL", "1 error; cannot tell whether it was trained"),
        ("FAIL", "cannot be compared with its baseline"),
        ("LOST", "not analysed"),
        ("STOP", "interrupted"),
        ("none", "nothing to analyse"),
        ("pass", "cannot tell whether it was trained: no layer is large enough t…"),
    ]
    assert "the model has no weight tensors" in text
    assert "1 rule not run: no baseline\n" in text
    assert "incomplete: interrupted, 1 of 6 models not done\n" in text
    counts = "1 failed, 1 incomparable, 1 not analysed, 1 interrupted, 1 nothing to analyse, 1 passed"
    assert " ".join(text.split()).endswith(f"6 models: {counts}")


def test_many_models_that_tell_nothing_are_counted(report: Make) -> None:
    empty = [report(path=f"{number}.onnx", coverage=NOTHING) for number in range(20)]
    text = render("check", "terminal", empty)
    assert "and 8 more like this; --all names every one" in text
    assert text.endswith("20 models: 20 nothing to analyse\n")
    assert "more like this" not in render("check", "terminal", empty, RenderOptions(all_rows=True))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_page(models: list[Any], hostile_report: Report, width: int) -> None:
    text = render("check", "terminal", [*models, hostile_report], RenderOptions(width=width))
    assert all(line.isprintable() for line in text.splitlines())
    long = [dataclasses.replace(models[0], model=dataclasses.replace(models[0].model, path="p" * 300))]
    assert max(map(len, render("check", "terminal", long, RenderOptions(width=width)).splitlines())) <= width


# The summary of a job


def table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_a_summary_starts_with_the_verdict_and_one_table(models: list[Any]) -> None:
    text = render("check", "markdown", models)
    assert text.splitlines()[0] == "## ❌ onnxtop check: interrupted"
    assert text.splitlines()[2].startswith("**6 models: 1 failed, ")
    assert "**incomplete: interrupted, 1 of 6 models not done**" in text
    head, _, *rows = table(text)
    assert head == ["", "model", "verdict", "errors", "warnings", "first finding"]
    assert [row[1:] for row in rows] == [
        ["`bad.onnx`", "failed", "1", "0", "OT101 odd"],
        ["`other.onnx`", "incomparable", "1", "0", "OT500 other settings"],
        ["`cut.onnx`", "not analysed", "", "", "cut off"],
        ["`late.onnx`", "interrupted", "", "", "not reached"],
        ["`empty.onnx`", "nothing to analyse", "0", "0", "the model has no weight tensors"],
        ["`good.onnx`", "passed", "0", "0", ""],
    ]
    assert re.findall(r"<summary>(.*)</summary>", text) == [
        "<code>bad&#46;onnx</code>: 1 error",
        "<code>other&#46;onnx</code>: 1 error",
    ]


def test_a_summary_of_models_that_pass_is_short(report: Make, layer: Make) -> None:
    rules = RulesRun(("OT101",), (NotRun("OT201", "--quick"),))
    text = render("check", "markdown", [report(layer(), path="a.onnx", rules=rules)])
    assert text.splitlines()[0] == "## ✅ onnxtop check: passed"
    assert "1 rule not run" in text
    assert "<details>" not in text


def test_a_run_without_weights_has_not_passed(report: Make) -> None:
    text = render("check", "markdown", [report(path="empty.onnx", coverage=NOTHING)])
    assert text.splitlines()[0] == "## ⚪ onnxtop check: nothing to analyse"
    assert "passed" not in text
    assert "✅" not in text


@pytest.mark.parametrize(("many", "findings", "length"), [(150, 60, 200), (60, 20, 2_000), (1500, 3, 400)])
def test_a_summary_stays_below_the_limit_and_counts_what_is_cut(
    report: Make, layer: Make, many: int, findings: int, length: int
) -> None:
    """With --all too, which lists every finding of a model that is told at all."""
    found = tuple(error(number, "ü" * length, f"layer {number}") for number in range(findings))
    reports = [report(layer(), path=f"{'long/' * 20}{number}.onnx", findings=found) for number in range(many)]
    texts = [
        render("check", "markdown", reports, RenderOptions(all_rows=all_rows)) for all_rows in (False, True)
    ]
    for text in texts:
        assert len(text.encode()) < LIMIT
        shown = len(table(text)) - 2
        told = text.count("<details>")
        assert text.count("</details>") == told > 0
        left_out = re.findall(
            r"^([\d,]+) more models left out here, ([\d,]+) of them did not pass", text, re.M
        )
        assert sum(int(count.replace(",", "")) for count, _ in left_out) == many - shown
        cut = re.findall(r"^Findings of ([\d,]+) more models left out", text, re.M)
        assert sum(int(count.replace(",", "")) for count in cut) == many - told
    assert f"- and {findings - 20} more" in texts[0] or findings <= 20


def test_a_giant_among_the_models_hides_no_other(report: Make, layer: Make) -> None:
    giant = report(layer("g" * LIMIT), path="a.onnx", findings=(error(layer="g" * LIMIT),))
    text = render("check", "markdown", [giant, report(layer(), path="b.onnx", findings=(error(),))])
    assert len(text.encode()) < LIMIT
    assert text.count("<details>") == 2


def test_hostile_names_mean_nothing_to_markdown(hostile_report: Report) -> None:
    text = render("check", "markdown", [hostile_report])
    outside = re.sub(r"`[^`\n]*`", "", text)
    for word in ("<img", "@octocat", "www.example", "[red]", "\x1b"):
        assert word not in outside
    assert len(table(text)) == 3
    assert all(len(row) == 6 for row in table(text))
