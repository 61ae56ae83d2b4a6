"""Where weights hide: initializers, Constant nodes, bodies, functions, and behind constant nodes."""

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxtop
from onnxtop.auditing.story import audit
from onnxtop.comparison.options import DiffOptions
from onnxtop.errors import ModelError
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.loading import load
from tests.models import (
    FLOAT_TYPES,
    graph,
    layers_of,
    mlp,
    model,
    node,
    only_layer,
    only_skipped,
    save,
    weights,
)

W = weights(6, 4)


def test_initializer_raw_or_typed(tmp_path: Path) -> None:
    typed = TensorProto(data_type=TensorProto.FLOAT, dims=W.shape, float_data=W.ravel().tolist())
    double = TensorProto(data_type=TensorProto.DOUBLE, dims=W.shape, double_data=W.ravel().tolist())
    for held in (W, typed, double):
        np.testing.assert_array_equal(
            only_layer(save(model([node("MatMul", "x w")], {"w": held}), tmp_path)).matrix(), W
        )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_in_int32_data(tmp_path: Path, dtype: Any) -> None:
    values = W.astype(dtype)
    held = TensorProto(
        data_type=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),
        dims=W.shape,
        int32_data=values.view(np.uint16).ravel().tolist(),
    )
    layer = only_layer(save(model([node("MatMul", "x w")], {"w": held}), tmp_path))
    assert str(layer.encoding) == np.dtype(dtype).name
    np.testing.assert_array_equal(layer.matrix().astype(np.float32), W)


@pytest.mark.parametrize("dtype", FLOAT_TYPES)
@pytest.mark.parametrize("typed", [False, True])
def test_large_tensors_are_read_from_the_file(tmp_path: Path, dtype: Any, typed: bool) -> None:
    """Beyond 4096 bytes the bytes stay in the file, wherever they stand: every offset modulo 8 is tried."""
    values = weights(70, 40, dtype=dtype)
    held = numpy_helper.from_array(values)
    if typed:
        held = helper.make_tensor("w", held.data_type, values.shape, values.ravel().tolist())
    for length in range(8):
        proto = model([node("MatMul", "x w", name="n" * length)], {"w": held})
        matrix = only_layer(save(proto, tmp_path, f"{length}.onnx")).matrix()
        assert matrix.flags.aligned
        np.testing.assert_array_equal(matrix.astype(np.float64), values.astype(np.float64))


@pytest.mark.parametrize("shape", [(6, 4), (70, 40)])
def test_weights_cannot_be_written(tmp_path: Path, shape: tuple[int, int]) -> None:
    layer = only_layer(save(model([node("MatMul", "x w")], {"w": weights(*shape)}), tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        layer.matrix()[0, 0] = 1


@pytest.mark.parametrize(
    ("attribute", "weight"),
    [
        ({"value": numpy_helper.from_array(W)}, W),
        ({"value": numpy_helper.from_array(weights(70, 40))}, weights(70, 40)),
        ({"value_floats": W[:, 0].tolist()}, W[:, :1]),
    ],
)
def test_constant_nodes(tmp_path: Path, attribute: dict[str, Any], weight: np.ndarray) -> None:
    proto = model([node("Constant", "", "w", **attribute), node("MatMul", "x w")])
    layer = only_layer(save(proto, tmp_path))
    assert (layer.weight, str(layer.encoding)) == ("w", "float32")
    np.testing.assert_array_equal(layer.matrix(), weight)


def test_a_scalar_constant_is_no_layer(tmp_path: Path) -> None:
    proto = model([node("Constant", "", "c", value_float=2.0), node("Mul", "x c")])
    assert layers_of(save(proto, tmp_path)) == []


def _sparse(w: np.ndarray, *, flat: bool) -> Any:
    places = np.argwhere(w)
    indices = np.ravel_multi_index(tuple(places.T), w.shape) if flat else places
    return helper.make_sparse_tensor(
        numpy_helper.from_array(w[tuple(places.T)], "w"),
        numpy_helper.from_array(indices.astype(np.int64), "indices"),
        list(w.shape),
    )


@pytest.mark.parametrize("flat", [True, False])
def test_sparse_initializers(tmp_path: Path, flat: bool) -> None:
    w = W * (np.arange(24).reshape(6, 4) % 5 == 0)
    proto = model([node("MatMul", "x w")])
    proto.graph.sparse_initializer.append(_sparse(w, flat=flat))
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), w)


