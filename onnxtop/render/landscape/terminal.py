"""A loss landscape for people: minima, their bars and the paths between them, drawn in the terminal."""

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from onnxtop.render import RenderOptions
from onnxtop.render.landscape.facts import (
    above,
    at_top,
    described,
    endless,
    length,
    scored,
    short_names,
    small,
)
from onnxtop.render.names import shortened
from onnxtop.render.page import Page
from onnxtop.render.table import Column, Layout, Row, table
from onnxtop.results.landscape import LossLandscape, Minimum, Pass
from onnxtop.results.words import counted

_COLUMNS = {
    "minimum": Column("minimum", "left"),
    "birth": Column("birth"),
    "death": Column("death <="),
    "length": Column("length"),
    "gain": Column("gain"),
    "partner": Column("lost to"),
    "given": Column("given"),
    "moved": Column("moved"),
    "accuracy": Column("accuracy"),
    "test": Column("test"),
    "gradient": Column("|grad|"),
    "curvature": Column("curves"),
    "note": Column("", "left"),
}

_LAYOUT = Layout(
    lesser=("accuracy", "gradient", "curvature", "test", "partner", "moved", "given", "gain"),
    shrink=(("minimum", 5),),
    ruled=False,
)

_LABEL = 22
"""Cells that the name of a minimum has at least, where there are as many beside its figures."""
_FIGURES = 36
"""Cells of these."""

_OF_PATHS = {"height <=": 10, "straight": 10, "gradients": 9}
"""What is told of a path beside its drawing, and in how many cells; without room the last goes first."""
_DRAWING = 12
"""Cells of the drawing, at least."""

_LISTED = 12
"""At most so many paths are drawn; ``all_rows`` draws all."""


def render(landscape: LossLandscape, options: RenderOptions) -> str:
    """Draw a landscape, ``options.width`` cells wide, and no less than 40."""
    return _LandscapePage(options).draw(landscape)


