"""Convolutions position by position, against the dense matrices that onnxruntime shows by its answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.reader.connectivity import Connected
from onnxtop.topology.deep_graph_persistence import deep_graph_persistence
from tests.connectivity_truth import changed, connected, reachable, runnable
from tests.models import Array, model, node, run, save, weights

CNNS = ("torch_dynamo", "torch_legacy", "tensorflow", "jax")
TURNED = "ConvTranspose"
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ("Conv", (2, 5, 4), (3, 2, 3, 2), {}),
    "stride": ("Conv", (2, 6, 5), (3, 2, 3, 3), {"strides": [2, 1]}),
    "padding": ("Conv", (1, 4, 4), (2, 1, 3, 3), {"pads": [1, 0, 1, 2]}),
    "dilation": ("Conv", (2, 6, 6), (2, 2, 2, 2), {"dilations": [3, 2], "pads": [1, 1, 0, 1]}),
    "groups": ("Conv", (4, 3, 4), (6, 2, 2, 2), {"group": 2}),
    "depthwise": ("Conv", (3, 4, 4), (3, 1, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    "same upper": ("Conv", (2, 5, 6), (2, 2, 2, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ("Conv", (2, 5, 6), (2, 2, 2, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": ("Conv", (2, 5, 6), (2, 2, 2, 3), {"auto_pad": "VALID"}),
    "whole": ("Conv", (2, 3, 4), (5, 2, 3, 4), {}),
    "one axis": ("Conv", (3, 9), (4, 3, 3), {"strides": [2], "pads": [1, 1]}),
    "three axes": ("Conv", (1, 3, 4, 3), (2, 1, 2, 2, 2), {"pads": [0, 1, 0, 1, 0, 0]}),
    "transposed": (TURNED, (2, 3, 4), (2, 3, 3, 2), {}),
    "transposed, stride": (TURNED, (2, 3, 2), (2, 2, 3, 3), {"strides": [2, 3], "pads": [1, 0, 0, 1]}),
    "transposed, more": (TURNED, (2, 3, 3), (2, 2, 2, 3), {"strides": [2, 2], "output_padding": [1, 1]}),
    "transposed, groups": (TURNED, (4, 2, 3), (4, 3, 2, 2), {"group": 2, "dilations": [2, 1]}),
    "transposed, shape": (TURNED, (2, 3, 3), (2, 2, 3, 3), {"strides": [2, 2], "output_shape": [6, 6]}),
    "transposed, same": (TURNED, (2, 3, 3), (2, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "transposed, lower": (TURNED, (2, 4), (2, 2, 3), {"strides": [2], "auto_pad": "SAME_LOWER"}),
}  # fmt: skip
POOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "max": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "overlapping": ("MaxPool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    "ceiling": ("AveragePool", {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}),
    "dilated": ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 1]}),
    "same": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "global": ("GlobalAveragePool", {}),
    "global maximum": ("GlobalMaxPool", {}),
}


def answers(
    nodes: Sequence[NodeProto], held: dict[str, Array], shape: Sequence[int]
) -> tuple[Array, list[int]]:
    """Return what the runtime makes of each unit vector, (entries in, entries out), and the shape out."""
    size = int(np.prod(shape))
    proto = model(nodes, held, {"x": [1, *shape]})
    rows = [run(proto, x=np.eye(size, dtype=np.float32)[k].reshape(1, *shape))[0] for k in range(size)]
    return np.stack([row.ravel() for row in rows]), list(rows[0].shape)


def strengths(parts: Sequence[tuple[Array, Array]]) -> list[Array]:
    """Standardise each matrix by the stored weights that it is made of; no weight, no edge."""
    top = max(float((np.abs(w - w.mean()) / w.std()).max()) for _, w in parts)
    return [np.where(dense == 0, 0, np.abs(dense - w.mean()) / w.std() / top) for dense, w in parts]


def best_paths(matrices: Sequence[Array]) -> Array:
    """Return S: the widest path from each input to each output."""
    found = matrices[0]
    for matrix in matrices[1:]:
        found = np.minimum(found[:, :, None], matrix[None]).max(1)
    return found


def check(found: Connected, wanted: Array) -> None:
    assert found.exact
    assert not [note for note in found.notes if "unrolled" in note]
    truth = deep_graph_persistence([wanted], standardise=False)
    result = deep_graph_persistence(found.graph)
    assert (result.n_inputs, result.n_outputs) == wanted.shape
    assert result.total == pytest.approx(truth.total, rel=1e-6)
    assert result.strongest == pytest.approx(wanted.max(), rel=1e-6)
    assert result.alpha == pytest.approx(wanted.max(0), rel=1e-6)
    assert result.beta == pytest.approx(wanted.max(1), rel=1e-6)
    assert np.sort(result.diagram.points[:, 1]) == pytest.approx(
        np.sort(truth.diagram.points[:, 1]), rel=1e-6
    )


def double(array: Array) -> Array:
    return array.astype(np.float64)


@pytest.mark.parametrize("case", CASES)
def test_a_convolution_is_its_dense_matrix(tmp_path: Path, case: str) -> None:
    op, shape, kernel, attributes = CASES[case]
    w = weights(*kernel)
    conv = node(op, "x w", "y", **attributes)
    dense, _ = answers([conv], {"w": w}, shape)
    found = connected(save(model([conv], {"w": w}, {"x": [1, *shape]}), tmp_path), unrolled=True)
    check(found, best_paths(strengths([(double(dense), double(w))])))


@pytest.mark.parametrize("case", CASES)
def test_a_stack_is_its_dense_matrices(tmp_path: Path, case: str) -> None:
    op, shape, kernel, attributes = CASES[case]
    w = weights(*kernel, seed=1)
    conv = node(op, "x w", "h", **attributes)
    dense, between = answers([node(op, "x w", "y", **attributes)], {"w": w}, shape)
    v = weights(2, between[0], *[2 if size > 1 else 1 for size in between[1:]], seed=2)
    second, after = answers([node("Conv", "x v")], {"v": v}, between)
    head = weights(int(np.prod(after)), 4, seed=3)
    nodes = [conv, node("Relu", "h", "a"), node("Conv", "a v", "c"), node("Flatten", "c", "f")]
    proto = model([*nodes, node("Gemm", "f head")], {"w": w, "v": v, "head": head}, {"x": ["n", *shape]})
    found = connected(save(proto, tmp_path), unrolled=True)
    parts = [(dense, w), (second, v), (head, head)]
    check(found, best_paths(strengths([(double(one), double(other)) for one, other in parts])))


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_joins_positions(tmp_path: Path, pool: str) -> None:
    op, attributes = POOLS[pool]
    shape = (2, 6, 5)
    w = weights(3, 2, 2, 2)
    dense, between = answers([node("Conv", "x w")], {"w": w}, shape)
    joined, after = answers([node(op, "x", "y", **attributes)], {}, between)
    head = weights(int(np.prod(after)), 3, seed=1)
    nodes = [node("Conv", "x w", "h"), node(op, "h", "p", **attributes), node("Flatten", "p", "f")]
    proto = model([*nodes, node("Gemm", "f head")], {"w": w, "head": head}, {"x": [1, *shape]})
    first, last = strengths([(double(dense), double(w)), (double(head), double(head))])
    check(connected(save(proto, tmp_path), unrolled=True), best_paths([first, (joined != 0) * 1.0, last]))


def test_channels_last_is_the_same(tmp_path: Path) -> None:
    w, head = weights(3, 2, 2, 3), weights(3 * 3 * 2, 4, seed=1)
    nodes = [node("Conv", "t w", "c"), node("Flatten", "c", "f"), node("Gemm", "f head")]
    held = {"w": w, "head": head}
    first = model([node("Identity", "x", "t"), *nodes], held, {"x": [1, 2, 4, 4]})
    last = model([node("Transpose", "x", "t", perm=[0, 3, 1, 2]), *nodes], held, {"x": [1, 4, 4, 2]})
    results = [
        deep_graph_persistence(connected(save(proto, tmp_path), unrolled=True).graph)
        for proto in (first, last)
    ]
    assert results[0].total == results[1].total
    assert results[0].n_inputs == results[1].n_inputs == 32


def test_a_channels_last_convolution_is_the_same(tmp_path: Path) -> None:
    """QONNX's Conv keeps channels last in its operand and in its kernel."""
    kernel = weights(3, 2, 2, 3)
    first = model(
        [node("Conv", "x w", strides=[2, 1], pads=[1, 0, 0, 0])], {"w": kernel}, {"x": [1, 2, 5, 4]}
    )
    conv = node("qonnx.custom_op.channels_last.Conv", "x w", strides=[2, 1], pads=[1, 0, 0, 0])
    last = model([conv], {"w": np.moveaxis(kernel, 1, -1).copy()}, {"x": [1, 5, 4, 2]})
    last.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", 1, [1, 3, 2, 3]))
    one, other = (connected(save(proto, tmp_path), unrolled=True) for proto in (first, last))
    assert other.exact
    assert one.lanes["y"].shape == (1, 3, 3, 2)
    assert other.lanes["y"].shape == (1, 3, 2, 3)
    assert deep_graph_persistence(one.graph).total == deep_graph_persistence(other.graph).total