def test_a_sparse_constant_is_not_forgotten(tmp_path: Path) -> None:
    w = W * (np.arange(24).reshape(6, 4) % 5 == 0)
    proto = model([node("Constant", "", "w", sparse_value=_sparse(w, flat=True)), node("MatMul", "x w")])
    (found,) = layers_of(save(proto, tmp_path))
    if isinstance(found, Layer):
        np.testing.assert_array_equal(found.matrix(), w)
    else:
        assert found.reason


@pytest.mark.parametrize("indices", [[[7, 0]], [[0, 0, 0]], [99], [[0.5, 1.0]]])
def test_a_sparse_tensor_whose_places_do_not_fit_is_skipped(tmp_path: Path, indices: list[Any]) -> None:
    places = np.array(indices)
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "w"), numpy_helper.from_array(places, "at"), [6, 4]
    )
    proto = model([node("MatMul", "x w")])
    proto.graph.sparse_initializer.append(sparse)
    path = save(proto, tmp_path)
    assert "w" in only_skipped(path).reason
    assert onnxtop.diff(path, save(proto, tmp_path, "other.onnx"), DiffOptions()).whole.verdict.passes


def test_no_file_can_name_a_sparse_tensor_by_its_location(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w")])
    proto.graph.initializer.append(TensorProto(name="w", data_type=1, dims=[6, 4], data_location=1))
    for key, value in (("location", "\0sparse"), ("offset", "0")):
        proto.graph.initializer[0].external_data.add(key=key, value=value)
    with pytest.raises(ModelError, match="external data of tensor 'w'"):
        layers_of(save(proto, tmp_path))


def test_initializers_that_are_inputs_as_well(tmp_path: Path) -> None:
    """Files of the first IR versions list every initializer among the inputs."""
    proto = mlp(5, 4, 3)
    for held in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(held.name, held.data_type, held.dims))
    assert [layer.name for layer in layers_of(save(proto, tmp_path))] == ["fc1", "fc2"]


WEIGHT_INDEX = np.array([3, 1, 0, 2, 5, 4])

