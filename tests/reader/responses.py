"""Does a layer's matrix do what its node does? The runtime answers: inputs in, outputs compared.

Each check takes the constants of one node (computed without the reader, see `extraction`), lets onnxruntime
run the node on Gaussian and on unit inputs, and applies the layer's matrices to the same inputs in NumPy.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import read_layers
from tests.reader import cells
from tests.reader.extraction import Scope, load, run_node, run_nodes

Array = NDArray[Any]

ERRORS = {"float16": 4e-3, "float32": 2e-5, "float64": 1e-12}
"""Rounding of one sum of products, relative to the sum of their magnitudes."""


@dataclass(frozen=True, eq=False)
class Case:
    """One node with its constants, and the layers that the reader made of it, by part."""

    model: ModelProto
    node: NodeProto
    scope: Scope
    layers: Mapping[str, Layer]

    @property
    def layer(self) -> Layer:
        return self.layers[""]

    @property
    def attributes(self) -> dict[str, Any]:
        return {item.name: helper.get_attribute_value(item) for item in self.node.attribute}

    def operands(self) -> list[Array | None]:
        return [self.scope.constant(name) for name in self.node.input]

    def weight_position(self, *positions: int) -> int:
        """Return which operand is constant; exactly one has to be."""
        (found,) = (i for i in positions if self.scope.is_constant(self.node.input[i]))
        return found

    def run(self, inputs: Mapping[str, Array], held: Mapping[str, Array], **attributes: Any) -> Array:
        """Run a node of the case's kind in ONNX's own domain, with these operands in this order."""
        node = helper.make_node(self.node.op_type, [*inputs, *held], ["y"], **attributes)
        return run_nodes(self.model, [node], dict(held), dict(inputs), "y")


def probes(n: int, dtype: Any, count: int = 4) -> Array:
    """Return Gaussian rows and unit rows."""
    rng = np.random.default_rng(n)
    dense = rng.normal(size=(count, n))
    units = np.zeros((count, n))
    units[np.arange(count), rng.integers(0, n, count)] = 1
    return np.concatenate([dense, units]).astype(dtype)


def applied(x: Array, matrix: Array) -> tuple[Array, Array]:
    """Return the product in float64, and the sum of its terms' magnitudes."""
    x, matrix = x.astype(np.float64), matrix.astype(np.float64)
    return x @ matrix, np.abs(x) @ np.abs(matrix)


def assert_answers(found: Array, wanted: tuple[Array, Array], what: str) -> None:
    """Compare the runtime's answer with the matrix's."""
    expected, magnitude = wanted
    assert found.shape == expected.shape, f"{what}: {found.shape} from the runtime, {expected.shape} from us"
    bound = ERRORS[found.dtype.name] * magnitude + 1e-7 * (found.dtype == np.float16) + 1e-30
    wrong = ~(np.abs(found.astype(np.float64) - expected) <= bound)
    assert not wrong.any(), (
        f"{what}: {wrong.sum()} of {wrong.size} answers differ, "
        f"by up to {np.abs(found - expected)[wrong].max()} of {np.abs(expected).max()}"
    )


def product(case: Case) -> None:
    """MatMul and Gemm: x @ W, or W @ x; a bias is left out."""
    options = {key: case.attributes[key] for key in ("alpha", "transA", "transB") if key in case.attributes}
    position = case.weight_position(0, 1)
    weight = case.operands()[position]
    assert weight is not None
    blocks = case.layer.blocks()
    batch = weight.shape[:-2]
    assert len(blocks) == math.prod(batch)
    x = np.stack([probes(len(block), weight.dtype) for block in blocks])
    x = x.reshape(*batch, *x.shape[-2:])
    if position == 1:
        fed = x.swapaxes(-1, -2) if options.get("transA") else x
        y = _product(case, ["x", "w"], weight, fed, options)
    else:
        fed = x if options.get("transB") else x.swapaxes(-1, -2)
        y = _product(case, ["w", "x"], weight, fed, options).swapaxes(-1, -2)
    flat = x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:])
    for entry, answer, block in zip(*flat, blocks, strict=True):
        assert_answers(answer, applied(entry, block), case.layer.name)


