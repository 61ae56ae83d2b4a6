"""The main job on a file of ResNet-50's size, as whole processes: time and memory beside loading the file.

    python benchmarks/report.py [MODEL]

Without a model it makes one with ResNet-50's layers and random weights (25.5 million of them, 102 MB).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from _measure import Row, report
from onnx import TensorProto, helper

RUNS = 5
LOAD = "import sys, onnx, numpy, scipy.sparse.csgraph; onnx.load(sys.argv[1])"
STAGES = ((64, 256, 3), (128, 512, 4), (256, 1024, 6), (512, 2048, 3))


def shapes() -> list[tuple[int, ...]]:
    """Return the weight shapes of ResNet-50, input first."""
    found: list[tuple[int, ...]] = [(64, 3, 7, 7)]
    width = 64
    for narrow, wide, repeats in STAGES:
        for block in range(repeats):
            found += [(narrow, width, 1, 1), (narrow, narrow, 3, 3), (wide, narrow, 1, 1)]
            found += [(wide, width, 1, 1)] if block == 0 else []
            width = wide
    return [*found, (width, 1000)]


def make(path: Path) -> None:
    """Write a model that uses every weight once."""
    rng = np.random.default_rng(0)
    nodes, held = [], []
    for number, shape in enumerate(shapes()):
        weight = rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        held.append(helper.make_tensor(f"w{number}", TensorProto.FLOAT, shape, weight.tobytes(), raw=True))
        op = "Conv" if len(shape) == 4 else "MatMul"
        nodes.append(helper.make_node(op, [f"x{number}", f"w{number}"], [f"y{number}"], f"layer{number}"))
    inputs = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, None) for i in range(len(nodes))]
    outputs = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(len(nodes))]
    onnx.save(helper.make_model(helper.make_graph(nodes, "resnet50", inputs, outputs, held)), path)


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
    return report(
        [
            Row("onnxtop report, time beside loading it", seconds["report"] / seconds["load"], "x", 3),
            Row("onnxtop layers, time beside loading it", seconds["layers"] / seconds["load"], "x", 3),
            Row(
                "onnxtop report, memory beside loading the file", memory["report"] / memory["load"], "x", 1.5
            ),
            Row("loading the file with onnx", seconds["load"], "s"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
