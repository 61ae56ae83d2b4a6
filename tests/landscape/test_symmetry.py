"""Groups of units, checked by renumbering them at random and running the model."""

from pathlib import Path

import numpy as np
import pytest

from onnxtop.landscape.alignment import align, renumbered
from onnxtop.landscape.symmetry import find_groups
from onnxtop.loss.probe import Probe
from onnxtop.reader.model import load
from tests.models import model, node, save, weights

SAMPLES = Path(__file__).parents[2] / "sample_models"


@pytest.fixture(scope="module")
def digits():
    with np.load(SAMPLES / "digits.npz") as data:
        return {"x": data["x"][:64], "labels": data["labels"][:64]}


def moved_and_run(path, data, batchnorm="batch"):
    """Renumber all groups at random; return them, how far the outputs and theta move, and the way back."""
    probe = Probe(path, data, batchnorm=batchnorm, threads=1)
    layout = {p.name: (p.slice, p.shape) for p in probe.parameters}
    found = find_groups(load(path), layout, batch_statistics=batchnorm != "frozen")
    rng = np.random.default_rng(0)
    theta = probe.theta0.astype(float)
    copy = theta
    for group in found.groups:
        signs = rng.choice([-1.0, 1.0], group.size) if group.odd else None
        copy = renumbered(copy, group, rng.permutation(group.size), signs, layout)
    before, after = probe.outputs(theta), probe.outputs(copy)
    back = align(theta, copy, found.groups, layout)
    return (
        found,
        np.abs(before - after).max() / np.abs(before).max(),
        np.abs(theta - copy).max(),
        back - theta,
    )


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mlp_torch_dynamo", [50, 100]),
        ("mlp_tensorflow", [50, 100]),
        ("mlp_jax", [50, 100]),
        ("mlp_sklearn", [50, 100]),
        ("cnn_torch_legacy", [12, 16]),
        ("cnn_torch_dynamo", [12, 16]),
        ("transformer_torch_legacy", [32, 64, 64]),
        ("minima/seed_1", [3]),
    ],
)
def test_sample_models(name, sizes, digits):
    found, apart, shifted, back = moved_and_run(SAMPLES / f"{name}.onnx", digits)
    assert sorted(group.size for group in found.groups) == sizes
    assert shifted > 0.1
    assert apart < 1e-5
    assert np.abs(back).max() == 0
    assert all(group.odd == name.startswith("minima") for group in found.groups)


@pytest.mark.parametrize(
    "name", ["cnn_tensorflow", "cnn_jax", "transformer_jax", "transformer_tensorflow", "lstm_torch_legacy"]
)
def test_what_is_found_is_right_in_every_sample(name, digits):
    _, apart, _, back = moved_and_run(SAMPLES / f"{name}.onnx", digits)
    assert apart < 1e-5
    assert np.abs(back).max() == 0


def test_stored_statistics_hold_units_in_place(digits):
    found, apart, _, _ = moved_and_run(SAMPLES / "cnn_torch_legacy.onnx", digits, "frozen")
    assert not found.groups
    assert found.notes == ("BatchNormalization holds units in place",)
    assert apart == 0


HIDDEN = {
    "identity": ([], [(5, True, 3)]),
    "residual": (
        [node("MatMul", "h r", "q"), node("Tanh", "q", "t"), node("Add", "h t", "k")],
        [(5, True, 5)],
    ),
    "gate": ([node("Sigmoid", "h", "s"), node("Mul", "h s", "k")], [(5, False, 3)]),
    "mean": ([node("ReduceMean", "h axis", "m"), node("Sub", "h m", "k")], [(5, False, 3)]),
    "order": ([node("CumSum", "h axis", "k")], []),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_stands_between_two_layers(tmp_path, name):
    between, wanted = HIDDEN[name]
    last = between[-1].output[0] if between else "h"
    nodes = [node("Gemm", "x w b", "z"), node("Tanh", "z", "h"), *between, node("MatMul", f"{last} v", "y")]
    shapes = {"w": (4, 5), "b": (5,), "v": (5, 3), "r": (5, 5)}
    used = {value for each in nodes for value in each.input}
    held = {tensor: weights(*shape) for tensor, shape in shapes.items() if tensor in used}
    if name in ("mean", "order"):
        held["axis"] = np.array([1]) if name == "mean" else np.array(1)
    path = save(model(nodes, held, inputs={"x": ["n", 4]}), tmp_path)
    rng = np.random.default_rng(1)
    data = {"x": rng.standard_normal((16, 4)).astype(np.float32), "labels": np.arange(16) % 3}
    found, apart, _, back = moved_and_run(path, data)
    assert [(group.size, group.odd, len(group.members)) for group in found.groups] == wanted
    assert apart < 1e-5
    assert np.abs(back).max() < 1e-6
    assert found.notes == (("CumSum holds units in place",) if name == "order" else ())
