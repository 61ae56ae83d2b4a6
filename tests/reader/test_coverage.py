"""Every element of every constant is counted once, in the group it belongs to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.results.report import Coverage
from tests.models import MICROSOFT, check_consistent, graph, mlp, model, node, only_layer, save, weights


def _coverage(tmp_path: Path, nodes: list[Any], held: dict[str, Any], **settings: Any) -> Coverage:
    report = audit(save(model(nodes, held, **settings), tmp_path))
    check_consistent(report)
    return report.coverage


def _counts(coverage: Coverage) -> tuple[int, int, int, int, int, int]:
    """Return analysed, skipped, biases, normalisation, other, unused."""
    return (
        coverage.parameters_analysed,
        sum(item.parameters for item in coverage.skipped),
        coverage.biases,
        coverage.normalisation,
        coverage.other_constants,
        coverage.unused,
    )


def test_an_mlp(tmp_path: Path) -> None:
    report = audit(save(mlp(7, 5, 3), tmp_path))
    assert _counts(report.coverage) == (7 * 5 + 5 * 3, 0, 5 + 3, 0, 0, 0)
    assert report.coverage.fraction == 1
    assert report.model.parameters == 7 * 5 + 5 + 5 * 3 + 3
    assert [layer.parameters for layer in report.layers] == [35, 15]


def test_every_group_at_once(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x k kb", "c"),
        node("BatchNormalization", "c s b m v", "n"),
        node("Mul", "n scale", "o"),
        node("Flatten", "o", "f"),
        node("MatMul", "f w", "h"),
        node("Add", "h wb", "i"),
        node("acme.Mystery", "i q"),
    ]
    held = {
        "k": weights(4, 2, 3, 3),
        "kb": weights(4),
        **{name: weights(4, seed=i) for i, name in enumerate("sbmv")},
        "scale": weights(1),
        "w": weights(16, 5),
        "wb": weights(5),
        "q": weights(5, 6),
        "left": weights(3, 3),
        "axes": np.arange(9),
    }
    coverage = _coverage(tmp_path, nodes, held)
    assert _counts(coverage) == (72 + 80, 30, 4 + 5, 16, 1, 9 + 9)
    assert [(item.op_type, item.parameters) for item in coverage.skipped] == [("acme.Mystery", 30)]


def test_settings_are_other_constants(tmp_path: Path) -> None:
    nodes = [node("Reshape", "x s", "r"), node("MatMul", "r w")]
    held = {"s": np.array([-1, 4]), "w": weights(4, 3), "i": np.arange(100)}
    coverage = _coverage(tmp_path, nodes, held)
    assert _counts(coverage) == (12, 0, 0, 0, 2, 100)
    assert coverage.other_kinds == {"Reshape": 2}


def test_a_tensor_of_which_two_layers_use_slices_is_counted_once(tmp_path: Path) -> None:
    nodes = [
        node("Slice", "w zero four", "a"),
        node("Slice", "w four eight", "b"),
        node("MatMul", "x a", "h"),
        node("MatMul", "h b"),
    ]
    held = {"w": weights(8, 4), "zero": np.array([0]), "four": np.array([4]), "eight": np.array([8])}
    report = audit(save(model(nodes, held), tmp_path))
    assert _counts(report.coverage) == (32, 0, 0, 0, 3, 0)
    assert [layer.parameters for layer in report.layers] == [16, 16]


def test_a_tensor_with_two_roles_has_the_first(tmp_path: Path) -> None:
    """Weight before bias, analysed before skipped: tied weights are counted once."""
    nodes = [node("MatMul", "x w", "h"), node("acme.Mystery", "h w", "i"), node("Add", "i w")]
    assert _counts(_coverage(tmp_path, nodes, {"w": weights(4, 4)})) == (16, 0, 0, 0, 0, 0)


def test_a_weight_behind_a_cast_counts_as_stored(tmp_path: Path) -> None:
    nodes = [node("Cast", "v", "w", to=1), node("MatMul", "x w")]
    assert _counts(_coverage(tmp_path, nodes, {"v": weights(6, 4, dtype=np.float16)})) == (24, 0, 0, 0, 0, 0)


def test_both_parts_of_a_concatenation_are_counted(tmp_path: Path) -> None:
    nodes = [node("Concat", "a b", "w", axis=0), node("MatMul", "x w")]
    assert _counts(_coverage(tmp_path, nodes, {"a": weights(2, 4), "b": weights(3, 4)})) == (
        20,
        0,
        0,
        0,
        0,
        0,
    )


def test_scales_of_a_weight_are_other_constants(tmp_path: Path) -> None:
    nodes = [node("Mul", "v s", "w"), node("MatMul", "x w")]
    assert _counts(_coverage(tmp_path, nodes, {"v": weights(6, 4), "s": weights(4)})) == (24, 0, 0, 0, 4, 0)


@pytest.mark.parametrize("copied", [False, True])
def test_by_how_much_codes_are_shifted_is_no_weight(copied: bool, tmp_path: Path) -> None:
    """Eight codes of 4 bits in a number, which shifts of each by its place take apart."""
    packed = np.random.default_rng(0).integers(0, 2**32, (2, 1, 6), dtype=np.uint32)
    shifts = np.arange(0, 32, 4, dtype=np.uint32).reshape(1, 8, 1)
    nodes = [node("Expand", "packed eight", "copies")] if copied else [node("Identity", "packed", "copies")]
    nodes += [
        node("BitShift", "copies shifts", "shifted", direction="RIGHT"),
        node("BitwiseAnd", "shifted mask", "codes"),
        node("Reshape", "codes to", "rows"),
        node("Cast", "rows", "numbers", to=TensorProto.FLOAT),
        node("Mul", "numbers scale", "w"),
        node("MatMul", "x w"),
    ]
    scale = weights(1, 6)
    held = {
        "packed": packed,
        "shifts": shifts,
        "mask": np.uint32(15),
        "to": np.array([16, 6]),
        "scale": scale,
    }
    if copied:
        held["eight"] = np.array([2, 8, 6])
    path = save(model(nodes, held, {"x": ("n", 16)}), tmp_path)
    layer = only_layer(path)
    np.testing.assert_array_equal(layer.matrix(), ((packed >> shifts) & 15).reshape(16, 6) * scale)
    assert (layer.weight, str(layer.encoding)) == ("packed", "uint32 scaled")
    coverage = audit(path).coverage
    assert _counts(coverage) == (12, 0, 0, 0, 8 + 1 + 2 + 6 + 3 * copied, 0)
    assert coverage.other_kinds["BitShift"] == 8


def test_powers_of_two_are_weights_by_how_much_they_shift(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 8, (4, 3), dtype=np.uint8)
    nodes = [
        node("BitShift", "unit codes", "powers", direction="LEFT"),
        node("Cast", "powers", "w", to=TensorProto.FLOAT),
        node("MatMul", "x w"),
    ]
    path = save(model(nodes, {"unit": np.ones(1, np.uint8), "codes": codes}, {"x": ("n", 4)}), tmp_path)
    layer = only_layer(path)
    np.testing.assert_array_equal(layer.matrix(), 2.0**codes)
    assert layer.weight == "codes"
    assert _counts(audit(path).coverage) == (12, 0, 0, 0, 1, 0)


def test_an_unused_chain_and_an_output_are_told_apart(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w")]
    held = {"w": weights(4, 4), "result": weights(7), "unused": weights(9)}
    coverage = _coverage(tmp_path, nodes, held, outputs=["y", "result"])
    assert _counts(coverage) == (16, 0, 0, 0, 7, 9)


def test_weights_without_data_are_skipped_and_counted(tmp_path: Path) -> None:
    held = {"w": TensorProto(data_type=1, dims=[6, 4]), "v": weights(4, 4)}
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v")]
    coverage = _coverage(tmp_path, nodes, held)
    assert _counts(coverage) == (16, 24, 0, 0, 0, 0)
    assert coverage.fraction == 0.4


def test_a_fill_is_counted(tmp_path: Path) -> None:
    fill = node("ConstantOfShape", "s", "w", value=helper.make_tensor("v", 1, [1], [0.5]))
    coverage = _coverage(tmp_path, [fill, node("MatMul", "x w")], {"s": np.array([6, 4])})
    assert _counts(coverage) == (24, 0, 0, 0, 2, 0)


def test_biases_of_fused_operations(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node(f"{MICROSOFT}.BiasGelu", "h b")]
    assert _counts(_coverage(tmp_path, nodes, {"w": weights(6, 4), "b": weights(4)})) == (24, 0, 4, 0, 0, 0)


def test_a_bias_that_is_copied_as_often_as_a_size_says(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "n", start=0, end=1),
        node("Concat", "n width", "s", axis=0),
        node("Expand", "b s", "c"),
        node("Gemm", "x w c"),
    ]
    held = {"b": weights(4), "width": np.array([4]), "w": weights(6, 4)}
    coverage = _coverage(tmp_path, nodes, held, inputs={"x": ["n", 6]})
    assert _counts(coverage) == (24, 0, 4, 0, 1, 0)


def test_weights_in_bodies_are_counted(tmp_path: Path) -> None:
    body = graph([node("MatMul", "x v", "r")], {"v": weights(4, 3), "u": weights(5)}, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=body, else_branch=body)], {}, {"x": None, "c": ()})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    assert _counts(audit(save(proto, tmp_path)).coverage) == (24, 0, 0, 0, 0, 10)


def test_a_model_without_weights(tmp_path: Path) -> None:
    report = audit(save(model([node("Relu", "x")], {}), tmp_path))
    assert _counts(report.coverage) == (0, 0, 0, 0, 0, 0)
    assert report.coverage.fraction is None
    assert report.layers == ()
    assert report.network.neural_persistence.total is None
    assert report.network.neural_persistence.reason


def test_a_graph_without_nodes(tmp_path: Path) -> None:
    report = audit(save(model([], {"w": weights(4, 4)}, outputs=["w"]), tmp_path))
    assert _counts(report.coverage) == (0, 0, 0, 0, 16, 0)


def test_zero_size_tensors_count_nothing(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v")]
    held = {"w": np.zeros((4, 0), np.float32), "v": np.zeros((0, 4), np.float32)}
    coverage = _coverage(tmp_path, nodes, held)
    assert _counts(coverage) == (0, 0, 0, 0, 0, 0)
    assert len(coverage.skipped) == 2


def test_tensors_in_attributes_and_text_are_counted(tmp_path: Path) -> None:
    """None is a weight; the label encoder holds two tensors of three."""
    pairs = {"keys_tensor": np.arange(3), "values_tensor": weights(3)}
    attributes = {name: numpy_helper.from_array(array, name) for name, array in pairs.items()}
    nodes = [
        node("ai.onnx.ml.LabelEncoder", "x", "l", **attributes, default_tensor=attributes["values_tensor"]),
        node("Constant", "", "text", value_strings=["a", "b"]),
        node("Add", "l text"),
    ]
    coverage = _coverage(tmp_path, nodes, {})
    assert _counts(coverage) == (0, 0, 0, 0, 3 + 3 + 3 + 2, 0)
    assert coverage.other_kinds == {"Add": 2, "ai.onnx.ml.LabelEncoder": 9}