def _product(case: Case, order: list[str], weight: Array, x: Array, options: Mapping[str, Any]) -> Array:
    held = {"w": weight}
    if case.node.op_type == "Gemm":  # the bias was no option before opset 11
        held["c"] = np.zeros(1, weight.dtype)
        order = [*order, "c"]
    node = helper.make_node(case.node.op_type, order, ["y"], **options)
    return run_nodes(case.model, [node], held, {"x": x}, "y")


def convolution(case: Case) -> None:
    """Check Conv on inputs just as large as the kernel: one answer a channel, no padding."""
    weight = case.operands()[1]
    assert weight is not None
    if case.node.domain.endswith("channels_last"):
        weight = np.moveaxis(weight, -1, 1)
    group = case.attributes.get("group", 1)
    taps = weight.shape[2:]
    dilations = case.attributes.get("dilations") or [1] * len(taps)
    x, rows = _patches(weight, group, dilations, weight.dtype)
    y = case.run({"x": x}, {"w": weight}, group=group, dilations=dilations)
    _compare_groups(case, y.reshape(len(x), group, -1), rows)


def _patches(weight: Array, group: int, dilations: Sequence[int], dtype: Any) -> tuple[Array, Array]:
    """Return inputs (probes, channels, *span), and the cells that the taps see (groups, probes, n_in)."""
    taps = weight.shape[2:]
    span = [(tap - 1) * dilation + 1 for tap, dilation in zip(taps, dilations, strict=True)]
    rows = probes(group * weight.shape[1] * math.prod(taps), dtype)
    x = np.zeros((len(rows), group * weight.shape[1], *span), dtype)
    seen = (slice(None), slice(None), *(slice(None, None, dilation) for dilation in dilations))
    x[seen] = rows.reshape(len(rows), -1, *taps)
    return x, rows.reshape(len(rows), group, -1).swapaxes(0, 1)


def _compare_groups(case: Case, y: Array, rows: Array) -> None:
    blocks = case.layer.blocks()
    kernel = case.layer.kernel()
    assert kernel is not None
    assert len(blocks) == len(rows) == kernel.groups
    for group, (block, row) in enumerate(zip(blocks, rows, strict=True)):
        assert_answers(y[:, group], applied(row, block), case.layer.name)
        by_kernel = kernel.weights[group].reshape(block.shape[1], -1).T
        np.testing.assert_array_equal(by_kernel, block)


def transposed_convolution(case: Case) -> None:
    """Check ConvTranspose on one position, which spreads the kernel."""
    weight = case.operands()[1]
    assert weight is not None
    group = case.attributes.get("group", 1)
    taps = weight.shape[2:]
    dilations = case.attributes.get("dilations") or [1] * len(taps)
    x = probes(weight.shape[0], weight.dtype)
    y = case.run(
        {"x": x.reshape(*x.shape, *[1] * len(taps))}, {"w": weight}, group=group, dilations=dilations
    )
    y = y[(slice(None), slice(None), *(slice(None, None, dilation) for dilation in dilations))]
    y = y.reshape(len(x), group, -1, math.prod(taps))
    for number, block in enumerate(case.layer.blocks()):
        rows = x.reshape(len(x), group, -1)[:, number]
        by_tap = block.reshape(rows.shape[1], math.prod(taps), -1)  # rows are channels in times taps
        for tap in range(by_tap.shape[1]):
            assert_answers(y[:, number, :, tap], applied(rows, by_tap[:, tap]), case.layer.name)


def table(case: Case) -> None:
    """Gather: each entry of the table is a row."""
    data = case.operands()[0]
    assert data is not None
    axis = case.attributes.get("axis", 0)
    size = data.shape[axis]
    indices = np.unique(np.random.default_rng(size).integers(0, size, 1000))
    y = case.run({}, {"data": data, "indices": indices}, axis=axis)
    for node in case.scope.graph.node:  # codes may be decoded behind the look-up
        if node.op_type == "DequantizeLinear" and node.input[0] == case.node.output[0]:
            held = {name: case.scope.constant(name) for name in node.input[1:]}
            y = run_node(case.model, node, {node.input[0]: y, **held}, wanted=node.output[0])
    found = np.moveaxis(y, axis, 0).reshape(len(indices), -1)
    np.testing.assert_array_equal(found, case.layer.matrix()[indices], err_msg=case.layer.name)


