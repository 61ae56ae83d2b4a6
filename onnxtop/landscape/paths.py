"""Paths between minima: how low can one stay on the way from one to the other.

Path
    A chain of points, shape (p, d), straight between them. Its first and last point are the two minima.
Profile
    The loss along the chain, evaluated at 9 places an edge, ends included. What the finder optimised is never
    trusted: the height is the largest loss of the profile, so it is an upper bound of the pass (up to what
    happens between two places).
Budget
    Counted in gradients, one for each point that moves in each step; evaluations of the loss are counted
    apart. `Meter` says when to stop.

Both the loss and its gradient are callables, and any function will do: nothing here knows about models.

S. Barannikov et al. Topological obstructions in neural networks learning, arXiv:2012.15834 (the authors'
step). T. Garipov et al., Loss surfaces, mode connectivity, and fast ensembling of DNNs, arXiv:1802.10026
(Bezier curve). The elastic band has a module of its own, `onnxtop.landscape.band`.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from onnxtop.errors import UsageError
from onnxtop.landscape import band
from onnxtop.landscape.chain import (
    PER_EDGE,
    Loss,
    Meter,
    along,
    between,
    line,
    number,
    profile,
    shares_of,
    slopes_at,
    unit,
)
from onnxtop.landscape.options import PathOptions
from onnxtop.loss.descent import Floats, Gradient
from onnxtop.results.landscape import Top

FLAT = 1e-7
"""A path this little (relative to 1 + loss) above its higher end is as low as float32 can tell."""


@dataclass(frozen=True, eq=False)
class Saddle:
    """What is at the highest point of a path.

    Attributes
    ----------
    point
        Where it is, shape (d,).
    loss
        The loss there.
    gradient_norm
        Length of the gradient there.
    curvature, second
        The two lowest curvatures met: upper bounds of the two lowest eigenvalues of the Hessian, so a second
        one below 0 proves that two directions lead down. None where they were not looked for.
    outcome
        What it was shown to be.
    """

    point: Floats
    loss: float
    gradient_norm: float | None
    curvature: float | None
    second: float | None
    outcome: Top


@dataclass(frozen=True, eq=False)
class LossPath:
    """The best path found between two minima.

    Attributes
    ----------
    points
        Shape (p, d).
    positions, losses
        Shape (q,), the profile: the share of the chain's length passed, from 0 to 1, and the loss there.
    straight
        The largest loss on the straight line between the ends.
    gradients, evaluations
        What was spent on it.
    saddle
        What `refine_path` found at its highest point; None before.
    """

    points: Floats
    positions: Floats
    losses: Floats
    straight: float = math.inf
    gradients: int = 0
    evaluations: int = 0
    saddle: Saddle | None = None

    @property
    def height(self) -> float:
        """The largest loss on the path; infinite if a loss is not finite."""
        return float(self.losses.max()) if np.isfinite(self.losses).all() else math.inf

    @property
    def floor(self) -> float:
        """The loss at the higher end and what float32 cannot tell from it: no path is lower."""
        higher = float(max(self.losses[0], self.losses[-1]))
        return higher + FLAT * (1 + abs(higher))

    @property
    def is_level(self) -> bool:
        """Whether no point is higher than the higher end: one gets to the lower one without a climb."""
        return self.height <= self.floor

    @property
    def summit(self) -> float:
        """The share of the path passed at its highest point."""
        return float(self.positions[self.losses.argmax()])

    @property
    def top(self) -> Floats:
        """The highest point, shape (d,)."""
        return self._at(self.summit)

    @property
    def pass_point(self) -> Floats:
        """The pass, shape (d,): what `refine_path` says is at the highest point, or that point itself."""
        return self.top if self.saddle is None else self.saddle.point

    @property
    def direction(self) -> Floats:
        """The way across the highest point, shape (d,)."""
        near = 0.5 / (len(self.points) - 1)
        return self._at(min(self.summit + near, 1.0)) - self._at(max(self.summit - near, 0.0))

    @property
    def spacing(self) -> float:
        """The mean distance of two points."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).mean())

    def _at(self, share: float) -> Floats:
        places = shares_of(np.linalg.norm(np.diff(self.points, axis=0), axis=1))
        (point,) = between(self.points, places, np.array([share]))
        return np.asarray(point)


def measured(loss: Loss, points: Floats, per_edge: int = PER_EDGE) -> LossPath:
    """Return a path with its profile and, between the places beside the highest one, its very top."""
    positions, losses = profile(loss, points, per_edge)
    top = int(losses.argmax())
    low, high = positions[max(top - 1, 0)], positions[min(top + 1, losses.size - 1)]
    if not np.isfinite(losses).all() or top in (0, losses.size - 1) or not low < high:
        return LossPath(points, positions, losses)
    places = shares_of(np.linalg.norm(np.diff(points, axis=0), axis=1))
    found = minimize_scalar(
        lambda share: -number(loss(between(points, places, np.array([share]))[0])),
        bounds=(low, high),
        method="bounded",
        options={"maxiter": 12, "xatol": 1e-3 * (high - low)},
    )
    if not -found.fun > losses[top]:
        return LossPath(points, positions, losses)
    at = int(np.searchsorted(positions, found.x))
    return LossPath(points, np.insert(positions, at, found.x), np.insert(losses, at, -found.fun))


