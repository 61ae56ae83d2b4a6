"""A real scheduler and two real workers on this machine: the same bytes, also when one is gone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import onnxtop
from tests.models import mlp, save

pytestmark = pytest.mark.integration("dask")

QUIET = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
NAMES = ["mlp_jax.onnx", "mlp_untrained.onnx", "missing.onnx", "cnn_jax.onnx", "mlp_sklearn.onnx"]


@dataclass
class Dask:
    """A cluster of processes on the loopback device."""

    folder: Path
    address: str = ""
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command, "--no-dashboard"],
                cwd=self.folder,
                env={**os.environ, **QUIET, **environment},
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def begin(self) -> "Dask":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port))
        self.workers = [self.worker() for _ in range(2)]
        return self

    def worker(self, **environment: str) -> "subprocess.Popen[bytes]":
        return self.start(
            "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny", **environment
        )

    def wait_for(self, n_workers: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(n_workers, timeout=60)
            while len(client.scheduler_info()["workers"]) > n_workers:
                time.sleep(0.05)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    cluster = Dask(tmp_path_factory.mktemp("dask")).begin()
    try:
        cluster.wait_for(2)
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def models(samples: Path, tmp_path: Path) -> Path:
    for name in NAMES:
        if (samples / name).exists():
            shutil.copy(samples / name, tmp_path)
    return tmp_path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "onnxtop", *map(str, arguments), "--cache", "off"]


def run(folder: Path, *arguments: object, **environment: str) -> tuple[int, str, str]:
    told = {**os.environ, **QUIET, **environment}
    done = subprocess.run(
        command(*arguments), cwd=folder, env=told, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


def test_the_same_bytes_as_from_one_worker(dask: Dask, models: Path) -> None:
    asked = ("check", *NAMES, "-v", "-f", "jsonl")
    alone = run(models, *asked, "-j", 1)
    assert alone[0] == 3
    assert run(models, *asked, "--scheduler", dask.address) == alone
    path = save(mlp(1200, 1000, 1100, 900), models)  # a single model: its layers are shared out
    layers = ("report", path.name, "-f", "json")
    assert run(models, *layers, "--scheduler", dask.address) == run(models, *layers, "-j", 1)
    os.kill(dask.workers[0].pid, signal.SIGSTOP)  # it takes pieces and does not do them
    process = subprocess.Popen(
        command(*asked, "--scheduler", dask.address),
        cwd=models,
        env={**os.environ, **QUIET},
        text=True,
        **PIPES,
    )
    time.sleep(3)
    dask.workers[0].kill()
    found, told = process.communicate(timeout=300)
    assert (process.returncode, found, told) == alone


def test_a_series_and_a_comparison(dask: Dask, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    run = sorted((samples / "checkpoints").glob("*.onnx"))[:3]
    several = [onnxtop.trace(run, **more).to_dict() for more in ({}, {"scheduler": dask.address})]
    assert several[0] == several[1]
    pair = [onnxtop.diff(*run[:2], **more).to_dict() for more in ({}, {"scheduler": dask.address})]
    assert pair[0] == pair[1]


@pytest.fixture
def begun(dask: Dask, samples: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Begin with many models on the cluster; the first is done, and the last is not."""
    for number in range(40):
        shutil.copy(samples / "cnn_jax.onnx", tmp_path / f"{number:02}.onnx")
    asked = command("report", ".", "-f", "jsonl", "-f", "json", "-o", "all.json", "--scheduler", dask.address)
    with subprocess.Popen(asked, cwd=tmp_path, env={**os.environ, **QUIET}, text=True, **PIPES) as process:
        assert process.stdout
        assert "00.onnx" in process.stdout.readline()
        yield process
        process.kill()


def test_an_interrupt_ends_the_work(begun: "subprocess.Popen[str]", tmp_path: Path) -> None:
    begun.send_signal(signal.SIGTERM)
    _, told = begun.communicate(timeout=120)
    assert "internal error" not in told
    whole = json.loads((tmp_path / "all.json").read_text())
    assert (begun.returncode, whole["verdict"]) == (130, "interrupted")
    assert "39.onnx" in whole["not_reached"]


def test_a_scheduler_that_is_gone_fails_what_is_left(
    begun: "subprocess.Popen[str]", dask: Dask, tmp_path: Path
) -> None:
    dask.processes[0].kill()
    _, told = begun.communicate(timeout=120)
    assert begun.returncode == 3, told
    reports = json.loads((tmp_path / "all.json").read_text())["reports"]
    assert len(reports) == 40
    assert "39.onnx: the process that analysed it was cut off: the scheduler is gone" in told
    assert "Traceback" not in told


def test_what_is_no_cluster_like_this_one_is_refused(dask: Dask, models: Path) -> None:
    code, _, told = run(models, "report", *NAMES, "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2
    assert "--scheduler tcp://127.0.0.1:9: wanted a Dask scheduler with workers, found none" in told
    assert "Traceback" not in told
    code, _, told = run(models, "report", *NAMES, "--scheduler", dask.address, OPENBLAS_NUM_THREADS="2")
    assert code == 2
    assert "OPENBLAS_NUM_THREADS 2 here, 1 there" in told
    (dask.folder / "sitecustomize.py").write_text(
        "import onnxtop._version\nonnxtop._version.__version__ = '0.0.1'\n"
    )
    dask.worker(PYTHONPATH=str(dask.folder))
    dask.wait_for(3)
    code, _, told = run(models, "report", *NAMES, "--scheduler", dask.address)
    assert code == 2
    assert f"onnxtop {onnxtop.__version__} here, 0.0.1 there" in told
