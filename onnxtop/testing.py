"""Small ONNX files from arrays: fully connected and convolutional networks, without an exporter.

Weights are as everywhere in onnxtop: rows of a matrix are inputs, columns are outputs. They are stored as
PyTorch's exporter stores them, turned round. All arrays of a network have one float type, which is that of
its inputs and outputs as well.

>>> import numpy as np, onnxtop, tempfile
>>> rng = np.random.default_rng(0)
>>> weights = [rng.standard_normal((64, 20)), rng.standard_normal((20, 10))]
>>> with tempfile.TemporaryDirectory() as folder:
...     write_mlp(f"{folder}/mlp.onnx", weights, [np.zeros(20), np.ones(10)], activation="Tanh")
...     report = onnxtop.audit(f"{folder}/mlp.onnx")
>>> [(layer.name, layer.shape, layer.n_in, layer.n_out) for layer in report.layers]
[('fc1', (20, 64), 64, 20), ('fc2', (10, 20), 20, 10)]
>>> mean = report.network.neural_persistence.mean_normalized
>>> round(mean - onnxtop.neural_persistence({"fc1": weights[0], "fc2": weights[1]}).mean_normalized, 12)
0.0
"""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxtop.errors import UsageError

OPSET = 21

Arrays: TypeAlias = Sequence[ArrayLike] | Mapping[str, ArrayLike]
"""Weights in order, by name or not."""

Biases: TypeAlias = Sequence[ArrayLike | None] | Mapping[str, ArrayLike] | None
"""A vector for each layer or for some: by name, or in order with None between; None for no biases."""


def write_mlp(
    path: str | os.PathLike[str],
    weights: Arrays,
    biases: Biases = None,
    *,
    activation: str | None = "Relu",
) -> None:
    """Write a fully connected network.

    Parameters
    ----------
    path
        The file, which is replaced if it is there.
    weights
        Matrices (n_in, n_out), each as wide as the next one is long. Layers are called ``fc1``, ``fc2`` and
        so on unless they have names.
    biases
        Vectors (n_out,).
    activation
        The operation between two layers, by its name in ONNX, with its defaults; None for none.

    Raises
    ------
    UsageError
        Arrays that do not fit each other, or an activation that is none.
    """
    _save(mlp(weights, biases, activation=activation), path)


def write_cnn(
    path: str | os.PathLike[str],
    kernels: Arrays,
    weights: Arrays = (),
    biases: Biases = None,
    *,
    image: Sequence[int],
    strides: int | Sequence[int] = 1,
    pads: int | Sequence[int] = 0,
    activation: str | None = "Relu",
) -> None:
    r"""Write a convolutional network: convolutions, and a fully connected network on all that they give.

    Parameters
    ----------
    path
        The file, which is replaced if it is there.
    kernels
        Shapes (channels out, channels in per group, \*taps). Where fewer channels come in than there are, the
        convolution has groups. They are called ``conv1``, ``conv2`` and so on unless they have names.
    weights
        Matrices as for `write_mlp`; the first has a row for each channel and position, channels first.
    biases
        Vectors (channels out,) or (n_out,) of the kernels and matrices, in that order or by name.
    image
        Channels and sizes of an input without its batch, such as (3, 32, 32).
    strides, pads
        Of each convolution, or of all: the same along every axis and at both ends.
    activation
        As for `write_mlp`.

    Raises
    ------
    UsageError
        As for `write_mlp`, or a kernel that does not fit the image.
    """
    model = cnn(kernels, weights, biases, image=image, strides=strides, pads=pads, activation=activation)
    _save(model, path)


def mlp(weights: Arrays, biases: Biases = None, *, activation: str | None = "Relu") -> ModelProto:
    """Return what `write_mlp` writes."""
    named = _named(weights, "fc")
    if not named:
        raise UsageError("wanted the matrices of an MLP, found none: pass at least one")
    network = _Network(
        named, _biases(biases, list(named)), activation, [_matrix(*next(iter(named.items())))[0]]
    )
    for name in named:
        network.dense(name)
    return network.model()


