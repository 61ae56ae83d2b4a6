"""Whole models: loss, accuracy and gradient of the sample models, parameters, batches, options."""

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxtop
from onnxtop.errors import ModelError, UsageError
from onnxtop.gradient.oracle import relative_error
from onnxtop.landscape.symmetry import find_groups
from onnxtop.loss.prepare.whole import with_weights
from onnxtop.loss.probe import Probe
from onnxtop.reader.loading import load
from onnxtop.reader.protos import VALUES
from tests.loss.conftest import SAMPLES, Data, log_softmax, run_original
from tests.models import constant, graph, mlp, model, node, save, weights

MODELS = sorted(SAMPLES.glob("*.onnx"))
ACCURACY = {
    name: float(accuracy)
    for name, accuracy in re.findall(
        r"^\| `(\w+\.onnx)` \|(?:[^|]*\|){3} ([\d.]+) \|", (SAMPLES / "README.md").read_text("utf-8"), re.M
    )
}


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", MODELS, ids=name_of)
def test_loss_accuracy_and_gradient_of_sample_models(path: Path, digits: Data) -> None:
    few = {name: array[:96] for name, array in digits.items()}
    original = run_original(path, digits["x"])
    probe = Probe(path, digits)
    logs = np.log(original) if "sklearn" in path.stem else log_softmax(original)
    expected = -logs[np.arange(500), digits["labels"]].mean()
    assert probe.loss(probe.theta0) == pytest.approx(expected, abs=1e-6)
    outputs = probe.outputs(probe.theta0)
    np.testing.assert_allclose(outputs, original, atol=1e-4)
    assert np.mean(outputs.argmax(1) == digits["labels"]) == pytest.approx(ACCURACY[path.name], abs=5e-4)
    small = Probe(path, few)
    loss, gradient = small.loss_and_gradient(small.theta0)
    assert loss == pytest.approx(small.loss(small.theta0), abs=1e-6)
    step = 1e-2 if path.stem.startswith(("lstm", "transformer")) else 2e-3
    error = relative_error(small.loss, small.theta0, gradient, step=step)
    assert error < (1e-4 if step == 1e-2 else 1e-3)


@pytest.mark.parametrize("family", ["mlp", "cnn", "transformer", "lstm"])
def test_twins_have_one_gradient(family: str, digits: Data) -> None:
    """One set of weights through several exporters: as many parameters, and a gradient of one length."""
    few = {name: array[:64] for name, array in digits.items()}
    twins = [p for p in MODELS if p.stem.startswith(family) and not p.stem.endswith(("dropout", "untrained"))]
    found = []
    for path in twins:
        probe = Probe(path, few)
        loss, gradient = probe.loss_and_gradient(probe.theta0)
        found.append((len(gradient), loss, float(np.linalg.norm(gradient))))
    counts, losses, lengths = zip(*found, strict=True)
    assert len(set(counts)) == 1
    assert np.ptp(losses) < 1e-5
    assert np.ptp(lengths) < 1e-4 * lengths[0]


def test_public_name() -> None:
    assert onnxtop.Probe is Probe


def test_theta_is_named_in_graph_order(digits: Data) -> None:
    probe = Probe(SAMPLES / "mlp_torch_legacy.onnx", digits)
    assert [(p.role, p.shape) for p in probe.parameters] == [
        ("weight", (100, 64)), ("bias", (100,)), ("weight", (50, 100)), ("bias", (50,)), ("weight", (10, 50)),
        ("bias", (10,)),
    ]  # fmt: skip
    assert probe.parameters[-1].stop == len(probe.theta0) == 12060
    assert all(a.stop == b.start for a, b in zip(probe.parameters, probe.parameters[1:], strict=False))
    tensors = probe.tensors(probe.theta0)
    assert tensors[probe.parameters[0].name].shape == (100, 64)
    assert probe.theta0.dtype == np.float32


def test_running_statistics_are_no_parameters(digits: Data) -> None:
    probe = Probe(SAMPLES / "cnn_torch_legacy.onnx", digits)
    assert not [p.name for p in probe.parameters if "running" in p.name]
    assert {p.role for p in probe.parameters} == {"weight", "bias", "normalisation"}


