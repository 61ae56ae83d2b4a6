"""Which row of a drawing a node stands in: edges go down, long ones by places that they keep free.

Rows are the layers of Sugiyama, Tagawa and Toda (IEEE Trans. Systems, Man, and Cybernetics 1981), of limited
width as in Coffman and Graham's. All rows together are a ribbon, which is cut into columns where few edges
cross: there stands a row of its own, the fold, in which every one of them has a place.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

GAP = 26.0
"""Between two rows, at least."""

APART, BESIDE = 26.0, 16.0
"""Between two nodes of a row, and a node and a line."""

ASPECT = 1.5
"""Width over height of a drawing, about, where there is a choice."""

_ROOM = 1200.0
"""A row may be as wide as this, or as the whole would be as one block; what goes beyond is put lower."""

_TALLEST = 1200.0
"""What is no taller is not folded."""

_BUNDLE, _ENDLESS = 12, 12_000.0
"""It is not folded where more edges cross than these, unless it is as tall as that."""


class Edge(NamedTuple):
    """An edge by the numbers of its nodes, of which the upper is the smaller; ``back`` if it points up."""

    upper: int
    lower: int
    back: bool


@dataclass(frozen=True)
class Rows:
    """Nodes and free places in rows.

    Numbers of nodes come first, then those of places. ``folds`` are the rows with which a column ends and the
    next one begins. ``above`` and ``below`` are the neighbours of an item, all in the next row, ``chains``
    the items that an edge passes from its upper node to its lower one.
    """

    rows: list[list[int]]
    folds: list[int]
    above: list[list[int]]
    below: list[list[int]]
    chains: list[list[int]]


def rows_of(sizes: Sequence[tuple[float, float]], edges: Sequence[Edge]) -> Rows:
    """Put nodes of these widths and heights, in the order of the flow, into rows."""
    area = sum((width + APART) * (height + GAP) for width, height in sizes)
    ranks = _ranks([width + APART for width, _ in sizes], edges, max(_ROOM, (ASPECT * area) ** 0.5))
    folds = _folds(ranks, sizes, edges)
    before = list(accumulate((rank - 1 in folds for rank in range(max(ranks) + 1)), initial=0))[1:]
    rows: list[list[int]] = [[] for _ in range(len(before) + len(folds))]
    place = [rank + before[rank] for rank in ranks]
    for node, row in enumerate(place):
        rows[row].append(node)
    chains = _chains(place, edges, rows)
    above: list[list[int]] = [[] for _ in range(sum(map(len, rows)))]
    below: list[list[int]] = [[] for _ in above]
    for upper, lower in dict.fromkeys(pair for chain in chains for pair in pairwise(chain)):
        below[upper].append(lower)
        above[lower].append(upper)
    return Rows(rows, [rank + number + 1 for number, rank in enumerate(folds)], above, below, chains)


def _ranks(widths: Sequence[float], edges: Iterable[Edge], room: float) -> list[int]:
    """Return the rank of each node: below all that feed it, and sources just above what they feed first."""
    above, feeding = defaultdict(list), set()
    for edge in edges:
        above[edge.lower].append(edge.upper)
        feeding.add(edge.upper)
    ranks: dict[int, int] = {}
    taken = defaultdict[int, float](float)

    def full(rank: int, width: float) -> bool:
        return taken[rank] > 0 and taken[rank] + width > room

    def put(node: int, rank: int) -> None:
        ranks[node] = rank
        taken[rank] += widths[node]

    for node, width in enumerate(widths):
        if not above[node] and node in feeding:
            continue
        sources = [each for each in above[node] if each not in ranks]
        wide = sum(widths[each] for each in sources)
        rank = max((ranks[each] + 1 for each in above[node] if each in ranks), default=0)
        rank = max(rank, math.ceil(wide / room))
        while full(rank, width) or (sources and full(rank - 1, min(wide, room))):
            rank += 1
        put(node, rank)
        for each in sources:
            put(each, next((up for up in range(rank - 1, 0, -1) if not full(up, widths[each])), 0))
    used = {rank: number for number, rank in enumerate(sorted(set(ranks.values())))}
    return [used[ranks[node]] for node in range(len(widths))]


def _folds(ranks: Sequence[int], sizes: Sequence[tuple[float, float]], edges: Iterable[Edge]) -> list[int]:
    """Return the ranks after which a column ends."""
    heights, widths, furthest = [0.0] * (max(ranks) + 1), [0.0] * (max(ranks) + 1), list(ranks)
    for rank, (width, height) in zip(ranks, sizes, strict=True):
        heights[rank] = max(heights[rank], height + GAP)
        widths[rank] += width + APART
    for edge in edges:
        furthest[edge.upper] = max(furthest[edge.upper], ranks[edge.lower])
    changes = Counter(ranks)
    changes.subtract(furthest)
    crossing = list(accumulate(changes[rank] for rank in range(len(heights))))
    wide = max(width + lines * BESIDE for width, lines in zip(widths, crossing, strict=True))
    return _cuts(list(accumulate(heights)), crossing, wide)


def _cuts(ends: Sequence[float], crossing: Sequence[int], width: float) -> list[int]:
    """Cut rows that end at these heights into columns of about one height, where few edges cross."""
    left = round((ASPECT * ends[-1] / width) ** 0.5) if ends[-1] > _TALLEST else 1
    most = _BUNDLE if ends[-1] < _ENDLESS else len(crossing) ** 2
    cuts: list[int] = []
    start = 0.0
    for columns in range(left, 1, -1):
        aim = start + (ends[-1] - start) / columns
        near = 0.25 * (aim - start)
        choice = [
            rank
            for rank, end in enumerate(ends[:-1])
            if start < end and abs(end - aim) <= near and crossing[rank] <= most
        ]
        if not choice:
            continue
        cuts.append(min(choice, key=lambda rank: (crossing[rank], abs(ends[rank] - aim))))
        start = ends[cuts[-1]]
    return cuts


def _chains(place: Sequence[int], edges: Sequence[Edge], rows: list[list[int]]) -> list[list[int]]:
    """Give long edges a place in every row between; those that leave one node, or reach one, share them."""
    long = [edge for edge in edges if place[edge.lower] - place[edge.upper] > 1]
    leaving = Counter((edge.upper, edge.back) for edge in long)
    reaching = Counter((edge.lower, edge.back) for edge in long)
    places: dict[tuple[int, bool, bool, int], int] = {}
    chains = []
    for edge in edges:
        upper, lower, back = edge
        shared = reaching[lower, back] > leaving[upper, back]
        chain = [upper]
        for row in range(place[upper] + 1, place[lower]):
            key = (lower if shared else upper, shared, back, row)
            if key not in places:
                places[key] = len(place) + len(places)
                rows[row].append(places[key])
            chain.append(places[key])
        chains.append([*chain, lower])
    return chains
