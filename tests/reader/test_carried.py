"""Weights in bodies: branches, outer scopes, what loops carry unchanged, functions within functions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.errors import FormatError
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import read_layers
from onnxtop.reader.loading import load
from tests.connectivity_truth import connected, reachable
from tests.models import graph, layers_of, model, node, only_layer, save, weights
from tests.reader.extraction import run

Array = np.ndarray[Any, Any]

W, V = weights(4, 4), weights(4, 4, seed=5)


def _info(name: str, kind: int, shape: Sequence[int] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _loop_body(
    nodes: Sequence[NodeProto], inputs: Sequence[str], outputs: Sequence[str], held: Any = None, own: str = ""
) -> GraphProto:
    """Return a body ``(iteration, go, *inputs) -> (go, *outputs)``; ``own`` keeps a body's names apart."""
    return helper.make_graph(
        [node("Identity", f"go{own}", f"on{own}"), *nodes],
        "body",
        [_info(f"iteration{own}", TensorProto.INT64, []), _info(f"go{own}", TensorProto.BOOL, [])]
        + [_info(name, TensorProto.FLOAT) for name in inputs],
        [_info(f"on{own}", TensorProto.BOOL, [])] + [_info(name, TensorProto.FLOAT) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (held or {}).items()],
    )


def _loop(
    body: GraphProto, states: str, results: str, count: int = 2, **held: Array
) -> tuple[NodeProto, dict[str, Array]]:
    return (
        node("Loop", f"count yes {states}", results, body=body, name="loop"),
        {"count": np.array(count), "yes": np.array(True), **held},
    )


def _named(path: Path) -> dict[str, Layer | Skipped]:
    return {layer.weight: layer for layer in read_layers(path)}


def _matrix(found: Mapping[str, Layer | Skipped], name: str) -> Array:
    layer = found[name]
    assert isinstance(layer, Layer), layer
    return layer.matrix()


X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)


# Loops


def test_a_weight_that_a_loop_hands_on(tmp_path: Path) -> None:
    body = _loop_body([node("MatMul", "h w", "g"), node("Identity", "w", "w2")], ["h", "w"], ["g", "w2"])
    made, held = _loop(body, "x w0", "y last", w0=W)
    proto = model([made], held)
    found = _named(save(proto, tmp_path))
    np.testing.assert_array_equal(_matrix(found, "w0"), W)
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W @ W, rtol=1e-6)
    assert list(found) == ["w0"]
    assert audit(save(proto, tmp_path)).coverage.parameters_analysed == 16


def test_a_weight_handed_on_without_identity(tmp_path: Path) -> None:
    body = _loop_body([node("MatMul", "h w", "g")], ["h", "w"], ["g", "w"])
    made, held = _loop(body, "x w0", "y last", w0=W)
    assert list(_named(save(model([made], held), tmp_path))) == ["w0"]


def test_a_state_that_changes_is_no_weight(tmp_path: Path) -> None:
    """It starts as a constant and is another matrix in the second round."""
    body = _loop_body([node("MatMul", "h w", "g"), node("Add", "w w", "w2")], ["h", "w"], ["g", "w2"])
    made, held = _loop(body, "x w0", "y last", w0=W)
    proto = model([made], held)
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W @ (2 * W), rtol=1e-5)
    found = read_layers(save(proto, tmp_path))
    assert not any(isinstance(layer, Layer) for layer in found)
    coverage = audit(save(proto, tmp_path)).coverage
    assert coverage.parameters_analysed == 0


def test_two_states_that_change_places_are_no_weights(tmp_path: Path) -> None:
    body = _loop_body([node("MatMul", "h a", "g")], ["h", "a", "b"], ["g", "b", "a"])
    made, held = _loop(body, "x a0 b0", "y c d", a0=W, b0=V)
    proto = model([made], held)
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W @ V, rtol=1e-5)
    assert not any(isinstance(layer, Layer) for layer in read_layers(save(proto, tmp_path)))