@pytest.mark.parametrize(
    "name", ["mlp_jax", "cnn_torch_legacy", "lstm_torch_legacy", "mlp_torch_fixed_batch"]
)
def test_loss_does_not_depend_on_the_batch_size(name: str, digits: Data) -> None:
    path = SAMPLES / f"{name}.onnx"
    few = {name: array[:50] for name, array in digits.items()}
    whole = Probe(path, few)
    loss, gradient = whole.loss_and_gradient(whole.theta0)
    for size in (1, 7, 49):
        parts = Probe(path, few, batch_size=size)
        other, in_parts = parts.loss_and_gradient(parts.theta0)
        assert other == pytest.approx(loss, rel=1e-6)
        assert parts.loss(parts.theta0) == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(in_parts, gradient, atol=1e-6)
        assert parts.outputs(parts.theta0).shape == (50, 10)


def test_mini_batches(digits: Data) -> None:
    probe = Probe(SAMPLES / "mlp_jax.onnx", digits)
    rows = np.array([5, 3, 3, 499])
    alone = Probe(SAMPLES / "mlp_jax.onnx", {name: array[rows] for name, array in digits.items()})
    loss, gradient = probe.loss_and_gradient(probe.theta0, rows)
    expected, other = alone.loss_and_gradient(alone.theta0)
    assert loss == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, other, atol=1e-7)
    np.testing.assert_allclose(probe.outputs(probe.theta0, rows), alone.outputs(alone.theta0), rtol=1e-5)
    assert probe.loss(probe.theta0, slice(0, 10)) != probe.loss(probe.theta0, slice(10, 20))
    with pytest.raises(UsageError, match="one sample or more"):
        probe.loss(probe.theta0, np.array([], int))


@pytest.mark.parametrize("size", [None, 7])
def test_as_many_rows_as_samples_in_any_order(size: int | None, digits: Data) -> None:
    few = {name: array[:50] for name, array in digits.items()}
    few["labels"] = np.where(np.arange(50) % 5 == 0, -100, few["labels"])
    probe = Probe(SAMPLES / "mlp_jax.onnx", few, batch_size=size)
    z = probe.outputs(probe.theta0)
    each = -log_softmax(z)[np.arange(50), np.maximum(few["labels"], 0)]
    rng = np.random.default_rng(0)
    backwards, shuffled, drawn = np.arange(50)[::-1], rng.permutation(50), rng.integers(0, 50, 50)
    for rows in (backwards, slice(None, None, -1), shuffled, drawn, np.arange(50)):
        counted = (few["labels"] >= 0)[rows]
        expected = each[rows][counted].mean()
        assert probe.loss(probe.theta0, rows) == pytest.approx(expected, rel=1e-5)
        assert probe.loss_and_gradient(probe.theta0, rows)[0] == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(probe.outputs(probe.theta0, rows), z[rows], rtol=1e-5)


def test_same_figures_twice(digits: Data) -> None:
    probes = [Probe(SAMPLES / "cnn_jax.onnx", digits, execution="feeds") for _ in range(2)]
    (loss, gradient), (again, same) = (probe.loss_and_gradient(probe.theta0) for probe in probes)
    assert loss == again
    np.testing.assert_array_equal(gradient, same)


@pytest.mark.parametrize("name", ["mlp_jax", "cnn_torch_legacy"])
def test_fed_and_rebuilt_sessions_agree(name: str, digits: Data) -> None:
    few = {name: array[:64] for name, array in digits.items()}
    fed, rebuilt = (Probe(SAMPLES / f"{name}.onnx", few, execution=how) for how in ("feeds", "rebuild"))
    for shift in (0, 0.01):
        theta = fed.theta0 + np.float32(shift)
        (loss, gradient), (other, same) = fed.loss_and_gradient(theta), rebuilt.loss_and_gradient(theta)
        assert loss == pytest.approx(other, rel=1e-5)
        np.testing.assert_allclose(gradient, same, atol=1e-5 * float(np.abs(gradient).max()))


