"""The way down from a point, and how the loss curves there: L-BFGS, Hessian products, extreme eigenvalues.

A loss comes with its gradient as one callable, so any function will do: nothing here knows about models.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

Gradient: TypeAlias = Callable[[NDArray[Any]], tuple[float, NDArray[Any]]]
"""The loss and its gradient at a point, shape (d,)."""

STEP = 1e-2
"""How far a Hessian product goes to either side.

The error of a smooth loss grows with the square of the step, that of float32's rounding with its inverse, and
so does that of ReLU's kinks, of which a short step meets a few and takes their jumps for curvature. Measured,
largest eigenvalue: sample tanh networks are 1 to 4 percent off (at 1e-3 nothing, at 2e-2 4 to 13 percent),
the sample ReLU network 2 percent (at 1e-3 37 percent, at 3e-2 4); tests/loss/test_descent.py has both kinds.
"""

SHORT = 1e-5
"""A gradient this short (relative to 1 + loss) leads nowhere: where the loss curves by 1e-4, 5e-7 lower."""

_DENSE = 12  # parameters up to which the whole Hessian is made: Lanczos needs more dimensions than vectors


@dataclass(frozen=True, eq=False)
class Descent:
    """The lowest point met on the way down, shape (d,); the start if nothing was lower.

    ``before`` is the loss at the start, ``loss`` that at the point, ``gradients`` how many gradients it took.
    """

    point: Floats
    before: float
    loss: float
    gradients: int

    @property
    def gain(self) -> float:
        """How much lower the point lies than the start."""
        return max(self.before - self.loss, 0.0)


@dataclass(frozen=True)
class Eigenvalue:
    """An extreme eigenvalue of the Hessian; ``products`` is how many Hessian-vector products it took.

    Where not ``converged``, the eigenvalue itself lies further out.
    """

    value: float
    products: int
    converged: bool


def descend(
    gradient: Gradient,
    start: NDArray[Any],
    *,
    iterations: int | None = None,
    gradients: int | None = None,
    memory: int = 10,
    stop: Callable[[], bool] = lambda: False,
) -> Descent:
    """Descend by L-BFGS (SciPy).

    Parameters
    ----------
    gradient
        Loss and gradient on all data. Where the loss is not finite, the point does not count.
    start
        Shape (d,).
    iterations
        How many there may be, about two gradients each: towards the very bottom.
    gradients
        How many there may be; alone, a short look that ends where SciPy sees no more gain. With iterations a
        line search is not cut off, and takes up to twenty more.
    memory
        Steps that L-BFGS remembers.
    stop
        Asked before each gradient; the way so far is kept.

    Examples
    --------
    >>> down = descend(lambda x: (float(x @ x), 2 * x), np.ones(2), iterations=5)
    >>> bool(abs(down.point).max() < 1e-6), down.gain
    (True, 2.0)
    """
    from scipy.optimize import minimize

    losses: list[float] = []
    lowest, point = math.inf, np.asarray(start, np.float64)

    def watched(theta: Floats) -> tuple[float, Floats]:
        nonlocal lowest, point
        if stop() or (iterations is None and len(losses) == gradients):  # SciPy looks after a line search
            raise StopIteration
        loss, slope = gradient(theta)
        losses.append(loss)
        if loss < lowest:
            lowest, point = loss, theta.copy()
        return loss, np.asarray(slope, np.float64)

    limits: Any = {"maxfun": gradients}
    if iterations is not None:
        most = gradients or 2 * iterations + 20
        limits = {"maxiter": iterations, "maxfun": most, "ftol": 1e-13, "gtol": 1e-8}
    limits["maxcor"] = memory
    with suppress(StopIteration):
        if iterations != 0:
            minimize(watched, point, jac=True, method="L-BFGS-B", options=limits)
    before = losses[0] if losses else math.nan
    return Descent(point, before, lowest if lowest < math.inf else before, len(losses))


def settle(
    gradient: Gradient,
    start: NDArray[Any],
    gradients: int,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Descent:
    """Descend by ever smaller steps of Adam, which get over kinks where no line search finds a way down.

    The first step is 1 % of the weights' root mean square; it does not depend on how many follow. They end
    where the gradient is `SHORT`.

    Parameters
    ----------
    gradient
        Loss and gradient on all data. Where the loss is not finite, the point does not count.
    start
        Shape (d,).
    gradients
        How many there may be.
    stop
        Asked before each gradient; the way so far is kept.

    Examples
    --------
    >>> kinked = lambda x: (float(abs(x).sum()), np.sign(x))
    >>> bool(settle(kinked, np.array([0.3, -1.0]), 600).loss < 1e-2)
    True
    """
    place = point = np.asarray(start, np.float64)
    first = 1e-2 * (float(np.sqrt(np.mean(point**2))) or 1.0)
    before, lowest, spent = math.nan, math.inf, 0
    moments: Floats = np.zeros((2, point.size))
    while spent < gradients and not stop():
        loss, raw = gradient(place)
        slope, spent = np.asarray(raw, np.float64), spent + 1
        before = loss if spent == 1 else before
        if loss < lowest:
            lowest, point = loss, place
        if not np.isfinite(slope).all() or float(np.linalg.norm(slope)) <= SHORT * (1 + abs(loss)):
            break
        place = place - adam_step(moments, slope, first / (1 + spent / 200), spent)
    return Descent(point, before, min(lowest, before) if spent else before, spent)


def adam_step(moments: Floats, slope: Floats, rate: float, number: int) -> Floats:
    """Return Adam's step (Kingma and Ba, arXiv:1412.6980), numbered from 1.

    ``moments``, shape (2, d), start at 0 and are updated in place.
    """
    moments[0] += 0.1 * (slope - moments[0])
    moments[1] += 0.001 * (slope**2 - moments[1])
    mean, square = moments[0] / (1 - 0.9**number), moments[1] / (1 - 0.999**number)
    step: Floats = rate * mean / (np.sqrt(square) + 1e-8)
    return step


def hessian_product(gradient: Gradient, point: NDArray[Any], direction: Floats) -> Floats:
    """Return the Hessian times a direction, by a central difference of gradients, `STEP` to either side."""
    length = float(np.linalg.norm(direction))
    if length == 0:
        return np.zeros_like(direction)
    shift = STEP / length * direction
    ahead, behind = (np.asarray(gradient(place)[1], np.float64) for place in (point + shift, point - shift))
    product: Floats = (ahead - behind) * (length / (2 * STEP))
    return product


def extreme_eigenvalue(
    gradient: Gradient,
    point: NDArray[Any],
    which: Literal["largest", "lowest"],
    *,
    seed: int = 0,
    products: int = 60,
    vectors: int = 10,
    tolerance: float = 1e-2,
) -> Eigenvalue:
    """Return the largest or the lowest eigenvalue of the Hessian, by Lanczos's method (SciPy).

    Parameters
    ----------
    gradient
        Loss and gradient on all data.
    point
        Shape (d,).
    seed
        Of the first vector.
    products
        How many Hessian-vector products may be spent, about; each takes two gradients.
    vectors
        That are kept, each as long as theta; an eigenvalue among others near 0 takes more of them.
    tolerance
        Relative to the eigenvalue.

    Returns
    -------
    Eigenvalue
        Without convergence the most extreme curvature met, a bound of the eigenvalue. 0 without parameters,
        NaN where no curvature is a number.

    Examples
    --------
    >>> saddle = lambda x: (float(x[0] ** 2 - 3 * x[1] ** 2), np.array([2 * x[0], -6 * x[1]]))
    >>> [round(extreme_eigenvalue(saddle, np.zeros(2), side).value, 6) for side in ("largest", "lowest")]
    [2.0, -6.0]
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    point = np.asarray(point, np.float64)
    d = point.size
    curvatures: list[float] = []
    extreme = max if which == "largest" else min

    def multiply(vector: Floats) -> Floats:
        direction = np.ravel(vector)
        image = hessian_product(gradient, point, direction)
        curvatures.append(float(direction @ image) / max(float(direction @ direction), 1e-300))
        return image

    if d <= _DENSE:
        hessian = np.array([multiply(axis) for axis in np.eye(d)]).reshape(d, d)
        if not np.isfinite(hessian).all():
            return Eigenvalue(_met(curvatures, extreme), d, False)
        ends = np.linalg.eigvalsh((hessian + hessian.T) / 2).tolist()
        return Eigenvalue(extreme(ends, default=0.0), d, True)
    vectors = min(vectors, d - 1)
    operator = LinearOperator((d, d), matvec=multiply, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(d)
    rounds = max(products // vectors, 1)
    side: Literal["LA", "SA"] = "LA" if which == "largest" else "SA"
    try:
        values = eigsh(operator, 1, which=side, v0=start, ncv=vectors, maxiter=rounds, tol=tolerance)[0]
    except ArpackError:  # or there is nothing to converge to: no curvature at all, or none that is a number
        return Eigenvalue(_met(curvatures, extreme), len(curvatures), not any(curvatures))
    if not np.isfinite(values).all():  # which earlier versions of SciPy take for converged
        return Eigenvalue(_met(curvatures, extreme), len(curvatures), False)
    return Eigenvalue(float(values[0]), len(curvatures), True)


def _met(curvatures: list[float], extreme: Callable[..., float]) -> float:
    """Return the most extreme curvature that is a number, NaN if none is."""
    return extreme((each for each in curvatures if math.isfinite(each)), default=math.nan)
