"""What rules say of small networks while they are trained; and random matrices of some kinds.

All of it comes from seeds alone; ten minutes::

    python -m benchmarks.studies.calibration [COUNTS]     # written into a file of counts, if one is given

The sample networks, and two of one and two layers, start from common initialisers, and are trained by Adam on
the digits beside them. After
0, 1, 3, 10 ... steps every network is judged as `onnxtop check` does; one whose normalisations stand right
behind its convolutions, with these folded.
"""

import itertools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

import onnxtop
from onnxtop.landscape.minima import fresh
from onnxtop.landscape.networks import draws
from onnxtop.reader.loading import load
from onnxtop.rules.untrained import judged

Floats = NDArray[np.floating]

SAMPLES = Path(__file__).parents[2] / "sample_models"
NETWORKS = ("mlp_torch_dynamo", "cnn_torch_dynamo", "transformer_torch_dynamo")
MATRICES = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.98),
    "uniform": (lambda rng, shape: rng.uniform(-1, 1, shape), 0.98),
    "orthogonal": (lambda rng, shape: orthogonal(rng, shape), 0.99),
    "columns of one length": (
        lambda rng, shape: (drawn := rng.standard_normal(shape)) / np.linalg.norm(drawn, axis=0),
        0.99,
    ),
    "2 of 4 left": (lambda rng, shape: two_of_four(rng.standard_normal(shape)), 0.97),
    "90 % zeros in each column": (lambda rng, shape: sparse(rng, shape, 0.1), 0.98),
    "1 % left": (lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.01), 0.95),
    "5 % left": (lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.05), 0.95),
}
"""What draws a matrix, and the share of them that has to be called exchangeable."""
SHAPES = ((64, 64), (128, 32), (256, 64), (96, 160))
FOLDED = "cnn_torch_dynamo, folded"
SMALL = {"256-10": (256, 10), "256-32-10": (256, 32, 10)}
"""Networks of so few layers that the exact distribution has to tell, on the digits with larger pixels."""
STARTS = ("Kaiming", "PyTorch", "orthogonal", "weight norm")
STEPS = (0, 1, 3, 10, 30, 100, 300)
SEEDS = range(3)
RATE, BATCH = 3e-3, 128
COUNTED = ("judged", "OT207", "OT208", "OT209")
STATISTICS = ("running_mean", "running_var")
"""Not moved by a gradient: 0 and 1, as they are before training."""


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    flat = rng.standard_normal(shape)
    q = np.linalg.qr(flat if shape[0] >= shape[1] else flat.T)[0]
    return np.asarray(q if shape[0] >= shape[1] else q.T)


def two_of_four(matrix: Floats) -> Floats:
    """Leave the larger two of every four inputs."""
    fours = matrix.reshape(-1, 4, matrix.shape[1])
    order = np.argsort(np.argsort(np.abs(fours), axis=1), axis=1)
    return np.where(order >= 2, fours, 0.0).reshape(matrix.shape)


def sparse(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> Floats:
    """Draw a normal matrix of which each column has so large a share that is not zero."""
    order = np.argsort(rng.random(shape), axis=0)
    return np.where(order < share * shape[0], rng.normal(0, 0.01, shape), 0.0)


def trained(probe: onnxtop.Probe, theta: Floats, seed: int) -> Iterator[tuple[int, Floats]]:
    """Yield the parameters after each number of steps of Adam."""
    rng = np.random.default_rng(seed)
    mean, square = np.zeros(theta.size), np.zeros(theta.size)
    point = theta.astype(np.float64)
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            yield step, point
        rows = rng.choice(probe.samples, BATCH, replace=False)
        _, gradient = probe.loss_and_gradient(point, rows)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * np.square(gradient, dtype=np.float64)
        unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        point = point - RATE * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)


