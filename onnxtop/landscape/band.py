"""The nudged elastic band: a chain that slides down across its own direction until it lies in the valleys.

H. Jónsson, G. Mills, K. Jacobsen, Nudged elastic band method, 1998; G. Henkelman et al., J. Chem. Phys. 113
(2000), climbing image and tangents; F. Draxler et al., Essentially no barriers in neural network energy
landscape, arXiv:1803.00885, inserted pivots; D. Sheppard, R. Terrell, G. Henkelman, Optimization methods for
finding minimum energy paths, J. Chem. Phys. 128 (2008), L-BFGS on the whole band.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from onnxtop.landscape.chain import (
    PER_EDGE,
    Loss,
    Meter,
    along,
    between,
    line,
    profile,
    shares_of,
    slopes_at,
    unit,
)
from onnxtop.landscape.options import PathOptions
from onnxtop.loss.descent import Floats, Gradient

ROUNDS = 4
"""Rounds of the elastic band, each with its own pivots."""

MEMORY, ENTRIES = 20, 1 << 26
"""Moves whose curvatures are remembered, and how many numbers they may take; two are, whatever they take."""

STILL = 1e-5
"""A band rests where no force (relative to 1 + loss) is longer."""

PIVOT = 0.05
"""An edge gets a pivot if it bulges by more than this share of the profile's range."""


def relax(
    gradient: Gradient, loss: Loss, start: Floats, end: Floats, options: PathOptions, meter: Meter
) -> Iterator[Floats]:
    """Let a band slide down across its own direction, in rounds, with more pivots after each.

    In the last two rounds the highest point climbs along the band to the pass itself.
    """
    band, shares = line(start, end, options.points), np.linspace(0, 1, options.points)
    ends = loss(start), loss(end)
    for number in range(ROUNDS):
        steps = (options.gradients - meter.used) // (ROUNDS - number) // (len(band) - 2)
        band = relaxed(gradient, band, shares, ends, steps, meter, climbing=number >= ROUNDS - 2)
        yield band
        if not meter.take(0):
            return
        band, shares = _with_pivots(loss, band, options.most_points)


