"""Numbers that ruin a model, wherever among its constants they stand; onnxruntime says what they do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.results.report import BadConstant
from tests.models import graph, model, node, save, weights

BAD = {"NaN": np.nan, "infinite": np.inf}


def _spoiled(array: Any, number: float) -> Any:
    spoiled = np.array(array)
    spoiled.ravel()[-1] = number
    return spoiled


def _net(**changed: Any) -> ModelProto:
    """Convolution, two normalisations, a scale, a mask and a product with a bias."""
    nodes = [
        node("Conv", "x k kb", "c", name="conv"),
        node("BatchNormalization", "c s b m v", "n", name="norm"),
        node("Flatten", "n", "f"),
        node("LayerNormalization", "f gain shift", "g", name="layers"),
        node("Mul", "g tempo", "t", name="scaled"),
        node("MatMul", "t w", "h", name="fc"),
        node("Add", "h wb", "y", name="plus"),
    ]
    held = {
        "k": weights(4, 2, 3, 3),
        "kb": weights(4),
        **{name: weights(4, seed=i) for i, name in enumerate("sbm")},
        "v": np.abs(weights(4)) + 1,
        "gain": weights(16),
        "shift": weights(16),
        "tempo": np.array([0.5], np.float32),
        "w": weights(16, 5),
        "wb": weights(5),
    }
    return model(nodes, {**held, **changed}, {"x": (1, 2, 4, 4)})


def _found(proto: ModelProto, folder: Path) -> list[BadConstant]:
    return list(audit(save(proto, folder)).constants)


def _answers(proto: ModelProto) -> Any:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {item.name: np.ones([d or 1 for d in item.shape], np.float32) for item in session.get_inputs()}
    return session.run(None, feeds)[0]


def test_a_healthy_model_has_no_bad_constants(tmp_path: Path) -> None:
    assert _found(_net(), tmp_path) == []


@pytest.mark.parametrize("problem", BAD)
@pytest.mark.parametrize(
    ("name", "role", "layer"),
    [
        ("kb", "bias", "conv"),
        ("s", "normalisation", "conv"),
        ("b", "normalisation", "conv"),
        ("m", "normalisation", "conv"),
        ("gain", "normalisation", "conv"),
        ("shift", "normalisation", "conv"),
        ("tempo", "other", "conv"),
        ("wb", "bias", "fc"),
    ],
)
def test_what_is_not_finite_is_named_with_the_layer_behind(
    tmp_path: Path, name: str, role: str, layer: str, problem: str
) -> None:
    healthy = {item.name: item for item in _net().graph.initializer}
    shape = list(healthy[name].dims)
    proto = _net(**{name: _spoiled(np.ones(shape, np.float32), BAD[problem])})
    assert not np.isfinite(_answers(proto)).all()
    (bad,) = _found(proto, tmp_path)
    assert (bad.name, bad.role, bad.layer, bad.problem, bad.count) == (name, role, layer, problem, 1)


def test_a_variance_below_zero_is_told(tmp_path: Path) -> None:
    proto = _net(v=np.array([1, 1, -2, 1], np.float32))
    assert not np.isfinite(_answers(proto)).all()
    (bad,) = _found(proto, tmp_path)
    assert (bad.name, bad.problem, bad.count) == ("v", "a variance that is not positive", 1)


@pytest.mark.parametrize(("epsilon", "count"), [(0.0, 1), (1e-5, 0)])
def test_a_variance_of_zero_needs_an_epsilon(tmp_path: Path, epsilon: float, count: int) -> None:
    proto = _net(v=np.array([1, 1, 0, 1], np.float32))
    proto.graph.node[1].attribute.add(name="epsilon", f=epsilon, type=1)
    assert len(_found(proto, tmp_path)) == count


def test_a_scale_of_zeros_is_told_of_a_layer_normalisation(tmp_path: Path) -> None:
    (bad,) = _found(_net(gain=np.zeros(16, np.float32)), tmp_path)
    assert (bad.name, bad.problem, bad.count) == ("gain", "a scale of nothing but zeros", 16)
    assert _found(_net(gain=np.eye(16, dtype=np.float32)[0]), tmp_path) == []


def test_masks_and_bounds_may_be_infinite(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x w", "h"),
        node("Add", "h mask", "i"),
        node("Clip", "i low high", "j"),
        node("Where", "keep j low", "k"),
        node("Sub", "k high", "l"),
        node("Softmax", "l"),
    ]
    held = {
        "w": weights(4, 4),
        "mask": np.triu(np.full((4, 4), -np.inf, np.float32), 1),
        "low": np.float32(-np.inf),
        "high": np.float32(np.inf),
        "keep": np.tri(4) > 0,
    }
    assert _found(model(nodes, held, {"x": (4, 4)}), tmp_path) == []


INFINITE = {
    "Mul": ("x v", True, True),
    "Div, above": ("v x", True, True),
    "Div, below": ("x v", False, False),
    "Add": ("x v", True, False),
    "Sum": ("x v", True, False),
    "Mean": ("x v", True, False),
    "Sub, first": ("v x", True, False),
    "Sub, second": ("x v", False, True),
    "Max": ("x v", True, False),
    "Min": ("x v", False, False),
    "Pow": ("x v", True, True),
    "Greater": ("x v", False, False),
    "Where, yes": ("c v x", False, False),
    "Where, no": ("c x v", False, False),
}
"""Operations with an infinite operand: is it told, and is it where it is below zero?"""


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("case", INFINITE)
def test_an_infinite_operand_is_told_where_it_is_no_bound_and_no_mask(
    tmp_path: Path, case: str, sign: int
) -> None:
    inputs, above, below = INFINITE[case]
    nodes = [node("MatMul", "x0 w", "x"), node(case.split(",")[0], inputs, "y", name="here")]
    held = {
        "w": weights(4, 4),
        "v": np.array([[1, sign * np.inf, 1, 1], [1, 1, 1, 1]], np.float32),
        "c": np.array([True, False, True, False]),
    }
    proto = model(nodes, held, {"x0": (2, 4)})
    found = _found(proto, tmp_path)
    assert [(bad.name, bad.problem, bad.count) for bad in found] == [("v", "infinite", 1)] * (
        above if sign > 0 else below
    )
    if found and case != "Pow":  # which spares what is above 1, or below
        assert not np.isfinite(_answers(proto)).all()


MOVED = {
    "Pad": node("Pad", "x n v", "m"),
    "Concat": node("Concat", "x row", "m", axis=0),
    "Concat and Transpose": [node("Concat", "x row", "t", axis=0), node("Transpose", "t", "m", perm=[0, 1])],
    "Concat and Cast": [node("Concat", "x row", "t", axis=0), node("Cast", "t", "m", to=TensorProto.FLOAT)],
}
TAKEN = {
    "MatMul": (node("MatMul", "m w", "y", name="fc"), True, True),
    "Gemm": (node("Gemm", "m w", "y", name="fc"), True, True),
    "Mul": (node("Mul", "m half", "y"), True, True),
    "Add": (node("Add", "m half", "y"), True, False),
    "Softmax": (node("Softmax", "m", "y"), False, False),
    "Sigmoid": (node("Sigmoid", "m", "y"), False, False),
    "ReduceMax": (node("ReduceMax", "m", "y"), False, False),
    "Min": (node("Min", "m half", "y"), False, False),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("moved", MOVED)
def test_an_infinity_that_is_moved_is_looked_at_where_it_arrives(
    tmp_path: Path, moved: str, taken: str, sign: int
) -> None:
    movers = MOVED[moved] if isinstance(MOVED[moved], list) else [MOVED[moved]]
    last, above, below = TAKEN[taken]
    held = {
        "n": np.array([1, 0, 0, 0]),
        "v": np.float32(sign * np.inf),
        "row": np.full((1, 4), sign * np.inf, np.float32),
        "w": weights(4, 3),
        "half": np.array([0.5, -0.5, 0.5, 0.5], np.float32),
    }
    proto = model([*movers, last], held, {"x": (2, 4)})
    found = {(bad.name, bad.problem) for bad in _found(proto, tmp_path)}
    name = "v" if moved == "Pad" else "row"
    assert found == ({(name, "infinite")} if (above if sign > 0 else below) else set())
    if found:
        assert not np.isfinite(_answers(proto)).all()


def _quantised(scale: Any, kind: Any = np.uint8) -> ModelProto:
    nodes = [
        node("QuantizeLinear", "x s z", "q", name="code"),
        node("DequantizeLinear", "q s z", "d", name="decode"),
        node("MatMul", "d w", name="fc"),
    ]
    held = {"s": np.asarray(scale, np.float32), "z": np.zeros(np.shape(scale), kind), "w": weights(4, 3)}
    return model(nodes, held, {"x": (2, 4)})


@pytest.mark.parametrize(
    ("scale", "problem", "count"),
    [
        (0.0, "a scale of zero", 1),
        ([0.5, 0, 0, 1], "a scale of zero", 2),
        (1e-38, "a scale of zero", 1),
        (np.inf, "infinite", 1),
        (np.nan, "NaN", 1),
    ],
)
def test_the_scale_of_a_quantiser_is_looked_at(tmp_path: Path, scale: Any, problem: str, count: int) -> None:
    found = _found(_quantised(scale), tmp_path)
    assert [(bad.name, bad.node, bad.problem, bad.count) for bad in found] == [
        ("s", "code", problem, count),
        ("s", "decode", problem, count),
    ]
    assert _found(_quantised(np.full(np.shape(scale), 0.1)), tmp_path) == []


def test_the_scale_of_a_fused_operation_is_looked_at(tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("QLinearMatMul", "q s z c s z t z", "p", name="fused"),
        node("DequantizeLinear", "p s z"),
    ]
    held = {
        "s": np.float32(0.1),
        "t": np.float32(0),
        "z": np.uint8(128),
        "c": np.arange(12, dtype=np.uint8).reshape(4, 3),
    }
    (bad,) = _found(model(nodes, held, {"x": (2, 4)}), tmp_path)
    assert (bad.name, bad.op_type, bad.problem) == ("t", "QLinearMatMul", "a scale of zero")


ATTRIBUTES = {
    "LeakyRelu": ("x", {"alpha": "?"}, "x"),
    "HardSigmoid": ("x", {"alpha": 0.2, "beta": "?"}, "x"),
    "Selu": ("x", {"gamma": "?"}, "x"),
    "ai.onnx.ml.Scaler": ("x", {"offset": [0.0] * 4, "scale": [1.0, "?", 1.0, "?"]}, "x"),
    "ai.onnx.ml.LabelEncoder": (
        "i",
        {"keys_int64s": [0, 1], "values_floats": [0.5, "?"], "default_float": 0.0},
        "i",
    ),
}


def _filled(value: Any, number: float) -> Any:
    if isinstance(value, list):
        return [_filled(each, number) for each in value]
    return number if value == "?" else value


@pytest.mark.parametrize("op_type", ATTRIBUTES)
def test_numbers_of_attributes_are_looked_at(tmp_path: Path, op_type: str) -> None:
    inputs, attributes, source = ATTRIBUTES[op_type]

    def proto(number: float) -> ModelProto:
        filled = {name: _filled(value, number) for name, value in attributes.items()}
        nodes = [node(op_type, inputs, "a", name="odd", **filled), node("MatMul", "a w", name="fc")]
        made = model(nodes, {"w": weights(4, 3)}, {source: (2, 4)})
        if source == "i":
            made.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
        return made

    (bad,) = _found(proto(np.nan), tmp_path)
    name = next(name for name, value in attributes.items() if "?" in str(value))
    assert (bad.name, bad.problem, bad.count) == (f"odd.{name}", "NaN", str(attributes[name]).count("?"))
    assert _found(proto(0.5), tmp_path) == []


@pytest.mark.parametrize(
    ("op_type", "name", "told"),
    [("Elu", "alpha", 1), ("LeakyRelu", "alpha", 1), ("ThresholdedRelu", "alpha", 0), ("Shrink", "lambd", 0)],
)
def test_an_infinite_attribute_is_told_where_it_ruins(
    tmp_path: Path, op_type: str, name: str, told: int
) -> None:
    nodes = [node("MatMul", "x w", "h"), node(op_type, "h", "y", **{name: float("inf")})]
    assert len(_found(model(nodes, {"w": weights(4, 3)}, {"x": (2, 4)}), tmp_path)) == told


@pytest.mark.parametrize(("number", "told"), [(np.nan, 1), (-np.inf, 0), (0.5, 0)])
def test_what_a_shape_is_filled_with_is_looked_at(tmp_path: Path, number: float, told: int) -> None:
    fill = numpy_helper.from_array(np.array([number], np.float32))
    nodes = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "c", value=fill),
        node("Add", "x c", "m"),
        node("MatMul", "m w"),
    ]
    assert len(_found(model(nodes, {"w": weights(4, 3)}, {"x": ("n", 4)}), tmp_path)) == told


def test_what_stands_for_what_is_missing_may_be_no_number(tmp_path: Path) -> None:
    nan = float("nan")
    nodes = [
        node("ai.onnx.ml.Imputer", "x", "i", imputed_value_floats=[0.5], replaced_value_float=nan),
        node("MatMul", "i w"),
    ]
    assert _found(model(nodes, {"w": weights(4, 3)}, {"x": (2, 4)}), tmp_path) == []


def test_what_reaches_no_output_does_no_harm(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "y"), node("Add", "y bad", "unused")]
    held = {"w": weights(4, 4), "bad": np.full(4, np.nan, np.float32), "nobody": np.float32(np.nan)}
    assert _found(model(nodes, held, {"x": (2, 4)}), tmp_path) == []


def test_a_constant_that_overflows_as_it_is_computed(tmp_path: Path) -> None:
    """Neither tensor holds an infinity, their product in float16 does."""
    nodes = [node("Mul", "b s", "bs"), node("MatMul", "x w", "h", name="fc"), node("Add", "h bs")]
    held = {"w": weights(4, 4).astype(np.float16), "b": np.full(4, 300, np.float16), "s": np.float16(300)}
    proto = model(nodes, held, {"x": (2, 4)})
    (bad,) = _found(proto, tmp_path)
    assert (bad.name, bad.layer, bad.problem, bad.count) == ("bs", "fc", "infinite", 4)


def test_constants_in_bodies_and_in_attributes(tmp_path: Path) -> None:
    held = {"v": weights(4, 3), "vb": np.array([0, np.nan, 0], np.float32)}
    body = graph([node("Gemm", "x v vb", "r", name="inner")], held, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=body, else_branch=body)], {}, {"x": (2, 4), "c": ()})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    assert {(bad.name, bad.layer) for bad in _found(proto, tmp_path)} == {("vb", "inner"), ("vb", "inner#2")}
    linear = node(
        "ai.onnx.ml.LinearRegressor", "x", "y", name="ml", coefficients=[1.0, 2.0], intercepts=[float("nan")]
    )
    (bad,) = _found(model([linear], {}, {"x": (2, 2)}), tmp_path)
    assert (bad.role, bad.layer, bad.problem) == ("bias", "ml", "NaN")


def test_a_skipped_weight_is_looked_at_too(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", "x", "m", keepdims=1),
        node("Mul", "w m", "ws"),
        node("MatMul", "x ws", name="fc"),
    ]
    held = {"w": _spoiled(weights(4, 4), np.nan)}
    (bad,) = _found(model(nodes, held, {"x": ("n", 4)}), tmp_path)
    assert (bad.name, bad.role, bad.problem) == ("w", "skipped", "NaN")


def test_the_layer_of_a_fault_is_the_nearest_before_it(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x a", "p", name="far"),
        node("MatMul", "p b", "q", name="near"),
        node("Relu", "q", "r"),
        node("Relu", "p", "o"),
        node("Relu", "o", "n"),
        node("Sum", "n r z", "y", name="sum"),
    ]
    held = {"a": weights(4, 4), "b": weights(4, 4, seed=1), "z": np.full(4, np.nan, np.float32)}
    (fault,) = _found(model(nodes, held, {"x": (1, 4)}), tmp_path)
    assert (fault.node, fault.layer) == ("sum", "near")
