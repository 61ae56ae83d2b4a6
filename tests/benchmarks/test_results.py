"""RESULTS.md is its own memory, and cannot hide a goal that is missed."""

import re
from pathlib import Path

import pytest

from benchmarks import __main__ as command, _results
from benchmarks._measuring import Figure
from benchmarks._results import RESULTS, Measured
from benchmarks._rows import Row, catalogue

ROWS = catalogue()


@pytest.fixture
def to(tmp_path):
    return tmp_path / "RESULTS.md"


@pytest.fixture
def measured(monkeypatch):
    """Let figures come from a table instead of processes; return the names that were measured."""
    names = []

    def child(arguments, limit):
        names.append(arguments[3])
        value = {"np": 2.5, "dgp": 99.0}.get(arguments[3], 0.0)
        if arguments[3] == "np-memory":
            raise RuntimeError("out | of luck")
        return f'{{"value": {value}, "detail": ""}}'

    monkeypatch.setattr(command, "child", child)
    return names


def test_the_page_that_is_here_has_every_row_and_its_verdict():
    results = _results.read()
    assert RESULTS.read_text(encoding="utf-8") == _results.page(results), "run: python -m benchmarks --page"
    text = RESULTS.read_text(encoding="utf-8")
    for name, row in ROWS.items():
        assert f"`python -m benchmarks {name}` |" in text
        assert f"| {row.what} | {row.goal} |" in text


def test_the_page_names_no_machine():
    assert not re.search(
        r"intel|amd|xeon|epyc|aws|google|/work|/home|/root", RESULTS.read_text("utf-8"), re.I
    )


def test_what_is_written_is_read(to):
    results = {
        "np": Measured.of(ROWS["np"], Figure(2.5, "39 ms over 15 ms")),
        "dgp": Measured("7 passes", "another machine"),
        "np-memory": Measured.failure("took longer | than\n180 s"),
    }
    _results.write(results, to)
    read = _results.read(to)
    assert {name: read[name] for name in results} == results
    assert set(read) == set(ROWS)
    assert read["help"] == Measured()


def test_rows_come_one_at_a_time_and_others_stay(to, measured, capsys):
    assert command.main(["np", "--to", str(to)]) == 0
    assert command.main(["dgp", "--to", str(to)]) == 1
    assert command.main(["np-memory", "--to", str(to)]) == 1
    read = _results.read(to)
    assert [read[name].text for name in ("np", "dgp", "np-memory")] == [
        "2.5 passes",
        "99 passes",
        "failed: out / of luck",
    ]
    assert [read[name].verdict(ROWS[name]) for name in ("np", "dgp", "np-memory")] == [
        "ok",
        "MISSED",
        "MISSED",
    ]
    assert "2 missed: dgp, np-memory" in to.read_text("utf-8")
    assert "MISSED" in capsys.readouterr().out


def test_only_what_is_new(to, measured):
    command.main(["np", "--to", str(to)])
    command.main(["np", "dgp", "--new", "--to", str(to)])
    assert measured == ["np", "dgp"]


def test_listing_measures_nothing(to, measured, capsys):
    assert command.main(["--list", "spanning", "--to", str(to)]) == 0
    assert not measured
    assert not to.exists()
    assert re.search(r"^np +at most 4 passes +-$", capsys.readouterr().out, re.M)


def test_a_name_that_is_none_measures_nothing(to, measured, capsys):
    assert command.main(["np", "no-such-row", "--to", str(to)]) == 2
    assert not measured
    assert "no-such-row" in capsys.readouterr().err


def test_what_lacks_a_peer_keeps_what_was_measured_before(to, monkeypatch, capsys):
    _results.write({"tree-gudhi-256": Measured("20 x", "m")}, to)
    monkeypatch.setattr(command, "child", lambda arguments, limit: '{"missing": ["gudhi"]}')
    assert command.main(["tree-gudhi-256", "--to", str(to)]) == 0
    assert _results.read(to)["tree-gudhi-256"] == Measured("20 x", "m")
    assert "gudhi missing" in capsys.readouterr().out


def test_rows_with_peers_run_where_these_are(to, monkeypatch):
    pythons = []
    monkeypatch.setattr(Row, "missing", property(lambda self: list(self.needs)))
    monkeypatch.setattr(
        command, "child", lambda given, limit: pythons.append(given[0]) or '{"value": 1, "detail": ""}'
    )
    command.main(["tree-gudhi-256", "np", "--peers", "elsewhere", "--to", str(to)])
    assert sorted(map(Path, pythons)) == sorted([Path("elsewhere"), Path(command.sys.executable)])


def test_a_row_of_this_process_goes_all_the_way(to):
    assert command.main(["np-blocks", "--to", str(to)]) in (0, 1)
    assert re.match(r"\S+ µs$", _results.read(to)["np-blocks"].text)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(60)", "took longer than 0.3 s"),
        ("raise ValueError('bad luck')", "ValueError: bad luck"),
        ("import os; os._exit(7)", "exit code 7"),
    ],
)
def test_a_child_that_fails_is_said_in_one_line(code, said):
    with pytest.raises(RuntimeError, match=f"^{said}$"):
        command.child([command.sys.executable, "-c", code], 0.3 if "sleep" in code else 60)


def test_machine_is_told_in_one_line():
    assert re.fullmatch(
        r"\d+ processors \(.+\), \d+ GiB of memory, \w+, \w+ 3\.\S+, numpy .+, onnxtop \S+",
        _results.machine(),
    )
