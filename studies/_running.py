"""Measuring what has no record yet: in processes of one core each, told line by line."""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children, get_context

from studies._records import Record, Run, Store, file_name, made

ONE_CORE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "ONNXTOP_CACHE": "off",
}
"""Of every process that measures."""


@dataclass(frozen=True)
class Failure:
    """A run that gave no record, and why."""

    run: Run
    why: str


def distinct(runs: Iterable[Run]) -> list[Run]:
    """Return runs without those that an earlier one is equal to: studies share some."""
    return list({(run.kind, file_name(run)): run for run in runs}.values())


def missing(runs: Iterable[Run], store: Store) -> list[Run]:
    """Return the runs that have no record."""
    return [run for run in distinct(runs) if store.read(run) is None]


def measured(run: Run) -> Record:
    """Measure a run here, on whatever this process may use."""
    start = time.process_time()
    result = run.measure()
    return made(run, result, time.process_time() - start)


def processes(jobs: int) -> Executor:
    """Return so many processes of one core each."""
    os.environ.update(ONE_CORE)  # before they load what reads it
    quiet = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # who started them ends them
    return ProcessPoolExecutor(jobs, get_context("spawn"), initializer=quiet)


def results(runs: Sequence[Run], store: Store, pool: Executor) -> Iterator[Record | Failure]:
    """Measure runs and write each record as soon as it is known; yield it or why there is none."""
    waiting: dict[Future[Record], Run] = {pool.submit(measured, run): run for run in runs}
    done = False
    try:
        for future in as_completed(waiting):
            error = future.exception()
            if error is None:
                store.write(future.result())
                yield future.result()
            else:
                yield Failure(waiting[future], " ".join(f"{type(error).__name__}: {error}".split()))
        done = True
    finally:
        pool.shutdown(wait=done, cancel_futures=True)
        for child in () if done else active_children():
            child.terminate()  # else this process would wait for what is half measured


@dataclass
class Clock:
    """How long is left, corrected by what the runs so far have taken against what was told."""

    runs: Sequence[Run]
    jobs: int
    told: float = 0.0
    spent: float = 0.0

    def took(self, run: Run, seconds: float) -> None:
        """Take note of a run that is done."""
        self.told += run.seconds
        self.spent += seconds

    @property
    def left(self) -> float:
        """Seconds until all are done."""
        factor = self.spent / self.told if self.told else 1.0
        return max(0.0, sum(run.seconds for run in self.runs) - self.told) * factor / self.jobs


def shown(seconds: float) -> str:
    """Return a time as it is said."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
