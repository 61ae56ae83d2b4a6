"""Directions and scores whose answers are known, and the whole summary."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from onnxtop.errors import UsageError
from onnxtop.landscape.story import loss_barcode
from onnxtop.loss.directions import along, filter_normalised, over
from onnxtop.loss.options import ProbeOptions
from onnxtop.loss.parameters import Parameter
from onnxtop.loss.scores import scores
from onnxtop.loss.summary import LossProbeResult, probe
from onnxtop.loss.targets import Targets
from tests.loss.conftest import SAMPLES, Data
from tests.models import model, node, save, weights

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("axis", "others"), [(0, (1,)), (1, (0,)), (None, (0, 1))])
def test_filters_of_a_direction_have_the_models_lengths(axis: int | None, others: tuple[int, ...]) -> None:
    parameters = (
        Parameter("w", "weight", "fc", (3, 4), 0, 12, axis),
        Parameter("b", "bias", "fc", (3,), 12, 15),
    )
    theta = RNG.standard_normal(15).astype(np.float32)
    direction = filter_normalised(theta, parameters, 1)
    own, random = theta[:12].reshape(3, 4), direction[:12].reshape(3, 4)
    np.testing.assert_allclose(
        np.sqrt((random**2).sum(axis=others)), np.sqrt((own**2).sum(axis=others)), rtol=1e-5
    )
    assert not direction[12:].any()
    np.testing.assert_array_equal(direction, filter_normalised(theta, parameters, 1))


def test_output_axis_of_stored_weights(digits: Data) -> None:
    from onnxtop.loss.probe import Probe

    for name, axes in (
        ("mlp_torch_legacy", [0, 0, 0]),
        ("mlp_tensorflow", [1, 1, 1]),
        ("cnn_jax", [0, 0, 1]),
    ):
        probe = Probe(SAMPLES / f"{name}.onnx", digits)
        assert [p.output_axis for p in probe.parameters if p.role == "weight"] == axes


def test_lines_and_planes() -> None:
    def square(theta: np.ndarray) -> float:
        return float(np.sum(theta**2))

    theta, one, two = np.zeros(2, np.float32), *np.eye(2, dtype=np.float32)
    line = along(square, theta, 2 * one, [-1, 0, 0.5], "x")
    assert (line.losses, line.length) == ((4, 0, 1), 2)
    assert over(square, theta, one, 3 * two, [0, 1]).losses == ((0, 1), (9, 10))


def test_scores_of_classes() -> None:
    outputs = np.eye(7)[[0, 1, 2, 2]] + np.linspace(0, 0.1, 7)
    found = scores(outputs, Targets(np.array([0, 1, 2, 3]), None), 1, False, 0)
    assert (found.accuracy, found.top5) == (0.75, 1.0)
    assert [(c.label, c.samples, c.recall, c.precision) for c in found.classes] == [
        (0, 1, 1, 1), (1, 1, 1, 1), (2, 1, 1, 0.5), (3, 1, 0, None),
    ]  # fmt: skip
    counted = Targets(np.array([0, 1, 2, 3]), np.array([True, True, True, False]))
    assert scores(outputs, counted, 1, False, 0).accuracy == 1


def test_scores_of_numbers_and_of_zeros_and_ones() -> None:
    target = Targets(np.array([[1.0], [3.0]], np.float32), None)
    assert scores(np.array([[2.0], [3.0]]), target, None, False, 0).rmse == pytest.approx(np.sqrt(0.5))
    found = scores(np.array([0.2, 0.8]), Targets(np.array([1.0, 1.0], np.float32), None), None, True, 0.5)
    assert found.accuracy == 0.5


# The whole


def test_summary_of_a_sample_model() -> None:
    steps: list[tuple[str, int, int]] = []
    options = ProbeOptions(points=5, surface=3)
    result = probe(
        SAMPLES / "mlp_jax.onnx", SAMPLES / "digits.npz", options, progress=lambda *step: steps.append(step)
    )
    assert (result.samples, result.parameters, result.loss_name) == (1297, 12060, "cross-entropy")
    assert result.accuracy is not None
    assert result.accuracy > 0.99
    assert [(s.name, s.samples, s.accuracy) for s in result.splits] == [("test", 500, 0.972)]
    assert result.gradient_norm is not None
    assert sum(layer.share for layer in result.layers) == pytest.approx(1)
    assert [layer.parameters for layer in result.layers] == [6500, 5050, 510]
    assert [profile.name for profile in result.profiles] == ["random 1", "random 2", "gradient"]
    assert all(profile.losses[2] == pytest.approx(result.loss, rel=1e-5) for profile in result.profiles)
    assert result.descent is not None
    assert result.descent.loss < 0.01
    assert result.descent.gain == pytest.approx(result.loss - result.descent.loss)
    assert not result.descent.minimum
    assert result.sharpness is not None
    assert result.sharpness.largest_eigenvalue > 0
    assert result.surface is not None
    assert result.surface.losses[1][1] == pytest.approx(result.loss, rel=1e-5)
    assert [number for _, number, _ in steps] == list(range(9))
    plain = result.to_dict()
    assert plain == json.loads(json.dumps(plain))
    again = probe(SAMPLES / "mlp_jax.onnx", SAMPLES / "digits.npz", options)
    assert again.to_dict() == plain


@pytest.mark.parametrize("name", ["cnn_torch_legacy", "transformer_torch_dynamo", "lstm_torch_dynamo"])
def test_summary_gives_the_accuracy_of_the_readme(name: str) -> None:
    options = ProbeOptions(split="test", profile=False, sharpness=False, descent=False)
    result = probe(SAMPLES / f"{name}.onnx", SAMPLES / "digits.npz", options)
    assert result.accuracy == {"cnn": 0.994, "tra": 0.974, "lst": 0.982}[name[:3]]
    assert result.split == "test"


def test_budget_ends_the_work() -> None:
    result = probe(SAMPLES / "mlp_jax.onnx", SAMPLES / "digits.npz", ProbeOptions(budget=0))
    assert result.stopped == "budget"
    assert result.loss is not None
    assert result.gradient_norm is None


def test_interrupt_keeps_what_is_there() -> None:
    def progress(what: str, done: int, total: int) -> None:
        if what == "descent":
            raise KeyboardInterrupt

    result = probe(SAMPLES / "mlp_jax.onnx", SAMPLES / "digits.npz", progress=progress)
    assert result.stopped == "interrupt"
    assert result.gradient_norm is not None
    assert result.descent is None


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Return a model with an operation without a rule, and data beside it."""
    nodes = [node("MatMul", "x w", "h"), node("Acosh", "h", "y", name="odd")]
    np.savez(tmp_path / "d.npz", x=np.abs(weights(5, 4)) + 1, target=weights(5, 3))
    return save(model(nodes, {"w": np.abs(weights(4, 3))}, {"x": ["n", 4]}), tmp_path)


