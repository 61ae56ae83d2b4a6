"""Alignment: renumber the hidden units of one network so that its weights lie near those of another.

Hidden units may be permuted, and under odd activations their signs flipped, without changing the function. So
two minima that look far apart may be one, and matching them first only tightens the bound of a pass.

A *group* is a set of units together with every axis of every tensor that carries them: the rows of the matrix
that makes them, their biases, the columns of each matrix that reads them; through a residual join, those of
all branches. `onnxtop.landscape.symmetry` finds the groups of a model.

S. Ainsworth, J. Hayase, S. Srinivasa. Git Re-Basin: merging models modulo permutation symmetries.
arXiv:2209.04836: weight matching, one group at a time, until nothing gets nearer.
"""

from collections.abc import Mapping, Sequence
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
    wanted, found = _tensors(target, layout), np.array(theta, np.float64)
    distance = float(np.sum((target - found) ** 2))
    improved = True
    while improved:
        improved = False
        for number in rng.permutation(len(groups)):
            group = groups[number]
            order, signs = _matching(wanted, _tensors(found, layout), group)
            moved = renumbered(found, group, order, signs, layout)
            nearer = float(np.sum((target - moved) ** 2))
            if nearer < distance * (1 - _NEARER):
                found, distance, improved = moved, nearer, True
    return found


def renumbered(
    theta: Floats, group: UnitGroup, order: Indices, signs: Floats | None, layout: Layout
) -> Floats:
    """Return theta with unit ``order[u]`` of a group in the place of unit u, times ``signs[u]``."""
    moved = np.array(theta, np.float64)
    for member in group.members:
        where, shape = layout[member.tensor]
        tensor = moved[where].reshape(shape)
        along = np.moveaxis(tensor, member.axis, 0)
        taken = along[member.positions[order]]
        if signs is not None:
            taken = taken * signs.reshape(-1, *[1] * (taken.ndim - 1))
        along[member.positions] = taken
        moved[where] = tensor.ravel()
    return moved


def _tensors(theta: Floats, layout: Layout) -> dict[str, Floats]:
    return {name: theta[where].reshape(shape) for name, (where, shape) in layout.items()}


def _matching(
    wanted: Mapping[str, Floats], found: Mapping[str, Floats], group: UnitGroup
) -> tuple[Indices, Floats | None]:
    """Return which unit belongs in which place, and its sign: the largest sum of inner products."""
    likeness = np.zeros((group.size, group.size))
    for member in group.members:
        likeness += _rows(wanted, member) @ _rows(found, member).T
    order = linear_sum_assignment(np.abs(likeness) if group.odd else likeness, maximize=True)[1]
    if not group.odd:
        return order.astype(np.intp), None
    return order.astype(np.intp), np.where(likeness[np.arange(group.size), order] < 0, -1.0, 1.0)


def _rows(tensors: Mapping[str, Floats], member: Member) -> Floats:
    """Return all weights of each unit, shape (units, *)."""
    along = np.moveaxis(tensors[member.tensor], member.axis, 0)
    return along[member.positions].reshape(len(member.positions), -1)
