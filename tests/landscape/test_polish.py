"""Polishing and its certificates where bottoms are known, and bars with what is known of births."""

import json

import numpy as np
import pytest
from scipy.special import expit

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.landscape.function import function_barcode
from onnxtop.landscape.polish import Certificate, falls_for_ever, judged, polish
from onnxtop.loss.descent import descend
from onnxtop.loss.probe import Probe
from tests.known_landscapes import FUNCTIONS, MINIMA, TRUTH, TanhNet, counted_gradient
from tests.models import mlp, save

WELL = "x^4-x^2+0.1x"
LENGTH = 0.183093
STARTS = {"left": np.array([-1.1]), "right": np.array([0.3])}


def bowl(theta):
    return float(theta @ theta), 2 * theta


def saddle(theta):
    return float(theta[0] ** 2 - theta[1] ** 2 + theta[1] ** 4), np.array(
        [2 * theta[0], -2 * theta[1] + 4 * theta[1] ** 3]
    )


def slow(theta):
    """A flat bottom, where gradients vanish faster than the way to it."""
    return float(theta[0] ** 4 + 1e-4 * theta[1] ** 2), np.array([4 * theta[0] ** 3, 2e-4 * theta[1]])


def separable(theta, penalty=0.0):
    """Cross-entropy of logistic regression on two points that a line tells apart."""
    margins = np.array([theta[0] + theta[1], 2 * theta[0] - theta[1]])
    sides = np.array([[1.0, 1.0], [2.0, -1.0]])
    wrong = expit(-margins)
    loss = float(np.logaddexp(0, -margins).mean()) + penalty / 2 * float(theta @ theta)
    return loss, -(wrong[:, None] * sides).mean(axis=0) + penalty * theta


def valley(theta):
    """A sharp crease that bends and falls towards the point (0, 0)."""
    bend = theta[1] - theta[0] ** 2
    slope = np.array([2 * theta[0] - 20 * theta[0] * np.sign(bend), 10 * np.sign(bend)])
    return float(theta[0] ** 2 + 10 * abs(bend)), slope


def noisy_regression(theta):
    """Mean squared error of a line through points that lie on none."""
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.3, -0.2, 0.8, 0.1])
    apart = theta[0] * x + theta[1] - y
    return float((apart**2).mean()), 2 * np.array([(apart * x).mean(), apart.mean()])


class TestPolish:
    def test_at_rest_nothing_moves(self):
        point, certificate = polish(bowl, np.zeros(3), curvature=True)
        assert certificate.verdict == "minimum"
        assert (certificate.loss, certificate.gradient_norm, certificate.gain) == (0, 0, 0)
        assert certificate.moved == 0
        assert certificate.curvature == pytest.approx(2)
        assert not point.any()

    def test_from_above_it_says_how_far(self):
        point, certificate = polish(bowl, np.ones(3))
        assert certificate.verdict == "minimum"
        assert certificate.given == 3
        assert certificate.moved == pytest.approx(np.sqrt(3), rel=1e-3)
        assert certificate.loss == pytest.approx(0, abs=1e-6)
        assert np.abs(point).max() < 1e-3

    @pytest.mark.parametrize(
        ("function", "start"),
        [
            *((function, np.full(2, 0.7)) for function in (bowl, slow, saddle, noisy_regression)),
            (TanhNet(4).gradient, TanhNet(4).start(0)),
        ],
    )
    def test_twice_changes_nothing(self, function, start):
        once, first = polish(function, start)
        twice, second = polish(function, once)
        assert first.verdict == second.verdict == "minimum"
        assert np.array_equal(once, twice)
        assert (second.moved, second.loss) == (0, first.loss)
        assert second.gain <= first.gain < 1e-6

    def test_the_budget_is_kept_and_its_end_is_told(self):
        net = TanhNet(4)
        point, certificate = polish(net.gradient, net.start(0), budget=60)
        assert certificate.verdict == "unfinished"
        assert 55 <= certificate.gradients <= 65
        further = certificate.loss - polish(net.gradient, point)[1].loss
        assert further > 1e-6
        assert certificate.gain > 0.1 * further

    def test_what_is_nothing_far_up_is_something_below(self):
        net = TanhNet(4)
        start = net.start(0) * 1000  # a loss of 2e4 is rounded by more than is to be gained at the bottom
        _, certificate = polish(net.gradient, start)
        assert certificate.given > 1e4
        assert certificate.verdict == "minimum"
        assert certificate.gain < 1e-6

    def test_at_rest_before_its_budget_ends(self):
        _, whole = polish(bowl, np.ones(3))
        _, certificate = polish(bowl, np.ones(3), budget=whole.gradients + 20)
        assert certificate.verdict == "minimum"

    def test_without_a_budget_it_stays_and_looks(self):
        point, certificate = polish(bowl, np.ones(3), budget=0)
        assert np.array_equal(point, np.ones(3))
        assert (certificate.verdict, certificate.moved, certificate.loss) == ("unfinished", 0, 3)
        assert certificate.gain == pytest.approx(3)

    def test_a_saddle_needs_curvature_to_be_seen(self):
        assert polish(saddle, np.zeros(2))[1].verdict == "minimum"
        certificate = polish(saddle, np.zeros(2), curvature=True)[1]
        assert certificate.verdict == "saddle"
        assert "curves down" in judged(certificate, 1e-6)[1]

    def test_kinks_are_gone_over(self):
        """A line search ends where it meets the kink of this valley, far above its bottom at 0."""
        start = np.array([0.7, 0.3])
        assert descend(valley, start, iterations=1000).loss > 0.005
        assert polish(valley, start)[1].loss < 1e-3

    def test_not_finite(self):
        assert polish(lambda theta: (np.nan, theta), np.zeros(2))[1].verdict == "not finite"

    def test_judged_by_the_shortest_bar(self):
        certificate = Certificate("unfinished", 0.5, gain=1e-4, gradients=400)
        assert judged(certificate, 1e-3) == ("minimum", None)
        verdict, reason = judged(certificate, 1e-6)
        assert verdict == "unfinished"
        assert "0.0001" in reason


