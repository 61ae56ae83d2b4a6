"""What is written is the same, byte by byte, whoever worked on it; and whoever dies of a model."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import onnxtop
from onnxtop.auditing import pieces, together
from onnxtop.cli.analysis import each_its_own, shared_out
from onnxtop.work.options import WorkOptions, processors
from tests.models import mlp, save

NAMES = ["mlp_jax.onnx", "mlp_untrained.onnx", "missing.onnx", "cnn_jax.onnx", "cut.onnx"]


def run(
    folder: Path, *arguments: object, program: str = "from onnxtop.cli import main"
) -> tuple[int, str, str]:
    """Run the command line as a process of its own: workers are copies of it."""
    command = [sys.executable, "-c", f"{program}\nmain()", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def models(samples: Path, tmp_path: Path) -> Path:
    """Return a folder of models, one of which is cut off."""
    for name in NAMES:
        if (samples / name).exists():
            (tmp_path / name).write_bytes((samples / name).read_bytes())
    (tmp_path / "cut.onnx").write_bytes((samples / "cnn_jax.onnx").read_bytes()[:5000])
    return tmp_path


def test_models_give_the_same_bytes_on_any_number_of_workers(models: Path) -> None:
    outcomes = []
    for jobs in (1, 4):
        outputs = ("-f", "json", "-o", f"{jobs}.json", "-f", "sarif", "-o", f"{jobs}.sarif")
        told = run(models, "check", *NAMES, "-j", jobs, "-v", "-f", "jsonl", *outputs)
        files = [(models / f"{jobs}.{kind}").read_bytes() for kind in ("json", "sarif")]
        outcomes.append((*told[:2], told[2].replace(f"{jobs}.", "N."), *files))
    assert outcomes[0] == outcomes[1]
    code, lines, told = outcomes[0][:3]
    assert (code, len(lines.splitlines())) == (3, len(NAMES))
    assert 0 < told.index("cut.onnx: ") < told.index("missing.onnx: ")  # as check sorts them


def test_layers_give_the_same_bytes_on_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 1)  # else layers so small go together
    threads, real = set(), together.measure_layer
    monkeypatch.setattr(
        together, "measure_layer", lambda *given: threads.add(threading.get_ident()) or real(*given)
    )
    path = save(mlp(120, 100, 110, 90), tmp_path)
    found = [onnxtop.audit(path, details=True, bias="row", jobs=jobs).to_dict() for jobs in (1, 4)]
    assert json.dumps(found[0]) == json.dumps(found[1])
    assert len(threads) > 1


KILLED = """
import multiprocessing, os, signal
import onnxtop.auditing.story as story
import onnxtop.work.processes as processes
from onnxtop.cli import main
audit = story.audit
def deadly(path, *rest, **more):
    if path == "mlp_untrained.onnx":
        os.kill(os.getpid(), signal.SIGKILL)
    return audit(path, *rest, **more)
story.audit = deadly
processes._context = lambda: multiprocessing.get_context("fork")  # those that come after it have it as well
"""


def test_a_worker_that_dies_is_an_error_of_its_model(models: Path) -> None:
    code, found, told = run(models, "report", *NAMES[:2], NAMES[3], "-j", "2", "-f", "json", program=KILLED)
    reports = json.loads(found)["reports"]
    assert code == 3
    assert ["error" in each for each in reports] == [False, True, False]
    assert told == (
        "onnxtop: error: mlp_untrained.onnx: the process that analysed it was ended by SIGKILL, as a system "
        "does that runs out of memory\n"
    )


SLOW = """
import os, time
import onnxtop.auditing.story as story
from onnxtop.cli import main
audit, stderr = story.audit, os.dup(2)  # a worker's own goes nowhere
def slow(path, *rest, **more):
    if path == "mlp_untrained.onnx":
        os.write(stderr, f"{os.getpid()}\\n".encode())
        time.sleep(60)
    return audit(path, *rest, **more)
story.audit = slow
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_an_interrupt_ends_all_workers_and_loses_nothing(
    models: Path, heard: None, number: signal.Signals
) -> None:
    named = [NAMES[0], NAMES[3], NAMES[1]]
    outputs = ("-f", "jsonl", "-f", "json", "-o", "all.json")
    command = [sys.executable, "-c", f"{SLOW}\nmain()", "report", *named, "-j", "2", *outputs]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=models, text=True, start_new_session=True, **pipes) as process:
        assert process.stdout
        assert process.stderr
        worker = int(process.stderr.readline())
        lines = [process.stdout.readline() for _ in named[:2]]
        os.killpg(process.pid, number)  # as a terminal does, and the system that ends a container
        rest, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told == "onnxtop: error: interrupted: 2 of 3 models done\n"
    whole = json.loads((models / "all.json").read_text())
    assert whole["not_reached"] == [NAMES[1]]
    singly = [json.loads(line)["reports"] for line in (*lines, *rest.splitlines())]
    assert [each for (each,) in singly] == whole["reports"]
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_as_many_workers_as_are_worth_their_start(samples: Path) -> None:
    asked, few = WorkOptions(jobs=None), [str(samples / "mlp_jax.onnx")] * 3
    assert shared_out(asked, few).jobs == 1
    assert shared_out(asked, few * 1000).jobs == processors()
    assert shared_out(WorkOptions(jobs=3), few).jobs == 3
    assert each_its_own(WorkOptions(jobs=5, memory=4), few[:2]) == WorkOptions(jobs=2, memory=2)
    cluster = WorkOptions(scheduler="tcp://a:1")
    assert each_its_own(cluster, few).scheduler is None
    assert each_its_own(cluster, few[:1]) == cluster
