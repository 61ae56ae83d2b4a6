"""Gemm, MatMul and their fused forms: what the reader says of the weight is what the runtime does with it."""

from itertools import product
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer, Skipped
from tests.models import (
    FLOAT_TYPES,
    MICROSOFT,
    block_diagonal,
    graph,
    layers_of,
    model,
    node,
    only_layer,
    only_skipped,
    response,
    run,
    save,
    weights,
)

RUNNABLE = (np.float64, np.float32, np.float16)
PAIRS = list(product((0, 1), repeat=2))


@pytest.mark.parametrize("op", ["Gemm", f"{MICROSOFT}.FusedGemm"])
@pytest.mark.parametrize(("trans_a", "trans_b"), PAIRS)
def test_gemm_with_the_weight_right(tmp_path: Path, op: str, trans_a: int, trans_b: int) -> None:
    w, c = weights(*((3, 5) if trans_b else (5, 3))), weights(3, seed=1)
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 2.0}
    if op != "Gemm":  # the fused form wants an activation: here one that changes nothing
        attributes |= {"activation": "LeakyRelu", "activation_alpha": 1.0}
    proto = model([node(op, "x w c", **attributes)], {"w": w, "c": c})
    layer = only_layer(save(proto, tmp_path))
    shape = (5, 1) if trans_a else (1, 5)
    assert layer.op_type == op
    assert (layer.n_in, layer.n_out, str(layer.encoding), layer.weight) == (5, 3, "float32", "w")
    np.testing.assert_array_equal(layer.matrix(), response(proto, shape))
    np.testing.assert_array_equal(layer.bias(), run(proto, x=np.zeros(shape, np.float32)).ravel())


@pytest.mark.parametrize(("trans_a", "trans_b"), PAIRS)
def test_gemm_with_the_weight_left(tmp_path: Path, trans_a: int, trans_b: int) -> None:
    w, c = weights(*((5, 3) if trans_a else (3, 5))), weights(3, 1, seed=1)
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": -0.25, "beta": 0.5}
    proto = model([node("Gemm", "w x c", **attributes)], {"w": w, "c": c})
    layer = only_layer(save(proto, tmp_path))
    shape = (1, 5) if trans_b else (5, 1)
    assert (layer.n_in, layer.n_out) == (5, 3)
    np.testing.assert_array_equal(layer.matrix(), response(proto, shape))
    np.testing.assert_array_equal(layer.bias(), run(proto, x=np.zeros(shape, np.float32)).ravel())


def test_a_square_weight_gives_no_hint_but_its_attribute(tmp_path: Path) -> None:
    w = weights(4, 4)
    for trans in (0, 1):
        proto = model([node("Gemm", "x w", transB=trans)], {"w": w})
        np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), response(proto, (1, 4)))
    proto = model([node("MatMul", "w x")], {"w": w})
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), w.T)


@pytest.mark.parametrize("dtype", RUNNABLE)
def test_products_in_every_type_the_runtime_has(tmp_path: Path, dtype: type) -> None:
    w = weights(5, 3, dtype=dtype)
    for proto in (
        model([node("Gemm", "x w")], {"w": w}, dtype=dtype),
        model([node("MatMul", "x w")], {"w": w}, dtype=dtype),
    ):
        layer = only_layer(save(proto, tmp_path))
        assert str(layer.encoding) == np.dtype(dtype).name
        assert layer.matrix().dtype == dtype
        np.testing.assert_array_equal(layer.matrix(), response(proto, (1, 5), dtype))


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
def test_products_in_every_type_that_onnx_has(tmp_path: Path, dtype: type) -> None:
    w = weights(5, 3, dtype=dtype)
    layer = only_layer(save(model([node("MatMul", "x w")], {"w": w}, dtype=dtype), tmp_path))
    assert str(layer.encoding) == np.dtype(dtype).name
    assert layer.matrix().dtype == (np.float32 if dtype is ml_dtypes.bfloat16 else dtype)
    np.testing.assert_array_equal(layer.matrix().astype(float), w.astype(float))


def test_bfloat16_keeps_every_bit(tmp_path: Path) -> None:
    bits = np.array([[0x0001, 0x7F7F], [0xFF7F, 0x3F81], [0x8000, 0x0080]], np.uint16)
    w = bits.view(ml_dtypes.bfloat16)
    layer = only_layer(save(model([node("MatMul", "x w")], {"w": w}), tmp_path))
    np.testing.assert_array_equal(layer.matrix().view(np.uint32), bits.astype(np.uint32) << 16)


