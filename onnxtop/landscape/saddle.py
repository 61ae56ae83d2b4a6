"""From the highest point of a path to the pass itself, and what shows that it is one.

A pass is a saddle: the gradient is 0 there, and the loss curves down along one direction, the way across,
and up along all others. The top of a path that was found lies near it at best. So from there Newton's steps
are taken in a small space of directions (a block Krylov space of the gradient and of the way across), uphill
along the lowest curvature and downhill along the rest, no further than a radius that is trusted, as long as
the gradient gets shorter.

Where that ends is the pass of this path only if a path leads through it, so it is put in the place of the top
and the path is measured again. One that is higher is not taken: refining never raises a death.

G. Henkelman, H. Jónsson, A dimer method for finding saddle points, J. Chem. Phys. 111 (1999); A. Heyden,
A. Bell, F. Keil, Efficient methods for finding transition states, J. Chem. Phys. 123 (2005), who follow the
lowest mode as is done here; J. Baker, An algorithm for the location of transition states, J. Comput. Chem. 7
(1986), the signs of the step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from onnxtop.landscape.band import relaxed
from onnxtop.landscape.chain import Loss, Meter, shares_of
from onnxtop.landscape.paths import FLAT, LossPath, Saddle, measured
from onnxtop.loss.descent import Floats, Gradient, hessian_product

SMALL = 1e-4
"""A gradient this short (relative to 1 + loss) is that of a pass."""

_ENOUGH = 1e-7
"""A gradient this short needs no further step."""

_DIRECTIONS = 12
"""Directions of the space in which a step is taken; each costs two gradients."""

_LAST = 24
"""Directions of the space in which the curvatures of the end are looked for."""

_SHORTER, _TRIES = 0.999, 8
"""How much shorter a step must make the gradient, and how often a step that does not is cut to a quarter."""

_ROUNDS = 8
"""How many tops of one path are refined, one after the other."""

_DESCENT = 6
"""Points on either side of a pass on the way down to the path."""


def refine_path(
    loss: Loss,
    gradient: Gradient,
    path: LossPath,
    gradients: int = 400,
    meter: Meter | None = None,
) -> LossPath:
    """Look for the pass that the highest point of a path lies near, and say what is there.

    Parameters
    ----------
    loss, gradient
        The function, as for `find_path`.
    path
        The best path found so far.
    gradients
        How many there may be.
    meter
        Stops the search before these are spent, and is charged for it.

    Returns
    -------
    LossPath
        With a `Saddle` that says what was found. The path goes through the pass if that makes it no higher;
        if not, it is the same as before.

    Examples
    --------
    >>> from onnxtop.landscape.paths import find_path
    >>> hill = lambda x: (x[0] ** 4 - 2 * x[0] ** 2 + x[1] ** 2, np.array([4, 2]) * [x[0] ** 3 - x[0], x[1]])
    >>> ends = np.array([-1.0, 0.0]), np.array([1.0, 0.0])
    >>> saddle = refine_path(lambda x: hill(x)[0], hill, find_path(lambda x: hill(x)[0], hill, *ends)).saddle
    >>> saddle.outcome, saddle.curvature < 0 < saddle.second
    ('pass', True)
    """
    own = Meter(gradients) if meter is None else meter.part(gradients)
    counted = own.counting(loss)
    climb = _Climb(gradient, own)
    best = path
    if not np.isfinite(path.height):
        saddle = None
    elif path.is_level:
        saddle = Saddle(path.top, path.height, None, None, None, "level")
    else:
        best, saddle = _through(counted, climb, path)
    if meter is not None:
        meter.charge(own)
    spent = path.gradients + own.used, path.evaluations + own.evaluations
    return replace(best, straight=path.straight, gradients=spent[0], evaluations=spent[1], saddle=saddle)


def _through(loss: Loss, climb: "_Climb", path: LossPath) -> tuple[LossPath, Saddle]:
    """Return the path through the pass, or the lowest one seen, and what its highest point is.

    Where the way through a pass has a higher point elsewhere, that one is refined next.
    """
    for _ in range(_ROUNDS):
        place = climb.end(path.top, path.direction, path.spacing / 2)
        if place is None or np.array_equal(place.point, path.top):
            return path, climb.judged(place or path)
        through = _lowest_through(loss, climb, path, place)
        slack = FLAT * (1 + abs(path.height))  # as far as float32 can tell they are as high
        if through.height > path.height + slack:
            return path, climb.judged(path, beside=place.is_flat(SMALL))
        path = through if through.height <= path.height else path
        if path.height <= place.loss + slack:
            return path, climb.judged(place)
    return path, climb.judged(path)


def _lowest_through(loss: Loss, climb: "_Climb", path: LossPath, place: "_Place") -> LossPath:
    """Return the lowest of a few paths through a pass; the first that is no higher than the pass ends it."""
    best = None
    for points in _chains(climb, path, place):
        through = measured(loss, points)
        best = through if best is None or through.height < best.height else best
        if best.height <= place.loss + FLAT * (1 + abs(place.loss)):
            break
    assert best is not None
    return best


def _chains(climb: "_Climb", path: LossPath, place: "_Place") -> Iterator[Floats]:
    """Yield chains through a pass: with it for the top; with ways down beside it; with these relaxed."""
    shares = shares_of(np.linalg.norm(np.diff(path.points, axis=0), axis=1))
    before, after = path.points[shares < path.summit], path.points[shares > path.summit]
    middle = place.point[None]
    yield np.concatenate([before, middle, after])
    across = place.mode if place.mode @ path.direction >= 0 else -place.mode
    down, up = (_downhill(climb, place, sign * across, path.spacing / 4) for sign in (-1, 1))
    halves = np.concatenate([before, down[::-1], middle]), np.concatenate([middle, up, after])
    yield np.concatenate([halves[0], halves[1][1:]])
    relaxed = [climb.slide(half) for half in halves]
    yield np.concatenate([relaxed[0], relaxed[1][1:]])


def _downhill(climb: "_Climb", place: "_Place", across: Floats, pace: float) -> Floats:
    """Return points on the way down from a pass to one side, a pace apart, shape (k, d)."""
    points = [place.point + pace * across / max(float(np.linalg.norm(across)), 1e-300)]
    while len(points) < _DESCENT and (ahead := climb.look(points[-1], across)) is not None and ahead.norm > 0:
        points.append(points[-1] - pace * ahead.slope / ahead.norm)
    return np.array(points)


@dataclass(frozen=True, eq=False)
class _Place:
    """A point on the way to a pass: its loss, its gradient, and the way across."""

    point: Floats
    loss: float
    slope: Floats
    mode: Floats

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.slope))

    def is_flat(self, tolerance: float) -> bool:
        """Whether the gradient is short."""
        return self.norm <= tolerance * (1 + abs(self.loss))


@dataclass(eq=False)
class _Climb:
    """The way to a pass, and why it ended."""

    gradient: Gradient
    meter: Meter
    outcome: str = "budget"

    def end(self, point: Floats, mode: Floats, radius: float) -> _Place | None:
        """Return the point with the shortest gradient on the way from a point; None if not even one is left.

        What it takes to judge it is set aside.
        """
        place = self.look(point, mode)
        while place is not None:
            if place.is_flat(_ENOUGH):
                break
            cost = 2 * min(_DIRECTIONS, point.size) + 1
            if self.meter.left < cost + 2 * self.aside:
                self.outcome = "budget"
                break
            values, vectors = self._curvatures(place, _DIRECTIONS)
            place = replace(place, mode=vectors[0])
            ahead, radius = self._shorter(place, values, vectors, radius)
            if ahead is None:
                break
            place = ahead
        return place

    @property
    def aside(self) -> int:
        """Gradients that are kept for what comes after."""
        return 1 + 2 * _LAST + 2 * _DESCENT

    def look(self, point: Floats, mode: Floats) -> _Place | None:
        """Return a point with its gradient, None if it is not finite or nothing is left."""
        if not self.meter.take(1):
            return None
        loss, slope = self.gradient(point)
        if not (np.isfinite(loss) and np.isfinite(slope).all()):
            return None
        return _Place(point, float(loss), np.asarray(slope, np.float64), mode)

    def slide(self, chain: Floats) -> Floats:
        """Let a chain whose ends stay slide down across its own direction, for half of what is left."""
        steps = int((self.meter.left - self.aside) // 4) // max(len(chain) - 2, 1)
        if steps < 1 or len(chain) < 3:
            return chain
        shares = shares_of(np.linalg.norm(np.diff(chain, axis=0), axis=1))
        ends = self.gradient(chain[0])[0], self.gradient(chain[-1])[0]
        return relaxed(self.gradient, chain, shares, ends, steps, self.meter, climbing=False)

    def _shorter(
        self, place: _Place, values: Floats, vectors: Floats, radius: float
    ) -> tuple[_Place | None, float]:
        """Take Newton's step, uphill along the lowest curvature, as far as it shortens the gradient."""
        least = 1e-9 * float(np.abs(values).max(initial=1e-300))
        bends = np.maximum(np.abs(values), least)
        bends[0] *= -1
        step = -(vectors @ place.slope / bends) @ vectors
        length = float(np.linalg.norm(step))
        for _ in range(_TRIES):
            part = min(1.0, radius / max(length, 1e-300))
            ahead = self.look(place.point + part * step, place.mode)
            if ahead is not None and ahead.norm < _SHORTER * place.norm:
                return ahead, 2 * radius if part < 1 else radius
            radius = min(radius, length) / 4
        self.outcome = "stuck" if self.meter.left > 0 else "budget"
        return None, radius

    def _curvatures(self, place: _Place, count: int) -> tuple[Floats, Floats]:
        """Return curvatures, lowest first, and their directions (k, d), in a space of so many directions."""
        basis: list[Floats] = []
        images: list[Floats] = []
        waiting = [place.mode, place.slope]
        while waiting and len(basis) < min(count, place.point.size) and self.meter.take(2):
            vector = waiting.pop(0)
            size = float(np.linalg.norm(vector))
            for _ in range(2):  # once is not enough against rounding
                vector = vector - sum(((known @ vector) * known for known in basis), np.zeros_like(vector))
            left = float(np.linalg.norm(vector))
            if left > 1e-8 * size:
                basis.append(vector / left)
                images.append(hessian_product(self.gradient, place.point, basis[-1]))
                waiting.append(images[-1])
        if not basis:
            return np.zeros(1), place.mode[None]
        space = np.array(basis)
        inside = space @ np.array(images).T
        values, turns = np.linalg.eigh((inside + inside.T) / 2)
        return values, turns.T @ space

    def judged(self, top: "_Place | LossPath", beside: bool = False) -> Saddle:
        """Say what a pass or the highest point of a path is, with its curvatures."""
        place = top if isinstance(top, _Place) else self.look(top.top, top.direction)
        if place is None:
            assert isinstance(top, LossPath)
            return Saddle(top.top, top.height, None, None, None, "budget")
        values, _ = self._curvatures(place, _LAST)
        outcome = "beside" if beside else self.outcome
        if place.is_flat(SMALL):
            outcome = "pass" if values[0] < 0 else "flat"
        second = float(values[1]) if values.size > 1 else None
        return Saddle(place.point, place.loss, place.norm, float(values[0]), second, outcome)
