"""The audit against NumPy and SciPy on the matrices themselves."""

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

from onnxtop.auditing import pieces
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import UsageError
from onnxtop.reader.layer import Layer
from onnxtop.reader.layers import read_layers
from onnxtop.results.report import Report
from onnxtop.testing import write_cnn
from onnxtop.topology.spread import network_variance, sortedness
from tests.models import check_consistent, mlp, model, node, response, save, weights


def tree_weights(edges: np.ndarray, n_vertices: int) -> np.ndarray:
    """Return the edges of the maximum spanning tree, strength 0 where the graph falls apart.

    ``edges`` has rows (vertex, vertex, strength); of parallel edges the strongest counts. The tree is made
    of ranks: SciPy loses zeros, and its older versions want indices of 32 bits.
    """
    strongest: dict[tuple[int, int], float] = {}
    for tail, head, strength in edges:
        key = (int(tail), int(head))
        strongest[key] = max(strongest.get(key, 0.0), strength)
    kept = sorted((strength, key) for key, strength in strongest.items() if strength > 0)
    ranks = np.arange(len(kept), 0, -1)
    tails, heads = (np.array([key[side] for _, key in kept], np.int32) for side in (0, 1))
    tree = minimum_spanning_tree(coo_array((ranks, (tails, heads)), shape=(n_vertices,) * 2).tocsr()).tocoo()
    strengths = np.array([kept[len(kept) - int(rank)][0] for rank in tree.data])
    return np.concatenate([strengths, np.zeros(n_vertices - 1 - strengths.size)])


