"""Directional derivatives by finite differences: slow, independent of every rule."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]
Function = Callable[[Vector], float]


def directional_derivative(function: Function, point: Vector, direction: Vector, step: float) -> float:
    """Return d/dt function(point + t direction) at t = 0, by the five-point stencil.

    (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, whose error is of order h^4 (Abramowitz and Stegun 25.3.6).
    """
    near = function(point + step * direction) - function(point - step * direction)
    far = function(point + 2 * step * direction) - function(point - 2 * step * direction)
    return (8 * near - far) / (12 * step)


def gradient_by_differences(function: Function, point: Vector, step: float = 1e-2) -> NDArray[np.float64]:
    """Return the whole gradient, four evaluations a parameter: for small models without all rules."""
    size = max(float(np.sqrt(np.mean(np.square(point)))), 1e-3) if point.size else 1.0
    axes = np.eye(len(point), dtype=point.dtype)
    return np.array([directional_derivative(function, point, axis, step * size) for axis in axes])


def relative_error(
    function: Function, point: Vector, gradient: Vector, *, seed: int = 0, step: float = 1e-2
) -> float:
    """Return how far a gradient is from the stencil along a random direction, relative to its own length.

    The direction is half random and half the gradient's own, so that there is something to measure in many
    dimensions.
    """
    rng = np.random.default_rng(seed)
    random = rng.standard_normal(point.size)
    length = float(np.linalg.norm(gradient))
    direction = random / np.linalg.norm(random) + (gradient / length if length else 0)
    direction /= np.linalg.norm(direction)
    wanted = directional_derivative(function, point, direction.astype(point.dtype), step)
    return abs(wanted - float(gradient.astype(np.float64) @ direction)) / max(length, 1e-12)
