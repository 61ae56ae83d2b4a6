"""What reports, checks and layers look like in a console and in a notebook."""

from dataclasses import replace

from onnxtop.render import render
from onnxtop.render.look import Card, Look
from onnxtop.render.report import csv
from onnxtop.render.report.html_cards import card
from onnxtop.render.report.html_model import view
from onnxtop.render.text import TIMES, figure
from onnxtop.results.check import Check
from onnxtop.results.headline import headline_of
from onnxtop.results.report import LayerReport, Report
from onnxtop.results.words import counted


def _report_line(report: Report, fail_on: str | None = None) -> str:
    network = report.network
    figures = (
        counted(len(report.layers), "layer"),
        f"NP {figure(network.neural_persistence.mean_normalized)}",
        f"DGP {figure(network.deep_graph_persistence.normalized)}",
    )
    return f"{report.model.path}: {headline_of(report, fail_on).words} ({', '.join(figures)})"


def _report_card(report: Report, fail_on: str | None = None) -> Card:
    seen = view(report, f"onnxtop-{(report.model.sha256 or '')[:8]}-", 0, drawn=False, fail_on=fail_on)
    return Card(
        seen.title,
        seen.headline,
        tiles=seen.tiles,
        findings=seen.findings,
        table=seen.table,
        notes=[*seen.notes, *seen.checked],
    )


def _layer_line(layer: LayerReport) -> str:
    held = layer.neural_persistence
    z = "" if held.z is None else f", z {held.z:z.1f}"
    size = f"{layer.n_in} {TIMES} {layer.n_out}"
    return f"{layer.name}: {layer.op_type} {size}, NP {figure(held.normalized)}{z}"


def _layer_card(layer: LayerReport) -> Card:
    seen = card(layer, "", ())
    return Card(f"{seen.name}: {seen.about}", facts=seen.facts, pictures=seen.pictures)


LOOKS = {
    Report: Look(
        _report_line,
        _report_card,
        lambda report, look: render("report", "terminal", [report], look),
        csv.rows,
        csv.COLUMNS,
    ),
    Check: Look(
        lambda check: f"{check.verdict}: {_report_line(check.report, check.fail_on)}",
        lambda check: _report_card(check.report, check.fail_on),
        lambda check, look: render("check", "terminal", [check.report], replace(look, fail_on=check.fail_on)),
        lambda check: csv.rows(check.report),
        csv.COLUMNS,
    ),
    LayerReport: Look(_layer_line, _layer_card),
}
