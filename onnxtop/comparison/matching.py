"""Which layer of the old model is which of the new one.

First what holds the same weights bit by bit: by name, by the module's path (exporters spell it differently),
by the weight's name, then by a name that differs in its numbers alone: those move when a layer is inserted.
What is left is matched by the same names, then by content: what holds nearly the same weights, in whatever
order, is the same layer. At last it is paired by name although its shape differs, and by place, if both
models have as many layers of a shape left over.
"""

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.comparison.alignment import EXPLAINED, align
from onnxtop.network import Blocks
from onnxtop.rules.matching import paired
from onnxtop.work.content import combined, digest_of_elements

_TRIED = 3
"""So many of the layers that look most alike are compared weight by weight."""
_MOST = 64
"""So many layers of one shape are compared by their marks."""
_QUANTILES = np.linspace(0, 1, 65)

Floats = NDArray[np.float64]
Mark = Floats
"""What no order changes of a layer's weights: quantiles, shape (3, k)."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layer as far as it is matched; ``sides`` are rows and columns of its matrices."""

    name: str
    op_type: str
    weight: str
    sides: tuple[tuple[int, int], ...]
    read: Callable[[], Blocks]


@dataclass(frozen=True)
class Pair:
    """Numbers of an old layer and a new one, and what they were matched by."""

    old: int
    new: int
    by: str


def match(old: Sequence[Candidate], new: Sequence[Candidate]) -> list[Pair]:
    """Pair the layers of two models, each at most once, in the order of the new model."""
    pairs: list[Pair] = []
    digests = {id(layer): _digest(layer) for layer in (*old, *new)}
    keys: tuple[tuple[str, Callable[[Candidate], Hashable]], ...] = (
        ("name", lambda layer: layer.name),
        ("module path", lambda layer: module_path(layer.name, layer.op_type)),
        ("weight name", lambda layer: layer.weight),
    )
    for by, key in (*keys, ("content", _unnumbered)):
        pairs += _by_key(old, new, pairs, by, _both(key, lambda layer: digests[id(layer)]))
    for by, key in keys:
        pairs += _by_key(old, new, pairs, by, _both(key, lambda layer: layer.sides))
    pairs += _by_content(old, new, pairs)
    for by, key in (
        ("name", lambda layer: layer.name),
        ("module path", lambda layer: module_path(layer.name, layer.op_type)),
    ):
        pairs += _by_key(old, new, pairs, by, key)
    pairs += _by_place(old, new, pairs)
    return sorted(pairs, key=lambda pair: pair.new)


Key = Callable[[Candidate], Hashable]


def _both(one: Key, other: Key) -> Key:
    return lambda layer: (one(layer), other(layer))


def _unnumbered(layer: Candidate) -> str:
    """Return a layer's path without its numbers."""
    return re.sub(r"\d+", "", module_path(layer.name, layer.op_type))


def _digest(layer: Candidate) -> str:
    """Return a digest of a layer's weights as they stand, whatever their type."""
    return combined([repr(layer.sides), *(digest_of_elements(block, np.float64) for block in layer.read())])


def module_path(name: str, op_type: str) -> str:
    """Return a layer's path as its framework would write it, whichever exporter wrote the name.

    >>> module_path("/block1/query/MatMul", "MatMul"), module_path("block1.query", "MatMul")
    ('block1.query', 'block1.query')
    """
    parts = [part for part in re.split(r"[/.]", name) if part]
    operation = re.compile(rf"{re.escape(op_type.rpartition('.')[2])}(_\d+)?")
    return ".".join([part for part in parts if not operation.fullmatch(part)] or parts)


