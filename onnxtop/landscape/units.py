"""Units along the axes of a model's values, and what becomes of them on the way through the graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from onnxtop.landscape.alignment import Layout, Member, UnitGroup
from onnxtop.reader.model import Model, Value


@dataclass(frozen=True)
class Units:
    """The units along one axis: place ``(o * size + unit) * inner + i`` belongs to ``unit``."""

    group: int
    size: int
    outer: int = 1
    inner: int = 1

    @property
    def length(self) -> int:
        """Places along the axis."""
        return self.outer * self.size * self.inner


Marks: TypeAlias = tuple[Units | None, ...]
"""Of each axis of a value: the units that lie along it."""


@dataclass(eq=False)
class Walk:
    """The marks of all values seen so far, the sets of units joined, and what carries them."""

    model: Model
    layout: Layout
    shapes: Mapping[str, tuple[int | None, ...]]
    batch_statistics: bool
    marks: dict[Value, Marks] = field(default_factory=dict)
    parent: list[int] = field(default_factory=lambda: [0])  # 0: held in place
    even: set[int] = field(default_factory=set)  # not odd, by number at the time of marking
    carried: dict[tuple[str, int], Units] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def root(self, group: int) -> int:
        """Return the number by which a set of units goes now."""
        while self.parent[group] != group:
            group = self.parent[group]
        return group

    def new(self, size: int) -> Units:
        """Start a new set of units."""
        self.parent.append(len(self.parent))
        return Units(len(self.parent) - 1, size)

    def join(self, one: Units | None, two: Units | None) -> Units | None:
        """Make two sets one, if they lie alike; hold both in place if not."""
        if one is None or two is None or (one.size, one.outer, one.inner) != (two.size, two.outer, two.inner):
            for units in (one, two):
                self.pin(units)
            return None
        low, high = sorted((self.root(one.group), self.root(two.group)))
        self.parent[high] = low
        return one

    def pin(self, units: Units | None) -> None:
        """Hold a set of units in place."""
        if units is not None:
            self.parent[self.root(units.group)] = 0

    def hold(self, value: Value) -> bool:
        """Hold everything along a value in place, also a tensor of theta; tell whether anything was free."""
        free = any(units is not None and self.root(units.group) for units in self.marks.get(value, ()))
        for units in self.marks.get(value, ()):
            self.pin(units)
        for axis in range(len(self.layout[value.name][1]) if self.is_parameter(value) else 0):
            self.carry(value, axis, None)
        return free

    def not_odd(self, marks: Marks) -> Marks:
        """Note that signs may not be flipped here."""
        self.even.update(units.group for units in marks if units is not None)
        return marks

    def is_parameter(self, value: Value) -> bool:
        """Whether a value is a tensor of theta."""
        return value in self.model.tensors and value.name in self.layout

    def shape(self, value: Value) -> tuple[int | None, ...] | None:
        """Return the shape of a value, None where nothing is known."""
        if value in self.model.tensors:
            return tuple(self.model.tensors[value].dims)
        return self.shapes.get(value.name)

    def of(self, value: Value | None) -> Marks | None:
        """Return the marks of a value; None where its rank is not known."""
        if value is None:
            return None
        shape = self.shape(value)
        return self.marks.get(value, None if shape is None else (None,) * len(shape))

    def put(self, value: Value, marks: Sequence[Units | None]) -> bool:
        """Mark a value."""
        self.marks[value] = tuple(marks)
        return True

    def carry(self, value: Value, axis: int, units: Units | None) -> None:
        """Note that an axis of a tensor of theta carries units; used twice, it must carry the same."""
        key = (value.name, axis % len(self.layout[value.name][1]))
        known = self.carried.get(key)
        if key in self.carried:
            self.join(known, units)
        elif units is None:
            self.carried[key] = Units(0, 0)
        else:
            self.carried[key] = units
        if known is not None and known.group == 0:
            self.pin(units)

    def groups(self) -> tuple[UnitGroup, ...]:
        """Return the sets of units that nothing holds in place."""
        members: dict[int, list[Member]] = {}
        sizes: dict[int, int] = {}
        for (name, axis), units in self.carried.items():
            root = self.root(units.group)
            if root:
                places = np.arange(units.length).reshape(units.outer, units.size, units.inner)
                positions = places.transpose(1, 0, 2).reshape(units.size, -1)
                members.setdefault(root, []).append(Member(name, axis, positions))
                sizes[root] = units.size
        even = {self.root(group) for group in self.even}
        return tuple(
            UnitGroup(sizes[root], tuple(members[root]), root not in even)
            for root in sorted(members)
            if sizes[root] > 1 or root not in even
        )
