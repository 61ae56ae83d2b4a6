"""Numbers that ruin a model, wherever among its constants they stand; onnxruntime says what they do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto

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
