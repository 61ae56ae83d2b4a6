import io
import subprocess
import sys

import pytest

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import messages, progress
from onnxtop.cli.analysis import analyse, attempts
from onnxtop.cli.interrupt import Interrupts
from onnxtop.cli.outputs import LineOutputs
from onnxtop.cli.verb import Run
from onnxtop.results.outcome import FailedModel
from onnxtop.work.crews import Threads
from onnxtop.work.options import WorkOptions


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Make stderr a terminal; called in the test, since pytest's own capture starts after fixtures."""

    def make():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    return make


def test_progress_is_for_terminals_and_can_be_refused(terminal, monkeypatch):
    terminal()
    assert progress.wanted(quiet=False, no_progress=False)
    assert not progress.wanted(quiet=True, no_progress=False)
    assert not progress.wanted(quiet=False, no_progress=True)
    monkeypatch.setenv("TERM", "dumb")
    assert not progress.wanted(quiet=False, no_progress=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not progress.wanted(quiet=False, no_progress=False)


def test_long_work_shows_the_layer_and_erases_it(terminal):
    stream = terminal()
    with progress.ProgressLine(enabled=True) as line:
        line.title = "1/2 a.onnx"
        line("[red]conv\x1b[31m", 1, 4)
        line.drawn[0].refresh()
        line.stop()
        first = stream.getvalue()
        line("again", 2, 4)
    assert "1/2 a.onnx [red]conv\\x1b[31m" in first
    assert "25%" in first
    assert first.endswith("\x1b[2K")
    assert line.drawn is None


def test_over_many_models_the_share_is_that_of_all_bytes(terminal):
    stream = terminal()
    with progress.ProgressLine(enabled=True) as line:
        line.expect([100, 300, 600])
        line.begin("2/3 b.onnx", 1)
        line.started -= 50
        line("conv", 1, 2)
        line.drawn[0].refresh()
    shown = stream.getvalue()
    assert "2/3 b.onnx conv" in shown
    assert "25%" in shown
    assert "2:30 left" in shown


def test_work_that_begins_anew_has_its_own_pace(terminal):
    terminal()
    with progress.ProgressLine(enabled=True) as line:
        line.started -= 1000
        line("first", 1, 2)
        line("second", 1, 4)
        assert line.drawn[0].tasks[0].fields["left"] == "0:00 left"


def test_models_without_a_size_are_no_error(terminal):
    terminal()
    with progress.ProgressLine(enabled=True) as line:
        line.expect([0, 0])
        line.begin("1/2 a.onnx", 0)
        line("conv", 1, 2)
        line("conv", 0, 0)


def test_short_work_shows_nothing(terminal, monkeypatch):
    stream = terminal()
    monkeypatch.setattr(progress, "PATIENCE", 1000.0)
    with progress.ProgressLine(enabled=True) as line:
        line("conv", 1, 4)
    assert stream.getvalue() == ""


def test_libraries_that_load_slowly_are_no_long_work(terminal, monkeypatch):
    terminal()
    line = progress.ProgressLine(enabled=True)
    monkeypatch.setattr(progress, "PATIENCE", 1000.0)
    voice = messages.Voice(0, quiet=False)
    run = Run("report", [], False, voice, line, Interrupts(line.stop), LineOutputs([]))
    analyse(run, [], AuditOptions())
    line("conv", 1, 4)
    assert line.drawn is None


def test_what_needs_no_work_counts_as_done_where_several_work(monkeypatch):
    monkeypatch.setattr("onnxtop.work.workers.Processes", lambda function, size, *_: Threads(function, size))
    monkeypatch.setattr("onnxtop.cli.analysis.size_of", lambda model: 10)
    line = progress.ProgressLine(enabled=False)
    voice = messages.Voice(0, quiet=False)
    run = Run("report", [], False, voice, line, Interrupts(line.stop), LineOutputs([]))
    models = ["a", "b", FailedModel("c", 3, "cut off"), "d"]
    known = {"b": "known"}
    work = WorkOptions(jobs=2)
    for _ in attempts(run, models, lambda path, progress: path.upper(), work=work, known=known):
        assert line.ended >= 2
    assert (line.before, line.title) == (1.0, "4/4")


def test_progress_that_is_off_never_loads_rich():
    code = (
        "import sys; from onnxtop.cli.progress import ProgressLine\n"
        "with ProgressLine(False) as line: line.due = 0.0; line('conv', 1, 4)\n"
        "assert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