def test_weight_decay(digits: Data) -> None:
    plain, decayed = (Probe(SAMPLES / "mlp_jax.onnx", digits, l2=l2) for l2 in (0.0, 0.5))
    theta = plain.theta0
    (loss, gradient), (more, other) = plain.loss_and_gradient(theta), decayed.loss_and_gradient(theta)
    assert more - loss == pytest.approx(0.25 * float(np.sum(theta.astype(np.float64) ** 2)), rel=1e-6)
    np.testing.assert_allclose(other - gradient, 0.5 * theta, atol=1e-5)


def test_batch_statistics_against_numpy(digits: Data) -> None:
    few = {name: array[:40] for name, array in digits.items()}
    probe = Probe(SAMPLES / "cnn_torch_legacy.onnx", few, batchnorm="batch")
    loss, gradient = probe.loss_and_gradient(probe.theta0)
    assert relative_error(probe.loss, probe.theta0, gradient, step=1e-3) < 3e-3
    frozen = Probe(SAMPLES / "cnn_torch_legacy.onnx", few)
    assert abs(loss - frozen.loss(frozen.theta0)) > 1e-4


def test_recalibrated_statistics_are_those_of_the_batch(digits: Data) -> None:
    few = {name: array[:40] for name, array in digits.items()}
    batch, recalibrated = (
        Probe(SAMPLES / "cnn_torch_legacy.onnx", few, batchnorm=mode) for mode in ("batch", "recalibrate")
    )
    assert recalibrated.loss(batch.theta0) == pytest.approx(batch.loss(batch.theta0), rel=1e-5)
    _, gradient = recalibrated.loss_and_gradient(batch.theta0)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mode", ["frozen", "batch", "recalibrate"])
