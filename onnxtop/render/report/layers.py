"""The table of layers in the terminal: rows made of short strings, columns that give way to each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len
from rich.text import Text

from onnxtop.render.cells import BAR, Signs, elide, without_common_ends
from onnxtop.render.report.facts import Gap, limited_bars, n_bars, remark
from onnxtop.render.text import TIMES, defined, humanised
from onnxtop.results.report import LayerReport, Report

__all__ = ["layer_table"]


@dataclass(frozen=True)
class _Row:
    """The cells of one row, ready to show."""

    name: str
    op_type: str = ""
    encoding: str = ""
    size: str = ""
    weights: str = ""
    uses: str = ""
    total: str = ""
    persistence: str = ""
    bar: str = ""
    z: str = ""
    bars: str = ""
    note: str = ""
    style: str = ""
    bar_style: str = "cyan"


@dataclass(frozen=True)
class _Column:
    """A column: the cell it shows, and the narrowest page that has room for it, its least width."""

    title: str
    cell: str
    justify: Literal["left", "right"] = "right"
    from_width: int = 0
    least: int = 0


_READ_COLUMNS = (
    _Column("layer", "name", "left"),
    _Column("op", "op_type", "left"),
    _Column(f"in {TIMES} out", "size"),
    _Column("weights", "weights", from_width=50),
    _Column("encoding", "encoding", "left"),
    _Column("uses", "uses", from_width=60),
    _Column("", "note", "left"),
)
"""Columns of layers that were only read."""

_COLUMNS = (
    _Column("layer", "name", "left"),
    _Column("op", "op_type", "left", 60),
    _Column("encoding", "encoding", "left", 100),
    _Column(f"in {TIMES} out", "size"),
    _Column("weights", "weights", from_width=50),
    _Column("total", "total", from_width=100),
    _Column("NP", "persistence"),
    _Column("", "bar", "left", 60, least=BAR),
    _Column("z", "z", from_width=70),
    _Column("bars", "bars", from_width=70),
    _Column("", "note", "left"),
)

_SHRINK = (
    *(("name", 40), ("encoding", 8), ("name", 24), ("op_type", 8)),
    *(("name", 16), ("size", 9), ("op_type", 4), ("name", 8), ("size", 5)),
)
"""Which column gives way, and down to which width, in this order."""

_LESSER = ("total", "encoding", "weights")
"""Measured columns that go before names and operators get less room than `_ENOUGH`, in this order."""

_ENOUGH = {"name": 24, "op_type": 8}

_READ_SHRINK = (("name", 24), ("op_type", 8), ("name", 16), ("encoding", 8), *_SHRINK)
"""The same for layers that were only read: the encoding is what one looks for."""


def layer_table(
    report: Report, rows: Sequence[LayerReport | Gap], notes: Mapping[str, int], signs: Signs, width: int
) -> Iterator[Text]:
    """Draw the rows, and the network's if it was measured; ``notes`` numbers the reasons told beneath.

    rich's own table would do, but it deals out the width anew and by other rules in every version.
    """
    layers = [
        _layer_row(row, notes, signs) if isinstance(row, LayerReport) else _gap_row(row, signs)
        for row in rows
    ]
    measured = report.settings.topology
    network = [_network_row(report, notes, signs)] if measured else []
    chosen = _COLUMNS if measured else _READ_COLUMNS
    shrink = _SHRINK if measured else _READ_SHRINK
    columns = [column for column in chosen if _has_room(column, (*layers, *network), width)]
    columns = _without_lesser(columns, (*layers, *network), width) if measured else columns
    widths = _widths(columns, (*layers, *network), width, shrink)
    if any(cell_len(row.name) > widths["name"] for row in layers):
        layers = _trimmed(layers, signs)
        widths = _widths(columns, (*layers, *network), width, shrink)
    titles = [Text(column.title.replace(TIMES, signs.times)) for column in columns]
    rule = [Text(signs.rule * widths[column.cell]) for column in columns]
    yield _line(titles, columns, widths, "dim")
    for part in filter(None, (layers, network)):
        yield _line(rule, columns, widths, "dim")
        for row in part:
            cells = [_cell(row, column.cell, widths[column.cell], signs) for column in columns]
            yield _line(cells, columns, widths, row.style)


def _line(cells: Iterable[Text], columns: Iterable[_Column], widths: Mapping[str, int], style: str) -> Text:
    """Join the cells of one line, two spaces apart."""
    line = Text(style=style, no_wrap=True)
    for cell, column in zip(cells, columns, strict=True):
        cell.align(column.justify, widths[column.cell])
        line.append("  " if line else "").append_text(cell)
    return line


def _layer_row(layer: LayerReport, notes: Mapping[str, int], signs: Signs) -> _Row:
    persistence = layer.neural_persistence
    measured = defined(persistence.normalized)
    reason = remark(layer)
    return _Row(
        name=signs.shown(layer.name),
        op_type=signs.shown(layer.op_type),
        encoding=signs.shown(layer.encoding),
        size=f"{layer.n_in} {signs.times} {layer.n_out}",
        weights=humanised(layer.parameters),
        uses=str(len(layer.uses)),
        total=signs.figure(persistence.total),
        persistence=signs.figure(persistence.normalized),
        bar=signs.bar(persistence.normalized) if measured else _flag(layer),
        z="" if persistence.z is None else f"{persistence.z:.1f}",
        bars=_count(limited_bars([layer])),
        note=f"[{notes[reason]}]" if reason else "",
        bar_style="cyan" if measured else "red",
    )


def _flag(layer: LayerReport) -> str:
    return "not finite" if layer.nonfinite else "undefined"


def _trimmed(rows: Sequence[_Row], signs: Signs) -> list[_Row]:
    """Leave out what the names of all layers share (a gap has no operator, and keeps its words)."""
    names = iter(without_common_ends([row.name for row in rows if row.op_type], signs.ellipsis))
    return [replace(row, name=next(names)) if row.op_type else row for row in rows]


def _gap_row(gap: Gap, signs: Signs) -> _Row:
    return _Row(
        name=f"{signs.gap} {gap.layers:,} more",
        weights=humanised(gap.parameters),
        persistence=signs.figure(gap.low),
        bar=f"to {signs.figure(gap.high)}" if defined(gap.high) else "",
        bars=_count(gap.bars),
        style="dim",
        bar_style="",
    )


def _count(bars: int | None) -> str:
    return "" if bars is None else f"{bars:,}"


def _network_row(report: Report, notes: Mapping[str, int], signs: Signs) -> _Row:
    network = report.network.neural_persistence
    return _Row(
        "network mean",
        weights=humanised(report.coverage.parameters_analysed),
        persistence=signs.figure(network.mean_normalized),
        bar=signs.bar(network.mean_normalized),
        bars=_count(n_bars(report)),
        note=f"[{notes[network.reason]}]" if network.reason else "",
        style="bold",
    )


def _has_room(column: _Column, rows: Iterable[_Row], width: int) -> bool:
    return width >= column.from_width and any(getattr(row, column.cell) for row in rows)


def _without_lesser(columns: list[_Column], rows: Sequence[_Row], width: int) -> list[_Column]:
    for lesser in _LESSER if any(column.cell == "bars" for column in columns) else ():
        enough = (min(_widest(column, rows), _ENOUGH.get(column.cell, width)) for column in columns)
        if sum(enough) + 2 * (len(columns) - 1) > width:
            columns = [column for column in columns if column.cell != lesser]
    return columns


def _widths(
    columns: Sequence[_Column], rows: Sequence[_Row], width: int, shrink: Sequence[tuple[str, int]]
) -> dict[str, int]:
    widths = {column.cell: _widest(column, rows) for column in columns}
    excess = sum(widths.values()) + 2 * (len(columns) - 1) - width
    for cell, least in shrink:
        cut = max(min(excess, widths.get(cell, 0) - least), 0)
        if cut:
            widths[cell] -= cut
            excess -= cut
    return widths


def _widest(column: _Column, rows: Iterable[_Row]) -> int:
    texts = (column.title, *(getattr(row, column.cell) for row in rows))
    return max(column.least, *map(cell_len, texts))


def _cell(row: _Row, cell: str, width: int, signs: Signs) -> Text:
    styles = {"bar": row.bar_style, "note": "yellow"}
    return Text(elide(getattr(row, cell), width, signs.ellipsis), styles.get(cell, ""))