def test_two_uses_of_a_kernel_keep_their_own_steps(tmp_path: Path) -> None:
    w = weights(2, 2, 2, 2)
    steps: list[dict[str, Any]] = [{"pads": [1, 1, 0, 0]}, {"strides": [2, 2]}]
    dense, between = answers([node("Conv", "x w", "y", **steps[0])], {"w": w}, (2, 4, 4))
    second, _ = answers([node("Conv", "x w", "y", **steps[1])], {"w": w}, between)
    nodes = [node("Conv", "x w", "h", **steps[0]), node("Conv", "h w", "y", **steps[1])]
    found = connected(save(model(nodes, {"w": w}, {"x": [1, 2, 4, 4]}), tmp_path), unrolled=True)
    assert len(found.graph.layers) == 1
    check(found, best_paths(strengths([(double(dense), double(w)), (double(second), double(w))])))


def test_deformed_convolutions_stay_by_channel(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "h"), node("DeformConv", "h v o")]
    held = {"w": weights(2, 1, 2, 2), "v": weights(3, 2, 1, 1), "o": np.zeros((1, 2, 3, 3), np.float32)}
    found = connected(save(model(nodes, held, {"x": [1, 1, 4, 4]}), tmp_path), unrolled=True)
    assert (found.graph.inputs.size, found.graph.outputs.size) == (16, 3)


