"""Files written from arrays: onnxruntime computes with them what NumPy does; the reader finds the arrays."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import read_layers
from onnxtop.testing import cnn, mlp, write_cnn, write_mlp
from tests.models import run, weights

Array = NDArray[Any]


def convolved(x: Array, kernel: Array, bias: Array | None, stride: int, pad: int) -> Array:
    """A convolution position by position and channel by channel."""
    n_out, per_group, *taps = kernel.shape
    axes = range(2, x.ndim)
    padded = np.pad(x, [(0, 0), (0, 0), *[(pad, pad)] * len(taps)])
    groups = x.shape[1] // per_group
    sizes = [(padded.shape[axis] - k) // stride + 1 for axis, k in zip(axes, taps, strict=True)]
    y = np.zeros((len(x), n_out, *sizes))
    for place in np.ndindex(*sizes):
        window = tuple(slice(p * stride, p * stride + k) for p, k in zip(place, taps, strict=True))
        for out in range(n_out):
            first = out // (n_out // groups) * per_group
            part = padded[(slice(None), slice(first, first + per_group), *window)]
            y[(slice(None), out, *place)] = (part * kernel[out]).sum(axis=(1, *axes))
    return y if bias is None else y + bias.reshape(-1, *[1] * len(taps))


def blocks(path: Path) -> dict[str, Array]:
    return {layer.name: np.vstack(layer.blocks()) for layer in read_layers(path) if isinstance(layer, Layer)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["Relu", "Tanh", None])
def test_an_mlp(tmp_path: Path, dtype: Any, activation: str | None) -> None:
    matrices = [weights(5, 4, dtype=dtype), weights(4, 3, dtype=dtype), weights(3, 2, dtype=dtype)]
    biases = [weights(4, dtype=dtype), None, weights(2, dtype=dtype)]
    path = tmp_path / "mlp.onnx"
    write_mlp(path, matrices, biases, activation=activation)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    x = value = weights(7, 5, dtype=dtype)
    between = {"Relu": lambda v: np.maximum(v, 0), "Tanh": np.tanh, None: lambda v: v}[activation]
    for number, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        value = (value if not number else between(value)) @ matrix + (0 if bias is None else bias)
    assert run(proto, x=x) == pytest.approx(value, rel=1e-6)
    found = blocks(path)
    assert list(found) == ["fc1", "fc2", "fc3"]
    for matrix, read in zip(matrices, found.values(), strict=True):
        assert read.dtype == dtype
        assert np.array_equal(read, matrix)


CNNS = {
    "plain": ([(4, 2, 3, 3), (5, 4, 2, 2)], (2, 7, 6), 1, 0),
    "strides, padding and groups": (
        [(4, 2, 3, 3), (6, 2, 3, 1), (6, 1, 1, 1)],
        (2, 9, 7),
        [2, 1, 1],
        [1, 1, 0],
    ),
    "one axis": ([(3, 1, 4), (2, 3, 1)], (1, 11), [3, 1], 2),
    "three axes": ([(2, 1, 2, 3, 2)], (1, 4, 5, 3), 1, 1),
}


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("case", CNNS)
def test_a_cnn(tmp_path: Path, case: str, head: bool) -> None:
    shapes, image, strides, pads = CNNS[case]
    kernels = {f"c{number}": weights(*shape, seed=number) for number, shape in enumerate(shapes)}
    biases = {"c0": weights(shapes[0][0])}
    steps = [[each] * len(shapes) if isinstance(each, int) else each for each in (strides, pads)]
    x = value = weights(3, *image)
    for number, (name, kernel) in enumerate(kernels.items()):
        value = np.maximum(value, 0) if number else value
        value = convolved(value, kernel, biases.get(name), steps[0][number], steps[1][number])
    dense = {"out": weights(value[0].size, 3)} if head else {}
    if head:
        value = np.maximum(value, 0).reshape(3, -1) @ dense["out"]
    path = tmp_path / "cnn.onnx"
    write_cnn(path, kernels, dense, biases, image=image, strides=strides, pads=pads)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert run(proto, x=x) == pytest.approx(value, rel=1e-5, abs=1e-3)
    assert list(blocks(path)) == [*kernels, *dense]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_types_are_stored_as_they_are(tmp_path: Path, dtype: Any) -> None:
    write_mlp(tmp_path / "m.onnx", {"only": weights(3, 2, dtype=dtype)})
    assert np.array_equal(blocks(tmp_path / "m.onnx")["only"].astype(float), weights(3, 2, dtype=float))


M, K = np.ones((3, 2)), np.ones((2, 3, 2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp([]), "wanted the matrices of an MLP"),
        (lambda: mlp([M, M]), "wanted 2 rows of 'fc2', found 3"),
        (lambda: mlp([np.ones(3)]), r"wanted a matrix .* for 'fc1', found shape \(3,\)"),
        (lambda: mlp([np.ones((3, 0))]), "wanted a matrix"),
        (lambda: mlp([M], [np.ones(3)]), r"bias of shape \(2,\) for 'fc1', found \(3,\)"),
        (lambda: mlp([M], []), "a bias or None for each of 1 layers"),
        (lambda: mlp({"a": M}, {"b": np.ones(2)}), "names of layers in biases, found b"),
        (lambda: mlp([M.astype(np.float32), np.ones((2, 2))]), "arrays of one float type"),
        (lambda: mlp([M], [np.ones(2, np.float32)]), "arrays of one float type"),
        (lambda: mlp([M.astype(int)]), "arrays of one float type, found int64"),
        (lambda: mlp([M], activation="relu"), "wanted an ONNX operation of one input"),
        (lambda: mlp([M], activation="Add"), "wanted an ONNX operation of one input"),
        (lambda: cnn([], [M], image=(3, 4, 4)), "wanted the kernels of a CNN"),
        (lambda: cnn([K], image=(2, 4, 4)), "kernel for 2 channels"),
        (lambda: cnn([K], image=(3, 4)), "with 1 axes of taps"),
        (lambda: cnn([K], image=(3, 1, 4)), r"kernel that fits \[1, 4\]"),
        (lambda: cnn([K], [M], image=(3, 2, 2)), "wanted 2 rows of 'fc1', found 3"),
        (lambda: cnn([K], image=(3, 4, 4), strides=[1, 2]), "wanted strides for each of 1 kernels"),
        (lambda: cnn({"a": K}, {"a": M}, image=(3, 4, 4)), "a name of its own"),
    ],
)
def test_arrays_that_make_no_network(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"strides": 0}, "wanted strides of at least 1, found 0"),
        ({"pads": [-1]}, "wanted pads of at least 0, found -1"),
        ({"image": ()}, "wanted an image as"),
        ({"image": 5}, "wanted an image as"),
    ],
)
def test_sizes_that_make_no_sense(asked, message, tmp_path):
    options = {"image": (1, 5, 5), **asked}
    with pytest.raises(UsageError, match=message):
        write_cnn(tmp_path / "cnn.onnx", [np.ones((2, 1, 3, 3))], **options)
    write_cnn(tmp_path / "cnn.onnx", [np.ones((2, 1, 3, 3))], image=(1, 5, 5), strides=np.int64(2))
