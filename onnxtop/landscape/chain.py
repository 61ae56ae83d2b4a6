"""Chains of points: what finders of paths share.

A chain has shape (p, d) and is straight between its points; its ends are the two minima.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from onnxtop.loss.descent import Floats, Gradient

Loss: TypeAlias = Callable[[Floats], float]
"""The loss at a point, shape (d,)."""

PER_EDGE = 9
"""Places an edge is evaluated at, its second end included."""


@dataclass
class Meter:
    """Counts what is spent and says when to stop: after so many gradients, at a moment, or on request.

    ``deadline`` is in seconds of `time.monotonic`; ``stop`` is asked before every step.
    """

    gradients: float = math.inf
    deadline: float = math.inf
    stop: Callable[[], bool] = field(default=lambda: False)
    used: int = 0
    evaluations: int = 0

    def take(self, count: int) -> bool:
        """Spend so many gradients, if there are so many left."""
        if self.used + count > self.gradients or time.monotonic() >= self.deadline or self.stop():
            return False
        self.used += count
        return True

    @property
    def left(self) -> float:
        """Gradients that may still be spent, 0 when it is time to stop."""
        return self.gradients - self.used if self.take(0) else 0

    def part(self, gradients: float) -> "Meter":
        """Return a meter of its own for a part of the work, which `charge` adds to this one."""
        return Meter(min(gradients, self.gradients - self.used), self.deadline, self.stop)

    def charge(self, part: "Meter") -> None:
        """Add what a part of the work has spent."""
        self.used, self.evaluations = self.used + part.used, self.evaluations + part.evaluations

    def counting(self, loss: Loss) -> Loss:
        """Return a loss that counts its evaluations here."""

        def counted(point: Floats) -> float:
            self.evaluations += 1
            return loss(point)

        return counted


def profile(loss: Loss, points: Floats, per_edge: int = PER_EDGE) -> tuple[Floats, Floats]:
    """Return positions and losses along a chain, each shape ((p - 1) * per_edge + 1,).

    A chain of length 0 has its positions evenly spread. A loss that is NaN counts as infinite.

    Examples
    --------
    >>> positions, losses = profile(lambda x: float(x @ x), np.array([[-1.0], [1.0]]), per_edge=2)
    >>> positions.tolist(), losses.tolist()
    ([0.0, 0.5, 1.0], [1.0, 0.0, 1.0])
    """
    shares = np.arange(1, per_edge + 1) / per_edge
    places = [points[0]]
    for start, end in pairwise(points):
        places += [(1 - share) * start + share * end for share in shares]
    losses = np.array([number(loss(place)) for place in places], np.float64)
    lengths = np.repeat(np.linalg.norm(np.diff(points, axis=0), axis=1), per_edge)
    return shares_of(lengths), losses


def shares_of(lengths: Floats) -> Floats:
    """Return the share of the whole that is passed before each place and at the end, from 0 to 1."""
    passed = np.concatenate([[0.0], np.cumsum(lengths)])
    return passed / passed[-1] if passed[-1] > 0 else np.linspace(0, 1, passed.size)


def between(points: Floats, places: Floats, shares: Floats) -> Floats:
    """Return the points at some shares of a chain's length; ``places`` are the shares of its own points."""
    edge = np.clip(np.searchsorted(places, shares, side="right") - 1, 0, len(points) - 2)
    width = places[edge + 1] - places[edge]
    part = np.divide(shares - places[edge], width, out=np.zeros_like(width), where=width > 0)[:, None]
    found: Floats = (1 - part) * points[edge] + part * points[edge + 1]
    return found


def number(value: float) -> float:
    """Take NaN for infinite."""
    return math.inf if math.isnan(value) else float(value)


def slopes_at(gradient: Gradient, points: Floats) -> tuple[Floats, Floats]:
    """Return losses (p - 2,) and gradients (p - 2, d) at the inner points of a chain."""
    found = [gradient(point) for point in points[1:-1]]
    return np.array([value for value, _ in found]), np.array([slope for _, slope in found], np.float64)


def unit(vectors: Floats) -> Floats:
    """Return vectors of length 1, shape (k, d); a vector of length 0 stays."""
    units: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)
    return units


def along(vectors: Floats, directions: Floats) -> Floats:
    """Return the part of each vector along a unit direction."""
    part: Floats = np.sum(vectors * directions, axis=1, keepdims=True) * directions
    return part


def line(start: Floats, end: Floats, count: int) -> Floats:
    """Return so many points evenly spread from start to end."""
    shares = np.linspace(0, 1, count)[:, None]
    return (1 - shares) * start + shares * end
