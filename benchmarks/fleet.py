"""Many models, on a Dask cluster.

A scheduler and two workers of one thread, all on this machine: what a cluster costs beside processes of our
own. The same bytes come out, or the row fails.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._measuring import Figure, environment, onnxtop, process, processes, shown
from benchmarks._models import model
from benchmarks._rows import row
from benchmarks.work import FINDINGS, files

WORKERS = 2


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Give the address of a scheduler with its workers, which are ended afterwards."""
    told = folder / "scheduler.json"
    told.unlink(missing_ok=True)
    alone = ("--scheduler-file", str(told), "--host", "127.0.0.1", "--no-dashboard")
    one = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running("distributed.cli.dask_scheduler", *alone, "--port", "0"))
        while not told.exists():
            time.sleep(0.1)
        for _ in range(WORKERS):
            stack.enter_context(_running("distributed.cli.dask_worker", *alone, *one))
        time.sleep(3)  # until the workers are known
        yield json.loads(told.read_text(encoding="utf-8"))["address"]


@contextlib.contextmanager
def _running(*module: str) -> Iterator[None]:
    running = subprocess.Popen(
        [sys.executable, "-m", *module], env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        running.terminate()
        running.wait()


@row(
    "dask", "a check of 100 small models: wall time of two Dask workers, over `-j 2`", "x",
    needs=("distributed",), limit=600,
)  # fmt: skip
def beside_processes(folder: Path) -> Figure:
    paths = files(model(folder, "small-models"))
    command = onnxtop("check", "-f", "json", *paths)
    with cluster(folder) as address:
        process((*command, "--scheduler", address), FINDINGS)
        far, near = processes(
            (*command, "--scheduler", address), (*command, "-j", "2"), rounds=2, codes=FINDINGS
        )
    if far.output != near.output:
        raise ValueError("the cluster does not print what processes have printed")
    detail = f"{shown(far.wall)} over {shown(near.wall)}; {len(paths) / far.wall:.3g} models a second"
    return Figure(far.wall / near.wall, detail)