@pytest.mark.parametrize("samples", [8, 10])
def test_copies_that_count_in_statistics_are_told(samples: int, mode: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {"w": rng.standard_normal((5, 4)).astype(np.float32), "m": np.zeros(5, np.float32)}
    parts |= {"v": np.ones(5, np.float32), "g": np.full(5, 2, np.float32), "b": np.zeros(5, np.float32)}
    nodes = [node("Gemm", "x w", "h", transB=1), node("BatchNormalization", "h g b m v", "y", epsilon=1e-12)]
    path = save(model(nodes, parts, {"x": [4, 4]}), tmp_path)
    x, labels = rng.standard_normal((samples, 4)).astype(np.float32), rng.integers(0, 5, samples)
    probe = Probe(path, {"x": x, "labels": labels}, batchnorm=mode)
    filled = np.concatenate([x, x[-1:], x[-1:]])[: -(-samples // 4) * 4].astype(np.float64) @ parts["w"].T
    runs = filled.reshape(-1, 4, 5)
    if mode == "batch":
        centred = runs - runs.mean(axis=1, keepdims=True)
        z = (2 * centred / centred.std(axis=1, keepdims=True)).reshape(-1, 5)[:samples]
        expected = -log_softmax(z)[np.arange(samples), labels].mean()
        assert probe.loss(probe.theta0) == pytest.approx(expected, rel=1e-4)
    told = [note for note in probe.notes if "filled up with copies of one" in note]
    assert len(told) == (samples == 10 and mode != "frozen")


def test_scale_before_batch_statistics_changes_nothing(tmp_path: Path) -> None:
    """A gain on a channel before BatchNormalization is divided out by the batch's own deviation."""
    rng = np.random.default_rng(0)
    parts = {"w": rng.standard_normal((5, 4)).astype(np.float32), "m": np.zeros(5, np.float32)}
    parts |= {"v": np.ones(5, np.float32), "g": np.ones(5, np.float32), "b": np.zeros(5, np.float32)}
    nodes = [node("Gemm", "x w", "h", transB=1), node("BatchNormalization", "h g b m v", "y", epsilon=1e-12)]
    path = save(model(nodes, parts, {"x": ["n", 4]}), tmp_path)
    x = rng.standard_normal((30, 4)).astype(np.float32)
    probe = Probe(path, {"x": x, "labels": rng.integers(0, 5, 30)}, batchnorm="batch")
    larger = probe.theta0.copy()
    larger[probe.parameters[0].slice] *= 7
    assert probe.loss(larger) == pytest.approx(probe.loss(probe.theta0), rel=1e-4)


def test_ties_and_untying(tmp_path: Path) -> None:
    table = weights(6, 6) / 64
    nodes = [node("MatMul", "x w", "h"), node("Tanh", "h", "a"), node("MatMul", "a w", "y")]
    path = save(model(nodes, {"w": table}, {"x": ["n", 6]}), tmp_path)
    data = {"x": weights(9, 6) / 8, "target": weights(9, 6, seed=1) / 8}
    tied, untied = Probe(path, data), Probe(path, data, untie=True)
    assert tied.ties == {"w": 2}
    assert len(untied.theta0) == 2 * len(tied.theta0) == 72
    assert [p.name for p in untied.parameters] == ["w", "w#2"]
    assert tied.loss(tied.theta0) == pytest.approx(untied.loss(untied.theta0), rel=1e-6)
    (_, one), (_, two) = tied.loss_and_gradient(tied.theta0), untied.loss_and_gradient(untied.theta0)
    np.testing.assert_allclose(one, two[:36] + two[36:], rtol=1e-4)


def test_constant_nodes_and_stored_types(tmp_path: Path) -> None:
    """Weights in Constant nodes are lifted; float16 and float64 are fed as float32."""
    for dtype in (np.float16, np.float64):
        w = (weights(4, 3) / 64).astype(dtype)
        constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(w, "w"))
        proto = model([constant, node("MatMul", "x w", "y")], {}, {"x": ["n", 4]}, dtype=dtype)
        probe = Probe(save(proto, tmp_path), {"x": weights(5, 4) / 8, "target": weights(5, 3) / 8})
        loss, gradient = probe.loss_and_gradient(probe.theta0)
        assert [p.name for p in probe.parameters] == ["w"]
        x, t = weights(5, 4).astype(float) / 8, weights(5, 3).astype(float) / 8
        residual = x @ w.astype(float) - t
        close = 2e-2 if dtype == np.float16 else 1e-5
        assert loss == pytest.approx(float(np.mean(residual**2)), rel=close)
        np.testing.assert_allclose(gradient.reshape(4, 3), 2 / 15 * x.T @ residual, rtol=close, atol=close)


def test_branch_that_always_runs(tmp_path: Path) -> None:
    """An If whose condition depends on shapes alone is its branch; weights in it are parameters."""
    w = weights(4, 3) / 64
    then = graph([node("MatMul", "x w", "a")], {"w": w}, {}, ["a"])
    other = graph([node("MatMul", "x v", "a2")], {"v": w * 2}, {}, ["a2"])
    rank = helper.make_node("Shape", ["x"], ["shape"])
    columns = node("Gather", "shape one", "columns")
    same = node("Equal", "columns four", "same")
    choice = helper.make_node("If", ["same"], ["y"], then_branch=then, else_branch=other)
    held = {"one": np.array(1), "four": np.array(4)}
    for opset in (16, 21):
        proto = model([rank, columns, same, choice], held, {"x": ["n", 4]}, opset=opset)
        probe = Probe(save(proto, tmp_path), {"x": weights(5, 4) / 8, "target": weights(5, 3) / 8})
        assert [p.name for p in probe.parameters] == ["w"]
        _, gradient = probe.loss_and_gradient(probe.theta0)
        assert relative_error(probe.loss, probe.theta0, gradient, step=1e-2) < 1e-4


OTHER = graph([node("Identity", "x", "same")], {}, {}, ["same"])
"""A branch that never runs."""


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("opset", [16, 21])
def test_constants_of_any_kind_in_a_branch_that_always_runs(tmp_path: Path, kind: str, opset: int) -> None:
    w, fed = weights(4, 3) / 64, {"x": weights(5, 4) / 8, "target": weights(5, 3) / 8}
    scaled = [node("Cast", "c", "f", to=1), node("MatMul", "x w", "m"), node("Mul", "m f")]
    plain = Probe(
        save(model(scaled, {"w": w, "c": np.array(2)}, {"x": ["n", 4]}, opset=opset), tmp_path), fed
    )
    branch = graph([constant(kind, "c"), *scaled], {"w": w}, {}, ["y"])
    proto = model(
        [helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=OTHER)],
        {"yes": np.array(True)},
        {"x": ["n", 4]},
        outputs=["z"],
        opset=opset,
    )
    probe = Probe(save(proto, tmp_path), fed)
    assert probe.loss(probe.theta0) == plain.loss(plain.theta0)
    assert "w" in [parameter.name for parameter in probe.parameters]


def test_a_sparse_weight_of_a_branch_that_always_runs(tmp_path: Path) -> None:
    w, fed = weights(4, 3) / 64, {"x": weights(5, 4) / 8, "target": weights(5, 3) / 8}
    branch = graph([node("MatMul", "x w")], {}, {}, ["y"])
    held, places = numpy_helper.from_array(w.ravel(), "w"), numpy_helper.from_array(np.arange(w.size))
    branch.sparse_initializer.append(helper.make_sparse_tensor(held, places, w.shape))
    chosen = helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=OTHER)
    proto = model([chosen], {"yes": np.array(True)}, {"x": ["n", 4]}, outputs=["z"])
    probe = Probe(save(proto, tmp_path), fed)
    np.testing.assert_array_equal(probe.theta0, w.ravel())


