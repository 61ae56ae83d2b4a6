"""Any operation around a weight: what is analysed is what the runtime feeds to the weighted operation.

Where onnxruntime has no kernel, onnx's reference operation is the truth. What is not analysed is skipped with
its reason, and every element is counted.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxtop.reader.account import Account, Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from tests.models import node, save, weights
from tests.reader.counting import count
from tests.reader.operations import Array, Example, examples, operations

HOLD_NOTHING = {
    "ArgMax",
    "ArgMin",
    "EyeLike",
    "NonMaxSuppression",
    "NonZero",
    "OneHot",
    "OptionalHasElement",
    "RandomNormalLike",
    "RandomUniformLike",
    "Range",
    "Shape",
    "Size",
}
"""Operations whose results hold nothing of what their operands hold."""

LATEST = {"Scatter": 10, "Upsample": 9}


OLD = {(use, op_type) for op_type in LATEST for use in ("Einsum", "Gemm")}
"""In the opsets that these operations are of, there is no Einsum, and Gemm needs a bias."""


class Use(NamedTuple):
    """A weighted operation: its inputs, the shapes of weight and input, the layer's matrix of the weight."""

    op_type: str
    inputs: str
    weight: Callable[[int, int], Sequence[int]]
    x: Callable[[int, int], Sequence[int]]
    matrix: Callable[[Array], Array]
    attributes: tuple[tuple[str, Any], ...] = ()


USES = {
    "MatMul": Use("MatMul", "x w", lambda k, n: (k, n), lambda k, n: (2, k), lambda w: w),
    "MatMul, left": Use("MatMul", "w x", lambda k, n: (k, n), lambda k, n: (n, 2), lambda w: w.T),
    "Gemm": Use("Gemm", "x w", lambda k, n: (k, n), lambda k, n: (2, n), lambda w: w.T, (("transB", 1),)),
    "Conv": Use("Conv", "x w", lambda k, n: (k, n, 1), lambda k, n: (2, n, 3), lambda w: w[:, :, 0].T),
    "ConvTranspose": Use(
        "ConvTranspose", "x w", lambda k, n: (k, n, 1), lambda k, n: (2, k, 3), lambda w: w[:, :, 0]
    ),
    "Gather": Use("Gather", "w x", lambda k, n: (k, n), lambda k, n: (2,), lambda w: w),
    "RNN": Use("RNN", "x w r", lambda k, n: (1, k, n), lambda k, n: (2, 1, n), lambda w: w[0].T),
    "GRU": Use("GRU", "x w r", lambda k, n: (1, 3 * k, n), lambda k, n: (2, 1, n), lambda w: w[0].T),
    "LSTM": Use("LSTM", "x w r", lambda k, n: (1, 4 * k, n), lambda k, n: (2, 1, n), lambda w: w[0].T),
    "Einsum": Use(
        "Einsum", "x w", lambda k, n: (k, n), lambda k, n: (2, k), lambda w: w, (("equation", "ij,jk->ik"),)
    ),
}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
KINDS = (
    ("MatMul", "MatMul, left", "Gemm", "Einsum"),
    ("Conv", "ConvTranspose"),
    ("Gather",),
    ("RNN", "GRU", "LSTM"),
)
"""Uses that are read alike."""


def _uses(op_type: str, number: int) -> list[Use]:
    """Return a use of each kind in turn, another one for each example of an operation and the next.

    What is made of constants reaches a use through Cast and Reshape, and what those give is all that it sees:
    so every operation meets every kind of use, and every use operations of all families.
    """
    turn = operations().index(op_type) + number
    return [USES[kind[turn % len(kind)]] for kind in KINDS]


class Wrapped(NamedTuple):
    """A model whose weight, called ``w`` and given out, an operation makes of ``c0``.

    What it is run on, and the weight.
    """

    proto: ModelProto
    feeds: dict[str, Array]
    weight: Array


def _run(proto: ModelProto, wanted: Sequence[str], feeds: dict[str, Array] | None = None) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        results = session.run(list(wanted), feeds or {})
    except Exception:  # no kernel for this opset or these types
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(proto).run(list(wanted), feeds or {})
    return [np.asarray(result) for result in results]


