"""What kills the process that works on a model is that model's error: one line, and the others are done."""

import ctypes
import errno
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import onnxtop
from onnxtop.auditing import story
from onnxtop.cli import app
from onnxtop.work.inside import tell_share
from tests.models import mlp, model, node, save

KILLED = "the process that analysed it was ended by"
HAD = "; it had 0.9 GiB, see --memory"
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, samples: Path, tmp_path: Path) -> Iterator[Run]:
    """Run a verb with processes that are copies of this one, and see that none is left."""
    monkeypatch.setenv("ONNXTOP_APART", "on")
    monkeypatch.setattr("onnxtop.work.processes._context", lambda: multiprocessing.get_context("fork"))
    monkeypatch.setattr("onnxtop.cli.apart.is_single", lambda: True)
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.onnx").write_bytes((samples / "mlp_jax.onnx").read_bytes())
    before = multiprocessing.active_children()
    yield lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))
    assert multiprocessing.active_children() == before


def deadly(real: Callable[..., Any], die: Callable[[str], object]) -> Callable[..., Any]:
    """Return a function that dies of the model ``b.onnx``."""

    def function(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path) == "b.onnx":
            die(str(path))
        return real(path, *rest, **more)

    return function


def truncate(path: str) -> None:
    """Cut off a file that is mapped, and read what is not there any more."""
    with Path(path).open("r+b") as file:
        held = np.memmap(file, mode="r")
        file.truncate(0)
        held.sum()


def overflow(path: str) -> None:
    """Call and be called back, through C, until the stack is at its end."""
    sys.setrecursionlimit(2**30)
    again = ctypes.CFUNCTYPE(None)(lambda: again())
    again()


