"""The report, and the check, as a page: the verdict, then a model, or a table of many and each of them."""

from collections.abc import Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.check.verdicts import summed_up
from onnxtop.render.html.charts import bar
from onnxtop.render.html.page import page
from onnxtop.render.html.parts import Cell, Heading, Sheet, SheetRow, full_sheet
from onnxtop.render.report import facts
from onnxtop.render.report.html_model import ModelView, view
from onnxtop.render.text import figure, humanised
from onnxtop.results.headline import headline_of_run, worst_first
from onnxtop.results.outcome import FailedModel, Result, counts_of, verdict_of
from onnxtop.results.report import Report
from onnxtop.results.words import counted

_CARDS = 150
"""Layers whose details are drawn on one page; models share them."""

_NODES = 3000
"""Nodes of layer graphs that are drawn on one page, whole graphs only."""

_OVERVIEW = (
    Heading("model", "model"),
    Heading("verdict", "verdict of check", choose=True),
    Heading("headline", "verdict of check"),
    Heading("errors", "severity", numeric=True),
    Heading("warnings", "severity", numeric=True),
    Heading("layers", "layer", numeric=True),
    Heading("parameters", "parameters", numeric=True),
    Heading("analysed", "coverage.fraction", numeric=True),
    Heading("NP", "np.mean_normalized", numeric=True),
    Heading("DGP", "dgp", numeric=True),
)


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render one page of all results; several stand in a table first, the worst first."""
    ordered = worst_first(results, options.fail_on)
    reports = [each for each in results if isinstance(each, Report)]
    views = _views(ordered, options)
    one = views[0] if len(views) == 1 else None
    return page(
        one.title if one else counted(len(results), "model"),
        headline_of_run(results, options.fail_on),
        "report.html",
        notices=_notices(results, options),
        read=counted(sum(len(each.layers) for each in reports), "layer"),
        judged=any(each.settings.topology and each.settings.structure for each in reports),
        tried=any(each.loss_probe for each in reports),
        models=views,
        overview=None if one else _overview(ordered, views, options),
    )


def _views(results: Sequence[Result], options: RenderOptions) -> list[ModelView]:
    """Look at the models with what there is room for on the page: cards of layers and graphs."""
    cards, nodes = max(_CARDS // max(len(results), 1), 2), _NODES
    views = []
    for number, result in enumerate(results):
        graph = result.graph if isinstance(result, Report) else None
        size = len(graph.nodes) if graph else 0
        prefix = f"m{number}-" if len(results) > 1 else ""
        views.append(view(result, prefix, cards, size <= nodes, options.fail_on))
        nodes -= size if size <= nodes else 0
    return views


def _notices(results: Sequence[Result], options: RenderOptions) -> list[str]:
    """Say that a run was interrupted, and what the gate makes of its models, if it was asked."""
    gate = summed_up(results, options.fail_on) if options.fail_on else ""
    return [line for line in (facts.incomplete(results), gate) if line]


def _overview(results: Sequence[Result], views: Sequence[ModelView], options: RenderOptions) -> Sheet:
    rows = [_row(result, seen, options) for result, seen in zip(results, views, strict=True)]
    return full_sheet("all models, the worst first", _OVERVIEW, rows)


def _row(result: Result, seen: ModelView, options: RenderOptions) -> SheetRow:
    verdict = "" if options.fail_on is None else verdict_of(result, options.fail_on)
    about = (
        Cell(seen.title, link=f"#{seen.key}", is_name=True),
        Cell(verdict),
        Cell(seen.headline.words, look=seen.headline.tone),
    )
    if isinstance(result, FailedModel):
        return SheetRow([*about, *(Cell("") for _ in _OVERVIEW[len(about) :])])
    counts, network = counts_of(result), result.network
    mean = network.neural_persistence.mean_normalized
    cells = (
        Cell(f"{counts.errors:,}" if counts.errors else "", counts.errors),
        Cell(f"{counts.warnings:,}" if counts.warnings else "", counts.warnings),
        Cell(f"{len(result.layers):,}"),
        Cell(humanised(result.model.parameters), result.model.parameters),
        Cell(facts.share_analysed(result.coverage)),
        Cell(figure(mean, ""), picture=bar(mean)),
        Cell(figure(network.deep_graph_persistence.normalized, "")),
    )
    return SheetRow([*about, *cells])
