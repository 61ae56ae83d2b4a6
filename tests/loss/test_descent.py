"""Descent and curvature on functions whose answers are known; how long the step of differences must be."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from onnxtop.loss import descent
from onnxtop.loss.descent import descend, extreme_eigenvalue, hessian_product
from tests.known_landscapes import TanhNet

RNG = np.random.default_rng(0)


def bowl(eigenvalues: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return a quadratic with these curvatures, its gradient in float32, and its Hessian."""
    basis = np.linalg.qr(RNG.standard_normal((len(eigenvalues),) * 2))[0]
    hessian = basis @ np.diag(eigenvalues) @ basis.T

    def function(theta: np.ndarray) -> tuple[float, np.ndarray]:
        exact = theta.astype(np.float64)
        return float(exact @ hessian @ exact / 2), (hessian @ exact).astype(np.float32)

    return function, hessian


@pytest.mark.parametrize("d", [1, 5, 12, 40])
def test_extreme_eigenvalues_of_a_quadratic(d: int) -> None:
    function, hessian = bowl(np.linspace(-3, 7, d))
    theta = RNG.standard_normal(d).astype(np.float32)
    largest, lowest = (extreme_eigenvalue(function, theta, side) for side in ("largest", "lowest"))
    assert largest.converged
    assert lowest.converged
    assert largest.value == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=2e-2)
    assert lowest.value == pytest.approx(np.linalg.eigvalsh(hessian)[0], rel=2e-2)
    direction = RNG.standard_normal(d)
    product = hessian_product(function, theta, direction)
    np.testing.assert_allclose(product, hessian @ direction, atol=1e-2 * np.abs(direction).max() * 7)
    assert not hessian_product(function, theta, np.zeros(d)).any()


def test_lowest_eigenvalue_among_others_near_it() -> None:
    function, _ = bowl(np.linspace(-0.5, 10, 30))
    found = extreme_eigenvalue(function, np.ones(30), "lowest", products=6000, vectors=20, tolerance=1e-3)
    assert found.value == pytest.approx(-0.5, abs=1e-2)


def test_few_products_give_a_bound() -> None:
    function, _ = bowl(np.concatenate([np.linspace(9.99, 10, 50), np.linspace(0, 1, 50)]))
    largest = extreme_eigenvalue(function, np.ones(100), "largest", products=10)
    lowest = extreme_eigenvalue(function, np.ones(100), "lowest", products=10)
    assert largest.value < 10.1
    assert largest.value > 9
    assert not lowest.converged
    assert -0.1 < lowest.value < 5


def test_without_parameters() -> None:
    found = extreme_eigenvalue(lambda theta: (0.0, theta), np.zeros(0), "largest")
    assert (found.value, found.products, found.converged) == (0, 0, True)


def _in_float32(net: TanhNet) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """Return the gradient with the rounding of float32: of theta, and 1e-7 of what comes out."""
    noise = np.random.default_rng(1)

    def gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = net.gradient(theta.astype(np.float32).astype(float))
        rough = slope + 1e-7 * np.abs(slope).max() * noise.standard_normal(slope.size)
        return loss, rough.astype(np.float32)

    return gradient


def _known_hessians(kinks: bool) -> Iterator[tuple[TanhNet, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield networks and places with the eigenvalues and eigenvectors there, from float64 and tiny steps."""
    for width, iterations in itertools.product((4, 12), (0, 300)):
        net = TanhNet(width, kinks=kinks)
        theta = descend(net.gradient, net.start(0), iterations=iterations).point
        theta = theta.astype(np.float32).astype(float)
        ahead, behind = (
            np.array([net.gradient(theta + step * axis)[1] for axis in np.eye(theta.size)])
            for step in (1e-7, -1e-7)
        )
        hessian = (ahead - behind) / 2e-7
        yield net, theta, *np.linalg.eigh((hessian + hessian.T) / 2)


@pytest.mark.parametrize("kinks", [False, True])
def test_step_of_differences(kinks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long steps cut off curves of smooth networks, short ones see single kinks of ReLU, or rounding."""
    known = list(_known_hessians(kinks))

    def error(step: float) -> float:
        monkeypatch.setattr(descent, "STEP", step)
        worst = 0.0
        for net, theta, values, vectors in known:
            for end in (0, -1):
                product = hessian_product(_in_float32(net), theta, vectors[:, end])
                off = np.linalg.norm(product - values[end] * vectors[:, end])
                worst = max(worst, float(off / values[-1]))
        return worst

    own = descent.STEP
    if kinks:
        assert error(own) < 0.5 * error(own / 3)
    else:
        assert error(own) < 1e-2
        assert error(10 * own) > 0.1
        assert error(own / 1000) > 1e-2


def test_descent_tells_what_it_gains() -> None:
    function, _ = bowl(np.linspace(1, 7, 20))
    at_rest = descend(function, np.zeros(20), gradients=30)
    assert (at_rest.gain, at_rest.before) == (0, 0)
    away = descend(function, np.ones(20), gradients=30)
    assert away.before == function(np.ones(20))[0]
    assert away.loss == pytest.approx(0, abs=1e-3)
    assert away.gain == pytest.approx(away.before, rel=1e-3)
    assert np.linalg.norm(away.point - 1) == pytest.approx(np.sqrt(20), rel=1e-2)
    assert 1 < away.gradients <= 30


def test_a_short_look_takes_no_more_gradients_than_there_may_be() -> None:
    """A line search over kinks takes many, wherever the budget ends."""
    spent = 0

    def kinked(theta: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal spent
        spent += 1
        return float(np.abs(theta).sum() + 10 * np.abs(theta[1:] - theta[:-1]).max()), np.sign(theta)

    start = np.random.default_rng(0).standard_normal(20)
    for most in range(1, 40):
        spent = 0
        down = descend(kinked, start, gradients=most)
        assert spent == down.gradients <= most
        assert down.loss <= down.before == kinked(start)[0]


def test_descent_ends_at_the_lowest_point_met() -> None:
    def plain(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return float(theta @ theta), 2 * theta

    assert np.abs(descend(plain, np.ones(3), iterations=50).point).max() < 1e-8
    assert np.array_equal(descend(plain, np.ones(3), iterations=0).point, np.ones(3))
    assert np.array_equal(descend(lambda x: (np.nan, x), np.ones(3), iterations=5).point, np.ones(3))
    stopped = descend(plain, np.ones(3), iterations=5, stop=lambda: True)
    assert (stopped.gradients, stopped.point.tolist()) == (0, [1, 1, 1])


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("side", ["largest", "lowest"])
def test_no_curvature_at_all(d: int, side: Any) -> None:
    found = extreme_eigenvalue(lambda theta: (1.0, np.zeros(d, np.float32)), np.zeros(d), side)
    assert found.value == 0
    assert found.converged


@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_curvatures_that_are_no_numbers(d: int, number: float) -> None:
    with np.errstate(invalid="ignore"):
        found = extreme_eigenvalue(lambda theta: (1.0, np.full(d, number)), np.zeros(d), "largest")
    assert np.isnan(found.value)
    assert not found.converged
