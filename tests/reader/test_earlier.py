"""Operations of earlier opsets: what the evaluation, the biases and the graph of neurons make of them.

onnxruntime runs opset 7 and later. Before, a model is compared with its twin in today's opset.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from onnxtop.auditing.story import audit
from onnxtop.reader.constants import Constants
from onnxtop.reader.loading import load
from tests.models import layers_of, model, node, only_layer, run as runtime, save, weights

X = weights(3, 4)
IMAGE = weights(2, 3, 4, 5)


def constant(proto: ModelProto, tmp_path: Path, name: str = "y") -> np.ndarray:
    """Return what the constants of a model hold for its value of that name."""
    loaded = load(save(proto, tmp_path))
    (value,) = (value for value in loaded.producers if value.name == name)
    constants = Constants(loaded)
    assert value in constants
    return constants.read(value)


def evaluated(tmp_path: Path, op: str, arrays: list[Any], opset: int, **attributes: Any) -> np.ndarray:
    held = {f"c{place}": np.asarray(array) for place, array in enumerate(arrays)}
    return constant(model([node(op, " ".join(held), "y", **attributes)], held, {}, opset=opset), tmp_path)


OPERATORS = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Equal": np.equal,
    "Greater": np.greater,
    "Less": np.less,
}
LAID: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]] = {
    "rows": ((3,), (3, 1), {"axis": 0}),
    "columns": ((4,), (4,), {"axis": 1}),
    "the last axes": ((4,), (4,), {}),
    "from the end": ((4,), (4,), {"axis": -1}),
    "one number": ((), (), {}),
}


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("laid", LAID)
@pytest.mark.parametrize("opset", [1, 6])
def test_operands_that_are_laid_on_an_axis(tmp_path: Path, op: str, laid: str, opset: int) -> None:
    shape, wide, options = LAID[laid]
    other = np.abs(weights(*shape, seed=3))
    if opset == 1 and op in ("Add", "Sub", "Mul", "Div"):
        options = {**options, "consumed_inputs": [0, 0]}
    found = evaluated(tmp_path, op, [X, other], opset, broadcast=1, **options)
    np.testing.assert_array_equal(found, OPERATORS[op](X, other.reshape(wide)))


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_truths_that_are_laid_on_an_axis(tmp_path: Path, op: str) -> None:
    left, right = X > 0, weights(3) > 0
    found = evaluated(tmp_path, op, [left, right], 6, broadcast=1, axis=0)
    operator = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}[op]
    np.testing.assert_array_equal(found, operator(left, right[:, np.newaxis]))


def test_powers_that_are_laid_on_the_middle(tmp_path: Path) -> None:
    found = evaluated(
        tmp_path, "Pow", [np.abs(IMAGE), np.arange(3, dtype=np.float32)], 6, broadcast=1, axis=1
    )
    np.testing.assert_allclose(found, np.abs(IMAGE) ** np.arange(3).reshape(3, 1, 1), rtol=1e-6)


def test_a_square_weight_whose_rows_are_scaled(tmp_path: Path) -> None:
    """Where rows and columns are as many, only the attribute tells."""
    w, g = weights(16, 16), weights(16, seed=1)
    nodes = [node("Mul", "w g", "v", broadcast=1, axis=0), node("MatMul", "x v")]
    layer = only_layer(save(model(nodes, {"w": w, "g": g}, opset=6), tmp_path))
    np.testing.assert_array_equal(layer.matrix(), w * g[:, np.newaxis])


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def flat(axis: int) -> np.ndarray:
    """Return the softmax of all entries from an axis on."""
    rows = IMAGE.reshape(int(np.prod(IMAGE.shape[:axis])), -1)
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).reshape(IMAGE.shape)


PARAMETERS = [np.abs(weights(3, seed=seed)) for seed in range(4)]
SCALE, SHIFT, MEAN, VARIANCE = (array.reshape(3, 1, 1) for array in PARAMETERS)
NORMALISED = (IMAGE - MEAN) / np.sqrt(VARIANCE + 1e-5) * SCALE + SHIFT

OLD: dict[str, tuple[int, str, list[Any], dict[str, Any], Any]] = {
    "cast by name": (5, "Cast", [X], {"to": "INT32"}, X.astype(np.int32)),
    "clip": (6, "Clip", [X], {"min": -1.0, "max": 2.0}, X.clip(-1, 2)),
    "clip in place": (1, "Clip", [X], {"max": 2.0, "consumed_inputs": [0]}, X.clip(max=2)),
    "concat along the second axis": (1, "Concat", [X, X], {}, np.concatenate([X, X], 1)),
    "dropout": (6, "Dropout", [X], {"is_test": 1}, X),
    "batch normalisation": (9, "BatchNormalization", [IMAGE, *PARAMETERS], {}, NORMALISED),
    "batch normalisation in a test": (
        6,
        "BatchNormalization",
        [IMAGE, *PARAMETERS],
        {"is_test": 1},
        NORMALISED,
    ),
    "pad": (
        2,
        "Pad",
        [X],
        {"pads": [1, 0, 0, 2], "value": 3.0},
        np.pad(X, ((1, 0), (0, 2)), constant_values=3),
    ),
    "pad of the first opset": (1, "Pad", [X], {"paddings": [1, 0, 0, 2]}, np.pad(X, ((1, 0), (0, 2)))),
    "relu in place": (1, "Relu", [X], {"consumed_inputs": [0]}, X.clip(0)),
    "reduced": (12, "ReduceSum", [X], {"axes": [1], "keepdims": 0}, X.sum(1)),
    "reshape": (1, "Reshape", [X], {"shape": [2, -1]}, X.reshape(2, -1)),
    "slice": (9, "Slice", [X], {"starts": [1], "ends": [9], "axes": [1]}, X[:, 1:]),
    "slopes of channels": (
        6,
        "PRelu",
        [IMAGE, np.array([0.5, 2, 4], np.float32)],
        {},
        np.where(IMAGE < 0, IMAGE * np.array([0.5, 2, 4], np.float32).reshape(3, 1, 1), IMAGE),
    ),
    "softmax": (12, "Softmax", [IMAGE], {}, flat(1)),
    "softmax from an axis on": (11, "Softmax", [IMAGE], {"axis": -2}, flat(2)),
    "logarithm of softmax": (11, "LogSoftmax", [IMAGE], {"axis": 2}, np.log(flat(2))),
    "largest": (
        11,
        "Hardmax",
        [np.array([[[1, 2], [4, 3]]], np.float32)],
        {},
        np.array([[[0, 0], [1, 0]]], np.float32),
    ),
    "split": (12, "Split", [X], {"axis": 1, "split": [1, 3]}, X[:, :1]),
    "split evenly": (2, "Split", [X], {"axis": 1}, X),
    "squeeze": (12, "Squeeze", [X[:, np.newaxis]], {"axes": [1]}, X),
    "unsqueeze": (12, "Unsqueeze", [X], {"axes": [0, -1]}, X[np.newaxis, ..., np.newaxis]),
    "upsample": (8, "Upsample", [IMAGE], {"scales": [1.0, 1.0, 2.0, 1.0]}, IMAGE.repeat(2, 2)),
    "upsample by an operand": (
        9,
        "Upsample",
        [IMAGE, np.array([1, 1, 1, 3], np.float32)],
        {},
        IMAGE.repeat(3, 3),
    ),
    "upsample of the first opset": (
        1,
        "Upsample",
        [IMAGE],
        {"height_scale": 2.0, "width_scale": 1.0, "mode": "nearest"},
        IMAGE.repeat(2, 2),
    ),
    "scatter": (
        9,
        "Scatter",
        [X, np.array([[2, 0]]), np.array([[8, 9]], np.float32)],
        {"axis": 1},
        np.concatenate([[[9, X[0, 1], 8, X[0, 3]]], X[1:]]),
    ),
}


@pytest.mark.parametrize("what", OLD)
def test_what_an_operation_meant(tmp_path: Path, what: str) -> None:
    opset, op, arrays, attributes, wanted = OLD[what]
    np.testing.assert_allclose(
        evaluated(tmp_path, op, arrays, opset, **attributes), wanted, rtol=1e-5, atol=1e-6
    )


RUN = {
    "linear": ("Upsample", 9, {"mode": "linear"}, [np.array([1, 1, 2, 2], np.float32)]),
    "nearest": ("Upsample", 9, {}, [np.array([1, 1, 2, 1.5], np.float32)]),
    "resize": ("Resize", 10, {}, [np.array([1, 1, 2, 1.5], np.float32)]),
    "resize to less": ("Resize", 10, {}, [np.array([1, 1, 0.5, 0.75], np.float32)]),
    "resize linearly": ("Resize", 10, {"mode": "linear"}, [np.array([1, 1, 2, 1.6], np.float32)]),
    "regions": (
        "RoiAlign",
        10,
        {"output_height": 2, "output_width": 2, "sampling_ratio": 2},
        [np.array([[0, 0, 3, 3], [1, 1, 4, 3]], np.float32), ints(0, 1)],
    ),
}


@pytest.mark.parametrize("what", RUN)
def test_what_the_runtime_still_runs(tmp_path: Path, what: str) -> None:
    op, opset, attributes, more = RUN[what]
    held = {f"c{place}": array for place, array in enumerate((IMAGE, *more))}
    proto = model([node(op, " ".join(held), "y", **attributes)], held, {}, opset=opset)
    np.testing.assert_allclose(constant(proto, tmp_path), runtime(proto), rtol=1e-5, atol=1e-5)


def _squeezed(opset: int) -> ModelProto:
    """Return a small net with a gate on its channels, laid on axes where the opset allows it."""
    old = opset < 7

    def laid(op: str, left: str, right: str, result: str, axis: int, count: int) -> list[Any]:
        if old:
            return [node(op, f"{left} {right}", result, broadcast=1, axis=axis)]
        shape = f"{result}_shape"
        held[shape] = ints(*count * [0], *(4 - axis - count) * [1])
        return [node("Reshape", f"{right} {shape}", f"{result}_r"), node(op, f"{left} {result}_r", result)]

    held: dict[str, Any] = {
        "k": weights(3, 2, 3, 3),
        "b": weights(3, seed=1),
        "g": weights(3, seed=2),
        "s": weights(3, 3, seed=3),
        "h": weights(3 * 6 * 6, 2, seed=4),
    }
    nodes = [
        node("Conv", "x k", "c", kernel_shape=[3, 3], name="conv"),
        *laid("Add", "c", "b", "cb", 1, 1),
        *laid("Mul", "cb", "g", "cg", 1, 1),
        node("GlobalAveragePool", "cg", "p"),
        node("Flatten", "p", "f"),
        node("MatMul", "f s", "t", name="gate"),
        *laid("Mul", "cg", "t", "e", 0, 2),
        node("Flatten", "e", "l"),
        node("MatMul", "l h", "y", name="head"),
    ]
    return model(nodes, held, {"x": [1, 2, 8, 8]}, opset=opset)


def test_the_graph_of_neurons_is_that_of_the_twin(tmp_path: Path) -> None:
    found = [audit(save(_squeezed(opset), tmp_path, f"{opset}.onnx")).network for opset in (6, 13)]
    assert found[0].deep_graph_persistence == found[1].deep_graph_persistence
    assert found[0].deep_graph_persistence.total is not None
    assert found[0].connectivity == found[1].connectivity


def test_the_biases_are_those_of_the_twin(tmp_path: Path) -> None:
    found = [layers_of(save(_squeezed(opset), tmp_path, f"{opset}.onnx"))[0].bias() for opset in (6, 13)]
    np.testing.assert_array_equal(found[0], weights(3, seed=1))
    np.testing.assert_array_equal(*found)


def test_dropout_that_trains_is_no_constant(tmp_path: Path) -> None:
    held = {"w": X, "r": np.float32(0.5), "t": np.array(True), "f": np.array(False)}
    for inputs, attributes, opset, fixed in (
        ("w r t", {}, 13, False),
        ("w r f", {}, 13, True),
        ("w", {"is_test": 0}, 6, False),
        ("w", {"is_test": 1}, 6, True),
        ("w", {}, 9, True),
    ):
        proto = model([node("Dropout", inputs, "y", **attributes)], held, {}, opset=opset)
        loaded = load(save(proto, tmp_path))
        assert (next(iter(loaded.producers)) in Constants(loaded)) == fixed