BEHIND: dict[str, tuple[list[Any], dict[str, Any], np.ndarray]] = {
    "transpose": ([node("Transpose", "v", "w", perm=[1, 0])], {"v": W.T.copy()}, W),
    "transpose without perm": ([node("Transpose", "v", "w")], {"v": W.T.copy()}, W),
    "reshape": ([node("Reshape", "v s", "w")], {"v": W.ravel(), "s": np.array([6, -1])}, W),
    "reshape with 0": ([node("Reshape", "v s", "w")], {"v": W.reshape(6, 2, 2), "s": np.array([0, -1])}, W),
    "identity": ([node("Identity", "v", "w")], {"v": W}, W),
    "flatten": ([node("Flatten", "v", "w", axis=1)], {"v": W.reshape(6, 2, 2)}, W),
    "squeeze": ([node("Squeeze", "v a", "w")], {"v": W[None], "a": np.array([0])}, W),
    "unsqueeze": ([node("Unsqueeze", "v a", "w")], {"v": W, "a": np.array([0])}, W[None]),
    "cast up": ([node("Cast", "v", "w", to=TensorProto.FLOAT)], {"v": W.astype(np.float16)}, W),
    "cast bfloat16": ([node("Cast", "v", "w", to=1)], {"v": W.astype(ml_dtypes.bfloat16)}, W),
    "cast down": ([node("Cast", "v", "w", to=TensorProto.FLOAT16)], {"v": W}, W),
    "slice": (
        [node("Slice", "v b e a t", "w")],
        {
            "v": np.concatenate([W, W])[:, ::-1],
            "b": np.array([0, 3]),
            "e": np.array([6, -9]),
            "a": np.array([0, 1]),
            "t": np.array([1, -1]),
        },
        W,
    ),
    "concat": ([node("Concat", "v u", "w", axis=0)], {"v": W[:2], "u": W[2:]}, W),
    "unsqueeze, concat, slice": (
        [
            node("Slice", "v b e", "s"),
            node("Unsqueeze", "s b", "t"),
            node("Concat", "t t", "w", axis=0),
        ],
        {"v": np.concatenate([W, W]), "b": np.array([0]), "e": np.array([6])},
        np.stack([W, W]),
    ),
    "split": (
        [node("Split", "v s", "a w", axis=0)],
        {"v": np.concatenate([W[:1], W]), "s": np.array([1, 6])},
        W,
    ),
    "expand": ([node("Expand", "v s", "w")], {"v": W[:, :1], "s": np.array([6, 4])}, W[:, :1].repeat(4, 1)),
    "tile": ([node("Tile", "v r", "w")], {"v": W[:3], "r": np.array([2, 1])}, np.tile(W[:3], (2, 1))),
    "gather rows": ([node("Gather", "v i", "w")], {"v": W, "i": WEIGHT_INDEX}, W[WEIGHT_INDEX]),
    "pad": (
        [node("Pad", "v p", "w")],
        {"v": W[:5], "p": np.array([0, 0, 1, 0])},
        np.pad(W[:5], ((0, 1), (0, 0))),
    ),
    "gather elements": (
        [node("GatherElements", "v i", "w", axis=0)],
        {"v": weights(40, 40), "i": np.arange(1600).reshape(40, 40) * 7 % 40},
        np.take_along_axis(weights(40, 40), np.arange(1600).reshape(40, 40) * 7 % 40, 0),
    ),
    "gather by places": (
        [node("GatherND", "v i", "w")],
        {"v": W, "i": np.argwhere(W)[::-1].reshape(6, 4, 2)},
        W[::-1, ::-1],
    ),
    "scatter by places": (
        [node("ScatterND", "v i u", "w")],
        {"v": W[::-1].copy(), "i": np.arange(6)[:, None], "u": W},
        W,
    ),
    "scaled codes": (
        [node("Cast", "v", "f", to=1), node("Mul", "f s", "m"), node("Add", "m o", "w")],
        {"v": (np.abs(W) * 8).astype(np.uint8), "s": np.float32(0.125), "o": np.float32(-3)},
        np.abs(W) - 3,
    ),
    "weight norm": (
        [
            node("ReduceL2", "v a", "n", keepdims=1),
            node("Div", "g n", "r"),
            node("Mul", "v r", "w"),
        ],
        {"v": np.diag(np.float32([1, 2, 4, 8])), "g": np.float32([[1], [2], [3], [4]]), "a": np.array([1])},
        np.diag(np.float32([1, 2, 3, 4])),
    ),
    "filled": (
        [node("ConstantOfShape", "s", "w", value=helper.make_tensor("v", 1, [1], [0.5]))],
        {"s": np.array([6, 4])},
        np.full((6, 4), 0.5, np.float32),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BEHIND)
def test_weights_behind_constant_nodes(tmp_path: Path, what: str) -> None:
    nodes, held, weight = BEHIND[what]
    proto = model([*nodes, node("MatMul", "x w", name="fc")], held)
    layer = only_layer(save(proto, tmp_path))
    blocks = weight.reshape(-1, *weight.shape[-2:])
    assert (layer.name, layer.op_type, layer.shape) == ("fc", "MatMul", weight.shape)
    np.testing.assert_array_equal(np.array(layer.blocks(), np.float32), blocks)


def test_a_movement_keeps_the_name_and_type_of_its_tensor(tmp_path: Path) -> None:
    nodes = [node("Identity", "v", "i"), node("Transpose", "i", "w"), node("MatMul", "x w")]
    layer = only_layer(save(model(nodes, {"v": W.T.astype(np.float16)}), tmp_path))
    assert (layer.weight, str(layer.encoding)) == ("v", "float16")


@pytest.mark.parametrize("op", ["Identity", "Transpose", "Cast", "Neg"])
def test_a_chain_of_two_thousand_nodes(tmp_path: Path, op: str) -> None:
    attributes = {"to": TensorProto.FLOAT} if op == "Cast" else {}
    chain = [node(op, f"v{i}", f"v{i + 1}", **attributes) for i in range(2000)]
    layer = only_layer(save(model([*chain, node("MatMul", "x v2000")], {"v0": W}), tmp_path))
    np.testing.assert_array_equal(layer.matrix(), W)


def test_a_chain_of_activations_is_as_long_as_it_likes(tmp_path: Path) -> None:
    chain = [node("Identity", f"h{i}", f"h{i + 1}") for i in range(2000)]
    proto = model([node("MatMul", "x w", "h0"), *chain, node("Add", "h2000 b")], {"w": W, "b": W[0]})
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).bias(), W[0])


