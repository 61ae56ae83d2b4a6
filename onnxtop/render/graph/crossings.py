"""In which order the items of each row stand: so that few edges cross."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from onnxtop.render.graph.ranks import Rows

_SWEEPS = 8


def order(drawing: Rows) -> None:
    """Sort each row by where the neighbours of its items stand, down and up, and keep the best of the orders.

    The barycentres of Sugiyama, Tagawa and Toda (1981).
    """
    rows = drawing.rows
    best, fewest = [list(row) for row in rows], _crossings(drawing)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        neighbours = drawing.above if sweep % 2 == 0 else drawing.below
        numbers = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        fixed = -1 if sweep % 2 == 0 else 1
        for number in numbers:
            rows[number] = _sorted(rows[number], rows[number + fixed], neighbours)
        crossings = _crossings(drawing)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _sorted(row: Sequence[int], fixed: Sequence[int], neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Sort a row by the mean place of each item's neighbours; without any it stays beside the one before."""
    place = {item: number for number, item in enumerate(fixed)}
    wanted, last = {}, -1.0
    for item in row:
        if near := neighbours[item]:
            last = sum(place[each] for each in near) / len(near)
        wanted[item] = last
    return sorted(row, key=wanted.__getitem__)


def _crossings(drawing: Rows) -> int:
    pairs = zip(drawing.rows, drawing.rows[1:], strict=False)
    return sum(_between(upper, lower, drawing.below) for upper, lower in pairs)


def _between(upper: Sequence[int], lower: Sequence[int], below: Sequence[Sequence[int]]) -> int:
    place = {item: number for number, item in enumerate(lower)}
    return inversions(end for item in upper for end in sorted(place[each] for each in below[item]))


def inversions(values: Iterable[int]) -> int:
    """Count the pairs of which the larger comes first.

    >>> inversions([2, 0, 1, 1])
    3
    """
    count, earlier = 0, list[int]()
    for value in values:
        count += len(earlier) - bisect_right(earlier, value)
        insort(earlier, value)
    return count
