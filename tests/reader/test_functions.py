"""Functions of a model's own: what is inlined computes what the runtime computes, what is not is counted."""

import contextlib
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxtop.errors import LimitError, ModelError
from onnxtop.reader.account import Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.functions import aside, calls, converter, inliner, outside
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.limits import GIB
from onnxtop.reader.loading import load
from onnxtop.reader.skeleton import checker_note
from tests.models import Array, layers_of, run, save, weights

LARGE = (40, 30)
"""Over 4096 bytes: such a weight stays in the file when the model is loaded."""


def parsed(text: str, held: Mapping[str, Array], opset: int = 18) -> ModelProto:
    """Return a model of ONNX text; ``held`` are initializers, or the value of a Constant of that name."""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": {opset}, "acme": 1]> {text}')
    nodes: list[NodeProto] = [node for function in proto.functions for node in function.node]
    nodes += [inner for node in nodes for item in node.attribute for inner in item.g.node]
    filled = {node.output[0] for node in nodes if node.op_type == "Constant"}
    for node in nodes:
        if node.op_type == "Constant" and node.output[0] in held:
            del node.attribute[:]
            node.attribute.append(
                helper.make_attribute("value", numpy_helper.from_array(held[node.output[0]]))
            )
    proto.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in held.items() if name not in filled
    )
    return proto


def whole(found: list[Layer | Skipped]) -> Array:
    """Return the product of all layers."""
    product = np.eye(LARGE[0], dtype=np.float32)
    for layer in found:
        assert isinstance(layer, Layer), layer
        product = product @ layer.matrix()
    return product


W, V = weights(*LARGE), weights(LARGE[1], 6)
IN_OUT = "(float[N, 40] x) => (float[N, M] y)"
LINEAR = '<domain: "acme", opset_import: ["": 18]>'
CALLER = '<domain: "acme", opset_import: ["": 18, "acme": 1]>'

DEFAULTS = {
    "left out": f"""g {IN_OUT} {{ y = acme.L(x, w) }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}""",
    "given": f"""g {IN_OUT} {{ y = acme.L <a = 0.25> (x, w) }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}""",
    "without a default": f"""g {IN_OUT} {{ y = acme.L(x, w) }}
        {LINEAR} L <a> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}""",
    "of the caller": f"""g {IN_OUT} {{ y = acme.O(x, w) }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}
        {CALLER} O <b: float = 0.25> (X, W) => (Y) {{ Y = acme.L <a: float = @b> (X, W) }}""",
    "of the called": f"""g {IN_OUT} {{ y = acme.O(x, w) }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}
        {CALLER} O (X, W) => (Y) {{ Y = acme.L(X, W) }}""",
    "in one of two": f"""g {IN_OUT} {{ h = acme.L(x, w) y = acme.L <a = 4.0> (h, v) }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}""",
    "in a branch": f"""g {IN_OUT} {{
        c = Constant <value = bool {{1}}> ()
        y = If (c) <then_branch = t () => (float[N, M] r) {{ r = acme.L(x, w) }},
                    else_branch = e () => (float[N, M] s) {{ s = acme.L <a = 0.5> (x, w) }}>
        }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}""",
    "of a whole number": f"""g {IN_OUT} {{ y = acme.L(x, wt) }}
        {LINEAR} L <t: int = 1> (X, W) => (Y) {{ Y = Gemm <transB: int = @t> (X, W) }}""",
}


@pytest.mark.parametrize("how", DEFAULTS)
def test_attributes_that_a_call_leaves_out(tmp_path: Path, how: str) -> None:
    """What the runtime computes for unit vectors is the product of the layers."""
    used = {name for name in ("w", "v", "wt") if f" {name})" in DEFAULTS[how].partition("<domain")[0]}
    held = {name: array for name, array in {"w": W, "v": V, "wt": W.T.copy()}.items() if name in used}
    proto = parsed(DEFAULTS[how], held)
    wanted = run(proto, x=np.eye(40, dtype=np.float32))
    np.testing.assert_array_equal(whole(layers_of(save(proto, tmp_path))), wanted)


def test_a_caller_that_was_not_given_it_hands_on_nothing(tmp_path: Path) -> None:
    """The default is then that of the function that is called, as the standard says of what is left out."""
    text = f"""g {IN_OUT} {{ y = acme.O(x, w) }}
        {LINEAR} L <a: float = 0.5> (X, W) => (Y) {{ Y = Gemm <alpha: float = @a> (X, W) }}
        {CALLER} O <b> (X, W) => (Y) {{ Y = acme.L <a: float = @b> (X, W) }}"""
    (layer,) = layers_of(save(parsed(text, {"w": W}), tmp_path))
    assert isinstance(layer, Layer)
    np.testing.assert_array_equal(layer.matrix(), W / 2)