HUGE = 2**40
BOUNDED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "Expand": ([node("Expand", "v s", "w")], {"v": W[:, :1], "s": np.array([6, HUGE])}),
    "Tile": ([node("Tile", "v s", "w")], {"v": W, "s": np.array([HUGE, 1])}),
    "ConstantOfShape": ([node("ConstantOfShape", "s", "w")], {"s": np.array([HUGE, 4])}),
    "a fill behind a node": (
        [node("ConstantOfShape", "s", "f"), node("Neg", "f", "w")],
        {"s": np.array([HUGE, 4])},
    ),
    "Pad": ([node("Pad", "v s", "w")], {"v": W, "s": np.array([HUGE, 0, 0, 0])}),
    "Range": (
        [node("Range", "a b c", "r"), node("Reshape", "r s", "w")],
        {"a": np.float32(0), "b": np.float32(HUGE), "c": np.float32(1), "s": np.array([2, -1])},
    ),
    "Gather": (
        [node("Expand", "z s", "i"), node("Gather", "v i", "w")],
        {"z": np.array([0]), "s": np.array([2**24]), "v": weights(2, 400)},
    ),
    "Concat": (
        [node("Concat", "v " * 64, "c0", axis=0)]
        + [node("Concat", f"c{i} " * 64, f"c{i + 1}", axis=0) for i in range(5)]
        + [node("Identity", "c5", "w")],
        {"v": W},
    ),
    "Add": (
        [node("Add", "v u", "w")],
        {"v": np.ones((2**15, 1), np.float32), "u": np.ones((1, 2**15), np.float32)},
    ),
}


def _reason_why_unread(path: Path) -> str:
    """Return why the only weight of a model is not read; the audit itself must not fail."""
    report = audit(path)
    reasons = [item.reason for item in report.coverage.skipped]
    for layer in report.layers:
        assert layer.neural_persistence.total is None, layer
        reasons.append(layer.neural_persistence.reason or "")
    (reason,) = reasons
    return reason


@pytest.mark.parametrize("what", BOUNDED)
def test_what_would_take_all_memory_is_not_computed(tmp_path: Path, what: str) -> None:
    nodes, held = BOUNDED[what]
    reason = _reason_why_unread(save(model([*nodes, node("MatMul", "x w", name="fc")], held), tmp_path))
    assert "limit" in reason
    assert "\n" not in reason


BROKEN: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "through strings and back": (
        [node("Cast", "v", "t", to=8), node("Cast", "t", "w", to=1)],
        {"v": W},
    ),
    "through strings": ([node("Cast", "v", "t", to=8), node("Neg", "t", "w")], {"v": W}),
    "a scalar as shape": ([node("Expand", "v s", "w")], {"v": W, "s": np.array(4)}),
    "a scalar fill": ([node("ConstantOfShape", "s", "w")], {"s": np.array(4)}),
    "floats as shape": ([node("Reshape", "v s", "w")], {"v": W, "s": np.float32([4, 6])}),
    "floats as fill": ([node("ConstantOfShape", "s", "w")], {"s": np.float32([4, 6])}),
    "a negative fill": ([node("ConstantOfShape", "s", "w")], {"s": np.array([-4, -6])}),
    "another size": ([node("Reshape", "v s", "w")], {"v": W, "s": np.array([5, 5])}),
    "an axis too many": ([node("Transpose", "v", "w", perm=[1, 0, 2])], {"v": W}),
    "an axis that is not there": ([node("Concat", "v v", "w", axis=7)], {"v": W}),
    "shapes that do not broadcast": ([node("Add", "v u", "w")], {"v": W, "u": weights(5, 5)}),
    "too few inputs": ([node("Expand", "v", "w")], {"v": W}),
    "an endless range": (
        [node("Range", "a b c", "r"), node("Reshape", "r s", "w")],
        {"a": np.float32(0), "b": np.float32(np.inf), "c": np.float32(1), "s": np.array([2, -1])},
    ),
    "a step of nothing": (
        [node("Range", "a b c", "r"), node("Reshape", "r s", "w")],
        {"a": np.int64(0), "b": np.int64(4), "c": np.int64(0), "s": np.array([2, -1])},
    ),
    "a type that is none": ([node("Cast", "v", "w", to=77)], {"v": W}),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_constant_that_cannot_be_computed_is_a_skip(tmp_path: Path, what: str) -> None:
    nodes, held = BROKEN[what]
    reason = _reason_why_unread(save(model([*nodes, node("MatMul", "x w", name="fc")], held), tmp_path))
    assert reason
    assert "\n" not in reason


