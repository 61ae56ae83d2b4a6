"""Every core, and the cache.

Wall time with one worker over that with two; processor time with two over that with one, which is what
sharing work out costs, whatever else the machine does; and a second `check` of models that have not
changed.
"""

import shutil
from pathlib import Path

from benchmarks._measuring import Figure, Spent, onnxtop, process, processes, ratio, shown
from benchmarks._models import model
from benchmarks._rows import row

FINDINGS = (0, 1)
"""Exit codes of a check that went through."""


def with_workers(folder: Path, name: str) -> list[Spent]:
    """Return what a job takes with one worker and with two."""
    paths = files(model(folder, name))
    verb = ("report", "-f", "json") if len(paths) == 1 else ("check", "-f", "json")
    return processes(*(onnxtop(*verb, *paths, "-j", jobs) for jobs in (1, 2)), codes=FINDINGS)


def files(path: Path) -> list[Path]:
    """Return the models of a folder, or the one model."""
    return sorted(path.glob("*.onnx")) if path.is_dir() else [path]


def speed(folder: Path, name: str) -> Figure:
    """Return how many times as fast two workers are."""
    one, two = with_workers(folder, name)
    return ratio(one.wall, two.wall)


def overhead(folder: Path, name: str) -> Figure:
    """Return the processor time with two workers, over that with one."""
    one, two = with_workers(folder, name)
    return ratio(two.cpu, one.cpu)


for _name, _what in (
    ("100m.onnx", "a report of 100 M weights"),
    ("small-models", "a check of 100 small models"),
):
    _stem = _name.removesuffix(".onnx")
    row(
        f"workers-{_stem}", f"{_what}: wall time with `-j 1`, over `-j 2`", "x",
        at_least=1.7, arguments={"name": _name},
    )(speed)  # fmt: skip
    row(
        f"workers-{_stem}-cpu", f"{_what}: processor time with `-j 2`, over `-j 1`", "x",
        arguments={"name": _name},
    )(overhead)  # fmt: skip


def second_check(folder: Path) -> tuple[Spent, Spent]:
    """Return what checks of 120 models take, with nothing in the cache and with all of it."""
    paths, cache = files(model(folder, "models")), folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    command = (*onnxtop("check", "-f", "json", *paths), "--cache", str(cache))
    first, second = process(command, FINDINGS), process(command, FINDINGS)
    if first.output != second.output:
        raise ValueError("the second check does not print what the first has printed")
    return first, second


@row("cache-check", "a second `check` of 120 models of a million weights, share of the first", "%", at_most=5)
def cached(folder: Path) -> Figure:
    first, second = second_check(folder)
    return Figure(100 * second.cpu / first.cpu, f"{shown(second.cpu)} of {shown(first.cpu)}")