def test_a_state_that_starts_with_an_activation(tmp_path: Path) -> None:
    body = _loop_body([node("MatMul", "h w", "g")], ["h", "w"], ["g", "w"])
    made, held = _loop(body, "x z", "y last")
    assert read_layers(save(model([made], held, {"x": None, "z": None}), tmp_path)) == []


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_halves_of_a_carried_weight(tmp_path: Path, where: str) -> None:
    """Compare the result of two products with the two halves, split before the loop or in its body."""
    both = np.concatenate([W, V])
    split = node("Split", "w both", "a b", axis=0)
    if where == "inside":
        body = _loop_body(
            [split, node("MatMul", "h a", "g"), node("MatMul", "g b", "f")],
            ["h", "w"],
            ["f", "w"],
            {"both": np.array([4, 4])},
        )
        made, held = _loop(body, "x w0", "y last", w0=both)
        nodes = [made]
    else:
        body = _loop_body(
            [node("MatMul", "h a", "g"), node("MatMul", "g b", "f"), node("Identity", "a", "a2")],
            ["h", "a", "b"],
            ["f", "a2", "b"],
        )
        made, held = _loop(body, "x u v", "y c d", w0=both, both=np.array([4, 4]))
        nodes = [node("Split", "w0 both", "u v", axis=0), made]
    proto = model(nodes, held)
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W @ V @ W @ V, rtol=1e-4)
    found = read_layers(save(proto, tmp_path))
    assert [layer.weight for layer in found] == ["w0", "w0"]
    matrices = [layer.matrix() for layer in found if isinstance(layer, Layer)]
    np.testing.assert_array_equal(matrices, [W, V])
    assert audit(save(proto, tmp_path)).coverage.parameters_analysed == 32


def test_a_slice_of_a_carried_weight(tmp_path: Path) -> None:
    body = _loop_body(
        [node("Slice", "w two six", "s"), node("Transpose", "s", "t"), node("MatMul", "h t", "g")],
        ["h", "w"],
        ["g", "w"],
        {"two": np.array([2]), "six": np.array([6])},
    )
    made, held = _loop(body, "x w0", "y last", w0=np.concatenate([W, V]))
    found = _named(save(model([made], held), tmp_path))
    np.testing.assert_array_equal(_matrix(found, "w0"), np.concatenate([W, V])[2:6].T)


def test_loops_within_loops(tmp_path: Path) -> None:
    inner = _loop_body([node("MatMul", "k u", "m")], ["k", "u"], ["m", "u"], own="2")
    inner_loop = node("Loop", "count yes h w", "g used", body=inner)
    outer = _loop_body([inner_loop], ["h", "w"], ["g", "w"])
    made, held = _loop(outer, "x w0", "y last", w0=W)
    proto = model([made], held)
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W @ W @ W @ W, rtol=1e-4)
    np.testing.assert_array_equal(_matrix(_named(save(proto, tmp_path)), "w0"), W)


def test_a_weight_handed_on_by_the_inner_loop(tmp_path: Path) -> None:
    """The outer loop hands on what the inner one returns: it is the same, or nothing is read."""
    inner = _loop_body([node("MatMul", "k u", "m")], ["k", "u"], ["m", "u"], own="2")
    inner_loop = node("Loop", "count yes h w", "g used", body=inner)
    outer = _loop_body([inner_loop], ["h", "w"], ["g", "used"])
    made, held = _loop(outer, "x w0", "y last", w0=W)
    for layer in read_layers(save(model([made], held), tmp_path)):
        if isinstance(layer, Layer):
            np.testing.assert_array_equal(layer.matrix(), W)


def test_an_inner_loop_that_changes_what_the_outer_hands_on(tmp_path: Path) -> None:
    inner = _loop_body([node("Add", "u u", "u2")], ["u"], ["u2"], own="2")
    outer = _loop_body(
        [node("MatMul", "h w", "g"), node("Loop", "count yes w", "used", body=inner)],
        ["h", "w"],
        ["g", "used"],
    )
    made, held = _loop(outer, "x w0", "y last", w0=W)
    assert not any(isinstance(layer, Layer) for layer in read_layers(save(model([made], held), tmp_path)))


