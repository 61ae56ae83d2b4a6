"""Which layer of the old model is which of the new one.

First what holds the same weights bit by bit: by name, by the module's path (exporters spell it differently),
by the weight's name, then by a name that differs in its numbers alone: those move when a layer is inserted.
What is left is matched by the same names, then by content: what holds nearly the same weights, in whatever
order, is the same layer. At last it is paired by name although its shape differs, and by place, if both
models have as many layers of a shape left over.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.comparison.alignment import EXPLAINED, align
from onnxtop.network import Blocks
from onnxtop.rules.matching import paired
from onnxtop.work.content import combined, digest_of_elements

_TRIED = 3
"""So many of the layers that look most alike are compared weight by weight."""
_QUANTILES = np.linspace(0, 1, 65)

Floats = NDArray[np.float64]
Marks = dict[int, tuple[Floats, Floats, Floats]]
"""What was found of a layer's weights, by the identity of its candidate."""


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


def holder(wanted: Candidate, others: Sequence[Candidate], marks: Marks) -> Candidate | None:
    """Return the layer that holds nearly the weights of the one wanted, None if none does.

    ``marks`` keeps what was found of the others, for the next question.
    """
    target = wanted.read()
    alike = (
        other
        for other in _most_alike(wanted, others, marks)
        if align(other.read(), target).residual < EXPLAINED
    )
    return next(alike, None)


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
    free = {id(layer): (number, layer) for number, layer in _unpaired(old, {pair.old for pair in pairs})}
    marks: Marks = {}
    found = []
    for number, layer in _unpaired(new, {pair.new for pair in pairs}):
        held = holder(layer, [candidate for _, candidate in free.values()], marks)
        if held is not None:
            found.append(Pair(free.pop(id(held))[0], number, "content"))
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


def _most_alike(layer: Candidate, others: Sequence[Candidate], marks: Marks) -> list[Candidate]:
    """Return the few layers of fitting sides whose sorted weights and norms are nearest."""
    fitting = [other for other in others if _fits(other.sides, layer.sides)]
    if len(fitting) <= _TRIED:
        return fitting
    for each in (layer, *fitting):
        if id(each) not in marks:
            marks[id(each)] = _mark(each.read())
    distances = [_distance(marks[id(other)], marks[id(layer)]) for other in fitting]
    return [fitting[i] for i in np.argsort(distances, kind="stable")[:_TRIED].tolist()]


def _fits(old: tuple[tuple[int, int], ...], new: tuple[tuple[int, int], ...]) -> bool:
    """Tell whether the sides agree, those of a single matrix either way round."""
    return old == new or (len(old) == len(new) == 1 and old[0] == new[0][::-1])


def _mark(blocks: Blocks) -> tuple[Floats, Floats, Floats]:
    """Return quantiles of the weights, of the norms of rows, and of columns: no order changes them."""
    squares = [np.square(block, dtype=np.float64) for block in blocks]
    values = np.concatenate([np.ravel(block) for block in blocks]).astype(np.float64)
    rows, columns = (np.sqrt(np.concatenate([each.sum(axis=axis) for each in squares])) for axis in (1, 0))
    return tuple(_quantiles(part) for part in (values, rows, columns))  # type: ignore[return-value]


def _quantiles(values: NDArray[Any]) -> Floats:
    finite = values[np.isfinite(values)]
    return np.quantile(finite, _QUANTILES) if finite.size else np.zeros(_QUANTILES.size)


def _distance(one: tuple[Floats, Floats, Floats], other: tuple[Floats, Floats, Floats]) -> float:
    """Compare two marks, rows with rows or rows with columns, whichever is nearer."""
    values, rows, columns = one
    straight = _apart(rows, other[1]) + _apart(columns, other[2])
    turned = _apart(rows, other[2]) + _apart(columns, other[1])
    return _apart(values, other[0]) + min(straight, turned)


def _apart(one: Floats, other: Floats) -> float:
    return float(np.linalg.norm(one - other) / (np.linalg.norm(other) or 1.0))