def test_custom_domains_and_loops_are_never_computed(tmp_path: Path) -> None:
    """A constant behind an operation off the list is no constant: nothing is executed from a model."""
    for op in ("acme.Identity", "acme.Decode"):
        proto = model([node(op, "v", "w"), node("MatMul", "x w")], {"v": W})
        found = layers_of(save(proto, tmp_path))
        assert [type(item) for item in found] == [Skipped]
        assert found[0].weight == "v"
        assert op in found[0].reason


def test_dims_without_data_are_a_skip(tmp_path: Path) -> None:
    held = TensorProto(data_type=TensorProto.FLOAT, dims=[6, 4])
    skipped = only_skipped(save(model([node("MatMul", "x w")], {"w": held}), tmp_path))
    assert "no data" in skipped.reason
    assert skipped.parameters == 24


def test_integers_are_no_weights_by_themselves(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w")], {"w": np.arange(24).reshape(6, 4)})
    skipped = only_skipped(save(proto, tmp_path))
    assert "int64" in skipped.reason


# Bodies, functions, sharing and order.


def _branch(op: str, weight: str, result: str, held: dict[str, Any] | None = None) -> Any:
    return graph(
        [node(op, f"x {weight}", result, name=f"{weight} {result}")], held, {}, [result], name=result
    )


def _with_condition(nodes: list[Any], held: dict[str, Any], **settings: Any) -> Any:
    proto = model(nodes, held, {"x": None, "c": ()}, **settings)
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    return proto


def test_weights_of_the_outer_scope_used_in_branches(tmp_path: Path) -> None:
    branches = {
        "then_branch": _branch("MatMul", "w", "a"),
        "else_branch": _branch("MatMul", "v", "b", {"v": weights(6, 4, seed=1)}),
    }
    proto = _with_condition([node("If", "c", "y", **branches)], {"w": W})
    first, second = layers_of(save(proto, tmp_path))
    np.testing.assert_array_equal(first.matrix(), W)
    np.testing.assert_array_equal(second.matrix(), weights(6, 4, seed=1))


def test_one_name_in_two_branches_is_two_tensors(tmp_path: Path) -> None:
    branches = {
        "then_branch": _branch("MatMul", "w", "r", {"w": weights(6, 4, seed=1)}),
        "else_branch": _branch("MatMul", "w", "r", {"w": weights(6, 4, seed=2)}),
    }
    nodes = [node("MatMul", "x w", "z", name="outer"), node("If", "c", "y", **branches)]
    found = layers_of(save(_with_condition(nodes, {"w": W}), tmp_path))
    assert [layer.name for layer in found] == ["outer", "w r", "w r#2"]
    for layer, seed in zip(found, (0, 1, 2), strict=True):
        np.testing.assert_array_equal(layer.matrix(), weights(6, 4, seed=seed))


@pytest.mark.parametrize("levels", [2, 5])
def test_weights_in_nested_branches(tmp_path: Path, levels: int) -> None:
    body = _branch("MatMul", "w", "r0")
    for level in range(1, levels + 1):
        inner = node("If", "c", f"r{level}", then_branch=body, else_branch=body)
        body = graph([inner], {}, {}, [f"r{level}"])
    proto = _with_condition([node("If", "c", "y", then_branch=body, else_branch=body)], {"w": W})
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), W)