@pytest.mark.parametrize("place", ["initializer", "Constant", "branch"])
def test_a_sparse_weight_beside_the_file(tmp_path: Path, place: str) -> None:
    w, fed = weights(4, 3) / 64, {"x": weights(5, 4) / 8, "target": weights(5, 3) / 8}
    held = numpy_helper.from_array(w.ravel(), "w")
    (tmp_path / "w.bin").write_bytes(held.raw_data)
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="w.bin")
    sparse = helper.make_sparse_tensor(held, numpy_helper.from_array(np.arange(w.size)), w.shape)
    nodes = [node("MatMul", "x w")]
    if place == "Constant":
        nodes.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=sparse))
    plain = model(nodes, {}, {"x": ["n", 4]})
    if place == "branch":
        branch = graph([node("MatMul", "x w")], {}, {}, ["y"])
        branch.sparse_initializer.append(sparse)
        chosen = helper.make_node("If", ["yes"], ["z"], then_branch=branch, else_branch=OTHER)
        plain = model([chosen], {"yes": np.array(True)}, {"x": ["n", 4]}, outputs=["z"])
    elif place == "initializer":
        plain.graph.sparse_initializer.append(sparse)
    path = save(plain, tmp_path)
    np.testing.assert_array_equal(Probe(path, fed).theta0, w.ravel())
    (name,) = [parameter.name for parameter in Probe(path, fed).parameters]
    other = tmp_path / "other"
    other.mkdir()
    changed = save(with_weights(load(path), {name: w + 1}), other)
    np.testing.assert_array_equal(Probe(changed, fed).theta0, (w + 1).ravel())


def test_batch_baked_into_a_reshape(tmp_path: Path) -> None:
    w = weights(6, 3) / 64
    nodes = [node("Reshape", "x shape", "h"), node("MatMul", "h w", "y")]
    proto = model(nodes, {"w": w, "shape": np.array([4, 6])}, {"x": ["n", 2, 3]})
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((10, 2, 3)).astype(np.float32), rng.integers(0, 3, 10)
    probe = Probe(save(proto, tmp_path), {"x": x, "labels": labels})
    assert probe.batch_size == 4
    expected = -log_softmax(x.reshape(10, 6) @ w)[np.arange(10), labels].mean()
    loss, gradient = probe.loss_and_gradient(probe.theta0)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert relative_error(probe.loss, probe.theta0, gradient) < 1e-4


def test_missing_rule_names_operation_and_node(tmp_path: Path) -> None:
    nodes = [node("Gemm", "x w", "h", name="fc"), node("Acosh", "h", "y", name="odd one")]
    path = save(model(nodes, {"w": np.abs(weights(4, 3))}, {"x": ["n", 4]}), tmp_path)
    probe = Probe(path, {"x": np.abs(weights(5, 4)) + 1, "target": weights(5, 3)})
    assert np.isfinite(probe.loss(probe.theta0))
    assert not probe.has_rules
    with pytest.raises(ModelError, match="Acosh 'odd one' has no gradient rule"):
        probe.loss_and_gradient(probe.theta0)
    assert relative_error(probe.loss, probe.theta0, probe.gradient_by_differences(probe.theta0)) < 1e-3


