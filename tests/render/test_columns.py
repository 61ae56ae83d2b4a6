"""Columns that one asks for: the same by their names in the terminal, in Markdown and in CSV."""

import csv
import io
from typing import Any

import pytest

from onnxtop.cli.words import find
from onnxtop.errors import UsageError
from onnxtop.render import RenderOptions, render
from onnxtop.render.report.columns import COLUMNS, SETTINGS, USUAL, WORDS, check_columns, values
from onnxtop.results.report import Report
from onnxtop.statistics.facts import LayerStatistics, Units
from tests.render.conftest import build_layer, build_report

STATISTICS = LayerStatistics(
    20, 10, -1.5, 0.25, 0.5, 3, Units(2, (0, 7)), Units(1, (4,)), rank=9, rank_limit=10
)
TABLE = ("minimum", "maximum", "rms", "zeros", "dead_inputs", "dead_outputs", "rank", "shape")
CELLS = ["-1.5", "0.25", "0.5", "3", "2", "1", "9", "10x20"]


@pytest.fixture
def measured() -> Report:
    return build_report(build_layer(statistics=STATISTICS), build_layer("bare"))


def lines(report: Report, name: str, columns: tuple[str, ...], **changes: Any) -> list[str]:
    return render("report", name, [report], RenderOptions(columns=columns, **changes)).splitlines()


@pytest.mark.parametrize("width", [0, 60, 80, 200])
def test_the_terminal_shows_what_was_asked_for_and_nothing_else(measured: Report, width: int) -> None:
    page = lines(measured, "terminal", TABLE, width=width)
    (head,) = (number for number, line in enumerate(page) if line.startswith("layer "))
    assert page[head].split()[0] == "layer"
    left_out = "  left out, since the page is too narrow: dead_outputs," in page  # rank, shape
    shown = len(TABLE) - 3 * left_out
    assert left_out == (width == 60)
    assert page[head].split()[1:] == list(TABLE[:shown])
    assert page[head + 2].split()[1:] == CELLS[:shown]
    assert not any("network mean" in line for line in page)


def test_the_usual_ones_stand_where_they_are_named(measured: Report) -> None:
    (head,) = (line for line in lines(measured, "terminal", ("zeros", USUAL, "rank")) if line[:6] == "layer ")
    words = head.split()
    assert words[1] == "zeros"
    assert words[-1] == "rank"
    assert "NP" in words
    csv_head = lines(measured, "csv", (USUAL, "rank"))[0].split(",")
    assert csv_head == [*lines(measured, "csv", ())[0].split(","), "rank"]


def test_csv_and_markdown_call_them_the_same(measured: Report) -> None:
    first, bare = csv.DictReader(io.StringIO("\r\n".join(lines(measured, "csv", TABLE))))
    assert list(first) == ["model", "error", "layer", *TABLE]
    assert [first[name] for name in TABLE] == CELLS
    assert bare["minimum"] == ""
    page = lines(measured, "markdown", TABLE)
    assert f"| layer | {' | '.join(TABLE)} | note |" in page
    assert f"| `fc` | {' | '.join(CELLS[:-1])} | `10x20` |  |" in page


def test_every_column_has_a_value_and_an_explanation(measured: Report) -> None:
    assert set(values(measured.layers[0])) >= {*COLUMNS} >= {*WORDS}
    assert [name for name in COLUMNS if not find(name)] == []


@pytest.mark.parametrize("name", ["terminal", "markdown", "csv"])
def test_what_csv_always_begins_with_may_be_named_too(measured: Report, name: str) -> None:
    some = lines(measured, name, ("np_z", "zeros"))
    assert lines(measured, name, ("layer", "np_z", "model", "zeros")) == some


def test_every_word_of_the_header_of_csv_is_known_or_told_of(measured: Report) -> None:
    header = next(iter(csv.reader(lines(measured, "csv", ()))))
    for name in header:
        if name in SETTINGS:
            with pytest.raises(UsageError, match=f"'{name}' is the same for all layers"):
                check_columns((name,))
        else:
            check_columns((name,))


@pytest.mark.parametrize("name", ["terminal", "markdown", "csv"])
def test_a_name_of_no_column_is_refused(measured: Report, name: str) -> None:
    with pytest.raises(UsageError, match="there is no column 'zeroes': did you mean zeros"):
        lines(measured, name, ("zeroes",))
