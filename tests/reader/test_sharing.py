"""Shared weights, copies under other names, and weights that nobody trained."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer
from onnxtop.results.report import Report
from tests.models import check_consistent, graph, layers_of, model, node, save, weights

Array = np.ndarray[Any, Any]


def _random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def _products(*matrices: Array) -> ModelProto:
    """Return one MatMul for each matrix, named w0, w1, ...; their shapes need not follow one another."""
    nodes = [node("MatMul", f"x{i} w{i}", f"y{i}", name=f"n{i}") for i in range(len(matrices))]
    held = {f"w{i}": matrix for i, matrix in enumerate(matrices)}
    outputs = [f"y{i}" for i in range(len(matrices))]
    return model(nodes, held, {f"x{i}": None for i in range(len(matrices))}, outputs)


def _audit(tmp_path: Path, proto: ModelProto, **options: Any) -> Report:
    report = audit(save(proto, tmp_path), AuditOptions(**options))
    check_consistent(report)
    return report


def _copies(tmp_path: Path, *matrices: Array) -> list[str | None]:
    return [layer.copy_of for layer in _audit(tmp_path, _products(*matrices)).layers]


# One tensor


def test_one_weight_used_five_times_is_one_layer(tmp_path: Path) -> None:
    names = ["x", *(f"h{i}" for i in range(4)), "y"]
    nodes = [node("MatMul", f"{a} w", b, name=f"step{i}") for i, (a, b) in enumerate(pairwise(names))]
    report = _audit(tmp_path, model(nodes, {"w": _random(5, 5)}))
    (layer,) = report.layers
    assert layer.uses == tuple(f"step{i}" for i in range(5))
    assert layer.copy_of is None
    assert report.coverage.parameters_analysed == 25


def test_both_ways_round_is_one_layer_named_by_the_first(tmp_path: Path) -> None:
    w = _random(6, 4)
    nodes = [node("MatMul", "x w", "h", name="there"), node("Gemm", "h w", "y", name="back", transB=1)]
    (layer,) = _audit(tmp_path, model(nodes, {"w": w})).layers
    assert (layer.n_in, layer.n_out, layer.uses) == (6, 4, ("there", "back"))


def test_aliases_are_the_same_weight(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "w", "a"),
        node("Identity", "a", "b"),
        node("MatMul", "x a", "h", name="one"),
        node("MatMul", "h b", "i", name="two"),
        node("MatMul", "i w", "y", name="three"),
    ]
    (layer,) = _audit(tmp_path, model(nodes, {"w": _random(5, 5)})).layers
    assert layer.uses == ("one", "two", "three")


_KEPT = [
    ("float32", "float16", True),
    ("float32", "float64 float32", True),
    ("float16", "float32", True),
    ("float32", "int32 float32", False),
    ("float32", "int8 float32", False),
    ("float32", "bool float32", False),
    ("float32", "float16 int64 float32", False),
    ("uint8", "float32", True),
    ("uint8", "int32 float32", True),
    ("int8", "int32 int64 float32", True),
    ("int32", "int8 float32", False),
    ("int8", "uint8 float32", False),
]


@pytest.mark.parametrize(("stored", "types", "kept"), _KEPT)
@pytest.mark.parametrize("like", [False, True])
def test_a_cast_that_cuts_makes_other_weights(
    stored: str, types: str, kept: bool, like: bool, tmp_path: Path
) -> None:
    """A type that holds what is stored, or rounds it, is another form of one weight; integers cut floats."""
    w = (_random(6, 5) * 10).astype(stored) if stored[0] == "f" else np.arange(-15, 15).reshape(6, 5)
    w = w.astype(stored)
    wanted, nodes, value, held = w, [], "w", {"w": w}
    for number, name in enumerate((*types.split(), "float32")):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(name))
        held[f"like{number}"] = np.zeros(1, name)
        made = node("CastLike", f"{value} like{number}", f"c{number}")
        nodes.append(made if like else node("Cast", value, f"c{number}", to=kind))
        wanted, value = wanted.astype(name), f"c{number}"
    nodes += [node("Cast", "w", "plain", to=TensorProto.FLOAT)]
    nodes += [node("MatMul", "x plain", "a", name="one"), node("MatMul", f"x {value}", "b", name="two")]
    proto = model([*nodes, node("Add", "a b")], held, {"x": ("n", 6)})
    layers = [layer for layer in layers_of(save(proto, tmp_path)) if isinstance(layer, Layer)]
    assert [layer.uses for layer in layers] == ([("one", "two")] if kept else [("one",), ("two",)])
    for layer, matrix in zip(layers, (w.astype(np.float32), wanted), strict=False):
        np.testing.assert_array_equal(layer.matrix().astype(np.float32), matrix)
    assert layers[0].encoding.dtype == stored
    assert layers[-1].encoding.dtype == (stored if kept or stored[0] == "f" else types.split()[0])
    assert _audit(tmp_path, proto).coverage.parameters_analysed == 30


# Copies


def _handed_on(value: str, made: str, op: str, by_if: bool) -> NodeProto:
    """Return a node that moves a value, or an If that always does."""
    if not by_if:
        return node(op, value, made)
    bodies = (graph([node(kind, value, end)], {}, {}, [end]) for kind, end in ((op, "t"), ("Identity", "e")))
    return node("If", "true", made, **dict(zip(("then_branch", "else_branch"), bodies, strict=True)))


def _names(tmp_path: Path, nodes: list[NodeProto], held: dict[str, Array]) -> list[tuple[str, str, int]]:
    ends = [node("MatMul", "x d", "h"), node("MatMul", "h dd", "y")]
    proto = model([*nodes, *ends], {"true": np.array(True), **held}, {"x": [1, 4]})
    return [(layer.name, layer.encoding, len(layer.uses)) for layer in _audit(tmp_path, proto).layers]


@pytest.mark.parametrize("by_if", [False, True])
def test_codes_turned_by_an_if_are_decoded_along_another_axis(by_if: bool, tmp_path: Path) -> None:
    """What is decoded with one scale a column, and turned with one a column, are two weights."""
    nodes = [
        node("DequantizeLinear", "q s", "d", axis=1),
        _handed_on("q", "t", "Transpose", by_if),
        node("DequantizeLinear", "t s", "dd", axis=1),
    ]
    held = {"q": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "s": _random(4) ** 2 + 1}
    told = _names(tmp_path, nodes, held)
    assert told == [("q", "int8 per-channel", 1), ("q#2", "int8 per-channel", 1)]


@pytest.mark.parametrize("by_if", [False, True])
@pytest.mark.parametrize("axis", [1, -1])
def test_one_scale_a_row_is_one_a_column_of_what_is_turned(axis: int, by_if: bool, tmp_path: Path) -> None:
    """Axes are compared where the codes are stored, from whichever end they are counted."""
    nodes = [
        node("DequantizeLinear", "q s", "d", axis=0),
        _handed_on("q", "t", "Transpose", by_if),
        node("DequantizeLinear", "t s", "dd", axis=axis),
    ]
    held = {"q": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "s": _random(4) ** 2 + 1}
    assert _names(tmp_path, nodes, held) == [("q", "int8 per-channel", 2)]


@pytest.mark.parametrize("by_if", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_what_rounds_behind_an_if_counts(by_if: bool, other: bool, tmp_path: Path) -> None:
    """One weight, rounded in one way, is one layer; rounded by another scale it is another."""
    nodes = [
        node("QuantizeLinear", "w s z", "a"),
        node("DequantizeLinear", "a s z", "d"),
        node("QuantizeLinear", "w r z" if other else "w s z", "b"),
        _handed_on("b", "c", "Identity", by_if),
        node("DequantizeLinear", "c s z", "dd"),
    ]
    held = {"w": _random(4, 4), "s": np.float32(0.02), "r": np.float32(0.1), "z": np.int8(0)}
    rounded = "float32 rounded by QuantizeLinear"
    told = _names(tmp_path, nodes, held)
    assert told == ([("w", rounded, 1), ("w#2", rounded, 1)] if other else [("w", rounded, 2)])


def test_a_copy_under_another_name(tmp_path: Path) -> None:
    w = _random(6, 4)
    assert _copies(tmp_path, w, w.copy(), _random(6, 4, seed=1)) == [None, "n0", None]


def test_a_transposed_copy(tmp_path: Path) -> None:
    w = _random(6, 4)
    assert _copies(tmp_path, w, w.T.copy()) == [None, "n0"]


def test_copies_of_a_copy_name_the_first(tmp_path: Path) -> None:
    w = _random(6, 4)
    assert _copies(tmp_path, w, w.T.copy(), w.copy(), w.T.copy()) == [None, "n0", "n0", "n0"]


def test_square_copies_both_ways_round(tmp_path: Path) -> None:
    w = _random(5, 5)
    assert _copies(tmp_path, w, w.T.copy(), w.copy()) == [None, "n0", "n0"]


def test_symmetric_copies(tmp_path: Path) -> None:
    w = _random(5, 5)
    assert _copies(tmp_path, w + w.T, w + w.T) == [None, "n0"]


def test_a_tied_embedding_that_the_exporter_folded(tmp_path: Path) -> None:
    """Constant folding turns the head of a tied embedding into a second, transposed tensor."""
    table = _random(40, 8)
    nodes = [node("Gather", "table i", "e", name="embed"), node("MatMul", "e head", "y", name="head")]
    proto = model(nodes, {"table": table, "head": table.T.copy()}, {"i": None})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    embed, head = _audit(tmp_path, proto).layers
    assert (embed.copy_of, head.copy_of) == (None, "embed")


def test_copies_stored_in_another_way(tmp_path: Path) -> None:
    """A linear layer as Gemm, as MatMul, as a convolution of one tap, and in half precision that is exact."""
    w = weights(6, 4)
    nodes = [
        node("MatMul", "a w0", "p", name="product"),
        node("Gemm", "b w1", "q", name="gemm", transB=1),
        node("Conv", "c w2", "r", name="conv"),
        node("MatMul", "d w3", "s", name="half"),
    ]
    held = {"w0": w, "w1": w.T.copy(), "w2": w.T.copy()[..., None, None], "w3": w.astype(np.float16)}
    proto = model(nodes, held, dict.fromkeys("abcd"), list("pqrs"))
    assert [layer.copy_of for layer in _audit(tmp_path, proto).layers] == [
        None,
        "product",
        "product",
        "product",
    ]


def test_convolutions_of_several_groups(tmp_path: Path) -> None:
    w = _random(6, 2, 3, 3)
    held = {"w0": w, "w1": w.copy(), "w2": w[::-1].copy()}
    nodes = [node("Conv", f"x{i} w{i}", f"y{i}", name=f"n{i}", group=2) for i in range(3)]
    proto = model(nodes, held, dict.fromkeys(["x0", "x1", "x2"]), ["y0", "y1", "y2"])
    assert [layer.copy_of for layer in _audit(tmp_path, proto).layers] == [None, "n0", None]


@pytest.mark.parametrize("shape", [(6, 4), (5, 5), (64, 64), (300, 700)])
def test_near_copies_are_none(tmp_path: Path, shape: tuple[int, int]) -> None:
    """One entry differs; rows in another order, other signs, another scale, other sides."""
    w = _random(*shape)
    one = w.copy()
    one[-1, -1] = np.nextafter(one[-1, -1], np.float32(9))
    others = [one, w[::-1], -w, w * np.float32(2), w[:-1], w[:, ::-1]]
    if shape[0] != shape[1]:
        others.append(w.reshape(shape[::-1]))
    found = _copies(tmp_path, w, *(np.ascontiguousarray(other) for other in others))
    assert found == [None] * (len(others) + 1)


def test_equal_by_chance(tmp_path: Path) -> None:
    """Tiny layers and layers of one value are the same without being copies."""
    tiny = np.array([[1, -1], [1, 1]], np.float32)
    full = np.full((8, 8), 0.5, np.float32)
    zeros = np.zeros((8, 8), np.float32)
    assert _copies(tmp_path, tiny, tiny, full, full, zeros, zeros) == [None] * 6


def test_copies_count_once_in_the_mean(tmp_path: Path) -> None:
    a, b = _random(9, 7), _random(8, 6, seed=3)
    alone = _audit(tmp_path, _products(a, b)).network.neural_persistence
    doubled = _audit(tmp_path, _products(a, b, a.T.copy(), a.copy())).network.neural_persistence
    assert doubled.mean_normalized == pytest.approx(alone.mean_normalized, rel=1e-12)
    assert doubled.total == pytest.approx(alone.total, rel=1e-12)
    assert doubled.scale == alone.scale
    assert doubled.reason is not None
    assert "2 copies" in doubled.reason


def test_a_copy_has_figures_of_its_own(tmp_path: Path) -> None:
    a = _random(9, 7)
    first, second = _audit(tmp_path, _products(a, a.copy())).layers
    assert second.copy_of == "n0"
    assert second.neural_persistence.total == first.neural_persistence.total


# Never trained


def _dft(size: int, window: bool = True) -> Array:
    """Return what a short-time Fourier transform multiplies by: cosines, then sines."""
    n, k = np.arange(size)[:, None], np.arange(size // 2 + 1)[None]
    table = np.concatenate([np.cos(2 * np.pi * n * k / size), -np.sin(2 * np.pi * n * k / size)], axis=1)
    return (table * (np.hanning(size)[:, None] if window else 1)).astype(np.float32)


def _mel(bins: int, bands: int) -> Array:
    """Return triangles, equally wide on the mel scale."""
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), bands + 2) / 2595) - 1)
    hertz = np.linspace(0, 8000, bins)[:, None]
    up = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(up, down)).astype(np.float32)


def _selection(rows: int, columns: int) -> Array:
    table = np.zeros((rows, columns), np.float32)
    table[np.arange(columns) * 3 % rows, np.arange(columns)] = 1
    return table


FIXED: dict[str, tuple[Array, str]] = {
    "Fourier table": (_dft(400), "sinusoid"),
    "Fourier table without window": (_dft(256, window=False), "sinusoid"),
    "Fourier table, transposed": (_dft(400).T.copy(), "sinusoid"),
    "mel bank": (_mel(257, 80), "filter bank"),
    "mel bank of few bands": (_mel(129, 20), "filter bank"),
    "mel bank, transposed": (_mel(257, 80).T.copy(), "filter bank"),
    "selection": (_selection(20, 7), "selects"),
    "permutation": (np.eye(12, dtype=np.float32)[np.random.default_rng(0).permutation(12)], "selects"),
    "identity": (np.eye(12, dtype=np.float32), "diagonal"),
    "diagonal": (np.diag(_random(12)), "diagonal"),
}


@pytest.mark.parametrize("what", FIXED)
def test_probably_fixed(tmp_path: Path, what: str) -> None:
    table, reason = FIXED[what]
    trained = _random(30, 20)
    report = _audit(tmp_path, _products(table, trained))
    first, second = report.layers
    assert first.probably_fixed is not None
    assert reason in first.probably_fixed
    assert second.probably_fixed is None
    assert report.coverage.parameters_analysed == table.size + trained.size
    figures = report.network.neural_persistence
    assert figures.mean_normalized == second.neural_persistence.normalized
    assert figures.scale == np.abs(trained).max()
    assert figures.reason is not None
    assert "1 probably fixed" in figures.reason


def test_fixed_layers_count_if_asked(tmp_path: Path) -> None:
    table = _mel(257, 80)
    trained = _random(30, 20) / 100
    report = _audit(tmp_path, _products(table, trained), count_fixed=True)
    first, second = report.layers
    assert first.probably_fixed is not None
    figures = report.network.neural_persistence
    assert figures.scale == table.max()
    mean = (first.neural_persistence.normalized + second.neural_persistence.normalized) / 2
    assert figures.mean_normalized == pytest.approx(mean, rel=1e-12)
    assert figures.reason is None


def _depthwise(tmp_path: Path, kernels: Array) -> str | None:
    proto = model([node("Conv", "x w", group=len(kernels))], {"w": kernels})
    return _audit(tmp_path, proto).layers[0].probably_fixed


def test_one_blur_for_all_channels(tmp_path: Path) -> None:
    blur = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(np.float32) / 256
    assert "symmetric kernel" in (_depthwise(tmp_path, np.stack([blur[None]] * 8)) or "")
    assert _depthwise(tmp_path, _random(8, 1, 5, 5)) is None


def _pruned(*shape: int, share: float = 0.91, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < share, 0, rng.normal(size=shape)).astype(np.float32)


def _low_rank(rows: int, columns: int, rank: int) -> Array:
    return _random(rows, rank) @ _random(rank, columns, seed=1)


TRAINED: dict[str, Array] = {
    "random": _random(64, 48),
    "uniform": np.random.default_rng(0).uniform(-1, 1, (64, 48)).astype(np.float32),
    "positive": np.abs(_random(64, 48)),
    "pruned at random": _pruned(64, 48),
    "pruned and positive": np.abs(_pruned(64, 48)),
    "pruned to 99 %": _pruned(200, 200, share=0.99),
    "pruned square": _pruned(16, 16, share=0.6),
    "pruned by whole rows": _random(64, 48) * (np.arange(64) % 10 == 0)[:, None].astype(np.float32),
    "pruned by whole columns": _random(64, 48) * (np.arange(48) % 10 == 0).astype(np.float32),
    "pruned two of four": _random(64, 48) * (np.arange(64) % 4 < 2)[:, None].astype(np.float32),
    "binarised": np.where(_random(64, 48) >= 0, 1, -1).astype(np.float32),
    "ternary": np.clip(np.round(_random(64, 48)), -1, 1),
    "constant": np.full((64, 48), 0.5, np.float32),
    "all zero": np.zeros((64, 48), np.float32),
    "one column": _random(64, 1),
    "one row": _random(1, 64),
    "orthogonal": np.linalg.qr(_random(48, 48))[0],
    "of rank one": _low_rank(64, 48, 1),
    "of rank four": _low_rank(64, 48, 4),
    "smooth": np.cumsum(_random(64, 48), axis=0),
    "eight bits": np.round(_random(64, 48) * 40) / 40,
    "half of it dead": np.concatenate([_random(32, 48), np.zeros((32, 48), np.float32)]),
    "symmetric": _random(48, 48) + _random(48, 48).T,
}


@pytest.mark.parametrize("what", TRAINED)
def test_trained_weights_are_not_taken_for_fixed(tmp_path: Path, what: str) -> None:
    (layer,) = _audit(tmp_path, _products(TRAINED[what])).layers
    assert layer.probably_fixed is None


@pytest.mark.parametrize(
    "name", ["mlp_torch_dynamo", "cnn_torch_dynamo", "transformer_torch_dynamo", "lstm_torch_legacy"]
)
def test_no_layer_of_a_trained_net_is_taken_for_fixed_or_for_a_copy(samples: Path, name: str) -> None:
    report = audit(samples / f"{name}.onnx")
    assert [layer.probably_fixed for layer in report.layers] == [None] * len(report.layers)
    assert [layer.copy_of for layer in report.layers] == [None] * len(report.layers)


def test_a_network_of_fixed_layers_alone(tmp_path: Path) -> None:
    report = _audit(tmp_path, _products(_mel(257, 80), _dft(400)))
    assert all(layer.probably_fixed for layer in report.layers)
    assert report.network.neural_persistence.mean_normalized is None
    assert report.network.neural_persistence.reason


def test_a_copied_table(tmp_path: Path) -> None:
    first, second = _audit(tmp_path, _products(_mel(257, 80), _mel(257, 80))).layers
    assert first.probably_fixed == second.probably_fixed
    assert second.copy_of == first.name
