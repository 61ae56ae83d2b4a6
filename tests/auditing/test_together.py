"""Many small layers are looked at together, and nothing in a report tells."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxtop.auditing import layers, pieces, together
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import ModelError
from onnxtop.work.options import WorkOptions
from tests.models import model, node, save

WAYS: list[dict[str, Any]] = [
    {},
    {"bias": "row"},
    {"structure": False},
    {"standardise": False},
    {"conv": "channels"},
    {"details": True, "sortedness": True},
    {"topology": False},
]


def many(folder: Path) -> Path:
    """Save a branch for every kind of small layer: dense with and without bias, float16, quantised, one that
    is not finite, groups, recurrent, a convolution; and one that is large."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    nodes, held, ends = [], {}, []
    for number in range(12):
        kind = number % 6
        weight, end = f"w{number}", f"e{number}"
        held[weight] = normal(6, 6) * (1 + number)
        if kind == 0:
            nodes.append(node("MatMul", f"x {weight}", end))
        elif kind == 1:
            held[f"b{number}"] = normal(6)
            nodes.append(node("Gemm", f"x {weight} b{number}", end, transB=1))
        elif kind == 2:
            held[weight] = held[weight].astype(np.float16)
            nodes += [node("Cast", weight, f"c{number}", to=1), node("MatMul", f"x c{number}", end)]
        elif kind == 3:
            held[weight] = rng.integers(-9, 9, (6, 6)).astype(np.int8)
            held[f"s{number}"] = np.float32(0.1)
            nodes.append(node("DequantizeLinear", f"{weight} s{number}", f"d{number}"))
            nodes.append(node("MatMul", f"x d{number}", end))
        elif kind == 4:
            held[weight][0, number % 5] = np.nan if number > 6 else 0
            nodes.append(node("MatMul", f"x {weight}", end))
        else:
            held[weight] = normal(2, 3, 6, 6)
            nodes.append(node("MatMul", f"i {weight}", f"m{number}"))
            nodes.append(node("ReduceSum", f"m{number}", end, keepdims=0))
        ends.append(end)
    held |= {"k": normal(6, 6, 1), "r0": normal(1, 24, 6), "r1": normal(1, 24, 6), "large": normal(6, 900)}
    nodes += [
        node("LSTM", "s r0 r1", "l", hidden_size=6),
        node("Conv", "t k", "v"),
        node("MatMul", "x large", "g"),
    ]
    inputs = {"x": [1, 6], "i": [2, 3, 1, 6], "s": [4, 1, 6], "t": [1, 6, 4]}
    outputs = dict.fromkeys((*ends, "l", "v", "g"))
    return save(model(nodes, held, inputs, outputs), folder, "many.onnx")


def text(path: Path, way: dict[str, Any], **work: Any) -> str:
    return json.dumps(audit(path, AuditOptions(**way, work=WorkOptions(**work))).to_dict())


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_same_as_one_by_one(way: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path)
    found = text(path, way)
    assert text(path, way, jobs=2) == found
    with monkeypatch.context() as patched:
        patched.setattr(together, "_CELLS", 72)  # two layers a stack
        assert text(path, way) == found
        patched.setattr(pieces, "_PIECE", 100)
        assert text(path, way) == found
    monkeypatch.setattr(together, "SMALL", 0)
    assert text(path, way) == found


def test_small_layers_of_one_kind_are_read_in_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks, alone = [], []
    looks, look = together._looks, layers._look
    monkeypatch.setattr(together, "_looks", lambda *given: stacks.append(len(given[1])) or looks(*given))
    monkeypatch.setattr(layers, "_look", lambda *given: alone.append(given[0].name) or look(*given))
    rng = np.random.default_rng(0)
    held = {f"w{n}": rng.standard_normal((8, 8)).astype(np.float32) for n in range(40)}
    held["w40"] = rng.standard_normal((8, 1024)).astype(np.float32)
    nodes = [node("MatMul", f"v{n} w{n}", f"v{n + 1}", name=f"l{n}") for n in range(41)]
    path = save(model(nodes, held, {"v0": [1, 8]}, {"v41": [1, 1024]}), tmp_path)
    assert len(audit(path).layers) == 41
    assert (stacks, alone) == ([40], ["l40"])


def test_a_small_layer_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path)
    blocks = layers.Layer.blocks

    def failing(layer: layers.Layer, **how: bool) -> Any:
        if layer.weight == "w7":
            raise ModelError("the file changed")
        return blocks(layer, **how)

    monkeypatch.setattr(layers.Layer, "blocks", failing)
    with pytest.raises(ModelError, match="the file changed"):
        audit(path)
