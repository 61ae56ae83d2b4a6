"""How edges run between the items of columns: down, and from the foot of one to the head of the next."""

from collections.abc import Iterator, Sequence

from onnxtop.render.graph.columns import GraphColumn
from onnxtop.render.graph.ranks import Rows

Point = tuple[float, float]
Way = tuple[Point, ...]

_LANE = 8.0
"""Between two lines that go on to the next column."""

_MARGIN = 14.0
"""Between a column and the lines beside it."""


class GraphPage:
    """Columns side by side, and what runs between them."""

    def __init__(self, drawing: Rows, columns: Sequence[GraphColumn], heights: Sequence[float]) -> None:
        self.columns, self.heights = columns, heights
        self.lanes = [len(drawing.rows[fold]) for fold in drawing.folds]
        self.top = _MARGIN + max(self.lanes, default=0) * _LANE if self.lanes else 0.0
        self.left = [0.0]
        for column, lanes in zip(columns, self.lanes, strict=False):
            self.left.append(self.left[-1] + column.width + 2 * _MARGIN + (lanes - 1) * _LANE)
        self.where: dict[int, tuple[int, int]] = {}
        for number, column in enumerate(columns):
            for row, items in enumerate(column.rows):
                for item in items:
                    self.where.setdefault(item, (number, row))
        self.lane = {item: lane for fold in drawing.folds for lane, item in enumerate(drawing.rows[fold])}

    @property
    def size(self) -> Point:
        """Width and height."""
        feet = (self._foot(number, 0) for number in range(len(self.lanes)))
        ends = (self.top + column.bottoms[-1] for column in self.columns)
        return self.left[-1] + self.columns[-1].width, max((*ends, *feet))

    def centre(self, node: int) -> Point:
        """Return the middle of a node."""
        number, row = self.where[node]
        column = self.columns[number]
        return self._x(number, node), self.top + (column.tops[row] + column.bottoms[row]) / 2

    def way(self, chain: Sequence[int]) -> Way:
        """Return the points of an edge from its upper node to its lower one."""
        points: list[Point] = []
        for point in self._points(chain):
            if len(points) > 1 and points[-2][0] == points[-1][0] == point[0]:
                points.pop()
            if not points or points[-1] != point:
                points.append(point)
        return tuple(points)

    def _points(self, chain: Sequence[int]) -> Iterator[Point]:
        first, *between, last = chain
        number, row = self.where[first]
        x, y = self.centre(first)
        yield from ((x, y + self.heights[first] / 2), (x, self.top + self.columns[number].bottoms[row]))
        for item in between:
            yield from self._over(item) if item in self.lane else self._past(item)
        number, row = self.where[last]
        x, y = self.centre(last)
        yield from ((x, self.top + self.columns[number].tops[row]), (x, y - self.heights[last] / 2))

    def _past(self, item: int) -> Iterator[Point]:
        """Go down a row beside its nodes."""
        number, row = self.where[item]
        x, column = self._x(number, item), self.columns[number]
        yield from ((x, self.top + column.tops[row]), (x, self.top + column.bottoms[row]))

    def _over(self, item: int) -> Iterator[Point]:
        """Go round the foot of a column to the head of the next; lines that do so together never cross."""
        number, _ = self.where[item]
        lane = self.lane[item]
        before, after = self._x(number, item), self._x(number + 1, item)
        beside = self.left[number + 1] - _MARGIN - lane * _LANE
        foot, head = self._foot(number, lane), self.top - _MARGIN / 2 - (lane + 1) * _LANE
        yield from ((before, self.top + self.columns[number].bottoms[-1]), (before, foot), (beside, foot))
        yield from ((beside, head), (after, head), (after, self.top))

    def _foot(self, number: int, lane: int) -> float:
        return self.top + self.columns[number].bottoms[-1] + (self.lanes[number] - lane) * _LANE

    def _x(self, number: int, item: int) -> float:
        return self.left[number] + self.columns[number].x[item]
