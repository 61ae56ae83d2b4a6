"""The whole job, as processes of their own.

A file of ResNet-50's size (25.5 million random weights, joined as in ResNet-50), one layer of a language
model's size in three encodings, and many small layers. A pass is one `max(W.max(), -W.min())` over a
float32 matrix of 4096 x 11008.
"""

from pathlib import Path

from benchmarks._measuring import Figure, Spent, onnxtop, processes, ratio, seconds, shown
from benchmarks._models import gaussian, model
from benchmarks._rows import row
from onnxtop.auditing import network
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit

LOAD = "import sys, onnx, numpy, scipy.sparse.csgraph; onnx.load(sys.argv[1])"
COMMANDS = {
    "report": ("report", "-f", "json"),
    "report --quick": ("report", "--quick", "-f", "json"),
    "layers": ("layers", "-f", "json"),
}


def beside_loading(folder: Path, command: str) -> Figure:
    """Return the time of a command beside that of loading the file and the libraries."""
    path = model(folder, "resnet50.onnx")
    ours, load = processes(onnxtop(*COMMANDS[command], path), ("-c", LOAD, str(path)), rounds=5)
    return ratio(ours.cpu, load.cpu)


for _command in COMMANDS:
    row(
        f"{_command.replace(' --', '-')}-resnet50",
        f"`onnxtop {_command}` on the ResNet-50-sized file, over loading it and the libraries",
        "x",
        at_most=3,
        pace="quick",
        arguments={"command": _command},
    )(beside_loading)


@row(
    "report-memory", "peak memory of `onnxtop report` on that file of 102 MB", "MB", at_most=250, pace="quick"
)
def memory(folder: Path) -> Figure:
    return Figure(process_of_report(folder, "resnet50.onnx").mb)


@row("report-memory-large", "the same on a file of 403 MB, over the file", "x", at_most=1.3)
def memory_large(folder: Path) -> Figure:
    ours = process_of_report(folder, "100m.onnx")
    size = model(folder, "100m.onnx").stat().st_size / 1e6
    return Figure(ours.mb / size, f"{ours.mb:.0f} MB over {size:.0f} MB")


def process_of_report(folder: Path, name: str) -> Spent:
    """Return what a report on a model takes."""
    return processes(onnxtop("report", "-f", "json", model(folder, name)), rounds=1)[0]


def passes(folder: Path, file: str) -> Figure:
    """Return the time of an audit in passes over a float32 matrix of the same shape.

    What it takes to read the file, to hash it and to say what it computes is told beside.
    """
    path, outline = model(folder, file), AuditOptions(topology=False)
    matrix = gaussian(4096, 11008)
    whole, reading, once = seconds(
        lambda: audit(path), lambda: audit(path, outline), lambda: max(matrix.max(), -matrix.min()), budget=15
    )
    detail = f"{shown(whole)} over {shown(once)}; of that {reading / once:.3g} without measures"
    return Figure(whole / once, detail)


for _file, _goal in (("float32", 12), ("float16", 20), ("int8", 20)):
    row(
        f"passes-{_file}",
        f"a report on one layer of 4096 x 11008 in {_file}, all measures",
        "passes",
        at_most=_goal,
        arguments={"file": f"{_file}.onnx"},
    )(passes)


@row("report-dgp", "an audit of the ResNet-50-sized file with DGP, over one without", "x", at_most=2)
def with_dgp(folder: Path) -> Figure:
    path, neurons = model(folder, "resnet50.onnx"), network.neurons

    def without() -> None:
        network.neurons = lambda *args: None
        try:
            audit(path)
        finally:
            network.neurons = neurons

    return ratio(*seconds(lambda: audit(path), without, budget=20))


@row("small-layers", "`onnxtop report` on 2,000 layers of 16 x 16 (0.1.0: 45 s)", "s", at_most=15)
def small_layers(folder: Path) -> Figure:
    return Figure(process_of_report(folder, "small-layers.onnx").cpu)
