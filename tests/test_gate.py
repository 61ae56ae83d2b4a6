"""The page of what the gate sees says what it should; its short rows are made anew, its script makes all."""

import re

import pytest

from tests.gate import COMMANDS, HARMLESS, PAGE, RUINS, Row, counts

STATIC = [title for title in COMMANDS if "--run" not in title]
RUN = [title for title in COMMANDS if "--run" in title]
FEW = 2
"""Models of a row that is made anew here."""

BY_DESIGN = {"an edge from elsewhere": 1}
"""Ruins that only round, and are named: a product fed past the quantiser of its input."""


def shown(row: Row) -> dict[str, int]:
    """Return the numbers of a row on the page by the title of their column."""
    (line,) = re.findall(rf"^\| {re.escape(row.name)} \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return dict(zip(("models", *COMMANDS), map(int, line.split(" | ")), strict=True))


def test_the_page_has_all_rows() -> None:
    assert sum(shown(row)["models"] for row in (*RUINS, *HARMLESS)) > 250


@pytest.mark.parametrize(
    "row", [row for row in (*RUINS, *HARMLESS) if shown(row)["models"] <= FEW], ids=lambda row: row.name
)
def test_the_page_is_current(row: Row) -> None:
    assert counts(row, STATIC) == [shown(row)[title] for title in ("models", *STATIC)]


@pytest.mark.parametrize("row", [row for row in RUINS if row.name in ("NaN in scales", "never trained")])
def test_what_runs_see_is_current(row: Row) -> None:
    assert counts(row, RUN) == [shown(row)[title] for title in ("models", *RUN)]


@pytest.mark.parametrize("row", RUINS, ids=lambda row: row.name)
def test_nothing_that_changes_outputs_passes(row: Row) -> None:
    found = shown(row)
    assert found["models"] > 0
    assert found["check --baseline JSON"] == found["models"]
    expected = found["models"] - BY_DESIGN.get(row.name, 0)
    assert found["diff"] == found["diff --run"] == found["check --baseline MODEL"] == expected


@pytest.mark.parametrize("row", HARMLESS, ids=lambda row: row.name)
def test_nothing_harmless_is_an_alarm(row: Row) -> None:
    found = shown(row)
    assert found.pop("models") > 0
    found.pop("check --baseline JSON")  # digests cannot tell rounding from other values
    assert set(found.values()) == {0}