class TestFallsForEver:
    @pytest.mark.parametrize("start", [[0.1, 0.0], [3.0, 1.0], [30.0, 10.0]])
    def test_separable(self, start):
        point, certificate = polish(separable, np.array(start))
        assert certificate.verdict == "falls for ever"
        assert np.array_equal(point, start)
        assert certificate.loss == certificate.given == separable(np.array(start))[0]

    @pytest.mark.parametrize("penalty", [1e-1, 1e-3, 1e-5])
    def test_a_penalty_gives_a_bottom(self, penalty):
        certificate = polish(lambda theta: separable(theta, penalty), np.array([0.1, 0.0]))[1]
        assert certificate.verdict == "minimum"

    @pytest.mark.parametrize(
        ("function", "start"),
        [
            (bowl, np.ones(3)),
            (slow, np.ones(2)),
            (noisy_regression, np.zeros(2)),
            (lambda theta: (float(((theta - 5) ** 2).sum()), 2 * (theta - 5)), np.ones(2)),
            (lambda theta: (1.0, np.zeros(2)), np.ones(2)),
            (lambda theta: (float(theta[0] ** 2), np.array([2 * theta[0], 0.0])), np.ones(2)),
            *((counted_gradient(FUNCTIONS[name]), np.array(MINIMA[name][0], float)) for name in FUNCTIONS),
        ],
    )
    def test_no_false_verdict(self, function, start):
        assert polish(function, start)[1].verdict == "minimum"
        assert not falls_for_ever(function, start)

    def test_network_without_decay(self, tmp_path):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((40, 3)).astype(np.float32)
        data = {"x": x, "labels": (x[:, 0] + 0.3 * x[:, 1] > 0).astype(np.int64) + (x[:, 0] > 1)}
        path = str(save(mlp(3, 6, 3), tmp_path))
        options = {"minima": 2, "epochs": 5, "polish": 200, "finder": "line", "jobs": 1}
        found = onnxtop.loss_barcode(path, data, **options)
        assert {minimum.verdict for minimum in found.minima} == {"falls for ever"}
        assert found.score.bound == "none"
        assert all(minimum.bound == "none" for minimum in found.minima[1:])
        for way_out in ({"l2": 1e-2}, {"label_smoothing": 0.2}):
            held = onnxtop.loss_barcode(path, data, **options, **way_out)
            assert "falls for ever" not in {minimum.verdict for minimum in held.minima}


