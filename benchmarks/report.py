"""The main job on a file of ResNet-50's size, as whole processes: time and memory beside loading the file.

Deep graph persistence is measured by the audit with it and without it, in this process.

    python benchmarks/report.py [MODEL]

Without a model it makes one with ResNet-50's layers and random weights (25.5 million of them, 102 MB).
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from _measure import Row, median_seconds, report
from onnx import NodeProto, TensorProto, helper

from onnxtop.auditing import network
from onnxtop.auditing.story import audit

RUNS = 5
LOAD = "import sys, onnx, numpy, scipy.sparse.csgraph; onnx.load(sys.argv[1])"
STAGES = ((64, 256, 3), (128, 512, 4), (256, 1024, 6), (512, 2048, 3))


class ResNet:
    """Nodes and weights, made one after the other; the weights are random, the joins are ResNet-50's."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.held: list[TensorProto] = []
        self.rng = np.random.default_rng(0)

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        result = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], f"{op}{len(self.nodes)}", **attributes))
        return result

    def weight(self, *shape: int) -> str:
        weight = self.rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        name = f"w{len(self.held)}"
        self.held.append(helper.make_tensor(name, TensorProto.FLOAT, shape, weight.tobytes(), raw=True))
        return name

    def conv(self, x: str, n_in: int, n_out: int, taps: int, stride: int = 1) -> str:
        weight = self.weight(n_out, n_in, taps, taps)
        return self.node("Conv", x, weight, strides=[stride] * 2, pads=[taps // 2] * 4)

    def block(self, x: str, n_in: int, narrow: int, wide: int, stride: int) -> str:
        a = self.node("Relu", self.conv(x, n_in, narrow, 1, stride))
        b = self.node("Relu", self.conv(a, narrow, narrow, 3))
        c = self.conv(b, narrow, wide, 1)
        skip = x if n_in == wide else self.conv(x, n_in, wide, 1, stride)
        return self.node("Relu", self.node("Add", c, skip))


def make(path: Path) -> None:
    """Write ResNet-50 without its normalisations."""
    net, width = ResNet(), 64
    x = net.node("Relu", net.conv("x", 3, width, 7, 2))
    for number, (narrow, wide, repeats) in enumerate(STAGES):
        for block in range(repeats):
            x = net.block(x, width, narrow, wide, 2 if number and not block else 1)
            width = wide
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    y = net.node("MatMul", x, net.weight(width, 1000))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 224, 224])]
    outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["batch", 1000])]
    onnx.save(helper.make_model(helper.make_graph(net.nodes, "resnet50", inputs, outputs, net.held)), path)


def with_and_without(path: Path) -> float:
    """Return the time of an audit with deep graph persistence, over that without it."""
    neurons = network.neurons

    def without() -> None:
        network.neurons = lambda *args: None
        try:
            audit(path)
        finally:
            network.neurons = neurons

    each = median_seconds(lambda: audit(path), without, repeat=3)
    return each[0] / each[1]


def run(*arguments: str) -> tuple[float, float]:
    """Return seconds and peak MiB of a process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return time.perf_counter() - start, usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024)


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(arguments[0]) if arguments else Path(folder) / "resnet50.onnx"
        if not arguments:
            make(path)
        commands = {
            "load": ("-c", LOAD, str(path)),
            "report": ("-m", "onnxtop", "report", "-f", "json", "--no-progress", str(path)),
            "quick": ("-m", "onnxtop", "report", "--quick", "-f", "json", "--no-progress", str(path)),
            "layers": ("-m", "onnxtop", "layers", "-f", "json", "--no-progress", str(path)),
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(
            RUNS + 1
        ):  # in turn, so that a busy machine slows all alike; the first fills the caches
            for name, command in commands.items():
                runs[name].append(run(*command))
        seconds = {name: statistics.median(s for s, _ in each[1:]) for name, each in runs.items()}
        memory = {name: max(m for _, m in each[1:]) for name, each in runs.items()}
        deep = with_and_without(path)
    return report(
        [
            Row("onnxtop report --quick, time beside loading it", seconds["quick"] / seconds["load"], "x", 3),
            Row("onnxtop report, time beside loading it", seconds["report"] / seconds["load"], "x", 3),
            Row("null model and statistics, added", seconds["report"] - seconds["quick"], "s", 2),
            Row("onnxtop layers, time beside loading it", seconds["layers"] / seconds["load"], "x", 3),
            Row(
                "onnxtop report, memory beside loading the file", memory["report"] / memory["load"], "x", 1.5
            ),
            Row("audit with deep graph persistence, beside without it", deep, "x", 2),
            Row("loading the file with onnx", seconds["load"], "s"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