class Holders:
    """Layers that may hold the weights of others, in whatever order.

    Only those of the same sides are looked at, and of very many of these only those whose weights are about
    as large: never is everything compared with everything.
    """

    def __init__(self, layers: Iterable[Candidate]) -> None:
        self._marks: dict[int, Mark] = {}
        self._groups: dict[Hashable, list[_Place]] = defaultdict(list)
        for number, layer in enumerate(layers):
            self._groups[_either_way(layer.sides)].append(_Place(0.0, number, layer))
        for group in self._groups.values():
            if len(group) > _MOST:
                group[:] = sorted(_Place(self._size(each.layer), *each[1:]) for each in group)
        self._places = {id(place.layer): place for group in self._groups.values() for place in group}

    def holder(self, wanted: Candidate, but: Candidate | None = None) -> Candidate | None:
        """Return the layer that holds nearly the weights of the one wanted, None if none does."""
        target = wanted.read()
        alike = (
            other
            for other in self._most_alike(wanted, but)
            if align(other.read(), target).residual < EXPLAINED
        )
        return next(alike, None)

    def remove(self, layer: Candidate) -> None:
        """Forget a layer: it is taken."""
        group = self._groups[_either_way(layer.sides)]
        del group[bisect(group, self._places[id(layer)]) - 1]

    def _most_alike(self, wanted: Candidate, but: Candidate | None) -> list[Candidate]:
        """Return the few layers of fitting sides whose sorted weights and norms are nearest."""
        group = self._groups.get(_either_way(wanted.sides), [])
        if len(group) > _MOST:
            middle = bisect(group, (self._size(wanted),))
            group = group[max(middle - _MOST // 2, 0) : middle + _MOST // 2]
        fitting = [place.layer for place in sorted(group, key=_number) if place.layer is not but]
        if len(fitting) <= _TRIED:
            return fitting
        distances = _distances(np.stack([self._mark(each) for each in fitting]), self._mark(wanted))
        return [fitting[i] for i in np.argsort(distances, kind="stable")[:_TRIED].tolist()]

    def _size(self, layer: Candidate) -> float:
        return float(np.linalg.norm(self._mark(layer)[0]))

    def _mark(self, layer: Candidate) -> Mark:
        if id(layer) not in self._marks:
            self._marks[id(layer)] = _mark(layer.read())
        return self._marks[id(layer)]


class _Place(NamedTuple):
    """A layer among those of its sides: ordered by its weights' size where there are many, and by number."""

    size: float
    number: int
    layer: Candidate


_number = attrgetter("number")


def _unpaired(layers: Sequence[Candidate], taken: set[int]) -> Iterator[tuple[int, Candidate]]:
    return ((number, layer) for number, layer in enumerate(layers) if number not in taken)


def _by_key(
    old: Sequence[Candidate],
    new: Sequence[Candidate],
    pairs: Sequence[Pair],
    by: str,
    key: Callable[[Candidate], Hashable],
) -> list[Pair]:
    """Pair the layers whose key occurs once among what is left of either model."""
    free_old = list(_unpaired(old, {pair.old for pair in pairs}))
    free_new = list(_unpaired(new, {pair.new for pair in pairs}))
    found = paired(free_old, free_new, lambda numbered: key(numbered[1]))
    return [Pair(before, after, by) for (before, _), (after, _) in found]


def _by_content(old: Sequence[Candidate], new: Sequence[Candidate], pairs: Sequence[Pair]) -> list[Pair]:
    free = {id(layer): number for number, layer in _unpaired(old, {pair.old for pair in pairs})}
    holders = Holders(old[number] for number in free.values())
    found = []
    for number, layer in _unpaired(new, {pair.new for pair in pairs}):
        held = holders.holder(layer)
        if held is not None:
            holders.remove(held)
            found.append(Pair(free[id(held)], number, "content"))
    return found


def _by_place(old: Sequence[Candidate], new: Sequence[Candidate], pairs: Sequence[Pair]) -> list[Pair]:
    """Pair what is left in graph order, for shapes of which both models have as many left."""
    groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, layers in enumerate((old, new)):
        taken = {(pair.old, pair.new)[side] for pair in pairs}
        for number, layer in _unpaired(layers, taken):
            groups[layer.sides][side].append(number)
    return [
        Pair(a, b, "place")
        for ours, theirs in groups.values()
        if len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True)
    ]


def _either_way(sides: tuple[tuple[int, int], ...]) -> tuple[tuple[int, ...], ...]:
    """Return the sides, those of a single matrix whichever way round it stands."""
    return (tuple(sorted(sides[0])),) if len(sides) == 1 else sides


def _mark(blocks: Blocks) -> Mark:
    """Return quantiles of the weights, of the norms of rows, and of columns: no order changes them."""
    squares = [np.square(block, dtype=np.float64) for block in blocks]
    values = np.concatenate([np.ravel(block) for block in blocks]).astype(np.float64)
    rows, columns = (np.sqrt(np.concatenate([each.sum(axis=axis) for each in squares])) for axis in (1, 0))
    return np.stack([_quantiles(part) for part in (values, rows, columns)])


def _quantiles(values: NDArray[Any]) -> Floats:
    finite = values[np.isfinite(values)]
    return np.quantile(finite, _QUANTILES) if finite.size else np.zeros(_QUANTILES.size)


def _distances(marks: Floats, wanted: Mark) -> Floats:
    """Compare marks with one, rows with rows or rows with columns, whichever is nearer."""
    straight, turned = (_apart(marks, wanted[order]) for order in ([0, 1, 2], [0, 2, 1]))
    distances: Floats = straight[:, 0] + np.minimum(straight[:, 1:].sum(axis=1), turned[:, 1:].sum(axis=1))
    return distances


def _apart(marks: Floats, wanted: Mark) -> Floats:
    sizes = np.linalg.norm(wanted, axis=1)
    distances: Floats = np.linalg.norm(marks - wanted, axis=2) / np.where(sizes, sizes, 1.0)
    return distances