def find_path(
    loss: Loss,
    gradient: Gradient,
    start: Floats,
    end: Floats,
    options: PathOptions | None = None,
    meter: Meter | None = None,
) -> LossPath:
    """Look for a low path between two points; the best one seen is never worse than the straight line.

    Parameters
    ----------
    loss, gradient
        The function; ``loss`` measures the profiles, ``gradient`` moves the points.
    start, end
        Shape (d,), two minima. If they are the same, the path stays there.
    options
        How to look for it.
    meter
        Stops the search before the options do, and is charged for it.

    Returns
    -------
    LossPath
        Its height is infinite if no path was seen on which all losses are finite.

    Raises
    ------
    UsageError
        The points differ in shape.

    Examples
    --------
    >>> valley = lambda x: ((x @ x - 1) ** 2, 4 * (x @ x - 1) * x)  # a ring; the line crosses its hill
    >>> ends = np.array([-1.0, 0.0]), np.array([1.0, 0.1])
    >>> path = find_path(lambda x: valley(x)[0], valley, *ends)
    >>> path.height < 0.01
    True
    """
    options, meter = options or PathOptions(), meter or Meter()
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    if start.shape != end.shape or start.ndim != 1:
        raise UsageError(f"wanted two points of one shape (d,), found {start.shape} and {end.shape}")
    own = meter.part(options.gradients)
    counted = own.counting(loss)
    best = measured(counted, np.stack([start, end]), 4 * PER_EDGE)
    straight = best.height
    if not best.is_level:
        for points in _FINDERS[options.finder](gradient, counted, start, end, options, own):
            seen = measured(counted, points)
            best = seen if seen.height < best.height else best
            if best.is_level:
                break
    meter.charge(own)
    return LossPath(best.points, best.positions, best.losses, straight, own.used, own.evaluations)


def _lines(*_: Any) -> Iterator[Floats]:
    """Give nothing beside the straight line, which is always evaluated."""
    return iter(())


def _authors(
    gradient: Gradient, loss: Loss, start: Floats, end: Floats, options: PathOptions, meter: Meter
) -> Iterator[Floats]:
    """Move each point by its gradient less half of its projection on each of the two edges beside it.

    As the public code of arXiv:2012.15834 does. The points may drift along the path and leave long edges.
    """
    points = line(start, end, options.points)
    reports = 4
    steps = options.gradients // (options.points - 2)
    for step in range(1, steps + 1):
        if not meter.take(options.points - 2):
            break
        _, slopes = slopes_at(gradient, points)
        before, after = (unit(edges) for edges in (points[1:-1] - points[:-2], points[2:] - points[1:-1]))
        points[1:-1] -= options.rate * (slopes - 0.5 * (along(slopes, before) + along(slopes, after)))
        if not np.isfinite(points).all():
            return
        if step % max(steps // reports, 1) == 0:
            yield points.copy()
    yield points


def _bezier(
    gradient: Gradient, loss: Loss, start: Floats, end: Floats, options: PathOptions, meter: Meter
) -> Iterator[Floats]:
    """Place the middle point of a quadratic Bezier curve where the mean loss along the curve is lowest.

    The mean is taken at Gauss-Legendre nodes, so that L-BFGS can be used and no rate need be chosen.
    """
    nodes, weights = np.polynomial.legendre.leggauss(options.points - 2)
    nodes, weights = (nodes + 1) / 2, weights / 2
    pull = 2 * nodes * (1 - nodes)

    def mean(middle: Floats) -> tuple[float, Floats]:
        if not meter.take(nodes.size):
            raise StopIteration
        found = [gradient(place) for place in _curve(start, middle, end, nodes)]
        slope = sum(w * p * np.float64(slope) for w, p, (_, slope) in zip(weights, pull, found, strict=True))
        return float(weights @ [value for value, _ in found]), np.asarray(slope)

    lowest = [(start + end) / 2]
    with suppress(StopIteration):
        minimize(mean, lowest[0], jac=True, method="L-BFGS-B", callback=lambda xk: lowest.append(xk.copy()))
    shares = np.linspace(0, 1, options.most_points)
    for middle in (lowest[len(lowest) // 2], lowest[-1]):
        yield _curve(start, middle, end, shares)


def _curve(start: Floats, middle: Floats, end: Floats, shares: Floats) -> Floats:
    t = shares[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end


_FINDERS: dict[str, Callable[..., Iterator[Floats]]] = {
    "neb": band.relax,
    "bezier": _bezier,
    "authors": _authors,
    "line": _lines,
}
