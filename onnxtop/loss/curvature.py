"""How sharp a point is, and whether it is a minimum: the largest curvature, what a short descent gains."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Descent", "Sharpness", "hessian_product", "largest_curvature", "short_descent"]

Vector = NDArray[np.float32]
Gradient = Callable[[Vector], Vector]
LossAndGradient = Callable[[Vector], tuple[float, Vector]]

_DENSE = 12  # parameters up to which the whole Hessian is made: Lanczos needs more dimensions than vectors


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue of the Hessian; ``products`` is how many Hessian-vector products it took.

    ``converged`` False means that the value is a lower bound.
    """

    largest_eigenvalue: float
    products: int
    converged: bool


@dataclass(frozen=True)
class Descent:
    """What a short descent (L-BFGS) from the point gains.

    ``loss`` is the loss after it, ``gain`` the loss before minus that, ``gradients`` how many gradients it
    took, ``distance`` how far it went. ``minimum`` says whether the gain is below one percent of the loss.
    """

    loss: float
    gain: float
    gradients: int
    distance: float
    minimum: bool


def hessian_product(gradient: Gradient, theta: Vector, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Hessian times a direction, by a central difference of gradients.

    The step balances truncation and float32's rounding: 2 sqrt(eps) (1 + |theta|) / |direction|.
    """
    length = float(np.linalg.norm(direction))
    if length == 0:
        return np.zeros_like(direction)
    step = 2 * np.sqrt(np.finfo(np.float32).eps) * (1 + float(np.linalg.norm(theta))) / length
    shift = (step * direction).astype(np.float32)
    difference = gradient(theta + shift).astype(np.float64) - gradient(theta - shift).astype(np.float64)
    product: NDArray[np.float64] = difference / (2 * step)
    return product


def largest_curvature(gradient: Gradient, theta: Vector, *, seed: int = 0, products: int = 60) -> Sharpness:
    """Return the largest eigenvalue of the Hessian, by Lanczos's method on finite-difference products.

    Parameters
    ----------
    gradient
        Of the loss, at any theta.
    theta
        Shape (d,).
    seed
        Of the first vector.
    products
        How many Hessian-vector products may be spent, about; each takes two gradients.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    d, count = len(theta), 0

    def multiply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        nonlocal count
        count += 1
        return hessian_product(gradient, theta, np.ravel(vector))

    if d <= _DENSE:
        hessian = np.array([multiply(axis) for axis in np.eye(d)])
        values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
        return Sharpness(float(values[-1]) if d else 0.0, count, True)
    start = np.random.default_rng(seed).standard_normal(d)
    vectors = min(10, d - 1)
    operator = LinearOperator((d, d), matvec=multiply, dtype=np.float64)
    rounds = max(products // vectors, 1)
    try:
        found = eigsh(operator, 1, which="LA", v0=start, ncv=vectors, maxiter=rounds, tol=1e-2)[0]
    except ArpackNoConvergence:
        return Sharpness(_rayleigh(multiply, start, vectors), count, False)
    return Sharpness(float(found[0]), count, True)


def _rayleigh(
    multiply: Callable[[NDArray[np.float64]], NDArray[np.float64]], start: NDArray[np.float64], steps: int
) -> float:
    """Return a lower bound of the largest eigenvalue: some steps of the power method."""
    vector = start / np.linalg.norm(start)
    value = 0.0
    for _ in range(steps):
        image = multiply(vector)
        value = float(vector @ image)
        vector = image / max(float(np.linalg.norm(image)), 1e-30)
    return value


def short_descent(loss_and_gradient: LossAndGradient, theta: Vector, *, gradients: int = 30) -> Descent:
    """Descend for a limited number of gradients by L-BFGS (SciPy) and say what that gained."""
    from scipy.optimize import minimize

    best: list[tuple[float, NDArray[np.float64]]] = []
    count = 0

    def function(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal count
        count += 1
        loss, gradient = loss_and_gradient(point.astype(np.float32))
        if np.isfinite(loss) and (not best or loss < best[0][0]):
            best[:] = [(loss, point.copy())]
        return loss, gradient.astype(np.float64)

    before, _ = loss_and_gradient(theta)
    minimize(function, theta.astype(np.float64), jac=True, method="L-BFGS-B", options={"maxfun": gradients})
    loss, point = best[0] if best else (before, theta.astype(np.float64))
    gain = max(before - loss, 0.0)
    distance = float(np.linalg.norm(point - theta))
    return Descent(before - gain, gain, count, distance, gain <= 0.01 * abs(before))