def cnn(
    kernels: Arrays,
    weights: Arrays = (),
    biases: Biases = None,
    *,
    image: Sequence[int],
    strides: int | Sequence[int] = 1,
    pads: int | Sequence[int] = 0,
    activation: str | None = "Relu",
) -> ModelProto:
    """Return what `write_cnn` writes."""
    convolutions, dense = _named(kernels, "conv"), _named(weights, "fc")
    if not convolutions:
        raise UsageError("wanted the kernels of a CNN, found none: pass at least one, or write an MLP")
    names = [*convolutions, *dense]
    if len(set(names)) < len(names):
        raise UsageError(f"wanted every layer by a name of its own, found {', '.join(names)}")
    if np.ndim(image) != 1 or len(image) < 2 or min(image) < 1:
        raise UsageError(f"wanted an image as (channels, sizes), such as (3, 32, 32), found {image}")
    network = _Network(convolutions | dense, _biases(biases, names), activation, list(image))
    steps = zip(_each(strides, convolutions, "strides", 1), _each(pads, convolutions, "pads", 0), strict=True)
    for name, (stride, pad) in zip(convolutions, steps, strict=True):
        network.convolution(name, stride, pad)
    if dense:
        network.flatten()
    for name in dense:
        network.dense(name)
    return network.model()


def _save(model: ModelProto, path: str | os.PathLike[str]) -> None:
    onnx.save(model, os.fspath(path))


def _named(arrays: Arrays, kind: str) -> dict[str, NDArray[Any]]:
    items = (
        arrays.items()
        if isinstance(arrays, Mapping)
        else ((f"{kind}{i}", a) for i, a in enumerate(arrays, 1))
    )
    return {str(name): np.asarray(array) for name, array in items}


