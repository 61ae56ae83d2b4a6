"""Model files with random weights from seeds: ``python -m benchmarks._models NAME FOLDER`` makes one.

They are made in a process of their own: one that has held large arrays passes for large ever after.
"""

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from benchmarks._measuring import environment
from onnxtop import testing

MAKERS: dict[str, Callable[[Path], None]] = {}
"""What makes a file, or a folder of files, by its name."""


def model(folder: Path, name: str) -> Path:
    """Return a file of this name in a folder, or a folder; made if it is not there."""
    path = folder / name
    if not path.exists():
        command = [sys.executable, "-m", "benchmarks._models", name, str(folder)]
        subprocess.run(command, check=True, env=environment())
    return path


def maker(name: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Let a function make the file of this name."""

    def add(make: Callable[[Path], None]) -> Callable[[Path], None]:
        MAKERS[name] = make
        return make

    return add


def gaussian(*shape: int, seed: int = 0) -> np.ndarray:
    """Return float32 weights as initialisers draw them: of variance 1 over the inputs."""
    weights = np.random.default_rng((seed, *shape)).standard_normal(shape, dtype=np.float32)
    return weights / np.float32(np.sqrt(shape[0]))


def mlp(path: Path, widths: Sequence[int], seed: int = 0) -> None:
    """Write a fully connected network."""
    pairs = enumerate(itertools.pairwise(widths), seed)
    testing.write_mlp(path, [gaussian(*pair, seed=number) for number, pair in pairs])


class ResNet:
    """Nodes and weights of a ResNet without its normalisations, one after the other."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.held: list[TensorProto] = []
        self.rng = np.random.default_rng(0)

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        """Add an operation; return its output."""
        result = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], f"{op}{len(self.nodes)}", **attributes))
        return result

    def weight(self, *shape: int) -> str:
        """Add a weight; return its name."""
        drawn = self.rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        name = f"w{len(self.held)}"
        self.held.append(helper.make_tensor(name, TensorProto.FLOAT, shape, drawn.tobytes(), raw=True))
        return name

    def conv(self, x: str, n_in: int, n_out: int, taps: int, stride: int = 1) -> str:
        """Add a convolution."""
        weight = self.weight(n_out, n_in, taps, taps)
        return self.node("Conv", x, weight, strides=[stride] * 2, pads=[taps // 2] * 4)

    def basic(self, x: str, n_in: int, wide: int, stride: int) -> str:
        """Add two convolutions of 3 x 3 and what goes past them."""
        a = self.node("Relu", self.conv(x, n_in, wide, 3, stride))
        return self._joined(x, self.conv(a, wide, wide, 3), n_in, wide, stride)

    def bottleneck(self, x: str, n_in: int, wide: int, stride: int) -> str:
        """Add a convolution of 3 x 3 between two of 1 x 1, and what goes past them."""
        a = self.node("Relu", self.conv(x, n_in, wide // 4, 1, stride))
        b = self.node("Relu", self.conv(a, wide // 4, wide // 4, 3))
        return self._joined(x, self.conv(b, wide // 4, wide, 1), n_in, wide, stride)

    def _joined(self, x: str, y: str, n_in: int, wide: int, stride: int) -> str:
        skip = x if (n_in, stride) == (wide, 1) else self.conv(x, n_in, wide, 1, stride)
        return self.node("Relu", self.node("Add", y, skip))

    def write(
        self, path: Path, widths: Sequence[int], depths: Sequence[int], block: Callable[..., str]
    ) -> None:
        """Write stages of these widths and numbers of blocks, and the classifier."""
        x, width = self.node("Relu", self.conv("x", 3, 64, 7, 2)), 64
        for number, (wide, depth) in enumerate(zip(widths, depths, strict=True)):
            for at in range(depth):
                x = block(x, width, wide, 2 if number and not at else 1)
                width = wide
        x = self.node("Flatten", self.node("GlobalAveragePool", x))
        y = self.node("MatMul", x, self.weight(width, 1000))
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 224, 224])]
        outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["batch", 1000])]
        graph = helper.make_graph(self.nodes, "resnet", inputs, outputs, self.held)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


@maker("resnet18.onnx")
def resnet18(path: Path) -> None:
    """11.7 million weights."""
    net = ResNet()
    net.write(path, (64, 128, 256, 512), (2, 2, 2, 2), net.basic)


@maker("resnet50.onnx")
def resnet50(path: Path) -> None:
    """25.5 million weights."""
    net = ResNet()
    net.write(path, (256, 512, 1024, 2048), (3, 4, 6, 3), net.bottleneck)


@maker("float32.onnx")
def one_layer(path: Path, shape: tuple[int, int] = (4096, 11008)) -> None:
    """One layer of a language model's size."""
    testing.write_mlp(path, [gaussian(*shape)])


@maker("float16.onnx")
def one_layer_float16(path: Path, shape: tuple[int, int] = (4096, 11008)) -> None:
    """The same in float16."""
    testing.write_mlp(path, [gaussian(*shape).astype(np.float16)])


@maker("int8.onnx")
def one_layer_int8(path: Path, shape: tuple[int, int] = (4096, 11008)) -> None:
    """The same in int8, with a scale for each output."""
    weight = gaussian(*shape)
    scale = np.abs(weight).max(axis=0) / np.float32(127)
    codes = np.round(weight / scale).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "scale"], ["w"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"], "fc1"),
    ]
    ends = [
        helper.make_tensor_value_info(*end) for end in (("x", 1, ["n", shape[0]]), ("y", 1, ["n", shape[1]]))
    ]
    held = [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scale, "scale")]
    graph = helper.make_graph(nodes, "int8", ends[:1], ends[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


@maker("100m.onnx")
def hundred_million(path: Path) -> None:
    """Six layers of 4096 x 4096: 100 million weights."""
    mlp(path, [4096] * 7)


@maker("small-layers.onnx")
def small_layers(path: Path, n: int = 2000) -> None:
    """2,000 layers of 16 x 16."""
    mlp(path, [16] * (n + 1))


@maker("small-models")
def small_models(path: Path, n: int = 100) -> None:
    """100 networks of 150,000 weights."""
    path.mkdir()
    for number in range(n):
        mlp(path / f"{number:03}.onnx", (256, 256, 256, 64, 10), seed=100 * number)


@maker("models")
def models(path: Path, n: int = 120) -> None:
    """120 networks of a million weights, of which six kinds of widths."""
    path.mkdir()
    for number in range(n):
        width = 256 + 64 * (number % 6)
        mlp(path / f"{number:03}.onnx", (784, width, 2 * width, width, 10), seed=100 * number)


LAYERS_A_GB = {"float16": 11, "int4": 39}
"""Layers of 4096 x 11008, or the other way round, in a file of 1 GB."""


def large(path: Path, kind: str, layers: int, shape: tuple[int, int] = (4096, 11008)) -> None:
    """Write a chain of layers into a folder, whose weights lie in a file beside the model.

    All are cut from one pool of random numbers, each at places of its own, so that none is a copy.
    """
    path.mkdir()
    rng = np.random.default_rng(0)
    pool = rng.standard_normal(math.prod(shape) // 8, dtype=np.float32) / np.float32(np.sqrt(shape[0]))
    kept = []
    with (path / "weights.data").open("wb") as file:
        for number in range(layers):
            sides = shape if number % 2 == 0 else shape[::-1]
            turned = np.roll(pool, int(rng.integers(pool.size)))
            parts = [np.roll(turned, 7919 * part * (number + 1)) for part in range(8)]
            weight = np.concatenate(parts).reshape(sides) * rng.choice([-1, 1], sides[1]).astype(np.float32)
            kept.append(_stored(file, number, weight, kind))
    nodes = [node for each in kept for node in each[0]]
    ends = [
        helper.make_tensor_value_info("v0", TensorProto.FLOAT16, ["n", shape[0]]),
        helper.make_tensor_value_info(f"v{layers}", TensorProto.FLOAT16, ["n", None]),
    ]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], [t for each in kept for t in each[1]])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10),
        path / "model.onnx",
    )


