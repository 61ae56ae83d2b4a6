"""Records: found by everything their result depends on, written whole, read as they were."""

import dataclasses
import json
import math

import pytest

from studies import _records, network, regularisation, variance
from studies._data import records, stand_in
from studies._records import Store, file_name, made, settings
from tests.studies.fakes import Answer, Question, course, layers, trained

RUN = Question("mnist", 1)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "records")


def test_what_is_written_is_read(store):
    record = made(RUN, RUN.measure(), 1.26)
    store.write(record)
    assert store.read(RUN) == record
    assert record.result == Answer(0.333333, ("a", "b"))
    assert record.seconds == 1.3
    assert [path.suffix for path in store.path(RUN).parent.iterdir()] == [".json"]


def test_what_is_no_number_is_null_and_comes_back(store):
    store.write(made(RUN, Answer(math.nan), 1))
    text = store.path(RUN).read_text(encoding="utf-8")
    assert "NaN" not in text
    assert '"value": null' in text
    assert math.isnan(store.read(RUN).result.value)


def test_nothing_is_read_where_nothing_is(store):
    assert store.read(RUN) is None


def test_what_stands_in_for_data_counts_until_there_is_better(store):
    digits = dataclasses.replace(RUN, data="digits")
    runs = [RUN, digits, dataclasses.replace(RUN, seed=2)]
    assert records(runs, store) == ([], 3)
    store.write(other := made(digits, RUN.measure(), 1))
    assert records(runs, store) == ([other], 2)
    store.write(own := made(RUN, RUN.measure(), 1))
    assert records(runs, store) == ([own, other], 3)


def test_any_other_setting_is_another_record(store, monkeypatch):
    store.write(made(RUN, RUN.measure(), 1))
    others = [
        dataclasses.replace(RUN, seed=2),
        dataclasses.replace(RUN, data="digits"),
        dataclasses.replace(RUN, fails=True),
    ]
    assert len({file_name(run) for run in (RUN, *others)}) == 4
    assert not any(map(store.read, others))
    monkeypatch.setattr(Question, "version", 2)
    assert store.read(RUN) is None


def test_names_of_files_are_for_people():
    assert file_name(RUN).startswith("mnist-no-1-")
    assert settings(RUN) == {"data": "mnist", "seed": 1, "fails": False, "version": 1}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "<<<<<<< HEAD"])
def test_what_is_no_record_is_said(store, content):
    store.write(made(RUN, RUN.measure(), 1))
    store.path(RUN).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"wanted a record, found none: remove the file"):
        store.read(RUN)


def test_the_record_of_another_run_is_said(store):
    store.write(made(RUN, RUN.measure(), 1))
    other = dataclasses.replace(RUN, seed=2)
    store.path(RUN).rename(store.path(other))
    with pytest.raises(ValueError, match=r"the record of mnist No\. 2, found another's"):
        store.read(other)


@pytest.mark.parametrize(
    "record",
    [
        course(regularisation.runs(True)[0]),
        layers(variance.runs(True)[-1]),
        trained(network.own_runs(True)[0]),
    ],
    ids=lambda r: r.run.kind,
)
def test_results_of_studies_come_back(store, record):
    again = made(record.run, record.result, record.seconds)
    store.write(again)
    # by their text, since NaN is not equal to itself
    assert repr(store.read(record.run).result) == repr(again.result)
    assert repr(again.result) == repr(record.run.read(_records.restored(json.loads(json.dumps(
        _records.rounded(dataclasses.asdict(record.result))
    )))))  # fmt: skip


def test_records_that_are_here_are_of_runs_that_there_are():
    known = {_records.RECORDS / run.kind / file_name(run) for run in all_runs()}
    stray = [path for path in _records.RECORDS.rglob("*") if path.is_file() and path not in known]
    assert not stray, "no study asks for it any more: remove it"


def all_runs():
    """Return all runs at full size, and what stands in for data that cannot be had."""
    from studies._studies import catalogue

    for study in catalogue().values():
        for run in study.runs(False):
            yield run
            yield stand_in(run)