def block_edges(blocks: list[np.ndarray], bias: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Return the edges of a layer and how many vertices it has: rows first, then columns, then the bias."""
    n_in = sum(block.shape[0] for block in blocks)
    n_out = sum(block.shape[1] for block in blocks)
    edges, row, column = [], 0, n_in
    for block in blocks:
        for i, j in np.ndindex(block.shape):
            edges.append((row + i, column + j, abs(float(block[i, j]))))
        row, column = row + block.shape[0], column + block.shape[1]
    if bias is not None:
        edges += [(n_in + j, n_in + n_out, abs(float(value))) for j, value in enumerate(bias)]
    return np.array(edges), n_in + n_out + (bias is not None)


def persistence(
    edges: np.ndarray, n_vertices: int, scale: float, convention: str = "essential", p: float = 2.0
) -> tuple[float, float]:
    """Return total and normalized neural persistence, by the definition."""
    bars = 1 - np.minimum(tree_weights(edges, n_vertices) / scale, 1)
    if convention == "essential":
        bars = np.append(bars, 1.0)
    total = float(bars.max()) if math.isinf(p) else float((bars**p).sum() ** (1 / p))
    return total, total / (n_vertices - 1) ** (1 / p)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return save(mlp(9, 7, 5, 3), tmp_path)


def _every_two_options() -> list[tuple[str, Any, float, str]]:
    """Return settings with every two choices together: of convention, scale, p and bias."""
    scales = list(product(("global", "layer", 16.0), ("none", "row")))
    norms = list(product(("essential", "tree"), (2.0, 1.0, 0.5, 3.0, math.inf)))
    return [
        (convention, scale, p, bias)
        for place, (convention, p) in enumerate(norms)
        for scale, bias in (scales[place % 6], scales[(place + 3) % 6])
    ]


@pytest.mark.parametrize(("convention", "scale", "p", "bias"), _every_two_options())
def test_every_option_against_the_definition(
    dense: Path, convention: str, scale: Any, p: float, bias: str
) -> None:
    report = audit(dense, AuditOptions(convention=convention, scale=scale, p=p, bias=bias))
    layers = [layer for layer in read_layers(dense) if isinstance(layer, Layer)]
    graphs = [block_edges(layer.blocks(), layer.bias() if bias == "row" else None) for layer in layers]
    largest = [edges[:, 2].max() for edges, _ in graphs]
    totals, normals = [], []
    for (edges, n_vertices), own, row in zip(graphs, largest, report.layers, strict=True):
        used = {"global": max(largest), "layer": own}.get(scale, scale)
        total, normalized = persistence(edges, n_vertices, used, convention, p)
        assert row.neural_persistence.total == pytest.approx(total, abs=1e-12)
        assert row.neural_persistence.normalized == pytest.approx(normalized, abs=1e-12)
        totals.append(total)
        normals.append(normalized)
    network = report.network.neural_persistence
    assert network.total == pytest.approx(sum(totals), abs=1e-12)
    assert network.mean_normalized == pytest.approx(np.mean(normals), abs=1e-12)
    settings = report.settings
    assert (settings.convention, settings.scale, settings.bias) == (convention, scale, bias)
    assert settings.p == ("inf" if math.isinf(p) else p)


KERNELS = {
    "plain": ((4, 2, 3, 2), (1, 2, 6, 5), {}),
    "groups": ((6, 2, 3, 2), (1, 4, 6, 5), {"group": 2, "pads": [1, 0, 1, 1]}),
    "strides and dilations": ((4, 2, 3), (1, 2, 11), {"strides": [2], "dilations": [2], "pads": [2, 1]}),
    "depthwise": ((4, 1, 3, 3), (1, 4, 4, 4), {"group": 4, "auto_pad": "SAME_UPPER"}),
}


def _layer_figures(path: Path, conv: str, bias: str) -> tuple[float | None, float | None]:
    report = audit(path, AuditOptions(conv=conv, bias=bias))
    check_consistent(report)
    (layer,) = report.layers
    return layer.neural_persistence.total, layer.neural_persistence.normalized


@pytest.mark.parametrize("bias", ["none", "row"])
@pytest.mark.parametrize("what", KERNELS)
def test_the_graphs_of_a_convolution(tmp_path: Path, what: str, bias: str) -> None:
    shape, x, attributes = KERNELS[what]
    w, b = weights(*shape), weights(shape[0], seed=3)
    path = save(model([node("Conv", "x w b", **attributes)], {"w": w, "b": b}, {"x": x}), tmp_path)
    group = attributes.get("group", 1)
    grouped = w.reshape(group, shape[0] // group, *shape[1:])
    row = b if bias == "row" else None
    scale = max(np.abs(w).max(), np.abs(b).max() if bias == "row" else 0)
    flattened = block_edges([item.reshape(item.shape[0], -1).T for item in grouped], row)
    channels = block_edges([np.abs(item).max(axis=tuple(range(2, item.ndim))).T for item in grouped], row)
    matrix = response(model([node("Conv", "x w", **attributes)], {"w": w}), x)
    unrolled = block_edges([matrix], None if row is None else np.repeat(row, matrix.shape[1] // row.size))
    graphs = _graphs_of_filters(matrix, x[1], grouped, row)
    per_filter = tuple(np.mean([persistence(*graph, scale) for graph in graphs], axis=0))
    assert _layer_figures(path, "per-filter", bias) == pytest.approx(per_filter, abs=1e-12)
    for conv, graph in (("flattened", flattened), ("channels", channels), ("unrolled", unrolled)):
        figures = persistence(*graph, scale)
        assert _layer_figures(path, conv, bias) == pytest.approx(figures, abs=1e-12), conv


def _graphs_of_filters(
    matrix: np.ndarray, n_channels: int, grouped: np.ndarray, bias: np.ndarray | None
) -> list[tuple[np.ndarray, int]]:
    """Return the graph of each filter and channel of its group: a part of the whole unrolled matrix."""
    groups, filters = grouped.shape[:2]
    parts = matrix.reshape(n_channels, -1, groups * filters, matrix.shape[1] // (groups * filters))
    rows = [None] * (groups * filters) if bias is None else [np.full(parts.shape[3], one) for one in bias]
    return [
        block_edges([parts[group * (n_channels // groups) + channel, :, out]], rows[out])
        for group in range(groups)
        for channel in range(n_channels // groups)
        for out in range(group * filters, (group + 1) * filters)
    ]


@pytest.mark.parametrize(
    ("conv", "neurons"), [("unrolled", (2 * 6 * 5, 3 * 4 * 3)), ("per-filter", (6 * 5, 4 * 3))]
)
def test_graphs_of_positions_need_the_size_and_take_it_from_options(
    tmp_path: Path, conv: Any, neurons: tuple[int, int]
) -> None:
    w = weights(3, 2, 3, 3)
    proto = model([node("Conv", "x w", name="conv")], {"w": w}, {"x": ["batch", 2, "height", "width"]})
    path = save(proto, tmp_path)
    (layer,) = audit(path, AuditOptions(conv=conv)).layers
    assert layer.neural_persistence.total is None
    assert "--input-shape" in (layer.neural_persistence.reason or "")
    fixed = save(model([node("Conv", "x w")], {"w": w}, {"x": [1, 2, 6, 5]}), tmp_path, "fixed.onnx")
    (wanted,) = audit(fixed, AuditOptions(conv=conv)).layers
    assert (wanted.n_in, wanted.n_out) == neurons
    for options in (
        AuditOptions(conv=conv, input_shapes={"x": (1, 2, 6, 5)}),
        AuditOptions(conv=conv, dims={"height": 6, "width": 5}),
    ):
        (found,) = audit(path, options).layers
        assert found.neural_persistence == wanted.neural_persistence
        assert (found.n_in, found.n_out) == (wanted.n_in, wanted.n_out)


@pytest.mark.parametrize("conv", ["flattened", "channels", "unrolled", "per-filter"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_nan_of_the_kind_that_signals_is_one_like_others(tmp_path: Path, dtype: Any, conv: Any) -> None:
    """NumPy warns of it in every cast, and a warning is an error here."""

    def signalling(*shape: int) -> np.ndarray:
        found = np.ones(shape, dtype)
        found.view(f"u{found.itemsize}").flat[1] = 0x7FA00000 if dtype == np.float32 else 0x7D00
        return found

    for n in (3, 90):  # of the larger one, whose second matrix is read in two pieces, weights are scanned
        kernel, matrix, bias = signalling(n, 1, 3, 3), signalling(36 * n, n), signalling(n)
        write_cnn(tmp_path / "m.onnx", [kernel], [matrix], [bias, bias], image=(1, 8, 8))
        for options in ({"bias": "row"}, {"structure": False}, {"sortedness": True}):
            report = audit(tmp_path / "m.onnx", AuditOptions(conv=conv, **options))
            assert all(layer.nonfinite for layer in report.layers)


@pytest.mark.parametrize("factor", [1e300, 1e160, 1e-160, 1e-300, 5e-324])
def test_weights_whose_squares_no_double_holds(factor: float, tmp_path: Path) -> None:
    """NumPy warns of what overflows, or is divided by what vanished, and a warning is an error here."""
    weights = np.random.default_rng(0).normal(size=(64, 10)) * factor
    proto = model([node("MatMul", "x w")], {"w": weights}, {"x": ["n", 64]})
    (layer,) = audit(save(proto, tmp_path)).layers
    assert not layer.nonfinite


def test_variance_and_sortedness(tmp_path: Path) -> None:
    """Of all layers that count, whatever their graphs are; a copy and a bias do not."""
    rng = np.random.default_rng(0)
    w, d = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 2, 3, 3), (6, 9)))
    nodes = [
        node("Conv", "x w b", "c", name="conv", group=2),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("MatMul", "f d", "g", name="fc"),
        node("MatMul", "f e", "h", name="copy"),
        node("Add", "g h", "y"),
    ]
    held = {"w": w, "b": np.full(6, 50, np.float32), "d": d, "e": d.copy()}
    path = save(model(nodes, held, {"x": [1, 4, 5, 5]}), tmp_path)
    layers = {layer.name: layer.blocks() for layer in read_layers(path) if isinstance(layer, Layer)}
    wanted = network_variance({name: list(layers[name]) for name in ("conv", "fc")})
    for options in ({}, {"conv": "per-filter"}, {"bias": "row", "scale": 99.0}, {"scale": "layer"}):
        report = audit(path, AuditOptions(**options))
        assert report.network.variance == pytest.approx(wanted, rel=1e-5)
        assert [layer.sortedness for layer in report.layers] == [None] * 3
    assert audit(path, AuditOptions(structure=False)).network.variance is None
    report = audit(path, AuditOptions(sortedness=True, structure=False))
    conv = np.mean([sortedness(block) for block in layers["conv"]])
    expected = [conv, sortedness(d), sortedness(d)]
    assert [layer.sortedness for layer in report.layers] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bias", ["none", "row"])
@pytest.mark.parametrize("conv", ["flattened", "channels", "unrolled", "per-filter"])
def test_the_weight_that_sets_the_scale_is_named(tmp_path: Path, conv: Any, bias: Any) -> None:
    """In a convolution of two groups, then in its bias, then in a layer of another name."""
    w, b, dense = np.ones((6, 2, 3, 3), np.float32), np.ones(6, np.float32), np.ones((6, 3), np.float32)
    w[4, 1, 2, 0], b[5] = -7, 8  # group 1, its channel 1, tap 6
    nodes = [
        node("Conv", "x w b", "c", name="conv", group=2, pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", "c", "p"),
        node("Flatten", "p", "f"),
        node("MatMul", "f d", name="fc"),
    ]
    row = {"flattened": 9 * 3 + 6, "channels": 3, "unrolled": 3 * 20, "per-filter": 9 * 3 + 6}[conv]
    bias_row = {"flattened": 36, "channels": 4, "unrolled": 80, "per-filter": 36}[conv]
    for value in (0, 9):
        dense[5, 1] = value
        path = save(model(nodes, {"w": w, "b": b, "d": dense}, {"x": [1, 4, 4, 5]}), tmp_path)
        found = audit(path, AuditOptions(conv=conv, bias=bias)).network.neural_persistence
        assert found.largest is not None
        at = (found.largest.layer, found.largest.row, found.largest.column)
        if value:
            assert (found.scale, at) == (9, ("fc", 5, 1))
        elif conv == "unrolled":  # any position that the tap or the bias reaches
            assert (found.scale, at[0]) == (8 if bias == "row" else 7, "conv")
            assert at[1] == bias_row if bias == "row" else row <= at[1] < row + 20
            assert at[2] // 20 == (5 if bias == "row" else 4)
        elif bias == "row":
            assert (found.scale, at) == (8, ("conv", bias_row, 5))
        else:
            assert (found.scale, at) == (7, ("conv", row, 4))
    assert audit(path, AuditOptions(scale="layer")).network.neural_persistence.largest is None
    assert audit(path, AuditOptions(scale=10.0)).network.neural_persistence.largest is None


@pytest.mark.parametrize(
    ("conv", "size", "reason"),
    [("unrolled", 3000, "16777216 neurons"), ("per-filter", 2000, "16777216 edges")],
)
def test_graphs_that_are_too_large_have_a_reason(tmp_path: Path, conv: Any, size: int, reason: str) -> None:
    write_cnn(tmp_path / "m.onnx", [weights(1, 1, 3, 3)], image=(1, size, size))
    (layer,) = audit(tmp_path / "m.onnx", AuditOptions(conv=conv)).layers
    assert layer.neural_persistence.total is None
    assert reason in (layer.neural_persistence.reason or "")


@pytest.mark.parametrize("conv", ["unrolled", "per-filter"])
@pytest.mark.parametrize("scale", ["global", "layer"])
def test_a_tap_that_never_falls_inside_sets_no_scale(tmp_path: Path, conv: Any, scale: Any) -> None:
    """The last of three taps, the largest weight of the network, always lies in the padding."""
    w = np.array([1.0, -2.0, 9.0], np.float32).reshape(1, 1, 3)
    w = np.stack([w[0], w[0] / 2])  # two filters: of the second one, no tap is the strongest
    conv_node = node("Conv", "x w", pads=[1, 1], name="conv")
    report = audit(
        save(model([conv_node], {"w": w}, {"x": [1, 1, 1]}), tmp_path), AuditOptions(conv=conv, scale=scale)
    )
    assert report.network.neural_persistence.scale == (2.0 if scale == "global" else None)
    (layer,) = report.layers
    assert layer.largest == 2.0
    bars = {"unrolled": [0.0, 0.5, 1.0], "per-filter": [0.0, 1.0]}[conv]
    second = np.sqrt([0.5**2 + 1])
    expected = np.sqrt(np.square(bars).sum()) if conv == "unrolled" else (1 + second[0]) / 2
    assert layer.neural_persistence.total == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"input_shapes": {"nobody": (1, 2, 6, 5)}},
        {"input_shapes": {"w": (3, 2, 3, 3)}},
        {"input_shapes": {"x": (1, 2, 6)}},
        {"input_shapes": {"x": (1, 3, 6, 5)}},
        {"input_shapes": {"x": (1, 2, 2**70, 5)}},
        {"dims": {"depth": 3}},
        {"dims": {"height": 2**70}},
    ],
)
def test_sizes_that_do_not_fit_the_model(tmp_path: Path, options: dict[str, Any]) -> None:
    proto = model([node("Conv", "x w")], {"w": weights(3, 2, 3, 3)}, {"x": ["batch", 2, "height", "width"]})
    with pytest.raises(UsageError) as caught:
        audit(save(proto, tmp_path), AuditOptions(conv="unrolled", **options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"convention": "paper"},
        {"scale": "network"},
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": math.nan},
        {"scale": math.inf},
        {"scale": 1.0},
        {"p": 0.0},
        {"p": -2.0},
        {"p": math.nan},
        {"bias": "column"},
        {"conv": "rolled"},
        {"layers": "("},
    ],
)
def test_options_that_make_no_sense(dense: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        audit(dense, AuditOptions(**options))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_layers_chooses_rows_and_changes_no_figure(dense: Path) -> None:
    whole = audit(dense)
    some = audit(dense, AuditOptions(layers="^fc[13]$"))
    assert some.layers == (whole.layers[0], whole.layers[2])
    assert some.network == whole.network
    assert some.coverage == whole.coverage
    assert some.settings.layers == "^fc[13]$"
    assert audit(dense, AuditOptions(layers="nothing")).layers == ()


def test_layers_chooses_findings_as_well(tmp_path: Path) -> None:
    proto = mlp(5, 4, 3)
    proto.graph.initializer[0].raw_data = bytes(80)
    proto.graph.initializer[2].raw_data = bytes(48)
    path = save(proto, tmp_path)

    def found(options: AuditOptions | None = None) -> list[str | None]:
        return [finding.layer for finding in audit(path, options).findings if finding.rule == "OT102"]

    assert found() == ["fc1", "fc2"]
    assert found(AuditOptions(layers="2")) == ["fc2"]


def test_progress_adds_up(dense: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_PIECE", 1)  # else layers so small go together
    calls: list[tuple[str, int, int]] = []
    report = audit(dense, progress=lambda *call: calls.append(call))
    assert [name for name, _, _ in calls] == [layer.name for layer in report.layers]
    assert [done for _, done, _ in calls] == np.cumsum([layer.parameters for layer in report.layers]).tolist()
    assert {total for _, _, total in calls} == {calls[-1][1]}


def test_two_layers_of_one_name_are_both_measured(tmp_path: Path) -> None:
    proto = mlp(9, 7, 5, 3)
    for item, name in zip(
        (item for item in proto.graph.node if item.op_type == "Gemm"), ("fc", "fc", "fc#2"), strict=True
    ):
        item.name = name
    same = audit(save(proto, tmp_path))
    other = audit(save(mlp(9, 7, 5, 3), tmp_path))
    assert len({layer.name for layer in same.layers}) == 3
    assert [layer.neural_persistence for layer in same.layers] == [
        layer.neural_persistence for layer in other.layers
    ]


def test_the_order_of_initializers_changes_nothing(tmp_path: Path) -> None:
    proto = mlp(9, 7, 5, 3)
    before = audit(save(proto, tmp_path))
    held = list(proto.graph.initializer)[::-1]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(held)
    after = audit(save(proto, tmp_path))
    assert after.layers == before.layers
    assert after.network == before.network


def test_the_type_of_the_weights_changes_nothing(tmp_path: Path) -> None:
    types = (np.float64, np.float32, np.float16, ml_dtypes.bfloat16)
    reports = [audit(save(mlp(9, 7, 5, 3, dtype=dtype), tmp_path)) for dtype in types]
    figures = [[layer.neural_persistence for layer in report.layers] for report in reports]
    assert figures[0] == figures[1] == figures[2] == figures[3]


def test_facts_about_the_file(dense: Path) -> None:
    info = audit(dense).model
    content = dense.read_bytes()
    assert info.path == str(dense)
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert info.bytes == len(content)
    assert info.producer == "onnxtop.testing"
    assert info.ir_version == 10
    assert info.opset["ai.onnx"] == 21


# Sample models: one set of weights, several exporters.

BIASES = ["none", "row"]


def _figures(report: Report) -> list[float]:
    assert all(layer.neural_persistence.total is not None for layer in report.layers)
    return sorted(layer.neural_persistence.total for layer in report.layers)  # type: ignore[type-var]


def _same_everywhere(paths: list[Path], options: AuditOptions) -> None:
    reports = {path.name: audit(path, options) for path in paths}
    first = next(iter(reports.values()))
    assert first.layers
    for name, report in reports.items():
        assert report.coverage.fraction == 1, name
        np.testing.assert_allclose(_figures(report), _figures(first), atol=1e-6, err_msg=name)
        assert report.network.neural_persistence.mean_normalized == pytest.approx(
            first.network.neural_persistence.mean_normalized, abs=1e-6
        ), name


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("convention", ["essential", "tree"])
def test_one_mlp_from_every_exporter(samples: Path, bias: str, convention: str) -> None:
    names = (
        "torch_dynamo",
        "torch_legacy",
        "torch_external",
        "torch_fixed_batch",
        "tensorflow",
        "sklearn",
        "jax",
    )
    paths = [samples / f"mlp_{name}.onnx" for name in names]
    _same_everywhere(paths, AuditOptions(bias=bias, convention=convention))


def test_layers_of_the_mlp_stand_in_order_whatever_the_exporter(samples: Path) -> None:
    for path in sorted(samples.glob("mlp_*.onnx")):
        sizes = [(layer.n_in, layer.n_out) for layer in read_layers(path)]  # type: ignore[union-attr]
        assert sizes[0][0] == 64
        assert all(before[1] == after[0] for before, after in pairwise(sizes)), path.name


EXPORTERS = ("torch_dynamo", "torch_legacy", "tensorflow", "jax")


@pytest.mark.parametrize("conv", ["flattened", "channels", "unrolled", "per-filter"])
@pytest.mark.parametrize("bias", BIASES)
def test_one_cnn_from_every_exporter(
    samples: Path, conv: str, bias: str, report_of: Callable[[Path], Report]
) -> None:
    paths = [samples / f"cnn_{name}.onnx" for name in EXPORTERS]
    reports = [report_of(path) for path in paths]
    assert {len(report.layers) for report in reports} == {len(reports[0].layers)}
    _same_everywhere(paths, AuditOptions(conv=conv, bias=bias))


def test_the_papers_own_reading_of_the_sample_cnn(samples: Path) -> None:
    """Values that were computed apart, on dense matrices of every filter and channel."""
    report = audit(samples / "cnn_torch_dynamo.onnx", AuditOptions(conv="per-filter", structure=False))
    values = {layer.name: layer.neural_persistence.normalized for layer in report.layers}
    assert (values["conv1"], values["conv2"]) == pytest.approx((0.2598, 0.7073), abs=5e-5)


@pytest.mark.parametrize("bias", BIASES)
def test_one_transformer_from_every_exporter(samples: Path, bias: str) -> None:
    _same_everywhere([samples / f"transformer_{name}.onnx" for name in EXPORTERS], AuditOptions(bias=bias))


def test_training_changes_what_is_measured(samples: Path) -> None:
    trained, untrained = (
        audit(samples / f"mlp_{name}.onnx").network.neural_persistence.mean_normalized
        for name in ("torch_dynamo", "untrained")
    )
    assert trained != pytest.approx(untrained, abs=1e-3)


def test_the_same_report_again(samples: Path, report_of: Callable[[Path], Report]) -> None:
    for path in sorted(samples.glob("*_torch_dynamo.onnx")):
        assert audit(path) == report_of(path)


PROGRAM = """
import json, sys
from onnxtop.auditing.story import AuditOptions, audit
for path in sys.argv[1:]:
    print(json.dumps(audit(path, AuditOptions(bias="row")).to_dict(), allow_nan=False))
"""


def test_the_same_report_in_another_process(samples: Path) -> None:
    paths = [
        str(samples / name)
        for name in ("mlp_torch_dynamo.onnx", "cnn_tensorflow.onnx", "transformer_jax.onnx")
    ]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths],
        env={**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    for line, path in zip(done.stdout.splitlines(), paths, strict=True):
        assert json.loads(line) == audit(path, AuditOptions(bias="row")).to_dict()


@pytest.mark.parametrize("p", [1e-300, 1e300])
def test_a_norm_of_any_order(p: float, tmp_path: Path) -> None:
    """What is too large for a float is no figure, and no error."""
    held = {"w": np.array([[1, 2], [3, 4]], np.float32), "v": np.array([[5], [6]], np.float32)}
    path = save(model([node("MatMul", "x w", "h"), node("MatMul", "h v")], held), tmp_path)
    report = audit(path, AuditOptions(p=p))
    assert [layer.neural_persistence is not None for layer in report.layers] == [True, True]
    assert report.network.deep_graph_persistence is not None
