import math

import pytest

from onnxtop.render.text import defined, figure, humanised, number, visible
from onnxtop.results.words import counted


def test_visible_leaves_plain_names_of_any_script_alone():
    for name in ("conv1.weight", "层/卷积", "naïve", "a b"):
        assert visible(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\r\t", "a\\nb\\r\\t"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp", "\\u202egnp"),
        ("\u2066", "\\u2066"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\u200b", "\\u200b"),
        ("a\xa0b", "a\\xa0b"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_visible_escapes_what_does_not_print(name, shown):
    assert visible(name) == shown


def test_defined():
    assert defined(0.0)
    assert not any(defined(value) for value in (None, math.nan, math.inf))


def test_figure_of_what_is_not_defined():
    assert figure(None) == figure(math.nan) == figure(-math.inf) == "\N{EN DASH}"
    assert figure(math.nan, "-") == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0000"), (1.00004, "1.0000"), (999.9, "999.9000"), (1000.0, "1,000.00"), (1e6, "1e+06")],
)
def test_figure(value, text):
    assert figure(value) == text


def test_number():
    assert [number(value) for value in (1.0, 0.1, 1e-9, "layer")] == ["1", "0.1", "1e-09", "layer"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (9999, "9999"),
        (10_000, "10 k"),
        (999_499, "999 k"),
        (999_500, "1 M"),
        (1_234_567, "1.23 M"),
        (7_000_000_000, "7 G"),
        (1_800_000_000_000, "1.8 T"),
        (5_000_000_000_000_000, "5000 T"),
    ],
)
def test_humanised(count, text):
    assert humanised(count) == text


def test_counted():
    assert [counted(count, "layer") for count in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
