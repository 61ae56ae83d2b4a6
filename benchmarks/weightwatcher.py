"""The whole report against WeightWatcher, on the same weights.

Processor time of whole processes, libraries and loading included. WeightWatcher gets the weights in the
form that it is quickest with, layers of a PyTorch module, one thread and its own defaults: it fits a power
law to the spectrum of every layer, onnxtop measures NP, DGP, z, statistics and what looks untrained;
neither does the other's work. Out of the box means its threads as it comes; its way to read an ONNX file by
itself takes many times as long.
"""

from pathlib import Path

from benchmarks._measuring import Figure, onnxtop, process, processes, ratio
from benchmarks._models import model
from benchmarks._rows import row

PEER = ("-m", "benchmarks._weightwatcher")


def less(folder: Path, name: str, threads: bool = False) -> Figure:
    """Return how many times as much processor time WeightWatcher takes."""
    path = model(folder, name)
    theirs = process([*PEER, str(path)], threads=threads)
    (ours,) = processes(onnxtop("report", "-f", "json", path))
    return ratio(theirs.cpu, ours.cpu)


for _name, _what, _given in (
    ("weightwatcher-resnet18", "WeightWatcher, over `onnxtop report`: ResNet-18-sized file", "resnet18.onnx"),
    ("weightwatcher-resnet50", "WeightWatcher, over `onnxtop report`: ResNet-50-sized file", "resnet50.onnx"),
):
    row(_name, _what, "x", at_least=10, needs=("torch", "weightwatcher"), arguments={"name": _given})(less)

row(
    "weightwatcher-threads", "the same, WeightWatcher out of the box", "x",
    needs=("torch", "weightwatcher"), arguments={"name": "resnet50.onnx", "threads": True},
)(less)  # fmt: skip
