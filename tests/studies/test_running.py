"""What has no record is measured, once, and told; the command around it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from studies import __main__ as command, _data, _records, _running, _studies, _twins
from studies._pages import Page
from studies._records import Store
from studies._running import Clock, Failure, distinct, missing, results, shown
from studies._studies import Study, catalogue, chosen
from tests.studies.fakes import Question

RUNS = [Question("digits", seed) for seed in range(3)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


@pytest.fixture
def study(monkeypatch):
    """Let there be two studies of shared runs, measured in this process; return what pages were given."""
    pages = []

    def page(records, expected):
        pages.append((len(records), expected))
        return Page(f"{len(records)} of {expected}\n")

    held = {
        name: Study(name, f"claim of {name}", lambda quick, n=n: RUNS[: n - quick], page)
        for name, n in (("one", 2), ("two", 3))
    }
    monkeypatch.setattr(command, "chosen", lambda names: [held[name] for name in names or held])
    monkeypatch.setattr(_running, "processes", ThreadPoolExecutor)
    return pages


def test_each_run_is_measured_once(store):
    found = list(results(RUNS, store, ThreadPoolExecutor(1)))
    assert [each.result.value for each in found] == [0, 0.333333, 0.666667]
    assert missing(RUNS, store) == []
    assert missing([*RUNS, Question("digits", 3)], store) == [Question("digits", 3)]


def test_equal_runs_of_two_studies_are_one(store):
    assert distinct([*RUNS, *RUNS]) == RUNS


def test_a_run_that_fails_leaves_the_others_alone(store):
    bad = Question("digits", 9, fails=True)
    found = {each.run: each for each in results([bad, *RUNS], store, ThreadPoolExecutor(1))}
    assert found[bad] == Failure(bad, "ArithmeticError: out of luck")
    assert missing([bad, *RUNS], store) == [bad]


def test_what_was_measured_before_an_interrupt_stays(store):
    going = results(RUNS, store, ThreadPoolExecutor(1))
    first = next(going)
    going.close()
    assert store.read(first.run) == first


def test_time_that_is_left_is_corrected_by_what_was_taken():
    clock = Clock(RUNS, jobs=2)
    assert clock.left == 3
    clock.took(RUNS[0], 4.0)
    assert clock.left == 4
    clock.took(RUNS[1], 4.0)
    clock.took(RUNS[2], 4.0)
    assert clock.left == 0


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (99, "99 s"), (600, "10 min"), (9000, "2 h 30 min")]
)
def test_times_are_said(seconds, said):
    assert shown(seconds) == said


def test_the_command_tells_measures_and_goes_on(study, tmp_path, capsys):
    assert command.main(["one", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^one +2 runs, 4 s in all; 2 to do, 4 s  claim of one$", said, re.M)
    assert "about 4 s with 1 core for 2 runs, the longest 2 s" in said
    assert "[2/2] question: digits No. 1: 0 s; about 0 s left" in said
    assert (tmp_path / "pages" / "one.md").read_text(encoding="utf-8") == "2 of 2\n"
    assert command.main(["--out", str(tmp_path), "-j", "2"]) == 0
    said = capsys.readouterr().out
    assert "about 1 s with 2 cores for 1 runs" in said
    assert "[1/1]" in said
    assert study == [(2, 2), (2, 2), (3, 3)]


def test_listing_and_pages_measure_and_fetch_nothing(study, tmp_path, monkeypatch):
    monkeypatch.setattr(_data, "available", None)
    assert command.main(["--list", "--out", str(tmp_path)]) == 0
    assert not list(tmp_path.iterdir())
    assert command.main(["--pages", "--out", str(tmp_path)]) == 0
    assert study == [(0, 2), (0, 3)]


def test_a_failure_is_told_and_the_page_is_written(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Question, "measure", lambda self: 1 / 0)
    assert command.main(["one", "--out", str(tmp_path)]) == 1
    assert "FAILED: ZeroDivisionError" in capsys.readouterr().out
    assert study == [(0, 2)]


def test_quick_leaves_nothing_here(study, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "RECORDS", tmp_path / "never")
    monkeypatch.setattr(command, "DOCS", tmp_path / "never")
    assert command.main(["--quick"]) == 0
    assert study == [(1, 1), (2, 2)]
    assert not (tmp_path / "never").exists()


def test_a_name_that_is_none_is_said(capsys):
    assert command.main(["no-such-study"]) == 2
    assert "found no-such-study" in capsys.readouterr().err


def test_studies_are_in_the_order_of_their_numbers():
    assert list(catalogue()) == [
        "regularisation",
        "stopping",
        "variance",
        "network",
        "obstructions",
        "usefulness",
        "export",
    ]
    assert [study.name for study in chosen(["variance"])] == ["variance"]
    assert all(study.what and not study.what.endswith(".") for study in catalogue().values())


@pytest.mark.parametrize("study", _studies.catalogue().values(), ids=lambda study: study.name)
def test_runs_are_different_and_told(study):
    for quick in (True, False):
        runs = study.runs(quick)
        assert distinct(runs) == runs
        assert all(run.seconds > 0 and run.label for run in runs)
        assert all(run.data in {*_data.LOADERS, *_twins.EXPORTS} for run in runs)
    assert not {_records.file_name(run) for run in study.runs(True)} & {
        _records.file_name(run) for run in study.runs(False)
    }
    assert all(run.data not in _data.FETCHED for run in study.runs(True)), "nothing is fetched for it"


def test_the_whole_is_told_to_take_five_hours_at_most():
    runs = distinct(run for study in catalogue().values() for run in study.runs(False))
    assert sum(run.seconds for run in runs) < 5 * 3600