def _stored(
    file: BinaryIO, number: int, weight: np.ndarray, kind: str
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Write a weight; return the nodes that use it, and the tensors that say where it is."""
    if kind == "float16":
        held = [_beside(file, f"w{number}", TensorProto.FLOAT16, weight.shape, weight.astype(np.float16))]
        return [
            helper.make_node("MatMul", [f"v{number}", f"w{number}"], [f"v{number + 1}"], f"fc{number}")
        ], held
    blocks = weight.reshape(-1, 32, weight.shape[1])
    scales = (np.abs(blocks).max(axis=1) / np.float32(7)).astype(np.float16)
    codes = np.round(blocks / scales[:, None]).clip(-8, 7).astype(np.int8).ravel()
    packed = (codes[::2] & 15 | codes[1::2] << 4).astype(np.uint8)
    held = [
        _beside(file, f"c{number}", TensorProto.INT4, weight.shape, packed),
        _beside(file, f"s{number}", TensorProto.FLOAT16, scales.shape, scales),
    ]
    decode = helper.make_node(
        "DequantizeLinear", [f"c{number}", f"s{number}"], [f"w{number}"], axis=0, block_size=32
    )
    return [
        decode,
        helper.make_node("MatMul", [f"v{number}", f"w{number}"], [f"v{number + 1}"], f"fc{number}"),
    ], held


def _beside(file: BinaryIO, name: str, kind: int, shape: Sequence[int], data: np.ndarray) -> TensorProto:
    tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
    file.write(bytes(-file.tell() % 4096))
    entries = (("location", "weights.data"), ("offset", file.tell()), ("length", data.nbytes))
    for key, value in entries:
        tensor.external_data.add(key=key, value=str(value))
    file.write(data.tobytes())
    return tensor


for _kind, _layers in LAYERS_A_GB.items():
    for _size in (1, 2, 4, 20):
        maker(f"large-{_kind}-{_size}")(partial(large, kind=_kind, layers=_size * _layers))


if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]) / sys.argv[1])
