"""ONNX files from arrays: a chain of operations, each with what it holds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 21


@dataclass(frozen=True, eq=False)
class Step:
    """An operation of ONNX, with its name, its arrays (inputs after the first), and its attributes.

    ``skip`` names an earlier operation whose output comes in beside the last one's.
    """

    op_type: str
    name: str
    arrays: Sequence[NDArray[Any]] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    skip: str = ""


def model(steps: Sequence[Step], shape: Sequence[int]) -> bytes:
    """Return a chain of operations from ``x``, samples of a shape, to ``y``, as an ONNX file."""
    nodes, tensors, value = [], [], "x"
    for step in steps:
        names = [f"{step.name}.{number}" for number in range(len(step.arrays))]
        tensors += [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for array, name in zip(step.arrays, names, strict=True)
        ]
        output = "y" if step is steps[-1] else f"{step.name}.out"
        inputs = [value, *([f"{step.skip}.out"] if step.skip else []), *names]
        nodes.append(helper.make_node(step.op_type, inputs, [output], step.name, **step.attributes))
        value = output
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *sizes])
        for name, sizes in (("x", shape), ("y", [None]))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(graph, ir_version=10, producer_name="studies", opset_imports=opsets)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name, in its order."""
    held = onnx.load_from_string(content).graph.initializer
    return {each.name: numpy_helper.to_array(each) for each in held}


def with_arrays(content: bytes, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file with other arrays in the places of some of its own, by name."""
    model = onnx.load_from_string(content)
    for each in model.graph.initializer:
        if each.name in arrays:
            each.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(arrays[each.name]), each.name))
    return bytes(model.SerializeToString())


def with_weights(content: bytes, weights: NDArray[np.floating[Any]]) -> bytes:
    """Return a file with other numbers in its tensors, one after another as they stand in it.

    Raises
    ------
    ValueError
        There are more or fewer.
    """
    shapes = {name: each.shape for name, each in tensors(content).items()}
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    if weights.shape != (ends[-1],):
        raise ValueError(f"wanted {ends[-1]} weights, found an array of shape {weights.shape}")
    parts = zip(shapes.items(), np.split(weights, ends[:-1]), strict=True)
    return with_arrays(
        content, {name: part.astype(np.float32).reshape(shape) for (name, shape), part in parts}
    )


def outputs(content: bytes, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what onnxruntime computes, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def check_same(content: bytes, x: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Refuse a file that predicts something else than the network that it was written from.

    Raises
    ------
    RuntimeError
        It does.
    """
    found = outputs(content, x)
    if found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-3, atol=1e-3):
        raise RuntimeError("onnxruntime computes something else than PyTorch did from the same weights")
