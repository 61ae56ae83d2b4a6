"""Logs: what is asked for, and CSV; the others are read back in tests/integrations."""

import csv

import pytest

from onnxtop.errors import UsageError
from onnxtop.tracing.logs import open_log


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
    path.write_text("earlier\n" * 100)
    log = open_log(f"csv:{path}")
    assert path.read_text().startswith("earlier")
    log.write(0, {"dgp": 0.5})
    log.close()
    assert rows(path) == [["step", "dgp"], ["0", "0.5"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csv", "wanted csv:FILE, tensorboard:DIR or mlflow:URI, found 'csv'$"),
        ("csv:", "found 'csv:'$"),
        ("tensorbord:runs", "found 'tensorbord:runs': did you mean tensorboard\\?"),
        ("C:\\log.csv", "wanted csv:FILE"),
        ("csv:{folder}", "csv:.*: cannot be written: Is a directory"),
        ("csv:{folder}/none/log.csv", "csv:.*: cannot be written: No such file or directory"),
    ],
)
def test_what_cannot_be_opened(text, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        open_log(text.replace("{folder}", str(tmp_path)))
