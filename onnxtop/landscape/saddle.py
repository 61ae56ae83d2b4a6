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
from onnxtop.landscape.chain import Loss, Meter, between, shares_of
from onnxtop.landscape.paths import FLAT, LossPath, Saddle, measured
from onnxtop.loss.descent import Floats, Gradient, hessian_product
from onnxtop.results.landscape import Top

SMALL = 1e-5
"""A gradient this short (relative to 1 + loss) is that of a pass."""

_ENOUGH = 1e-7
"""A gradient this short needs no further step."""

_LEAST, _DIRECTIONS, _RESIDUE = 12, 64, 0.3
"""Directions of the space in which a step is taken, two gradients each: at least, and at most; it has grown
enough where Newton's step would leave so small a share of the gradient."""

_LAST = 24
"""Directions of the space in which the curvatures of the end are looked for."""

_SHORTER, _MISS, _TRIES = 0.9, 0.5, 8
"""A step must shorten the gradient, or change the loss as foreseen but for this share; one that does neither
is cut to a quarter, so often."""

_ROUNDS = 100
"""How many tops of one path are refined, one after the other."""

_FINER, _BESIDE = 9, 1
"""Points that a stretch of a path around its top gets, and how many of the path's it goes beyond it."""

_STEPS = 60
"""Steps of this stretch before the pass is looked for again."""

_PATIENCE = 4
"""Steps towards a pass that may fail to halve the gradient, one after the other."""

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
    (<Top.SADDLE: 'pass'>, True)
    """
    own = Meter(gradients) if meter is None else meter.part(gradients)
    counted = own.counting(loss)
    climb = _Climb(gradient, own, path.points.shape[1])
    best = path
    if not np.isfinite(path.height):
        saddle = None
    elif path.is_level:
        saddle = Saddle(path.top, path.height, None, None, None, Top.LEVEL)
    else:
        best, saddle = _through(counted, climb, path)
    if meter is not None:
        meter.charge(own)
    spent = path.gradients + own.used, path.evaluations + own.evaluations
    return replace(best, straight=path.straight, gradients=spent[0], evaluations=spent[1], saddle=saddle)


def _through(loss: Loss, climb: "_Climb", path: LossPath) -> tuple[LossPath, Saddle]:
    """Return the lowest path seen, through a pass if one was found, and what its highest point is.

    In turns, the pass is looked for from the top, and the path is made finer around the top and relaxed.
    """
    now, place, beside = path, None, False
    for _ in range(_ROUNDS):
        place = climb.end(now.top, now.direction, now.spacing)
        if place is None:
            break
        slack = FLAT * (1 + abs(path.height))  # as far as float32 can tell they are as high
        if flat := place.is_flat(SMALL):
            through = _lowest_through(loss, climb, now, place)
            path = through if through.height <= path.height else path
            if through.height <= path.height + slack and path.height <= place.loss + slack:
                return path, climb.judged(place)
            now = through
        beside = flat and now.height > path.height
        finer = climb.finer(now)
        if finer is None:
            break
        now = measured(loss, finer)
        path = now if now.height < path.height else path
    here = place is not None and np.array_equal(place.point, path.top)
    return path, climb.judged(place if here and place is not None else path, beside=beside)


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
    if not place.is_flat(SMALL):
        return
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


@dataclass(frozen=True, eq=False)
class _Space:
    """A few directions: curvatures, lowest first, their directions (k, d), the Hessian's images of these."""

    values: Floats
    vectors: Floats
    images: Floats

    @classmethod
    def of(cls, basis: list[Floats], images: list[Floats], mode: Floats) -> "_Space":
        """Find the curvatures in the space of an orthonormal basis."""
        if not basis:
            return cls(np.zeros(1), mode[None], np.zeros_like(mode)[None])
        inside = np.array(basis) @ np.array(images).T
        values, turns = np.linalg.eigh((inside + inside.T) / 2)
        return cls(values, turns.T @ np.array(basis), turns.T @ np.array(images))

    def step(self, slope: Floats) -> Floats:
        """Return Newton's step, uphill along the lowest curvature and downhill along the rest.

        Where one direction alone leads down, it is the step after which the least is left of the gradient.
        """
        if self.values[0] < 0 and (self.values[1:] > 0).all():
            shares = np.linalg.lstsq(self.images.T, -slope, rcond=1e-10)[0]
        else:
            bends = np.maximum(np.abs(self.values), 1e-9 * float(np.abs(self.values).max(initial=1e-300)))
            bends[0] *= -1
            shares = -(self.vectors @ slope) / bends
        step: Floats = shares @ self.vectors
        return step

    def change(self, slope: Floats, step: Floats) -> float:
        """Return by how much the loss should change."""
        shares = self.vectors @ step
        return float(slope @ step + 0.5 * shares @ (self.values * shares))