def test_matmul_right_and_left(tmp_path: Path) -> None:
    right = model([node("MatMul", "x w")], {"w": weights(5, 3)})
    left = model([node("MatMul", "w x")], {"w": weights(3, 5)})
    np.testing.assert_array_equal(only_layer(save(right, tmp_path)).matrix(), response(right, (1, 5)))
    np.testing.assert_array_equal(only_layer(save(left, tmp_path)).matrix(), response(left, (5, 1)))


def test_matmul_with_a_vector(tmp_path: Path) -> None:
    right = model([node("MatMul", "x w")], {"w": weights(5)})
    left = model([node("MatMul", "w x")], {"w": weights(5)})
    for proto, shape in ((right, (1, 5)), (left, (5, 1))):
        layer = only_layer(save(proto, tmp_path))
        assert (layer.n_in, layer.n_out, layer.parameters) == (5, 1, 5)
        np.testing.assert_array_equal(layer.matrix(), response(proto, shape))


@pytest.mark.parametrize("batch", [(3,), (2, 3), (1,), (1, 1), (2, 1, 2)])
def test_batched_matmul_is_one_matrix_an_entry(tmp_path: Path, batch: tuple[int, ...]) -> None:
    right = model([node("MatMul", "x w")], {"w": weights(*batch, 4, 2)})
    left = model([node("MatMul", "w x")], {"w": weights(*batch, 2, 4)})
    for proto, shape in ((right, (*batch, 1, 4)), (left, (*batch, 4, 1))):
        layer = only_layer(save(proto, tmp_path))
        blocks = layer.blocks()
        count = int(np.prod(batch))
        assert [block.shape for block in blocks] == [(4, 2)] * count
        assert (layer.n_in, layer.n_out, layer.parameters) == (4 * count, 2 * count, 8 * count)
        np.testing.assert_array_equal(block_diagonal(blocks), response(proto, shape))


FLAGS = list(product((0, 1), repeat=4))


def _stored(logical: np.ndarray, trans: int, batch: int) -> np.ndarray:
    """Undo what FusedMatMul does to an operand whose last two axes are then those of the product."""
    if trans:
        logical = np.swapaxes(logical, -1, -2)
    return np.ascontiguousarray(np.moveaxis(logical, -2, 0) if batch else logical)


@pytest.mark.parametrize(("trans_a", "trans_b", "batch_a", "batch_b"), FLAGS)
def test_fused_matmul(tmp_path: Path, trans_a: int, trans_b: int, batch_a: int, batch_b: int) -> None:
    attributes = {
        "transA": trans_a,
        "transB": trans_b,
        "transBatchA": batch_a,
        "transBatchB": batch_b,
        "alpha": 0.5,
    }
    op = f"{MICROSOFT}.FusedMatMul"
    right = model([node(op, "x w", **attributes)], {"w": _stored(weights(2, 3, 4, 5), trans_b, batch_b)})
    left = model([node(op, "w x", **attributes)], {"w": _stored(weights(2, 3, 5, 4), trans_a, batch_a)})
    x_right = _stored(np.zeros((2, 3, 1, 4)), trans_a, batch_a).shape
    x_left = _stored(np.zeros((2, 3, 4, 1)), trans_b, batch_b).shape
    for proto, shape, undo in (
        (right, x_right, (trans_a, batch_a)),
        (left, x_left, (trans_b, batch_b)),
    ):
        layer = only_layer(save(proto, tmp_path))
        order = _logical_order(shape, *undo)
        np.testing.assert_array_equal(block_diagonal(layer.blocks()), response(proto, shape)[order])


def _logical_order(stored: tuple[int, ...], trans: int, batch: int) -> np.ndarray:
    """Return which element of the stored operand is the i-th as the product sees it."""
    places = np.arange(np.prod(stored)).reshape(stored)
    if batch:
        places = np.moveaxis(places, 0, -2)
    if trans:
        places = np.swapaxes(places, -1, -2)
    return places.ravel()


@pytest.mark.parametrize(("trans_a", "trans_b"), PAIRS)
def test_fused_matmul_of_matrices(tmp_path: Path, trans_a: int, trans_b: int) -> None:
    w = weights(*((3, 5) if trans_b else (5, 3)))
    op = f"{MICROSOFT}.FusedMatMul"
    proto = model([node(op, "x w", transA=trans_a, transB=trans_b, alpha=4.0)], {"w": w})
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), response(proto, (5, 1) if trans_a else (1, 5)))


