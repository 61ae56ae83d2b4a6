"""Minima of a loss, trained from a start.

Training takes the loss and its gradient as callables, so any function will do; with mini-batches the gradient
is given the rows it may look at. Everything random comes from a seed.

A minimum found by training is never quite one: `onnxtop.landscape.polish` takes it to its bottom.

The schedules of plain gradient descent are those of S. Barannikov et al., arXiv:2012.15834: their type 1 is a
rate of 1e-4 throughout 2001 epochs; their type 2 a rate of 5e-2 for 10 epochs, then falling linearly to 1e-4;
momentum 0.9, Kaiming weights, biases 0.01.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxtop.landscape.options import Training
from onnxtop.landscape.polish import Certificate
from onnxtop.loss.descent import Floats, adam_step, descend

Indices: TypeAlias = NDArray[np.intp]


class BatchGradient(Protocol):
    """The loss and its gradient at a point; on some rows of the data, or on all if ``rows`` is None."""

    def __call__(self, theta: Floats, rows: Indices | None = None, /) -> tuple[float, NDArray[Any]]:
        """Return the loss and the gradient, shape (d,)."""
        ...


@dataclass(frozen=True, eq=False)
class Point:
    """A minimum: where it is, what its loss is, what is known of it; accuracies None where there are none."""

    name: str
    theta: Floats
    loss: float
    certificate: Certificate
    accuracy: float | None = None
    test_accuracy: float | None = None


def train(
    gradient: BatchGradient,
    start: Floats,
    training: Training | None = None,
    *,
    n_rows: int = 1,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> Floats:
    """Train from a start and return where it ended, shape (d,).

    Parameters
    ----------
    gradient
        Loss and gradient, on rows or on all.
    start
        Shape (d,).
    n_rows
        Rows of the data, from which mini-batches are drawn without repetition within an epoch.
    seed
        Of the mini-batches.
    stop
        Asked before each step; the way so far is kept. A loss that is no longer finite ends the training too.

    Examples
    --------
    >>> bowl = lambda x, rows=None: (float(x @ x), 2 * x)
    >>> bool(abs(train(bowl, np.ones(2), Training("lbfgs"))).max() < 1e-6)
    True
    """
    training = training or Training()
    point = np.asarray(start, np.float64)
    if training.optimiser == "lbfgs":
        return descend(gradient, point, iterations=training.length, stop=stop).point
    adam = training.optimiser == "adam"
    state = np.zeros((2, point.size))
    steps = -(-n_rows // training.batch)
    for number, rows in enumerate(_batches(n_rows, training, seed), start=1):
        if stop():
            return point
        loss, slope = gradient(point, rows)
        if not np.isfinite(loss):
            return point
        slope, rate = np.asarray(slope, np.float64), training.rate_at((number - 1) / steps)
        point = point - (adam_step(state, slope, rate, number) if adam else _momentum(state, slope, rate))
    return point


def _batches(n_rows: int, training: Training, seed: int) -> Iterator[Indices | None]:
    """Give the rows of each step; None for all."""
    rng = np.random.default_rng(seed)
    for _ in range(training.length):
        if training.batch >= n_rows:
            yield None
        else:
            rows = rng.permutation(n_rows)
            yield from (np.sort(rows[i : i + training.batch]) for i in range(0, n_rows, training.batch))


def _momentum(state: Floats, slope: Floats, rate: float) -> Floats:
    state[0] = 0.9 * state[0] + slope
    step: Floats = rate * state[0]
    return step


@dataclass(frozen=True)
class Draw:
    """How one tensor starts: ``size`` numbers of this mean and standard deviation.

    >>> Draw.kaiming(6, fan_in=8)
    Draw(size=6, std=0.5, mean=0.0)
    """

    size: int
    std: float = 0.0
    mean: float = 0.01

    @classmethod
    def kaiming(cls, size: int, fan_in: int) -> "Draw":
        """Draw weights of units with so many inputs, variance 2 / fan_in (He et al., arXiv:1502.01852)."""
        return cls(size, math.sqrt(2 / fan_in) if fan_in else 0.0, 0.0)


def fresh(draws: Sequence[Draw], seed: int) -> Floats:
    """Return a start, shape (d,): normal numbers, tensor by tensor.

    Examples
    --------
    >>> fresh([Draw.kaiming(6, 3), Draw(2), Draw(1, mean=1.0)], seed=0)[6:].tolist()
    [0.01, 0.01, 1.0]
    """
    rng = np.random.default_rng(seed)
    parts = [
        draw.mean + draw.std * rng.standard_normal(draw.size) if draw.std else np.full(draw.size, draw.mean)
        for draw in draws
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def perturbed(point: Floats, slices: Sequence[slice], size: float, seed: int) -> Floats:
    """Return a point moved at random: each tensor by ``size`` times its own norm.

    Examples
    --------
    >>> moved = perturbed(np.array([3.0, 4.0, 0.0]), [slice(0, 2), slice(2, 3)], 0.1, seed=0)
    >>> round(float(np.linalg.norm(moved - [3, 4, 0])), 6)
    0.5
    """
    rng = np.random.default_rng(seed)
    moved = np.array(point, np.float64)
    for part in slices:
        noise = rng.standard_normal(moved[part].size)
        moved[part] += size * np.linalg.norm(moved[part]) * noise / max(float(np.linalg.norm(noise)), 1e-300)
    return moved
