"""Fused attention and fused embeddings: packed projections, split as the runtime splits them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from onnxtop.auditing.story import audit
from onnxtop.reader.connectivity import Connected
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import read_layers
from tests.connectivity_truth import connected, reach_table
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


# Attention whose queries, keys or values are constants: latents, or a memory that is learned.

ENTRIES, LATENTS, MEMORY = 8, 5, 4
HELD = ["k", "v", "kv", "q", "qv"]


@dataclass(frozen=True)
class Attended:
    """An attention over projections of x, with some of its operands constants of the model."""

    held: str
    heads: tuple[int, int]
    samples: int = 1
    by_head: bool = False
    op: str = "Attention"

    @property
    def depth(self) -> int:
        return ENTRIES // self.heads[0]

    def count(self, part: str) -> int:
        return self.heads[part != "q"]

    def length(self, part: str) -> int:
        """Return how many positions a constant has: a key has as many as a value that x makes."""
        return LATENTS if part == "q" else MEMORY if "kv" in self.held else TOKENS

    def arrays(self) -> dict[str, Array]:
        """Return the constants (sample, position, all), and the projections of the other operands."""
        wide = {part: self.count(part) * self.depth for part in "qkv"}
        sizes = {
            part: (self.samples, self.length(part)) if part in self.held else (INPUTS,) for part in "qkv"
        }
        return {part: _random(*sizes[part], wide[part], seed=ord(part)) for part in "qkv"}

    def split(self, array: Array, part: str) -> Array:
        """Return (sample, head, position, entry) of (sample, position, all)."""
        return array.reshape(*array.shape[:2], self.count(part), self.depth).transpose(0, 2, 1, 3)

    def nodes(self) -> tuple[list[Any], dict[str, Any]]:
        """Return what makes the operands that are no constants, and the constants."""
        nodes, held = [], dict[str, Any]()
        for part, array in self.arrays().items():
            if part in self.held:
                held[part] = np.ascontiguousarray(self.split(array, part)) if self.by_head else array
                continue
            held |= {f"w{part}": array, f"s{part}": np.array([0, 0, self.count(part), self.depth])}
            nodes.append(node("MatMul", f"x w{part}", f"{part}0" if self.by_head else part))
            if self.by_head:
                nodes.append(node("Reshape", f"{part}0 s{part}", f"{part}1"))
                nodes.append(node("Transpose", f"{part}1", part, perm=[0, 2, 1, 3]))
        return nodes, held

    def proto(self) -> ModelProto:
        nodes, held = self.nodes()
        names = () if self.by_head else ("q_num_heads", "kv_num_heads")
        options = dict(zip(names if self.op == "Attention" else ("num_heads",), self.heads, strict=False))
        nodes.append(node(self.op, "q k v", name="attend", **options))
        return model(nodes, held, {"x": (self.samples, TOKENS, INPUTS)}, opset=23)

    def written_out(self) -> ModelProto:
        """Return the same network in products of matrices."""
        nodes, held = replace(self, by_head=True).nodes()
        if "k" in self.held:
            held["turned"] = np.ascontiguousarray(held.pop("k").swapaxes(2, 3))
        else:
            nodes.append(node("Transpose", "k", "turned", perm=[0, 1, 3, 2]))
        nodes += [node("MatMul", "q turned", "s"), node("Softmax", "s", "p"), node("MatMul", "p v", "m")]
        nodes += [node("Transpose", "m", "t", perm=[0, 2, 1, 3]), node("Reshape", "t flat")]
        held["flat"] = np.array([0, 0, ENTRIES])
        return model(nodes, held, {"x": (self.samples, TOKENS, INPUTS)})

    def answer(self, x: Array, layers: dict[str, Layer]) -> Array:
        """Return softmax(q k' / sqrt(d)) v, sample by sample and head by head, from the layers alone."""
        made = {p: self.split(x @ a, p) for p, a in self.arrays().items() if p not in self.held}
        blocks = {part: layers[f"attend.{part}"].blocks() for part in self.held}
        rows = []
        for sample, head in np.ndindex(self.samples, self.heads[0]):
            places = {part: head * self.count(part) // self.heads[0] for part in "qkv"}
            side = {part: array[sample, places[part]] for part, array in made.items()}
            own = {p: blocks[p][sample * self.count(p) + places[p]] for p in self.held}
            if "q" in own:
                scores = (side["k"] @ own["q"]).T
            else:
                scores = side["q"] @ (own["k"] if "k" in own else side["k"].T)
            strength = np.exp(scores / math.sqrt(self.depth))
            rows.append(strength / strength.sum(1, keepdims=True) @ {**side, **own}["v"])
        result = np.reshape(rows, (self.samples, self.heads[0], -1, self.depth))
        return result if self.by_head else result.transpose(0, 2, 1, 3).reshape(self.samples, -1, ENTRIES)


ATTENDED = [
    *(Attended(*case) for case in product(HELD, [(1, 1), (2, 2), (4, 2)], (1, 2), (False, True))),
    *(
        Attended(*case, op=f"{MICROSOFT}.MultiHeadAttention")
        for case in product(HELD, [(1, 1), (2, 2)], (1, 2))
    ),
]


@pytest.mark.parametrize("case", ATTENDED, ids=str)
def test_constants_of_attention(tmp_path: Path, case: Attended) -> None:
    """They are factors of its two products, a matrix for each sample and head."""
    path = save(proto := case.proto(), tmp_path)
    x = _random(case.samples, TOKENS, INPUTS, seed=7)
    np.testing.assert_allclose(case.answer(x, _layers(path)), run(proto, {"x": x})[0], rtol=0, atol=1e-5)
    coverage = audit(path).coverage
    assert coverage.parameters_analysed == sum(array.size for array in case.arrays().values())
    assert coverage.fraction == 1


@pytest.mark.parametrize("case", ATTENDED, ids=str)
def test_neurons_of_constants_of_attention(tmp_path: Path, case: Attended) -> None:
    """They are those of the same network in products of matrices, where these can say it."""
    fused = connected(save(case.proto(), tmp_path, "fused.onnx"))
    assert fused.exact
    if case.heads[0] == case.heads[1] and not case.by_head:
        plain = connected(save(case.written_out(), tmp_path, "plain.onnx"))
        assert plain.exact
        assert _reach(fused) == _reach(plain)
        assert _blocks(fused) == _blocks(plain)


def test_one_memory_for_keys_and_values_is_counted_once(tmp_path: Path) -> None:
    memory = _random(1, MEMORY, INPUTS)
    attend = node("Attention", "x m m", name="attend", q_num_heads=HEADS, kv_num_heads=HEADS)
    path = save(model([attend], {"m": memory}, {"x": (1, TOKENS, INPUTS)}, opset=23), tmp_path)
    layers = _layers(path)
    for head in range(HEADS):
        own = memory[0, :, head * 3 : head * 3 + 3]
        np.testing.assert_array_equal(layers["attend.k"].blocks()[head], own.T)
        np.testing.assert_array_equal(layers["attend.v"].blocks()[head], own)
    coverage = audit(path).coverage
    assert (coverage.parameters_total, coverage.fraction) == (memory.size, 1)
    assert connected(path).exact


@pytest.mark.parametrize("held", ["", *HELD])
@pytest.mark.parametrize("heads", [(1, 1), (2, 2), (4, 2)])
def test_further_results_of_attention_carry_what_they_hold(
    tmp_path: Path, held: str, heads: tuple[int, int]
) -> None:
    """Keys and values that are kept, and the scores, are as x made them; none of a constant."""
    proto = Attended(held, heads).proto()
    proto.graph.node[-1].output.extend(["keys", "values", "scores"])
    for name in ("keys", "values", "scores"):
        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    found = connected(save(proto, tmp_path))
    assert found.exact
    kept = {"k": "keys", "v": "values"}
    wanted = {"y", "scores", *(name for part, name in kept.items() if part not in held)}
    carried = {name for name in ("y", "keys", "values", "scores") if name in found.lanes}
    assert carried == wanted
    if "k" not in held and "q" not in held:
        assert found.lanes["scores"].shape[1] in (1, heads[0])


MULTI = f"{MICROSOFT}.MultiHeadAttention"
NOT_READ: dict[str, tuple[Any, str]] = {
    "queries and keys": (node("Attention", "q k x", q_num_heads=HEADS, kv_num_heads=HEADS), "qk"),
    "past keys": (node("Attention", "x k v - p p", q_num_heads=HEADS, kv_num_heads=HEADS), "kv"),
    "a bias of all three": (node(MULTI, "x k v b", num_heads=HEADS), "kv"),
    "past keys of onnxruntime's": (node(MULTI, "x k v - - - p p", num_heads=HEADS), "kv"),
    "heads that do not fit": (node("Attention", "x k v", q_num_heads=1, kv_num_heads=4), "kv"),
    "no number of heads": (node("Attention", "x k v"), "kv"),
    "grouped queries": (
        node(f"{MICROSOFT}.GroupQueryAttention", "x k v - - n n", num_heads=HEADS, kv_num_heads=HEADS),
        "kv",
    ),
    "packed samples": (
        node(f"{MICROSOFT}.PackedMultiHeadAttention", "x k v - i i", num_heads=HEADS),
        "kv",
    ),
}


@pytest.mark.parametrize("how", NOT_READ)
def test_constants_of_attention_that_are_not_read_are_counted(tmp_path: Path, how: str) -> None:
    attend, parts = NOT_READ[how]
    held = {part: _random(1, TOKENS, INPUTS, seed=ord(part)) for part in parts}
    held |= {"b": _random(3 * INPUTS), "n": np.array([1], np.int32), "i": np.zeros((1, 2), np.int32)}
    inputs = {"x": (1, TOKENS, INPUTS), "p": (1, HEADS, 1, 3)}
    used = {name: array for name, array in held.items() if name in attend.input}
    inputs = {name: sizes for name, sizes in inputs.items() if name in attend.input}
    path = save(model([attend], used, inputs, opset=23), tmp_path)
    found = read_layers(path)
    assert {layer.weight for layer in found if isinstance(layer, Skipped)} == set(parts)
    assert len(found) == len(parts)
    coverage = audit(path).coverage
    assert (coverage.parameters_total, coverage.parameters_analysed) == (len(parts) * TOKENS * INPUTS, 0)
    assert not connected(path).exact


def _reach(found: Connected) -> list[list[int]]:
    """Return which entries of the result each input reaches."""
    places = {vertex: place for place, vertex in enumerate(found.graph.outputs.tolist())}
    return [sorted(map(places.__getitem__, reached)) for reached in reach_table(found.graph).values()]


def _blocks(found: Connected) -> list[tuple[int, int, bytes]]:
    """Return the neurons that each use of a matrix reads and makes, and the matrix."""
    graph = found.graph
    held = [np.asarray(graph.layers[block.layer].read()[block.matrix]) for block in graph.blocks]
    sizes = [(len(np.unique(block.rows)), len(np.unique(block.columns))) for block in graph.blocks]
    return sorted((*size, array.tobytes()) for size, array in zip(sizes, held, strict=True))


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
