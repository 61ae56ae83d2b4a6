"""Comma-separated values: one row a layer, for spreadsheets and data frames.

A model that failed, or had nothing to analyse, has one row with its ``model`` and ``error`` columns alone.
Numbers are those of the JSON report; a figure that is not defined is an empty cell, its reason in
``np_reason`` or ``reason``. Cells with text cannot start a spreadsheet formula: such a name gets a leading
apostrophe.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnxtop.render import RenderOptions
from onnxtop.render.report.facts import nothing
from onnxtop.render.text import visible
from onnxtop.results.outcome import FailedModel, Result
from onnxtop.results.report import Report

_SETTINGS = ("convention", "scale", "p", "bias", "conv", "standardise", "rescale", "skips")
_LAYER = ("op_type", "weight", "encoding", "shape", "n_in", "n_out", "parameters", "uses")
_PERSISTENCE = ("total", "normalized", "null_mean", "null_std", "z", "excess_share", "draws", "reason")
_ROLE = ("bars", "active", "alpha_low", "alpha_high", "beta_low", "beta_high")
_REST = ("copy_of", "probably_fixed", "apart", "largest", "nonfinite", "variance", "sortedness", "reason")

COLUMNS = (
    *("model", "error", "layer", *_LAYER),
    *(f"np_{name}" for name in _PERSISTENCE),
    *(f"dgp_{name}" for name in _ROLE),
    *(*_REST, *_SETTINGS),
)
"""The header row."""

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 (full-width signs start formulas too)


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render all layers of all models under one header row, as RFC 4180 has it."""
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, restval="")
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
    plain = report.to_dict()
    settings = {name: plain["settings"][name] for name in _SETTINGS}
    for layer in plain["layers"]:
        persistence = layer["neural_persistence"]
        yield {
            "model": report.model.path,
            "layer": layer["name"],
            **{name: layer[name] for name in (*_LAYER, *_REST)},
            **{f"np_{name}": persistence[name] for name in _PERSISTENCE},
            **_role(layer["deep_graph_persistence"]),
            **settings,
            "shape": "x".join(map(str, layer["shape"])),
            "uses": "; ".join(layer["uses"]),
        }


def _role(role: Mapping[str, Any] | None) -> dict[str, Any]:
    """Spread a layer's part in the network's deep graph persistence; empty cells if it has none."""
    if role is None:
        return {}
    ranges = {
        f"{name}_{end}": value
        for name in ("alpha", "beta")
        for end, value in zip(("low", "high"), role[name] or (None, None), strict=True)
    }
    return {f"dgp_{name}": value for name, value in ({**role, **ranges}).items() if name in _ROLE}


def cell(value: Any) -> Any:
    """Leave numbers alone; make text safe for spreadsheets and terminals."""
    if not isinstance(value, str):
        return value
    return ("'" if value.startswith(_FORMULA) else "") + visible(value)