def started(probe: onnxtop.Probe, model: str, start: str, seed: int) -> Floats:
    """Return the parameters of a network that was never trained."""
    theta = fresh(draws(load(model), probe), seed)
    if start == "PyTorch":
        rng = np.random.default_rng(seed)
        weights = [each for each in probe.parameters if each.role == "weight"]
        tall = {each.layer: each.size // each.shape[each.output_axis or 0] for each in weights}
        for parameter in probe.parameters:
            if parameter.role in ("weight", "bias") and parameter.layer in tall:
                bound = tall[parameter.layer] ** -0.5
                theta[parameter.slice] = rng.uniform(-bound, bound, parameter.size)
    if start == "orthogonal":
        rng = np.random.default_rng(seed)
        for parameter in probe.parameters:
            if parameter.role == "weight" and len(parameter.shape) >= 2:
                flat = parameter.shape[0], parameter.size // parameter.shape[0]
                theta[parameter.slice] = orthogonal(rng, flat).ravel()
    if start == "weight norm":
        for parameter in probe.parameters:
            if parameter.role == "weight" and len(parameter.shape) >= 2:
                weight = theta[parameter.slice].reshape(parameter.shape)
                axes = tuple(axis for axis in range(weight.ndim) if axis != (parameter.output_axis or 0))
                weight /= np.sqrt(np.square(weight).sum(axis=axes, keepdims=True))
    return theta


def source(model: str) -> onnx.ModelProto:
    """Return the model; the one to be folded with each normalisation before the Relu that it stood behind."""
    if model in SMALL:
        return small(SMALL[model])
    proto = onnx.load(SAMPLES / f"{model.split(',')[0]}.onnx")
    if model == FOLDED:
        nodes = list(proto.graph.node)
        for relu, norm in itertools.pairwise(nodes):
            if (relu.op_type, norm.op_type) == ("Relu", "BatchNormalization"):
                before, between, behind = relu.input[0], relu.output[0], norm.output[0]
                norm.input[0], norm.output[0] = before, between
                relu.input[0], relu.output[0] = between, behind
        order = sorted(range(len(nodes)), key=lambda at: at + 1.5 * (nodes[at].op_type == "Relu"))
        del proto.graph.node[:]
        proto.graph.node.extend(nodes[at] for at in order)
        del proto.graph.value_info[:]
    return proto


def small(sizes: tuple[int, ...]) -> onnx.ModelProto:
    """Return Gemm layers of these sizes with a Relu between them."""
    lines, weights, value = [], [], "x"
    for number, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        weights += [f"float[{n_out},{n_in}] w{number}", f"float[{n_out}] b{number}"]
        lines.append(f"h{number} = Gemm<transB = 1>({value}, w{number}, b{number})")
        lines.append(f"a{number} = Relu(h{number})")
        value = f"a{number}"
    text = f"""<ir_version: 9, opset_import: ["" : 17]>
        g (float[n,{sizes[0]}] x) => (float[n,{sizes[-1]}] y) <{", ".join(weights)}>
        {{ {" ".join(lines[:-1]).replace(f"h{len(sizes) - 2} =", "y =")} }}"""
    proto = onnx.parser.parse_model(text)
    for declared in list(proto.graph.value_info):
        shape = [each.dim_value for each in declared.type.tensor_type.shape.dim]
        proto.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.float32), declared.name))
    return proto


def data_of(model: str) -> dict[str, Floats]:
    """Return the digits as the model takes them."""
    held = np.load(SAMPLES / "digits.npz")
    if model not in SMALL:
        return dict(held)
    side = round(SMALL[model][0] ** 0.5) // 8
    images = np.kron(held["x"].reshape(-1, 8, 8), np.ones((side, side), np.float32))
    return {"x": images.reshape(len(images), -1).astype(np.float32), "labels": held["labels"]}


def fold(proto: onnx.ModelProto) -> None:
    """Fold every normalisation into the convolution before it, as exporters do."""
    held = {tensor.name: tensor for tensor in proto.graph.initializer}
    for conv, norm in list(zip(proto.graph.node, list(proto.graph.node)[1:], strict=False)):
        if (conv.op_type, norm.op_type) != ("Conv", "BatchNormalization"):
            continue
        kernel, bias, scale, shift, mean, variance = (
            numpy_helper.to_array(held[name]) for name in (*conv.input[1:], *norm.input[1:])
        )
        factor = scale / np.sqrt(variance + np.float32(1e-5))
        folded = kernel * factor.reshape(-1, 1, 1, 1), (bias - mean) * factor + shift
        for name, array in zip(conv.input[1:], folded, strict=True):
            held[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
        conv.output[0] = norm.output[0]
        proto.graph.node.remove(norm)


def written(model: str, tensors: Mapping[str, Floats], folder: str) -> str:
    """Write the model with other numbers; return its path."""
    proto = source(model)
    for tensor in proto.graph.initializer:
        if tensor.name in tensors or tensor.name.endswith(STATISTICS):
            held = tensors.get(tensor.name, np.full(tensor.dims, tensor.name.endswith("var")))
            array = held.astype(np.float32).reshape(list(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    if model == FOLDED:
        fold(proto)
    path = f"{folder}/{model}.onnx"
    onnx.save(proto, path)
    return path


def said_of(model: str, start: str) -> Iterator[tuple[int, Counter[str], float]]:
    """Yield steps, how often each rule spoke and how many layers were judged, and the accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        start_path = f"{folder}/start.onnx"
        onnx.save(source(model), start_path)
        probe = onnxtop.Probe(start_path, data_of(model))
        for seed in SEEDS:
            for step, point in trained(probe, started(probe, start_path, start, seed), seed):
                report = onnxtop.audit(written(model, probe.tensors(point), folder))
                count = Counter(finding.rule for finding in report.findings)
                count["judged"] = len(judged(report))
                yield step, count, probe.scores(point).accuracy or 0.0


def counted(start: str) -> Iterator[dict[str, Any]]:
    """Yield what was said of all networks from one start, by the number of steps."""
    rows = [row for model in (*SMALL, *NETWORKS, FOLDED) for row in said_of(model, start)]
    for step in STEPS:
        here = [(count, right) for at, count, right in rows if at == step]
        yield {
            "start": start,
            "steps": step,
            "networks": len(here),
            **{name: sum(count[name] for count, _ in here) for name in COUNTED},
            "accuracy": round(float(np.mean([right for _, right in here])), 3),
            "wrong": sum(count["OT208"] for count, _ in here if step),
        }


def main(path: str | None) -> int:
    """Print a row for every start and number of steps; 1 if a network that was trained is called untrained.

    They are written into a file of counts as well, if one is given.
    """
    rows = []
    for start in STARTS:
        for row in counted(start):
            rows.append(row)
            if len(rows) == 1:
                print(*(f"{name:>11}" for name in row))
            print(*(f"{value:>11}" for value in row.values()), flush=True)
    if path is not None:
        counts = json.loads(Path(path).read_text(encoding="utf-8"))
        counts["training"] = rows
        Path(path).write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
