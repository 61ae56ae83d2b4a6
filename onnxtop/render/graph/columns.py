"""Where the items of a column stand: each under the middle of those that feed it, chains of them straight."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from onnxtop.render.graph.ranks import APART, BESIDE, GAP, Rows

_TIGHT = 8.0
"""Between two lines of a row."""

_STEEPER, _STEEPEST = 0.06, 60.0
"""Rows are so much further apart, a pixel, as an edge between them goes aside; and at most so far."""

_PASSES = 3

_FIRM = 1e6
"""Weight of what does not give way."""


@dataclass(frozen=True)
class GraphColumn:
    """One column: its rows, how far each item is from its left side, and where each row begins and ends."""

    rows: list[list[int]]
    x: dict[int, float]
    tops: list[float]
    bottoms: list[float]
    width: float


def columns(drawing: Rows, sizes: Sequence[tuple[float, float]]) -> list[GraphColumn]:
    """Place the items of each column; a fold is the last row of one and the first of the next."""
    ends = [-1, *drawing.folds, len(drawing.rows)]
    parts = [drawing.rows[max(start, 0) : end + 1] for start, end in pairwise(ends)]
    return [_column(rows, drawing, sizes) for rows in parts]


def _column(rows: list[list[int]], drawing: Rows, sizes: Sequence[tuple[float, float]]) -> GraphColumn:
    x = _places(rows, drawing, sizes)
    count = len(sizes)
    left = min(x[item] - _half(item, sizes) for row in rows for item in row)
    x = {item: place - left for item, place in x.items()}
    tops, bottoms, y = [], [], 0.0
    for number, row in enumerate(rows):
        if number:
            aside = max((abs(x[a] - x[b]) for b in row for a in drawing.above[b] if a in x), default=0.0)
            y += GAP + min(_STEEPER * aside, _STEEPEST)
        tops.append(y)
        y += max((sizes[item][1] for item in row if item < count), default=0.0)
        bottoms.append(y)
    width = max(x[item] + _half(item, sizes) for row in rows for item in row)
    return GraphColumn(rows, x, tops, bottoms, width)


def _half(item: int, sizes: Sequence[tuple[float, float]]) -> float:
    return sizes[item][0] / 2 if item < len(sizes) else 0.0


def _places(rows: list[list[int]], drawing: Rows, sizes: Sequence[tuple[float, float]]) -> dict[int, float]:
    """Put each item as near to the middle of its neighbours as the others of its row allow."""
    here = {item for row in rows for item in row}
    above = {item: [each for each in drawing.above[item] if each in here] for item in here}
    below = {item: [each for each in drawing.below[item] if each in here] for item in here}
    offsets = [_offsets(row, sizes) for row in rows]
    x: dict[int, float] = {}
    for row, own in zip(rows, offsets, strict=True):
        x |= zip(row, own, strict=True)
    spine = _spine(rows, len(sizes))
    x |= dict.fromkeys(spine, 0.0)

    def move(number: int, *sides: dict[int, list[int]]) -> None:
        row = rows[number]
        near = [[each for side in sides for each in side[item]] for item in row]
        wanted = [
            0.0 if item in spine else _wanted(item, each, x, len(sizes))
            for item, each in zip(row, near, strict=True)
        ]
        weights = [_FIRM if item in spine else len(each) or 0.1 for item, each in zip(row, near, strict=True)]
        x.update(zip(row, _apart(wanted, weights, offsets[number]), strict=True))

    for _ in range(_PASSES):
        for number in range(1, len(rows)):
            move(number, above)
        for number in range(len(rows) - 2, -1, -1):
            move(number, below)
    for number in range(len(rows)):
        move(number, above, below)
    runs = _runs(rows, x, above, below, len(sizes))
    for _ in range(_PASSES):
        _straighten(runs, rows, offsets, x, spine)
    return x


def _spine(rows: Sequence[Sequence[int]], count: int) -> set[int]:
    """Return what is alone in its row, but for lines beside a node: the middle of the column.

    Without it each row would stand a little further aside.
    """
    nodes = ([item for item in row if item < count] or row for row in rows)
    return {row[0] for row in nodes if len(row) == 1}


def _wanted(item: int, near: Sequence[int], x: Mapping[int, float], count: int) -> float:
    """Return where an item would stand best: in the middle of its neighbours, lines below lines."""
    if not near:
        return x[item]
    lines = [each for each in near if item >= count and each >= count]
    return _median([(x[each], 2 if each < count else 1) for each in lines or near])


def _runs(
    rows: Sequence[Sequence[int]],
    x: Mapping[int, float],
    above: Mapping[int, Sequence[int]],
    below: Mapping[int, Sequence[int]],
    count: int,
) -> list[list[int]]:
    """Return what should be straight, the longest first: a chain of nodes, or a long edge."""
    lines = {item for row in rows[1:-1] for item in row if item >= count}

    def chosen(item: int, near: Sequence[int]) -> int | None:
        alike = [each for each in near if (each in lines) == (item in lines)] or list(near)
        alike.sort(key=x.__getitem__)
        return alike[len(alike) // 2] if len(alike) % 2 else None

    runs: dict[int, list[int]] = {}
    for row in rows:
        for item in row:
            upper = chosen(item, above[item])
            linked = upper is not None and chosen(upper, below[upper]) == item
            runs[item] = runs[upper] if linked and upper is not None else []
            runs[item].append(item)
    return sorted({id(run): run for run in runs.values()}.values(), key=len, reverse=True)


def _straighten(
    runs: Sequence[Sequence[int]],
    rows: Sequence[Sequence[int]],
    offsets: Sequence[Sequence[float]],
    x: dict[int, float],
    spine: Container[int],
) -> None:
    """Put the items of a run below each other, as far as those beside them allow."""
    left: dict[int, tuple[int, float]] = {}
    right: dict[int, tuple[int, float]] = {}
    for row, own in zip(rows, offsets, strict=True):
        for (item, place), (other, further) in pairwise(zip(row, own, strict=True)):
            right[item], left[other] = (other, further - place), (item, further - place)
    for run in runs:
        part: list[int] = []
        low, high = -math.inf, math.inf
        for item in run:
            lowest = x[left[item][0]] + left[item][1] if item in left else -math.inf
            highest = x[right[item][0]] - right[item][1] if item in right else math.inf
            if item in spine:
                lowest = highest = 0.0
            if part and max(low, lowest) > min(high, highest):
                _align(part, low, high, x)
                part, low, high = [], -math.inf, math.inf
            part.append(item)
            low, high = max(low, lowest), min(high, highest)
        _align(part, low, high, x)


def _align(part: Sequence[int], low: float, high: float, x: dict[int, float]) -> None:
    middle = sorted(x[item] for item in part)[len(part) // 2]
    x.update(dict.fromkeys(part, min(max(middle, low), high)))


def _offsets(row: Sequence[int], sizes: Sequence[tuple[float, float]]) -> list[float]:
    """Return places of items that stand as close as they may."""
    count = len(sizes)
    room = (APART, BESIDE, _TIGHT)
    steps = (_half(a, sizes) + room[(a >= count) + (b >= count)] + _half(b, sizes) for a, b in pairwise(row))
    return list(accumulate(steps, initial=0.0)) if row else []


def _median(near: list[tuple[float, int]]) -> float:
    """Return the weighted median, the middle of two where they share it."""
    near.sort()
    half = sum(weight for _, weight in near) / 2
    below = 0
    for number, (place, weight) in enumerate(near):
        below += weight
        if below == half:
            return (place + near[number + 1][0]) / 2
        if below > half:
            return place
    raise AssertionError("half of the weights are never reached")


def _apart(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return the places nearest to those wanted, in least squares, that are as far apart as the offsets.

    Isotonic regression by pooling what is out of order.
    """
    pools: list[tuple[float, float, int]] = []
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, count = want - offset, weight, 1
        while pools and pools[-1][0] > mean:
            other, heavy, many = pools.pop()
            mean = (mean * total + other * heavy) / (total + heavy)
            total, count = total + heavy, count + many
        pools.append((mean, total, count))
    means = (mean for mean, _, count in pools for _ in range(count))
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