def test_reason_for_no_gradient(odd: Path) -> None:
    result = probe(odd, odd.parent / "d.npz")
    assert "Acosh 'odd' has no gradient rule" in result.gradient_reason
    assert result.gradient_norm is None
    assert (result.rmse is not None, result.accuracy) == (True, None)
    assert len(result.profiles) == 2


def test_differences_on_request(odd: Path) -> None:
    result = probe(odd, odd.parent / "d.npz", ProbeOptions(differences=True, points=3))
    assert result.gradient_reason == ""
    assert result.gradient_norm is not None
    assert result.descent is not None


def test_differences_that_cannot_be_had_leave_the_loss(tmp_path: Path) -> None:
    """There are too many parameters, or none: the weights are codes."""
    many = [node("MatMul", "x w", "h"), node("Acosh", "h", "y")]
    codes = [node("DequantizeLinear", "w scale zero", "d"), node("MatMul", "x d", "y")]
    wide = np.abs(weights(4, 100))
    stored = {
        "w": np.arange(-6, 6, dtype=np.int8).reshape(4, 3),
        "scale": np.float32(0.1),
        "zero": np.int8(0),
    }
    x = np.abs(weights(5, 4)) + 1
    for nodes, held, why in (
        (many, {"w": wide}, "wanted at most 300 parameters .*, found 400"),
        (codes, stored, "stored in codes"),
    ):
        path = save(model(nodes, held, {"x": ["n", 4]}), tmp_path)
        width = held["w"].shape[1]
        result = probe(path, {"x": x, "target": weights(5, width)}, differences=True, points=3)
        assert re.search(why, result.gradient_reason)
        assert result.loss is not None
        assert (result.gradient_norm, result.descent, result.sharpness) == (None, None, None)


