"""The process that runs onnxtop, as the fuzzer sees it: asked, watched, started anew where it dies."""

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")

PATIENCE = 20.0
"""Seconds of processor time after which a run hangs; eight times as many where it only sleeps."""

LOADING = 10.0
"""Seconds more for the first run of a process, which loads everything."""

MOST_RUNS = 500
"""Runs of one process: what it keeps is not to hide what a run takes."""


@dataclass(frozen=True)
class Ran:
    """What a run did: its exit code, or in words how it ended without one, and what it took and said."""

    code: int | str
    seconds: float = 0.0
    peak: int = 0
    out: str = ""
    err: str = ""
    events: tuple[str, ...] = ()


@dataclass
class Runner:
    """Runs command lines of onnxtop in a process of its own, in a folder it has no business with."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = PATIENCE
    loading: float = LOADING
    child: Path = CHILD
    _process: "subprocess.Popen[str] | None" = None
    _runs: int = 0

    def __enter__(self) -> Self:
        self.prepare()
        return self

    def prepare(self) -> None:
        """Make the folders that are not there."""
        for path in (self.folder / "home" / "temporary", self.working):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def working(self) -> Path:
        """The folder that the process is started in."""
        return self.folder / "working"

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def run(self, arguments: list[str]) -> Ran:
        """Run a command line, ``onnxtop`` itself left out."""
        process = self._ready()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        line = process.stdout.readline() if self._answers(process) else None
        if line:
            return Ran(**json.loads(line), **self._said())
        code = "hangs" if line is None else f"died: {self._death(process)}"
        self.stop()
        return Ran(code, self.patience, **self._said())

    def _said(self) -> dict[str, Any]:
        texts = {
            name: (self.folder / name).read_text(errors="backslashreplace")
            for name in ("stdout", "stderr", "log")
        }
        return {"out": texts["stdout"], "err": texts["stderr"], "events": tuple(texts["log"].splitlines())}

    def _ready(self) -> "subprocess.Popen[str]":
        if self._process is None or self._process.poll() is not None or self._runs >= MOST_RUNS:
            self.stop()
            self._process, self._runs = self._started(), 0
        self._runs += 1
        return self._process

    def _started(self) -> "subprocess.Popen[str]":
        home = self.folder / "home"
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        own = {
            "HOME": str(home),
            "TMPDIR": str(home / "temporary"),
            "ONNXTOP_CACHE": "off",
            "ONNXTOP_APART": "off",
            "PYTHONDONTWRITEBYTECODE": "1",  # what is compiled while it runs is no breach
        }
        return subprocess.Popen(
            [sys.executable, str(self.child), str(self.folder), str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.working,
            env={**os.environ, **threads, **own, **self.environment},
        )

    def _answers(self, process: "subprocess.Popen[str]") -> bool:
        """Wait until there is an answer or the process ends; False if it takes too long."""
        start, begun = time.monotonic(), _spent(process.pid)
        patience = self.patience + (self.loading if self._runs == 1 else 0)
        while not select.select([process.stdout], [], [], min(0.5, self.patience))[0]:
            if _spent(process.pid) - begun > patience or time.monotonic() - start > 8 * patience:
                return False
        return True

    def _death(self, process: "subprocess.Popen[str]") -> str:
        code = process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()
        self._process = None


def _spent(process: int) -> float:
    """Return the seconds of processor time that a process has taken."""
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