def test_weights_of_the_outer_scope_used_in_a_loop_and_a_scan(tmp_path: Path) -> None:
    step = graph(
        [node("MatMul", "s w", "t", name="step"), node("Identity", "go", "on")],
        {},
        {"i": (), "go": (), "s": None},
        ["on", "t"],
    )
    scan = graph([node("MatMul", "e v", "f", name="scan")], {}, {"e": None}, ["f"])
    proto = model(
        [
            node("Loop", "n - x", "z", body=step),
            node("Scan", "z", "y", body=scan, num_scan_inputs=1),
        ],
        {"w": W, "v": weights(3, 3), "n": np.array(4)},
    )
    found = layers_of(save(proto, tmp_path))
    assert [layer.name for layer in found] == ["step", "scan"]
    np.testing.assert_array_equal(found[0].matrix(), W)


def _loop(change: list[Any]) -> Any:
    """Return a Loop that carries a weight and hands on what ``change`` makes of it."""
    step = graph(
        [node("MatMul", "s u", "t", name="step"), node("Identity", "go", "on"), *change],
        {},
        {"i": (), "go": (), "s": None, "u": None},
        ["on", "t", "next"],
    )
    return model([node("Loop", "n - x w", "y z", body=step)], {"w": weights(4, 4), "n": np.array(4)})


def test_a_weight_that_a_loop_hands_on_unchanged_is_not_forgotten(tmp_path: Path) -> None:
    (found,) = layers_of(save(_loop([node("Identity", "u", "next")]), tmp_path))
    assert found.weight == "w"
    if isinstance(found, Layer):
        np.testing.assert_array_equal(found.matrix(), weights(4, 4))


def test_a_weight_that_a_loop_changes_is_not_read(tmp_path: Path) -> None:
    """What the initializer holds is then the operand of the first step only."""
    (found,) = layers_of(save(_loop([node("Add", "u u", "next")]), tmp_path))
    assert found.weight == "w"
    assert isinstance(found, Skipped)


def test_functions_are_inlined(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("acme", 1)]
    large = weights(40, 30)
    dense = helper.make_function(
        "acme", "Dense", ["a", "w"], ["b"], [node("MatMul", "a w", "m"), node("Relu", "m", "b")], opsets
    )
    constant = node("Constant", "", "v", value=numpy_helper.from_array(large))
    both = helper.make_function(
        "acme",
        "Both",
        ["a", "w"],
        ["b"],
        [node("acme.Dense", "a w", "m"), constant, node("acme.Dense", "m v", "b")],
        opsets,
    )
    proto = model([node("acme.Both", "x w")], {"w": weights(50, 40)}, functions=[dense, both])
    first, second = layers_of(save(proto, tmp_path))
    np.testing.assert_array_equal(first.matrix(), weights(50, 40))
    np.testing.assert_array_equal(second.matrix(), large)
    assert first.weight == "w"


def test_a_function_called_twice_uses_its_weights_twice(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("acme", 1)]
    dense = helper.make_function("acme", "Dense", ["a", "w"], ["b"], [node("MatMul", "a w", "b")], opsets)
    nodes = [node("acme.Dense", "x w", "h"), node("acme.Dense", "h w", "i"), node("acme.Dense", "i v")]
    held = {"w": weights(6, 6), "v": weights(6, 4)}
    assert [layer.weight for layer in layers_of(save(model(nodes, held, functions=[dense]), tmp_path))] == [
        "w",
        "v",
    ]


def test_a_weight_used_five_times_is_one_layer_with_five_uses(tmp_path: Path) -> None:
    nodes = [node("MatMul", f"h{i} w", f"h{i + 1}", name=f"step{i}") for i in range(5)]
    nodes[0].input[0] = "x"
    layer = only_layer(save(model(nodes, {"w": weights(6, 6)}, outputs=["h5"]), tmp_path))
    assert layer.name == "step0"
    assert layer.uses == tuple(f"step{i}" for i in range(5))


def test_tied_weights_used_transposed_are_one_layer(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x w", "h", name="encode"),
        node("Transpose", "w", "wt"),
        node("MatMul", "h wt", name="decode"),
    ]
    layer = only_layer(save(model(nodes, {"w": W}), tmp_path))
    assert (layer.name, layer.uses, layer.n_in, layer.n_out) == ("encode", ("encode", "decode"), 6, 4)
    np.testing.assert_array_equal(layer.matrix(), W)


