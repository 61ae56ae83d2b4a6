"""Comma-separated values: one row a layer, for spreadsheets and data frames.

A model that failed, or had nothing to analyse, has one row with its ``model`` and ``error`` columns alone.
Numbers are those of the JSON report; a figure that is not defined is an empty cell, its reason in
``np_reason`` or ``reason``. Cells with text cannot start a spreadsheet formula: such a name gets a leading
apostrophe.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from onnxtop.render import RenderOptions
from onnxtop.render.report.columns import FIRST, IN_CSV, SETTINGS, chosen, values
from onnxtop.render.report.facts import nothing
from onnxtop.render.text import visible
from onnxtop.results.outcome import FailedModel, Result
from onnxtop.results.plain import plain
from onnxtop.results.report import Report

COLUMNS = (*FIRST, *IN_CSV, *SETTINGS)
"""The header row, where no other columns are asked for."""

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 (full-width signs start formulas too)


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render all layers of all models under one header row, as RFC 4180 has it."""
    buffer = io.StringIO()
    header = (*FIRST, *chosen(options.columns, (*IN_CSV, *SETTINGS)))
    table = csv.DictWriter(buffer, header, restval="", extrasaction="ignore")
    table.writeheader()
    for result in results:
        table.writerows({name: cell(value) for name, value in row.items()} for row in rows(result))
    return buffer.getvalue()


def rows(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the rows of a model, by column, as they are: nothing is made safe for spreadsheets."""
    if isinstance(result, FailedModel):
        yield {"model": result.path, "error": result.message}
    elif not result.layers:
        yield {"model": result.model.path, "error": nothing(result)}
    else:
        yield from _layers(result)


def _layers(report: Report) -> Iterator[dict[str, Any]]:
    asked = plain(report.settings)
    settings = {name: asked[name] for name in SETTINGS}
    for layer in report.layers:
        yield {"model": report.model.path, "layer": layer.name, **values(layer), **settings}


def cell(value: Any) -> Any:
    """Leave numbers alone; make text safe for spreadsheets and terminals."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_FORMULA) else "") + visible(value)
