"""Every row that runs in this process, by its own code, on sizes that take no time; and what rows are."""

import importlib.util
import math
import re
import shlex
from pathlib import Path

import pytest

from benchmarks import _measuring, _rows
from benchmarks._measuring import Figure
from benchmarks._rows import Row, catalogue, chosen

ROWS = catalogue()
ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
TINY = [row for row in ROWS.values() if row.tiny is not None and not row.missing]


def a_row(**given):
    return Row("name", "section", "what", given.pop("unit", "x"), lambda: Figure(1), **given)


@pytest.mark.parametrize("row", TINY, ids=lambda row: row.name)
def test_a_row_gives_a_figure(row, monkeypatch):
    monkeypatch.setattr(_measuring, "MOST", 1)
    figure = row.run(**{**row.arguments, **row.tiny})
    assert math.isfinite(figure.value)
    assert figure.value >= 0


def test_what_is_not_tried_runs_whole_processes_or_needs_a_peer():
    whole = {row.section for row in ROWS.values() if row.tiny is None and not row.needs}
    assert whole <= {"command", "growth", "fleet", "large", "paths", "remote", "report", "untrained", "work"}


def test_every_row_says_what_it_is():
    for name, row in ROWS.items():
        assert row.name == name
        assert name == name.lower() and " " not in name
        assert "|" not in row.what + row.unit
        assert row.section in _rows.sections()
        assert not (row.at_most is not None and row.at_least is not None)


def test_every_section_has_a_title_and_rows():
    for name, text in _rows.sections().items():
        assert text.splitlines()[0].endswith("."), name
        assert any(row.section == name for row in ROWS.values()), name


@pytest.mark.parametrize(
    ("given", "good", "bad"),
    [({"at_most": 3.0}, 3.0, 3.01), ({"at_least": 10.0}, 10.0, 9.99), ({"at_most": 0.0}, 0.0, 1e-9)],
)
def test_a_goal_is_met_up_to_its_bound(given, good, bad):
    row = a_row(**given)
    assert row.meets(good)
    assert not row.meets(bad)
    assert not row.meets(math.nan)


def test_without_a_goal_all_is_well():
    assert a_row().meets(1e9)
    assert a_row().goal == ""


def test_the_goal_is_written_with_its_unit():
    assert a_row(at_most=3).goal == "at most 3 x"
    assert a_row(at_least=0.5, unit="").goal == "at least 0.5"


def test_names_sections_and_patterns_choose():
    assert [row.name for row in chosen(["dgp"])] == ["dgp"]
    assert {row.section for row in chosen(["command"])} == {"command"}
    assert {row.name for row in chosen(["tree-scipy-*"])} == {
        name for name in ROWS if name.startswith("tree-scipy-")
    }
    assert chosen([]) == [row for row in ROWS.values() if row.pace != "long"]
    assert chosen([], ["quick"]) == [row for row in ROWS.values() if row.pace == "quick"]


def test_a_name_that_is_none_is_said():
    with pytest.raises(ValueError, match="found tree-of-life"):
        chosen(["dgp", "tree-of-life"])


COMMAND = re.compile(r"python -m benchmarks(?:\.(?P<module>[\w.]+)| (?P<names>['\w*-][^`|#\n]*))?")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_name_rows_and_studies_that_there_are(page):
    text = page.read_text(encoding="utf-8")
    assert "python benchmarks/" not in text
    for command in COMMAND.finditer(text):
        if command["module"]:
            assert importlib.util.find_spec(f"benchmarks.{command['module']}")
        names = shlex.split(command["names"] or "")
        assert not names or chosen([name for name in names if re.fullmatch(r"[a-z*][\w*-]*", name)])


def test_two_rows_have_two_names():
    with pytest.raises(ValueError, match="two rows are called dgp"):
        _rows.row("dgp", "again")(lambda: Figure(1))


def test_what_is_missing_is_told():
    assert a_row(needs=("math", "no_such_module")).missing == ["no_such_module"]
