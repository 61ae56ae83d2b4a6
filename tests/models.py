"""Small ONNX models in a few lines, and what onnxruntime says of them.

Weights are multiples of 1/8 up to 8: exact in every float type, and so is every sum that a test makes of
them; what the reader gives can be compared with what the runtime computes bit by bit.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxtop import testing
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from onnxtop.results.report import Report

Array = NDArray[Any]
Weights = Mapping[str, Array | TensorProto]

FLOAT_TYPES = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)
MICROSOFT = "com.microsoft"


def weights(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return random multiples of 1/8, none of them zero."""
    rng = np.random.default_rng((seed, *shape))
    return (rng.integers(1, 65, shape) * rng.choice([-1, 1], shape) / 8).astype(dtype)


def tensor(name: str, value: Array | TensorProto) -> TensorProto:
    if isinstance(value, TensorProto):
        value.name = name
        return value
    return numpy_helper.from_array(np.asarray(value), name)


def node(op: str, inputs: str, outputs: str = "y", /, **attributes: Any) -> NodeProto:
    """Return a node: ``node("com.microsoft.FusedGemm", "x w b", "y", transB=1)``; "-" is no input."""
    domain, _, op_type = op.rpartition(".")
    names = ["" if name == "-" else name for name in inputs.split()]
    made = helper.make_node(op_type, names, outputs.split(), domain=domain)
    made.name = attributes.pop("name", "")
    for key, value in attributes.items():  # in the order given: make_node sorts them
        made.attribute.append(helper.make_attribute(key, value))
    return made


def constant(kind: str, name: str) -> NodeProto:
    """Return a Constant of the number 2, or of three, in one of the attributes that its value may be."""
    three = numpy_helper.from_array(np.full(3, 2, np.float32), "held")
    places = numpy_helper.from_array(np.arange(3), "places")
    values = {
        "value": three,
        "sparse_value": helper.make_sparse_tensor(three, places, [3]),
        "value_float": 2.0,
        "value_floats": [2.0, 2.0, 2.0],
        "value_int": 2,
        "value_ints": [2, 2, 2],
        "value_string": "2",
        "value_strings": ["2", "2", "2"],
    }
    return node("Constant", "", name, **{kind: values[kind]})


def graph(
    nodes: Sequence[NodeProto],
    initializers: Weights | None = None,
    inputs: Mapping[str, Sequence[Any] | None] | None = None,
    outputs: Iterable[str] = ("y",),
    *,
    dtype: Any = np.float32,
    name: str = "graph",
) -> GraphProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_graph(
        list(nodes),
        name,
        [
            helper.make_tensor_value_info(name, element, shape)
            for name, shape in ({"x": None} if inputs is None else inputs).items()
        ],
        [helper.make_tensor_value_info(name, element, None) for name in outputs],
        [tensor(name, value) for name, value in (initializers or {}).items()],
    )


def model(
    nodes: Sequence[NodeProto],
    initializers: Weights | None = None,
    inputs: Mapping[str, Sequence[Any] | None] | None = None,
    outputs: Iterable[str] = ("y",),
    *,
    dtype: Any = np.float32,
    opset: int = 21,
    functions: Sequence[onnx.FunctionProto] = (),
) -> ModelProto:
    """Return a model with one input ``x`` and one output ``y`` unless told otherwise."""
    domains = {"": opset, MICROSOFT: 1, **{function.domain: 1 for function in functions}}
    domains.update({item.domain: 1 for item in nodes if item.domain not in domains})
    return helper.make_model(
        graph(nodes, initializers, inputs, outputs, dtype=dtype),
        ir_version=10,
        producer_name="tests",
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in domains.items()],
        functions=list(functions),
    )


def mlp(
    *sizes: int, bias: bool = True, seed: int = 0, dtype: Any = np.float32, activation: str = "Relu"
) -> ModelProto:
    """Return Gemm layers ``fc1``, ``fc2``, ... with weights [out, in] and a Relu or another between them."""
    shapes = list(enumerate(pairwise(sizes), start=1))
    matrices = [weights(n_out, n_in, seed=seed + i, dtype=dtype).T for i, (n_in, n_out) in shapes]
    biases = [weights(n_out, seed=seed + i, dtype=dtype) for i, (_, n_out) in shapes] if bias else None
    return testing.mlp(matrices, biases, activation=activation)


def save(proto: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def layers_of(path: Path | str) -> list[Layer | Skipped]:
    loaded = load(path)
    return find_layers(loaded, Constants(loaded))


def only_layer(path: Path | str) -> Layer:
    """Return the single layer of a model; anything else is a failure."""
    found = layers_of(path)
    assert len(found) == 1, found
    assert isinstance(found[0], Layer), found[0]
    return found[0]


def only_skipped(path: Path | str) -> Skipped:
    found = layers_of(path)
    assert len(found) == 1, found
    assert isinstance(found[0], Skipped), found[0]
    return found[0]


def run(proto: ModelProto, **feeds: Array) -> Array:
    """Return the first output that onnxruntime computes, with nothing optimised."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def response(proto: ModelProto, shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Return the matrix of the linear map that a model computes: row i is its answer to the i-th unit vector.

    ``shape`` is that of the input ``x``; input and output are flattened. The bias falls out.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])

    def answer(x: Array) -> Array:
        return session.run(None, {"x": x.reshape(shape)})[0].astype(np.float64).ravel()

    nothing = answer(np.zeros(shape, dtype))
    return np.array([answer(unit) - nothing for unit in np.eye(math.prod(shape), dtype=dtype)])


def block_diagonal(blocks: Sequence[Array]) -> Array:
    """Return the blocks as one matrix: rows and columns of a later one follow those of the earlier."""
    whole = np.zeros(tuple(sum(block.shape[axis] for block in blocks) for axis in (0, 1)))
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole


def check_consistent(report: Report) -> None:
    """Fail unless the report's parts add up, whatever the model."""
    coverage = report.coverage
    skipped = sum(item.parameters for item in coverage.skipped)
    assert coverage.parameters_total == coverage.parameters_analysed + skipped
    apart = coverage.biases + coverage.normalisation + coverage.other_constants + coverage.unused
    assert coverage.constants == coverage.parameters_total + apart
    if coverage.parameters_total:
        assert coverage.fraction == coverage.parameters_analysed / coverage.parameters_total
    else:
        assert coverage.fraction is None
    assert all(item.name and item.op_type and item.reason for item in coverage.skipped)
    assert all("\n" not in item.reason for item in coverage.skipped)
    names = [layer.name for layer in report.layers]
    assert len(set(names)) == len(names)
    for layer in report.layers:
        figures = layer.neural_persistence
        assert layer.name
        assert (figures.total is None) == (figures.normalized is None)
        assert figures.total is not None or figures.reason
        if figures.total is not None:
            vertices = layer.n_in + layer.n_out
            assert min(layer.n_in, layer.n_out) > 0
            assert 0 <= figures.total <= math.sqrt(vertices + 1) * (1 + 1e-9)
    network = report.network.neural_persistence
    assert (network.total is None) == (network.mean_normalized is None)
    assert network.total is not None or network.reason
    assert network.total is None or any(layer.neural_persistence.total is not None for layer in report.layers)