class TestKnownBarcode:
    def test_polished(self):
        found = function_barcode(counted_gradient(FUNCTIONS[WELL]), STARTS, jobs=1)
        (birth, death), essential = (
            TRUTH["functions"][WELL]["finite"][0],
            TRUTH["functions"][WELL]["infinite"],
        )
        lower, upper = found.minima
        assert (lower.name, lower.loss) == ("left", pytest.approx(essential[0], abs=1e-6))
        assert (upper.loss, upper.death) == (pytest.approx(birth, abs=1e-6), pytest.approx(death, abs=1e-5))
        assert (upper.bound, upper.length) == ("upper", pytest.approx(LENGTH, abs=1e-5))
        assert upper.given_loss == pytest.approx(0.3**4 - 0.3**2 + 0.03)
        assert found.score.bound == "upper"

    def test_off_the_bottom_the_interval_holds_the_truth(self):
        found = function_barcode(counted_gradient(FUNCTIONS[WELL]), STARTS, polish=0, jobs=1)
        upper = found.minima[1]
        assert (upper.verdict, upper.bound, found.score.bound) == ("unfinished", "interval", "interval")
        assert upper.length < LENGTH - 0.01
        assert upper.length <= LENGTH <= upper.length_most + 1e-6
        assert found.score.mean <= LENGTH <= found.score.mean_most + 1e-6

    def test_himmelblau(self):
        starts = {str(i): np.array(point) + 0.3 for i, point in enumerate(MINIMA["himmelblau"])}
        found = function_barcode(counted_gradient(FUNCTIONS["himmelblau"]), starts, jobs=1)
        truth = sorted(death for _, death in TRUTH["functions"]["himmelblau"]["finite"])
        deaths = sorted(minimum.death for minimum in found.minima[1:])
        np.testing.assert_allclose(deaths, truth, rtol=1e-3)
        assert [minimum.verdict for minimum in found.minima] == ["minimum"] * 4

    def test_one_start(self):
        with pytest.raises(UsageError, match="two starts or more"):
            function_barcode(bowl, {"only": np.ones(2)})


def test_sample_minima_are_minima(samples):
    """They need no more than a look, and ten times the effort moves no birth by more than its gain."""
    with np.load(samples / "digits.npz") as file:
        data = {name: file[name] for name in ("x", "labels")}
    losses = []
    for seed in range(1, 6):
        probe = Probe(samples / "minima" / f"seed_{seed}.onnx", data)
        start = probe.theta0.astype(np.float64)
        point, certificate = polish(probe.loss_and_gradient, start)
        assert certificate.verdict == "minimum"
        assert np.array_equal(point, start)
        assert certificate.gain < 1e-6
        losses.append(certificate.loss)
    assert np.diff(sorted(losses)).min() > 1e-4


def test_smoothed_labels_against_the_formula(tmp_path):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((30, 3)).astype(np.float32), rng.integers(0, 4, 30)
    probe = Probe(save(mlp(3, 5, 4), tmp_path), {"x": x, "labels": labels}, label_smoothing=0.1)
    logits = probe.outputs(probe.theta0).astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = 0.9 * np.eye(4)[labels] + 0.1 / 4
    loss, gradient = probe.loss_and_gradient(probe.theta0)
    slope = (np.exp(logs) - target).mean(axis=0)  # by the biases of the last layer
    np.testing.assert_allclose(gradient[probe.parameters[-1].slice], slope, atol=1e-6)
    assert loss == pytest.approx(float(-(target * logs).sum(axis=1).mean()), rel=1e-6)
    with pytest.raises(UsageError, match="label smoothing"):
        Probe(save(mlp(3, 5, 1), tmp_path), {"x": x, "target": x[:, :1]}, label_smoothing=0.1)


def test_json_carries_bounds(samples):
    with np.load(samples / "digits.npz") as file:
        data = {name: file[name] for name in ("x", "labels")}
    files = [samples / "minima" / f"seed_{seed}.onnx" for seed in (1, 2)]
    found = json.loads(json.dumps(onnxtop.loss_barcode(files, data, finder="line", jobs=1).to_dict()))
    for minimum in found["minima"]:
        assert minimum["verdict"] in ("minimum", "unfinished", "falls for ever")
        assert minimum["given_loss"] >= minimum["loss"]
    assert found["score"]["bound"] in ("upper", "interval", "none")
