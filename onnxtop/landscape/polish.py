"""Polishing: down from a point until going on gains nothing, and what is then known of the point.

A point that training or a file gives lies above its bottom, and its bar is too short by as much. So each is
polished: L-BFGS on all data in rounds, each as long as all before it. A round that gains less than the
tolerance ends it, and the point stays where that round began: polishing it again takes the same steps, gains
no more, and changes nothing.

A network with ReLU has kinks, and its minima mostly lie on some. There a line search finds no way down,
although the gradient is long and a way leads on. So what L-BFGS leaves of a round goes into ever smaller
steps of Adam. Measured, networks of 92 to 356 weights: L-BFGS alone stopped up to 0.016 above their end.

Some losses have no bottom: cross-entropy without weight decay, of a network that can tell its data apart,
falls towards 0 as the weights grow. No name of a loss says so, but a look along a ray does: out to a hundred
times the weights the loss never rises. From a minimum every ray rises, sooner or later.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from onnxtop.loss.descent import Descent, Floats, Gradient, descend, extreme_eigenvalue, settle

Verdict: TypeAlias = Literal["minimum", "unfinished", "saddle", "falls for ever", "not finite"]

ROUND = 200
"""Gradients of the first round; the next has as many, and then each as many as all before."""

LOOK = 20
"""Gradients of the look at a point that is not to be moved."""

MEMORY = 30
"""Steps that L-BFGS remembers: with 10 it takes a third more gradients, and ends higher."""

FLAT = 1e-2
"""A curvature within this of 0 counts as flat: differences of float32 gradients tell no more."""

NEGLIGIBLE = 0.01
"""Share of a bar that a further descent may gain and the birth still stands."""

_RAY = (-0.9, -0.5, 0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Where a ray is looked at: what is added to the weights that grow, as a share of them."""

_ROUNDING = 2.0**-23
"""Share of a loss that float32 cannot tell from nothing."""


@dataclass(frozen=True)
class Certificate:
    """What is known of a point that should be a minimum.

    Attributes
    ----------
    verdict
        ``minimum``: it came to rest. ``unfinished``: the budget ended first. ``saddle``: it came to rest, and
        its loss curves down in a direction. ``falls for ever``: there is no bottom below it, and it was left
        where it was. ``not finite``: its loss or its gradient.
    loss, gradient_norm
        Where polishing ended.
    gain
        What a further descent wins, as long as all before: how far the point may lie above its bottom. Where
        the budget ended first, what the second half of it won.
    given, moved
        The loss of the point as it came, and how far it was moved from there.
    gradients
        Spent.
    curvature
        The lowest eigenvalue of the Hessian; None if it was not asked for, NaN where the search for it does
        not converge.
    """

    verdict: Verdict
    loss: float
    gradient_norm: float = math.nan
    gain: float = math.nan
    given: float = math.nan
    moved: float = 0.0
    gradients: int = 0
    curvature: float | None = None


def rest(reference: float | None = None) -> float:
    """Return what a further descent may gain from any minimum: 1e-6, or that share of a reference below 1.

    >>> rest(), rest(2.3), rest(0.01)
    (1e-06, 1e-06, 1e-08)
    """
    return 1e-6 * min(reference or 1.0, 1.0)


def judged(certificate: Certificate, allowed: float) -> tuple[Verdict, str | None]:
    """Return what a point is where a further descent may gain so much, and why it is no minimum.

    >>> judged(Certificate("unfinished", 0.5, gain=1e-5, gradients=400), 1e-4)
    ('minimum', None)
    """
    gain, verdict, curvature = certificate.gain, certificate.verdict, certificate.curvature or 0.0
    if verdict == "unfinished" and gain <= allowed:
        verdict = "minimum"
    reasons = {
        "unfinished": f"it is not at rest: a further descent lowers its loss by about {gain:.2g}",
        "saddle": f"its loss curves down in a direction (Hessian eigenvalue {curvature:.2g})",
        "falls for ever": "its loss falls for ever as the weights grow",
    }
    return verdict, reasons.get(verdict)