DERIVED = {
    "an identity": [node("Identity", "w", "v")],
    "a cast": [node("Cast", "h", "v", to=TensorProto.FLOAT)],
    "a transpose": [node("Transpose", "t", "v")],
    "a product": [node("Mul", "w one", "v")],
    "decoded": [node("DequantizeLinear", "q s", "v", axis=1)],
    "one of two": [node("Gather", "both i", "v")],
}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("how", DERIVED)
def test_the_factor_of_a_fused_product_is_the_weights_wherever_that_comes_from(
    tmp_path: Path, how: str, side: str
) -> None:
    w = weights(4, 4).astype(np.float16).astype(np.float32)
    held = {
        "w": w,
        "h": w.astype(np.float16),
        "t": w.T.copy(),
        "one": np.float32([1]),
        "both": np.stack([w, w]),
        "q": np.arange(16, dtype=np.int8).reshape(4, 4),
        "s": weights(4),
    }
    used = [name for made in DERIVED[how] for name in made.input] + ["w"]
    ends = "x v" if side == "right" else "v x"
    inputs: dict[str, Any] = {"x": [4, 4], **({"i": ()} if "i" in used else {})}
    nodes = [*DERIVED[how], node(f"{MICROSOFT}.FusedMatMul", ends, alpha=0.125)]
    proto = model(nodes, {name: held[name] for name in held if name in used}, inputs)
    for given in proto.graph.input[1:]:
        given.type.tensor_type.elem_type = TensorProto.INT64
    values = held["q"] * held["s"] if how == "decoded" else w
    expected = 0.125 * (values if side == "right" else values.T)
    found = [each for each in layers_of(save(proto, tmp_path)) if isinstance(each, Layer)]
    assert found
    for layer in found:
        for block in layer.blocks():
            np.testing.assert_array_equal(block, expected.astype(np.float32))


def test_the_factor_of_a_fused_product_whatever_a_name_means_elsewhere(tmp_path: Path) -> None:
    """In the other branch of an If the activation's name is a constant's."""
    w, v = weights(4, 8), weights(8, 8, seed=1)
    op = f"{MICROSOFT}.FusedMatMul"
    first = graph([node("Relu", "x", "h"), node(op, "w h", "a", alpha=3.0)], {}, {}, ["a"])
    second = graph([node(op, "h x", "b", alpha=0.5)], {"h": v}, {}, ["b"])
    proto = model([node("If", "c", then_branch=first, else_branch=second)], {"w": w}, {"x": [8, 5], "c": ()})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    layers = {layer.name: layer for layer in layers_of(save(proto, tmp_path)) if isinstance(layer, Layer)}
    np.testing.assert_array_equal(layers["w"].matrix(), 3 * w.T)
    np.testing.assert_array_equal(layers["h"].matrix(), v.T / 2)


def test_fused_products_of_one_name_in_two_branches(tmp_path: Path) -> None:
    """A matrix, and a batch of them: each is turned as its own rank has it."""
    op = f"{MICROSOFT}.FusedMatMul"
    held = {"one": weights(6, 8), "two": weights(2, 6, 8, seed=1)}
    branches = {
        f"{which}_branch": graph([node(op, "x w", "r", transB=1)], {"w": w}, {}, ["r"])
        for which, w in zip(("then", "else"), held.values(), strict=True)
    }
    proto = model([node("If", "c", **branches)], {}, {"x": [2, 5, 8], "c": ()})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    found = [layer for layer in layers_of(save(proto, tmp_path)) if isinstance(layer, Layer)]
    assert [len(layer.blocks()) for layer in found] == [1, 2]
    for layer, w in zip(found, held.values(), strict=True):
        np.testing.assert_array_equal(layer.blocks()[0], w.reshape(-1, 6, 8)[0].T)


def test_the_same_name_in_another_domain_is_another_operation(tmp_path: Path) -> None:
    for op in ("acme.MatMul", "acme.Gemm", "acme.Conv", f"{MICROSOFT}.Gemm"):
        skipped = only_skipped(save(model([node(op, "x w")], {"w": weights(4, 4)}), tmp_path))
        assert skipped.op_type == op
        assert op in skipped.reason
        assert skipped.parameters == 16


def test_onnx_may_spell_out_its_own_domain(tmp_path: Path) -> None:
    proto = model([helper.make_node("Gemm", ["x", "w"], ["y"], domain="ai.onnx")], {"w": weights(4, 2)})
    assert only_layer(save(proto, tmp_path)).op_type == "Gemm"


