"""Directions in the space of parameters, and the loss along them.

Filter-normalised directions: Li, Xu, Taylor, Studer, Goldstein, *Visualizing the Loss Landscape of Neural
Nets* (NeurIPS 2018, arXiv 1712.09913). A random direction whose filters (the weights into one output) have
the lengths of the model's own, and nothing in biases and normalisation; so step 1 means the same for every
network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxtop.loss.parameters import Parameter

Vector = NDArray[np.float32]
Loss = Callable[[Vector], float]


@dataclass(frozen=True)
class Profile:
    """The loss at theta + step * direction; ``length`` is the direction's."""

    name: str
    length: float
    steps: tuple[float, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Surface:
    """The loss at theta + x * first + y * second: ``losses[j][i]`` is that at x = steps[i], y = steps[j]."""

    steps: tuple[float, ...]
    losses: tuple[tuple[float, ...], ...]


def filter_normalised(theta: Vector, parameters: Sequence[Parameter], seed: int) -> Vector:
    """Return a random direction whose filters have the lengths of theta's."""
    rng = np.random.default_rng(seed)
    direction = np.zeros(theta.shape, np.float64)
    for parameter in parameters:
        random = rng.standard_normal(parameter.shape)
        if len(parameter.shape) < 2:
            continue
        own = theta[parameter.slice].reshape(parameter.shape).astype(np.float64)
        axis = parameter.output_axis
        others = tuple(a for a in range(own.ndim) if a != axis) if axis is not None else None
        lengths = [np.sqrt(np.sum(array**2, axis=others, keepdims=True)) for array in (own, random)]
        direction[parameter.slice] = (random * lengths[0] / np.maximum(lengths[1], 1e-30)).ravel()
    return direction.astype(np.float32)


def along(loss: Loss, theta: Vector, direction: Vector, steps: Sequence[float], name: str) -> Profile:
    """Return the loss along a line."""
    losses = tuple(loss(theta + np.float32(step) * direction) for step in steps)
    return Profile(name, float(np.linalg.norm(direction)), tuple(steps), losses)


def over(loss: Loss, theta: Vector, first: Vector, second: Vector, steps: Sequence[float]) -> Surface:
    """Return the loss over a square."""
    rows = (tuple(loss(theta + np.float32(x) * first + np.float32(y) * second) for x in steps) for y in steps)
    return Surface(tuple(steps), tuple(rows))