def test_finite_differences_are_for_small_models(digits: Data) -> None:
    probe = Probe(SAMPLES / "mlp_jax.onnx", digits)
    with pytest.raises(ModelError, match="at most 300 parameters"):
        probe.gradient_by_differences(probe.theta0)


def test_quantised_model_has_a_loss_and_no_gradient(tmp_path: Path) -> None:
    codes = np.arange(-6, 6, dtype=np.int8).reshape(4, 3)
    nodes = [node("DequantizeLinear", "q s", "w"), node("MatMul", "x w", "y", name="fc")]
    path = save(model(nodes, {"q": codes, "s": np.float32(0.1)}, {"x": ["n", 4]}), tmp_path)
    probe = Probe(path, {"x": weights(5, 4), "labels": np.array([0, 1, 2, 0, 1])})
    assert len(probe.theta0) == 0
    expected = -log_softmax(weights(5, 4) @ (codes * 0.1))[np.arange(5), [0, 1, 2, 0, 1]].mean()
    assert probe.loss(probe.theta0) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ModelError, match="12 weights are stored in codes"):
        probe.loss_and_gradient(probe.theta0)


def test_a_model_that_quantises_to_int8_has_a_loss_whatever_onnxruntime_makes_of_it(tmp_path: Path) -> None:
    """Its passes made a model that it does not take of one in an opset that it was raised to."""
    scale, zero = np.float32(0.05), np.int8(3)
    nodes = [
        node("MatMul", "x w", "h"),
        node("QuantizeLinear", "h s z", "q"),
        node("DequantizeLinear", "q s z", "d"),
        node("Slice", "d begin end axis", "y"),
    ]
    ends = {name: np.array([value]) for name, value in (("begin", 0), ("end", 3), ("axis", 1))}
    held = {"w": weights(4, 5), "s": scale, "z": zero, **ends}
    path = save(model(nodes, held, {"x": ["n", 4]}, opset=13), tmp_path)
    probe = Probe(path, {"x": weights(5, 4), "labels": np.array([0, 1, 2, 0, 1])})
    codes = np.clip(np.round(weights(5, 4) @ weights(4, 5) / scale) + 3, -128, 127)
    expected = (scale * (codes - 3))[:, :3]
    np.testing.assert_allclose(probe.outputs(probe.theta0), expected, atol=1e-6)


def test_training_mode_is_refused(tmp_path: Path) -> None:
    parts = {name: np.ones(3, np.float32) for name in "gbmv"} | {"w": weights(4, 3)}
    normal = node("BatchNormalization", "h g b m v", "y m2 v2", name="bn", training_mode=1)
    nodes = [node("MatMul", "x w", "h"), normal]
    path = save(model(nodes, parts, {"x": ["n", 4]}), tmp_path)
    data = {"x": weights(5, 4), "labels": np.zeros(5, int)}
    with pytest.raises(ModelError, match="BatchNormalization 'bn' in training mode"):
        Probe(path, data)
    drop = node("Dropout", "h r t", "y", name="drop")
    held = {"w": weights(4, 3), "r": np.float32(0.5), "t": np.array(True)}
    path = save(model([nodes[0], drop], held, {"x": ["n", 4]}), tmp_path)
    with pytest.raises(ModelError, match="Dropout 'drop' in training mode"):
        Probe(path, data)