@pytest.mark.parametrize(
    ("die", "told"),
    [
        (overflow, f"{KILLED} SIGSEGV{HAD}"),
        (lambda path: os.abort(), f"{KILLED} SIGABRT{HAD}"),
        (truncate, f"{KILLED} SIGBUS, as of a file that is cut off while it is read{HAD}"),
        (lambda path: ctypes.string_at(8), f"{KILLED} SIGSEGV{HAD}"),
        (lambda path: os._exit(7), f"the process that analysed it ended itself with code 7{HAD}"),
        (lambda path: np.zeros(2**27), "there is not enough memory to analyse this model; see --memory"),
        (lambda path: time.sleep(60), "the process that analysed it was ended after 2 s; see --time-limit"),
    ],
    ids=["overflow", "abort", "truncated", "segfault", "exit", "memory", "time"],
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_model_does_to_its_process(
    run: Run, monkeypatch: pytest.MonkeyPatch, die: Callable[[str], object], told: str, jobs: int
) -> None:
    report = onnxtop.audit("a.onnx", topology=False)
    monkeypatch.setattr(story, "audit", deadly(lambda *given, **more: report, die))
    limits = ("--memory", 0.9, "--time-limit", 2)
    done = run("report", "a.onnx", "b.onnx", "c.onnx", "-f", "json", "-j", jobs, *limits)
    assert (done.exit_code, done.stderr) == (3, f"onnxtop: error: b.onnx: {told}\n")
    reports = json.loads(done.stdout)["reports"]
    assert ["error" in each for each in reports] == [False, True, False]


def test_death_in_onnx(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("GatherND", "h i", batch_dims=-(2**30))]
    constants = {"w": np.eye(4, dtype=np.float32), "i": np.array([[0, 1]])}
    save(model(nodes, constants, {"x": [2, 4]}), tmp_path, "b.onnx")
    monkeypatch.setattr("onnxtop.reader.skeleton.refuse_deadly", lambda node: None)
    done = run("check", "a.onnx", "b.onnx", "c.onnx", "--run", "-f", "json")
    assert (done.exit_code, done.stderr) == (3, f"onnxtop: error: b.onnx: {KILLED} SIGSEGV\n")
    assert ["error" in each for each in json.loads(done.stdout)["reports"]] == [False, True, False]


@pytest.mark.parametrize(
    ("verb", "place"),
    [
        (("graph", "b.onnx"), "onnxtop.reader.loading.load"),
        (("graph", "b.onnx", "--neurons", "-o", "out.npz"), "onnxtop.reader.loading.load"),
        (("diff", "b.onnx", "a.onnx"), "onnxtop.comparison.story.diff"),
        (("plot", "b.onnx", "-o", "out.svg"), "onnxtop.auditing.story.audit"),
        (("layers", "b.onnx", "-o", "out.json"), "onnxtop.auditing.story.audit"),
        (("probe", "b.onnx", "--data", "digits.npz"), "onnxtop.reader.loading.load"),
        (("loss-barcode", "b.onnx", "a.onnx", "--data", "digits.npz"), "onnxtop.reader.loading.load"),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_every_verb_outlives_a_model(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    samples: Path,
    tmp_path: Path,
    verb: tuple[str, ...],
    place: str,
) -> None:
    from importlib import import_module

    module, _, name = place.rpartition(".")
    monkeypatch.setattr(place, deadly(getattr(import_module(module), name), lambda path: os.abort()))
    (tmp_path / "digits.npz").write_bytes((samples / "digits.npz").read_bytes())
    before = {path.name for path in tmp_path.iterdir()}
    done = run(*verb)
    assert done.exit_code == 3, done.output
    assert done.stderr.count("\n") == 1
    assert "b.onnx" in done.stderr
    assert "was ended by SIGABRT" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} - before <= {"out.json"}


def test_a_trace_goes_on_behind_a_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(run("trace", "a.onnx", "c.onnx", "-f", "json").stdout)
    from onnxtop.tracing import measuring

    monkeypatch.setattr(measuring, "opened", deadly(measuring.opened, lambda path: os.abort()))
    done = run("trace", "a.onnx", "b.onnx", "c.onnx", "-f", "json")
    assert (done.exit_code, done.stderr) == (3, f"onnxtop: error: b.onnx: {KILLED} SIGABRT\n")
    steps = json.loads(done.stdout)["checkpoints"]
    assert "SIGABRT" in steps[1]["error"]["message"]
    assert [steps[0], steps[2]] == whole["checkpoints"]


HOPELESS = "(a+)+$|"


def test_a_pattern_without_end(run: Run, tmp_path: Path) -> None:
    name = "a" * 60 + "1"
    save(model([node("MatMul", f"x {name}")], {name: np.eye(4, dtype=np.float32)}), tmp_path, "b.onnx")
    cache = ("--cache", "cache")
    assert run("report", "a.onnx", "b.onnx", *cache).exit_code == 0
    done = run("report", "a.onnx", "b.onnx", "--layers", HOPELESS, "--time-limit", 1, "-f", "json", *cache)
    told = "onnxtop: error: b.onnx: the process that analysed it was ended after 1 s; see --time-limit\n"
    assert (done.exit_code, done.stderr) == (3, told)
    assert json.loads(done.stdout)["reports"][0]["model"]["path"] == "a.onnx"


def test_a_label_without_end(run: Run) -> None:
    name = f"{'a' * 60}1.onnx"
    Path("a.onnx").rename(name)
    done = run("trace", name, "b.onnx", "--label", r"(a+)+\.x", "--time-limit", 1)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "was ended after 1 s; see --time-limit" in done.stderr
    assert run("trace", "b.onnx", "c.onnx", "--label", "(x)").exit_code == 2


def followed(*more: object) -> tuple[object, ...]:
    quick = ("--interval", 0.01, "--patience", 1, "-f", "json")
    return ("trace", "--follow", "--until-stop", ".", *quick, *more)


def test_a_label_without_end_under_follow(run: Run) -> None:
    hopeless = f"{'a' * 60}1.onnx"
    Path("a.onnx").rename(hopeless)
    done = run(*followed("--label", r"(a+)+\.x|^([bc])", "--time-limit", 1))
    assert done.stderr.startswith(f"onnxtop: error: {hopeless}: ")
    assert "was ended after 1 s; see --time-limit" in done.stderr


def test_a_checkpoint_that_kills_its_process_under_follow_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxtop.tracing import measuring

    real = measuring.opened

    def die(path: Any, *rest: Any, **more: Any) -> Any:
        return os.abort() if Path(path).name == "b.onnx" else real(path, *rest, **more)

    monkeypatch.setattr(measuring, "opened", die)
    done = run(*followed())
    assert done.stderr.startswith("onnxtop: error: b.onnx: the process that analysed it was ended by SIGABRT")


NO_MORE = "the system starts no more threads; end others, or see ulimit -u"
NO_THREAD = f"the process that analysed it ended itself: {NO_MORE}"


def test_where_the_system_starts_no_thread(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    done = run("check", "a.onnx", "b.onnx")
    told = "".join(f"onnxtop: error: {name}.onnx: {NO_THREAD}\n" for name in "ab")
    assert (done.exit_code, done.stderr) == (3, told)
    done = run(*followed())
    assert (done.exit_code, done.stdout, done.stderr) == (3, "", f"onnxtop: error: a.onnx: {NO_THREAD}\n")


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_what_was_measured_before_the_system_starts_no_thread_is_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = threading.Thread.start, [True]
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: real(thread) if before else no_thread(thread)
    )
    from onnxtop.tracing.story import Series

    take = Series.take
    monkeypatch.setattr(Series, "take", lambda *given: before.clear() or take(*given))
    done = run(*followed())
    assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.endswith(f"b.onnx: {NO_THREAD}: this is what was measured until then\n")
    found = json.loads(done.stdout)
    assert ([each["name"] for each in found["checkpoints"]], found["complete"]) == (["a"], False)


@pytest.mark.parametrize("place", ["subprocess.Popen", "threading.Thread.start"])
def test_where_the_system_starts_no_process_that_runs_a_model(
    monkeypatch: pytest.MonkeyPatch, samples: Path, place: str
) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise RuntimeError("can't start new thread") if "Thread" in place else BlockingIOError(11, "no more")

    monkeypatch.setattr(place, refuse)
    done = CliRunner().invoke(app, ["check", str(samples / "mlp_jax.onnx"), "--run"])
    assert done.exit_code == 3
    assert "wanted a process to run it, found that the system starts no " in done.stderr
    assert (done.stderr.count("\n"), "see ulimit -u" in done.stderr) == (1, True)


def test_where_there_are_too_many_open_files_to_run_a_model(
    monkeypatch: pytest.MonkeyPatch, samples: Path
) -> None:
    def refuse(*given: Any, **more: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("subprocess.Popen", refuse)
    done = CliRunner().invoke(app, ["check", str(samples / "mlp_jax.onnx"), "--run"])
    assert done.exit_code == 3
    assert done.stderr.endswith("starts no process: Too many open files; see ulimit -n\n")


@pytest.mark.parametrize(
    ("verb", "flag", "least"),
    [("report", "--memory", 0.0625), ("trace", "--memory", 0.0625), ("check", "--memory-limit", 0.5)],
)
def test_too_little_memory_for_any_work(run: Run, verb: str, flag: str, least: float) -> None:
    done = run(verb, "a.onnx", flag, 0.03)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"'{flag}': 0.03 is not in the range x>={least}" in done.stderr
    with pytest.raises(onnxtop.UsageError, match=f"wanted a number of at least {least}, found 0.03"):
        onnxtop.check("a.onnx", **{flag.strip("-").replace("-", "_"): 0.03})


def test_what_a_search_found_in_its_time(run: Run, monkeypatch: pytest.MonkeyPatch, samples: Path) -> None:
    from onnxtop.landscape import story

    real = story.find_path

    def slow(*given: Any) -> Any:
        while given[-2].finder != "line" and not given[-1].stop():
            time.sleep(0.05)
        return real(*given)

    monkeypatch.setattr(story, "find_path", slow)
    two = [samples / "minima" / f"seed_{seed}.onnx" for seed in (1, 2)]
    asked = ("--data", samples / "digits.npz", "-j", 1, "--gradients", 54, "-f", "json", "--polish", 0)
    done = run("loss-barcode", *two, *asked, "--time-limit", 2)
    told = "ended after 2 s, see --time-limit: this is what was found until then"
    assert (done.exit_code, done.stderr) == (3, f"onnxtop: error: {told}\n")
    landscape = json.loads(done.stdout)["loss_landscape"]
    assert (len(landscape["minima"]), landscape["complete"]) == (2, False)


def test_an_internal_error_shows_itself_and_where(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("onnxtop.comparison.story.diff", deadly(onnxtop.diff, fail))
    done = run("diff", "b.onnx", "a.onnx", "-vv")
    assert done.exit_code == 5
    assert "internal error: ZeroDivisionError: by zero" in done.stderr
    assert "in fail" in done.stderr


def test_an_interrupt_ends_the_process_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()

    def interrupt(path: str) -> None:
        os.kill(parent, signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(story, "audit", deadly(story.audit, interrupt))
    done = run("report", "a.onnx", "b.onnx", "c.onnx", "-f", "json")
    assert done.exit_code == 130
    assert json.loads(done.stdout)["not_reached"] == ["b.onnx", "c.onnx"]


def test_what_is_asked_from_python(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, heard = save(mlp(4, 3, 2), tmp_path), []
    whole = onnxtop.audit(path)
    assert onnxtop.audit(path, apart=True) == whole
    assert onnxtop.diff(path, path, apart=True) == onnxtop.diff(path, path)
    assert onnxtop.check(Path(path).read_bytes(), apart=True).exit_code == 0
    real = story.find_layers
    monkeypatch.setattr("onnxtop.work.inside._PACE", 0.0)
    monkeypatch.setattr(
        story, "find_layers", lambda *given, **more: tell_share("x", 1, 4) or real(*given, **more)
    )
    onnxtop.audit(path, apart=True, progress=lambda what, done, total: heard.append((what, done / total)))
    assert ("x", 0.25) in heard
    monkeypatch.setattr(story, "find_layers", lambda *given, **more: os.abort())
    with pytest.raises(onnxtop.ModelError, match="was ended by SIGABRT"):
        onnxtop.audit(path, apart=True)
