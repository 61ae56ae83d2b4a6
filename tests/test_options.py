"""An option is declared once, and everything else is made from it."""

import importlib
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import click
import numpy as np
import pytest

import onnxtop
from onnxtop.auditing.options import AuditOptions, settings_of
from onnxtop.cli import VERBS
from onnxtop.comparison.options import DiffOptions
from onnxtop.errors import UsageError
from onnxtop.execution.options import RunOptions
from onnxtop.landscape.options import BarcodeOptions
from onnxtop.loss.options import ProbeOptions
from onnxtop.options import Checked, Option, asked, declared, keywords, with_values
from onnxtop.results.diff import DiffSettings
from onnxtop.results.report import Settings
from onnxtop.rules.options import CheckOptions
from onnxtop.tracing.options import TraceOptions
from tests.keywords import MADE, text


@dataclass(frozen=True)
class Part(Checked):
    least: Annotated[int, Option("A count.", least=1)] = 3


@dataclass(frozen=True)
class Whole(Checked):
    word: Annotated[Literal["a", "b"], Option("A word.")] = "a"
    mixed: Annotated[Literal["all"] | float, Option("A word or a number.")] = "all"
    norm: Annotated[float, Option("A norm.", endless=True)] = 2.0
    switch: Annotated[bool, Option("A switch.")] = False
    text: Annotated[str | None, Option("A text.")] = None
    names: Annotated[Mapping[str, int], Option("Names.")] = field(default_factory=dict)
    texts: Annotated[tuple[str, ...], Option("Texts.")] = ()
    file: Annotated[str | None, Option("A file.", form="file")] = None
    pattern: Annotated[str | None, Option("A pattern.", form="pattern")] = None
    hidden: int = 0
    part: Part = field(default_factory=lambda: Part(5))


def test_what_a_field_says_and_what_its_option_says() -> None:
    found = declared(Whole)
    named = ["word", "mixed", "norm", "switch", "text", "names", "texts", "file", "pattern", "least"]
    assert list(found) == named
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
        ({"norm": np.array([1, 2])}, "norm: wanted a number, found array([1, 2])"),
        ({"switch": 1}, "switch: wanted true or false, found 1"),
        ({"part": None}, "part: wanted Part, found None"),
        ({"names": {"n": "3"}}, "names: wanted a whole number, found '3'"),
        ({"names": ["n"]}, "names: wanted a mapping, found ['n']"),
        ({"texts": "x"}, "texts: wanted a list, found 'x'"),
        ({"texts": [1]}, "texts: wanted a text, found 1"),
        ({"hidden": 1.5}, "hidden: wanted a whole number, found 1.5"),
        ({"hidden": True}, "hidden: wanted a whole number, found True"),
        ({"pattern": b"a"}, "pattern: wanted a regular expression as a text, found b'a'"),
        (
            {"pattern": re.compile("a")},
            "pattern: wanted a regular expression as a text, found re.compile('a')",
        ),
        (
            {"pattern": "("},
            "pattern: wanted a regular expression, found '(': missing ), unterminated "
            "subpattern at position 0",
        ),
    ],
)
def test_values_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Whole(**changes)
    assert str(caught.value) == message


def test_values_of_parts_are_called_by_their_own_names() -> None:
    options = with_values(Whole(), {"word": "b", "least": 7})
    assert (options.word, options.part.least, options.mixed) == ("b", 7, "all")
    compared = with_values(DiffOptions(), {"tolerance": 0.2, "peepholes": True})
    assert (compared.settings, compared.peepholes) == (DiffSettings(tolerance=0.2), True)


def test_the_report_tells_every_option_that_its_figures_depend_on() -> None:
    kept_to_the_run = {"allow_external", "data", "details", "diagrams", "minima", "digests", "seed"}
    kept_to_the_run |= {"limits", "max_download", "running", "work"}
    assert {each.name for each in fields(AuditOptions)} - kept_to_the_run == {
        each.name for each in fields(Settings)
    }
    assert settings_of(AuditOptions(p=math.inf, conv="channels", dims={"n": 2})) == Settings(
        "essential", "global", "inf", "none", "channels", dims={"n": 2}
    )