def test_names_that_a_body_hides(tmp_path: Path) -> None:
    """The body's own ``w`` is not the outer one."""
    body = _loop_body([node("MatMul", "h w", "g")], ["h"], ["g"], {"w": V})
    made, held = _loop(body, "x", "h1", w=W)
    proto = model([made, node("MatMul", "h1 w")], held)
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ V @ V @ W, rtol=1e-4)
    first, second = read_layers(save(proto, tmp_path))
    assert isinstance(first, Layer)
    assert isinstance(second, Layer)
    np.testing.assert_array_equal(first.matrix(), V)
    np.testing.assert_array_equal(second.matrix(), W)


def test_what_a_loop_returns_is_no_constant(tmp_path: Path) -> None:
    body = _loop_body([node("Add", "w w", "w2")], ["w"], ["w2"])
    made, held = _loop(body, "w0", "last", w0=W)
    proto = model([made, node("MatMul", "x last")], held)
    assert not any(isinstance(layer, Layer) for layer in read_layers(save(proto, tmp_path)))


# Scan


def _scan(nodes: Sequence[NodeProto], inputs: str, outputs: str) -> GraphProto:
    return helper.make_graph(
        list(nodes),
        "body",
        [_info(name, TensorProto.FLOAT) for name in inputs.split()],
        [
            _info(name, TensorProto.FLOAT, [4, 4] if name.startswith("w") else [1, 4])
            for name in outputs.split()
        ],
    )


def test_weights_as_the_state_of_a_scan(tmp_path: Path) -> None:
    body = _scan([node("MatMul", "step w", "out"), node("Identity", "w", "w2")], "w step", "w2 out")
    proto = model([node("Scan", "w0 x", "last y", body=body, num_scan_inputs=1)], {"w0": W})
    x = X[:, None]
    np.testing.assert_allclose(run(proto, {"x": x})[0], x @ W, rtol=1e-6)
    np.testing.assert_array_equal(_matrix(_named(save(proto, tmp_path)), "w0"), W)


def test_weights_of_a_scans_body_and_of_its_outer_scope(tmp_path: Path) -> None:
    body = _scan([node("MatMul", "step w", "o"), node("MatMul", "o v", "out")], "h step", "h out")
    body.initializer.append(numpy_helper.from_array(V, "v"))
    proto = model(
        [node("Scan", "h0 x", "last y", body=body, num_scan_inputs=1)], {"w": W, "h0": np.float32(0)}
    )
    found = _named(save(proto, tmp_path))
    np.testing.assert_array_equal(_matrix(found, "w"), W)
    np.testing.assert_array_equal(_matrix(found, "v"), V)


def test_what_a_scan_walks_along_is_no_matrix(tmp_path: Path) -> None:
    """Its slices meet the activation one after the other."""
    body = _scan([node("MatMul", "h row", "g")], "h row", "g")
    proto = model([node("Scan", "x w", "y", body=body, num_scan_inputs=1)], {"w": weights(3, 4, 4)})
    found = layers_of(save(proto, tmp_path))
    assert not any(isinstance(layer, Layer) for layer in found)
    assert sum(layer.parameters for layer in found) == 48
    assert all(isinstance(layer, Skipped) and layer.reason for layer in found)


def test_a_changing_state_of_a_scan(tmp_path: Path) -> None:
    body = _scan([node("MatMul", "step w", "out"), node("Add", "w w", "w2")], "w step", "w2 out")
    proto = model([node("Scan", "w0 x", "last y", body=body, num_scan_inputs=1)], {"w0": W})
    assert not any(isinstance(layer, Layer) for layer in read_layers(save(proto, tmp_path)))


# If


def test_branches_with_weights_of_the_same_name(tmp_path: Path) -> None:
    branches = {
        name: graph([node("MatMul", "x w", "r")], {"w": value}, {}, ["r"], name=name)
        for name, value in (("then_branch", W), ("else_branch", V))
    }
    proto = model([node("If", "c", "y", **branches)], {}, {"x": None, "c": ()})
    proto.graph.input[1].type.tensor_type.elem_type = TensorProto.BOOL
    first, second = read_layers(save(proto, tmp_path))
    assert isinstance(first, Layer)
    assert isinstance(second, Layer)
    np.testing.assert_allclose(run(proto, {"x": X, "c": np.array(True)})[0], X @ first.matrix(), rtol=1e-6)
    np.testing.assert_allclose(run(proto, {"x": X, "c": np.array(False)})[0], X @ second.matrix(), rtol=1e-6)
    assert first.name != second.name