def test_wrong_theta(digits: Data) -> None:
    probe = Probe(SAMPLES / "mlp_jax.onnx", digits)
    with pytest.raises(UsageError, match=r"wanted theta of shape \(12060,\), found \(3,\)"):
        probe.loss(np.zeros(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batchnorm": "none"}, "batchnorm: wanted one of"),
        ({"execution": "fast"}, "execution: wanted one of"),
        ({"loss": "hinge"}, "loss: wanted one of"),
        ({"l2": -1.0}, "l2: wanted a number of at least 0"),
        ({"batch_size": 0}, "batch_size: wanted a whole number of at least 1"),
        ({"output": "nothing"}, "wanted an output out of logits"),
        ({"loss": "mse"}, "wanted a target of the output's shape"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str, digits: Data) -> None:
    with pytest.raises(UsageError, match=message):
        Probe(SAMPLES / "mlp_jax.onnx", digits, **options)  # type: ignore[arg-type]


def test_several_outputs(tmp_path: Path, digits: Data) -> None:
    nodes = [node("Gemm", "x w", "y"), node("Relu", "y", "z")]
    path = save(model(nodes, {"w": weights(64, 10) / 64}, {"x": ["n", 64]}, ["y", "z"]), tmp_path)
    with pytest.raises(UsageError, match=r"one output of floats, found 2 \(y, z\)"):
        Probe(path, digits)
    assert Probe(path, digits, output="z").loss_name == "cross-entropy"


def test_model_without_rule_for_old_opsets_is_converted(tmp_path: Path, digits: Data) -> None:
    few = {name: array[:20] for name, array in digits.items()}
    proto = mlp(64, 12, 10)
    for opset in (7, 9, 11, 13, 17, 20):
        proto.opset_import[0].version = opset
        probe = Probe(save(proto, tmp_path), few)
        scaled = probe.theta0 / 64
        _, gradient = probe.loss_and_gradient(scaled)
        assert relative_error(probe.loss, scaled, gradient, step=1e-3) < 2e-3


def test_fused_operations_give_the_loss_and_gradient_of_ordinary_ones(tmp_path: Path) -> None:
    held = {"w": (6, 4), "b": (6,), "g": (6,), "v": (6, 3)}
    arrays = {name: weights(*shape, seed=seed) / 8 for seed, (name, shape) in enumerate(held.items())}
    plain = [
        node("Gemm", "x w b", "p", transB=1), node("Tanh", "p", "h"), node("Gelu", "h", "k"),
        node("Add", "h k", "s"), node("LayerNormalization", "s g", "n", epsilon=1e-3),
        node("MatMul", "n v"),
    ]  # fmt: skip
    fused = [
        node("com.microsoft.FusedGemm", "x w b", "h", transB=1, activation="Tanh"),
        node("com.microsoft.Gelu", "h", "k"),
        node("com.microsoft.SkipLayerNormalization", "h k g", "n", epsilon=1e-3),
        node("com.microsoft.FusedMatMul", "n v"),
    ]
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((9, 4)).astype(np.float32), "labels": np.arange(9) % 3}
    found = []
    for name, nodes in (("plain", plain), ("fused", fused)):
        path = save(model(nodes, arrays, {"x": ["n", 4]}), tmp_path, f"{name}.onnx")
        probe = Probe(path, data, threads=1)
        assert [p.name for p in probe.parameters] == ["w", "b", "g", "v"]
        assert [p.role for p in probe.parameters] == ["weight", "bias", "normalisation", "weight"]
        found.append((*probe.loss_and_gradient(probe.theta0), find_groups_of(path, probe)))
    (loss, gradient, groups), (fused_loss, fused_gradient, fused_groups) = found
    assert fused_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(fused_gradient, gradient, rtol=1e-5, atol=1e-7)
    assert fused_groups == groups == [(6, True, 4)]  # a gain may change its sign with what reads it


def test_one_zero_point_for_more_scales_than_the_version_converter_sees(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.integers(-127, 127, (4, 1100)).astype(np.int8),
        "s": rng.uniform(0.01, 0.02, 1100).astype(np.float32),
        "v": (rng.standard_normal((1100, 3)) / 30).astype(np.float32),
    }
    data = {"x": rng.standard_normal((9, 4)).astype(np.float32), "labels": np.arange(9) % 3}
    nodes = [node("com.microsoft.DynamicQuantizeMatMul", "x w s z", "h"), node("MatMul", "h v")]
    losses = []
    for name, zero in (("one", np.int8(3)), ("many", np.full(1100, 3, np.int8))):
        proto = model(nodes, {**arrays, "z": np.array(zero)}, {"x": ["n", 4]})
        probe = Probe(save(proto, tmp_path, f"{name}.onnx"), data, threads=1)
        losses.append(probe.loss(probe.theta0))
    assert losses[0] == losses[1]


def find_groups_of(path: Path, probe: Probe) -> list[tuple[int, bool, int]]:
    layout = {p.name: (p.slice, p.shape) for p in probe.parameters}
    groups = find_groups(load(path), layout).groups
    return [(group.size, group.odd, len(group.members)) for group in groups]