def integer(case: Case) -> None:
    """Check MatMulInteger and ConvInteger, scaled as the graph does it, with the activation's scale at 1."""
    position = 1 if case.node.op_type == "ConvInteger" else case.weight_position(0, 1)
    weight = case.operands()[position]
    assert weight is not None
    convolves = case.node.op_type == "ConvInteger"
    group = case.attributes.get("group", 1)
    if convolves:
        dilations = case.attributes.get("dilations") or [1] * (weight.ndim - 2)
        x, rows = _patches(weight, group, dilations, np.uint8)
    else:
        assert weight.ndim == 2
        rows = probes(weight.shape[1 - position], np.float64).clip(0, 3).astype(np.uint8)
        x = rows if position == 1 else rows.T
    y = _scaled(case, position, x, {"group": group, "dilations": dilations} if convolves else {})
    if convolves:
        _compare_groups(case, y.reshape(len(x), group, -1), rows)
    else:
        assert_answers(y if position == 1 else y.T, applied(rows, case.layer.matrix()), case.layer.name)


def _scaled(case: Case, position: int, x: Array, options: Mapping[str, Any]) -> Array:
    """Run the node and what follows it up to the product with the activation's scale."""
    held: dict[str, Array] = {}
    names = []
    for number, name in enumerate(case.node.input):
        value = case.scope.constant(name)
        if number == 1 - position:
            names.append("x")
        elif value is not None:
            held[name] = value
            names.append(name)
        elif name:  # the activation's zero point
            held["nothing"] = np.zeros((), np.uint8)
            names.append("nothing")
        else:
            names.append("")
    nodes = [helper.make_node(case.node.op_type, names, [case.node.output[0]], **options)]
    value = case.node.output[0]
    while True:
        (user,) = (node for node in case.scope.graph.node if value in node.input)
        nodes.append(user)
        others = [name for name in user.input if name != value]
        value = user.output[0]
        for other in others:
            constant = case.scope.constant(other)
            if constant is not None:
                held[other] = constant
                continue
            assert user.op_type == "Mul"
            scale = case.scope.producers[other]
            if scale.op_type == "Mul":  # of the activation's scale and the weight's
                nodes.insert(0, scale)
                for name in scale.input:
                    constant = case.scope.constant(name)
                    held[name] = np.ones((), np.float32) if constant is None else constant
            else:
                assert scale.op_type == "DynamicQuantizeLinear"
                held[other] = np.ones((), np.float32)
            return run_nodes(case.model, nodes, held, {"x": x}, value)


def recurrent(case: Case) -> None:
    """LSTM, GRU and RNN: a small cell with the parts' matrices does what the runtime does."""
    op = case.node.op_type
    w, r, b, p = (_operand(case, position) for position in (1, 2, 3, 7))
    assert w is not None
    assert r is not None
    directions, hidden = r.shape[0], r.shape[2]
    rng = np.random.default_rng(hidden)
    x, h, c = (
        rng.normal(size=size).astype(w.dtype)
        for size in ((3, 2, w.shape[2]), (directions, 2, hidden), (directions, 2, hidden))
    )
    held = {"w": w, "r": r}
    feeds = {"x": x, "h": h}
    order = ["x", "w", "r", "", "", "h"]
    if b is not None:
        held["b"], order[3] = b, "b"
    if op == "LSTM":
        feeds["c"] = c
        order.append("c")
        if p is not None:
            held["p"] = p
            order.append("p")
    reverse = case.attributes.get("direction", b"forward")
    options: dict[str, Any] = {"hidden_size": hidden, "direction": reverse}
    reset = case.attributes.get("linear_before_reset", 0)
    if op == "GRU":
        options["linear_before_reset"] = reset
    node = helper.make_node(op, order, ["y"], **options)
    y = run_nodes(case.model, [node], held, feeds, "y").astype(np.float64)
    backwards = {b"forward": [False], b"reverse": [True], b"bidirectional": [False, True]}[reverse]
    for direction, backward in enumerate(backwards):
        ending = ".reverse" if direction else ""
        steps = x[::-1] if backward else x
        found = _cell(case, op, ending, steps, h[direction], c[direction], reset)
        expected = y[::-1, direction] if backward else y[:, direction]
        np.testing.assert_allclose(
            found,
            expected,
            rtol=0,
            atol=5e-3 if w.dtype == np.float16 else 2e-5,
            err_msg=case.layers["W.i"].name if "W.i" in case.layers else case.node.name,
        )


