import io
import os
import stat
import sys
from pathlib import Path

import click
import pytest

from onnxtop.cli.outputs import Output, PageLook, check, pair, write_all
from onnxtop.errors import UsageError
from onnxtop.render import RenderOptions
from onnxtop.results.outcome import FailedModel

FAILED = FailedModel("bad.onnx", 3, "cut off")


def events(line):
    words = line.split()
    return [
        ("formats" if flag == "-f" else "files", word)
        for flag, word in zip(words[::2], words[1::2], strict=True)
    ]


@pytest.mark.parametrize(
    ("line", "outputs"),
    [
        ("", [("terminal", None)]),
        ("-f json", [("json", None)]),
        ("-f json -o a", [("json", "a")]),
        ("-o a.json", [("json", "a.json")]),
        (
            "-o a.JSONL -o b.csv -o c.md -o d.txt",
            [("jsonl", "a.JSONL"), ("csv", "b.csv"), ("markdown", "c.md"), ("terminal", "d.txt")],
        ),
        ("-o a.json -f csv", [("json", "a.json"), ("csv", None)]),
        ("-f csv -o a.json", [("csv", "a.json")]),
        ("-f json -f csv -o a", [("json", None), ("csv", "a")]),
        ("-f json -f csv -o a -o b", [("json", "b"), ("csv", "a")]),
        ("-f json -o a -o b.csv", [("json", "a"), ("csv", "b.csv")]),
        ("-f json -o a -f json -o b", [("json", "a"), ("json", "b")]),
        ("-f json -o -", [("json", None)]),
        ("-o -", [("terminal", None)]),
        ("-f json -o - -o a.csv", [("json", None), ("csv", "a.csv")]),
    ],
)
def test_a_file_belongs_to_the_nearest_format_before_it(line, outputs):
    assert pair(events(line), "report") == [Output(*each) for each in outputs]


@pytest.mark.parametrize(
    "line", ["-f json -f csv", "-f json -f json -f csv -o a", "-o a", "-o a.pdf", "-f csv -o - -f json"]
)
def test_pairs_that_make_no_sense(line):
    with pytest.raises(click.UsageError):
        pair(events(line), "report")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone/a.json", "there is no folder"),
        ("-", "wanted a file"),
        ("folder", "is a folder"),
        ("a" * 300, "File name too long"),
        ("model.onnx/a.json", "there is no folder"),
        ("model.onnx", "overwrite link.onnx, which is read"),
    ],
)
def test_files_that_cannot_be_written_are_refused(tmp_path, monkeypatch, path, reason):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("model.onnx").touch()
    Path("link.onnx").symlink_to("model.onnx")
    with pytest.raises(UsageError, match=reason):
        check([Output("json", path)], ["link.onnx"])


def test_what_a_folder_of_data_holds_is_read(tmp_path):
    for name in ("arrays/x.npy", "arrays/notes.txt", "images/cat/1.png", "images/cat/1.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        folder = tmp_path / Path(name).parts[0]
        output = Output("json", str(path))
        if path.suffix == ".txt":
            check([output], [str(folder)])
            continue
        with pytest.raises(UsageError, match="which is read"):
            check([output], [str(folder)])


def test_two_reports_to_one_file_are_refused(tmp_path):
    outputs = [Output("json", str(tmp_path / "a")), Output("csv", str(tmp_path / "." / "a"))]
    with pytest.raises(UsageError, match="two reports"):
        check(outputs, [])


def test_write_protection_is_seen_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UsageError, match=r"folder .* is write-protected"):
        check([Output("json", str(tmp_path / "a"))], [])
    (tmp_path / "b").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == tmp_path)
    with pytest.raises(UsageError, match="file is write-protected"):
        check([Output("json", str(tmp_path / "b"))], [])


def test_checking_leaves_nothing_behind(tmp_path):
    (tmp_path / "b.json").write_text("as it was")
    check([Output("json", str(tmp_path / name)) for name in ("a.json", "b.json", "n" * 255)], [])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b.json", "as it was")]