def test_outer_weights_that_only_branches_use(tmp_path: Path) -> None:
    """One weight used as it is in one branch and transposed in the other: one layer with two uses."""
    then = graph([node("MatMul", "x w", "r", name="a")], {}, {}, ["r"])
    other = graph([node("Gemm", "x w", "r", transB=1, name="b")], {}, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=then, else_branch=other)], {"w": W}, {"x": None, "c": ()})
    layer = only_layer(save(proto, tmp_path))
    assert layer.uses == ("a", "b")
    np.testing.assert_array_equal(layer.matrix(), W)


def test_constants_in_nested_branches(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W, ""))
    for _ in range(3):
        inner = graph([constant, node("MatMul", "x w", "r")], {}, {}, ["r"])
    for _ in range(3):
        inner = graph([node("If", "c", "r", then_branch=inner, else_branch=inner)], {}, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=inner, else_branch=inner)], {}, {"x": None, "c": ()})
    found = read_layers(save(proto, tmp_path))
    assert len(found) == 16
    assert all(isinstance(layer, Layer) and np.array_equal(layer.matrix(), W) for layer in found)
    assert audit(save(proto, tmp_path)).coverage.parameters_analysed == 16 * 16


# Functions


def _function(name: str, inputs: str, nodes: Sequence[NodeProto], attributes: Sequence[str] = ()) -> Any:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return helper.make_function(
        "local", name, inputs.split(), ["r"], list(nodes), opsets, attributes=list(attributes)
    )


def test_weights_as_arguments_of_nested_functions(tmp_path: Path) -> None:
    inner = _function("Inner", "a b", [node("Transpose", "b", "t"), node("MatMul", "a t", "r")])
    outer = _function("Outer", "a b", [node("local.Inner", "a b", "h"), node("local.Inner", "h b", "r")])
    nodes = [node("local.Outer", "x w", "h"), node("local.Outer", "h v")]
    proto = model(nodes, {"w": W, "v": V}, functions=[inner, outer])
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W.T @ W.T @ V.T @ V.T, rtol=1e-4)
    found = _named(save(proto, tmp_path))
    assert list(found) == ["w", "v"]
    np.testing.assert_array_equal(_matrix(found, "w"), W.T)
    np.testing.assert_array_equal(_matrix(found, "v"), V.T)
    assert all(len(layer.uses) == 2 for layer in found.values())


def test_weights_in_a_functions_own_constants(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W, ""))
    dense = _function("Dense", "a", [constant, node("MatMul", "a w", "r")])
    proto = model([node("local.Dense", "x", "h"), node("local.Dense", "h")], {}, functions=[dense])
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W @ W, rtol=1e-5)
    found = read_layers(save(proto, tmp_path))
    assert all(isinstance(layer, Layer) and np.array_equal(layer.matrix(), W) for layer in found)
    assert len(found) in (1, 2)


def test_a_functions_attribute_decides_the_orientation(tmp_path: Path) -> None:
    gemm = node("Gemm", "a b", "r")
    gemm.attribute.append(AttributeProto(name="transB", type=AttributeProto.INT, ref_attr_name="flip"))
    dense = _function("Dense", "a b", [gemm], ["flip"])
    proto = model([node("local.Dense", "x w", "y", flip=1)], {"w": W}, functions=[dense])
    np.testing.assert_allclose(run(proto, {"x": X})[0], X @ W.T, rtol=1e-6)
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), W.T)


def test_a_function_in_a_branch(tmp_path: Path) -> None:
    dense = _function("Dense", "a b", [node("MatMul", "a b", "r")])
    branch = graph([node("local.Dense", "x w", "r")], {}, {}, ["r"])
    proto = model(
        [node("If", "c", "y", then_branch=branch, else_branch=branch)],
        {"w": W},
        {"x": None, "c": ()},
        functions=[dense],
    )
    layer = only_layer(save(proto, tmp_path))
    np.testing.assert_array_equal(layer.matrix(), W)
    assert len(layer.uses) >= 1


# Deep and wide