def relaxed(
    gradient: Gradient,
    band: Floats,
    shares: Floats,
    ends: tuple[float, float],
    steps: int,
    meter: Meter,
    climbing: bool,
) -> Floats:
    """Relax a band by L-BFGS, on all of its points as one.

    No point moves further at once than half the mean distance of two points. Stops where the loss is not
    finite, or where the band rests.
    """
    curvatures = _Curvatures(deque(maxlen=max(2, min(MEMORY, ENTRIES // (2 * band.size)))))
    for _ in range(steps):
        if not meter.take(len(band) - 2):
            break
        inner, slopes = slopes_at(gradient, band)
        if not np.isfinite(slopes).all() or not np.isfinite(inner).all():
            break
        top = int(inner.argmax()) if climbing else None
        force = _force(np.concatenate([ends[:1], inner, ends[1:]]), slopes, band, top)
        reach = float(np.linalg.norm(np.diff(band, axis=0), axis=1).mean()) / 2
        if reach == 0 or _longest(force) <= STILL * (1 + float(np.abs(inner).max())):
            break
        band = np.concatenate([band[:1], band[1:-1] + curvatures.move(force, reach), band[-1:]])
        band = _redistributed(band, shares, None if top is None else top + 1)
    return band


@dataclass
class _Curvatures:
    """The curvatures along the last moves of the whole band: they make a force a move (L-BFGS).

    The force of a band is no gradient of anything, so there is no value to search along a line; a move that
    runs against the force makes the band forget.
    """

    pairs: deque[tuple[Floats, Floats]]
    last: tuple[Floats, Floats] | None = None

    def move(self, force: Floats, reach: float) -> Floats:
        """Return how far each point moves, at most ``reach``."""
        if self.last is not None:
            self._learn(force)
        move = self._scaled(force)
        if not self.pairs or float(np.vdot(move, force)) <= 0:
            self.pairs.clear()
            move = force * (0.1 * reach / _longest(force))
        move = move * min(1.0, reach / _longest(move))
        self.last = force, move
        return move

    def _learn(self, force: Floats) -> None:
        before, move = self.last or (force, force)
        change = before - force
        rise = float(np.vdot(move, change))
        if rise > 1e-10 * float(np.linalg.norm(move)) * float(np.linalg.norm(change)):
            self.pairs.append((move, change))

    def _scaled(self, force: Floats) -> Floats:
        """Return the inverse Hessian that was learnt times a force: the recursion of two loops."""
        move, parts = force, []
        for step, change in reversed(self.pairs):
            part = float(np.vdot(step, move)) / float(np.vdot(step, change))
            parts.append(part)
            move = move - part * change
        if self.pairs:
            step, change = self.pairs[-1]
            move = move * (float(np.vdot(step, change)) / float(np.vdot(change, change)))
        for (step, change), part in zip(self.pairs, reversed(parts), strict=True):
            move = move + step * (part - float(np.vdot(change, move)) / float(np.vdot(step, change)))
        return move


def _longest(vectors: Floats) -> float:
    """Return the length of the longest of vectors, which are not all 0."""
    return max(float(np.linalg.norm(vectors, axis=1).max()), 1e-300)


def _force(losses: Floats, slopes: Floats, band: Floats, top: int | None) -> Floats:
    """Return minus the gradient across the band; along it, the highest point is pushed up."""
    tangents = _tangents(losses, band)
    force = along(slopes, tangents) - slopes
    if top is not None:
        force[top] += along(slopes, tangents)[top]
    return force


def _tangents(losses: Floats, band: Floats) -> Floats:
    """Return unit tangents at the inner points, to the higher neighbour (Henkelman and Jónsson, 2000)."""
    back, forth = unit(band[1:-1] - band[:-2]), unit(band[2:] - band[1:-1])
    fall, rise = losses[:-2] - losses[1:-1], losses[2:] - losses[1:-1]
    large, small = np.maximum(abs(fall), abs(rise)), np.minimum(abs(fall), abs(rise))
    steeper_ahead = losses[2:] > losses[:-2]
    ahead, behind = np.where(steeper_ahead, large, small), np.where(steeper_ahead, small, large)
    monotone = fall * rise < 0
    ahead, behind = (
        np.where(monotone, side, other) for side, other in ((rise > 0, ahead), (fall > 0, behind))
    )
    mixed = ahead[:, None] * forth + behind[:, None] * back
    flat = ~mixed.any(axis=1)
    mixed[flat] = (forth + back)[flat]
    return unit(mixed)


def _redistributed(band: Floats, shares: Floats, fixed: int | None) -> Floats:
    """Slide the points along their chain to given shares of its length; one may stay where it is."""
    places = shares_of(np.linalg.norm(np.diff(band, axis=0), axis=1))
    wanted = shares
    if fixed is not None:
        before = shares[: fixed + 1] / shares[fixed] * places[fixed]
        after = 1 - (1 - shares[fixed:]) / (1 - shares[fixed]) * (1 - places[fixed])
        wanted = np.concatenate([before, after[1:]])
    moved = between(band, places, wanted)
    kept = [0, -1] if fixed is None else [0, fixed, -1]
    moved[kept] = band[kept]
    return moved


def _with_pivots(loss: Loss, band: Floats, most: int) -> tuple[Floats, Floats]:
    """Insert points where the loss on an edge rises above the line between its ends, the worst edges first.

    Returns the band and the shares of its length at its points.
    """
    _, losses = profile(loss, band)
    losses = np.where(np.isfinite(losses), losses, losses[np.isfinite(losses)].max(initial=0.0))
    rows = losses[:-1].reshape(-1, PER_EDGE)
    lows, highs = losses[:-1:PER_EDGE], losses[PER_EDGE::PER_EDGE]
    slack = np.arange(PER_EDGE) / PER_EDGE
    excess = rows - (lows[:, None] + slack * (highs - lows)[:, None])
    bulge = excess.max(axis=1)
    room = max(most - len(band), 0)
    chosen = np.flatnonzero(bulge > PIVOT * np.ptp(losses))
    chosen = np.sort(chosen[np.argsort(-bulge[chosen], kind="stable")][: (room + 1) // 2])
    shares = excess.argmax(axis=1)[chosen, None] / PER_EDGE
    pivots = (1 - shares) * band[chosen] + shares * band[chosen + 1]
    fuller = np.insert(band, chosen + 1, pivots, axis=0)
    return fuller, shares_of(np.linalg.norm(np.diff(fuller, axis=0), axis=1))