def polish(
    gradient: Gradient,
    start: Floats,
    *,
    tolerance: float = 1e-6,
    budget: int = 10_000,
    held: bool = False,
    parts: Sequence[slice] = (),
    curvature: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Floats, Certificate]:
    """Descend from a point until it rests, and say what is known of where it ended.

    Parameters
    ----------
    gradient
        Loss and gradient on all data.
    start
        Shape (d,).
    tolerance
        A gain below this is none, in the unit of the loss; nor is one that float32 cannot tell.
    budget
        Gradients; 0 leaves the point where it is, and a short look says what a descent would gain.
    held
        The loss is known to rise in every direction in the end, as with weight decay: it has a bottom.
    parts
        Of theta, for `falls_for_ever`.
    curvature
        Whether to look for the lowest eigenvalue of the Hessian too.
    stop
        Asked before each gradient.

    Returns
    -------
    tuple
        The point, shape (d,), and its certificate. Where the loss falls for ever, the point is the start:
        how far down it went says no more than how far it was sent.

    Examples
    --------
    >>> double_well = lambda x: (float(x[0] ** 4 - x[0] ** 2), 4 * x**3 - 2 * x)
    >>> point, certificate = polish(double_well, np.array([0.3]))
    >>> round(float(point[0]), 5), round(certificate.loss, 6), certificate.verdict
    (0.70711, -0.25, 'minimum')
    >>> polish(lambda x: (float(np.exp(-x[0])), -np.exp(-x)), np.ones(1))[1].verdict
    'falls for ever'
    """
    start = np.asarray(start, np.float64)
    given, slope = gradient(start)
    if not (math.isfinite(given) and np.isfinite(slope).all()):
        return start, Certificate("not finite", given, given=given)
    way = [_Halt(0, given, start)]
    verdict: Verdict | None = None
    while verdict is None:
        spent, whole = way[-1].spent, max(ROUND, way[-1].spent)
        most = min(whole, budget - spent) if budget else LOOK
        down = _down(gradient, way[-1].point, most, stop)
        way.append(_Halt(spent + down.gradients, down.loss, down.point))
        real = max(tolerance, _ROUNDING * abs(down.loss))
        long = not budget or most == whole or down.gradients < most
        if not held and falls_for_ever(gradient, down.point, parts, real):
            verdict = "falls for ever"
        elif down.gain < real and long and not stop():
            verdict = "minimum"
        elif way[-1].spent >= budget or stop():
            verdict = "unfinished"
    end = way[0] if verdict == "falls for ever" or not budget else way[-2 if verdict == "minimum" else -1]
    before = _half_way(way) if verdict == "unfinished" and budget else end
    found = Certificate(verdict, end.loss, gain=max(before.loss - way[-1].loss, 0.0), given=given)
    moved = float(np.linalg.norm(end.point - start))
    return end.point, _measured(
        gradient, end.point, replace(found, moved=moved, gradients=way[-1].spent), curvature
    )


def _down(gradient: Gradient, start: Floats, most: int, stop: Callable[[], bool]) -> Descent:
    """Descend for so many gradients: by L-BFGS and, where it finds no way on, over kinks."""
    down = descend(gradient, start, iterations=most, gradients=most, memory=MEMORY, stop=stop)
    over = settle(gradient, down.point, most - down.gradients, stop=stop)
    if not over.loss < down.loss:
        return replace(down, gradients=down.gradients + over.gradients)
    return Descent(over.point, down.before, over.loss, down.gradients + over.gradients)


@dataclass(frozen=True, eq=False)
class _Halt:
    """A place on the way down: gradients spent until there, its loss, where it is."""

    spent: int
    loss: float
    point: Floats


def _half_way(way: Sequence[_Halt]) -> _Halt:
    """Return the last place that was reached with half of the gradients."""
    return [halt for halt in way if halt.spent <= way[-1].spent / 2][-1]


def _measured(gradient: Gradient, point: Floats, found: Certificate, curvature: bool) -> Certificate:
    """Add what the slope and the curvature at the point say."""
    norm = float(np.linalg.norm(np.asarray(gradient(point)[1], np.float64)))
    if not curvature:
        return replace(found, gradient_norm=norm)
    lowest = extreme_eigenvalue(gradient, point, "lowest", products=6000, vectors=20, tolerance=1e-3)
    value = lowest.value if lowest.converged else math.nan
    verdict: Verdict = "saddle" if found.verdict == "minimum" and value < -FLAT else found.verdict
    return replace(found, gradient_norm=norm, curvature=value, verdict=verdict)


def falls_for_ever(
    gradient: Gradient, point: Floats, parts: Sequence[slice] = (), tolerance: float = 1e-6
) -> bool:
    """Tell whether a loss falls as far as one can see while weights grow.

    Parameters
    ----------
    gradient
        Loss and gradient on all data.
    point
        Shape (d,), from which all weights grow together.
    parts
        Of theta, whose weights may also grow alone.
    tolerance
        What is no fall.

    Notes
    -----
    From a minimum the loss rises along every ray, at latest where it has left the basin. Here it never does,
    out to a hundred times the weights, and at the far end it lies lower by more than the tolerance or by
    half; and it does rise the other way, unlike along a direction on which nothing depends. For cross-entropy
    the last layer is such a part once every sample is right: its outputs grow apart.
    """
    rays = [point, *(np.zeros_like(point) for _ in parts)]
    for ray, part in zip(rays[1:], parts, strict=True):
        ray[part] = point[part]
    return any(
        _falls([gradient(point + place * ray)[0] for place in _RAY], tolerance) for ray in rays if ray.any()
    )


def _falls(losses: Sequence[float], tolerance: float) -> bool:
    """Tell whether losses at the places of `_RAY` fall all the way."""
    here, far = losses[_RAY.index(0.0)], losses[-1]
    level = 1e-3 * tolerance + _ROUNDING * abs(here)
    lower = here - far > tolerance or 0 <= far <= here / 2
    return lower and losses[0] > here + level and all(two <= one + level for one, two in pairwise(losses))
