"""Ctrl-C and SIGTERM, sent to real processes: what is done is written, whole and marked; no work goes on."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxtop.cli import app
from onnxtop.cli.interrupt import Interrupts
from onnxtop.work.files import write_file
from tests.models import mlp, save
from tests.results.test_schema import complaints

FORMATS = {"json": "a.json", "terminal": "a.txt", "markdown": "a.md"}
MACHINES = {"junit": "a.xml", "sarif": "a.sarif"}

Start = Callable[..., "subprocess.Popen[str]"]


pytestmark = pytest.mark.usefixtures("heard")


@pytest.fixture
def start(tmp_path: Path, heard: None) -> Iterator[Start]:
    """Start onnxtop in a folder of its own; whatever still runs behind the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "onnxtop", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, cwd=tmp_path, text=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def many(samples: Path, tmp_path: Path) -> list[str]:
    """Return one small model and several that take longer."""
    shutil.copy(samples / "mlp_jax.onnx", tmp_path / "a0.onnx")
    names = [f"b{number}.onnx" for number in range(8)]
    for name in names:
        shutil.copy(samples / "transformer_torch_dynamo.onnx", tmp_path / name)
    return ["a0.onnx", *names]


def written(formats: dict[str, str]) -> list[str]:
    return [word for name, file in formats.items() for word in ("-f", name, "-o", file)]


def mapped(process: "subprocess.Popen[str]", path: Path) -> bool:
    return str(path) in Path(f"/proc/{process.pid}/maps").read_text()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".onnxtop-")]


@pytest.mark.parametrize(
    ("verb", "number"),
    [("report", signal.SIGTERM), ("check", signal.SIGINT), ("layers", signal.SIGTERM)],
)
def test_what_is_done_is_written_and_marked(
    start: Start, many: list[str], tmp_path: Path, verb: str, number: signal.Signals
) -> None:
    formats = FORMATS if verb == "layers" else {**FORMATS, **MACHINES}
    process = start(verb, *many, "-f", "jsonl", *written(formats))
    assert process.stdout
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    rest, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert first["reports"][0]["model"]["path"] == "a0.onnx"
    assert "complete" not in first
    lines = [json.loads(line) for line in rest.splitlines()]
    whole = json.loads((tmp_path / "a.json").read_text())
    assert complaints(verb, whole) == []
    assert (whole["complete"], whole["verdict"]) == (False, "interrupted")
    done = [each["model"]["path"] for each in whole["reports"] if "error" not in each]
    assert [*done, *whole["not_reached"]] == many
    assert whole["not_reached"]
    assert [first["reports"][0], *(line["reports"][0] for line in lines)] == whole["reports"]
    assert all(line["complete"] is False for line in lines[len(done) - 1 :])
    assert told == f"onnxtop: error: interrupted: {len(done)} of 9 models done\n"
    for name in ("a.txt", "a.md"):
        assert (
            f"incomplete: interrupted, {9 - len(done)} of 9 models not done" in (tmp_path / name).read_text()
        )
    if verb != "layers":
        root = ET.parse(tmp_path / "a.xml").getroot()
        assert root.get("errors") == str(len(whole["not_reached"]))
        (run,) = json.loads((tmp_path / "a.sarif").read_text())["runs"]
        assert run["invocations"][0]["executionSuccessful"] is False
    assert left_behind(tmp_path) == []