def test_exporters_agree(samples: Path) -> None:
    reports = [audit(samples / f"cnn_{name}.onnx", AuditOptions(conv="unrolled")) for name in CNNS]
    found = [report.network.deep_graph_persistence for report in reports]
    for figures in found:
        assert figures.connectivity == "exact"
        assert (figures.inputs, figures.outputs) == (64, 10)
        assert figures.total == pytest.approx(found[0].total, abs=1e-6)
        assert figures.normalized == pytest.approx(found[0].normalized, abs=1e-6)
        assert not [note for note in figures.notes if "unrolled" in note]
    shared = audit(samples / "cnn_torch_legacy.onnx").network.deep_graph_persistence
    assert shared.inputs == 1


def mobile() -> onnx.ModelProto:
    """A residual network with all that unrolling goes through; of its weights no sum is 0 by chance."""
    rng = np.random.default_rng(0)
    held = {
        "w1": rng.normal(size=(4, 1, 3, 3)),
        "w2": rng.normal(size=(4, 1, 3, 3)),
        "w3": rng.normal(size=(4, 4, 1, 1)),
        "w4": rng.normal(size=(4, 3, 2, 2)),
    }
    nodes = [
        node("Conv", "x w1", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", "a w2", "b", group=4, pads=[1, 1, 1, 1]),
        node("Conv", "b w3", "c"),
        node("Add", "a c", "d"),
        node("AveragePool", "d", "e", kernel_shape=[2, 2]),
        node("ConvTranspose", "e w4", "y", strides=[2, 2]),
    ]
    return model(nodes, {k: v.astype(np.float32) for k, v in held.items()}, {"x": [1, 1, 7, 6]})


def test_what_changes_is_what_is_reached(tmp_path: Path) -> None:
    found = connected(save(mobile(), tmp_path), unrolled=True)
    assert found.exact
    lanes, outputs = found.lanes["x"].ravel(), found.lanes["y"].ravel()
    assert np.unique(lanes).size == 42
    assert np.unique(outputs).size == 3 * 6 * 4
    for vertex, unit in zip(lanes.tolist(), np.eye(42, dtype=np.float32), strict=True):
        answer = run(mobile(), x=unit.reshape(1, 1, 7, 6))
        reached = reachable(found.graph, vertex) & set(outputs.tolist())
        assert set(outputs[answer.ravel() != 0].tolist()) == reached


def test_a_sample_changes_only_what_is_reached(samples: Path) -> None:
    path = samples / "cnn_torch_legacy.onnx"
    found = connected(path, unrolled=True)
    answer = runnable(path, found)
    rng = np.random.default_rng(0)
    (name,) = answer.feeds
    for vertex in rng.permutation(np.unique(found.lanes[name]))[:8].tolist():
        assert changed(answer, found, name, vertex, rng) <= reachable(found.graph, vertex)


def same(one: Connected, other: Connected) -> bool:
    sizes = [(g.n_vertices, len(g.blocks), g.structural.tolist()) for g in (one.graph, other.graph)]
    return sizes[0] == sizes[1] and one.hubs == other.hubs


IMAGE: dict[str, list[Any]] = {"x": [1, 3, 256, 256]}
CONV = node("Conv", "x w", "h", pads=[1, 1, 1, 1])
IMPOSSIBLE: dict[str, tuple[list[NodeProto], dict[str, list[Any]], str]] = {
    "open size": ([CONV, node("Relu", "h")], {"x": [1, 3, "h", 8]}, "the size of 'x' is not known"),
    "later size": (
        [node("Concat", "x z", "i", axis=0), node("Conv", "i w")],
        {"x": [1, 3, "h", 8], "z": [1, 3, "h", 8]},
        "the size of 'i' is not known",
    ),
    "no shape": ([CONV, node("Relu", "h")], {"x": None}, "not known"),  # type: ignore[dict-item]
    "neurons": ([CONV, node("Relu", "h")], {"x": [1, 3, 2048, 2048]}, "more than 4194304 neurons"),
    "edges": ([CONV, node("Relu", "h")], IMAGE, "more than 16777216 weighted edges"),
    "contradiction": (
        [CONV, node("ConvTranspose", "h v", strides=[2, 2], auto_pad="SAME_UPPER", output_padding=[1, 1])],
        {"x": [1, 3, 4, 4]},
        "auto_pad and output_padding",
    ),
    "operation": (
        [CONV, node("GlobalMaxPool", "h", "g"), node("Resize", "h - s", "r"), node("Mul", "r g")],
        {"x": [1, 3, 4, 4]},
        "Resize",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_where_it_is_not_possible_a_note_says_why(tmp_path: Path, case: str) -> None:
    nodes, inputs, why = IMPOSSIBLE[case]
    held = {"w": weights(16, 3, 3, 3), "v": weights(16, 1, 2, 2), "s": np.array([1, 1, 2, 2], np.float32)}
    path = save(model(nodes, held, inputs), tmp_path)
    found = connected(path, unrolled=True)
    shared = connected(path)
    assert same(found, shared)
    assert found.notes[:-1] == shared.notes
    assert found.notes[-1].startswith("unrolled not possible: ")
    assert why in found.notes[-1]


def test_blocks_are_counted(tmp_path: Path) -> None:
    held = {"w": weights(32, 1, 1, 1)}
    path = save(model([node("Conv", "x w", group=32)], held, {"x": [1, 32, 96, 96]}), tmp_path)
    (note,) = connected(path, unrolled=True).notes
    assert note.startswith("unrolled not possible: the graph would have more than 262144 blocks; --limit")


@pytest.mark.parametrize(("op", "size"), [("Conv", 100), (TURNED, 61)])
def test_taps_times_positions_are_counted(tmp_path: Path, op: str, size: int) -> None:
    path = save(model([node(op, "x w")], {"w": weights(1, 1, 40)}, {"x": [1, 1, size]}), tmp_path)
    report = audit(path, conv="unrolled", limits={"neurons": 1000})
    (note,) = (each for each in report.network.deep_graph_persistence.notes if "unrolled" in each)
    assert "over 1000 positions along an axis" in note


def test_a_size_that_is_given_is_known(tmp_path: Path) -> None:
    path = save(
        model([CONV, node("Relu", "h")], {"w": weights(2, 3, 3, 3)}, {"x": ["n", 3, "h", "w"]}), tmp_path
    )
    assert connected(path, unrolled=True).graph.inputs.size == 3
    found = connected(path, unrolled=True, input_shapes={"x": (1, 3, 5, 4)})
    assert found.graph.inputs.size == 60
    assert connected(path, unrolled=True, dims={"h": 5, "w": 4}).graph.inputs.size == 60


def test_the_report_has_the_note(tmp_path: Path) -> None:
    path = save(
        model([CONV, node("Relu", "h")], {"w": weights(2, 3, 3, 3)}, {"x": ["n", 3, "h", "w"]}), tmp_path
    )
    notes = {
        conv: audit(path, AuditOptions(conv=conv)).network.deep_graph_persistence.notes
        for conv in ("flattened", "channels", "unrolled", "per-filter")
    }
    assert notes["flattened"] == notes["channels"] == notes["per-filter"] == ()
    assert notes["unrolled"] == ("unrolled not possible: the size of 'x' is not known",)
