"""What is constant, what it is, and why it is not computed: whole models, in front of a product."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from onnxtop.reader import constants as module
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.loading import load
from tests.models import graph, layers_of, model, node, only_layer, only_skipped, run, save, weights

Array = NDArray[Any]

W, OTHER, CUBE = weights(6, 4), weights(6, 4, seed=1), weights(3, 6, 4)
ROW, COLUMN = weights(4, seed=2), weights(6, 1, seed=3)
SCALES, SHIFTS, MEANS, VARIANCES = (np.abs(weights(4, seed=seed)) for seed in range(4))


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def answer(proto: ModelProto) -> Array:
    """Return what the runtime feeds to the product: the answers to unit vectors."""
    return run(proto, x=np.eye(6, dtype=np.float32))


BYTES = np.arange(48, dtype=np.uint8).reshape(6, 8)
WRAPPED: dict[str, tuple[list[Any], Mapping[str, Any]]] = {
    "a normalisation": (
        [node("BatchNormalization", "w a b c d", "v")],
        {"w": W, "a": SCALES, "b": SHIFTS, "c": MEANS, "d": VARIANCES},
    ),
    "a layer normalisation": ([node("LayerNormalization", "w a b", "v")], {"w": W, "a": SCALES, "b": SHIFTS}),
    "an instance normalisation": (
        [
            node("Unsqueeze", "w axes", "u"),
            node("InstanceNormalization", "u a b", "n"),
            node("Squeeze", "n axes", "v"),
        ],
        {"w": W, "axes": ints(0), "a": SCALES.repeat(2)[:6], "b": SHIFTS.repeat(2)[:6]},
    ),
    "a norm of each row": ([node("LpNormalization", "w", "v", axis=1)], {"w": W}),
    "softplus": ([node("Softplus", "w", "v")], {"w": W}),
    "elu": ([node("Elu", "w", "v", alpha=0.5)], {"w": W}),
    "a cosine": ([node("Cos", "w", "v")], {"w": W}),
    "its type again": ([node("CastLike", "w a", "v")], {"w": W, "a": SCALES}),
    "a half of it": (
        [node("CastLike", "w a", "h"), node("Cast", "h", "v", to=1)],
        {"w": W, "a": np.float16(0)},
    ),
    "an addition of two factors": (
        [node("MatMul", "a b", "c"), node("Mul", "c s", "d"), node("Add", "w d", "v")],
        {"w": W, "a": weights(6, 2), "b": weights(2, 4), "s": np.float32(0.5)},
    ),
    "a Gemm of constants": (
        [node("Gemm", "a b w", "v", alpha=2.0)],
        {"w": W, "a": weights(6, 2), "b": weights(2, 4)},
    ),
    "a spectral norm": (
        [node("MatMul", "w a", "p"), node("MatMul", "b p", "s"), node("Div", "w s", "v")],
        {"w": W, "a": weights(4), "b": weights(6)},
    ),
    "an Einsum": ([node("Einsum", "a w", "v", equation="ij,jk->ik")], {"w": W, "a": weights(6, 6)}),
    "one of several": ([node("GatherND", "w i", "v", batch_dims=0)], {"w": CUBE, "i": ints(2)}),
    "a sum over an axis": (
        [node("ReduceSum", "w i", "v", keepdims=0)],
        {"w": CUBE, "i": ints(0)},
    ),
    "a triangle": ([node("Trilu", "w", "v")], {"w": W}),
    "additions in place": (
        [node("ScatterElements", "w i u", "v", axis=1, reduction="add")],
        {"w": W, "i": np.zeros((6, 4), np.int64), "u": OTHER},
    ),
    "the largest": ([node("Hardmax", "w", "v")], {"w": W}),
    "bits of bytes": (
        [
            node("BitShift", "w a", "h", direction="RIGHT"),
            node("BitwiseAnd", "h b", "l"),
            node("Cast", "l", "f", to=1),
            node("Slice", "f s e i", "v"),
        ],
        {"w": BYTES, "a": np.uint8(1), "b": np.uint8(7), "s": ints(0), "e": ints(4), "i": ints(1)},
    ),
}


@pytest.mark.parametrize("what", WRAPPED)
def test_a_weight_behind(tmp_path: Path, what: str) -> None:
    nodes, held = WRAPPED[what]
    proto = model([*nodes, node("MatMul", "x v", name="product")], held, {"x": [None, 6]})
    layer = only_layer(save(proto, tmp_path))
    assert layer.name == "product"
    np.testing.assert_allclose(layer.matrix(), answer(proto), rtol=2e-5, atol=2e-6)


def test_a_weight_normalised_as_if_it_were_trained(tmp_path: Path) -> None:
    """Standardised convolutions are exported so; the runtime has no kernel for it."""
    held = {
        "w": weights(1, 3, 8),
        "a": SCALES[:3],
        "b": SHIFTS[:3],
        "c": MEANS[:3],
        "d": VARIANCES[:3],
        "s": ints(3, 2, 4),
    }
    nodes = [
        node("BatchNormalization", "w a b c d", "n m q", training_mode=1, epsilon=1e-6),
        node("Reshape", "n s", "v"),
        node("Conv", "x v"),
    ]
    layer = only_layer(save(model(nodes, held), tmp_path))
    rows = held["w"][0].astype(np.float64)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-6)
    wanted = rows * SCALES[:3, np.newaxis] + SHIFTS[:3, np.newaxis]
    np.testing.assert_allclose(layer.matrix(), wanted.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("op", ["MatMul", "LayerNormalization", "Reciprocal"])
def test_floats_of_two_bytes_are_rounded_once(tmp_path: Path, op: str, dtype: Any) -> None:
    """The runtime computes them in single precision; whoever rounds each step loses a digit."""
    held = {"MatMul": [W, weights(4, 5)], "LayerNormalization": [W, SCALES], "Reciprocal": [W]}[op]
    half = {f"c{place}": array.astype(dtype) for place, array in enumerate(held)}
    single = {name: array.astype(np.float32) for name, array in half.items()}
    proto = model([node(op, " ".join(half))], half, {}, dtype=dtype)
    found = values(proto, tmp_path)["y"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, run(model([node(op, " ".join(half))], single, {})).astype(dtype))


def values(proto: ModelProto, tmp_path: Path) -> dict[str, Any]:
    """Return what every computed constant of a model is: its array, or the reason why it has none."""
    loaded = load(save(proto, tmp_path))
    constants = Constants(loaded)
    found: dict[str, Any] = {}
    for value in loaded.producers:
        if value in constants:
            try:
                found[value.name] = constants.read(value)
            except UnreadableConstantError as error:
                found[value.name] = str(error)
    return found


FAILING: dict[str, tuple[list[Any], Mapping[str, Any], str]] = {
    "an integer divided by zero": (
        [node("Div", "a b")],
        {"a": ints(1, 2), "b": ints(1, 0)},
        "divided by zero",
    ),
    "a remainder of zero": ([node("Mod", "a b")], {"a": ints(1, 2), "b": ints(1, 0)}, "divided by zero"),
    "axes that do not fit": ([node("MatMul", "a b")], {"a": W, "b": W}, "MatMul"),
    "boxes": (
        [node("NonMaxSuppression", "a b")],
        {"a": weights(1, 3, 4), "b": weights(1, 1, 3)},
        "not known",
    ),
    "a sequence": ([node("SplitToSequence", "a")], {"a": W}, "no tensor"),
    "text": ([node("Cast", "a", to=TensorProto.STRING)], {"a": W}, "text"),
    "what the reference lacks": ([node("GlobalLpPool", "a")], {"a": weights(1, 2, 3, 3)}, "GlobalLpPool"),
    "pieces that do not add up": ([node("Split", "a b", "y z")], {"a": W, "b": ints(1, 2)}, "pieces"),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_reason_in_one_line(tmp_path: Path, what: str) -> None:
    nodes, held, reason = FAILING[what]
    found = values(model(nodes, held, {}), tmp_path)["y"]
    assert isinstance(found, str)
    assert reason in found
    assert "\n" not in found


def test_a_weight_that_cannot_be_computed_is_skipped_with_the_reason(tmp_path: Path) -> None:
    held = {"w": W.astype(np.int32), "z": np.zeros((6, 4), np.int32)}
    nodes = [node("Div", "w z", "q"), node("Cast", "q", "v", to=1), node("MatMul", "x v")]
    assert "divided by zero" in only_skipped(save(model(nodes, held), tmp_path)).reason


def test_division_by_zero_is_infinite(tmp_path: Path) -> None:
    held = {"a": np.array([1, -1, 0], np.float32), "z": np.zeros(3, np.float32)}
    found = values(model([node("Div", "a z", "q"), node("Log", "z", "y")], held, {}), tmp_path)
    np.testing.assert_array_equal(found["q"], [np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(found["y"], [-np.inf] * 3)


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli", "acme.Copy"])
def test_what_is_random_or_unknown_is_no_constant(tmp_path: Path, op: str) -> None:
    nodes = [node(op, "w", "r"), node("Relu", "r")]
    assert values(model(nodes, {"w": np.abs(W) / 8}, {}), tmp_path) == {}


# If, whose condition is constant.


def _if(condition: str, result: str, then: Any, otherwise: Any) -> Any:
    return node("If", condition, result, then_branch=then, else_branch=otherwise)


def _branch(*nodes: Any, result: str = "r", **held: Any) -> Any:
    return graph(list(nodes), held, {}, [result])


@pytest.mark.parametrize("taken", [True, False])
def test_the_branch_that_is_taken(tmp_path: Path, taken: bool) -> None:
    nodes = [
        node("Not", "c", "d"),
        _if("d", "v", _branch(node("Neg", "w", "r")), _branch(node("Mul", "o o", "r"))),
        node("MatMul", "x v"),
    ]
    proto = model(nodes, {"w": W, "o": OTHER, "c": np.array(not taken)}, {"x": [None, 6]})
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), answer(proto))


def test_a_branch_that_hands_on_a_weight_is_the_weight(tmp_path: Path) -> None:
    """Under its own name, and once: another product uses it without the If."""
    nodes = [
        _if("c", "v", _branch(node("Identity", "w", "r")), _branch(node("Identity", "o", "r"))),
        node("MatMul", "x v", "h"),
        node("MatMul", "x w", "y"),
    ]
    (layer,) = layers_of(save(model(nodes, {"w": W, "o": OTHER, "c": np.array([True])}), tmp_path))
    assert (layer.weight, len(layer.used_by)) == ("w", 2)


def test_branches_in_branches(tmp_path: Path) -> None:
    inner = _branch(
        node("Less", "n limit", "m"),
        _if(
            "m", "r", _branch(node("Add", "w w", "s"), result="s"), _branch(node("Neg", "w", "s"), result="s")
        ),
    )
    nodes = [_if("c", "v", inner, _branch(node("Identity", "o", "r"))), node("MatMul", "x v")]
    held = {"w": W, "o": OTHER, "c": np.array(True), "n": np.float32(1), "limit": np.float32(2)}
    np.testing.assert_array_equal(only_layer(save(model(nodes, held), tmp_path)).matrix(), 2 * W)


def test_an_untaken_branch_may_depend_on_the_input(tmp_path: Path) -> None:
    nodes = [
        _if("c", "v", _branch(node("Neg", "w", "r")), _branch(node("Mul", "w x", "r"))),
        node("MatMul", "z v"),
    ]
    proto = model(nodes, {"w": W, "c": np.array(True)}, {"x": [6, 4], "z": [None, 6]})
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), -W)


def test_a_branch_that_depends_on_the_input_is_no_constant(tmp_path: Path) -> None:
    nodes = [_if("c", "v", _branch(node("Mul", "w x", "r")), _branch(node("Neg", "w", "r")))]
    found = values(model(nodes, {"w": W, "c": np.array(True)}, {"x": [6, 4]}, ["v"]), tmp_path)
    assert found.keys() == {"r"}


def test_a_condition_that_depends_on_the_input_makes_no_constant(tmp_path: Path) -> None:
    nodes = [_if("c", "v", _branch(node("Neg", "w", "r")), _branch(node("Neg", "o", "r")))]
    proto = model(nodes, {"w": W, "o": OTHER}, {"c": []}, ["v"], dtype=np.bool_)
    assert "v" not in values(proto, tmp_path)


@pytest.mark.parametrize(
    ("nodes", "held"),
    [
        ([node("Div", "a b", "q"), node("Cast", "q", "c", to=9)], {"a": np.array(1), "b": np.array(0)}),
        ([node("Cast", "a", "c", to=9)], {"a": ints(1, 0)}),
    ],
)
def test_a_condition_that_cannot_be_computed(tmp_path: Path, nodes: list[Any], held: Any) -> None:
    branches = _branch(node("Neg", "w", "r")), _branch(node("Neg", "o", "r"))
    proto = model([*nodes, _if("c", "v", *branches), node("MatMul", "x v")], {"w": W, "o": OTHER, **held})
    assert "the condition of If" in only_skipped(save(proto, tmp_path)).reason


def test_a_long_row_of_conditions(tmp_path: Path) -> None:
    """Each condition follows from the branch before: one pass over them all."""
    nodes, count = [], 2_000
    for place in range(count):
        add = _branch(node("Add", f"v{place} one", "r"))
        keep = _branch(node("Identity", f"v{place}", "r"))
        nodes += [node("Less", f"v{place} limit", f"c{place}"), _if(f"c{place}", f"v{place + 1}", add, keep)]
    held = {"v0": np.float32(0), "one": np.float32(1), "limit": np.float32(1_000)}
    assert values(model(nodes, held, {}, [f"v{count}"]), tmp_path)[f"v{count}"] == 1_000


def test_an_if_that_hands_on_its_own_result(tmp_path: Path) -> None:
    """No order in which it could run: nothing is known, and nothing hangs."""
    nodes = [_if("c", "v", graph([], {}, {}, ["v"]), graph([], {}, {}, ["v"])), node("MatMul", "x v")]
    assert "v" not in values(model(nodes, {"c": np.array(True)}), tmp_path)


# CastLike, which wants no more than a type.


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_type_of_an_input(tmp_path: Path, dtype: Any) -> None:
    w = W / 3
    nodes = [node("Relu", "x", "a"), node("CastLike", "w a", "v"), node("MatMul", "a v")]
    proto = model(nodes, {"w": w}, {"x": [None, 6]}, dtype=dtype)
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), w.astype(dtype))
    assert layer.weight == "w"


def test_a_type_that_nobody_tells(tmp_path: Path) -> None:
    nodes = [node("acme.Thing", "x", "a"), node("CastLike", "w a", "v"), node("MatMul", "x v")]
    assert "the type of 'a'" in only_skipped(save(model(nodes, {"w": W}), tmp_path)).reason


def test_a_type_in_a_circle(tmp_path: Path) -> None:
    nodes = [
        node("Relu", "b", "a"),
        node("Relu", "a", "b"),
        node("CastLike", "w a", "v"),
        node("MatMul", "x v"),
    ]
    assert "the type of 'a'" in only_skipped(save(model(nodes, {"w": W}), tmp_path)).reason


def test_a_long_way_is_gone_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the shapes of all that lies on it does not compute each from the first constant on."""
    steps = [node("Mul", f"w{place} s", f"w{place + 1}") for place in range(100)]
    held = {"w0": weights(32, 32), "s": np.float32([1.5])}
    path = save(model([*steps, node("MatMul", "x w100")], held, {"x": [2, 32]}), tmp_path)
    calls: list[str] = []

    def counted(made: Any, *given: Any) -> Any:
        calls.append(made.op)
        return compute(made, *given)

    compute = module.run
    monkeypatch.setattr(module, "run", counted)
    assert len(layers_of(path)) == 1
    assert calls.count("Mul") <= 500


def test_a_reason_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant that costs too much is not tried again for its size, its type and each of its uses."""
    calls = []
    monkeypatch.setattr(module, "run", lambda *given: calls.append(given) or [][0])
    loaded = load(save(model([node("Neg", "w")], {"w": W}, {}), tmp_path))
    (value,) = loaded.producers
    constants = Constants(loaded)
    for _ in range(3):
        with pytest.raises(UnreadableConstantError):
            constants.read(value)
    assert (constants.size(value), constants.stored_as(value), len(calls)) == (0, "float32", 1)