def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path):
    target, link = tmp_path / "a.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_all([Output("json", str(link))], "report", [FAILED], RenderOptions())
    assert link.is_symlink()
    assert "cut off" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert len(list(tmp_path.iterdir())) == 2


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "other").touch()
    write_all([Output("json", str(tmp_path / "a.json"))], "report", [FAILED], RenderOptions())
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_one_report_that_cannot_be_written_takes_no_other_along(tmp_path):
    outputs = [Output("json", str(tmp_path / "gone" / "a")), Output("json", str(tmp_path / "b"))]
    with pytest.raises(UsageError, match="gone"):
        write_all(outputs, "report", [FAILED], RenderOptions())
    assert (tmp_path / "b").exists()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    target.write_text("old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match=r"a\.json: cannot be written: No space left on device"):
        write_all([Output("json", str(target))], "report", [FAILED], RenderOptions())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_devices_are_written_to_and_stay():
    before = Path(os.devnull).stat()
    check([Output("json", os.devnull)], [])
    write_all([Output("json", os.devnull)], "report", [FAILED], RenderOptions())
    assert Path(os.devnull).stat().st_ino == before.st_ino


class Stream(io.TextIOWrapper):
    """Standard output of some encoding, a terminal or not."""

    def __init__(self, encoding="utf-8", terminal=False):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def written(self):
        return self.buffer.getvalue()


@pytest.fixture
def to_stdout(monkeypatch, report):
    def write(stream, name="terminal", look=None):
        monkeypatch.setattr(sys, "stdout", stream)
        write_all([Output(name)], "report", [report], RenderOptions(), look)
        return stream.written()

    return write


@pytest.fixture
def report(planted):
    return planted("typical.onnx", None, policy=None, progress=lambda *_: None)


def test_a_stream_without_unicode_gets_ascii(to_stdout):
    assert to_stdout(Stream("latin-1")).isascii()
    assert not to_stdout(Stream("utf-8")).isascii()
    assert to_stdout(Stream("ascii")).isascii()


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "markdown"])
def test_formats_for_machines_are_utf_8_everywhere(to_stdout, name):
    assert to_stdout(Stream("latin-1"), name) == to_stdout(Stream("utf-8"), name)


@pytest.mark.parametrize(
    ("terminal", "asked", "environment", "colored"),
    [
        (True, "auto", {}, True),
        (False, "auto", {}, False),
        (True, "auto", {"TERM": "dumb"}, False),
        (True, "auto", {"NO_COLOR": "1"}, False),
        (True, "auto", {"NO_COLOR": ""}, True),
        (False, "auto", {"FORCE_COLOR": "1"}, True),
        (False, "auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (True, "never", {"FORCE_COLOR": "1"}, False),
        (False, "always", {"NO_COLOR": "1", "TERM": "dumb"}, True),
    ],
)
def test_colors_are_for_terminals_unless_somebody_said_so(
    to_stdout, monkeypatch, terminal, asked, environment, colored
):
    for name, value in {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    assert (b"\x1b[" in to_stdout(Stream(terminal=terminal), look=PageLook(color=asked))) == colored


@pytest.mark.parametrize(
    ("terminal", "columns", "asked", "width"),
    [
        (True, "70", None, 70),
        (False, "70", None, 70),
        (False, "", None, 1000),
        (False, "odd", None, 1000),
        (False, "9" * 5000, None, 1000),
        (True, "", None, 80),
        (True, "70", 50, 50),
        (False, "70", 0, 1000),
    ],
)
def test_a_page_is_as_wide_as_was_asked_for_or_as_its_terminal(
    to_stdout, monkeypatch, terminal, columns, asked, width
):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    lines = to_stdout(Stream(terminal=terminal), look=PageLook(asked)).decode().splitlines()
    assert width - 30 < max(map(len, lines)) <= width or width == 1000 < 10 * max(map(len, lines))


def test_a_file_is_neither_cut_nor_colored_unless_that_was_asked_for(tmp_path, monkeypatch, report):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    path = tmp_path / "a.txt"
    for look, widest, colored in ((None, 100, False), (PageLook(50, "always"), 0, True)):
        write_all([Output("terminal", str(path))], "report", [report], RenderOptions(), look)
        assert (max(map(len, path.read_text().splitlines())) > 100) == bool(widest)
        assert ("\x1b[" in path.read_text()) == colored