def test_twenty_five_branches_deep(tmp_path: Path) -> None:
    inner = graph([node("MatMul", "x w", "r")], {"w": W}, {}, ["r"])
    for _ in range(25):
        inner = graph([node("If", "c", "r", then_branch=inner)], {}, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=inner)], {}, {"x": None, "c": ()})
    np.testing.assert_array_equal(only_layer(save(proto, tmp_path)).matrix(), W)


@pytest.mark.parametrize("depth", [50, 1000, 5000])
def test_deeper_than_protocol_buffers_go(tmp_path: Path, depth: int) -> None:
    """The libraries refuse more than 100 messages within each other, three a body: so do we, in one line."""
    body = b""
    for _ in range(depth):
        attribute = _field(1, b"then_branch") + _field(6, body) + b"\xa0\x01\x05"
        body = _field(1, _field(1, b"c") + _field(2, b"r") + _field(4, b"If") + _field(5, attribute))
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x0a" + _field(7, body) + _field(8, b"\x10\x15"))
    with pytest.raises(FormatError) as caught:
        audit(path)
    assert "\n" not in str(caught.value)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    content = b""
    while number >= 128:
        content += bytes([number & 127 | 128])
        number >>= 7
    return content + bytes([number])


def test_a_branch_that_carries_a_loop(tmp_path: Path) -> None:
    body = _loop_body([node("MatMul", "h w", "g")], ["h", "w"], ["g", "w"])
    made, held = _loop(body, "x w0", "r last", w0=W)
    branch = graph([made], held, {}, ["r"])
    proto = model([node("If", "c", "y", then_branch=branch, else_branch=branch)], {}, {"x": None, "c": ()})
    found = read_layers(save(proto, tmp_path))
    assert len(found) == 2
    assert all(isinstance(layer, Layer) and np.array_equal(layer.matrix(), W) for layer in found)


def test_scopes_are_the_linkers_own(tmp_path: Path) -> None:
    """Every node stands in one scope, bodies know what enters and leaves, named or not."""
    inner = _loop_body([node("MatMul", "s w", "t")], ["s", "unused"], ["t", "s"])
    loop, held = _loop(inner, "x x", "y z", w=W)
    loaded = load(save(model([loop], held), tmp_path))
    assert list(loaded.scope.all_nodes()) == list(loaded.nodes)
    (body,) = loaded.scope.bodies[loaded.nodes[0].index]
    assert [value.name for value in body.inputs] == ["iteration", "go", "s", "unused"]
    assert [value and value.name for value in body.outputs] == ["on", "t", "s"]
    assert body.rounds == {1: 2, 2: 3}


def test_constant_with_a_sparse_value_is_no_node_of_a_scope(tmp_path: Path) -> None:
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.float32([1, 2, 3]), "v"),
        numpy_helper.from_array(np.array([0, 5, 10])),
        [4, 4],
    )
    proto = model([node("Constant", "", "w", sparse_value=sparse), node("MatMul", "x w")])
    report = audit(save(proto, tmp_path))
    assert report.coverage.parameters_analysed == 16
    assert report.network.deep_graph_persistence.connectivity == "exact"


# How many there are, and what becomes of them


def _many(op: str, count: int) -> ModelProto:
    """Return a Loop or Scan that carries so many weights, halves each and multiplies by the last."""
    states = [f"s{place}" for place in range(count)]
    nodes = [node("Mul", f"{state} half", f"{state}n") for state in states]
    nodes.append(node("MatMul", f"h {states[-1]}", "g"))
    ends = ["g", *(f"{state}n" for state in states)]
    held = {f"w{place}": weights(4, 4, seed=place) for place in range(count)}
    half = {"half": np.array([0.5], np.float32)}
    operands, results = " ".join(held), " ".join(f"r{place}" for place in range(count))
    if op == "Loop":
        made, settings = _loop(_loop_body(nodes, ["h", *states], ends, half), f"x {operands}", f"y {results}")
        return model([made], {**held, **settings})
    body = _scan([*nodes, node("Identity", "e", "o")], f"h {' '.join(states)} e", " ".join([*ends, "o"]))
    body.initializer.append(numpy_helper.from_array(half["half"], "half"))
    scan = node("Scan", f"x {operands} z", f"y {results} all", body=body, num_scan_inputs=1)
    return model([scan], held, {"x": [1, 4], "z": [2, 1, 4]})