def _biases(biases: Biases, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the biases by the names of their layers."""
    if not isinstance(biases, Mapping):
        held = [None] * len(names) if biases is None else list(biases)
        if len(held) != len(names):
            raise UsageError(f"wanted a bias or None for each of {len(names)} layers, found {len(held)}")
        biases = {name: each for name, each in zip(names, held, strict=True) if each is not None}
    if unknown := sorted(set(biases) - set(names)):
        raise UsageError(f"wanted names of layers in biases, found {', '.join(unknown)}: leave them out")
    return {name: np.asarray(each) for name, each in biases.items()}


def _each(value: int | Sequence[int], layers: Mapping[str, Any], what: str, least: int) -> list[int]:
    values = np.ravel(value).tolist() * (len(layers) if np.ndim(value) == 0 else 1)
    if any(each < least for each in values):
        raise UsageError(f"wanted {what} of at least {least}, found {min(values)}")
    if len(values) != len(layers):
        raise UsageError(f"wanted {what} for each of {len(layers)} kernels, found {len(values)}")
    return values


def _matrix(name: str, array: NDArray[Any]) -> tuple[int, int]:
    if array.ndim != 2 or not array.size:
        raise UsageError(f"wanted a matrix (n_in, n_out) for {name!r}, found shape {array.shape}")
    return array.shape[0], array.shape[1]


class _Network:
    """Layers, one after the other, from ``x`` to ``y``; ``shape`` is that of the latest value in a batch."""

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        biases: Mapping[str, NDArray[Any]],
        activation: str | None,
        shape: list[int],
    ) -> None:
        self.dtype = _one_type({**arrays, **{f"bias of {name}": bias for name, bias in biases.items()}})
        self.arrays, self.biases = arrays, biases
        self.activation = _checked(activation)
        self.shape, self.image, self.value = shape, shape, "x"
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.last = list(arrays)[-1]

    def dense(self, name: str) -> None:
        """Add a matrix."""
        n_in, n_out = _matrix(name, self.arrays[name])
        if n_in != math.prod(self.shape):
            raise UsageError(
                f"wanted {math.prod(self.shape)} rows of {name!r}, found {n_in}: they are its inputs"
            )
        self._layer("Gemm", name, self.arrays[name].T, transB=1)
        self.shape = [n_out]
        self._activate(name)

    def convolution(self, name: str, stride: int, pad: int) -> None:
        """Add a kernel."""
        kernel, (channels, *sizes) = self.arrays[name], self.shape
        if kernel.ndim != 2 + len(sizes) or not kernel.size:
            raise UsageError(
                f"wanted a kernel with {len(sizes)} axes of taps for {name!r}, found shape {kernel.shape}: "
                f"its input has {channels} channels of {' x '.join(map(str, sizes))}"
            )
        n_out, n_in, *taps = kernel.shape
        if channels % n_in or n_out % (channels // n_in):
            raise UsageError(
                f"wanted a kernel for {channels} channels for {name!r}, found shape {kernel.shape}"
            )
        after = [(n + 2 * pad - k) // stride + 1 for n, k in zip(sizes, taps, strict=True)]
        if min(after) < 1:
            raise UsageError(f"wanted a kernel that fits {sizes} for {name!r}, found {taps} taps")
        n = len(taps)
        groups = {"group": channels // n_in} if n_in < channels else {}
        self._layer("Conv", name, kernel, strides=[stride] * n, pads=[pad] * 2 * n, **groups)
        self.shape = [n_out, *after]
        self._activate(name)

    def flatten(self) -> None:
        """Put channels and positions in a row."""
        self._node("Flatten", "flatten", [self.value], "flat")
        self.shape = [math.prod(self.shape)]

    def model(self) -> ModelProto:
        """Return the whole."""
        element = helper.np_dtype_to_tensor_dtype(self.dtype)
        ends = [
            helper.make_tensor_value_info(name, element, ["batch", *shape])
            for name, shape in (("x", self.image), ("y", self.shape))
        ]
        graph = helper.make_graph(self.nodes, "network", ends[:1], ends[1:], self.tensors)
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, ir_version=10, producer_name="onnxtop.testing", opset_imports=opset)

    def _layer(self, op_type: str, name: str, stored: NDArray[Any], **attributes: Any) -> None:
        """Add a weight and its bias."""
        inputs = [self.value, f"{name}.weight"]
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(stored), f"{name}.weight"))
        if (bias := self.biases.get(name)) is not None:
            outputs = stored.shape[0]
            if bias.shape != (outputs,):
                raise UsageError(f"wanted a bias of shape ({outputs},) for {name!r}, found {bias.shape}")
            inputs.append(f"{name}.bias")
            self.tensors.append(numpy_helper.from_array(bias, f"{name}.bias"))
        self._node(op_type, name, inputs, "y" if name == self.last else f"{name}.sum", **attributes)

    def _activate(self, name: str) -> None:
        if self.activation is not None and name != self.last:
            self._node(self.activation, f"{name}.activation", [self.value], f"{name}.out")

    def _node(self, op_type: str, name: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op_type, inputs, [output], name, **attributes))
        self.value = output


def _one_type(arrays: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
    types = {array.dtype: name for name, array in arrays.items()}
    if len(types) > 1 or any(dtype.kind != "f" and dtype.name != "bfloat16" for dtype in types):
        shown = ", ".join(f"{dtype} ({name})" for dtype, name in types.items())
        raise UsageError(f"wanted arrays of one float type, found {shown}: convert them with astype")
    return next(iter(types))


def _checked(activation: str | None) -> str | None:
    """Return the name of an operation with one input and one output."""
    if activation is None:
        return None
    if onnx.defs.has(activation):
        schema = onnx.defs.get_schema(activation, OPSET)
        if schema.min_input == schema.max_input == 1 and schema.max_output == 1:
            return activation
    raise UsageError(
        f"wanted an ONNX operation of one input as activation, found {activation!r}: Relu, Tanh ..."
    )