def test_a_baseline_that_was_there_is_kept(start: Start, many: list[str], tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text("whole")
    process = start("check", *many, "-f", "jsonl", "--write-baseline", "base.json")
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert (process.returncode, (tmp_path / "base.json").read_text()) == (130, "whole")


def test_the_second_ends_at_once(start: Start, many: list[str], tmp_path: Path) -> None:
    """An output that nobody takes keeps the first one waiting."""
    os.mkfifo(tmp_path / "pipe.json")
    process = start("check", *many, "-f", "jsonl", "-o", "a.jsonl", "-f", "json", "-o", "pipe.json")
    until(lambda: (tmp_path / "a.jsonl").exists() and (tmp_path / "a.jsonl").read_bytes().endswith(b"\n"))
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert "interrupted: " in process.stderr.readline()
    assert process.poll() is None
    time.sleep(0.2)  # two at once are one
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert [json.loads(line)["schema_version"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert left_behind(tmp_path) == []


def test_a_probe_tells_what_is_done(start: Start, samples: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx", "c.onnx"):
        shutil.copy(samples / "cnn_torch_dynamo.onnx", tmp_path / name)
    process = start("probe", "a.onnx", "b.onnx", "c.onnx", "--data", samples / "digits.npz", "-o", "a.json")
    until(lambda: process.poll() is not None or mapped(process, tmp_path / "a.onnx"))
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    whole = json.loads((tmp_path / "a.json").read_text())
    assert complaints("probe", whole) == []
    assert len(whole["reports"]) == 3
    assert (whole["complete"], whole["not_reached"][-1]) == (False, "c.onnx")


def test_a_diff_says_that_there_is_none(start: Start, tmp_path: Path) -> None:
    old, new = (save(mlp(1500, 1500, 1500, last), tmp_path, f"{last}.onnx") for last in (1499, 1500))
    process = start("diff", old, new, *written(FORMATS))
    until(lambda: process.poll() is not None or mapped(process, old))
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.strip()) == (130, "onnxtop: error: interrupted")
    found = json.loads((tmp_path / "a.json").read_text())
    assert complaints("diff", found) == []
    assert (found["complete"], found["error"]["code"]) == (False, 130)
    for name in ("a.txt", "a.md"):
        assert (tmp_path / name).read_text() == "incomplete: interrupted: nothing was finished\n"


def test_a_loss_barcode_tells_what_is_done(start: Start, samples: Path, tmp_path: Path) -> None:
    data = samples / "digits.npz"
    state = tmp_path / "state"
    process = start("loss-barcode", samples / "minima", "--data", data, "-o", "a.json", "--state", state)
    until(lambda: process.poll() is not None or (state.exists() and b'"Found"' in state.read_bytes()))
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    found = json.loads((tmp_path / "a.json").read_text())
    assert complaints("loss-barcode", found) == []
    assert found["loss_landscape"]["complete"] is False
    assert found["loss_landscape"]["passes"]


def test_a_loss_barcode_that_has_nothing_says_so(start: Start, samples: Path, tmp_path: Path) -> None:
    process = start("loss-barcode", samples / "minima", "--data", samples / "digits.npz", "-o", "a.json")
    until(lambda: process.poll() is not None or mapped(process, Path("numpy")))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    found = json.loads((tmp_path / "a.json").read_text())
    assert complaints("loss-barcode", found) == []
    assert (found if "error" in found else found["loss_landscape"])["complete"] is False


@pytest.mark.parametrize("form", ["json", "text", "dot"])
def test_a_graph_says_that_there_is_none(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Formats that cannot say so are not written."""

    def interrupted(*given: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("onnxtop.cli.graph._connect", interrupted)
    target = tmp_path / "graph"
    done = CliRunner().invoke(app, ["graph", str(samples / "mlp_jax.onnx"), "-f", form, "-o", str(target)])
    assert done.exit_code == 130
    if form == "json":
        assert complaints("graph", json.loads(target.read_text())) == []
    assert target.exists() == (form != "dot")


def test_signals_wait_where_no_work_is_done() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts(lambda: None) as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interrupts.heard():
            raise AssertionError("this is work that should not begin")
    with Interrupts(lambda: None) as interrupts, pytest.raises(KeyboardInterrupt), interrupts.heard():
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("this is work that should have ended")
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_hears_no_signal_does_not_go_on_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report into a pipe that nobody opens, and one signal."""

    class EndedError(Exception):
        pass

    def end(code: int) -> None:
        raise EndedError(str(code))

    pipe, half = tmp_path / "pipe", tmp_path / "half"
    os.mkfifo(pipe)
    half.touch()
    monkeypatch.setattr("onnxtop.cli.interrupt._PATIENCE", 0.05)
    monkeypatch.setattr("onnxtop.cli.interrupt.UNFINISHED", {half})
    monkeypatch.setattr(os, "_exit", end)
    with Interrupts(lambda: None), pytest.raises(EndedError, match="130"):
        os.kill(os.getpid(), signal.SIGTERM)
        write_file(pipe, lambda stream: stream.write(b"what nobody reads"))
    assert not half.exists()


def test_two_signals_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """GNU timeout says that time is up to the process, and to its group."""
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("ended at once"))
    with Interrupts(lambda: None) as interrupts, pytest.raises(KeyboardInterrupt), interrupts.heard():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def test_what_ends_at_once_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("onnxtop.cli.interrupt._TOGETHER", 0)
    monkeypatch.setattr(os, "_exit", end)
    with Interrupts(lambda: None), pytest.raises(SystemExit, match="130"):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
    assert capfd.readouterr().err == "onnxtop: error: interrupted\n"


def test_what_was_done_may_take_long_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxtop.cli.interrupt._PATIENCE", 0.02)
    with Interrupts(lambda: None) as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.heard():
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)


def test_signals_that_are_ignored_stay_so() -> None:
    """As behind nohup, or in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts(lambda: None) as interrupts, interrupts.heard():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_a_library_swallows_ends_the_run_behind_the_model(
    many: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxtop.auditing.story as story

    whole = story.audit

    def deaf(*given: object, **more: object) -> object:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(story, "audit", deaf)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["check", *many, "-f", "json"])
    assert done.exit_code == 130
    assert json.loads(done.stdout)["not_reached"] == many[1:]


def test_lines_stream(start: Start, many: list[str], tmp_path: Path) -> None:
    """The first line is there while the others are worked on."""
    process = start("check", *many[:6], "-f", "jsonl", "-o", "a.jsonl")
    until(lambda: (tmp_path / "a.jsonl").exists() and (tmp_path / "a.jsonl").read_bytes() != b"")
    assert process.poll() is None
    seen = 0
    while process.poll() is None:
        seen = max(seen, (tmp_path / "a.jsonl").read_bytes().count(b"\n"))
        time.sleep(0.005)
    assert 1 < seen <= len((tmp_path / "a.jsonl").read_text().splitlines()) == 6
    assert process.returncode == 0


def test_without_a_first_line_a_file_is_left_alone(samples: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.jsonl"
    target.write_text("old")
    done = CliRunner().invoke(
        app, ["check", str(samples / "mlp_jax.onnx"), "-o", str(target), "--select", "X"]
    )
    assert (done.exit_code, target.read_text()) == (2, "old")


def test_an_import_is_not_interrupted_but_the_work_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that is no Python may end the process where it is."""
    (tmp_path / "loaded_by_the_work.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = signal.getsignal(signal.SIGALRM)
    with Interrupts(lambda: None) as interrupts, pytest.raises(KeyboardInterrupt), interrupts.heard():
        import loaded_by_the_work  # type: ignore[import-not-found]

        assert loaded_by_the_work.whole
        time.sleep(60)
    assert sys.modules.pop("loaded_by_the_work").whole
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_interrupt_that_python_swallows_comes_again() -> None:
    class Deaf:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    before = sys.unraisablehook
    with Interrupts(lambda: None) as interrupts, pytest.raises(KeyboardInterrupt), interrupts.heard():
        Deaf()
        time.sleep(60)
    assert sys.unraisablehook is before
