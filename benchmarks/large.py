"""Models larger than memory: a language model's layers, their weights in a file beside the model.

Float16, and int4 in blocks of 32 with float16 scales, layers of 4096 x 11008: memory has to stay what a layer
or two take, whatever the size of the file, and the cost of a weight what it is. What layers leave behind
until the scale of the network is known waits on a disk; what grows is the graph of the neurons.
"""

from pathlib import Path

from benchmarks._measuring import Figure, Spent, onnxtop, process
from benchmarks._models import LAYERS_A_GB, model
from benchmarks._rows import row

SIZES = (1, 4)
"""GB of the files whose weights are compared."""

LARGEST = 20
"""GB of the file that has to stay below 1 GiB of memory; its layers are some 800."""


def report(folder: Path, kind: str, size: int) -> Spent:
    """Return what a report on a large model takes."""
    path = model(folder, f"large-{kind}-{size}") / "model.onnx"
    return process(onnxtop("report", "-f", "json", path))


def memory(folder: Path, kind: str, size: int = LARGEST) -> Figure:
    """Return the peak memory, pages of the file that is mapped included."""
    return Figure(report(folder, kind, size).mb)


def growth(folder: Path, kind: str, sizes: tuple[int, int] = SIZES) -> Figure:
    """Return the processor time of a weight in the largest file over that in the smallest."""
    costs = [report(folder, kind, size).cpu / (size * LAYERS_A_GB[kind]) for size in sizes]
    return Figure(costs[1] / costs[0], ", ".join(f"{cost:.3g} s a layer" for cost in costs))


for _kind in LAYERS_A_GB:
    row(
        f"large-memory-{_kind}", f"peak memory of a report on {LARGEST} GB of {_kind} beside a model", "MB",
        at_most=1074, pace="long", arguments={"kind": _kind}, limit=3600,
    )(memory)  # fmt: skip
    row(
        f"large-growth-{_kind}", f"processor time of a weight in 4 GB of {_kind}, over that in 1 GB", "x",
        at_most=1.1, pace="long", arguments={"kind": _kind}, limit=1800,
    )(growth)  # fmt: skip
