"""LSTM, GRU and RNN: the parts' matrices, applied by a small cell, give what the runtime gives."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import read_layers
from tests.models import MICROSOFT, model, node, save
from tests.reader import cells
from tests.reader.extraction import run
from tests.reader.quantised_models import codes

Array = np.ndarray[Any, Any]

HIDDEN, INPUTS, BATCH, STEPS = 3, 5, 2, 4
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def _held(op: str, directions: int, *, bias: bool = True, peepholes: bool = False) -> dict[str, Array]:
    gates = len(cells.GATES[op])
    held = {
        "w": _random(directions, gates * HIDDEN, INPUTS),
        "r": _random(directions, gates * HIDDEN, HIDDEN, seed=1),
    }
    if bias:
        held["b"] = _random(directions, 2 * gates * HIDDEN, seed=2)
    if peepholes:
        held["p"] = _random(directions, 3 * HIDDEN, seed=3)
    return held


def _model(op: str, held: Mapping[str, Array], direction: str, **options: Any) -> ModelProto:
    inputs = (
        f"x w r {'b' if 'b' in held else '-'} - h" + (" c" if op == "LSTM" else "") + " p" * ("p" in held)
    )
    feeds = {"x": None, "h": None} | ({"c": None} if op == "LSTM" else {})
    nodes = [node(op, inputs, "y", hidden_size=HIDDEN, direction=direction, name="cell", **options)]
    return model(nodes, dict(held), feeds)


def _parts(path: Path, *, peepholes: bool = False) -> dict[str, Layer]:
    found = read_layers(path, peepholes=peepholes)
    assert all(isinstance(layer, Layer) for layer in found), found
    return {layer.name: layer for layer in found if isinstance(layer, Layer)}


def _side(
    parts: Mapping[str, Layer], side: str, gates: str, ending: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    layers = {gate: parts[f"cell.{side}.{gate}{ending}"] for gate in gates}
    biases = {gate: layer.bias() for gate, layer in layers.items()}
    matrices = {gate: layer.matrix().astype(np.float64) for gate, layer in layers.items()}
    return matrices, {gate: np.zeros(HIDDEN) if bias is None else bias for gate, bias in biases.items()}


def _by_cell(
    op: str, parts: Mapping[str, Layer], direction: str, feeds: Mapping[str, Array], reset: int
) -> Array:
    """Return (steps, directions, batch, hidden)."""
    answers = []
    gates = cells.GATES[op]
    for number in range(DIRECTIONS[direction]):
        ending = ".reverse" if number else ""
        backward = direction == "reverse" or number == 1
        x = feeds["x"][::-1] if backward else feeds["x"]
        w, wb = _side(parts, "W", gates, ending)
        r, rb = _side(parts, "R", gates, ending)
        both = {gate: wb[gate] + rb[gate] for gate in gates}
        h = feeds["h"][number]
        if op == "GRU":
            found = cells.gru(x, h, w, r, wb, rb, linear_before_reset=reset)[0]
        elif op == "RNN":
            found = cells.rnn(x, h, w["i"], r["i"], both["i"])[0]
        else:
            names = {gate: f"cell.P.{gate}{ending}" for gate in "iof"}
            peepholes = None
            if names["i"] in parts:
                blocks = {gate: parts[name].blocks() for gate, name in names.items()}
                assert all(block.shape == (1, 1) for several in blocks.values() for block in several)
                peepholes = {gate: np.ravel(several) for gate, several in blocks.items()}
            found = cells.lstm(x, h, feeds["c"][number], w, r, both, peepholes)[0]
        answers.append(found[::-1] if backward else found)
    return np.stack(answers, axis=1)


def _feeds(op: str, directions: int) -> dict[str, Array]:
    feeds = {"x": _random(STEPS, BATCH, INPUTS, seed=9), "h": _random(directions, BATCH, HIDDEN, seed=8)}
    return feeds | ({"c": _random(directions, BATCH, HIDDEN, seed=7)} if op == "LSTM" else {})


CASES = [
    (op, direction, bias, reset)
    for op in ("LSTM", "GRU", "RNN")
    for direction in DIRECTIONS
    for bias in (True, False)
    for reset in ((0, 1) if op == "GRU" else (0,))
]


@pytest.mark.parametrize(("op", "direction", "bias", "reset"), CASES)
def test_the_parts_do_what_the_runtime_does(
    tmp_path: Path, op: str, direction: str, bias: bool, reset: int
) -> None:
    directions = DIRECTIONS[direction]
    options = {"linear_before_reset": reset} if op == "GRU" else {}
    proto = _model(op, _held(op, directions, bias=bias), direction, **options)
    feeds = _feeds(op, directions)
    parts = _parts(save(proto, tmp_path))
    assert len(parts) == 2 * directions * len(cells.GATES[op])
    found = _by_cell(op, parts, direction, feeds, reset)
    np.testing.assert_allclose(found, run(proto, feeds)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_peepholes(tmp_path: Path, direction: str) -> None:
    directions = DIRECTIONS[direction]
    proto = _model("LSTM", _held("LSTM", directions, peepholes=True), direction)
    feeds = _feeds("LSTM", directions)
    parts = _parts(save(proto, tmp_path), peepholes=True)
    assert len(parts) == (8 + 3) * directions
    found = _by_cell("LSTM", parts, direction, feeds, 0)
    np.testing.assert_allclose(found, run(proto, feeds)[0], rtol=0, atol=1e-5)


def test_peepholes_are_biases_unless_asked_for(tmp_path: Path) -> None:
    held = _held("LSTM", 1, peepholes=True)
    path = save(_model("LSTM", held, "forward"), tmp_path)
    assert not any(".P." in name for name in _parts(path))
    left = audit(path).coverage
    asked = audit(path, AuditOptions(peepholes=True)).coverage
    weights_ = 4 * HIDDEN * (INPUTS + HIDDEN)
    assert (left.parameters_analysed, left.biases) == (weights_, 8 * HIDDEN + 3 * HIDDEN)
    assert (asked.parameters_analysed, asked.biases) == (weights_ + 3 * HIDDEN, 8 * HIDDEN)


def test_the_first_direction_of_reverse_has_no_ending(tmp_path: Path) -> None:
    names = list(_parts(save(_model("RNN", _held("RNN", 1), "reverse"), tmp_path)))
    assert names == ["cell.W.i", "cell.R.i"]


def test_names_follow_the_standards_letters(tmp_path: Path) -> None:
    lstm = list(_parts(save(_model("LSTM", _held("LSTM", 2), "bidirectional"), tmp_path)))
    gru = list(_parts(save(_model("GRU", _held("GRU", 1), "forward"), tmp_path)))
    wanted = [
        f"cell.{side}.{gate}{ending}" for side in "WR" for ending in ("", ".reverse") for gate in "iofc"
    ]
    assert sorted(lstm) == sorted(wanted)
    assert sorted(gru) == sorted(f"cell.{side}.{gate}" for side in "WR" for gate in "zrh")


def test_recurrent_weights_behind_the_exporters_chain(tmp_path: Path) -> None:
    """PyTorch writes its own gate order and has the graph put it right: Slice, Concat, Unsqueeze."""
    torch_w, torch_r = _random(4 * HIDDEN, INPUTS), _random(4 * HIDDEN, HIDDEN, seed=1)
    held: dict[str, Array] = {"wt": torch_w, "rt": torch_r, "first": np.array([0])}
    nodes = []
    for letter in "wr":
        for gate, begin in zip("ifco", range(0, 4 * HIDDEN, HIDDEN), strict=True):
            held[f"{gate}0"], held[f"{gate}1"] = np.array([begin]), np.array([begin + HIDDEN])
            nodes.append(node("Slice", f"{letter}t {gate}0 {gate}1 first", f"{letter}{gate}"))
        nodes.append(node("Concat", " ".join(f"{letter}{gate}" for gate in "iofc"), f"{letter}s", axis=0))
        nodes.append(node("Unsqueeze", f"{letter}s first", letter))
    nodes.append(node("LSTM", "x w r - - h c", "y", hidden_size=HIDDEN, name="cell"))
    proto = model(nodes, held, {"x": None, "h": None, "c": None})
    parts = _parts(save(proto, tmp_path))
    feeds = _feeds("LSTM", 1)
    found = _by_cell("LSTM", parts, "forward", feeds, 0)
    np.testing.assert_allclose(found, run(proto, feeds)[0], rtol=0, atol=1e-5)
    coverage = audit(save(proto, tmp_path)).coverage
    assert coverage.parameters_analysed == torch_w.size + torch_r.size


def test_batch_first_changes_no_weight(tmp_path: Path) -> None:
    held = _held("GRU", 1)
    first = _parts(save(_model("GRU", held, "forward", layout=1), tmp_path))
    last = _parts(save(_model("GRU", held, "forward"), tmp_path))
    for name, layer in first.items():
        np.testing.assert_array_equal(layer.matrix(), last[name].matrix())


def test_weights_of_the_wrong_height_are_skipped(tmp_path: Path) -> None:
    """Eleven rows are no four gates, and three axes are needed."""
    for w in (_random(1, 11, INPUTS), _random(12, INPUTS), _random(1, 1, 12, INPUTS)):
        path = save(_model("LSTM", {"w": w, "r": _random(1, 12, 3, seed=1)}, "forward"), tmp_path)
        found = read_layers(path)
        assert not any(isinstance(layer, Layer) and layer.weight == "w" for layer in found)
        assert any(not isinstance(layer, Layer) and layer.weight == "w" and layer.reason for layer in found)


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("units", [(4, 4, 4), (5, 4, 4), (4, 5, 4), (4, 5, 5), (5, 5, 4)])
def test_weights_of_other_numbers_of_units(
    op: str, gates: int, units: tuple[int, int, int], tmp_path: Path
) -> None:
    """What of them agrees is measured; the graph of the network holds nothing that does not."""
    of_w, rows, columns = units
    held = {"w": _random(1, gates * of_w, 6), "r": _random(1, gates * rows, columns, seed=1)}
    path = save(model([node(op, "x w r", "y", hidden_size=of_w)], held, {"x": [2, 3, 6]}), tmp_path)
    report = audit(path)
    assert len(report.layers) == (2 if rows == columns else 0) * gates
    measured = report.network.deep_graph_persistence.normalized is not None
    assert measured == (units == (4, 4, 4))


@pytest.mark.parametrize("peepholes", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
def test_dynamic_quantize_lstm(
    tmp_path: Path, kind: str, per_channel: bool, direction: str, peepholes: bool
) -> None:
    """Check one step on unit inputs and states, which are quantised without error."""
    directions = DIRECTIONS[direction]
    wide = (directions, 4 * HIDDEN) if per_channel else (directions,)
    small = np.float32(1 / 64)
    signed = kind == "INT8"
    held: dict[str, Any] = {
        "w": codes(kind, directions, INPUTS, 4 * HIDDEN),
        "r": codes(kind, directions, HIDDEN, 4 * HIDDEN, seed=1),
        "b": _random(directions, 8 * HIDDEN),
        "ws": (1 + np.abs(_random(*wide, seed=4))) * small,
        "rs": (1 + np.abs(_random(*wide, seed=5))) * small,
        "wz": np.full(wide, 0 if signed else 120, np.int8 if signed else np.uint8),
        "rz": np.full(wide, 0 if signed else 131, np.int8 if signed else np.uint8),
    }
    if peepholes:
        held["p"] = _random(directions, 3 * HIDDEN, seed=3)
    if not per_channel:  # one zero point a direction, different ones
        held["wz"] = held["wz"] + np.arange(directions).astype(held["wz"].dtype)
    nodes = [
        node(
            f"{MICROSOFT}.DynamicQuantizeLSTM",
            f"x w r b - h c {'p' if peepholes else '-'} ws wz rs rz",
            "y",
            hidden_size=HIDDEN,
            direction=direction,
            name="cell",
        )
    ]
    proto = model(nodes, held, {"x": None, "h": None, "c": None})
    parts = _parts(save(proto, tmp_path), peepholes=True)
    assert {str(layer.encoding) for name, layer in parts.items() if ".P." not in name} == {
        f"{kind.lower()} {'per-channel' if per_channel else 'per-tensor'}"
    }
    units = np.eye(max(INPUTS, HIDDEN), dtype=np.float32)[: min(INPUTS, HIDDEN)]
    feeds = {
        "x": units[None, :, :INPUTS],
        "h": np.stack([units[::-1, :HIDDEN]] * directions),
        "c": _random(directions, len(units), HIDDEN, seed=6),
    }
    answer = run(proto, feeds)[0]
    assert len(parts) == (8 + 3 * peepholes) * directions
    np.testing.assert_allclose(_by_cell("LSTM", parts, direction, feeds, 0), answer, rtol=0, atol=1e-5)


def test_two_cells_that_share_a_weight(tmp_path: Path) -> None:
    held = {"w": _random(1, 12, 3), "r": _random(1, 12, 3, seed=1)}
    nodes = [
        node("LSTM", "x w r", "a", hidden_size=3, name="one"),
        node("Squeeze", "a first", "b"),
        node("LSTM", "b w r", "y", hidden_size=3, name="two"),
    ]
    path = save(model(nodes, {**held, "first": np.array([1])}), tmp_path)
    found = read_layers(path)
    assert len(found) == 8
    assert all(layer.uses == ("one", "two") for layer in found)
    assert audit(path).coverage.parameters_analysed == 2 * 36


def test_half_precision(tmp_path: Path) -> None:
    held = {name: array.astype(np.float16) for name, array in _held("GRU", 1).items()}
    inputs = "x w r b - h"
    proto = model(
        [node("GRU", inputs, "y", hidden_size=HIDDEN, name="cell")],
        held,
        {"x": None, "h": None},
        dtype=np.float16,
    )
    parts = _parts(save(proto, tmp_path))
    assert {str(layer.encoding) for layer in parts.values()} == {"float16"}
    gates = {name: layer.matrix() for name, layer in parts.items()}
    np.testing.assert_array_equal(gates["cell.W.h"], held["w"][0, 2 * HIDDEN :].T)
