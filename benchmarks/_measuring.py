"""How figures are taken: processor time of calls and of whole processes in turn, and peaks of memory.

Times are processor time, user and system, unless a row says wall time: what a busy machine does beside counts
little then. Things that are compared take turns in one run, so that a change of load meets all of them.
"""

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from onnxtop.cli import app

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
SECONDS = 8.0
"""Wall time after which calls in turn stop, when each has had its least number of turns."""
MOST = 25
"""Turns that are enough; tests take one."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """One figure, to three digits, and the figures that it was made of."""

    value: float
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(f"{self.value:.3g}"))


@dataclass(frozen=True)
class Spent:
    """What a process took, with the children that it waited for: seconds, and MB of the largest of them."""

    cpu: float
    wall: float
    mb: float
    output: bytes = b""


def seconds(*runs: Run, least: int = 3, budget: float = SECONDS) -> list[float]:
    """Return the median processor time of each run.

    Each is timed right after an untimed run of its own, so that none finds the caches as another has left
    them; of one that takes seconds only the first run is not timed.
    """
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + budget
    while len(times[0]) < MOST and (len(times[0]) < least or time.perf_counter() < end):
        for run, spent in zip(runs, times, strict=True):
            if not spent or spent[-1] < budget / 8:
                run()
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
    return [statistics.median(each) for each in times]


def beside(ours: Run, anchor: Run, least: int = 3, budget: float = SECONDS) -> Figure:
    """Return the time of one run in units of another."""
    return ratio(*seconds(ours, anchor, least=least, budget=budget))


def ratio(ours: float, anchor: float) -> Figure:
    """Return one time in units of another."""
    return Figure(ours / anchor, f"{shown(ours)} over {shown(anchor)}")


def worst(figures: Mapping[str, float]) -> Figure:
    """Return the largest of some figures, and the names of the three that are worst."""
    order = sorted(figures, key=figures.__getitem__, reverse=True)
    detail = ", ".join(f"{name.replace('_', ' ')} {figures[name]:.3g}" for name in order[:3])
    return Figure(figures[order[0]], detail if len(order) > 1 else "")


def shown(spent: float) -> str:
    """Return a time as people say it.

    >>> shown(0.0123), shown(12.34), shown(5e-10)
    ('12.3 ms', '12.3 s', '0.5 ns')
    """
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))
    unit, scale = next((each for each in units if spent >= each[1]), units[-1])
    return f"{spent / scale:.3g} {unit}"


def peak_mib(run: Run) -> Figure:
    """Return the most memory that Python and NumPy hold at once during a run, beside what they held."""
    tracemalloc.start()
    try:
        run()
        return Figure(tracemalloc.get_traced_memory()[1] / 2**20)
    finally:
        tracemalloc.stop()


def environment(threads: bool = False) -> dict[str, str]:
    """Return what processes are run with: this tree, compiled code kept, one thread unless told."""
    given = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    given.pop("PYTHONDONTWRITEBYTECODE", None)
    return given | {"PYTHONPATH": str(ROOT)} | ({} if threads else ONE_THREAD)


def onnxtop(verb: str, *arguments: object) -> tuple[str, ...]:
    """Return a verb as benchmarks run it: on one core, without the cache; what is told later counts."""
    alone = {"-j": "1", "--cache": "off", "--no-progress": None}
    known = _options(verb)
    given = [word for each in alone.items() if each[0] in known for word in each if word is not None]
    return "-m", "onnxtop", verb, *given, *map(str, arguments)


@functools.cache
def _options(verb: str) -> frozenset[str]:
    command = app.get_command(click.Context(app), verb)
    return frozenset(flag for each in command.params for flag in each.opts) if command else frozenset()


def process(arguments: Sequence[str], codes: Sequence[int] = (0,), threads: bool = False) -> Spent:
    """Run Python with these arguments, in a process of its own.

    This process must be small: to the system, the new one has been as large as the one that starts it.

    Raises
    ------
    RuntimeError
        Its exit code is none of ``codes``.
    """
    command = [sys.executable, *arguments]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        start = time.perf_counter()
        running = subprocess.Popen(command, stdout=output, stderr=complaints, env=environment(threads))
        _, status, usage = os.wait4(running.pid, 0)
        wall = time.perf_counter() - start
        running.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        complaints.seek(0)
        if running.returncode not in codes:
            said = b" ".join(complaints.read().strip().splitlines()[-1:]).decode(errors="replace")
            raise RuntimeError(f"exit code {running.returncode} of {' '.join(arguments[:3])}: {said}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Spent(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * unit / 1e6, output.read())


def processes(*commands: Sequence[str], rounds: int = 3, codes: Sequence[int] = (0,)) -> list[Spent]:
    """Run processes in turn, once more before that to fill the caches: median times, the most memory."""
    turns = [[process(command, codes) for command in commands] for _ in range(rounds + 1)][1:]
    return [
        Spent(
            statistics.median(each.cpu for each in runs),
            statistics.median(each.wall for each in runs),
            max(each.mb for each in runs),
            runs[-1].output,
        )
        for runs in zip(*turns, strict=True)
    ]