def test_two_activations_make_no_layer(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x x")], {"unused": weights(4, 4)})
    assert layers_of(save(proto, tmp_path)) == []


def test_a_product_of_two_constants_is_a_skip_with_its_reason_or_part_of_the_weight(tmp_path: Path) -> None:
    """Neither factor is forgotten: low-rank factors that a model multiplies before use."""
    proto = model(
        [node("MatMul", "a b", "ab"), node("MatMul", "x ab")], {"a": weights(4, 2), "b": weights(2, 4)}
    )
    found = layers_of(save(proto, tmp_path))
    assert {item.weight for item in found} & {"a", "b", "ab"}
    for item in found:
        if hasattr(item, "matrix"):
            np.testing.assert_array_equal(item.matrix(), weights(4, 2) @ weights(2, 4))
        else:
            assert item.reason


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (2, 0, 4), (2, 4, 0), (0, 3, 4)])
def test_an_empty_side_is_a_skip_that_says_so(tmp_path: Path, shape: tuple[int, ...]) -> None:
    proto = model([node("MatMul", "x w")], {"w": np.zeros(shape, np.float32)})
    skipped = only_skipped(save(proto, tmp_path))
    assert "empty" in skipped.reason
    assert skipped.parameters == 0


@pytest.mark.parametrize("count", [2, 3, 4, 7, 20])
def test_every_operand_of_an_einsum_counts(tmp_path: Path, count: int) -> None:
    """A chain of products in one operation is not read, and none of its weights is forgotten."""
    axes = "abcdefghijklmnopqrstuvwxyz"
    pairs = [axes[place : place + 2] for place in range(count)]
    equation = f"z{axes[0]},{','.join(pairs)}->z{axes[count]}"
    held = {f"w{place}": weights(3, 3, seed=place) / 8 for place in range(count)}
    proto = model([node("Einsum", f"x {' '.join(held)}", equation=equation)], held)
    x = weights(2, 3)
    expected = x.astype(np.float64)
    for value in held.values():
        expected = expected @ value
    np.testing.assert_allclose(run(proto, x=x), expected, rtol=1e-4)
    found = layers_of(save(proto, tmp_path))
    assert [item.weight for item in found] == list(held)
    assert all(isinstance(item, Skipped) for item in found)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("use", ["weight", "scale"])
def test_every_factor_of_an_einsum_of_constants_counts(tmp_path: Path, count: int, use: str) -> None:
    """As part of the weight that they make, or with the reason that they only modulate: all but the first."""
    axes = "abcdefgh"
    equation = ",".join(axes[place : place + 2] for place in range(count)) + f"->{axes[0]}{axes[count]}"
    held = {f"w{place}": weights(4, 4, seed=place) for place in range(count)}
    made = node("Einsum", " ".join(held), "v", equation=equation)
    if use == "weight":
        coverage = audit(save(model([made, node("MatMul", "x v")], held), tmp_path)).coverage
        assert (coverage.parameters_analysed, coverage.other_kinds) == (16 * count, {})
        expected = np.linalg.multi_dot([value.astype(np.float64) for value in held.values()])
        np.testing.assert_allclose(only_layer(tmp_path / "model.onnx").matrix(), expected, rtol=1e-5)
    else:
        nodes = [made, node("ReduceSum", "v last", "s"), node("Mul", "x s")]
        coverage = audit(save(model(nodes, {**held, "last": np.array([1])}), tmp_path)).coverage
        assert [item.parameters for item in coverage.skipped] == [16] * (count - 1)


def test_all_weights_of_a_recurrent_operation_on_constants_count(tmp_path: Path) -> None:
    """What a constant sequence is turned into is a weight of which both matrices are a part."""
    held = {
        "s": weights(3, 1, 4) / 8,
        "w": weights(1, 5, 4) / 8,
        "r": weights(1, 5, 5) / 8,
        "a": np.array([1]),
    }
    nodes = [node("RNN", "s w r", "h", hidden_size=5), node("Squeeze", "h a", "v"), node("MatMul", "x v")]
    nodes.insert(2, node("Squeeze", "v a", "u"))
    nodes[-1].input[1] = "u"
    coverage = audit(save(model(nodes, held), tmp_path)).coverage
    assert coverage.parameters_total == 12 + 20 + 25
    assert "RNN" not in coverage.other_kinds