def _proto(
    op_type: str, nodes: list[NodeProto], inputs: dict[str, Any], held: dict[str, Array], *outputs: str
) -> ModelProto:
    opset = LATEST.get(op_type, max(22, min(26, onnx.defs.get_schema(op_type).since_version)))
    declared = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
        for name, (kind, shape) in inputs.items()
    ]
    graph = helper.make_graph(
        nodes,
        "wrapped",
        declared,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", opset)])


def _factors(size: int) -> tuple[int, int]:
    least = next(k for k in range(int(size**0.5), 0, -1) if size % k == 0)
    return least, size // least


class Made(NamedTuple):
    """An operation on constants, what it makes of them, and that as floats."""

    node: NodeProto
    held: dict[str, Array]
    result: Array
    floats: Array


def _made(example: Example) -> Made | None:
    """Run an operation; None if it makes no tensor of numbers."""
    op_type, operands, attributes = example
    names = ["" if array is None else f"c{place}" for place, array in enumerate(operands)]
    while names and not names[-1]:
        names.pop()
    least = {"Split": 2, "Unique": 4, "BatchNormalization": 3 if "training_mode" in attributes else 1}
    fewest = max(1, onnx.defs.get_schema(op_type).min_output)
    results = [f"o{place}" for place in range(least.get(op_type, fewest))]
    held = {name: np.asarray(array) for name, array in zip(names, operands, strict=False) if name}
    wrapper = helper.make_node(op_type, names, results, **attributes)
    cast = node("Cast", results[0], "floats", to=TensorProto.FLOAT)
    for nodes, wanted in (([wrapper, cast], [results[0], "floats"]), ([wrapper], results[:1])):
        with contextlib.suppress(Exception):  # what is no tensor has no floats; neither runs it
            made = _run(_proto(op_type, nodes, {}, held, *results, *wanted[1:]), wanted)
            break
    else:
        return None
    result = made[0]
    return Made(wrapper, held, result, made[-1]) if result.size and result.dtype.kind in "fiub" else None


def _wrapped(example: Made, use: Use, at: int = 0, how: str = "") -> Wrapped | None:
    """Return the model; None if there are not as many numbers as it wants.

    Operand ``at`` moves: it is an ``input``, or it is moved by a size of x that is ``fixed``, ``open``, or
    open but taken off again (``same``).
    """
    wrapper, constants, made, floats = example
    op_type, held = wrapper.op_type, dict(constants)
    gates = GATES.get(use.op_type, 1)
    if (use.op_type, op_type) in OLD or made.size % gates:
        return None
    rows, columns = _factors(made.size // gates)
    kind = np.int64 if use.op_type == "Gather" else np.float32
    sizes = list(use.x(rows, columns))
    inputs: dict[str, Any] = {"x": (kind, ["N", *sizes[1:]] if how in ("open", "same") else sizes)}
    feeds: dict[str, Array] = {"x": np.zeros(sizes, kind)}
    nodes, options = [], dict(use.attributes)
    if how == "input":
        feeds[f"c{at}"] = held.pop(f"c{at}")
        inputs[f"c{at}"] = (feeds[f"c{at}"].dtype, feeds[f"c{at}"].shape)
    elif how:
        held |= {"kept": held.pop(f"c{at}"), "zero": np.array(0), "two": np.array(2)}
        nodes = [
            node("Shape", "x", "sizes"),
            node("Gather", "sizes zero", "size"),
            node("Sub", "size size" if how == "same" else "size two", "nothing"),
            node("Add", "kept nothing", f"c{at}"),
        ]
    if use.op_type in GATES:
        held["r"] = np.ones((1, gates * rows, rows), np.float32)
        options["hidden_size"] = rows
    held["to"] = np.array(use.weight(rows, columns))
    nodes += [
        wrapper,
        node("Cast", "o0", "floats", to=TensorProto.FLOAT),
        node("Reshape", "floats to", "w"),
        node(use.op_type, use.inputs, "y", name="used", **options),
    ]
    weight = floats.reshape(use.weight(rows, columns))
    return Wrapped(_proto(op_type, nodes, inputs, held, "y", "w"), feeds, weight)


def _found(wrapped: Wrapped, folder: Path) -> tuple[list[Layer | Skipped], Account]:
    """Return the layers of the weight ``w``; the account of the model adds up."""
    path = save(wrapped.proto, folder)
    model = load(path)
    constants = Constants(model)
    layers = find_layers(model, constants)
    entries = account(model, constants, layers)
    assert sum(entry.elements for entry in entries.entries) == count(path)
    mine = [layer for layer in layers if layer.uses == ("used",) and layer.weight != "r"]
    return mine, entries


def _role(entries: Account, name: str) -> Role:
    return next(entry.role for entry in entries.entries if entry.value.name == name)


def _check_values(layers: Sequence[Layer | Skipped], use: Use, truth: Array) -> None:
    assert all(isinstance(layer, Layer) for layer in layers)
    found = np.hstack([layer.blocks()[0] for layer in layers if isinstance(layer, Layer)])
    np.testing.assert_allclose(found, use.matrix(truth), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("op_type", operations())
def test_a_weight_behind_any_operation(tmp_path: Path, op_type: str) -> None:
    for number, example in enumerate(examples(op_type)):
        made = _made(example)
        for use in _uses(op_type, number):
            wrapped = None if made is None else _wrapped(made, use)
            if wrapped is None:
                continue
            layers, entries = _found(wrapped, tmp_path)
            role = _role(entries, "c0")
            if op_type in HOLD_NOTHING:
                assert role is Role.OTHER
            elif use.op_type != "Gather" or np.asarray(example[1][0]).dtype.kind == "f":
                assert layers
                assert role in (Role.ANALYSED, Role.SKIPPED)
            if any(isinstance(layer, Layer) for layer in layers) and "Random" not in op_type:
                _check_values(layers, use, wrapped.weight)


def _changed(feeds: dict[str, Array], name: str) -> dict[str, Array]:
    return {**feeds, name: feeds[name] * np.float32(-1.5) + np.float32(0.25)}


@pytest.mark.parametrize("op_type", operations())
def test_a_weight_with_what_moves(tmp_path: Path, op_type: str) -> None:
    """Whatever the input may change is not analysed, unless it changes nothing of the weight."""
    turn = itertools.cycle(("MatMul", "Conv", "Gather"))  # what moves is told before, whatever the use
    for number, example in enumerate(examples(op_type)):
        made = _made(example)
        for at, operand in enumerate(example[1] if made is not None else ()):
            kind = None if operand is None else np.asarray(operand).dtype
            ways = ("input", "fixed", "open", "same") if kind == np.int64 else ("input",)
            for how in ways if kind is not None else ():
                for name in ("MatMul", "Conv", "Gather") if (number, at) == (0, 0) else (next(turn),):
                    wrapped = _wrapped(made, USES[name], at, how)
                    if wrapped is not None:
                        _check_moving(wrapped, USES[name], at, how, tmp_path)


def _check_moving(wrapped: Wrapped, use: Use, at: int, how: str, folder: Path) -> None:
    layers, _ = _found(wrapped, folder)
    if not any(isinstance(layer, Layer) for layer in layers):
        assert all(isinstance(layer, Skipped) and layer.reason for layer in layers)
        return
    assert how != "open"
    _check_values(layers, use, _run(wrapped.proto, ["w"], wrapped.feeds)[0])
    if how == "input" and wrapped.feeds[f"c{at}"].dtype == np.float32:
        _check_values(layers, use, _run(wrapped.proto, ["w"], _changed(wrapped.feeds, f"c{at}"))[0])


COPIED = {
    "a batch of it": ("Expand", "w0 sizes", None, "read"),
    "rows on rows": ("Tile", "w0 sizes", None, "read"),
    "the sum of copies": ("Expand", "w0 sizes", "ReduceSum", "skipped"),
    "the softmax of copies": ("Expand", "w0 sizes", "Softmax", "skipped"),
    "the mean of copies": ("Expand", "w0 sizes", "ReduceMean", "read"),
}


@pytest.mark.parametrize("name", COPIED)
def test_copies_of_an_open_number(tmp_path: Path, name: str) -> None:
    """They change no weight unless what comes behind makes one thing of all of them."""
    copies, inputs, behind, wanted = COPIED[name]
    held = {"w0": weights(1, 4, 3), "rest": np.array([1, 1]), "first": np.array([0])}
    nodes = [
        node("Shape", "x", "count", start=0, end=1),
        node("Concat", "count rest", "sizes", axis=0),
        node(copies, inputs, "w1" if behind else "w"),
    ]
    if behind == "Softmax":
        nodes.append(node("Softmax", "w1", "w", axis=0))
    elif behind:
        nodes.append(node(behind, "w1 first", "w"))
    nodes.append(node("MatMul", "x w"))
    proto = _proto("MatMul", nodes, {"x": (np.float32, ["N", 2, 4])}, held, "y", "w")
    (layer,) = find_layers(model := load(save(proto, tmp_path)), Constants(model))
    assert ("read" if isinstance(layer, Layer) else "skipped") == wanted
    truths = [_run(proto, ["w"], {"x": np.zeros((size, 2, 4), np.float32)})[0] for size in (1, 3)]
    if isinstance(layer, Layer):
        for truth in truths:
            np.testing.assert_allclose(truth, np.broadcast_to(layer.blocks()[0], truth.shape), rtol=2e-6)
    else:
        assert layer.reason == f"changes with the input in {copies}"
        assert layer.parameters == 12
        assert not np.allclose(truths[0][0], truths[1][0])