def test_plain_values_have_no_infinities() -> None:
    result = LossProbeResult(loss=float("nan"), gradient_norm=1 / 3)
    assert result.to_dict()["loss"] is None
    assert result.to_dict()["gradient_norm"] == 0.333333333333


def test_other_split_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    with np.load(SAMPLES / "digits.npz") as data:
        arrays = {"x": data["x_test"], "labels": data["labels_test"], "x_odd": data["x"][:5, :3]}
    np.savez(tmp_path / "d.npz", **arrays, labels_odd=np.zeros(5, int))
    options = ProbeOptions(gradient=False, profile=False)
    result = probe(SAMPLES / "mlp_jax.onnx", tmp_path / "d.npz", options)
    assert result.splits == ()
    with pytest.raises(UsageError):
        probe(SAMPLES / "mlp_jax.onnx", tmp_path / "d.npz", ProbeOptions(split="odd"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"labels_test": np.arange(3)}, "wanted one entry of 'labels' for each sample, found 3"),
        ({"labels_test": np.full(20, 11)}, "wanted labels from 0 to 9"),
        (
            {"x_test": np.full((20, 64), np.nan, np.float32)},
            "wanted finite numbers, found NaN or infinity in 'x'",
        ),
        ({"x_test": np.zeros((20, 63), np.float32)}, "wanted samples of shape 64"),
    ],
)
def test_another_split_that_does_not_fit_is_told(
    change: dict[str, np.ndarray], why: str, digits: Data
) -> None:
    """By the probe, and by the loss barcode, whose work it does not undo."""
    few = {name: array[:20] for name, array in digits.items()}
    data = {**few, **{f"{name}_test": array for name, array in few.items()}, **change}
    found = probe(SAMPLES / "mlp_jax.onnx", data, gradient=False, profile=False)
    assert (found.splits, found.failed) == ((), ())
    assert found.loss is not None
    assert found.notes[-1].startswith(f"split test is left out: {why}")
    two = sorted((SAMPLES / "minima").glob("*.onnx"))[:2]
    landscape = loss_barcode(two, data, finder="line", polish=0, jobs=1)
    assert [each.test_accuracy for each in landscape.minima] == [None, None]
    assert any(note.startswith(f"split test is left out: {why}") for note in landscape.notes)


def test_a_model_that_fails_on_another_split_has_failed(tmp_path: Path) -> None:
    cast = node("Cast", "x", "places", to=TensorProto.INT64)
    nodes = [cast, node("Gather", "table places", "h"), node("MatMul", "h w", "y")]
    held = {"table": weights(5, 3), "w": weights(3, 2)}
    path = save(model(nodes, held, {"x": ["n"]}), tmp_path)
    right, wrong = np.arange(5, dtype=np.float32), np.array([0, 7], np.float32)
    labels = np.zeros(5, np.int64)
    data = {"x": right, "labels": labels, "x_test": wrong, "labels_test": labels[:2]}
    found = probe(path, data, gradient=False, profile=False)
    assert found.loss is not None
    (told,) = found.failed
    assert told.startswith("split test: onnxruntime cannot run the model on this data: ")
