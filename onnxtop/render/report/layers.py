"""The table of layers in the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from onnxtop.render.cells import BAR, Signs
from onnxtop.render.report.facts import (
    Gap,
    bars_told,
    excess_told,
    limited_bars,
    n_bars,
    remark,
    z_told,
)
from onnxtop.render.table import Column, Layout, Row, table
from onnxtop.render.text import TIMES, defined, humanised
from onnxtop.results.report import LayerReport, Report

_READ_COLUMNS = {
    "name": Column("layer", "left"),
    "op_type": Column("op", "left"),
    "size": Column(f"in {TIMES} out"),
    "weights": Column("weights", from_width=50),
    "encoding": Column("encoding", "left"),
    "uses": Column("uses", from_width=60),
    "note": Column("", "left", style="yellow"),
}
"""Columns of layers that were only read."""

_COLUMNS = {
    "name": Column("layer", "left"),
    "op_type": Column("op", "left", 60),
    "encoding": Column("encoding", "left", 100),
    "size": Column(f"in {TIMES} out"),
    "weights": Column("weights", from_width=50),
    "total": Column("total", from_width=100),
    "persistence": Column("NP"),
    "bar": Column("", "left", 60, least=BAR),
    "z": Column("z", from_width=70),
    "excess": Column("excess", from_width=80),
    "sortedness": Column("sortedness"),
    "bars": Column("bars", from_width=70),
    "note": Column("", "left", style="yellow"),
}

_SHRINK = (
    *(("name", 40), ("encoding", 8), ("name", 24), ("op_type", 8)),
    *(("name", 16), ("size", 9), ("op_type", 4), ("name", 8), ("size", 5)),
)

_LESSER = ("total", "encoding", "weights")
"""Columns that go where the bars of the network are told and there is little room, before the excess does."""

_ENOUGH = {"name": 24, "op_type": 8}

_READ_SHRINK = (("name", 24), ("op_type", 8), ("name", 16), ("encoding", 8), *_SHRINK)
"""The encoding is what one looks for in layers that were only read."""


def layer_table(
    report: Report, rows: Sequence[LayerReport | Gap], notes: Mapping[str, int], signs: Signs, width: int
) -> Iterator[Text]:
    """Draw the rows, and the network's if it was measured; ``notes`` numbers the reasons told beneath."""
    layers = [
        _layer_row(row, notes, signs) if isinstance(row, LayerReport) else _gap_row(row, signs)
        for row in rows
    ]
    if not report.settings.topology:
        return table(_READ_COLUMNS, [layers], Layout(shrink=_READ_SHRINK, names="name"), signs, width)
    parts = layers, [_network_row(report, notes, signs)]
    limited = width >= _COLUMNS["bars"].from_width and any(
        row.cells["bars"] for part in parts for row in part
    )
    layout = Layout((*(_LESSER if limited else ()), "excess"), _ENOUGH, _SHRINK, "name")
    return table(_COLUMNS, parts, layout, signs, width)


def _layer_row(layer: LayerReport, notes: Mapping[str, int], signs: Signs) -> Row:
    persistence = layer.neural_persistence
    measured = defined(persistence.normalized)
    reason = remark(layer)
    cells = {
        "name": signs.shown(layer.name),
        "op_type": signs.shown(layer.op_type),
        "encoding": signs.shown(layer.encoding),
        "size": f"{layer.n_in} {signs.times} {layer.n_out}",
        "weights": humanised(layer.parameters),
        "uses": str(len(layer.uses)),
        "total": signs.figure(persistence.total),
        "persistence": signs.figure(persistence.normalized),
        "bar": signs.bar(persistence.normalized) if measured else _flag(layer),
        "z": z_told(persistence),
        "excess": excess_told(persistence),
        "sortedness": "" if layer.sortedness is None else signs.figure(layer.sortedness),
        "bars": bars_told(limited_bars([layer])),
        "note": f"[{notes[reason]}]" if reason else "",
    }
    return Row(cells, styles={"bar": "cyan" if measured else "red"})


def _flag(layer: LayerReport) -> str:
    return "not finite" if layer.nonfinite else "undefined"


def _gap_row(gap: Gap, signs: Signs) -> Row:
    cells = {
        "name": f"{signs.gap} {gap.layers:,} more",
        "weights": humanised(gap.parameters),
        "persistence": signs.figure(gap.low),
        "bar": f"to {signs.figure(gap.high)}" if defined(gap.high) else "",
        "bars": bars_told(gap.bars),
    }
    return Row(cells, "dim", named=False)


def _network_row(report: Report, notes: Mapping[str, int], signs: Signs) -> Row:
    network = report.network.neural_persistence
    cells = {
        "name": "network mean",
        "weights": humanised(report.coverage.parameters_analysed),
        "persistence": signs.figure(network.mean_normalized),
        "bar": signs.bar(network.mean_normalized),
        "bars": bars_told(n_bars(report)),
        "note": f"[{notes[network.reason]}]" if network.reason else "",
    }
    return Row(cells, "bold", {"bar": "cyan"}, named=False)
