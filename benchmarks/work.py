"""Every core, and the cache.

Wall time with one worker over that with two, for one large model and for many small ones; and a second
`check` of models that have lain there unchanged, over the first; and a report in a process apart over one
without. The same bytes come out each time, or the row fails.
"""

import shutil
import time
from pathlib import Path

from benchmarks._measuring import ROOT, Figure, Spent, onnxtop, process, processes, shown
from benchmarks._models import model
from benchmarks._rows import row

AT_REST = 61
"""Seconds from which on a file that has not changed is not read again."""
FINDINGS = (0, 1)
"""Exit codes of a check that went through."""


def speed(folder: Path, name: str) -> Figure:
    """Return how many times as fast two workers are, and what they cost beside."""
    paths = files(model(folder, name))
    verb = ("report", "-f", "json") if len(paths) == 1 else ("check", "-f", "json")
    one, two = processes(*(onnxtop(*verb, *paths, "-j", jobs) for jobs in (1, 2)), rounds=2, codes=FINDINGS)
    if one.output != two.output:
        raise ValueError("two workers do not print what one has printed")
    detail = f"{shown(one.wall)} over {shown(two.wall)}; processor time {shown(one.cpu)} and {shown(two.cpu)}"
    return Figure(one.wall / two.wall, detail)


def files(path: Path) -> list[Path]:
    """Return the models of a folder, or the one model."""
    return sorted(path.rglob("*.onnx")) if path.is_dir() else [path]


for _name, _what in (
    ("100m.onnx", "a report of 100 M weights"),
    ("small-models", "a check of 100 small models"),
):
    row(
        f"workers-{_name.removesuffix('.onnx')}", f"{_what}: wall time with `-j 1`, over `-j 2`", "x",
        at_least=1.7, limit=600, arguments={"name": _name},
    )(speed)  # fmt: skip


def second_check(folder: Path) -> tuple[Spent, Spent]:
    """Return what checks of 120 models take, with nothing in the cache and with all of it."""
    paths, cache = files(model(folder, "models")), folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    command = (*onnxtop("check", "-f", "json", *paths), "--cache", str(cache))
    first, second = process(command, FINDINGS), process(command, FINDINGS)
    if first.output != second.output:
        raise ValueError("the second check does not print what the first has printed")
    return first, second


@row(
    "cache-check",
    "a second `check` of 120 models of a million weights, share of the first",
    "%",
    at_most=5,
    limit=600,
)
def cached(folder: Path) -> Figure:
    made = max(path.stat().st_ctime for path in files(model(folder, "models")))
    time.sleep(max(made + AT_REST - time.time(), 0))
    first, second = second_check(folder)
    return Figure(100 * second.cpu / first.cpu, f"{shown(second.cpu)} of {shown(first.cpu)}")


_RUN = (
    "import os, runpy; os.environ['ONNXTOP_APART'] = '{}'; runpy.run_module('onnxtop', run_name='__main__')"
)


def apart(path: Path, rounds: int) -> Figure:
    """Return what a report costs of which a process of its own may die, over one without."""
    verb = onnxtop("report", "-f", "json", path)[2:]
    on, off = processes(*(("-c", _RUN.format(each), *verb) for each in ("on", "off")), rounds=rounds)
    if on.output != off.output:
        raise ValueError("a process apart does not print what this one prints")
    return Figure(on.cpu / off.cpu, f"{shown(on.cpu)} over {shown(off.cpu)}")


@row("apart-resnet50", "processor time of a report, over that with `ONNXTOP_APART=off`", "x", at_most=1.05)
def apart_large(folder: Path) -> Figure:
    return apart(model(folder, "resnet50.onnx"), rounds=9)


@row("apart-small", "the same of a small model", "x", at_most=1.05)
def apart_small() -> Figure:
    return apart(ROOT / "sample_models" / "mlp_jax.onnx", rounds=15)
