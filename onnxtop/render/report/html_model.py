"""What the page says of one model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from onnxtop.render.html.graph import graph_figure
from onnxtop.render.html.parts import Cell, Fact, FindingGroup, GroupedFinding, Heading, Sheet, SheetRow
from onnxtop.render.report import facts
from onnxtop.render.report.html_cards import LayerCard, card
from onnxtop.render.report.html_table import COLOURED, layer_table
from onnxtop.render.text import figure, humanised
from onnxtop.results.headline import Headline, headline_of
from onnxtop.results.outcome import FailedModel, Result, counts_of, path_of
from onnxtop.results.report import Coverage, Finding, Report
from onnxtop.results.words import counted, severities
from onnxtop.rules.catalogue import find_rule

_SKIPPED = (
    Heading("operation", "op", choose=True),
    Heading("why", "skipped"),
    Heading("tensors", numeric=True),
    Heading("parameters", "parameters", numeric=True),
)


@dataclass(frozen=True)
class ModelView:
    """One model as the template shows it; of one that could not be analysed there is little.

    ``prefix`` begins all ids of the page that are this model's; its ``key`` is one of these.
    """

    prefix: str
    key: str
    title: str
    headline: Headline
    summary: str
    tiles: Sequence[Fact] = ()
    facts: Sequence[Fact] = ()
    findings: Sequence[FindingGroup] = ()
    checked: Sequence[str] = ()
    steps: Sequence[tuple[str, str]] = ()
    graph: Markup | None = None
    table: Sheet | None = None
    notes: Sequence[str] = ()
    layers: Sequence[LayerCard] = ()
    left_out: str = ""
    covered: Sequence[Fact] = ()
    skipped: Sheet | None = None


def view(result: Result, prefix: str, cards: int, drawn: bool, fail_on: str | None) -> ModelView:
    """Look at a model: so many ``cards`` of layers at most, and the graph if it is to be ``drawn``."""
    headline, path = headline_of(result, fail_on), path_of(result)
    key, summary = f"{prefix}model", f"{path}: {headline.words}"
    if isinstance(result, FailedModel):
        return ModelView(prefix, key, path, headline, summary)
    shown = _carded(result, cards)
    rows = [f"{prefix}r{i}" for i in range(len(result.layers))]
    links = [f"#{prefix}l{i}" if i in shown else "" for i in range(len(rows))]
    aims = {
        layer.name: link or f"#{row}" for layer, link, row in zip(result.layers, links, rows, strict=True)
    }
    named = _by_layer(result)
    return ModelView(
        prefix,
        key,
        path,
        headline,
        summary,
        tiles=list(_tiles(result)),
        facts=list(_facts(result)),
        findings=list(_groups(result, aims)),
        checked=facts.unchecked([result]),
        steps=facts.next_steps([result]),
        graph=_graph(result, f"{prefix}table") if drawn else None,
        table=layer_table(result, rows, links, named) if result.layers else None,
        notes=_notes(result),
        layers=[
            card(layer, link.removeprefix("#"), named.get(layer.name, ()))
            for layer, link in zip(result.layers, links, strict=True)
            if link
        ],
        left_out=_left_out(result, len(shown)),
        covered=list(_covered(result)),
        skipped=_skipped(result.coverage),
    )


def _graph(report: Report, table: str) -> Markup | None:
    """Draw the graph of the layers, which are coloured by figures of their table."""
    if report.graph is None or not report.graph.nodes:
        return None
    values = {layer.name: layer.neural_persistence.normalized for layer in report.layers}
    return graph_figure(report.graph, values, table, COLOURED)


def _carded(report: Report, most: int) -> set[int]:
    """Choose the layers whose details are drawn: those with findings or remarks, then in their order."""
    if not any(layer.details or layer.statistics for layer in report.layers):
        return set()
    named = {finding.layer for finding in report.findings}
    odd = [i for i, layer in enumerate(report.layers) if layer.name in named or facts.remark(layer)]
    return set(list(dict.fromkeys([*odd, *range(len(report.layers))]))[:most])


def _left_out(report: Report, shown: int) -> str:
    if not shown or shown == len(report.layers):
        return ""
    return (
        f"{shown:,} of {counted(len(report.layers), 'layer')} have their details here, those with findings "
        f"first; onnxtop report {facts.in_command(report)} --layers NAME -f html shows those of others."
    )


def _by_layer(report: Report) -> Mapping[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in facts.by_severity(report.findings):
        if finding.layer is not None:
            found.setdefault(finding.layer, []).append(finding)
    return found


def _tiles(report: Report) -> Iterator[Fact]:
    coverage, network = report.coverage, report.network
    counts = counts_of(report)
    problems = severities(report.findings)
    yield Fact("layers", f"{len(report.layers):,}", "layer")
    yield Fact("parameters", humanised(report.model.parameters), "parameters")
    share = facts.share_analysed(coverage) or "none"
    yield Fact("analysed", share, "coverage.fraction", more=facts.encodings(report))
    if report.settings.topology:
        mean = network.neural_persistence.mean_normalized
        yield Fact("neural persistence", figure(mean), "np.mean_normalized", more="mean of the layers")
        deep = network.deep_graph_persistence
        yield Fact("deep graph persistence", figure(deep.normalized), "dgp", more=deep.reason or "")
    yield Fact("findings", problems or "none", "finding", more=f"{counts.rules_run} rules ran")


def _facts(report: Report) -> Iterator[Fact]:
    for side, port in facts.ports(report):
        yield Fact(side, port, "input", is_name=True)
    yield Fact("made by", ", ".join(facts.made_by(report)), "producer")
    for line in facts.loss(report):
        yield Fact("on data", line, "on data")


def _groups(report: Report, aims: Mapping[str, str]) -> Iterator[FindingGroup]:
    """Gather the findings by rule and severity, the worst first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in facts.by_severity(report.findings):
        groups.setdefault((finding.severity, finding.rule), []).append(finding)
    for (severity, code), members in groups.items():
        rule = find_rule(code)
        texts = (
            {"what": rule.what, "why": rule.why, "how": rule.how, "false alarms": rule.false_alarms}
            if rule
            else {}
        )
        entries = [
            GroupedFinding(each.layer or "", each.message, aims.get(each.layer or "", ""), each.known)
            for each in members
        ]
        yield FindingGroup(severity, code, rule.name.replace("-", " ") if rule else code, entries, texts)


