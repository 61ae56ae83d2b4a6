"""Experts: each matrix of a table that the model chooses from is a layer, and is on the way."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import read_layers
from tests.models import MICROSOFT, check_consistent, model, node, save

RNG = np.random.default_rng(0)
EXPERTS = RNG.normal(size=(4, 16, 8)).astype(np.float32)
ROUTER = RNG.normal(size=(16, 4)).astype(np.float32)
LAST = RNG.normal(size=(8, 5)).astype(np.float32)
END = [node("Relu", "h", "r"), node("MatMul", "r last", name="out")]
HELD: dict[str, Any] = {"router": ROUTER, "last": LAST, "one": np.array([1]), "places": np.array([-1, 1])}


def _written_out() -> Any:
    """All experts, weighed by the router: what a choice of one is for the graph of neurons."""
    nodes = [
        node("MatMul", "x router", "scores"),
        node("Softmax", "scores", "g", axis=1),
        node("Split", "g", "g0 g1 g2 g3", axis=1, num_outputs=4),
    ]
    for number in range(4):
        nodes += [
            node("MatMul", f"x e{number}", f"h{number}"),
            node("Mul", f"h{number} g{number}", f"q{number}"),
        ]
    held = {**HELD, **{f"e{number}": expert for number, expert in enumerate(EXPERTS)}}
    return model([*nodes, node("Sum", "q0 q1 q2 q3", "h"), *END], held, {"x": ("n", 16)})


CHOSEN = {
    "Gather": [node("Gather", "table best", "own", axis=0)],
    "GatherND": [node("Reshape", "best places", "row"), node("GatherND", "table row", "own")],
    "behind a transpose": [
        node("Gather", "turned best", "own_t", axis=2),
        node("Transpose", "own_t", "own", perm=[2, 0, 1]),
    ],
}
TABLES = {"table": EXPERTS, "turned": np.moveaxis(EXPERTS, 0, 2).copy()}


def _chosen(form: str) -> Any:
    nodes = [
        node("MatMul", "x router", "scores"),
        node("ArgMax", "scores", "best", axis=1, keepdims=0),
        *CHOSEN[form],
        node("Unsqueeze", "x one", "u"),
        node("MatMul", "u own", "v", name="mix"),
        node("Squeeze", "v one", "h"),
        *END,
    ]
    used = {name for item in nodes for name in item.input}
    held = {name: array for name, array in {**HELD, **TABLES}.items() if name in used}
    return model(nodes, held, {"x": ("n", 16)})


@pytest.mark.parametrize("form", CHOSEN)
def test_each_expert_is_a_layer_with_its_number(tmp_path: Path, form: str) -> None:
    layers = {item.name: item for item in read_layers(save(_chosen(form), tmp_path))}
    assert list(layers) == ["router", *(f"mix.expert{number}" for number in range(4)), "out"]
    for number, expert in enumerate(EXPERTS):
        found = layers[f"mix.expert{number}"]
        assert isinstance(found, Layer)
        np.testing.assert_array_equal(found.matrix(), expert)


@pytest.mark.parametrize("form", CHOSEN)
def test_the_network_is_that_of_all_experts_written_out(tmp_path: Path, form: str) -> None:
    chosen, all_of_them = audit(save(_chosen(form), tmp_path)), audit(save(_written_out(), tmp_path))
    check_consistent(chosen)
    ours, theirs = chosen.network.deep_graph_persistence, all_of_them.network.deep_graph_persistence
    assert (ours.connectivity, ours.normalized) == (
        theirs.connectivity,
        pytest.approx(theirs.normalized, abs=1e-12),
    )
    assert chosen.coverage.parameters_analysed == all_of_them.coverage.parameters_analysed


@pytest.mark.parametrize("first", [True, False])
def test_experts_in_codes(first: bool, tmp_path: Path) -> None:
    """Decoded before one is chosen, or after: the same layers, which say how they are stored."""
    coded = RNG.integers(-127, 128, (4, 16, 8)).astype(np.int8)
    order = (("q", "d"), ("d", "own")) if first else (("q", "own_q"), ("own_q", "own"))
    decoded, chosen = (order[0], order[1]) if first else (order[1], order[0])
    decode = node("DequantizeLinear", f"{decoded[0]} scale", decoded[1])
    choose = node("Gather", f"{chosen[0]} best", chosen[1])
    nodes = [
        node("ArgMax", "x", "best", axis=1, keepdims=0),
        *((decode, choose) if first else (choose, decode)),
        node("Unsqueeze", "x one", "u"),
        node("MatMul", "u own", "y", name="mix"),
    ]
    held = {"q": coded, "scale": np.float32(0.5), "one": np.array([1])}
    layers = read_layers(save(model(nodes, held, {"x": ("n", 16)}), tmp_path))
    assert [layer.name for layer in layers] == [f"mix.expert{number}" for number in range(4)]
    for layer, codes in zip(layers, coded, strict=True):
        assert isinstance(layer, Layer)
        assert layer.encoding.dtype == "int8"
        np.testing.assert_array_equal(layer.matrix(), codes / 2)


def test_experts_of_different_choices_are_skipped(tmp_path: Path) -> None:
    """Two tables, each with a choice of its own, make 16 products: none of them is a layer."""
    nodes = [
        node("Gather", "table i", "a", axis=0),
        node("Gather", "table j", "b", axis=0),
        node("Add", "a b", "own"),
        node("MatMul", "x own"),
    ]
    proto = model(nodes, {"table": EXPERTS}, {"x": (1, 1, 16), "i": (1,), "j": (1,)})
    for value in proto.graph.input[1:]:
        value.type.tensor_type.elem_type = 7
    (found,) = read_layers(save(proto, tmp_path))
    assert not isinstance(found, Layer)
    assert (found.reason, found.parameters) == ("changes with the input in Gather", EXPERTS.size)


def test_two_choices_from_one_table_share_its_experts(tmp_path: Path) -> None:
    """The best and the second best expert of each sample: four layers with two uses each."""
    nodes = [
        node("MatMul", "x router", "scores", name="router"),
        node("TopK", "scores two", "v i", axis=1),
        node("Split", "i", "i0 i1", axis=1, num_outputs=2),
        node("Squeeze", "i0 one", "best"),
        node("Squeeze", "i1 one", "next"),
        node("Unsqueeze", "x one", "u"),
        node("Gather", "table best", "own", axis=0),
        node("MatMul", "u own", "v0", name="first"),
        node("Gather", "table next", "other", axis=0),
        node("MatMul", "u other", "v1", name="second"),
        node("Add", "v0 v1", "sum"),
        node("Squeeze", "sum one", "h"),
        *END,
    ]
    path = save(model(nodes, {**HELD, "table": EXPERTS, "two": np.array([2])}, {"x": ("n", 16)}), tmp_path)
    layers = read_layers(path)
    assert [item.name for item in layers] == [
        "router",
        *(f"first.expert{number}" for number in range(4)),
        "out",
    ]
    assert {item.uses for item in layers[1:5]} == {("first", "second")}
    report = audit(path)
    check_consistent(report)
    assert report.network.deep_graph_persistence.connectivity == "exact"


def test_a_table_of_rows_is_no_table_of_experts(tmp_path: Path) -> None:
    """What a lookup in two axes gives is an activation, though it stands where a weight may stand."""
    nodes = [node("Gather", "table i", "row", axis=0), node("MatMul", "x row")]
    proto = model(nodes, {"table": EXPERTS[0]}, {"x": (1, 4), "i": (4,)})
    proto.graph.input[1].type.tensor_type.elem_type = 7
    (found,) = read_layers(save(proto, tmp_path))
    assert (found.op_type, found.name) == ("Gather", "table")


# Mixtures of experts in one operation.


def _mixture(op: str, operands: str, held: dict[str, Any], **attributes: Any) -> Any:
    mixture = node(
        f"{MICROSOFT}.{op}", f"x scores {operands}", name="moe", k=1, activation_type="relu", **attributes
    )
    nodes = [node("MatMul", "x router", "scores", name="route"), mixture]
    return model(nodes, {"router": RNG.normal(size=(16, 3)).astype(np.float32), **held}, {"x": ("n", 16)})


def _answers(path: Path, x: Any) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def _by_hand(path: Path, x: Any) -> Any:
    """What the layers that were read make of x: the expert with the best score, its gate being 1."""
    layers = {item.name: item for item in read_layers(path) if isinstance(item, Layer)}
    best = (x @ layers["route"].matrix()).argmax(1)
    rows = []
    for row, number in zip(x, best, strict=True):
        first, last = (layers[f"moe.expert{number}.{part}"] for part in ("fc1", "fc2"))
        biases = [np.zeros(1) if layer.bias() is None else layer.bias() for layer in (first, last)]
        rows.append(np.maximum(row @ first.matrix() + biases[0], 0) @ last.matrix() + biases[1])
    return np.array(rows)


def test_a_mixture_of_experts_computes_what_its_layers_say(tmp_path: Path) -> None:
    held = {
        "up": RNG.normal(size=(3, 32, 16)).astype(np.float32),
        "up_bias": RNG.normal(size=(3, 32)).astype(np.float32),
        "down": RNG.normal(size=(3, 16, 32)).astype(np.float32),
    }
    path = save(_mixture("MoE", "up up_bias down", held, normalize_routing_weights=1), tmp_path)
    x = RNG.normal(size=(7, 16)).astype(np.float32)
    np.testing.assert_allclose(_by_hand(path, x), _answers(path, x), rtol=1e-4, atol=1e-4)
    report = audit(path)
    check_consistent(report)
    assert report.network.deep_graph_persistence.connectivity == "exact"
    assert report.coverage.fraction == 1
    assert report.coverage.biases == 3 * 32


@pytest.mark.parametrize(("bits", "block"), [(4, 0), (8, 0), (4, 16)])
def test_a_mixture_of_experts_in_codes_computes_what_its_layers_say(
    tmp_path: Path, bits: int, block: int
) -> None:
    def codes(*shape: int) -> Any:
        return RNG.integers(0, 256, size=(*shape[:-1], shape[-1] * bits // 8)).astype(np.uint8)

    def scales(*shape: int) -> Any:
        rows = (*shape[:-1], shape[-1] // block) if block else shape[:-1]
        return RNG.uniform(0.01, 0.1, size=rows).astype(np.float32)

    up, down = (3, 32, 16), (3, 16, 32)
    held = {"up": codes(*up), "up_scale": scales(*up), "down": codes(*down), "down_scale": scales(*down)}
    attributes = {"block_size": block} if block else {}
    proto = _mixture(
        "QMoE", "up up_scale - down down_scale", held, expert_weight_bits=bits,
        normalize_routing_weights=1, **attributes,
    )  # fmt: skip
    path = save(proto, tmp_path)
    x = RNG.normal(size=(7, 16)).astype(np.float32)
    np.testing.assert_allclose(_by_hand(path, x), _answers(path, x), rtol=2e-3, atol=2e-3)
    report = audit(path)
    check_consistent(report)
    assert report.coverage.parameters_analysed == 16 * 3 + 2 * 3 * 32 * 16
    assert {layer.encoding for layer in report.layers[1:]} == {
        f"uint{bits} block {block}" if block else f"uint{bits} per-channel"
    }