def _operand(case: Case, position: int) -> Array | None:
    return case.scope.constant(case.node.input[position]) if position < len(case.node.input) else None


def _cell(case: Case, op: str, ending: str, x: Array, h: Array, c: Array, reset: int) -> Array:
    gates = cells.GATES[op]
    w = {gate: _matrix(case, f"W.{gate}{ending}") for gate in gates}
    r = {gate: _matrix(case, f"R.{gate}{ending}") for gate in gates}
    wb = {gate: _bias(case, f"W.{gate}{ending}") for gate in gates}
    rb = {gate: _bias(case, f"R.{gate}{ending}") for gate in gates}
    x, h, c = (item.astype(np.float64) for item in (x, h, c))
    if op == "GRU":
        return cells.gru(x, h, w, r, wb, rb, linear_before_reset=reset)[0]
    b = {gate: wb[gate] + rb[gate] for gate in gates}
    if op == "RNN":
        return cells.rnn(x, h, w["i"], r["i"], b["i"])[0]
    peepholes = None
    if f"P.i{ending}" in case.layers:
        peepholes = {
            gate: np.array([block.item() for block in case.layers[f"P.{gate}{ending}"].blocks()], np.float64)
            for gate in "iof"
        }
    return cells.lstm(x, h, c, w, r, b, peepholes)[0]


def _matrix(case: Case, part: str) -> Array:
    return case.layers[part].matrix().astype(np.float64)


def _bias(case: Case, part: str) -> Array:
    bias = case.layers[part].bias()
    return np.zeros(case.layers[part].n_out) if bias is None else bias


def dynamic_lstm(case: Case) -> None:
    """Check DynamicQuantizeLSTM for one step on unit inputs and states, which quantise without error."""
    arrays = {position: _operand(case, position) for position in (1, 2, 3, 7, 8, 9, 10, 11)}
    w, r = arrays[1], arrays[2]
    assert w is not None
    assert r is not None
    directions, n_in, hidden = w.shape[0], w.shape[1], w.shape[2] // 4
    x = probes(n_in, np.float32)[4:][None]
    h = np.stack([probes(hidden, np.float32)[4:]] * directions)
    c = np.random.default_rng(0).normal(size=h.shape).astype(np.float32)
    order = ["x", "p1", "p2", "p3", "", "h", "c", "p7", "p8", "p9", "p10", "p11"]
    held = {f"p{position}": array for position, array in arrays.items() if array is not None}
    order = [name if name in ("x", "h", "c") or name in held else "" for name in order]
    direction = case.attributes.get("direction", b"forward")
    node = helper.make_node(
        "DynamicQuantizeLSTM", order, ["y"], domain="com.microsoft", hidden_size=hidden, direction=direction
    )
    y = run_nodes(case.model, [node], held, {"x": x, "h": h, "c": c}, "y")
    for number in range(directions):
        found = _cell(case, "LSTM", ".reverse" if number else "", x, h[number], c[number], 0)
        np.testing.assert_allclose(found, y[:, number], rtol=0, atol=2e-5, err_msg=case.node.name)