@pytest.mark.parametrize("count", [1, 18, 19, 24, 70])
@pytest.mark.parametrize("op", ["Loop", "Scan"])
def test_changed_weights_count_however_many_there_are(op: str, count: int, tmp_path: Path) -> None:
    coverage = audit(save(_many(op, count), tmp_path)).coverage
    assert [item.parameters for item in coverage.skipped] == [16] * count
    assert all(item.reason == f"{op} is not read by this version" for item in coverage.skipped)
    assert (coverage.parameters_total, coverage.parameters_analysed) == (16 * count, 0)


def _inside_and_out(carries: str) -> tuple[ModelProto, ModelProto]:
    """Return a loop that carries its weight, and one whose body takes it from outside."""
    ways = {
        "itself": ([], "v"),
        "through Identity": ([node("Identity", "v", "v2")], "v2"),
        "through two": ([node("Identity", "v", "v1"), node("Identity", "v1", "v2")], "v2"),
    }
    more, end = ways.get(carries, ways["itself"])
    body = _loop_body([node("MatMul", "h v", "g"), *more], ["h", "v"], ["g", end])
    outside = _loop_body([node("MatMul", "h w", "g")], ["h"], ["g"])
    if carries == "through two loops":
        inner = _loop_body([node("MatMul", "k u", "m")], ["k", "u"], ["m", "u"], own="2")
        body = _loop_body([node("Loop", "count yes h v", "g -", body=inner)], ["h", "v"], ["g", "v"])
        inner = _loop_body([node("MatMul", "k w", "m")], ["k"], ["m"], own="2")
        outside = _loop_body([node("Loop", "count yes h", "g", body=inner)], ["h"], ["g"])
    one, held = _loop(body, "x w", "y last", w=W)
    other, _ = _loop(outside, "x", "y")
    return tuple(model([made], held, {"x": [1, 4]}) for made in (one, other))  # type: ignore[return-value]


@pytest.mark.parametrize("carries", ["itself", "through Identity", "through two", "through two loops"])
def test_a_carried_weight_is_as_one_from_outside(carries: str, tmp_path: Path) -> None:
    reports = [audit(save(proto, tmp_path, f"{carries}.onnx")) for proto in _inside_and_out(carries)]
    carried, outside = (report.network.deep_graph_persistence for report in reports)
    assert carried.connectivity == outside.connectivity == "exact"
    assert carried.inputs == outside.inputs == 4
    assert carried.normalized == outside.normalized is not None
    (layer,), (other,) = (report.layers for report in reports)
    assert len(layer.uses) == len(other.uses) == 1
    assert layer.neural_persistence == other.neural_persistence


@pytest.mark.parametrize(
    "use", ["multiplied", "scaled in the body, then multiplied", "multiplied in a next loop"]
)
def test_what_a_loop_carries_and_hands_out_is_not_forgotten(use: str, tmp_path: Path) -> None:
    """The result of a loop is no constant: its operand is skipped where a product takes that."""
    body = _loop_body([], ["w"], ["w"])
    made, held = _loop(body, "w0", "last", w0=W)
    nodes = [made, node("MatMul", "x last")]
    if use.startswith("scaled"):
        body = _loop_body([node("Mul", "w two", "o")], ["w"], ["w", "o"], {"two": np.float32([2])})
        made, held = _loop(body, "w0", "last all", w0=W)
        nodes = [made, node("MatMul", "x all")]
    if use.endswith("loop"):
        next_body = _loop_body([node("MatMul", "h v", "g")], ["h", "v"], ["g", "v"], own="2")
        nodes = [made, node("Loop", "count yes x last", "y end", body=next_body)]
    report = audit(save(model(nodes, held), tmp_path))
    assert [(item.name, item.parameters) for item in report.coverage.skipped] == [("loop", 16)]
    assert report.network.deep_graph_persistence.connectivity.startswith("conservative (Loop ")


# States that are no weights: what they become is the data of layers

