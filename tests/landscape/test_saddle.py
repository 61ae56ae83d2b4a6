"""Passes that are passes: on surfaces whose saddles are known, and of networks."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from scipy.optimize import root

import onnxtop
from onnxtop.errors import ModelError, UsageError
from onnxtop.landscape.chain import Meter
from onnxtop.landscape.options import BarcodeOptions, PathOptions
from onnxtop.landscape.paths import find_path
from onnxtop.landscape.saddle import SMALL, refine_path
from onnxtop.landscape.writing import pass_files
from onnxtop.loss.descent import descend
from onnxtop.loss.prepare.whole import with_weights
from onnxtop.reader.loading import load
from onnxtop.reader.protos import VALUES
from onnxtop.results.landscape import Top
from tests.known_landscapes import TanhNet
from tests.models import constant, graph, model, node, run, save, weights

SAMPLES = Path(__file__).parents[2] / "sample_models"
TWO = [SAMPLES / "minima" / f"seed_{seed}.onnx" for seed in (1, 2)]

AMPLITUDES = np.array([-200.0, -100.0, -170.0, 15.0])
A, B, C = np.array([[-1, -1, -6.5, 0.7], [0, 0, 11, 0.6], [-10, -10, -6.5, 0.7]])
X, Y = np.array([[1, 0, -0.5, -1], [0, 0.5, 1.5, 1]])
BOTTOMS = np.array([[-0.558, 1.442], [-0.05, 0.467], [0.623, 0.028]])


def muller_brown(point):
    """K. Müller, L. D. Brown, Theor. Chim. Acta 53 (1979): three minima, two saddles."""
    dx, dy = point[0] - X, point[1] - Y
    each = AMPLITUDES * np.exp(A * dx**2 + B * dx * dy + C * dy**2)
    slope = np.array([(each * (2 * A * dx + B * dy)).sum(), (each * (B * dx + 2 * C * dy)).sum()])
    return float(each.sum()), slope


def height(point):
    return muller_brown(point)[0]


def bottom(number):
    return descend(muller_brown, BOTTOMS[number], iterations=200).point


PASSES = {(0, 1): ([-0.822, 0.624], -40.66484351), (1, 2): ([0.212, 0.293], -72.24894011)}


@pytest.mark.parametrize("ends", PASSES)
@pytest.mark.parametrize("gradients", [90, 1000])
def test_known_saddles(ends, gradients):
    near, wanted = PASSES[ends]
    exact = root(lambda point: muller_brown(point)[1], near, tol=1e-12).x
    start, end = map(bottom, ends)
    path = find_path(height, muller_brown, start, end, PathOptions(gradients=gradients))
    refined = refine_path(height, muller_brown, path, 1000)
    saddle = refined.saddle
    assert saddle.outcome is Top.SADDLE
    np.testing.assert_allclose(saddle.point, exact, atol=1e-6)
    assert saddle.loss == pytest.approx(wanted, abs=1e-8)
    assert saddle.gradient_norm < SMALL
    assert saddle.curvature < 0 < saddle.second
    assert refined.height <= path.height
    assert refined.height == pytest.approx(wanted, abs=1e-6)
    np.testing.assert_array_equal(refined.points[[0, -1]], [start, end])
    assert refined.straight == path.straight
    assert refined.gradients <= path.gradients + 1000


def test_the_highest_of_two_saddles_on_one_path():
    path = find_path(height, muller_brown, bottom(0), bottom(2))
    refined = refine_path(height, muller_brown, path)
    assert refined.saddle.loss == pytest.approx(PASSES[0, 1][1], abs=1e-8)
    assert refined.height <= path.height


@pytest.fixture(scope="module")
def found():
    """Return a network and a path between two of its minima."""
    net = TanhNet(4)
    ends = [descend(net.gradient, net.start(seed), iterations=300).point for seed in range(2)]
    return net, find_path(net.loss, net.gradient, *ends, PathOptions(gradients=300))


@pytest.mark.parametrize("gradients", [0, 1, 30, 300])
def test_refining_never_raises_a_path(found, gradients):
    net, path = found
    meter = Meter()
    refined = refine_path(net.loss, net.gradient, path, gradients, meter)
    assert refined.height <= path.height
    assert refined.gradients - path.gradients == meter.used <= gradients
    assert refined.saddle.outcome is Top.BUDGET
    assert (refined.saddle.gradient_norm is None) == (gradients == 0)
    if gradients == 300:
        assert refined.height < path.height


def test_the_pass_of_a_network():
    net = TanhNet(2)
    ends = [descend(net.gradient, net.start(seed), iterations=2000).point for seed in (0, 1)]
    path = find_path(net.loss, net.gradient, *ends, PathOptions(gradients=1000))
    refined = refine_path(net.loss, net.gradient, path, 6000)
    saddle = refined.saddle
    assert saddle.outcome is Top.SADDLE
    assert saddle.loss < refined.height + 1e-6 < path.height
    loss, slope = net.gradient(saddle.point)
    assert loss == saddle.loss
    assert np.linalg.norm(slope) == pytest.approx(saddle.gradient_norm)
    step = 1e-5
    axes = step * np.eye(slope.size)
    rows = [net.gradient(saddle.point + axis)[1] - net.gradient(saddle.point - axis)[1] for axis in axes]
    values = np.linalg.eigvalsh((np.array(rows) + np.array(rows).T) / (4 * step))
    assert values[0] < -1e-3 < values[1]
    assert saddle.curvature == pytest.approx(values[0], rel=0.01)
    assert saddle.second >= values[1] - 1e-4


def test_nothing_to_pass():
    bowl = lambda x: (float(x @ x), 2 * x)  # noqa: E731
    path = find_path(lambda x: bowl(x)[0], bowl, np.zeros(2), np.ones(2))
    refined = refine_path(lambda x: bowl(x)[0], bowl, path)
    assert (refined.saddle.outcome, refined.gradients) == (Top.LEVEL, 0)
    np.testing.assert_array_equal(refined.saddle.point, [1, 1])


def test_a_flat_top_is_no_pass():
    ridge = lambda x: (float(min(1.0, 4 - x[0] ** 2)), np.zeros(1))  # noqa: E731
    path = find_path(lambda x: ridge(x)[0], ridge, np.array([-1.9]), np.array([1.9]), PathOptions("line"))
    assert refine_path(lambda x: ridge(x)[0], ridge, path).saddle.outcome is Top.FLAT


def test_not_finite():
    wall = lambda x: (np.inf if abs(x[0]) < 0.1 else float(x @ x), 2 * x)  # noqa: E731
    path = find_path(lambda x: wall(x)[0], wall, -np.ones(1), np.ones(1), PathOptions("line"))
    refined = refine_path(lambda x: wall(x)[0], wall, path)
    assert (refined.saddle, refined.height) == (None, np.inf)


# Files


@pytest.fixture(scope="module")
def digits():
    with np.load(SAMPLES / "digits.npz") as data:
        return {name: data[name][:64] for name in ("x", "labels")}


@pytest.fixture(scope="module")
def landscape(digits):
    return onnxtop.loss_barcode(TWO, digits, gradients=90, refine=60, jobs=1, l2=1e-3)


def test_files_hold_the_path_and_the_network_at_its_pass(landscape, digits, tmp_path):
    files = dict(pass_files(landscape, load(TWO[0])))
    assert sorted(Path(name).suffix for name in files) == [".npz", ".onnx"]
    assert files == dict(pass_files(landscape, load(TWO[0])))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (points,), (network,) = (list(tmp_path.glob(f"*{suffix}")) for suffix in (".npz", ".onnx"))
    (item,) = [each for each in landscape.passes if each.in_tree]
    onnx.checker.check_model(onnx.load(network), full_check=True)
    probe = onnxtop.Probe(network, digits, l2=1e-3, threads=1)
    assert probe.loss(probe.theta0) == pytest.approx(item.height, abs=1e-7)
    with np.load(points) as held:
        about = json.loads(str(held["about"]))
        np.testing.assert_array_equal(held["pass"].astype(np.float32), probe.theta0)
        assert held["names"].tolist() == [each.name for each in probe.parameters]
        assert held["slices"].tolist() == [[each.start, each.stop] for each in probe.parameters]
        chain, losses = held["points"], held["losses"]
        assert tuple(losses) == item.losses
        assert about["height"] == losses.max() == item.height
    assert about["top"] == item.top
    lengths = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    shares = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()
    for position, loss in zip(item.positions[::7], losses[::7], strict=True):
        edge = min(int(np.searchsorted(shares, position, side="right")) - 1, len(lengths) - 1)
        part = (position - shares[edge]) / (shares[edge + 1] - shares[edge])
        point = (1 - part) * chain[edge] + part * chain[edge + 1]
        assert probe.loss(point) == pytest.approx(loss, abs=1e-6)


def test_points_are_in_memory_alone(landscape):
    plain = landscape.to_dict()
    assert not {"paths", "weights"} & plain.keys()
    assert len(landscape.paths) == len(landscape.passes)
    with pytest.raises(UsageError, match="read from JSON"):
        list(pass_files(type(landscape)(**{**vars(landscape), "paths": ()}), load(TWO[0])))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("constant", [False, True])
def test_weights_are_put_where_they_were(tmp_path, dtype, constant):
    held = {"w": weights(4, 3, dtype=dtype), "b": weights(3, dtype=dtype)}
    nodes = [node("Gemm", "x w b", "y")]
    if constant:
        nodes = [node("Constant", "", "w", value=onnx.numpy_helper.from_array(held.pop("w"), "any")), *nodes]
    path = save(model(nodes, held, {"x": ["n", 4]}, dtype=dtype), tmp_path)
    new = weights(4, 3, seed=1)
    onnx.save(with_weights(load(path), {"w": new}), tmp_path / "new.onnx")
    read = {layer.name: layer for layer in onnxtop.read_layers(tmp_path / "new.onnx")}
    (layer,) = read.values()
    np.testing.assert_array_equal(layer.matrix(), new)
    with pytest.raises(ModelError, match="'nothing'"):
        with_weights(load(path), {"nothing": new})


OTHER = graph([node("Identity", "x", "same")], {}, {}, ["same"])
"""A branch that never runs."""


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in VALUES if "string" not in kind])
def test_weights_are_put_into_a_constant_of_any_kind(tmp_path, kind, inside):
    made = [constant(kind, "c"), node("Cast", "c", "f", to=1), node("Mul", "x f", "y")]
    if inside:
        branch = graph(made, {}, {}, ["y"])
        made = [node("If", "yes", "z", then_branch=branch, else_branch=OTHER)]
    held = {"yes": np.array(True)} if inside else {}
    path = save(model(made, held, {"x": [1, 3]}, outputs=["z" if inside else "y"]), tmp_path)
    new = np.full(() if kind in ("value_float", "value_int") else 3, 5, np.float32)
    answer = run(with_weights(load(path), {"c": new}), x=np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(answer, np.full((1, 3), 5, np.float32))


def test_a_pass_of_models_whose_weight_is_a_sparse_constant(tmp_path):
    paths = []
    for seed in range(2):
        held = numpy_helper.from_array(weights(4, 3, seed=seed).ravel(), "held")
        sparse = helper.make_sparse_tensor(held, numpy_helper.from_array(np.arange(12)), [4, 3])
        proto = model([node("Constant", "", "w", sparse_value=sparse), node("MatMul", "x w")])
        paths.append(save(proto, tmp_path, f"{seed}.onnx"))
    data = {"x": weights(9, 4) / 8, "labels": np.arange(9) % 3}
    landscape = onnxtop.loss_barcode(paths, data, polish=5)
    files = dict(pass_files(landscape, load(paths[0])))
    (written,) = (content for name, content in files.items() if name.endswith(".onnx"))
    both = zip(landscape.passes, landscape.paths, strict=True)
    (path,) = (path for item, path in both if item.in_tree)
    (layer,) = onnxtop.read_layers(onnx.load_from_string(written))
    np.testing.assert_array_equal(layer.matrix(), path.pass_point.astype(np.float32).reshape(4, 3))


def test_weights_kept_beside_the_model_come_with_it(tmp_path):
    path = SAMPLES / "mlp_torch_external.onnx"
    file = load(path)
    bias = np.arange(100, dtype=np.float32)
    onnx.save(with_weights(file, {"hidden1.bias": bias}), tmp_path / "alone.onnx")
    for one, two in zip(onnxtop.read_layers(path), onnxtop.read_layers(tmp_path / "alone.onnx"), strict=True):
        np.testing.assert_array_equal(one.matrix(), two.matrix())
    tensors = {each.name: each for each in onnx.load(tmp_path / "alone.onnx").graph.initializer}
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensors["hidden1.bias"]), bias)


def test_statistics_that_share_a_tensor_with_a_shift_stay(tmp_path):
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c g z z v", "y")]
    held = {"w": weights(2, 1, 1, 1), "g": np.ones(2), "z": np.zeros(2), "v": np.ones(2)}
    held = {name: array.astype(np.float32) for name, array in held.items()}
    path = save(model(nodes, held, {"x": ["n", 1, 2, 2]}), tmp_path)
    proto = with_weights(load(path), {"z": np.ones(2, np.float32)})
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    norm = proto.graph.node[1]
    assert [arrays[name].tolist() for name in norm.input[2:4]] == [[1, 1], [0, 0]]


# Budget


@pytest.mark.parametrize(
    ("options", "search", "each"),
    [
        ({}, None, 4000),
        ({"path": PathOptions("line")}, None, 0),
        ({"path": PathOptions("line"), "refine": 7}, None, 7),
        ({"budget": 3000}, 2000, 250),
        ({"budget": 30000}, 20000, 2500),
        ({"budget": 30000, "refine": 0}, 30000, 0),
    ],
)
def test_a_share_of_the_budget_is_set_aside(options, search, each):
    plan, gradients = BarcodeOptions(**options).shared(passes=4)
    assert (plan.budget, gradients) == (search, each)


def test_budget_in_gradients_holds(digits):
    found = onnxtop.loss_barcode(TWO, digits, budget=400, jobs=1)
    assert 0 < found.gradients <= 400
    assert not any(each.in_tree and each.top is Top.UNREFINED for each in found.passes)


def test_scaled_and_renumbered_copy_of_a_relu_network_is_joined_at_length_0(tmp_path):
    path = SAMPLES / "mlp_torch_legacy.onnx"
    with np.load(SAMPLES / "digits.npz") as data:
        few = {name: data[name][:64] for name in ("x", "labels")}
    probe = onnxtop.Probe(path, few, threads=1)
    same = onnxtop.symmetries(path)
    assert all(group.homogeneous and not group.odd for group in same.groups)
    copy = same.scrambled(probe.theta0.astype(float), seed=4)
    first, last = (
        np.linalg.norm(probe.tensors(each)["hidden1.weight"], axis=1) for each in (probe.theta0, copy)
    )
    assert not np.allclose(np.sort(first), np.sort(last), rtol=0.1)
    onnx.save(with_weights(load(path), probe.tensors(copy)), tmp_path / "copy.onnx")
    options = {"finder": "line", "polish": 0, "jobs": 1}
    found = onnxtop.loss_barcode([path, tmp_path / "copy.onnx"], few, **options)
    assert found.minima[1].length < 1e-6
    decayed = onnxtop.loss_barcode([path, tmp_path / "copy.onnx"], few, l2=1e-2, **options)
    assert decayed.minima[1].loss > decayed.minima[0].loss + 1e-3  # scaling costs what the weights weigh
