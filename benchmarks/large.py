"""Models larger than memory: a language model's layers, their weights in a file beside the model.

Float16, and int4 in blocks of 32 with float16 scales, of 1, 2 and 4 GB: memory has to stay what a layer or
two take, and the cost of a weight what it is. What grows with the file is what is kept of every layer until
the scale of the network is known: some 2 MB of one of 4096 x 11008.
"""

from pathlib import Path

from benchmarks._measuring import Figure, Spent, onnxtop, process
from benchmarks._models import LAYERS_A_GB, model
from benchmarks._rows import row

SIZES = (1, 2, 4)
"""GB of a file."""


def report(folder: Path, kind: str, size: int) -> Spent:
    """Return what a report on a large model takes."""
    path = model(folder, f"large-{kind}-{size}") / "model.onnx"
    return process(onnxtop("report", "-f", "json", path))


def memory(folder: Path, kind: str, size: int = SIZES[-1]) -> Figure:
    """Return the peak memory, pages of the file that is mapped included."""
    return Figure(report(folder, kind, size).mb)


def growth(folder: Path, kind: str, sizes: tuple[int, int] = (SIZES[0], SIZES[-1])) -> Figure:
    """Return the processor time of a weight in the largest file over that in the smallest."""
    costs = [report(folder, kind, size).cpu / (size * LAYERS_A_GB[kind]) for size in sizes]
    return Figure(costs[1] / costs[0], ", ".join(f"{cost:.3g} s a layer" for cost in costs))


for _kind in LAYERS_A_GB:
    row(
        f"large-memory-{_kind}", f"peak memory of a report on 4 GB of {_kind} beside a model", "MB",
        at_most=1074, pace="long", arguments={"kind": _kind}, limit=1800,
    )(memory)  # fmt: skip
    row(
        f"large-growth-{_kind}", f"processor time of a weight in 4 GB of {_kind}, over that in 1 GB", "x",
        at_most=1.1, pace="long", arguments={"kind": _kind}, limit=1800,
    )(growth)  # fmt: skip