CELLS = {
    "plain": ([node("Add", "q p", "n")], ["n"]),
    "bent": ([node("Add", "q p", "a"), node("Tanh", "a", "n")], ["n"]),
    "gated": (
        [
            node("Sigmoid", "p", "z"), node("Mul", "z h", "kept"), node("Tanh", "q", "t"),
            node("Sub", "one z", "left"), node("Mul", "left t", "new"), node("Add", "kept new", "n"),
        ],
        ["n"],
    ),
    "with a memory": (
        [
            node("Add", "q p", "a"), node("Sigmoid", "a", "z"), node("Mul", "z m", "kept"),
            node("Tanh", "a", "t"), node("Add", "kept t", "m2"), node("Tanh", "m2", "b"),
            node("Mul", "b z", "n"),
        ],
        ["n", "m2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("op", ["Loop", "Scan"])
def test_what_a_recurrent_cell_starts_with_is_no_weight(
    op: str, cell: str, learned: bool, tmp_path: Path
) -> None:
    nodes, ends = CELLS[cell]
    begins = ["h", "m"][: len(ends)]
    products = [node("MatMul", "h w", "q"), node("MatMul", "e u", "p")]
    start = weights(2, 4, seed=9) if learned else np.zeros((2, 4), np.float32)
    held = {"w": W, "u": V, "one": np.float32([1]), **{f"{begin}0": start for begin in begins}}
    states, results = " ".join(f"{begin}0" for begin in begins), " ".join(f"{begin}1" for begin in begins)
    if op == "Loop":
        products.insert(0, node("Identity", "x", "e"))
        made, settings = _loop(_loop_body([*products, *nodes], begins, ends), states, results)
        proto = model([made, node("Identity", "h1", "y")], {**held, **settings}, {"x": [2, 4]})
    else:
        body = _scan(
            [*products, *nodes, node("Identity", "n", "o")], " ".join([*begins, "e"]), " ".join([*ends, "o"])
        )
        scan = node("Scan", f"{states} x", f"{results} y", body=body, num_scan_inputs=1)
        proto = model([scan], held, {"x": [3, 2, 4]})
    report = audit(save(proto, tmp_path))
    assert report.coverage.skipped == ()
    assert report.coverage.parameters_analysed == 32
    assert report.coverage.other_kinds[op] >= 8 * len(begins)
    assert report.network.deep_graph_persistence.connectivity == "exact"


@pytest.mark.parametrize("beside", [False, True])
def test_a_state_that_multiplies_the_input_is_a_weight(beside: bool, tmp_path: Path) -> None:
    """Be it the data of a layer besides."""
    more = [node("MatMul", "s w", "s2")] if beside else [node("Relu", "s", "s2")]
    body = _loop_body([node("MatMul", "h s", "g"), *more], ["h", "s"], ["g", "s2"])
    made, held = _loop(body, "x s0", "y last", s0=V)
    coverage = audit(save(model([made], {"w": W, **held} if beside else held), tmp_path)).coverage
    assert [(item.name, item.parameters) for item in coverage.skipped] == [("loop", 16)]
    assert coverage.parameters_analysed == 16 * beside


def test_states_that_change_places_are_followed(tmp_path: Path) -> None:
    """After three rounds the first result is what the second state began with: both may be."""
    body = _loop_body([], ["a", "b"], ["b", "a"])
    made, held = _loop(body, "p q", "y z", count=3)
    nodes = [node("MatMul", "x w", "p"), node("MatMul", "x v", "q"), made]
    proto = model(nodes, {"w": W, "v": V, **held}, {"x": [1, 4]})
    np.testing.assert_allclose(run(proto, {"x": X[:1]})[0], X[:1] @ V, rtol=1e-5)
    found = connected(save(proto, tmp_path))
    outputs = set(found.lanes["y"].ravel().tolist())
    for block in found.graph.blocks:
        assert all(reachable(found.graph, vertex) & outputs for vertex in block.columns.tolist())


# SequenceMap

MAPPED = "SequenceMap is not read by this version"


def _mapped(
    operands: str, begins: str, *nodes: NodeProto, before: Sequence[NodeProto] = (), **held: Array
) -> ModelProto:
    body = helper.make_graph(
        list(nodes), "body", [_info(name, TensorProto.FLOAT, None) for name in begins.split()],
        [_info("o", TensorProto.FLOAT, None)],
    )  # fmt: skip
    made = node("SequenceMap", operands, "r", body=body)
    at = node("SequenceAt", "r first")
    return model([*before, made, at], {"first": np.array(0), **held}, {"x": [2, 4]})


_TWICE = node("SequenceConstruct", "x x", "q")
_BOTH = node("SequenceConstruct", "w v", "q")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], W),
        ([node("Transpose", "w", "t")], W.T),
        ([node("Mul", "w v", "t")], W * V),
        ([node("Transpose", "w", "s"), node("Identity", "s", "t")], None),
    ],
)
def test_a_weight_that_is_handed_to_each_round_of_a_map(
    more: list[NodeProto], expected: Array | None, tmp_path: Path
) -> None:
    """What may be a sequence, for all that its operation says, is none that all rounds see alike."""
    proto = _mapped(
        "q t" if more else "q w", "e u", node("MatMul", "e u", "o"), before=[_TWICE, *more], w=W, v=V
    )
    path = save(proto, tmp_path)
    if expected is None:
        assert [item.reason for item in read_layers(path) if isinstance(item, Skipped)] == [MAPPED]
    else:
        np.testing.assert_array_equal(only_layer(path).matrix(), expected)
        np.testing.assert_allclose(run(proto, {"x": X})[0], X @ expected, rtol=1e-5)
    assert audit(path).coverage.parameters_total == (32 if more and more[0].op_type == "Mul" else 16)


