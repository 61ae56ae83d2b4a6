"""Hidden units along the values of a model, and what the walk over its nodes finds out about them.

Mark
    The units of a value, as an array of numbers with the value's rank, of size 1 along the axes along which
    nothing changes: the representation of `onnxtop.reader.lanes`, whose rules say how entries move. `NONE`
    stands where no unit is.
Unit
    A number; numbers that turn out to be one unit are joined. A unit may stand *below* another: a column of
    the queries below its head. Then it may be exchanged with others below the same, and moves with it.
Charge
    A factor by which a unit may be multiplied where it is made and divided where it is read. What comes out
    of a normalisation, or of a layer, has a new one. It may be a sign (between odd functions), a positive
    number (between positively homogeneous ones), both, or neither.
Carrier
    An axis of a tensor of theta, with the unit of each place and how the charge acts there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxtop.landscape.alignment import Charge, Layout, Member, UnitGroup
from onnxtop.reader.constants import Constants
from onnxtop.reader.lanes.arrays import NONE, Ids, compressed, filled
from onnxtop.reader.lanes.sizes import Sizes
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.search import reached

FIXED = -2
"""Stands in a carrier for a place that is no unit and may not move."""


class UnsureError(Exception):
    """What an operation does to units is not known: they are held in place."""


@dataclass(frozen=True, eq=False)
class UnitMark:
    """The units of a value, and the number of their charge (0: none)."""

    ids: Ids
    charge: int = 0


@dataclass(frozen=True, eq=False)
class Carrier:
    """An axis of a tensor with the unit of each place; ``power``: 1 where it makes it, -1 where it reads."""

    tensor: str
    axis: int
    ids: Ids
    charge: int
    power: int


class Joined:
    """Numbers some of which turn out to be one."""

    def __init__(self, first: int = 0) -> None:
        self.parent = list(range(first))

    def new(self, count: int = 1) -> Ids:
        """Return new numbers."""
        start = len(self.parent)
        self.parent += range(start, start + count)
        return np.arange(start, start + count)

    def root(self, number: int) -> int:
        """Return the number by which one goes now."""
        while self.parent[number] != number:
            self.parent[number] = number = self.parent[self.parent[number]]
        return number

    def join(self, one: int, two: int) -> int:
        """Make two numbers one, the lower, which is returned."""
        low, high = sorted((self.root(one), self.root(two)))
        self.parent[high] = low
        return low


@dataclass(eq=False)
class UnitWalk:
    """What is known of units so far.

    ``marks`` are those of all values seen, ``sources`` the places in a tensor of theta that the entries of a
    value moved from it have.
    """

    model: Model
    layout: Layout
    constants: Constants
    sizes: Sizes
    batch_statistics: bool
    marks: dict[Value, UnitMark] = field(default_factory=dict)
    sources: dict[Value, tuple[str, Ids]] = field(default_factory=dict)
    units: Joined = field(default_factory=Joined)
    above: dict[int, int] = field(default_factory=dict)
    pinned: set[int] = field(default_factory=set)
    charges: Joined = field(default_factory=lambda: Joined(1))
    not_odd: set[int] = field(default_factory=lambda: {0})
    not_positive: set[int] = field(default_factory=lambda: {0})
    claims: dict[tuple[str, int], Ids] = field(default_factory=dict)
    carriers: list[Carrier] = field(default_factory=list)
    held: dict[str, set[int]] = field(default_factory=dict)

    # Values

    def shape(self, value: Value) -> tuple[int, ...]:
        """Return the shape of a value."""
        shape = self.sizes.of(value).shape
        if shape is None:
            raise UnsureError
        return shape

    def source(self, value: Value | None) -> tuple[str, Ids] | None:
        """Return which entries of which tensor of theta a value holds, None if it is none."""
        if value is None:
            return None
        if value in self.model.tensors and value.name in self.layout and value not in self.sources:
            shape = self.layout[value.name][1]
            self.sources[value] = value.name, np.arange(int(np.prod(shape))).reshape(shape)
        return self.sources.get(value)

    def is_uniform(self, value: Value, number: float | None = None) -> bool:
        """Tell whether all entries of a value are surely the same number, or one given."""
        moves = (
            "Expand",
            "Slice",
            "Transpose",
            "Reshape",
            "Squeeze",
            "Unsqueeze",
            "Identity",
            "Cast",
            "Tile",
        )

        def behind(here: Value) -> list[Value]:
            node = self.model.producers.get(here)
            return [each for each in node.inputs[:1] if each] if node and node.op_type in moves else []

        for here in reached([value], behind):
            array = self.sizes.of(here).array
            if number is None and self.constants.is_fill(here):
                return True
            if array is not None and (array == (array.ravel()[:1] if number is None else number)).all():
                return True
        return False

    # Units

    def new(self, count: int) -> Ids:
        """Return new units."""
        return self.units.new(count)

    def new_charge(self) -> int:
        """Return a new charge."""
        return int(self.charges.new()[0])

    def roots(self, ids: Ids) -> Ids:
        """Return the numbers by which units go now."""
        numbers, places = np.unique(ids, return_inverse=True)
        roots = np.array([self.units.root(number) if number >= 0 else number for number in numbers.tolist()])
        return roots.astype(np.intp)[places].reshape(ids.shape)

    def pin(self, ids: Ids) -> None:
        """Hold units in place."""
        self.pinned.update(np.unique(ids[ids >= 0]).tolist())

    def join(self, one: int, two: int) -> None:
        """Make two units one; what they stand below becomes one too."""
        one, two = self.units.root(one), self.units.root(two)
        if one == two:
            return
        over = [self.above.pop(unit) for unit in (one, two) if unit in self.above]
        low = self.units.join(one, two)
        if over:
            self.above[low] = over[0]
        if len(over) == 2:
            self.join(*over)

    def put_below(self, unit: int, head: int) -> None:
        """Note that a unit moves with another."""
        unit, head = self.units.root(unit), self.units.root(head)
        if unit == head:
            self.pin(np.array([unit]))
        elif unit in self.above:
            self.join(self.above[unit], head)
        else:
            self.above[unit] = head

    def heads(self, ids: Ids) -> Ids:
        """Return for each unit the one that it stands below, `NONE` if there is none."""
        roots = self.roots(ids)
        over = np.vectorize(lambda unit: self.above.get(unit, NONE), otypes=[np.intp])(roots)
        return np.asarray(over, np.intp)

    def relate(self, one: Ids, two: Ids) -> Ids:
        """Let units meet entry by entry: they are one, or the finer ones stand below the others.

        Returns the finer ones. Where it is neither, all are held in place.
        """
        one, two = np.broadcast_arrays(self.roots(one), self.roots(two))
        both = (one >= 0) & (two >= 0)
        if not both.any():
            return np.maximum(one, two)
        pairs = np.unique(np.stack([one[both], two[both]], axis=1), axis=0)
        left, right = (np.unique(pairs[:, side]).size for side in (0, 1))
        if len(pairs) not in (left, right) or (one >= 0).sum() + (two >= 0).sum() != 2 * both.sum():
            self.pin(one)
            self.pin(two)
        elif left == right:
            for pair in pairs.tolist():
                self.join(*pair)
        else:
            for a, b in pairs.tolist():
                self.put_below(*((a, b) if left > right else (b, a)))
        return one if left >= right else two

    def along(self, ids: Ids, axis: int) -> Ids:
        """Return the units along one axis, shape (1,) or (length,); if only that fits, those above them."""
        others = tuple(place for place in range(ids.ndim) if place != axis % ids.ndim)
        for candidate in (compressed(self.roots(ids)), compressed(self.heads(ids))):
            if all(candidate.shape[place] == 1 for place in others):
                return candidate.reshape(-1)
        raise UnsureError

    # Charges

    def spoil(self, charge: int, *, odd: bool = True, positive: bool = True) -> int:
        """Note what a charge may not be; return it if anything is left, else 0."""
        root = self.charges.root(charge)
        self.not_odd.update([root] if odd else [])
        self.not_positive.update([root] if positive else [])
        return 0 if odd and positive else root

    def live(self, charges: Iterable[int]) -> list[int]:
        """Return the charges that may still be something else than 1."""
        lost = [{self.charges.root(each) for each in side} for side in (self.not_odd, self.not_positive)]
        return [charge for charge in charges if self.charges.root(charge) not in lost[0] & lost[1]]

    def same_charge(self, charges: Iterable[int]) -> int:
        """Let several charges be one; if one is none, none of them is any."""
        numbers = {self.charges.root(charge) for charge in charges}
        if 0 in numbers or not numbers:
            for number in numbers:
                self.spoil(number)
            return 0
        first, *others = sorted(numbers)
        for other in others:
            self.charges.join(first, other)
        return first

    # Tensors of theta

    def carry(
        self, value: Value, axis: int, ids: Ids, charge: int = 0, power: int = 0, part: Ids | None = None
    ) -> None:
        """Note that an axis of a value from theta carries units.

        ``part`` are the places along the axis where the charge acts, None for all.
        """
        name, own, places = self._axis(value, axis)
        if ids.size == 1 or own is None:
            self.pin(ids)
            self.spoil(charge)
            return
        ids = np.where(ids == NONE, FIXED, self.roots(ids))
        acts = np.full(ids.size, charge != 0)
        if part is not None:
            acts[np.setdiff1d(np.arange(ids.size), part)] = False
        covered = places >= 0
        if (name, own) in self.claims:  # used twice: no charge acts the same in both
            self.spoil(charge)
            for each in self.carriers:
                if (each.tensor, each.axis) == (name, own):
                    self.spoil(each.charge)
        else:
            for side, number in ((acts, charge), (~acts, 0)):
                held = np.where(covered & side[places], ids[places], NONE)
                if (held >= 0).any():
                    self.carriers.append(Carrier(name, own, held, number, power if number else 0))
        self._claim(name, own, np.where(covered, ids[places], NONE))

    def _axis(self, value: Value, axis: int) -> tuple[str, int | None, Ids]:
        """Return the tensor of theta, its axis that an axis of a value runs along, and where each place went.

        A place of the tensor that the value does not hold is at -1; the axis is None if there is no such.
        """
        source = self.source(value)
        assert source is not None
        name, index = source
        shape = self.layout[name][1]
        turn = [1] * index.ndim
        turn[axis] = -1
        table = np.full(int(np.prod(shape)), -1, np.intp)
        table[index] = np.broadcast_to(np.arange(index.shape[axis]).reshape(turn), index.shape)
        places = compressed(table.reshape(shape))
        wide = [place for place, size in enumerate(places.shape) if size > 1]
        return name, wide[0] if len(wide) == 1 else None, places.reshape(-1)

    def _claim(self, name: str, axis: int, ids: Ids) -> None:
        """Note what stands along an axis; used twice, it is the same."""
        known = self.claims.setdefault((name, axis), ids)
        if known is ids:
            return
        for one, two in zip(known.tolist(), ids.tolist(), strict=True):
            if one >= 0 and two >= 0:
                self.join(one, two)
            elif FIXED in (one, two) and max(one, two) >= 0:
                self.pinned.add(max(one, two))
        self.claims[name, axis] = np.maximum(known, ids)

    def fix(self, value: Value) -> None:
        """Note that a value from theta is used in a way in which nothing along it may move."""
        for axis in range(len(self.shape(value))):
            self.carry(value, axis, np.full(self.shape(value)[axis], FIXED, np.intp))

    def meet(self, mark: UnitMark, shape: Sequence[int], other: Value, power: int) -> Ids:
        """Let the units of a result of this shape meet an operand without units; return the units then.

        A tensor of theta carries them, one that stays the same along them may stand, any other holds them.
        """
        theirs = self.shape(other)
        lead = len(shape) - len(theirs)
        ids = mark.ids
        for axis, size in enumerate(theirs):
            if size == 1 or axis + lead < 0:
                continue
            has_units = ids.shape[axis + lead] > 1
            if self.source(other) is None:
                if has_units and not self.is_uniform(other):
                    self.pin(ids)
            elif has_units:
                self.carry(other, axis, self.along(ids, axis + lead), mark.charge, power)
            else:
                self.carry(other, axis, np.full(size, FIXED, np.intp))
        return ids

    def carries_units(self, ids: Ids, shape: Sequence[int], value: Value) -> bool:
        """Tell whether a tensor of theta has an axis along which there are units already."""
        lead = len(shape) - len(self.shape(value))
        return any(ids.shape[axis + lead] > 1 < size for axis, size in enumerate(self.shape(value)))

    # Nodes

    def hold(self, node: Node) -> None:
        """Hold in place everything that reaches a node."""
        free: set[int] = set()
        for value in node.inputs:
            if value in self.marks:
                free |= self.free(self.marks[value].ids)
                self.hold_value(value)
            elif self.source(value) is not None and value is not None:
                self.fix(value)
        if free:
            self.held.setdefault(node.op, set()).update(free)

    def hold_value(self, value: Value) -> None:
        """Hold the units of a value in place, and their charge at 1."""
        mark = self.marks.get(value)
        if mark is not None:
            self.pin(mark.ids)
            self.spoil(mark.charge)

    def free(self, ids: Ids) -> set[int]:
        """Return the units that nothing holds in place so far."""
        fixed = {self.units.root(unit) for unit in self.pinned}
        return {unit for unit in np.unique(self.roots(ids)).tolist() if unit >= 0} - fixed


def unmarked(rank: int) -> UnitMark:
    """Return the mark of a value without units."""
    return UnitMark(filled(NONE, rank))


def groups_of(walk: UnitWalk) -> tuple[UnitGroup, ...]:
    """Return the sets of units that nothing holds in place and that are all alike.

    Alike are units that stand at the same places: the same number of times along the same values and the same
    axes of tensors, below the same unit, above units that are alike. Their order is that of their numbers.
    """
    return _Grouping(walk).groups()


class _Grouping:
    def __init__(self, walk: UnitWalk) -> None:
        self.walk = walk
        self.carriers = [(each, walk.roots(each.ids)) for each in walk.carriers]
        self.lost = [{walk.charges.root(each) for each in side} for side in (walk.not_odd, walk.not_positive)]
        self.kinds: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        self.above = {walk.units.root(low): walk.units.root(high) for low, high in walk.above.items()}
        self.pinned = {walk.units.root(unit) for unit in walk.pinned}
        for unit in list(self.pinned):
            while unit in self.above and self.above[unit] not in self.pinned:
                unit = self.above[unit]
                self.pinned.add(unit)
        seen = [(0, value.index, walk.roots(mark.ids)) for value, mark in walk.marks.items()]
        seen += [(1, number, ids) for number, (_, ids) in enumerate(self.carriers)]
        for side, number, ids in seen:
            for unit, count in zip(
                *(each.tolist() for each in np.unique(ids, return_counts=True)), strict=True
            ):
                self.kinds[unit].append((side, number, count))
        self.below: dict[int, list[int]] = defaultdict(list)
        for unit in sorted(self.kinds):
            if unit in self.above:
                self.below[self.above[unit]].append(unit)

    def groups(self) -> tuple[UnitGroup, ...]:
        """Return the groups of units that stand below none, and of those below one that is held in place."""
        tops = [unit for unit in sorted(self.kinds) if unit >= 0 and unit not in self.above]
        return tuple(self._groups(tops))

    def _groups(self, units: Sequence[int]) -> Iterator[UnitGroup]:
        for alike in self._alike(units):
            free = [unit for unit in alike if unit not in self.pinned]
            if group := self._group(free):
                yield group
            if group is None or group.size != len(alike):
                for unit in alike:
                    if unit not in free or group is None:
                        yield from self._groups(self.below[unit])

    def _alike(self, units: Iterable[int]) -> list[list[int]]:
        kinds: dict[object, list[int]] = defaultdict(list)
        for unit in units:
            kinds[self._kind(unit)].append(unit)
        return list(kinds.values())

    def _kind(self, unit: int) -> object:
        below = sorted(map(repr, map(self._kind, self.below[unit])))
        return tuple(sorted(self.kinds[unit])), tuple(below)

    def _group(self, units: Sequence[int]) -> UnitGroup | None:
        """Return a group, with the groups below each unit; None if nothing may be changed."""
        members, charges = self._members(units)
        inner = [tuple(self._groups(self.below[unit])) for unit in units]
        if not units or (len(units) == 1 and not any(charge.odd or charge.positive for charge in charges)):
            return None
        return UnitGroup(len(units), tuple(members), tuple(charges), tuple(inner) if any(inner) else ())

    def _charge(self, number: int) -> tuple[int, Charge] | None:
        """Return a charge that may be anything but 1, by the number by which it goes now."""
        root = self.walk.charges.root(number)
        charge = Charge(root not in self.lost[0], root not in self.lost[1])
        return (root, charge) if charge != Charge() else None

    def _members(self, units: Sequence[int]) -> tuple[list[Member], list[Charge]]:
        place = {unit: number for number, unit in enumerate(units)}
        members, charges = [], dict[tuple[int, Charge], int]()
        for carrier, ids in self.carriers:
            spots = [[] for _ in units]  # type: list[list[int]]
            for spot, unit in enumerate(ids.tolist()):
                if unit in place:
                    spots[place[unit]].append(spot)
            if any(spots):
                charge = self._charge(carrier.charge)
                number = None if charge is None else charges.setdefault(charge, len(charges))
                power = 0 if charge is None else carrier.power
                members.append(Member(carrier.tensor, carrier.axis, np.array(spots, np.intp), number, power))
        return members, [charge for _, charge in charges]
