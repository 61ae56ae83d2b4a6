"""Alignment: renumber the hidden units of one network so that its weights lie near those of another.

Hidden units may be permuted, and under odd activations their signs flipped, without changing the function. So
two minima that look far apart may be one, and matching them first only tightens the bound of a pass.

A *group* is a set of units together with every axis of every tensor that carries them: the rows of the matrix
that makes them, their biases, the columns of each matrix that reads them; through a residual join, those of
all branches. `onnxtop.landscape.symmetry` finds the groups of a model.

S. Ainsworth, J. Hayase, S. Srinivasa. Git Re-Basin: merging models modulo permutation symmetries.
arXiv:2209.04836: weight matching, one group at a time, until nothing gets nearer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from onnxtop.errors import UsageError

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.intp]
Layout: TypeAlias = Mapping[str, tuple[slice, tuple[int, ...]]]
"""Where each tensor lies in theta, and its shape."""

_SWEEPS, _SETTLED = 100, 1e-12
"""How often all groups are balanced at most, and the logarithm of a factor that needs no further sweep."""

_NEARER = 1e-9
"""A renumbering counts only if it takes this share off the squared distance: rounding must end."""


@dataclass(frozen=True, eq=False)
class Member:
    """An axis of a tensor that carries the units of a group.

    ``positions``, shape (units, r), are the places of each unit along the axis: several where a Flatten has
    spread a channel. ``charge`` is the number of the group's charge that acts there, None if none does, and
    ``power`` how: 1 where the unit is made, -1 where it is read.
    """

    tensor: str
    axis: int
    positions: Indices
    charge: int | None = None
    power: int = 0


@dataclass(frozen=True)
class Charge:
    """A factor that a unit may have where it is made, and be divided by where it is read.

    ``odd``: it may be -1, as between odd functions; ``positive``: any number above 0, as around ReLU.
    """

    odd: bool = False
    positive: bool = False


@dataclass(frozen=True, eq=False)
class UnitGroup:
    """Units that are renumbered together, with the factors that they may have.

    ``inner`` are, for each unit, the groups of those that move with it: the columns of a head. They have the
    same sizes and members in the same order for every unit.
    """

    size: int
    members: tuple[Member, ...]
    charges: tuple[Charge, ...] = ()
    inner: tuple[tuple["UnitGroup", ...], ...] = ()

    @property
    def odd(self) -> bool:
        """Whether signs may be flipped."""
        return any(charge.odd for charge in self.charges)

    @property
    def homogeneous(self) -> bool:
        """Whether units may be scaled."""
        return any(charge.positive for charge in self.charges)

    @property
    def units(self) -> int:
        """How many units may be renumbered: those of the groups inside, where there are some."""
        return sum(group.units for groups in self.inner for group in groups) or self.size


@dataclass(frozen=True, eq=False)
class Move:
    """How the units of a group are renumbered.

    Unit ``order[u]`` comes into the place of unit u, times ``factors[c, u]`` for charge c (None: as it is);
    ``inner[u]`` says how the groups inside it are renumbered on the way.
    """

    order: Indices
    factors: Floats | None = None
    inner: tuple[tuple["Move", ...], ...] = ()


def align(
    target: Floats, theta: Floats, groups: Sequence[UnitGroup], layout: Layout, seed: int = 0
) -> Floats:
    """Return theta with its units renumbered to lie near a target.

    Parameters
    ----------
    target, theta
        Shape (d,), two networks of one architecture.
    groups
        What may be renumbered. Without groups theta comes back as it is.
    layout
        The tensors of both.
    seed
        Of the order in which groups are matched.

    Returns
    -------
    ndarray
        Shape (d,), as a function the same network; never further from the target than theta is.

    Raises
    ------
    UsageError
        The two differ in length.

    Examples
    --------
    >>> layout = {"W": (slice(0, 2), (2, 1)), "V": (slice(2, 4), (1, 2))}
    >>> places = np.array([[0], [1]])
    >>> group = UnitGroup(2, (Member("W", 0, places), Member("V", 1, places)))
    >>> align(np.array([1.0, 5.0, 2.0, 3.0]), np.array([5.0, 1.0, 3.0, 2.0]), [group], layout).tolist()
    [1.0, 5.0, 2.0, 3.0]
    """
    if target.shape != theta.shape:
        raise UsageError(f"wanted two networks of one size, found {target.size} and {theta.size} parameters")
    rng = np.random.default_rng(seed)
    wanted, nearest = _tensors(target, layout), np.array(theta, np.float64)
    distance = float(np.sum((target - nearest) ** 2))
    improved = True
    while improved:
        improved = False
        for number in rng.permutation(len(groups)):
            _, move = _matching(wanted, _tensors(nearest, layout), groups[number], groups[number])
            moved = renumbered(nearest, groups[number], move, layout)
            nearer = float(np.sum((target - moved) ** 2))
            if nearer < distance * (1 - _NEARER):
                nearest, distance, improved = moved, nearer, True
    return nearest


def balanced(theta: Floats, groups: Sequence[UnitGroup], layout: Layout) -> Floats:
    """Return theta with every unit that may be scaled made and read by weights of one norm.

    The function stays the same, and so does the loss all along the way there, unless a penalty counts the
    weights: of these the balanced network has the smallest sum of squares, so a minimum under decay is
    balanced already. A unit with nothing on one side stays as it is.

    P. Stock, B. Graham, R. Gribonval, H. Jégou, Equi-normalization of neural networks, arXiv:1902.10416: one
    group after the other, until nothing changes.

    Examples
    --------
    >>> layout = {"W": (slice(0, 1), (1, 1)), "V": (slice(1, 2), (1, 1))}
    >>> ends = Member("W", 0, np.array([[0]]), 0, 1), Member("V", 1, np.array([[0]]), 0, -1)
    >>> balanced(np.array([8.0, 2.0]), [UnitGroup(1, ends, (Charge(positive=True),))], layout).tolist()
    [4.0, 4.0]
    """
    scaled = np.array(theta, np.float64)
    free = [group for outer in groups for group in _with_inner(outer) if group.homogeneous]
    for _ in range(_SWEEPS):
        farthest = 0.0
        for group in free:
            factors = _balance(_tensors(scaled, layout), group)
            farthest = max(farthest, float(np.abs(np.log(factors)).max(initial=0)))
            scaled = renumbered(scaled, group, Move(np.arange(group.size), factors, _still(group)), layout)
        if farthest < _SETTLED:
            break
    return scaled


def scrambled(
    theta: Floats, groups: Sequence[UnitGroup], layout: Layout, seed: int, *, spread: float = 0.5
) -> Floats:
    """Return the same network with its units in another order, and scaled and flipped where they may be.

    ``spread`` is the standard deviation of the logarithm of a factor.
    """
    rng = np.random.default_rng(seed)
    for group in groups:
        theta = renumbered(theta, group, _random(group, rng, spread), layout)
    return theta


def renumbered(theta: Floats, group: UnitGroup, move: Move, layout: Layout) -> Floats:
    """Return theta with the units of a group moved."""
    moved = np.array(theta, np.float64)
    for tensor, axis, into, out_of, factors in _steps(group, group, move):
        where, shape = layout[tensor]
        array = moved[where].reshape(shape)
        along = np.moveaxis(array, axis, 0)
        taken = along[out_of]
        if factors is not None:
            taken = taken * factors.reshape(-1, *[1] * (taken.ndim - 1))
        along[into] = taken
        moved[where] = array.ravel()
    return moved


_Step: TypeAlias = tuple[str, int, Indices, Indices, Floats | None]


def _steps(into: UnitGroup, out_of: UnitGroup, move: Move) -> list[_Step]:
    """Return for each axis which places go where, times what; those inside all units at once."""
    steps: list[_Step] = []
    for to, source in zip(into.members, out_of.members, strict=True):
        factors = None
        if move.factors is not None and to.charge is not None:
            factors = np.repeat(move.factors[to.charge] ** to.power, to.positions.shape[1])
        steps.append(
            (to.tensor, to.axis, to.positions.ravel(), source.positions[move.order].ravel(), factors)
        )
    inside = [
        [
            step
            for group, source, each in zip(into.inner[u], out_of.inner[v], move.inner[u], strict=True)
            for step in _steps(group, source, each)
        ]
        for u, v in enumerate(move.order.tolist())
        if into.inner
    ]
    for same in zip(*inside, strict=True):
        tensor, axis, *_ = same[0]
        tos, froms = (np.concatenate([step[side] for step in same]) for side in (2, 3))
        given = [np.ones(step[2].size) if step[4] is None else step[4] for step in same]
        steps.append((tensor, axis, tos, froms, np.concatenate(given)))
    return steps


def _tensors(theta: Floats, layout: Layout) -> dict[str, Floats]:
    return {name: theta[where].reshape(shape) for name, (where, shape) in layout.items()}


def _matching(
    wanted: Mapping[str, Floats], given: Mapping[str, Floats], into: UnitGroup, out_of: UnitGroup
) -> tuple[float, Move]:
    """Return which unit belongs in which place, and its signs: the largest sum of inner products."""
    plain = np.zeros((into.size, out_of.size))
    charged = np.zeros((len(into.charges), into.size, out_of.size))
    for to, source in zip(into.members, out_of.members, strict=True):
        likeness = _rows(wanted, to) @ _rows(given, source).T
        (plain if to.charge is None else charged[to.charge])[...] += likeness
    odd = np.array([charge.odd for charge in into.charges], bool)
    charged_best = np.where(odd[:, None, None], np.abs(charged), charged).sum(axis=0)
    inside = [
        [
            [_matching(wanted, given, *pair) for pair in zip(groups, sources, strict=True)]
            for sources in out_of.inner
        ]
        for groups in into.inner
    ]
    likeness = plain + charged_best
    if inside:
        likeness = likeness + [[sum(gain for gain, _ in each) for each in row] for row in inside]
    order = linear_sum_assignment(likeness, maximize=True)[1].astype(np.intp)
    places = np.arange(into.size)
    signs = np.where(odd[:, None] & (charged[:, places, order] < 0), -1.0, 1.0)
    inner = tuple(
        tuple(move for _, move in row[source]) for row, source in zip(inside, order.tolist(), strict=False)
    )
    return float(likeness[places, order].sum()), Move(order, signs if odd.any() else None, inner)


def _rows(tensors: Mapping[str, Floats], member: Member) -> Floats:
    """Return all weights of each unit, shape (units, *)."""
    along = np.moveaxis(tensors[member.tensor], member.axis, 0)
    return along[member.positions].reshape(len(member.positions), -1)


def _balance(tensors: Mapping[str, Floats], group: UnitGroup) -> Floats:
    """Return the factors, shape (charges, units), that make what makes a unit as long as what reads it."""
    squares = np.zeros((2, len(group.charges), group.size))
    for member in group.members:
        if member.charge is not None and member.power:
            squares[int(member.power < 0), member.charge] += np.sum(_rows(tensors, member) ** 2, axis=1)
    free = np.array([charge.positive for charge in group.charges])[:, None] & (squares > 0).all(axis=0)
    return np.where(free, squares[1] / np.where(free, squares[0], 1.0), 1.0) ** 0.25


def _with_inner(group: UnitGroup) -> Iterator[UnitGroup]:
    yield group
    for groups in group.inner:
        for each in groups:
            yield from _with_inner(each)


def _still(group: UnitGroup) -> tuple[tuple[Move, ...], ...]:
    return tuple(
        tuple(Move(np.arange(each.size), None, _still(each)) for each in groups) for groups in group.inner
    )


def _random(group: UnitGroup, rng: np.random.Generator, spread: float) -> Move:
    factors = np.ones((len(group.charges), group.size))
    for row, charge in zip(factors, group.charges, strict=True):
        if charge.odd:
            row *= rng.choice([-1.0, 1.0], group.size)
        if charge.positive:
            row *= np.exp(spread * rng.standard_normal(group.size))
    inner = tuple(tuple(_random(each, rng, spread) for each in groups) for groups in group.inner)
    return Move(rng.permutation(group.size), factors, inner)
