"""The table of layers on the page; a column that nothing is in is left out."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from onnxtop.render.cells import BarEnds, scale_of
from onnxtop.render.html import charts
from onnxtop.render.html.parts import Cell, Heading, Sheet, SheetRow, full_sheet
from onnxtop.render.report import facts
from onnxtop.render.report.columns import told
from onnxtop.render.text import TIMES, figure, humanised
from onnxtop.results.details import LayerDetails
from onnxtop.results.report import Finding, LayerReport, Report
from onnxtop.results.words import counted

COLOURED = ("NP", "z", "bars")
"""Titles of the columns by which the graph of the layers may be coloured."""

_HEADINGS: Mapping[str, Heading] = {
    "name": Heading("layer", "layer"),
    "finding": Heading("finding", "severity", choose=True),
    "op_type": Heading("op", "op", choose=True),
    "size": Heading(f"in {TIMES} out", "in x out", numeric=True),
    "weights": Heading("weights", "weights", numeric=True),
    "persistence": Heading("NP", "np", numeric=True),
    "lengths": Heading("bars, chance", "null band"),
    "z": Heading("z", "z", numeric=True),
    "excess": Heading("excess", "excess", numeric=True),
    "sortedness": Heading("sortedness", "sortedness", numeric=True),
    "bars": Heading("bars", "bars", numeric=True),
    "minimum": Heading("minimum", "statistics", numeric=True),
    "maximum": Heading("maximum", "statistics", numeric=True),
    "zeros": Heading("zeros", "statistics", numeric=True),
    "rank": Heading("rank", "statistics", numeric=True),
    "dead": Heading("dead units", "statistics", numeric=True),
    "encoding": Heading("encoding", "encoding", choose=True),
    "note": Heading("note", "note"),
}

_POINTS = 12
"""Points of a picture in the table."""

Cells = Mapping[str, Cell]
"""Cells of a row by their column; there may be fewer than columns."""


def layer_table(
    report: Report, keys: Sequence[str], links: Sequence[str], named: Mapping[str, Sequence[Finding]]
) -> Sheet:
    """Make the table; a row has a key of the page, the name in it a link if there is one.

    ``named`` are the findings of layers by their names, the worst first.
    """
    scale = scale_of(layer.neural_persistence.normalized for layer in report.layers)
    encodings = len({layer.encoding for layer in report.layers})
    rows = (
        {
            "name": Cell(layer.name, link=link, is_name=True),
            **_read(layer, named.get(layer.name, ())),
            **(_measured(layer, scale) if report.settings.topology else {}),
            **_statistics(layer),
            **({"encoding": Cell(layer.encoding)} if encodings > 1 else {}),
        }
        for layer, link in zip(report.layers, links, strict=True)
    )
    return full_sheet(
        _caption(report, scale),
        tuple(_HEADINGS.values()),
        [_row(cells, key) for cells, key in zip(rows, keys, strict=True)],
        [_row(_network(report, scale))] if report.settings.topology else (),
    )


def _row(cells: Cells, key: str = "") -> SheetRow:
    return SheetRow([cells.get(column, _BLANK) for column in _HEADINGS], key)


_BLANK = Cell("")


def _read(layer: LayerReport, findings: Sequence[Finding]) -> Cells:
    worst = findings[0].severity if findings else ""
    return {
        "finding": Cell(worst, look=worst),
        "op_type": Cell(layer.op_type),
        "size": Cell(f"{layer.n_in} {TIMES} {layer.n_out}", float(layer.n_in * layer.n_out)),
        "weights": Cell(humanised(layer.parameters), float(layer.parameters)),
        "note": Cell(facts.remark(layer)),
    }


def _measured(layer: LayerReport, scale: BarEnds) -> Cells:
    persistence = layer.neural_persistence
    return {
        "persistence": Cell(figure(persistence.normalized), picture=_bar(persistence.normalized, scale)),
        "lengths": Cell("", picture=_lengths(layer.details)),
        "z": Cell(facts.z_told(persistence)),
        "excess": Cell(facts.excess_told(persistence)),
        "sortedness": Cell(figure(layer.sortedness, "")),
        "bars": Cell(facts.bars_told(facts.limited_bars([layer]))),
    }


def _statistics(layer: LayerReport) -> Cells:
    held = layer.statistics
    if held is None:
        return {}
    return {
        "minimum": Cell(told(held.minimum)),
        "maximum": Cell(told(held.maximum)),
        "zeros": Cell(f"{held.zeros:,}"),
        "rank": Cell("" if held.rank is None else f"{held.rank}"),
        "dead": Cell(f"{held.dead_inputs.count + held.dead_outputs.count:,}"),
    }


def _network(report: Report, scale: BarEnds) -> Cells:
    mean = report.network.neural_persistence.mean_normalized
    return {
        "name": Cell("network mean"),
        "weights": Cell(humanised(report.coverage.parameters_analysed)),
        "persistence": Cell(figure(mean), picture=_bar(mean, scale)),
        "bars": Cell(facts.bars_told(facts.n_bars(report))),
    }


def _bar(value: float | None, scale: BarEnds) -> Markup:
    return charts.bar(value, low=scale.low, high=scale.high)


def _lengths(details: LayerDetails | None) -> Markup:
    if details is None:
        return Markup()
    step = max(1, -(-len(details.bars) // _POINTS))
    sides = (details.bars, details.null_low or (), details.null_high or ())
    return charts.spark(*(side[::step] for side in sides))


def _caption(report: Report, scale: BarEnds) -> str:
    phrases = (
        counted(len(report.layers), "layer"),
        facts.rows_note(report, report.layers),
        f"bars from {scale.low:g} to {scale.high:g}" if report.settings.topology else "",
    )
    return "; ".join(filter(None, phrases))
