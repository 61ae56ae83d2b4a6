"""Deep graph persistence through the audit: exporters agree, and what is not defined has a reason."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxtop
from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.story import audit
from onnxtop.errors import UsageError
from onnxtop.reader.layers import read_layers
from onnxtop.results.report import Report
from onnxtop.topology.deep_graph_persistence import deep_graph_persistence
from onnxtop.topology.neural_persistence import layer_persistence
from tests.models import graph, mlp, model, node, save, weights

EXPORTERS = {
    "mlp": ("torch_dynamo", "torch_legacy", "tensorflow", "jax", "sklearn", "torch_external"),
    "cnn": ("torch_dynamo", "torch_legacy", "tensorflow", "jax"),
    "transformer": ("torch_dynamo", "torch_legacy", "tensorflow", "jax"),
    "lstm": ("torch_dynamo", "torch_legacy"),
}


def figures(report: Report) -> list[float]:
    found = report.network.deep_graph_persistence
    assert found.reason is None
    values = (
        *(found.total, found.normalized, found.skips_cut.total, found.skips_cut.normalized),
        *(found.inputs, found.outputs, found.saturated),
    )
    return [float(value) for value in values if value is not None]


def bars(report: Report) -> list[int]:
    roles = (layer.deep_graph_persistence for layer in report.layers)
    return sorted(role.bars for role in roles if role is not None)


@pytest.mark.parametrize("network", EXPORTERS)
def test_exporters_agree(samples: Path, network: str) -> None:
    reports = [audit(samples / f"{network}_{name}.onnx") for name in EXPORTERS[network]]
    for report in reports:
        assert report.network.deep_graph_persistence.connectivity == "exact"
        assert report.network.connectivity is not None
        assert report.network.connectivity.unreachable == ()
        assert len(figures(report)) == 7
        assert figures(report) == pytest.approx(figures(reports[0]), abs=1e-6)
        assert bars(report) == bars(reports[0])


@pytest.mark.parametrize("convention", ["essential", "tree"])
@pytest.mark.parametrize(("standardise", "rescale"), list(product((True, False), repeat=2)))
@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_a_stack_is_measured_as_the_library_measures_it(
    tmp_path: Path, convention: Any, p: float, standardise: bool, rescale: bool
) -> None:
    path = save(mlp(9, 7, 5, 3), tmp_path)
    matrices = [layer.matrix() for layer in read_layers(path)]  # type: ignore[union-attr]
    asked = {"convention": convention, "p": p, "standardise": standardise, "rescale": rescale}
    wanted = deep_graph_persistence(matrices, **asked)
    report = audit(path, AuditOptions(**asked))
    assert (report.settings.standardise, report.settings.rescale) == (standardise, rescale)
    found = report.network.deep_graph_persistence
    assert (found.total, found.normalized) == pytest.approx((wanted.total, wanted.normalized), abs=1e-12)
    assert (found.inputs, found.outputs, found.saturated) == (9, 3, wanted.saturated)
    assert found.skips_cut.total == found.total
    roles = [layer.deep_graph_persistence for layer in report.layers]
    assert roles == list(wanted.layers)
    assert sum(role.bars for role in roles if role) == 9 + 3 - 1


def test_the_variants_by_their_definition(tmp_path: Path) -> None:
    """S by max-min products of |w| over the largest of all, measured as a layer is."""
    path = save(mlp(6, 5, 4), tmp_path)
    first, second = (np.abs(layer.matrix().astype(float)) for layer in read_layers(path))  # type: ignore[union-attr]
    s = np.minimum(first[:, :, None], second[None]).max(axis=1) / max(first.max(), second.max())
    for rescale, scale in ((True, s.max()), (False, 1.0)):
        wanted = layer_persistence(s / scale, scale=1.0)
        found = audit(path, AuditOptions(standardise=False, rescale=rescale)).network.deep_graph_persistence
        assert (found.total, found.normalized) == pytest.approx((wanted.total, wanted.normalized), abs=1e-12)


def residual(path: Path) -> Path:
    """Save y = W2 W1 x + x, between two more layers."""
    nodes = [
        node("MatMul", "x first", "a", name="first"),
        node("MatMul", "a up", "b", name="up"),
        node("MatMul", "b down", "c", name="down"),
        node("Add", "c a", "d", name="sum"),
        node("MatMul", "d last", "y", name="last"),
    ]
    held = {
        "first": weights(5, 4, seed=1),
        "up": weights(4, 6, seed=2),
        "down": weights(6, 4, seed=3),
        "last": weights(4, 3, seed=4),
    }
    return save(model(nodes, held, {"x": ["batch", 5]}), path)


def test_skips_kept_and_cut(tmp_path: Path) -> None:
    path = residual(tmp_path)
    names = {layer.name: layer.matrix() for layer in read_layers(path)}  # type: ignore[union-attr]
    stack = deep_graph_persistence(names)
    kept, cut = (audit(path, AuditOptions(skips=skips)) for skips in ("keep", "cut"))
    for report in (kept, cut):
        found = report.network.deep_graph_persistence
        assert found.skips_cut.total == pytest.approx(stack.total, abs=1e-12)
        assert found.skips_cut.normalized == pytest.approx(stack.normalized, abs=1e-12)
    assert cut.network.deep_graph_persistence.total == cut.network.deep_graph_persistence.skips_cut.total
    assert kept.network.deep_graph_persistence.total != pytest.approx(stack.total, abs=1e-3)
    assert (kept.settings.skips, cut.settings.skips) == ("keep", "cut")
    roles = [layer.deep_graph_persistence for layer in cut.layers]
    assert roles == list(stack.layers)


def test_a_hub_between_inputs_and_outputs_is_named(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("nobody.Knows", "a", "b", name="odd"),
        node("MatMul", "b u", "y"),
    ]
    path = save(model(nodes, {"w": weights(4, 3), "u": weights(3, 2)}, {"x": [1, 4]}), tmp_path)
    report = audit(path)
    found = report.network.deep_graph_persistence
    assert (found.total, found.normalized, found.saturated) == (None, None, None)
    assert "nobody.Knows odd" in (found.reason or "")
    assert (found.connectivity or "").startswith("conservative (nobody.Knows odd")
    assert all(layer.neural_persistence.total is not None for layer in report.layers)


def test_a_hub_beside_another_way_is_conservative(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("nobody.Knows", "x", "b", name="odd"),
        node("MatMul", "b u", "c"),
        node("Add", "a c", "y"),
    ]
    path = save(model(nodes, {"w": weights(4, 3), "u": weights(4, 3, seed=2)}, {"x": [1, 4]}), tmp_path)
    found = audit(path).network.deep_graph_persistence
    assert found.total is not None
    assert (found.connectivity or "").startswith("conservative (nobody.Knows odd")


def test_unreachable_layers_and_dead_ends(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x w", "y"),
        node("MatMul", "idle u", "lost", name="lost"),
        node("MatMul", "z zero", "dead"),
    ]
    held = {
        "w": weights(4, 3),
        "u": weights(3, 5),
        "zero": np.zeros((3, 2), np.float32),
    }
    inputs = {"x": [1, 4], "idle": [1, 3], "z": [1, 3]}
    report = audit(save(model(nodes, held, inputs, outputs=("y", "dead")), tmp_path))
    connectivity = report.network.connectivity
    assert connectivity is not None
    assert connectivity.reason is None
    assert connectivity.unreachable == ("lost",)
    assert connectivity.inputs == ("idle", "z")
    assert connectivity.outputs == ("dead",)
    found = report.network.deep_graph_persistence
    assert (found.inputs, found.outputs) == (10, 5)
    assert found.total is not None


def test_no_weight_on_a_path(tmp_path: Path) -> None:
    nodes = [node("Relu", "x"), node("MatMul", "x w", "lost")]
    report = audit(save(model(nodes, {"w": weights(3, 3)}, {"x": [1, 3]}), tmp_path))
    found = report.network.deep_graph_persistence
    assert (found.total is None) == (found.reason is not None)
    assert report.network.connectivity is not None
    assert report.network.connectivity.unreachable == ("w",)
    nothing = audit(save(model([node("Relu", "x")], {}, {"x": [1, 3]}), tmp_path, "relu.onnx"))
    assert nothing.network.deep_graph_persistence.total is None
    assert "no weight" in (nothing.network.deep_graph_persistence.reason or "")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_layer_that_is_not_finite(tmp_path: Path, bad: float) -> None:
    nodes = [node("MatMul", "x w", "a", name="fine"), node("MatMul", "a u", "y", name="broken")]
    broken = weights(3, 2)
    broken[1, 1] = bad
    report = audit(save(model(nodes, {"w": weights(4, 3), "u": broken}, {"x": [1, 4]}), tmp_path))
    found = report.network.deep_graph_persistence
    assert (found.total, found.normalized, found.skips_cut.total) == (None, None, None)
    assert "'broken'" in (found.reason or "")
    assert report.network.connectivity is not None
    assert report.network.connectivity.unreachable == ()
    beside = [node("MatMul", "x w", "y"), node("MatMul", "x u", "lost")]
    held = {"w": weights(4, 3), "u": np.full((4, 2), bad, np.float32)}
    aside = audit(save(model(beside, held, {"x": [1, 4]}), tmp_path, "aside.onnx"))
    assert aside.network.deep_graph_persistence.total is not None


def test_equal_weights_are_no_error(tmp_path: Path) -> None:
    ones = np.ones((4, 3), np.float32)
    found = audit(
        save(model([node("MatMul", "x w")], {"w": ones}, {"x": [1, 4]}), tmp_path)
    ).network.deep_graph_persistence
    assert found.total == pytest.approx(math.sqrt(7))
    assert found.saturated is None


def test_a_part_of_a_network(tmp_path: Path) -> None:
    path = save(mlp(9, 7, 5, 3), tmp_path)
    first, second, _ = (layer.matrix() for layer in read_layers(path))  # type: ignore[union-attr]
    hidden = [value for value in _results(path) if value not in ("x", "y")]
    report = audit(path, AuditOptions(inputs=("x",), outputs=(hidden[-1],)))
    found = report.network.deep_graph_persistence
    wanted = deep_graph_persistence([first, second])
    assert (found.inputs, found.outputs) == (9, 5)
    assert found.total != pytest.approx(audit(path).network.deep_graph_persistence.total)
    assert found.normalized == pytest.approx(wanted.normalized, abs=1e-12)
    assert report.settings.inputs == ("x",)
    assert report.settings.outputs == (hidden[-1],)


def _results(path: Path) -> list[str]:
    return [name for each in onnx.load(path).graph.node for name in each.output]


@pytest.mark.parametrize(
    "options",
    [{"inputs": ("nobody",)}, {"outputs": ("nobody",)}, {"inputs": ("x", "nobody")}, {"skips": "drop"}],
)
def test_names_that_the_model_does_not_have(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        audit(save(mlp(9, 7, 5, 3), tmp_path), AuditOptions(**options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_layers_alone_are_not_measured(tmp_path: Path) -> None:
    report = audit(save(mlp(9, 7, 3), tmp_path), AuditOptions(topology=False))
    found = report.network.deep_graph_persistence
    assert found.total is None
    assert found.reason == "topology was not asked for"
    assert all(layer.deep_graph_persistence is None for layer in report.layers)


def test_the_public_function_is_the_same() -> None:
    assert onnxtop.deep_graph_persistence is deep_graph_persistence


def cut_off(path: Path, **options: object) -> tuple[tuple[str, ...], ...]:
    """Return the layers, inputs and outputs that are cut off."""
    found = audit(path, AuditOptions(**options)).network.connectivity  # type: ignore[arg-type]
    assert found is not None
    assert found.reason is None
    return found.unreachable, found.inputs, found.outputs


NOTHING: tuple[tuple[str, ...], ...] = ((), (), ())


@pytest.mark.parametrize("value", [2.5, -0.25, math.nan])
@pytest.mark.parametrize("shape", [(1, 1), (4, 3)])
def test_equal_weights_are_connected(tmp_path: Path, value: float, shape: tuple[int, int]) -> None:
    held = {"w": np.full(shape, value, np.float32), "u": weights(shape[1], 2)}
    nodes = [node("MatMul", "x w", "h"), node("MatMul", "h u", "y")]
    assert cut_off(save(model(nodes, held, {"x": [1, shape[0]]}), tmp_path)) == NOTHING


def test_an_output_behind_zeros_is_cut_off(tmp_path: Path) -> None:
    first = weights(6, 8)
    first[:, 4:] = 0  # standardised, these are not 0
    nodes = [
        node("MatMul", "x first", "h", name="first"),
        node("Split", "h", "a b", axis=1, num_outputs=2),
        node("MatMul", "a up", "y1", name="up"),
        node("MatMul", "b down", "y2", name="down"),
    ]
    held = {"first": first, "up": weights(4, 3), "down": weights(4, 3, seed=1)}
    path = save(model(nodes, held, {"x": [1, 6]}, outputs=("y1", "y2")), tmp_path)
    assert cut_off(path) == (("down",), (), ("y2",))
    assert cut_off(path, structure=False) == (("down",), (), ("y2",))
    assert {each.rule for each in audit(path).findings} >= {"OT201", "OT304", "OT306"}
    held["first"] = first + np.where(np.arange(8) == 5, 1e-30, 0).astype(np.float32)
    assert cut_off(save(model(nodes, held, {"x": [1, 6]}, outputs=("y1", "y2")), tmp_path)) == NOTHING


@pytest.mark.parametrize("zero", ["first", "second", "none"])
def test_a_layer_of_zeros_that_every_way_leads_through(tmp_path: Path, zero: str) -> None:
    held = {"first": weights(6, 8), "second": weights(8, 3), "b": weights(3)}
    held = {name: array * (name != zero) for name, array in held.items()}
    nodes = [node("MatMul", "x first", "h"), node("Relu", "h", "r"), node("Gemm", "r second b")]
    found = {each.rule: each.severity for each in audit(save(model(nodes, held), tmp_path)).findings}
    assert found.get("OT308") == (None if zero == "none" else "error")
    beside = [*nodes[:2], node("Gemm", "r second b", "g"), node("Concat", "g x", axis=1)]
    assert "OT308" not in {each.rule for each in audit(save(model(beside, held), tmp_path)).findings}


def test_patterns_of_zeros_are_followed(tmp_path: Path) -> None:
    """No row and no column is all zeros, and x still does not reach y."""
    first, second = weights(4, 4), weights(4, 4, seed=1)
    first[:2, 2:] = first[2:, :2] = second[:2, 2:] = second[2:, :2] = 0
    nodes = [
        node("Concat", "x z", "in", axis=1),
        node("MatMul", "in first", "h"),
        node("MatMul", "h second", "out"),
        node("Split", "out", "y v", axis=1, num_outputs=2),
    ]
    held = {"first": first, "second": second}
    inputs = {"x": [1, 2], "z": [1, 2]}
    path = save(model(nodes, held, inputs, outputs=("v",)), tmp_path)
    assert cut_off(path) == ((), ("x",), ())
    nodes.insert(2, node("LayerNormalization", "h s", "n"))
    nodes[3] = node("MatMul", "n second", "out")
    held["s"] = np.ones(4, np.float32)
    assert cut_off(save(model(nodes, held, inputs, outputs=("v",)), tmp_path)) == NOTHING


def test_layers_without_a_block_are_on_a_way_all_the_same(tmp_path: Path) -> None:
    """One that mixes positions, and one in a hub."""
    nodes = [
        node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "t a", "m"),
        node("Transpose", "m", "u", perm=[0, 2, 1]), node("MatMul", "u b", "y"),
    ]  # fmt: skip
    held = {"a": weights(4, 4), "b": weights(3, 2)}
    assert cut_off(save(model(nodes, held, {"x": [1, 4, 3]}), tmp_path)) == NOTHING
    nodes = [node("MatMul", "x a", "h"), node("Conv", "h k", "y", name="odd")]
    held = {"a": weights(4, 4), "k": weights(3, 1, 3, 3)}
    path = save(model(nodes, held, {"x": [1, 4]}), tmp_path)
    assert cut_off(path) == NOTHING
    assert "conservative (Conv odd: " in (audit(path).network.deep_graph_persistence.connectivity or "")


def flat(path: Path, sizes: list[object]) -> Path:
    nodes = [
        node("Conv", "image k", "c", name="conv", pads=[1, 1, 1, 1]),
        node("Flatten", "c", "f"),
        node("Gemm", "f w", "y", name="fc"),
    ]
    held = {"k": weights(2, 3, 3, 3), "w": weights(2 * 8 * 8, 5)}
    return save(model(nodes, held, {"image": ["n", 3, *sizes]}), path)


def test_sizes_that_were_assumed_and_do_not_fit_say_so(tmp_path: Path) -> None:
    path = flat(tmp_path, ["h", "w"])
    report = audit(path)
    (finding,) = (each for each in report.findings if each.rule.startswith("OT3"))
    assert finding.rule == "OT307"
    assert "image=2,3,64,64" in finding.message
    assert "--input-shape image=" in finding.message
    assert any("--input-shape image=" in note for note in report.network.deep_graph_persistence.notes)
    for told in (
        audit(path, AuditOptions(input_shapes={"image": (1, 3, 8, 8)})),
        audit(path, AuditOptions(dims={"h": 8, "w": 8})),
        audit(flat(tmp_path, [8, 8])),
    ):
        assert [each.rule for each in told.findings if each.rule.startswith("OT3")] == []
        assert told.network.connectivity is not None
        assert told.network.connectivity.doubt is None
        assert told.network.deep_graph_persistence.connectivity == "exact"


def late(path: Path, begin: int, sizes: list[object]) -> Path:
    """Save a model whose layer "a" sees the entries of a picture from one on."""
    nodes = [
        node("Flatten", "x", "f"),
        node("Slice", "f begin end axis", "late"),
        node("ReduceMax", "late axis", "m"),
        node("MatMul", "m a", "p", name="a"),
        node("ReduceMax", "f axis", "n"),
        node("MatMul", "n b", "q"),
        node("Add", "p q", "y"),
    ]
    places = {"begin": begin, "end": 2**40, "axis": 1}
    held = {name: np.array([place], np.int64) for name, place in places.items()}
    held |= {"a": weights(1, 2), "b": weights(1, 2, seed=1)}
    return save(model(nodes, held, {"x": [1, 3, *sizes]}), path)


def test_a_layer_that_only_other_sizes_reach_is_no_finding(tmp_path: Path) -> None:
    report = audit(late(tmp_path, 20000, ["h", "w"]))
    (finding,) = (each for each in report.findings if each.rule.startswith("OT3"))
    assert (finding.rule, "--input-shape x=" in finding.message) == ("OT307", True)
    assert cut_off(late(tmp_path, 20000, ["h", "w"]), input_shapes={"x": (1, 3, 100, 100)}) == NOTHING
    assert cut_off(late(tmp_path, 20000, [64, 64]))[0] == ("a",)


def test_a_branch_that_only_other_sizes_run_is_no_finding(tmp_path: Path) -> None:
    small = graph([node("MatMul", "m a", "s", name="a")], None, {}, ["s"], name="small")
    large = graph([node("MatMul", "m b", "l", name="b")], None, {}, ["l"], name="large")
    nodes = [
        node("ReduceMax", "x axes", "m", keepdims=0),
        node("Shape", "x", "n", start=2, end=3),
        node("Less", "n limit", "c"),
        node("If", "c", "y", then_branch=small, else_branch=large),
    ]
    held = {
        "axes": np.array([2, 3], np.int64),
        "limit": np.array([32], np.int64),
        "a": weights(3, 2),
        "b": weights(3, 2, seed=1),
    }
    path = save(model(nodes, held, {"x": [1, 3, "h", "w"]}), tmp_path)
    assert [each.rule for each in audit(path).findings if each.rule.startswith("OT3")] == ["OT307"]
    assert cut_off(path, input_shapes={"x": (1, 3, 9, 9)})[0] == ("b",)
    assert cut_off(path, input_shapes={"x": (1, 3, 99, 9)})[0] == ("a",)


def test_no_network_is_built_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proto = model([node("Add", "x z")], {}, {"x": [32, 8, 128, 64], "z": [32, 8, 128, 64]})
    path = save(proto, tmp_path)
    monkeypatch.setattr("onnxtop.auditing.network.connect", None)
    found = audit(path).network.deep_graph_persistence
    assert found.reason == "no weight lies between an input and an output"
    with pytest.raises(UsageError):
        audit(path, AuditOptions(inputs=("nobody",)))


def test_labels_are_results_as_well(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "x a", "y", name="a"),
        node("MatMul", "z b", "scores", name="b"),
        node("Softmax", "scores", "p"),
        node("ArgMax", "p", "label", axis=-1),
    ]
    proto = model(nodes, {"a": weights(3, 2), "b": weights(4, 5)}, {"x": [1, 3], "z": [1, 4]}, ("y", "label"))
    proto.graph.output[1].type.tensor_type.elem_type = onnx.TensorProto.INT64
    path = save(proto, tmp_path)
    assert audit(path).network.deep_graph_persistence.outputs == 2
    assert cut_off(path) == NOTHING
    assert cut_off(path, outputs=("y",)) == (("b",), ("z",), ())
