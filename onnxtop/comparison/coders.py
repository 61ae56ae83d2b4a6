"""Quantisers that level 2 left out of both models: whether they hold the same, and what those of one hold."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.comparison.constants import Changes, ConstantChange
from onnxtop.comparison.walk import Difference
from onnxtop.reader.terms import lossy
from onnxtop.reader.terms.coder import Coder
from onnxtop.reader.terms.constant import constant_of
from onnxtop.reader.terms.graph import Whole
from onnxtop.reader.terms.table import Origin

_MOST = 64
"""Takers of a value by which its quantisers are told apart."""

Named = Mapping[Coder, str]
"""Quantisers, and the node that decodes or computes with their codes."""


class Coders:
    """Compares the quantisers of one term, or of terms that differ in the content of constants alone.

    ``before`` are the models one level earlier, where the nodes still stand: what no output needs is no
    quantiser. ``found`` is how they differ. ``told`` names what those hold that only one model has there:
    nothing in the other says what they should.
    """

    def __init__(self, whole: Whole, before: Whole, changes: Changes, tolerance: float) -> None:
        self._table = whole.table
        self._changes, self._tolerance = changes, tolerance
        named = [_named(whole, before, side) for side in (0, 1)]
        self._names = {**named[1], **named[0]}
        self._alone: dict[Coder, None] = {}
        self._takers = [_takers(whole, before, side, named[side]) for side in (0, 1)]
        self._shared = set().union(*self._takers[0].values()) & set().union(*self._takers[1].values())
        self.found = tuple(self._differences(*named))
        self.told = tuple(self._told())

    def _differences(self, old: Named, new: Named) -> Iterator[Difference]:
        sources = [{coder.source for coder in side} for side in (old, new)]
        common = sources[0] & sources[1]
        groups: dict[tuple[bool, int], tuple[list[Coder], list[Coder]]] = defaultdict(lambda: ([], []))
        for side, coders in enumerate((old, new)):
            for coder in coders:
                same = coder.source in common
                key = same, coder.source if same else self._table.skeletons[coder.source]
                groups[key][side].append(coder)
        pairs = [pair for each in groups.values() for pair in self._by_taker(*each)]
        told = (each for ours, theirs in pairs for each in self._between(ours, theirs))
        yield from {(each.where, each.what): each for each in told}.values()

    def _by_taker(self, *sides: Sequence[Coder]) -> Iterator[tuple[list[Coder], list[Coder]]]:
        """Yield the quantisers of a value by what takes what they make of it, then those that are left."""
        takers: list[dict[object, list[Coder]]] = [defaultdict(list), defaultdict(list)]
        for side, coders in enumerate(sides):
            for coder in coders:
                for taker in self._takers[side].get(coder, ()):
                    shared = taker in self._shared
                    takers[side][taker if shared else (self._table.skeletons[taker],)].append(coder)
        common = [key for key in takers[0] if key in takers[1]]
        for key in common:
            yield takers[0][key], takers[1][key]
        met = [{coder for key in common for coder in takers[side][key]} for side in (0, 1)]
        left, right = ([c for c in coders if c not in met[side]] for side, coders in enumerate(sides))
        yield left, right

    def _between(self, ours: Sequence[Coder], theirs: Sequence[Coder]) -> Iterator[Difference]:
        said = [{self._said(coder) for coder in coders} for coders in (ours, theirs)]
        left, right = (
            sorted((c for c in coders if self._said(c) not in said[1 - side]), key=self._size)
            for side, coders in enumerate((ours, theirs))
        )
        for one, other in zip(left, right, strict=False):
            if one.has_ends == other.has_ends:
                yield from self._compared(one, other)
        count = min(len(left), len(right))
        self._alone.update(dict.fromkeys([*left[count:], *right[count:]]))

    def _said(self, coder: Coder) -> object:
        return coder.steps(self._table).tobytes(), coder.start(self._table).tobytes(), coder.kind

    def _size(self, coder: Coder) -> float:
        return float(np.max(self._width(coder)))

    def _width(self, coder: Coder) -> NDArray[Any]:
        least, largest = coder.ends(self._table)
        result: NDArray[Any] = largest - least
        return result

    def _compared(self, old: Coder, new: Coder) -> Iterator[Difference]:
        """Compare what codes hold: how finely is what rounds; of floats, whose ends are not known, scales."""
        steps = [coder.steps(self._table) for coder in (old, new)]
        if len({each.shape for each in steps} - {()}) > 1:
            yield self._say(
                new, "axis", ConstantChange(np.inf, f"{steps[0].size} scales, now {steps[1].size}")
            )
        elif old.has_ends:
            yield self._say(new, "range", self._moved(old, new))
        else:
            before, after = map(constant_of, np.broadcast_arrays(*steps))
            yield self._say(new, "scale", self._changes.of(before, after))

    def _moved(self, old: Coder, new: Coder) -> ConstantChange:
        """Return how far apart two ranges are, against the old one.

        Both should reach as far from 0, and one should lie in the other, as that of symmetric codes does.
        """
        (least, largest), (low, high) = (coder.ends(self._table) for coder in (old, new))
        reach = np.maximum(-least, largest) - np.maximum(-low, high)
        beyond = np.maximum(least - low, high - largest), np.maximum(low - least, largest - high)
        moved = float(np.max(np.maximum(np.abs(reach), np.minimum(*beyond)) / self._width(old)))
        return ConstantChange(moved, f"{self._range(old)}, now {self._range(new)}", moved <= self._tolerance)

    def _say(self, coder: Coder, what: str, change: ConstantChange) -> Difference:
        return Difference("constant", self._names[coder], f"{what} of its codes: {change.what}", 1.0, change)

    def _range(self, coder: Coder) -> str:
        least, largest = coder.ends(self._table)
        return f"{float(np.min(least)):.3g} to {float(np.max(largest)):.3g}"

    def _told(self) -> Iterator[str]:
        ordered = sorted((coder for coder in self._alone if coder.has_ends), key=self._size)
        if ordered:
            ends = dict.fromkeys((ordered[0], ordered[-1]))
            shown = [f"{self._range(coder)} at {self._names[coder]}" for coder in ends]
            if len(shown) > 1:
                shown = [f"{shown[0]} (the narrowest)", f"{shown[1]} (the widest)"]
            yield f"that values stay within what codes of one model hold: {', '.join(shown)}"


def _named(whole: Whole, before: Whole, side: int) -> Named:
    """Return the quantisers of one model that its outputs need."""
    coders = whole.builder.coders[side]
    origins = before.table.origins[side]
    needed = coders and {origins.get(item) for item in before.table.reached(before.outputs[side])}
    return {
        coder: _told(origin)
        for coder, nodes in coders.items()
        if (origin := next((node for node in nodes if node in needed), None)) is not None
    }


def _takers(whole: Whole, before: Whole, side: int, named: Named) -> Mapping[Coder, set[int]]:
    """Return the terms that take what quantisers make of their values, whatever it passes before."""
    terms, origins = before.table.terms, before.table.origins[side]
    takers: dict[int, frozenset[Origin]] = defaultdict(frozenset)
    of_node: dict[Origin, list[int]] = defaultdict(list)
    for item in sorted(before.table.reached(before.outputs[side]), reverse=True) if named else ():
        origin, passes = origins.get(item), lossy.hands_on(terms[item])
        mine = takers[item] if passes else frozenset(filter(None, [origin]))
        for operand in {each for each in terms[item].operands if each is not None}:
            takers[operand] = mine if mine >= takers[operand] else _some(takers[operand] | mine)
        if origin is not None and terms[item].op == "DequantizeLinear":
            of_node[origin].append(item)
    made: dict[Origin, set[int]] = defaultdict(set)
    for item in whole.table.reached(whole.outputs[side]) if named else ():
        if (origin := whole.table.origins[side].get(item)) is not None:
            made[origin].add(item)
    found: dict[Coder, set[int]] = {}
    for coder in named:
        nodes = whole.builder.coders[side][coder]
        behind = {origin for node in nodes for item in of_node[node] for origin in takers[item]}
        found[coder] = {item for origin in behind for item in made[origin]}
    return found


def _some(origins: frozenset[Origin]) -> frozenset[Origin]:
    """Return so many at most that a long way with takers at each step does not gather all at each."""
    return origins if len(origins) <= _MOST else frozenset(sorted(origins, key=str)[:_MOST])


def _told(origin: Origin) -> str:
    return f"{origin.op} {origin.name}"