class _LandscapePage(Page):
    """One landscape on one page."""

    def draw(self, landscape: LossLandscape) -> str:
        """Return the finished page."""
        names = short_names([minimum.name for minimum in landscape.minima])
        shown = [self.signs.shown(name) for name in names.values()]
        short = shortened(shown, self._label_room(), self.signs.ellipsis)
        self.short = dict(zip(names, short, strict=True))
        self.label = max(map(cell_len, short))
        self.line("loss barcode" if landscape.complete else "loss barcode (incomplete)", "bold")
        self.paragraph(self.signs.dot.join(described(landscape)))
        if words := endless(landscape):
            self.paragraph(words, "yellow")
        score, parts, reading = scored(landscape)
        self.paragraph(score, "bold")
        self.paragraph(parts)
        self.paragraph(reading, "dim")
        self._minima(landscape)
        self._bars(landscape)
        self._profiles(landscape)
        self._tops(landscape)
        self._notes(landscape)
        return self.finished()

    def _label_room(self) -> int:
        return max(self.width // 4, min(_LABEL, self.width - _FIGURES))

    def _minima(self, landscape: LossLandscape) -> None:
        """Tabulate the minima; columns that say least give way where there is no room."""
        notes = list(dict.fromkeys(filter(None, (minimum.reason for minimum in landscape.minima))))
        rows = [Row(self._cells(minimum, notes)) for minimum in landscape.minima]
        self.line()
        self.lines(table(_COLUMNS, [rows], _LAYOUT, self.signs, self.width))
        passed = sum(minimum.reason is None for minimum in landscape.minima)
        self.paragraph(
            f"{passed} of {len(landscape.minima)} certified: a further descent gains next to nothing", "dim"
        )
        for number, reason in enumerate(notes, start=1):
            self.paragraph(f"[{number}] no minimum: {reason}", "yellow")

    def _cells(self, minimum: Minimum, notes: list[str]) -> dict[str, str]:
        return {
            "minimum": self.short[minimum.name],
            "birth": small(minimum.loss),
            "death": small(minimum.death, "never" if minimum.length is None else ""),
            "length": length(minimum),
            "gain": "" if minimum.gain is None else f"{minimum.gain:.0e}",
            "given": above(minimum),
            "moved": f"{minimum.moved:.1e}" if minimum.moved else "",
            "partner": "" if minimum.partner is None else self.short[minimum.partner],
            "accuracy": _percent(minimum.accuracy),
            "test": _percent(minimum.test_accuracy),
            "gradient": "" if minimum.gradient_norm is None else f"{minimum.gradient_norm:.1e}",
            "curvature": "" if minimum.curvature is None else f"{minimum.curvature:.1e}",
            "note": f"[{notes.index(minimum.reason) + 1}]" if minimum.reason else "",
        }

    def _bars(self, landscape: LossLandscape) -> None:
        """Draw each bar from birth to death on a common axis; the essential one has an arrow."""
        births = [minimum.loss for minimum in landscape.minima]
        deaths = [minimum.death for minimum in landscape.minima if minimum.death is not None]
        low, high = min(births), max([*deaths, *births])
        room = self.drawn - self.label - 2
        self.line()
        self.line("barcode: from birth to death (upper bound) of every minimum", "bold")
        for minimum in landscape.minima:
            start = _place(minimum.loss, low, high, room)
            end = room - 1 if minimum.death is None else _place(minimum.death, low, high, room)
            arrow = minimum.death is None
            self._labelled(minimum.name, " " * start + self._bar(end - start, arrow), "cyan")
        left, right = small(low, "-"), small(high, "-")
        axis = left + right.rjust(room - cell_len(left))
        self.line(f"{' ' * self.label}  {axis}", "dim")

    def _bar(self, length: int, arrow: bool) -> str:
        unicode = not self.signs.ascii_only
        end = ("▶" if unicode else ">") if arrow else ("┫" if unicode else "|")
        if length < 1:
            return "╋" if unicode else "+"
        return ("┣" if unicode else "|") + ("━" if unicode else "=") * (length - 1) + end

    def _profiles(self, landscape: LossLandscape) -> None:
        """Draw the loss along each path, those that end a bar first, all on one scale."""
        chosen = sorted(
            (item for item in landscape.passes if item.in_tree or item.finder == landscape.finder),
            key=lambda item: (not item.in_tree, math.inf if item.height is None else item.height),
        )
        if not chosen:
            return
        shown = chosen if self.all_rows else chosen[:_LISTED]
        low = min(minimum.loss for minimum in landscape.minima)
        high = max([item.height for item in shown if item.height is not None], default=low)
        names = [self._ends(item) for item in shown]
        width = max(map(cell_len, names))
        told = dict(_OF_PATHS)
        while len(told) > 1 and self._beside(width, told) < _DRAWING:
            told.popitem()
        room = max(self._beside(width, told), 1)
        self.line()
        scale = f"from {small(low, '-')} to {small(high, '-')}"
        self.line(f"loss along the paths, {scale}; * ends a bar", "bold")
        self.line(" " * width + "".join(f"  {title:>{cells}}" for title, cells in told.items()), "dim")
        lines = []
        for name, item in zip(names, shown, strict=True):
            mark = "*" if item.in_tree else " "
            figures = (small(item.height, "no pass"), small(item.straight, "no pass"), str(item.gradients))
            shown_of = zip(figures, told.values(), strict=False)
            line = Text(f"{name:{width}}{''.join(f'  {each:>{cells}}' for each, cells in shown_of)} {mark} ")
            lines.append(line.append(self._spark(item, low, high, room), "cyan" if item.in_tree else "dim"))
        self.lines(lines)
        if len(shown) < len(chosen):
            self.paragraph(f"and {len(chosen) - len(shown):,} more; --all draws every one", "dim")

    def _beside(self, width: int, told: Mapping[str, int]) -> int:
        """Return the room of a drawing beside a name and what is told of a path."""
        return self.drawn - width - sum(cells + 2 for cells in told.values()) - 3

    def _tops(self, landscape: LossLandscape) -> None:
        """Say of each path that ends a bar what its highest point is."""
        ends = [item for item in landscape.passes if item.in_tree]
        if ends:
            self.line()
            self.line("highest points of the paths that end a bar", "bold")
        for item in ends:
            self.paragraph(f"{self._ends(item)}  {at_top(item)}")

    @property
    def signs_to(self) -> str:
        """What stands between the two ends of a path."""
        return "->" if self.signs.ascii_only else "→"

    def _spark(self, item: Pass, low: float, high: float, room: int) -> str:
        """Draw a profile: each cell shows the largest loss in it."""
        tops: list[float] = [-math.inf] * room
        for position, loss in zip(item.positions, item.losses, strict=True):
            cell = min(int(position * room), room - 1)
            tops[cell] = max(tops[cell], math.inf if loss is None else loss)
        cells = _filled(tops)
        return self.signs.levels([min(loss, high) for loss in cells], low, high)

    def _notes(self, landscape: LossLandscape) -> None:
        spent = f"{counted(landscape.gradients, 'gradient')}, {counted(landscape.evaluations, 'evaluation')}"
        self.line()
        self.paragraph(f"spent on {counted(len(landscape.passes), 'path')}: {spent}", "dim")
        for note in landscape.notes:
            self.paragraph(f"note: {note}", "yellow")

    def _labelled(self, name: str, drawing: str, style: str) -> None:
        label = Text(self.short[name])
        label.align("left", self.label)
        self.lines([label.append("  ").append(drawing, style)])

    def _ends(self, item: Pass) -> str:
        return f"{self.short[item.first]} {self.signs_to} {self.short[item.second]}"


def _filled(tops: Sequence[float]) -> Iterator[float]:
    """Give each empty cell what the one before it holds."""
    last = next((top for top in tops if top > -math.inf), 0.0)
    for top in tops:
        last = top if top > -math.inf else last
        yield last


def _place(value: float, low: float, high: float, room: int) -> int:
    return round((value - low) / (high - low) * (room - 1)) if high > low else 0


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"
