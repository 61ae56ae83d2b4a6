"""Tables of the terminal: rows of short strings in columns that give way to each other.

rich's own table would do, but it deals out the width anew and by other rules in every version.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from onnxtop.render.cells import Signs, cut, elide
from onnxtop.render.names import between, common_ends, shortened
from onnxtop.render.text import TIMES


@dataclass(frozen=True)
class Column:
    """A column: the narrowest page that has room for it, its least width in cells, the style of its cells.

    Where there is no room a cell loses its middle; of ``words`` it loses the end.
    """

    title: str
    justify: Literal["left", "right"] = "right"
    from_width: int = 0
    least: int = 0
    style: str = ""
    words: bool = False


Columns: TypeAlias = Mapping[str, Column]
"""Columns by the cell that they show."""


@dataclass(frozen=True)
class Row:
    """The cells of one row, ready to show, its style, and those of single cells.

    A row that is not ``named`` keeps its words where the names of the others are cut.
    """

    cells: Mapping[str, str]
    style: str = ""
    styles: Mapping[str, str] = field(default_factory=dict)
    named: bool = True


@dataclass(frozen=True)
class Layout:
    """What becomes of a table that is too wide.

    ``lesser`` columns go first, in this order, until the others have room: what they are wide, or what is
    ``enough`` for them. Then columns ``shrink``, in this order, each down to a width. If that would cut one
    of the ``names``, all of them lose what they have in common, which is said beneath, and those that are
    still too long what tells them least apart.
    """

    lesser: Sequence[str] = ()
    enough: Mapping[str, int] = field(default_factory=dict)
    shrink: Sequence[tuple[str, int]] = ()
    names: str | None = None
    ruled: bool = True


def table(
    columns: Columns, parts: Sequence[Sequence[Row]], layout: Layout, signs: Signs, width: int
) -> Iterator[Text]:
    """Draw the titles and the parts of a table, each under a rule of its own; empty columns are left out."""
    rows = [row for part in parts for row in part]
    columns = with_room(columns, rows, layout, width)
    widths = _widths(columns, rows, layout, width)
    names, note = layout.names, ""
    if names in widths and any(cell_len(row.cells.get(names, "")) > widths[names] for row in parts[0]):
        head, tail = common_ends([row.cells[names] for row in parts[0] if row.named])
        note = _left_out(head, tail)
        trimmed = _renamed(parts[0], names, lambda each: between(each, head, tail))
        widths = _widths(columns, [*trimmed, *(row for part in parts[1:] for row in part)], layout, width)
        parts = [
            _renamed(trimmed, names, lambda each: shortened(each, widths[names], signs.ellipsis)),
            *parts[1:],
        ]
    titles = {cell: Text(column.title.replace(TIMES, signs.times)) for cell, column in columns.items()}
    yield _line(titles, columns, widths, "dim")
    for part in filter(None, parts):
        if layout.ruled:
            rule = {cell: Text(signs.rule * widths[cell]) for cell in columns}
            yield _line(rule, columns, widths, "dim")
        for row in part:
            cells = {cell: _cell(row, cell, columns[cell], widths[cell], signs) for cell in columns}
            yield _line(cells, columns, widths, row.style)
    if note:
        yield Text(note, "dim", overflow="fold")


def _line(cells: Mapping[str, Text], columns: Columns, widths: Mapping[str, int], style: str) -> Text:
    """Join the cells of one line, two spaces apart."""
    line = Text(style=style, no_wrap=True)
    for cell, text in cells.items():
        text.align(columns[cell].justify, widths[cell])
        line.append("  " if line else "").append_text(text)
    return line


def _cell(row: Row, cell: str, column: Column, width: int, signs: Signs) -> Text:
    shorten = cut if column.words else elide
    shown = shorten(row.cells.get(cell, ""), width, signs.ellipsis)
    return Text(shown, row.styles.get(cell, column.style))


def with_room(columns: Columns, rows: Sequence[Row], layout: Layout, width: int) -> Columns:
    """Leave out columns that are empty, or that the page is too narrow for."""
    kept = {
        cell: column
        for cell, column in columns.items()
        if width >= column.from_width and any(row.cells.get(cell) for row in rows)
    }
    enough = {cell: min(cells, layout.enough.get(cell, cells)) for cell, cells in _widest(kept, rows).items()}
    for lesser in layout.lesser:
        if sum(enough[cell] for cell in kept) + 2 * (len(kept) - 1) > width:
            kept.pop(lesser, None)
    return kept


def _widths(columns: Columns, rows: Iterable[Row], layout: Layout, width: int) -> dict[str, int]:
    widths = _widest(columns, rows)
    excess = sum(widths.values()) + 2 * (len(columns) - 1) - width
    for cell, least in layout.shrink:
        cut = max(min(excess, widths.get(cell, 0) - least), 0)
        if cut:
            widths[cell] -= cut
            excess -= cut
    return widths


def _widest(columns: Columns, rows: Iterable[Row]) -> dict[str, int]:
    many = list(rows)
    return {
        cell: max(column.least, cell_len(column.title), *(cell_len(row.cells.get(cell, "")) for row in many))
        for cell, column in columns.items()
    }


def _renamed(rows: Sequence[Row], names: str, shorten: Callable[[list[str]], list[str]]) -> list[Row]:
    """Shorten the names of all rows together."""
    short = iter(shorten([row.cells[names] for row in rows if row.named]))
    return [replace(row, cells={**row.cells, names: next(short)}) if row.named else row for row in rows]


def _left_out(head: str, tail: str) -> str:
    """Say what all names begin and end with, nothing if that is nothing."""
    ends = ([f"{head} at their start"] if head else []) + ([f"{tail} at their end"] if tail else [])
    return f"left out of the names: {', '.join(ends)}" if ends else ""
