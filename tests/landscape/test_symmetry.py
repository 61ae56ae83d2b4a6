"""Groups of units, checked by renumbering them at random and running the model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxtop.landscape.alignment import align, balanced, scrambled
from onnxtop.landscape.story import loss_barcode
from onnxtop.landscape.symmetry import find_groups
from onnxtop.loss.prepare.whole import with_weights
from onnxtop.loss.probe import Probe
from onnxtop.reader.loading import load
from tests.models import model, node, save, weights

SAMPLES = Path(__file__).parents[2] / "sample_models"


@pytest.fixture(scope="module")
def digits():
    with np.load(SAMPLES / "digits.npz") as data:
        return {"x": data["x"][:24], "labels": data["labels"][:24]}


def layout_of(probe):
    return {p.name: (p.slice, p.shape) for p in probe.parameters}


def moved_and_run(path, data, batchnorm="batch"):
    """Renumber all groups at random; return them, how far the outputs and theta move, and the way back."""
    probe = Probe(path, data, batchnorm=batchnorm, threads=1)
    layout = layout_of(probe)
    found = find_groups(load(path), layout, batch_statistics=batchnorm != "frozen")
    theta = balanced(probe.theta0.astype(float), found.groups, layout)
    copy = scrambled(theta, found.groups, layout, seed=0)
    outputs = [probe.outputs(each) for each in (probe.theta0, theta, copy)]
    apart = max(np.abs(outputs[0] - each).max() for each in outputs[1:]) / np.abs(outputs[0]).max()
    back = align(theta, balanced(copy, found.groups, layout), found.groups, layout)
    return found, apart, np.abs(theta - copy).max(), back - theta


RELU, TANH, NONE, LINEAR = (False, True), (True, False), (False, False), (True, True)
CHARGES = {"mlp": RELU, "lstm": TANH, "minima": LINEAR}
HEADS = ("heads", 4, (8, 8))
SIZES = {
    "mlp": [50, 100],
    "cnn": [12, 16],
    "transformer": [32, 64, 64, HEADS, HEADS],
    "lstm": [48],
    "minima/seed": [3],
}
"""Of the groups of every sample model; heads with the columns of queries and keys, and of values."""

NAMES = [path.stem for path in sorted(SAMPLES.glob("*.onnx"))]


def said(group):
    if not group.inner:
        return group.size
    assert len({tuple(each.size for each in inner) for inner in group.inner}) == 1
    return "heads", group.size, tuple(each.size for each in group.inner[0])


@pytest.mark.parametrize("name", [*NAMES, "minima/seed_1"])
def test_sample_models(name, digits):
    found, apart, shifted, back = moved_and_run(SAMPLES / f"{name}.onnx", digits)
    wanted = SIZES[name.partition("_")[0]]
    assert sorted(map(said, found.groups), key=str) == sorted(wanted, key=str)
    assert shifted > 0.1
    assert apart < 1e-5
    assert np.abs(back).max() < 1e-9
    assert found.notes == ()
    if kind := next(filter(name.startswith, CHARGES), None):
        assert {(group.odd, group.homogeneous) for group in found.groups} == {CHARGES[kind]}


@pytest.mark.parametrize(
    "name", ["mlp_torch_legacy", "cnn_jax", "transformer_tensorflow", "lstm_torch_dynamo"]
)
def test_a_renumbered_copy_of_a_file_has_a_bar_of_length_0(name, digits, tmp_path):
    path = SAMPLES / f"{name}.onnx"
    probe, file = Probe(path, digits, threads=1), load(path)
    layout = layout_of(probe)
    groups = find_groups(file, layout).groups
    copy = scrambled(probe.theta0.astype(float), groups, layout, seed=1)
    onnx.save(with_weights(file, probe.tensors(copy)), tmp_path / "copy.onnx")
    options = {"finder": "line", "polish": 0, "jobs": 1}
    found = loss_barcode([path, tmp_path / "copy.onnx"], digits, **options)
    assert found.units == sum(group.units for group in groups)
    assert found.minima[1].length < 1e-6
    assert any("is the same network" in note and "renumbered" in note for note in found.notes)
    apart = loss_barcode([path, tmp_path / "copy.onnx"], digits, align=False, **options)
    assert apart.minima[1].length > 1e-3


def test_a_lstm_renumbered_by_hand(digits):
    """The rows of every gate, the columns that the state goes through, and what reads it."""
    path = SAMPLES / "lstm_torch_legacy.onnx"
    probe = Probe(path, digits, threads=1)
    order = np.random.default_rng(0).permutation(48)
    gates = (48 * np.arange(8)[:, None] + order).ravel()
    w, r, b, v, _ = tensors = list(probe.tensors(probe.theta0).values())
    tensors[:4] = w[:, gates[:192]], r[:, gates[:192]][:, :, order], b[:, gates], v[:, order]
    copy = np.concatenate([tensor.ravel() for tensor in tensors]).astype(float)
    groups = find_groups(load(path), layout_of(probe)).groups
    np.testing.assert_array_equal(
        align(probe.theta0.astype(float), copy, groups, layout_of(probe)), probe.theta0
    )


def test_stored_statistics_hold_units_in_place(digits):
    found, apart, _, _ = moved_and_run(SAMPLES / "cnn_torch_legacy.onnx", digits, "frozen")
    assert not found.groups
    assert found.notes == ("BatchNormalization holds 28 units in place, so bounds are looser",)
    assert apart == 0


HIDDEN = {
    "identity": ([], [(5, *TANH, 3)]),
    "residual": (
        [node("MatMul", "h r", "q"), node("Tanh", "q", "t"), node("Add", "h t", "k")],
        [(5, *TANH, 5)],
    ),
    "gate": ([node("Sigmoid", "h", "s"), node("Mul", "h s", "k")], [(5, *NONE, 3)]),
    "mean": ([node("ReduceMean", "h axis", "m"), node("Sub", "h m", "k")], [(5, *NONE, 3)]),
    "gain": ([node("Mul", "h g", "k")], [(5, *TANH, 4)]),
    "leaky": ([node("Neg", "z", "p"), node("LeakyRelu", "p", "k")], [(5, *RELU, 3)]),
    "both": ([node("Neg", "z", "k")], [(5, True, True, 3)]),
    "slope": ([node("PRelu", "z g", "k")], [(5, *RELU, 4)]),
    "shift": ([node("Add", "z one", "k")], [(5, *NONE, 3)]),
    "order": ([node("CumSum", "h axis", "k")], []),
    "halves": (
        [
            node("Concat", "z z", "c", axis=1),
            node("Split", "c", "s t", axis=1, num_outputs=2),
            node("Add", "s t", "k"),
        ],
        [(5, True, True, 3)],
    ),
    "turned": (
        [node("Reshape", "z wide", "s"), node("ReduceMax", "s axis", "k", keepdims=0)],
        [(5, *RELU, 3)],
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_stands_between_two_layers(tmp_path, name):
    between, wanted = HIDDEN[name]
    last = between[-1].output[0] if between else "h"
    inputs = {value for each in between for value in each.input} | {last}
    tanh = [node("Tanh", "z", "h")] if "h" in inputs else []
    nodes = [node("Gemm", "x w b", "z"), *tanh, *between, node("MatMul", f"{last} v", "y")]
    shapes = {"w": (4, 5), "b": (5,), "v": (5, 3), "r": (5, 5), "g": (5,)}
    used = {value for each in nodes for value in each.input}
    held = {tensor: weights(*shape) / 8 for tensor, shape in shapes.items() if tensor in used}
    held |= {"axis": np.array([1])} if "axis" in used else {}
    held |= {"axis": np.array(1)} if name == "order" else {}
    held |= {"one": np.ones(1, np.float32)} if "one" in used else {}
    held |= {"wide": np.array([-1, 1, 5])} if "wide" in used else {}
    path = save(model(nodes, held, inputs={"x": ["n", 4]}), tmp_path)
    rng = np.random.default_rng(1)
    data = {"x": rng.standard_normal((16, 4)).astype(np.float32), "labels": np.arange(16) % 3}
    found, apart, _, back = moved_and_run(path, data)
    described = [(group.size, group.odd, group.homogeneous, len(group.members)) for group in found.groups]
    assert described == wanted
    assert apart < 1e-5
    assert np.abs(back).max() < 1e-6
    looser = ("CumSum holds 5 units in place, so bounds are looser",)
    assert found.notes == (looser if name == "order" else ())


def numbers(*values):
    return np.array(values, np.int64)


RECURRENT = {"LSTM": (4, TANH), "GRU": (3, NONE), "RNN": (1, TANH)}


@pytest.mark.parametrize("op", RECURRENT)
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers(tmp_path, op, directions):
    gates, charges = RECURRENT[op]
    way = "bidirectional" if directions == 2 else "forward"
    nodes = [
        node("Transpose", "x", "t", perm=[1, 0, 2]),
        node(op, "t w r b", "- h", hidden_size=6, direction=way),
        node("Transpose", "h", "s", perm=[1, 0, 2]),
        node("Flatten", "s", "f"),
        node("MatMul", "f v", "y"),
    ]
    held = {
        "w": weights(directions, 6 * gates, 4) / 8,
        "r": weights(directions, 6 * gates, 6) / 16,
        "b": weights(directions, 12 * gates) / 8,
        "v": weights(6 * directions, 3) / 8,
    }
    path = save(model(nodes, held, inputs={"x": ["n", 5, 4]}), tmp_path)
    rng = np.random.default_rng(2)
    data = {"x": rng.standard_normal((8, 5, 4)).astype(np.float32), "labels": np.arange(8) % 3}
    found, apart, _, back = moved_and_run(path, data)
    assert apart < 1e-5
    assert np.abs(back).max() < 1e-6
    if directions == 1:
        assert [(group.size, group.odd, group.homogeneous) for group in found.groups] == [(6, *charges)]
    else:
        assert found.groups == ()


def test_fused_heads(tmp_path):
    """One matrix makes queries, keys and values of two heads; the residual stream is the input's."""
    nodes = [
        node("MatMul", "x w", "m"),
        node("Add", "m b", "a"),
        node("Split", "a", "q k v", axis=2, num_outputs=3),
        *(node("Reshape", f"{each} shape", f"{each}s") for each in "qkv"),
        node("Transpose", "qs", "qt", perm=[0, 2, 1, 3]),
        node("Transpose", "ks", "kt", perm=[0, 2, 3, 1]),
        node("Transpose", "vs", "vt", perm=[0, 2, 1, 3]),
        node("MatMul", "qt kt", "s"),
        node("Softmax", "s", "p"),
        node("MatMul", "p vt", "o"),
        node("Transpose", "o", "ot", perm=[0, 2, 1, 3]),
        node("Reshape", "ot flat", "of"),
        node("ReduceMean", "of axis", "mean", keepdims=0),
        node("MatMul", "mean u", "y"),
    ]
    held = {
        "w": weights(4, 24) / 16,
        "b": weights(24) / 8,
        "u": weights(8, 3) / 8,
        "shape": numbers(0, 5, 2, 4),
        "flat": numbers(0, 5, 8),
        "axis": numbers(1),
    }
    path = save(model(nodes, held, inputs={"x": ["n", 5, 4]}), tmp_path)
    rng = np.random.default_rng(3)
    data = {"x": rng.standard_normal((8, 5, 4)).astype(np.float32), "labels": np.arange(8) % 3}
    found, apart, _, back = moved_and_run(path, data)
    assert [said(group) for group in found.groups] == [("heads", 2, (4, 4))]
    (group,) = found.groups
    assert group.units == 16
    assert [[len(each.members) for each in inner] for inner in group.inner] == [[2, 3], [2, 3]]
    assert apart < 1e-5
    assert np.abs(back).max() < 1e-6


def test_what_is_shared_is_renumbered_once(tmp_path):
    """A layer that is used twice makes and reads the same units; tied to its own output it may not move."""
    nodes = [
        node("MatMul", "x w", "z"),
        node("Relu", "z", "h"),
        node("MatMul", "h r", "i"),
        node("Relu", "i", "j"),
        node("MatMul", "j r", "k"),
        node("MatMul", "k v", "y"),
    ]
    held = {"w": weights(4, 5) / 8, "r": weights(5, 5) / 16, "v": weights(5, 3) / 8}
    path = save(model(nodes, held, inputs={"x": ["n", 4]}), tmp_path)
    rng = np.random.default_rng(1)
    data = {"x": rng.standard_normal((16, 4)).astype(np.float32), "labels": np.arange(16) % 3}
    found, apart, _, back = moved_and_run(path, data)
    assert [(group.size, group.odd, group.homogeneous) for group in found.groups] == [(5, *NONE)]
    assert apart < 1e-5
    assert np.abs(back).max() < 1e-6


def test_a_model_with_the_same_weights_is_the_same():
    path = SAMPLES / "minima" / "seed_1.onnx"
    proto = with_weights(load(path), {})
    same = {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    for each in proto.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(each), same[each.name])