def coded(case: Case) -> None:
    """QLinearConv, QLinearMatMul, QGemm: the weight, decoded by the runtime, is the float operation's."""
    op, position, axis = {
        "QLinearConv": ("Conv", 3, 0),
        "QLinearMatMul": ("MatMul", 3, -1),
        "QGemm": ("Gemm", 3, 0 if case.attributes.get("transB") else -1),
    }[case.node.op_type]
    assert case.scope.is_constant(case.node.input[position])
    q, s, z = (case.scope.constant(name) for name in case.node.input[position : position + 3])
    assert q is not None
    assert s is not None
    held = {"q": q, "s": s.reshape(()) if s.size == 1 else s}
    if z is not None:
        held["z"] = z.reshape(held["s"].shape)
    node = helper.make_node("DequantizeLinear", list(held), ["w"], axis=axis % q.ndim)
    weight = run_nodes(case.model, [node], held, {}, "w")
    kept = [item for item in case.node.attribute if item.name in ("group", "dilations", "transB", "alpha")]
    plain = helper.make_node(op, ["x", "w"], ["y"])
    plain.attribute.extend(kept)
    {"Conv": convolution}.get(op, product)(
        Case(case.model, plain, _Given({"w": weight}), case.layers)  # type: ignore[arg-type]
    )


@dataclass(frozen=True, eq=False)
class _Given:
    """A scope that knows a few constants by name."""

    arrays: Mapping[str, Array]

    def constant(self, name: str) -> Array | None:
        return self.arrays.get(name)

    def is_constant(self, name: str) -> bool:
        return name in self.arrays


def n_bits(case: Case) -> None:
    """MatMulNBits on Gaussian and unit rows."""
    held = {f"p{i}": _operand(case, i) for i in range(1, 5)}
    order = ["x", *(name if array is not None else "" for name, array in held.items())]
    while not order[-1]:
        order.pop()
    node = helper.make_node("MatMulNBits", order, ["y"], domain="com.microsoft")
    node.attribute.extend(item for item in case.node.attribute if item.name != "accuracy_level")
    x = probes(case.attributes["K"], np.float32)
    kept = {name: array for name, array in held.items() if array is not None}
    y = run_nodes(case.model, [node], kept, {"x": x}, "y")
    assert_answers(y, applied(x, case.layer.matrix()), case.layer.name)


CHECKS: Mapping[str, Callable[[Case], None]] = {
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "ConvInteger": integer,
    "GRU": recurrent,
    "Gather": table,
    "Gemm": product,
    "LSTM": recurrent,
    "MatMul": product,
    "MatMulInteger": integer,
    "QLinearConv": coded,
    "QLinearMatMul": coded,
    "RNN": recurrent,
    "com.microsoft.DynamicQuantizeLSTM": dynamic_lstm,
    "com.microsoft.MatMulNBits": n_bits,
    "com.microsoft.QGemm": coded,
    "qonnx.custom_op.channels_last.Conv": convolution,
}


def _key(node: NodeProto) -> tuple[Any, ...]:
    return node.domain, node.op_type, node.name, tuple(node.input), tuple(node.output)


def check_model(path: Path) -> tuple[int, list[str]]:
    """Hold every layer of a model against its node; return how many were, and what is wrong."""
    layers = [layer for layer in read_layers(path, peepholes=True) if not isinstance(layer, Skipped)]
    model = load(path)
    places: dict[tuple[Any, ...], list[tuple[NodeProto, Scope]]] = defaultdict(list)
    for node, scope in Scope(model, model.graph).walk():
        places[_key(node)].append((node, scope))
    groups: dict[int, list[Layer]] = defaultdict(list)
    for layer in layers:
        groups[layer.source.node.number].append(layer)
    wrong = []
    for _, group in sorted(groups.items()):
        proto = group[0].source.node.origin
        parts = {layer.source.node.part or layer.source.reading.part: layer for layer in group}
        reason = _check_at(model, parts, group[0].op_type, places[_key(proto)])
        if reason:
            wrong.append(f"{group[0].name} ({group[0].op_type}, {group[0].encoding}): {reason}")
    return len(layers), wrong


def _check_at(
    model: ModelProto, parts: Mapping[str, Layer], op_type: str, places: list[tuple[NodeProto, Scope]]
) -> str:
    """Try the places that look alike (branches may repeat names); each answers for one node only."""
    reason = "its node is not in the file"
    for place in list(places):
        node, scope = place
        try:
            CHECKS[op_type](Case(model, node, scope, parts))
        except AssertionError as error:
            reason = str(error).strip()
            continue
        places.remove(place)
        return ""
    return reason