OTHER = {
    "a weight inside": """L (X) => (Y) { W = Constant <value_int = 0> () Y = MatMul(X, W) }""",
    "operations that changed": """L (X) => (Y) { W = Constant <value_int = 0> ()
        M = ReduceMean <axes = [1], keepdims = 1> (X) C = Sub(X, M) Y = MatMul(C, W) }""",
    "an attribute of the call": """L <axes> (X) => (Y) { W = Constant <value_int = 0> ()
        M = ReduceMean <axes: ints = @axes, keepdims = 1> (X) C = Sub(X, M) Y = MatMul(C, W) }""",
    "a branch": """L (X) => (Y) { C = Constant <value = bool {1}> ()
        Y = If (C) <
            then_branch = t () => (float[N, M] r) {
                W = Constant <value_int = 0> () M = ReduceMean <axes = [1]> (X) D = Sub(X, M)
                r = MatMul(D, W) },
            else_branch = e () => (float[N, M] s) { s = ReduceMean <axes = [1]> (X) }> }""",
}


@pytest.mark.parametrize("opset", [13, 17])
@pytest.mark.parametrize("how", OTHER)
def test_a_function_of_an_older_opset(tmp_path: Path, how: str, opset: int) -> None:
    """It means what the opset says that it names: so it is converted."""
    call = "acme.L <axes = [1]> (x)" if "<axes>" in OTHER[how] else "acme.L(x)"
    text = f"""g {IN_OUT} {{ h = {call} r = Relu(h) y = MatMul(r, v) }}
        <domain: "acme", opset_import: ["": {opset}]> {OTHER[how]}"""
    proto = parsed(text, {"W": W, "v": V})
    model = load(save(proto, tmp_path))
    found = [layer for layer in find_layers(model, Constants(model)) if isinstance(layer, Layer)]
    np.testing.assert_array_equal(found[0].matrix(), W)
    np.testing.assert_array_equal(found[1].matrix(), V)
    assert checker_note(model) is None
    assert not model.proto.functions
    x = weights(5, 40)
    inlined = onnx.load_from_string(model.proto.SerializeToString())
    for node in inlined.graph.node:
        bodies = [item.g.node for item in node.attribute if item.HasField("g")]
        for inner in (node, *(n for body in bodies for n in body)):
            if inner.op_type == "Constant" and inner.attribute[0].t.external_data:
                inner.attribute[0].t.CopyFrom(numpy_helper.from_array(W))
    again, wanted = (ReferenceEvaluator(item).run(None, {"x": x})[0] for item in (inlined, proto))
    np.testing.assert_allclose(again, wanted, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("opset", [13, 17])
def test_weights_that_a_function_of_an_older_opset_is_given(tmp_path: Path, opset: int) -> None:
    """They are initializers, whose types the graph does not declare."""
    text = f"""g {IN_OUT} {{ u = acme.L(w) h = MatMul(x, u) y = MatMul(h, v) }}
        <domain: "acme", opset_import: ["": {opset}]> L (W) => (C) {{
            M = ReduceMean <axes = [0], keepdims = 1> (W) C = Sub(W, M) }}"""
    first, last = layers_of(save(parsed(text, {"w": W, "v": V}), tmp_path))
    assert isinstance(first, Layer)
    assert isinstance(last, Layer)
    np.testing.assert_allclose(first.matrix(), W - W.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(last.matrix(), V)


def test_the_same_as_in_the_opset_of_the_model(tmp_path: Path) -> None:
    """Names and numbers are those of a function that needs no conversion."""
    texts = [
        f'g {IN_OUT} {{ h = acme.L(x) y = MatMul(h, v) }} <domain: "acme", opset_import: ["": {opset}]> '
        f"{OTHER['operations that changed']}".replace("<axes = [1], keepdims = 1> (X)", reduced)
        for opset, reduced in ((17, "<axes = [1], keepdims = 1> (X)"), (18, "<keepdims = 1> (X, A)"))
    ]
    texts[1] = texts[1].replace("M = Reduce", "A = Constant <value_ints = [1]> () M = Reduce")
    one, other = (
        [
            (layer.name, layer.n_in, layer.n_out)
            for layer in layers_of(save(parsed(text, {"W": W, "v": V}), tmp_path))
        ]
        for text in texts
    )
    assert one == other


def test_a_body_is_converted_once_for_each_way_in_which_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion takes as long as inlining hundreds of calls."""
    body = """<domain: "acme", opset_import: ["": 17]> L <axes> (X, B) => (Y) {
        M = ReduceMean <axes: ints = @axes, keepdims = 1> (X) C = Clip(M, B) Y = Sub(X, C) }"""
    calls = [f"h{n + 1} = acme.L <axes = [{n % 2}]> (h{n}{', b' if n % 3 else ''})" for n in range(60)]
    text = f"g {IN_OUT} {{ h0 = Identity(w) {' '.join(calls)} y = MatMul(x, h60) }} {body}"
    proto = parsed(text, {"w": W, "b": np.float32(0)})
    converted: list[str] = []
    inline = onnx.inliner.inline_local_functions

    def counted(model: ModelProto, convert_version: bool) -> ModelProto:
        versions = {item.version for each in model.functions for item in each.opset_import if not item.domain}
        converted.extend(node.op_type for node in model.graph.node if 17 in versions and node.domain)
        return inline(model, convert_version)

    monkeypatch.setattr(onnx.inliner, "inline_local_functions", counted)
    (layer,) = layers_of(save(proto, tmp_path))
    wanted = W.astype(np.float64)
    for n in range(60):
        mean = wanted.mean(n % 2, keepdims=True)
        wanted = wanted - (np.maximum(mean, 0) if n % 3 else mean)
    assert isinstance(layer, Layer)
    np.testing.assert_allclose(layer.matrix(), wanted, atol=1e-5)
    assert converted[:4] == ["L"] * 4
    assert {name.rpartition("#")[0] for name in converted[4:]} == {"L"}


def test_more_ways_to_call_than_are_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls beyond stay calls, whose weights are counted."""
    monkeypatch.setattr(converter, "_MOST_WAYS", 2)
    body = """<domain: "acme", opset_import: ["": 17]> L <axes> (X) => (Y) {
        W = Constant <value_int = 0> () M = ReduceMean <axes: ints = @axes, keepdims = 1> (X) C = Sub(X, M)
        Y = MatMul(C, W) }"""
    calls = [f"h{n} = acme.L <axes = [{n - 2}]> (x)" for n in range(3)]
    text = f"g {IN_OUT} {{ {' '.join(calls)} a = Add(h0, h1) b = Add(a, h2) y = MatMul(b, v) }} {body}"
    path = save(parsed(text, {"W": W, "v": V}), tmp_path)
    operations = [node.op for node in load(path).nodes]
    assert (operations.count("acme.L"), operations.count("ReduceMean")) == (1, 2)
    (skipped,) = (each for each in layers_of(path) if isinstance(each, Skipped))
    assert skipped.op_type == "acme.L"


def test_a_body_that_was_converted_is_nobody_elses(tmp_path: Path) -> None:
    """A node that is called as what was converted is, and no call of it."""
    text = f"""g {IN_OUT} {{ h = acme.L(x) r = acme.K0(h) y = MatMul(r, v) }}
        <domain: "acme", opset_import: ["": 17]>
        L (X) => (Y) {{ M = ReduceMean <axes = [1], keepdims = 1> (X) Y = Sub(X, M) }}"""
    proto = parsed(text, {"v": V})
    proto.graph.node[1].op_type = "L#0"
    model = load(save(proto, tmp_path))
    assert [node.op for node in model.nodes if node.domain] == ["acme.L#0"]
    assert [node.op for node in model.nodes if not node.domain] == ["ReduceMean", "Sub", "MatMul"]


@pytest.mark.parametrize("first", ["acme.L(x) k = acme.Q(h)", "acme.Q(x) k = acme.L(h)"])
def test_a_body_that_was_converted_has_no_name_of_another_function(tmp_path: Path, first: str) -> None:
    """One of that name is called by a function alone: it is written out where it is meant."""
    text = f"""g {IN_OUT} {{ h = {first} y = MatMul(k, v) }}
        <domain: "acme", opset_import: ["": 17]>
        L (X) => (Y) {{ M = ReduceMean <axes = [1], keepdims = 1> (X) Y = Sub(X, M) }}
        {CALLER} Q (X) => (Y) {{ Y = acme.K (X) }}
        {CALLER} K (X) => (Y) {{ Y = Sigmoid (X) }}"""
    proto = parsed(text, {"v": V})
    proto.functions[1].node[0].op_type = proto.functions[2].name = "L#0"
    operations = [node.op for node in load(save(proto, tmp_path)).nodes]
    assert sorted(operations) == ["MatMul", "ReduceMean", "Sigmoid", "Sub"]


def test_a_function_that_is_called_as_what_keeps_nodes_aside(tmp_path: Path) -> None:
    text = f"""g {IN_OUT} {{ h = Relu(x) k = acme.L(h) y = MatMul(k, v) }}
        {CALLER} L (X) => (Y) {{ Y = Sigmoid (X) }} {CALLER} K (X) => (Y) {{ Y = Tanh (X) }}"""
    proto = parsed(text, {"v": V})
    proto.functions[1].domain, proto.functions[1].name = "onnxtop.run0", "0"
    assert [node.op for node in load(save(proto, tmp_path)).nodes] == ["Relu", "Sigmoid", "MatMul"]


def test_a_call_that_stays_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its body was converted, and cannot be inlined all the same."""
    inline = onnx.inliner.inline_local_functions

    def refused(model: ModelProto, convert_version: bool) -> ModelProto:
        if any("#" in each.name for each in model.functions):
            raise RuntimeError
        return inline(model, convert_version)

    monkeypatch.setattr(onnx.inliner, "inline_local_functions", refused)
    text = f"""g {IN_OUT} {{ h = acme.L(x) y = MatMul(h, v) }} <domain: "acme", opset_import: ["": 17]>
        L (X) => (Y) {{ M = ReduceMean <axes = [1], keepdims = 1> (X) Y = Sub(X, M) }}"""
    model = load(save(parsed(text, {"v": V}), tmp_path))
    assert [node.op for node in model.nodes] == ["acme.L", "MatMul"]
    assert model.closed


def test_another_version_of_a_domain_that_is_not_converted(tmp_path: Path) -> None:
    text = f"""g {IN_OUT} {{ y = acme.L(x, w) }}
        <domain: "acme", opset_import: ["ai.onnx": 18, "acme": 7]> L (X, W) => (Y) {{ Y = MatMul(X, W) }}"""
    np.testing.assert_array_equal(whole(layers_of(save(parsed(text, {"w": W}), tmp_path))), W)


def test_a_version_that_is_imported_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last is meant, as onnxruntime reads it: it is looked at once, and nothing is tried twice."""
    asked: list[tuple[int, int]] = []
    is_unchanged = converter._is_unchanged

    def counted(function: FunctionProto, old: int, new: int) -> bool:
        asked.append((old, new))
        return is_unchanged(function, old, new)

    monkeypatch.setattr(converter, "_is_unchanged", counted)
    text = f"g {IN_OUT} {{ y = acme.L(x, w) }} {LINEAR} L (X, W) => (Y) {{ Y = Gemm(X, W) }}"
    proto = parsed(text, {"w": W})
    for item in (proto, proto.functions[0]):
        del item.opset_import[:]
        item.opset_import.extend(helper.make_opsetid(*each) for each in [("", 8), ("", 9), ("", 18)])
    proto.opset_import.append(helper.make_opsetid("acme", 1))
    np.testing.assert_array_equal(whole(layers_of(save(proto, tmp_path))), W)
    assert asked == [(18, 18)]


CLOSED = f"""g {IN_OUT} {{ h = acme.L(x) i = acme.L(h) y = MatMul(i, v) }}
    <domain: "acme", opset_import: ["": 20, "acme": 1]> L (X) => (Y) {{
        W = Constant <value_int = 0> () B = Constant <value_floats = [1.0, 2.0, 3.0]> ()
        H = acme.I(X) G = Gelu(H) M = MatMul(G, W) Y = Add(M, B) }}
    <domain: "acme", opset_import: ["": 20]> I (X) => (Y) {{
        U = Constant <value_int = 0> () C = Constant <value = bool {{1}}> ()
        Y = If (C) <then_branch = t () => (float[N, M] r) {{ r = MatMul(X, U) }},
                    else_branch = e () => (float[N, M] s)
                        <float[2, 3] T = {{1, 2, 3, 4, 5, 6}}> {{ s = MatMul(X, T) }}> }}"""


def test_a_function_that_cannot_be_converted_is_skipped(tmp_path: Path) -> None:
    """Its weights, and those of functions inside, are counted once, though it is called twice."""
    held = {"W": weights(40, 40), "U": weights(40, 40, seed=1), "v": weights(40, 6)}
    model = load(save(parsed(CLOSED, held), tmp_path))
    constants = Constants(model)
    layers = find_layers(model, constants)
    skipped = {layer.weight: layer for layer in layers if isinstance(layer, Skipped)}
    assert {name: layer.parameters for name, layer in skipped.items()} == {
        "acme.L.W": 1600,
        "acme.I.U": 1600,
        "acme.I.T": 6,
    }
    for layer in skipped.values():
        assert layer.op_type == "acme.L"
        assert "acme.L is written in opset 20, the model in 18" in layer.reason
    assert [layer.weight for layer in layers if isinstance(layer, Layer)] == ["v"]
    counted = account(model, constants, layers)
    assert sorted(counted.skipped(item) for item in layers if isinstance(item, Skipped)) == [6, 1600, 1600]
    assert counted.other == {"acme.L": 4}


def test_constants_of_a_function_that_nobody_calls_are_unused(tmp_path: Path) -> None:
    text = f"""g {IN_OUT} {{ y = MatMul(x, w) }}
        {LINEAR} L (X) => (Y) {{ W = Constant <value_int = 0> () Y = MatMul(X, W) }}"""
    model = load(save(parsed(text, {"w": W, "W": weights(7, 5)}), tmp_path))
    constants = Constants(model)
    assert account(model, constants, find_layers(model, constants)).total(Role.UNUSED) == 35


@pytest.mark.parametrize(
    ("read", "made"), [("A", True), ("X", True), ("", True), ("Z", False), ("r", False), ("N", False)]
)
def test_what_a_body_makes_nobody_else_sees(read: str, made: bool) -> None:
    text = f"""g {IN_OUT} {{ y = acme.L(x) }} {LINEAR} L (X) => (Y) {{
        A = If (X) <then_branch = t () => (r) {{ Z = Relu(X) r = Relu(Z) }}> Y = Relu(A) }}"""
    (function,) = parsed(text, {}).functions
    function.node[1].input[:] = [read]
    assert inliner.is_whole(function) is made


def test_what_bodies_see_is_not_copied_for_each() -> None:
    """A function with many inputs may hold many bodies."""
    inner = helper.make_node("Relu", ["i0"], ["r"])
    for _ in range(20):
        body = helper.make_graph([inner], "b", [], [helper.make_tensor_value_info("r", 1, None)])
        inner = helper.make_node("If", ["i0"], ["r"], then_branch=body)
    many = [f"i{n}" for n in range(30_000)]
    function = helper.make_function("acme", "L", many, ["r"], [inner], [helper.make_opsetid("", 18)])
    tracemalloc.start()
    try:
        assert inliner.is_whole(function)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("overload", ["", "#0"])
def test_two_functions_of_one_name(tmp_path: Path, overload: str) -> None:
    """Calls mean the last, as onnx's inliner; what the first holds is counted as unused."""
    bodies = "".join(
        f"{LINEAR} L{n} (X) => (Y) {{ W = Constant <value_int = 0> () Y = MatMul(X, W) }}" for n in range(3)
    )
    proto = parsed(
        f"g {IN_OUT} {{ h = acme.L2(x) y = MatMul(h, v) }} {bodies}", {"W": weights(40, 3), "v": V}
    )
    for function, held in zip(proto.functions, [weights(7, 5), weights(2, 3), W], strict=True):
        function.name = "L"
        function.node[0].attribute[0].t.CopyFrom(numpy_helper.from_array(held))
    proto.functions[1].overload = overload
    proto.graph.node[0].op_type = "L"
    model = load(save(proto, tmp_path))
    constants = Constants(model)
    layers = find_layers(model, constants)
    assert account(model, constants, layers).total(Role.UNUSED) == 35 + 6
    np.testing.assert_array_equal(next(each.matrix() for each in layers if isinstance(each, Layer)), W)


def test_what_the_model_imports_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not for each of its functions, to say why they stay."""
    bodies = "".join(f"{LINEAR} L{n} (X) => (Y) {{ Y = Relu(X) }}" for n in range(50))
    proto = parsed(f"g {IN_OUT} {{ y = Relu(x) }} {bodies}", {})
    proto.opset_import.extend(helper.make_opsetid(f"d{n}", 1) for n in range(50))
    domain, asked = calls.domain_of, []

    def counted(name: str) -> str:
        asked.append(name)
        return domain(name)

    monkeypatch.setattr(calls, "domain_of", counted)
    _, closed = outside.with_constants_outside(proto)
    assert len(closed) == 50
    assert len(asked) <= 200


def test_constants_outside_have_names_of_their_own(tmp_path: Path) -> None:
    """A value of the graph may have the very name that is given to them, and two of a body one name."""
    text = f"""g {IN_OUT} {{ acme.L.W = Relu(x) h = acme.L(x) a = Add(h, acme.L.W) y = MatMul(a, v) }}
        <domain: "acme", opset_import: ["": 17]> L (X) => (Y) {{
        W = Constant <value_floats = [1.0, 2.0]> () W = Constant <value_floats = [3.0]> ()
        Y = acme.Other(X, W) Z = Foo(X) }}"""
    text = text.replace("acme.L.W", "taken")
    proto = parsed(text, {"v": V})
    for node in proto.graph.node:
        for side in (node.input, node.output):
            side[:] = ["acme.L.W" if name == "taken" else name for name in side]
    proto.functions[0].node[0].op_type, proto.functions[0].node[0].domain = "Constant", ""
    written, closed = outside.with_constants_outside(proto)
    assert ("acme", "L") in closed
    made = [name for node in written.graph.node for name in node.output]
    assert len(set(made)) == len(made)
    model = load(save(proto, tmp_path))
    (add,) = (node for node in model.nodes if node.op_type == "Add")
    assert add.inputs[1] is not None
    assert model.producers[add.inputs[1]].op_type == "Relu"


def test_few_operations_may_be_written_out_to_many(tmp_path: Path) -> None:
    """A deep network may be one function, called again; what it is written out to is bounded all the same."""
    body = " ".join(f"V{n + 1} = Relu(V{n})" for n in range(40))
    calls = " ".join(f"h{n + 1} = acme.L(h{n})" for n in range(50))
    text = f"""g {IN_OUT} {{ h0 = Relu(x) {calls} y = Relu(h50) }}
        {CALLER} L (V0) => (V40) {{ {body} }}"""
    path = save(parsed(text, {}), tmp_path)
    assert len(load(path).nodes) == 2002
    with pytest.raises(LimitError, match="at most 1999 operations written out of functions, found 2000"):
        load(path, limits={"functions": 1999})


def test_a_function_that_returns_what_nothing_makes(tmp_path: Path) -> None:
    """Converters crash on it: it stays a call."""
    text = f"""g {IN_OUT} {{ y = acme.L(x, w) }}
        <domain: "acme", opset_import: ["": 17]> L (X, W) => (Y) {{ Z = MatMul(X, W) }}"""
    (skipped,) = layers_of(save(parsed(text, {"w": W}), tmp_path))
    assert isinstance(skipped, Skipped)
    assert (skipped.op_type, skipped.weight) == ("acme.L", "w")


@pytest.mark.parametrize(
    "bodies",
    [("acme.L(X)",), ("acme.I(X)", "acme.L(X)"), ("If (X) <then_branch = t () => (r) { r = acme.L(X) }>",)],
    ids=["itself", "by way of another", "in a branch"],
)
def test_a_function_that_calls_itself(tmp_path: Path, bodies: tuple[str, ...]) -> None:
    functions = "".join(
        f"{CALLER} {name} (X) => (Y) {{ Y = {body} }}" for name, body in zip("LI", bodies, strict=False)
    )
    proto = parsed(f"g {IN_OUT} {{ y = acme.L(x) }} {functions}", {})
    with pytest.raises(ModelError, match=r"acme\.\w calls itself"):
        load(save(proto, tmp_path))


IF = "Y = If <then_branch: graph = @b, else_branch: graph = @b> (X)"


def _graph(text: str) -> GraphProto:
    return onnx.parser.parse_graph(f"b () => (float[N] o) {{ o = {text} }}")


def _with_default(function: FunctionProto, text: str) -> None:
    function.attribute_proto.append(helper.make_attribute("b", _graph(text)))
    for attribute in function.node[0].attribute:
        attribute.CopyFrom(AttributeProto(name=attribute.name, type=AttributeProto.GRAPH, ref_attr_name="b"))


def test_a_function_that_calls_itself_by_default(tmp_path: Path) -> None:
    proto = parsed(f"g {IN_OUT} {{ y = acme.L(x) }} {CALLER} L (X) => (Y) {{ {IF} }}", {})
    _with_default(proto.functions[0], "acme.L (x)")
    with pytest.raises(ModelError, match=r"acme\.L calls itself"):
        load(save(proto, tmp_path))


def test_defaults_that_multiply(tmp_path: Path) -> None:
    """Forty functions, each with a default that calls the next and is written in two branches."""
    bodies = [f"L{n} (X) => (Y) {{ {IF} }}" for n in range(40)]
    text = f"g {IN_OUT} {{ y = acme.L0(x) }} {' '.join(f'{CALLER} {body}' for body in bodies)}"
    proto = parsed(f"{text} {CALLER} L40 (X) => (Y) {{ Y = Relu(X) }}", {})
    for number, function in enumerate(proto.functions[:40]):
        _with_default(function, f"acme.L{number + 1} (x)")
    with pytest.raises(LimitError, match="at most 1048576 nodes, found"):
        load(save(proto, tmp_path))


def test_graphs_in_graphs_that_multiply(tmp_path: Path) -> None:
    """Each call gives a graph, which has the next call in it, and is written in two branches."""
    proto = parsed(f"g {IN_OUT} {{ y = acme.L(x) }} {CALLER} L (X) => (Y) {{ {IF} }}", {})
    _with_default(proto.functions[0], "Relu (x)")
    given = _graph("Relu (x)")
    for _ in range(25):
        outer = _graph("acme.L (x)")
        outer.node[0].attribute.append(helper.make_attribute("b", given))
        given = outer
    proto.graph.node[0].attribute.append(helper.make_attribute("b", given))
    with pytest.raises(LimitError, match="at most 1048576 nodes, found"):
        load(save(proto, tmp_path))


def test_functions_that_multiply(tmp_path: Path) -> None:
    """Forty functions that each call the next twice are a million million operations."""
    bodies = [f"L{n} (X) => (Y) {{ Z = acme.L{n + 1}(X) Y = acme.L{n + 1}(Z) }}" for n in range(40)]
    bodies.append("L40 (X) => (Y) { Y = Relu(X) }")
    proto = parsed(f"g {IN_OUT} {{ y = acme.L0(x) }} {' '.join(f'{CALLER} {body}' for body in bodies)}", {})
    with pytest.raises(LimitError, match="at most 1048576 nodes, found 3298534883327; raise it"):
        load(save(proto, tmp_path))


LONG = "x" * 10_000
MANY = {
    "an attribute of the body": (f'L (X) => (Y) {{ Y = Foo <s = "{LONG}"> (X) }}', "x", "structure"),
    "a default": (f'L <s: string = "{LONG}"> (X) => (Y) {{ Y = Relu(X) }}', "x", "structure"),
    "an attribute of the call": (
        f"L <s> (X) => (Y) {{ {'Y = Foo <s: string = @s> (X) ' * 40} }}",
        f's = "{LONG}"',
        "structure",
    ),
    "a name": (
        f"L (X) => (Y) {{ {'Y = Relu(X) ' * 40} }}",
        LONG,
        "structure",
    ),
    "constants of a function that stays": (
        f"L (X) => (Z) {{ {' '.join(f'T{n} = Constant <value_floats = [1.0]> ()' for n in range(40))} }}",
        "x",
        "tensors",
    ),
}


@pytest.mark.parametrize("what", MANY)
def test_what_calls_multiply(tmp_path: Path, what: str) -> None:
    """Every call has its own copy: what one holds is bounded with all that are written out."""
    body, given, limit = MANY[what]
    call = f"acme.L <{given}> (x)" if given.startswith("s =") else f"acme.L({given})"
    calls = " ".join(f"h{n} = {call}" for n in range(40 if given == "x" else 1))
    text = f"g (float[N, 40] {'x' if ' ' in given else given}) => (float[N, M] y) {{ {calls} y = Relu(h0) }}"
    path = save(parsed(f"{text} {LINEAR} {body}", {}), tmp_path)
    load(path)
    most = {"structure": 40 * len(LONG) / GIB, "tensors": 40 * 40 - 1}
    with pytest.raises(LimitError, match=f"raise it with --limit {limit}="):
        load(path, limits={limit: most[limit]})


def test_one_of_many_functions_cannot_be_converted(tmp_path: Path) -> None:
    """The others are inlined all the same."""
    calls = " ".join(f"h{n + 1} = acme.L{n}(h{n}, w)" for n in range(9))
    body = "(X, W) => (Y) { Y = MatMul(X, W) }"
    bodies = [
        f"{LINEAR} L{n} {body}"
        if n != 4
        else '<domain: "acme", opset_import: ["": 20]> L4 (X, W) => (Y) { G = Gelu(X) Y = MatMul(G, W) }'
        for n in range(9)
    ]
    text = f"g {IN_OUT} {{ h0 = Relu(x) {calls} y = Relu(h9) }} {' '.join(bodies)}"
    model = load(save(parsed(text, {"w": weights(40, 40)}), tmp_path))
    kinds = [node.op_type for node in model.nodes]
    assert (kinds.count("MatMul"), kinds.count("L4")) == (8, 1)


def test_no_function_can_be_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries that fail end: each is a copy of the whole model. What is tried alone then is inlined still."""
    monkeypatch.setattr(inliner, "_FREE_TRIES", 0)
    monkeypatch.setattr(inliner, "_TRIES", 6)
    tried: list[int] = []
    inline = onnx.inliner.inline_local_functions

    def counted(model: ModelProto, convert_version: bool) -> ModelProto:
        if len(model.graph.node) > 1:
            tried.append(len(model.functions))
        return inline(model, convert_version)

    monkeypatch.setattr(onnx.inliner, "inline_local_functions", counted)
    kinds = ["Gelu"] * 16 + ["Relu"] * 16
    calls = " ".join(f"h{n + 1} = acme.L{n:02}(h{n})" for n in range(32))
    text = f"g {IN_OUT} {{ h0 = Relu(x) {calls} y = Relu(h32) }}" + "".join(
        f'<domain: "acme", opset_import: ["": 20]> L{n:02} (X) => (Y) {{ Y = {kind}(X) }}'
        for n, kind in enumerate(kinds)
    )
    model = load(save(parsed(text, {}), tmp_path))
    assert len(tried) <= 12
    assert [node.op_type for node in model.nodes].count("Relu") == 18


def test_functions_in_functions_beside_many_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level of functions goes through calls alone; names are what onnx makes of them in the whole graph."""
    seen: list[int] = []
    inline = onnx.inliner.inline_local_functions

    def counted(model: ModelProto, convert_version: bool) -> ModelProto:
        seen.append(len(model.graph.node))
        return inline(model, convert_version)

    monkeypatch.setattr(onnx.inliner, "inline_local_functions", counted)
    relus = [" ".join(f"{name}{n} = Relu(x)" for n in range(100)) for name in "rs"]
    text = f"""g {IN_OUT} {{ {relus[0]} T__1 = Relu(x) h = acme.L0(x) T__2_0 = Relu(T__1) i = acme.L5(T__2_0)
        {relus[1]} j = acme.L0(i) y = Add(h, j) }}""" + "".join(
        f"{CALLER} L{n} (X) => (Y) {{ T = Relu(X) U = acme.L{n + 1}(T) T__1 = Neg(U) Y = Relu(T__1) }}"
        for n in range(9)
    )
    path = save(parsed(f"{text} {LINEAR} L9 (X) => (Y) {{ T = Abs(X) Y = Relu(T) }}", {}), tmp_path)
    found = load(path).proto.graph
    assert sum(seen) < 600
    monkeypatch.setattr(aside.Aside, "take", lambda *_: None)
    assert found == load(path).proto.graph
    assert sum(seen) > 2000


def test_a_function_that_is_not_there(tmp_path: Path) -> None:
    """It may be an operation that somebody registers: what it takes is skipped by its name."""
    text = f"""g {IN_OUT} {{ y = acme.L(x, w) }}
        {CALLER} L (X, W) => (Y) {{ Y = acme.Missing(X, W) }}"""
    (skipped,) = layers_of(save(parsed(text, {"w": W}), tmp_path))
    assert isinstance(skipped, Skipped)
    assert (skipped.weight, skipped.reason) == ("w", "unknown operation acme.Missing")


def test_damaged_functions(tmp_path: Path) -> None:
    """Whatever a function holds, the model is read or refused, with nothing but a message."""
    rng = np.random.default_rng(0)
    whole_file = parsed(CLOSED, {"W": weights(9, 9), "U": weights(9, 9), "v": weights(9, 2)})
    good: Any = bytearray(whole_file.SerializeToString())
    for _ in range(200):
        bad = bytearray(good)
        for place in rng.integers(0, len(bad), 4):
            bad[place] = rng.integers(0, 256)
        path = tmp_path / "bad.onnx"
        path.write_bytes(bad)
        with contextlib.suppress(ModelError):
            layers_of(path)
