"""Logs: what is asked for, and CSV; the others are read back in tests/integrations."""

import csv
import os
from pathlib import Path

import pytest

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.tracing.logs import LOGS, Logs, files_of, open_log

CHECKPOINTS = sorted((Path(__file__).parents[2] / "sample_models" / "checkpoints").glob("*.onnx"))


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_csv_is_there_after_every_step(tmp_path):
    path = tmp_path / "log.csv"
    log = open_log(f"csv:{path}")
    log.write(3, {"np/mean": 0.25, "np/a, b": 1.0})
    assert rows(path) == [["step", "np/mean", "np/a, b"], ["3", "0.25", "1.0"]]
    log.write(7, {"np/mean": 1e-300}, at=5.0)
    log.write(9, {"dgp": 0.1, "np/mean": 0.5})
    expected = [["3", "0.25", "1.0", ""], ["7", "1e-300", "", ""], ["9", "0.5", "", "0.1"]]
    assert rows(path) == [["step", "np/mean", "np/a, b", "dgp"], *expected]
    log.write(10, {})
    log.close()
    assert rows(path)[-1] == ["10", "", "", ""]


def test_csv_takes_the_place_of_an_earlier_one_with_its_first_step(tmp_path):
    path = tmp_path / "log.csv"
    open_log(f"csv:{path}").close()
    assert not path.exists()
    path.write_text("earlier\n" * 100)
    log = open_log(f"csv:{path}")
    assert path.read_text().startswith("earlier")
    log.write(0, {"dgp": 0.5})
    log.close()
    assert rows(path) == [["step", "dgp"], ["0", "0.5"]]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no such device")
def test_a_device_that_takes_nothing():
    told = "csv:/dev/full: cannot be written: No space left on device"
    with pytest.raises(UsageError, match=told), Logs(["csv:/dev/full"]) as logs:
        logs.write(1, {"dgp": 0.5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csv", "wanted csv:FILE, tensorboard:DIR or mlflow:URI, found 'csv'$"),
        ("csv:", "found 'csv:'$"),
        ("tensorbord:runs", "found 'tensorbord:runs': did you mean tensorboard\\?"),
        ("C:\\log.csv", "wanted csv:FILE"),
        ("csv:{folder}", "csv:.*: cannot be written: it is a folder"),
        ("csv:{folder}/none/log.csv", "csv:.*: cannot be written: there is no folder"),
    ],
)
def test_what_cannot_be_opened(text, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        open_log(text.replace("{folder}", str(tmp_path)))


class Failing:
    """A log of which the second step cannot be written."""

    def __init__(self, place):
        self.steps, self.closed = [], False

    def write(self, step, metrics, at=None):
        if self.steps:
            raise OSError(28, "No space left on device")
        self.steps.append((step, metrics, at))

    def close(self):
        self.closed = True


def test_a_log_that_fails_gets_no_more_and_the_others_do(tmp_path, monkeypatch):
    monkeypatch.setitem(LOGS, "failing", Failing)
    path = tmp_path / "log.csv"
    logs = Logs(["failing:here", f"csv:{path}"])
    with pytest.raises(UsageError, match=r"^failing:here: cannot be written: No space left on device$"), logs:
        failing = logs.open["failing:here"]
        for step in range(3):
            logs.write(step, {"dgp": 0.5, "np/mean": None}, at=2.0)
    assert failing.steps == [(0, {"dgp": 0.5}, 2.0)]
    assert rows(path) == [["step", "dgp"], *([str(step), "0.5"] for step in range(3))]


def test_an_error_of_the_work_is_not_hidden_by_one_of_a_log(monkeypatch):
    monkeypatch.setitem(LOGS, "failing", Failing)
    with pytest.raises(KeyError), Logs(["failing:here"]) as logs:
        logs.write(0, {})
        logs.write(1, {})
        raise KeyError


def test_if_one_cannot_be_opened_those_before_are_closed(monkeypatch):
    made = []
    monkeypatch.setitem(LOGS, "failing", lambda place: made.append(Failing(place)) or made[-1])
    with pytest.raises(UsageError, match="wanted csv:FILE"):
        Logs(["failing:here", "nonsense"])
    assert made[0].closed


def test_files_of_logs():
    assert files_of(["csv:a.csv", "csv:", "csv", "mlflow:csv:b"]) == ["a.csv"]


@pytest.mark.parametrize("label", [None, "epoch_([0-9]+)"])
def test_a_trace_logs_the_metrics_of_its_checkpoints(label, tmp_path):
    path = tmp_path / "log.csv"
    audit = onnxtop.AuditOptions(structure=False)
    trace = onnxtop.trace(CHECKPOINTS[:3], audit=audit, label=label, log=(f"csv:{path}",))
    header, *logged = rows(path)
    assert [row[0] for row in logged] == (["0", "1", "2"] if label is None else ["1", "2", "3"])
    for row, point in zip(logged, trace.measured, strict=True):
        figures = {name: value for name, value in point.metrics().items() if value is not None}
        assert {name: float(cell) for name, cell in zip(header[1:], row[1:], strict=True) if cell} == figures
    report = onnxtop.audit(CHECKPOINTS[0], audit)
    assert (
        report.metrics().items()
        <= {name: float(cell) for name, cell in zip(header[1:], logged[0][1:], strict=True) if cell}.items()
    )


def test_the_time_of_a_step_is_that_of_its_file(monkeypatch, tmp_path):
    path = tmp_path / "only.onnx"
    path.write_bytes(CHECKPOINTS[0].read_bytes())
    os.utime(path, (1000.5, 1000.5))
    logs = []
    monkeypatch.setitem(LOGS, "failing", lambda place: logs.append(Failing(place)) or logs[-1])
    onnxtop.trace([path], audit=onnxtop.AuditOptions(structure=False), log=("failing:here",))
    assert [(step, at) for step, _, at in logs[0].steps] == [(0, 1000.5)]
    assert logs[0].closed