_INSERTED = [
    node("SequenceEmpty", "", "e0"),
    node("SequenceInsert", "e0 w", "e1"),
    node("SequenceInsert", "e1 v", "q"),
]


@pytest.mark.parametrize(
    "before",
    [
        [_BOTH],
        [node("SequenceConstruct", "w", "e1"), node("SequenceInsert", "e1 v", "q")],
        _INSERTED,
        [node("Concat", "w v", "c", axis=0), node("SplitToSequence", "c half", "q", axis=0)],
    ],
    ids=lambda nodes: nodes[-1].op_type + str(len(nodes)),
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_sequence_of_weights_that_is_mapped(before: list[NodeProto], place: int, tmp_path: Path) -> None:
    nodes, operands, begins = list(before), "q", "u"
    if place:
        nodes, operands, begins = [node("SequenceConstruct", "x x", "a"), *nodes], "a q", "e u"
    product = node("MatMul", "e u" if place else "x u", "o")
    proto = _mapped(operands, begins, product, before=nodes, w=W, v=V, half=np.array(4))
    coverage = audit(save(proto, tmp_path)).coverage
    assert [(item.reason, item.parameters) for item in coverage.skipped] == [(MAPPED, 32)]
    assert coverage.parameters_total == 32


def test_weights_that_a_map_makes_of_a_sequence(tmp_path: Path) -> None:
    proto = _mapped("q", "u", node("Relu", "u", "o"), before=[_BOTH], w=W, v=V)
    proto.graph.node[-1].output[0] = "z"
    proto.graph.node.append(node("MatMul", "x z"))
    coverage = audit(save(proto, tmp_path)).coverage
    assert [(item.reason, item.parameters) for item in coverage.skipped] == [(MAPPED, 32)]


def test_a_sequence_of_data_is_no_weight(tmp_path: Path) -> None:
    proto = _mapped("q", "e", node("MatMul", "e u", "o"), before=[_BOTH], w=W, v=V, u=W)
    coverage = audit(save(proto, tmp_path)).coverage
    assert (coverage.skipped, coverage.parameters_analysed) == ((), 16)
    assert coverage.other_kinds["SequenceConstruct"] == 32


@pytest.mark.parametrize("before", [_INSERTED[:2], _INSERTED], ids=len)
def test_a_sequence_that_grows_from_nothing(before: list[NodeProto], tmp_path: Path) -> None:
    """What is inserted is carried on as what is put together."""
    at = node("SequenceAt", f"{before[-1].output[0]} first", "u")
    held = {"w": W, "v": V, "first": np.array(0)}
    coverage = audit(save(model([*before, at, node("MatMul", "x u")], held), tmp_path)).coverage
    assert [item.parameters for item in coverage.skipped] == [16 * (len(before) - 1)]
