"""What the benchmarks share: medians of runs in turn, peaks of memory, and a table against goals."""

import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured figure and the largest value that is good enough."""

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None


def median_seconds(*runs: Callable[[], object], repeat: int = 5) -> list[float]:
    """Median time of each run.

    The runs take turns, so that a change of load meets all of them, and each is timed right after an untimed
    run of its own, so that none finds the caches as another has left them.
    """
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeat):
        for run, spent in zip(runs, times, strict=True):
            run()
            start = time.perf_counter()
            run()
            spent.append(time.perf_counter() - start)
    return [statistics.median(spent) for spent in times]


def peak_mib(run: Callable[[], object]) -> float:
    """Most memory that Python and NumPy hold at once during a run, beyond what they held before."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def report(rows: list[Row]) -> int:
    """Print a table; return how many goals are missed."""
    missed = 0
    for row in rows:
        late = row.at_most is not None and row.value > row.at_most
        goal = "" if row.at_most is None else f"at most {row.at_most:g}{' MISSED' if late else ''}"
        print(f"{row.what:<58}{row.value:>10.3g} {row.unit:<6}{goal}")
        missed += late
    return missed
