"""Runs of the command line that cost no start; see `tests.world.harness`."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.world.cases import World
from tests.world.harness import Asked, Ended

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def ask() -> Iterator[Callable[[Asked], Ended]]:
    """Return what runs a command line."""
    command = [sys.executable, "-m", "tests.world.harness"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload]

        def run(asked: Asked) -> Ended:
            print(json.dumps(asdict(asked)), file=process.stdin, flush=True)
            return Ended(**json.loads(process.stdout.readline()))

        yield run
        process.stdin.close()


@pytest.fixture
def world(ask: Callable[[Asked], Ended], tmp_path: Path) -> World:
    """Return a folder with a model, and runs in it."""
    return World(ask, tmp_path / "world")