def test_copies_under_other_names_are_layers_of_their_own(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v")]
    found = layers_of(save(model(nodes, {"w": weights(6, 6), "v": weights(6, 6)}), tmp_path))
    assert [layer.weight for layer in found] == ["w", "v"]


def test_layers_stand_in_the_order_of_the_graph(tmp_path: Path) -> None:
    """Whatever the order of initializers (TensorFlow writes the last layer first) or of the nodes."""
    proto = mlp(7, 6, 5, 4, 3)
    held = list(proto.graph.initializer)[::-1]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(held)
    assert [layer.name for layer in layers_of(save(proto, tmp_path))] == ["fc1", "fc2", "fc3", "fc4"]
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    assert [layer.name for layer in layers_of(save(proto, tmp_path))] == ["fc1", "fc2", "fc3", "fc4"]


def test_constant_nodes_may_stand_after_their_users(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w"), node("Transpose", "v", "w"), node("Cast", "u", "v", to=1)]
    layer = only_layer(save(model(nodes, {"u": W.T.astype(np.float16)}), tmp_path))
    np.testing.assert_array_equal(layer.matrix(), W)


def test_names_of_a_body_do_not_move_its_node(tmp_path: Path) -> None:
    """A body's own ``y`` is not the ``y`` that its If gives: the node does not wait for itself."""
    branch = graph([node("Relu", "x", "y"), node("MatMul", "y w", "r", name="inside")], {}, {}, ["r"])
    nodes = [
        node("If", "c", "y", then_branch=branch, else_branch=branch),
        node("MatMul", "x v", "z", name="after"),
    ]
    proto = _with_condition(nodes, {"w": W, "v": weights(6, 4, seed=1)})
    assert [layer.name for layer in layers_of(save(proto, tmp_path))] == ["inside", "after"]


def test_a_cycle_does_not_hang(tmp_path: Path) -> None:
    nodes = [node("MatMul", "b w", "a", name="one"), node("MatMul", "a v", "b", name="two")]
    found = layers_of(save(model(nodes, {"w": weights(4, 4), "v": weights(4, 4)}), tmp_path))
    assert [layer.name for layer in found] == ["one", "two"]


def test_a_cycle_behind_codes_does_not_hang(tmp_path: Path) -> None:
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w", "i", name="fc"),
        *(node("Cast", "i", "f", to=1), node("Mul", "f s", "g"), node("Mul", "g y", "y")),
    ]
    (found,) = layers_of(save(model(nodes, {"w": np.ones((6, 4), np.int8)}), tmp_path))
    assert found.name == "fc"


def test_what_stands_behind_a_cycle_is_in_order(tmp_path: Path) -> None:
    """Only what is on the cycle reads a value too early, wherever the file lists it."""
    nodes = [
        *(node("Identity", "b", "c"), node("Relu", "c", "y")),
        *(node("Add", "x b", "a"), node("Relu", "a", "b")),
    ]
    read = load(save(model(nodes), tmp_path))
    assert [each.op_type for each in read.nodes] == ["Add", "Relu", "Identity", "Relu"]
    assert {early.name: later.name for early, later in read.early.items()} == {"b": "b"}


def test_a_cycle_of_constant_nodes_does_not_hang(tmp_path: Path) -> None:
    nodes = [node("Add", "b v", "a"), node("Identity", "a", "b"), node("MatMul", "x a", name="fc")]
    found = layers_of(save(model(nodes, {"v": W}), tmp_path))
    assert all(isinstance(item, Skipped) for item in found)


@pytest.mark.parametrize("opset", [1, 5, 7, 9, 11, 13, 18, 21, 25, 99])
def test_any_opset_is_read(tmp_path: Path, opset: int) -> None:
    layer = only_layer(save(model([node("MatMul", "x w")], {"w": W}, opset=opset), tmp_path))
    np.testing.assert_array_equal(layer.matrix(), W)


def test_unknown_operations_with_weights_are_skips(tmp_path: Path) -> None:
    nodes = [node("acme.Mystery", "x w v s", name="odd")]
    held = {"w": W, "v": weights(9, 2, 3), "s": weights(8)}
    found = layers_of(save(model(nodes, held), tmp_path))
    assert [(item.weight, item.op_type, item.parameters) for item in found] == [
        ("w", "acme.Mystery", 24),
        ("v", "acme.Mystery", 54),
    ]
    assert all(isinstance(item, Skipped) and "acme.Mystery" in item.reason for item in found)
    assert [item.name for item in found] == ["odd", "odd#2"]


def _blob(count: int, dtype: Any = np.float32) -> np.ndarray:
    return weights(count, dtype=dtype)


@pytest.mark.parametrize(
    ("what", "parameters"),
    [
        ({"kernel": numpy_helper.from_array(weights(6, 6))}, 36),
        ({"kernel": numpy_helper.from_array(weights(2, 3, 6))}, 36),
        ({"kernel": numpy_helper.from_array(_blob(40, np.int8))}, 40),
        ({"kernel": [numpy_helper.from_array(weights(6, 6)), numpy_helper.from_array(weights(6, 2))]}, 48),
        ({"kernel": _sparse(weights(4, 6), flat=True)}, 24),
        ({"kernel": _blob(36).tolist()}, 36),
        ({"kernel": _blob(36).tolist(), "more": weights(6, 2).ravel().tolist()}, 48),
        ({"kernel": _blob(36).tolist(), "bias": _blob(6).tolist()}, 36),
        ({"scales": [1.0, 1.0, 2.0, 2.0]}, 0),
        ({"mean": numpy_helper.from_array(_blob(6)), "order": list(range(100))}, 0),
    ],
    ids=lambda item: str(list(item)) if isinstance(item, dict) else str(item),
)
def test_weights_in_attributes_of_unknown_operations_are_skips(
    what: dict[str, Any], parameters: int, tmp_path: Path
) -> None:
    nodes = [node("MatMul", "x w", "h"), node("acme.Dense", "h", name="odd", **what)]
    path = save(model(nodes, {"w": weights(4, 6)}, {"x": [2, 4]}), tmp_path)
    skipped = [item for item in layers_of(path) if isinstance(item, Skipped)]
    assert sum(item.parameters for item in skipped) == parameters
    assert {item.reason for item in skipped} <= {"unknown operation acme.Dense"}
    coverage = audit(path).coverage
    assert (coverage.parameters_total, coverage.parameters_analysed) == (24 + parameters, 24)


@pytest.mark.parametrize("shape", [[2, 4], ["batch", 4], None], ids=str)
@pytest.mark.parametrize(
    ("held", "parameters"),
    [
        ({"k": _blob(36)}, 36),
        ({"k": _blob(36), "s": _blob(36)}, 72),
        ({"k": _blob(36, np.uint8), "b": _blob(6)}, 36),
        ({"k": weights(1, 36, 1), "b": weights(1, 6)}, 36),
        ({"k": weights(6, 8), "b": _blob(8)}, 48),
        ({"b": _blob(6), "s": _blob(1), "n": np.arange(50)}, 0),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, dict) else str(item),
)
def test_flat_weights_of_unknown_operations_are_told_from_biases(
    held: dict[str, Any], parameters: int, shape: list[Any] | None, tmp_path: Path
) -> None:
    """Longer than every axis of what it is joined with, a constant is no number for each entry there."""
    nodes = [node("MatMul", "x w", "h"), node("acme.Dense", " ".join(["h", *held]), name="odd")]
    path = save(model(nodes, {"w": weights(4, 6), **held}, {"x": shape}), tmp_path)
    coverage = audit(path).coverage
    assert (coverage.parameters_total, coverage.parameters_analysed) == (24 + parameters, 24)


def test_attributes_of_an_unknown_operation_in_a_body_are_skips(tmp_path: Path) -> None:
    branch = graph([node("acme.Dense", "x", "r", kernel=numpy_helper.from_array(W))], {}, {}, ["r"])
    proto = model([node("If", "c", then_branch=branch, else_branch=branch)], {}, {"x": None, "c": ()})
    proto.opset_import.add(domain="acme", version=1)
    assert [item.parameters for item in layers_of(save(proto, tmp_path))] == [W.size, W.size]