@dataclass(eq=False)
class _Climb:
    """The way to a pass, and why it ended."""

    gradient: Gradient
    meter: Meter
    size: int
    outcome: Top = Top.BUDGET

    def end(self, point: Floats, mode: Floats, radius: float) -> _Place | None:
        """Return the point with the shortest gradient on the way from a point; None if not even one is left.

        What it takes to judge it is set aside.
        """
        place = best = self.look(point, mode)
        limit = radius
        most = self.meter.used + self.meter.left / 3
        worse = 0
        while place is not None and worse < _PATIENCE and np.linalg.norm(place.point - point) <= 2 * limit:
            worse = 0 if best is None or place.norm < best.norm / 2 else worse + 1
            best = place if best is None or place.norm < best.norm else best
            if place.is_flat(_ENOUGH):
                break
            if self.meter.left < 2 * min(_LEAST, point.size) + 1 + 2 * self.aside or self.meter.used > most:
                self.outcome = Top.BUDGET
                break
            space = self._space(place, _DIRECTIONS, 2 * self.aside)
            place, radius = self._ahead(replace(place, mode=space.vectors[0]), space, min(radius, limit))
        return best

    @property
    def aside(self) -> int:
        """Gradients that are kept for what comes after."""
        return 1 + 2 * min(_LAST, self.size) + 2 * min(_DESCENT, self.size)

    def look(self, point: Floats, mode: Floats) -> _Place | None:
        """Return a point with its gradient, None if it is not finite or nothing is left."""
        if not self.meter.take(1):
            return None
        loss, slope = self.gradient(point)
        if not (np.isfinite(loss) and np.isfinite(slope).all()):
            return None
        return _Place(point, float(loss), np.asarray(slope, np.float64), mode)

    def finer(self, path: LossPath) -> Floats | None:
        """Return the chain with more points around its top, relaxed there while the top climbs."""
        shares = shares_of(np.linalg.norm(np.diff(path.points, axis=0), axis=1))
        first = max(int(np.searchsorted(shares, path.summit)) - _BESIDE - 1, 0)
        last = min(int(np.searchsorted(shares, path.summit)) + _BESIDE, len(shares) - 1)
        steps = min(int((self.meter.left - 2 * self.aside) // 3) // (_FINER - 2), _STEPS)
        if steps < 2:
            self.outcome = Top.BUDGET
            return None
        within = between(path.points, shares, np.linspace(shares[first], shares[last], _FINER))
        ends = self.gradient(within[0])[0], self.gradient(within[-1])[0]
        even = np.linspace(0, 1, _FINER)
        around = relaxed(self.gradient, within, even, ends, steps, self.meter, climbing=True)
        return np.concatenate([path.points[:first], around, path.points[last + 1 :]])

    def slide(self, chain: Floats) -> Floats:
        """Let a chain whose ends stay slide down across its own direction, for a quarter of what is left."""
        steps = int((self.meter.left - self.aside) // 4) // max(len(chain) - 2, 1)
        if steps < 1 or len(chain) < 3:
            return chain
        shares = shares_of(np.linalg.norm(np.diff(chain, axis=0), axis=1))
        ends = self.gradient(chain[0])[0], self.gradient(chain[-1])[0]
        return relaxed(self.gradient, chain, shares, ends, steps, self.meter, climbing=False)

    def _ahead(self, place: _Place, space: _Space, radius: float) -> tuple[_Place | None, float]:
        """Take a step, within a radius where the loss is as its curvatures say or the gradient shorter."""
        step = space.step(place.slope)
        for _ in range(_TRIES):
            length = float(np.linalg.norm(step))
            part = step * min(1.0, radius / max(length, 1e-300))
            ahead = self.look(place.point + part, place.mode)
            if ahead is None and self.meter.left == 0:
                break
            if ahead is not None:
                wanted = space.change(place.slope, part)
                miss = abs(ahead.loss - place.loss - wanted) / max(abs(wanted), 1e-300)
                if miss < _MISS or ahead.norm < _SHORTER * place.norm:
                    return ahead, radius * (2.0 if miss < _MISS / 2 else 1.0)
            radius = min(radius, length) / 4
        self.outcome = Top.STUCK if self.meter.left > 0 else Top.BUDGET
        return None, radius

    def _space(self, place: _Place, most: int, aside: int = 0) -> _Space:
        """Look at curvatures in a growing space of directions, until Newton's step in it is a good one."""
        basis: list[Floats] = []
        images: list[Floats] = []
        waiting = [place.mode, place.slope]
        if not aside:  # where the gradient is 0 it leads to no other direction
            waiting.append(np.random.default_rng(0).standard_normal(place.point.size))
        norm = place.norm
        while waiting and len(basis) < min(most, place.point.size):
            vector = waiting.pop(0)
            size = float(np.linalg.norm(vector))
            for _ in range(2):  # once is not enough against rounding
                vector = vector - sum(((known @ vector) * known for known in basis), np.zeros_like(vector))
            left = float(np.linalg.norm(vector))
            if left <= 1e-8 * size:
                continue
            if self.meter.left < 2 + aside or not self.meter.take(2):
                break
            basis.append(vector / left)
            images.append(hessian_product(self.gradient, place.point, basis[-1]))
            waiting.append(images[-1])
            if aside and len(basis) >= _LEAST and len(basis) % 4 == 0:
                rest = np.linalg.lstsq(np.array(images).T, -place.slope, rcond=None)[0] @ np.array(images)
                if np.linalg.norm(rest + place.slope) < _RESIDUE * norm:
                    break
        return _Space.of(basis, images, place.mode)

    def judged(self, top: "_Place | LossPath", beside: bool = False) -> Saddle:
        """Say what a pass or the highest point of a path is, with its curvatures."""
        place = top if isinstance(top, _Place) else self.look(top.top, top.direction)
        if place is None:
            assert isinstance(top, LossPath)
            return Saddle(top.top, top.height, None, None, None, Top.BUDGET)
        values = self._space(place, _LAST).values
        outcome = Top.BESIDE if beside else self.outcome
        if place.is_flat(SMALL):
            outcome = Top.SADDLE if values[0] < 0 else Top.FLAT
        second = float(values[1]) if values.size > 1 else None
        return Saddle(place.point, place.loss, place.norm, float(values[0]), second, outcome)