def _notes(report: Report) -> list[str]:
    if not report.settings.topology:
        return []
    told = [*facts.whole(report)]
    if reason := report.network.neural_persistence.reason:
        told.append(reason)
    return told


def _covered(report: Report) -> Iterator[Fact]:
    coverage, deep = report.coverage, report.network.deep_graph_persistence
    yield Fact("weights", facts.analysed(coverage), "coverage.fraction")
    if apart := facts.apart(coverage):
        yield Fact("apart from weights", ", ".join(apart), "other constants")
    if report.settings.topology:
        yield Fact("settings", ", ".join(facts.settings(report)), "settings")
        yield Fact("deep graph persistence", [*facts.deep_graph(report), *deep.notes], "dgp")
    if report.rules.run:
        yield Fact("rules run", " ".join(report.rules.run), "rules not run")
    yield Fact("file", ", ".join(facts.size(report)), "model")
    if report.model.sha256 is not None:
        yield Fact("SHA-256", report.model.sha256, "sha256", is_name=True)
    if report.model.complaint:
        yield Fact("complaint", report.model.complaint)
    measures = [f"{name.replace('_', ' ')} {version}" for name, version in report.tool.algorithms.items()]
    yield Fact("tool", [f"{report.tool.name} {report.tool.version}", ", ".join(measures)], "tool")


def _skipped(coverage: Coverage) -> Sheet | None:
    rows = [
        SheetRow(
            (Cell(each.op_type), Cell(each.reason), Cell(f"{each.tensors:,}"), Cell(f"{each.parameters:,}"))
        )
        for each in facts.skipped_groups(coverage.skipped)
    ]
    return Sheet("weights that were not analysed", _SKIPPED, rows) if rows else None
