"""Fused attention and fused embeddings: packed projections, split as the runtime splits them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import read_layers
from tests.models import MICROSOFT, model, node, save
from tests.reader.extraction import run
from tests.reader.quantised_models import codes, scales

Array = np.ndarray[Any, Any]

TOKENS, INPUTS, HEADS = 3, 6, 2


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def _layers(path: Path) -> dict[str, Layer]:
    found = read_layers(path)
    assert all(isinstance(layer, Layer) for layer in found), found
    return {layer.name: layer for layer in found if isinstance(layer, Layer)}


def _attend(x: Array, layers: dict[str, Layer], heads: int, name: str = "attend") -> Array:
    """Return softmax(q k' / sqrt(d)) v, head by head, from the layers alone; x is (tokens, inputs)."""
    sides = {}
    for letter in "qkv":
        layer = layers[f"{name}.{letter}"]
        bias = layer.bias()
        sides[letter] = x.astype(np.float64) @ layer.matrix() + (0 if bias is None else bias)
    answers = []
    for q, k, v in zip(*(np.split(sides[letter], heads, axis=1) for letter in "qkv"), strict=True):
        strength = np.exp(q @ k.T / math.sqrt(q.shape[1]))
        answers.append(strength / strength.sum(axis=1, keepdims=True) @ v)
    return np.concatenate(answers, axis=1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [None, (8, 8, 8), (4, 4, 10), (12, 12, 2)])
def test_attention(tmp_path: Path, sizes: Sequence[int] | None, bias: bool) -> None:
    columns = sum(sizes) if sizes else 12
    held = {"w": _random(INPUTS, columns)}
    if bias:
        held["b"] = _random(columns, seed=1)
    options: dict[str, Any] = {"num_heads": HEADS} | ({"qkv_hidden_sizes": list(sizes)} if sizes else {})
    proto = model([node(f"{MICROSOFT}.Attention", "x w" + " b" * bias, name="attend", **options)], held)
    layers = _layers(save(proto, tmp_path))
    x = _random(TOKENS, INPUTS, seed=2)
    assert {name: (layer.n_in, layer.n_out) for name, layer in layers.items()} == {
        f"attend.{letter}": (INPUTS, size) for letter, size in zip("qkv", sizes or (4, 4, 4), strict=True)
    }
    if not bias:  # onnxruntime 1.31 crashes without
        proto.graph.node[0].input.append("b")
        proto.graph.initializer.append(numpy_helper.from_array(np.zeros(columns, np.float32), "b"))
    (answer,) = run(proto, {"x": x[None]})
    np.testing.assert_allclose(_attend(x, layers, HEADS), answer[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["INT8", "UINT8"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_qattention(tmp_path: Path, kind: str, per_channel: bool) -> None:
    """The tokens are codes too: with scale 1 they are what they say."""
    wide = (12,) if per_channel else ()
    held: dict[str, Any] = {
        "w": codes(kind, INPUTS, 12),
        "b": _random(12),
        "one": np.float32(1),
        "none": np.uint8(0),
        "s": scales(*wide) / np.float32(256),
        "z": codes(kind, *wide, seed=1),
    }
    nodes = [node(f"{MICROSOFT}.QAttention", "x w b one s - none z", name="attend", num_heads=HEADS)]
    proto = model(nodes, held)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    layers = _layers(save(proto, tmp_path))
    assert {str(layer.encoding) for layer in layers.values()} == {
        f"{kind.lower()} {'per-channel' if per_channel else 'per-tensor'}"
    }
    x = np.random.default_rng(0).integers(0, 3, (TOKENS, INPUTS)).astype(np.uint8)
    (answer,) = run(proto, {"x": x[None]})
    np.testing.assert_allclose(_attend(x, layers, HEADS), answer[0], rtol=0, atol=1e-4)


def test_packed_columns_are_counted_once(tmp_path: Path) -> None:
    held = {"w": _random(INPUTS, 12), "b": _random(12)}
    proto = model([node(f"{MICROSOFT}.Attention", "x w b", name="attend", num_heads=HEADS)], held)
    coverage = audit(save(proto, tmp_path)).coverage
    assert (coverage.parameters_analysed, coverage.biases, coverage.fraction) == (72, 12, 1)


@pytest.mark.parametrize("sizes", [(4, 4, 3), (8, 8, 8), (4, 4), (4, 4, 2, 2), (0, 6, 6), (-4, 8, 8)])
def test_sizes_that_do_not_fit_are_a_reason(tmp_path: Path, sizes: Sequence[int]) -> None:
    options = {"num_heads": HEADS, "qkv_hidden_sizes": list(sizes)}
    proto = model([node(f"{MICROSOFT}.Attention", "x w", **options)], {"w": _random(INPUTS, 12)})
    found = read_layers(save(proto, tmp_path))
    assert found
    assert not any(isinstance(layer, Layer) for layer in found)


def test_columns_that_three_does_not_divide_are_a_reason(tmp_path: Path) -> None:
    proto = model([node(f"{MICROSOFT}.Attention", "x w", num_heads=1)], {"w": _random(INPUTS, 11)})
    found = read_layers(save(proto, tmp_path))
    assert found
    assert not any(isinstance(layer, Layer) for layer in found)


def test_longformer_attention_by_its_definition(tmp_path: Path) -> None:
    """Compare with the operator's documentation: the runtime has it for GPUs only."""
    held = {"w": _random(4, 12), "b": _random(12), "gw": _random(4, 12, seed=1), "gb": _random(12, seed=1)}
    nodes = [
        node(f"{MICROSOFT}.LongformerAttention", "x w b m gw gb g", name="attend", num_heads=2, window=2)
    ]
    layers = _layers(save(model(nodes, held, {"x": None, "m": None, "g": None}), tmp_path))
    assert list(layers) == [
        "attend.q",
        "attend.k",
        "attend.v",
        "attend.global.q",
        "attend.global.k",
        "attend.global.v",
    ]
    for number, letter in enumerate("qkv"):
        columns = slice(4 * number, 4 * number + 4)
        np.testing.assert_array_equal(layers[f"attend.{letter}"].matrix(), held["w"][:, columns])
        np.testing.assert_array_equal(layers[f"attend.{letter}"].bias(), held["b"][columns])
        np.testing.assert_array_equal(layers[f"attend.global.{letter}"].matrix(), held["gw"][:, columns])
        np.testing.assert_array_equal(layers[f"attend.global.{letter}"].bias(), held["gb"][columns])


def test_decoder_attention_by_its_definition(tmp_path: Path) -> None:
    held = {"q": _random(4, 4), "kv": _random(4, 8), "b": _random(12)}
    flags = "a b2 c d"
    nodes = [node(f"{MICROSOFT}.DecoderAttention", f"x k q kv b - - - {flags}", name="attend", num_heads=2)]
    layers = _layers(save(model(nodes, held, {"x": None, "k": None}), tmp_path))
    np.testing.assert_array_equal(layers["attend.q"].matrix(), held["q"])
    np.testing.assert_array_equal(layers["attend.k"].matrix(), held["kv"][:, :4])
    np.testing.assert_array_equal(layers["attend.v"].matrix(), held["kv"][:, 4:])


def test_embed_layer_normalization(tmp_path: Path) -> None:
    """The sum before the normalisation is the rows' sum: the third result of the operation."""
    held = {
        "word": _random(9, 6),
        "position": _random(5, 6, seed=1),
        "segment": _random(2, 6, seed=2),
        "gamma": np.ones(6, np.float32),
        "beta": np.zeros(6, np.float32),
    }
    nodes = [
        node(
            f"{MICROSOFT}.EmbedLayerNormalization",
            "ids seg word position segment gamma beta",
            "y mask sum",
            name="embed",
        )
    ]
    proto = _integers(model(nodes, held, {"ids": None, "seg": None}, ["sum"]))
    layers = _layers(save(proto, tmp_path))
    assert list(layers) == ["embed.word", "embed.position", "embed.segment"]
    ids, seg = np.array([[3, 8, 0, 1, 3]], np.int32), np.array([[0, 1, 1, 0, 1]], np.int32)
    (answer,) = run(proto, {"ids": ids, "seg": seg})
    word, position, segment = (layer.matrix() for layer in layers.values())
    np.testing.assert_allclose(answer[0], word[ids[0]] + position[:5] + segment[seg[0]], rtol=1e-6)
    coverage = audit(save(proto, tmp_path)).coverage
    assert (coverage.parameters_analysed, coverage.normalisation) == (9 * 6 + 5 * 6 + 2 * 6, 12)


def test_embed_layer_normalization_in_codes(tmp_path: Path) -> None:
    """Normalised, but with a scale of 1 and no shift: compare what normalisation leaves."""
    held: dict[str, Any] = {
        "word": codes("UINT8", 9, 6),
        "position": codes("UINT8", 5, 6, seed=1),
        "segment": codes("UINT8", 2, 6, seed=2),
        "gamma": codes("UINT8", 6, seed=3),
        "beta": codes("UINT8", 6, seed=4),
        "ws": np.float32(0.25),
        "ps": np.float32(0.5),
        "ss": np.float32(0.125),
        "gs": np.float32(0.01),
        "bs": np.float32(0.02),
        "wz": np.uint8(100),
        "pz": np.uint8(120),
        "sz": np.uint8(90),
        "gz": np.uint8(10),
        "bz": np.uint8(20),
    }
    order = "ids seg word position segment gamma beta - ws ps ss gs bs wz pz sz gz bz"
    nodes = [node(f"{MICROSOFT}.QEmbedLayerNormalization", order, "y mask", name="embed", epsilon=1e-12)]
    proto = _integers(model(nodes, held, {"ids": None, "seg": None}))
    layers = _layers(save(proto, tmp_path))
    assert {str(layer.encoding) for layer in layers.values()} == {"uint8 per-tensor"}
    ids, seg = np.array([[3, 8, 0, 1, 3]], np.int32), np.array([[0, 1, 1, 0, 1]], np.int32)
    (answer,) = run(proto, {"ids": ids, "seg": seg})
    word, position, segment = (layers[f"embed.{name}"].matrix() for name in ("word", "position", "segment"))
    total = (word[ids[0]] + position[:5] + segment[seg[0]]).astype(np.float64)
    gamma = (np.frombuffer(held["gamma"].raw_data, np.uint8).astype(float) - 10) * 0.01
    beta = (np.frombuffer(held["beta"].raw_data, np.uint8).astype(float) - 20) * 0.02
    centred = total - total.mean(axis=1, keepdims=True)
    wanted = centred / centred.std(axis=1, keepdims=True) * gamma + beta
    np.testing.assert_allclose(answer[0], wanted, rtol=0, atol=1e-4)


def _integers(proto: ModelProto) -> ModelProto:
    for value in proto.graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT32
    return proto


def test_an_attention_without_weights_of_its_own(tmp_path: Path) -> None:
    """MultiHeadAttention and ONNX's Attention take what was projected before."""
    for op, domain in (("MultiHeadAttention", MICROSOFT), ("Attention", "")):
        made = helper.make_node(op, ["q", "k", "v"], ["y"], domain=domain)
        if domain:
            made.attribute.append(helper.make_attribute("num_heads", 2))
        proto = model([made], {}, {"q": None, "k": None, "v": None}, opset=23)
        assert read_layers(save(proto, tmp_path)) == []