def test_parts_are_checked_when_they_are_made() -> None:
    for wrong in (0, True):
        with pytest.raises(UsageError, match=f"least: wanted a whole number of at least 1, found {wrong}"):
            Part(wrong)


def test_values_are_kept_as_they_are_meant() -> None:
    made = Whole(mixed=2, texts=["a", "b"], file=Path("x"), names={"n": np.int64(3)}, hidden=np.int32(4))
    assert (made.mixed, made.texts, made.file, made.names, made.hidden) == (2.0, ("a", "b"), "x", {"n": 3}, 4)
    assert [type(each) for each in (made.mixed, made.names["n"], made.hidden)] == [float, int, int]
    assert made == Whole(mixed=2.0, texts=("a", "b"), file="x", names={"n": 3}, hidden=4)


def _kinds() -> dict[str, type]:
    """Every dataclass of the package that has an option, by its name."""
    sources = {path: path.read_text("utf-8") for path in Path(onnxtop.__file__).parent.rglob("*.py")}
    names = [
        ".".join(("onnxtop", *path.relative_to(Path(onnxtop.__file__).parent).with_suffix("").parts))
        for path, source in sources.items()
        if "Option(" in source and "@dataclass" in source
    ]
    return {
        kind.__name__: kind
        for name in names
        for kind in vars(importlib.import_module(name)).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == name and _has_options(kind)
    }


def _has_options(kind: type) -> bool:
    hints = get_type_hints(kind, include_extras=True).values()
    return any(isinstance(mark, Option) for hint in hints for mark in getattr(hint, "__metadata__", ()))


KINDS = _kinds()


@pytest.mark.parametrize("name", KINDS)
def test_no_options_can_be_made_with_a_value_that_makes_no_sense(name: str) -> None:
    kind = KINDS[name]
    assert issubclass(kind, Checked)
    for each in fields(kind):
        with pytest.raises(UsageError, match=rf"^{each.name}: "):
            kind(**{each.name: object()})


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (AuditOptions, {"convention": "x"}, "convention: wanted one of essential, tree, found 'x'"),
        (AuditOptions, {"p": "inf"}, "p: wanted a number above 0, found 'inf'"),
        (AuditOptions, {"layers": "("}, "layers: wanted a regular expression, found '('"),
        (AuditOptions, {"inputs": "x"}, "inputs: wanted a list, found 'x'"),
        (TraceOptions, {"label": "x"}, "label: wanted a group around the step"),
        (CheckOptions, {"select": ["OT9"]}, "select: there is no rule 'OT9'"),
        (
            CheckOptions,
            {"thresholds": {"np.z": {"mim": 3}}},
            "thresholds: np.z: wanted min or max, found 'mim'",
        ),
    ],
)
def test_options_that_users_get_wrong(kind: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        kind(**changes)


def test_options_come_as_an_object_or_as_keywords() -> None:
    options = AuditOptions(convention="tree")
    assert asked(AuditOptions, options, {}) is options
    assert asked(AuditOptions, None, {"convention": "tree"}) == options
    assert asked(AuditOptions, None, {"draws": 2}).running == RunOptions(draws=2)
    for given, changes, message in (
        (options, {"p": 1.0}, "wanted AuditOptions or keywords, found both: put p into the options"),
        ({"p": 1.0}, {}, "wanted options of the kind AuditOptions, found {'p': 1.0}"),
        (None, {"convntion": "tree"}, "there is no option 'convntion': did you mean convention?"),
    ):
        with pytest.raises(UsageError) as caught:
            asked(AuditOptions, given, changes)
        assert str(caught.value) == message


def test_a_name_of_two_parts_is_no_keyword() -> None:
    assert "rate" not in keywords(BarcodeOptions)
    with pytest.raises(UsageError, match="no option 'rate'"):
        asked(BarcodeOptions, None, {"rate": 1e-3})


@pytest.mark.parametrize("room", MADE)
def test_keywords_for_type_checkers_are_the_options(room: str) -> None:
    module = importlib.import_module(f"onnxtop.{room}.keywords")
    assert Path(module.__file__ or "").read_text("utf-8") == text(room), "run: python -m tests.keywords"


@pytest.mark.parametrize("options", [AuditOptions, BarcodeOptions, CheckOptions, DiffOptions, ProbeOptions])
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
