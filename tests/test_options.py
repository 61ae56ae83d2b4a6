"""An option is declared once, and everything else is made from it."""

import importlib
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

import click
import pytest

from onnxtop.auditing.options import AuditOptions, check_options, settings_of
from onnxtop.cli import VERBS
from onnxtop.comparison.options import CompareOptions
from onnxtop.errors import UsageError
from onnxtop.landscape.options import BarcodeOptions
from onnxtop.loss.options import ProbeOptions
from onnxtop.options import Option, check, declared, with_values
from onnxtop.results.diff import DiffSettings
from onnxtop.results.report import Settings
from onnxtop.rules.options import CheckOptions


@dataclass(frozen=True)
class Part:
    least: Annotated[int, Option("A count.", least=1)] = 3


@dataclass(frozen=True)
class Whole:
    word: Annotated[Literal["a", "b"], Option("A word.")] = "a"
    mixed: Annotated[Literal["all"] | float, Option("A word or a number.")] = "all"
    norm: Annotated[float, Option("A norm.", endless=True)] = 2.0
    switch: Annotated[bool, Option("A switch.")] = False
    text: Annotated[str | None, Option("A text.")] = None
    names: Annotated[Mapping[str, int], Option("Names.")] = field(default_factory=dict)
    hidden: int = 0
    part: Part = field(default_factory=lambda: Part(5))


def test_what_a_field_says_and_what_its_option_says() -> None:
    found = declared(Whole)
    assert list(found) == ["word", "mixed", "norm", "switch", "text", "names", "least"]
    assert (found["word"].choices, found["word"].default) == (("a", "b"), "a")
    assert (found["mixed"].choices, found["mixed"].is_measure) == (("all",), True)
    assert (found["text"].kind, found["names"].kind) == (str, Mapping[str, int])
    assert (found["least"].default, declared(Part)["least"].default) == (5, 3)
    assert declared(Whole(word="b"))["word"].default == "b"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("word", "b", "b"),
        ("mixed", "all", "all"),
        ("mixed", 2, 2.0),
        ("norm", math.inf, math.inf),
        ("switch", True, True),
        ("text", None, None),
        ("text", "x", "x"),
        ("least", 1, 1),
    ],
)
def test_values_as_they_are_meant(name: str, value: Any, kept: Any) -> None:
    assert declared(Whole)[name].checked(value) == kept


def test_infinity_is_a_word_where_options_are_written() -> None:
    norm = declared(Whole)["norm"]
    assert (norm.read("inf"), norm.read(3)) == (math.inf, 3.0)
    for wrong, found in (
        (math.inf, "wanted a number, found inf"),
        ("2", "wanted a number above 0, found '2'"),
    ):
        with pytest.raises(UsageError) as caught:
            norm.read(wrong)
        assert str(caught.value) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"word": "bb"}, "word: wanted one of a, b, found 'bb': did you mean b?"),
        ({"mixed": "some"}, "mixed: wanted a number above 0, found 'some'"),
        ({"mixed": math.inf}, "mixed: wanted a number, found inf"),
        ({"norm": 0}, "norm: wanted a number above 0, found 0"),
        ({"norm": "inf"}, "norm: wanted a number above 0, found 'inf'"),
        ({"switch": 1}, "switch: wanted true or false, found 1"),
        ({"part": Part(0)}, "least: wanted a whole number of at least 1, found 0"),
        ({"part": Part(True)}, "least: wanted a whole number of at least 1, found True"),
    ],
)
def test_values_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    check(Whole())
    with pytest.raises(UsageError) as caught:
        check(Whole(**changes))
    assert str(caught.value) == message


def test_values_of_parts_are_called_by_their_own_names() -> None:
    options = with_values(Whole(), {"word": "b", "least": 7})
    assert (options.word, options.part.least, options.mixed) == ("b", 7, "all")
    compared = with_values(CompareOptions(), {"tolerance": 0.2, "peepholes": True})
    assert (compared.settings, compared.peepholes) == (DiffSettings(tolerance=0.2), True)


def test_the_report_tells_every_option_that_its_figures_depend_on() -> None:
    kept_to_the_run = {"allow_external", "data", "details", "minima", "normal", "running"}
    assert {each.name for each in fields(AuditOptions)} - kept_to_the_run == {
        each.name for each in fields(Settings)
    }
    assert settings_of(AuditOptions(p=math.inf, conv="channels", dims={"n": 2})) == Settings(
        "essential", "global", "inf", "none", "channels", 0, dims={"n": 2}
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"conv": "rolled"},
        {"scale": -1},
        {"p": 0},
        {"p": "inf"},
        {"seed": -1},
        {"layers": "("},
        {"skips": "no"},
    ],
)
def test_an_audit_refuses_options_before_any_work(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(changes))}\b.*wanted|wanted .*layers"):
        check_options(AuditOptions(**changes))


@pytest.mark.parametrize(
    "options", [AuditOptions, BarcodeOptions, CheckOptions, CompareOptions, ProbeOptions]
)
def test_every_declared_option_is_on_some_command_line(options: type) -> None:
    commands = [importlib.import_module(module).command for module, _ in VERBS.values()]
    shown = {
        (param.name, param.opts[-1], (param.help or "").split("; with --")[0].removesuffix("."))
        for command in commands
        for param in command.params
        if isinstance(param, click.Option)
    }
    for each in declared(options).values():
        assert (each.name, each.option.flag or f"--{each.key}", each.option.help.removesuffix(".")) in shown


@pytest.mark.parametrize("room", ["auditing", "comparison", "landscape", "loss", "rules"])
def test_modules_that_declare_options_load_nothing_heavy(room: str) -> None:
    code = f"import sys, onnxtop.{room}.options"
    code += "; assert not {'numpy', 'scipy', 'onnx', 'click'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
