"""What the page says of one model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from onnxtop.render.html.graph import graph_figure
from onnxtop.render.html.parts import Cell, Entry, Fact, FindingGroup, Heading, SheetRow
from onnxtop.render.report import facts
from onnxtop.render.report.html_layers import LayerCard, card, columns_of, foot, headings, row
from onnxtop.render.text import counted, figure, humanised
from onnxtop.results.function import Port
from onnxtop.results.headline import Headline, headline_of
from onnxtop.results.outcome import FailedModel, Result, counts_of, path_of
from onnxtop.results.report import Finding, Report
from onnxtop.rules.catalogue import find_rule

SKIPPED = (
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
    steps: Sequence[str] = ()
    graph: Markup | None = None
    caption: str = ""
    headings: Sequence[Heading] = ()
    rows: Sequence[SheetRow] = ()
    foot: Sequence[SheetRow] = ()
    notes: Sequence[str] = ()
    layers: Sequence[LayerCard] = ()
    left_out: str = ""
    covered: Sequence[Fact] = ()
    skipped: Sequence[SheetRow] = ()


def view(result: Result, prefix: str, cards: int, drawn: bool, fail_on: str | None) -> ModelView:
    """Look at a model: so many ``cards`` of layers at most, and the graph if it is to be ``drawn``."""
    headline, path = headline_of(result, fail_on), path_of(result)
    key, summary = f"{prefix}model", f"{path}: {headline.words}"
    if isinstance(result, FailedModel):
        return ModelView(prefix, key, path, headline, summary)
    shown = _carded(result, cards)
    keys = {layer.name: f"{prefix}{'l' if i in shown else 'r'}{i}" for i, layer in enumerate(result.layers)}
    named, columns = _by_layer(result), columns_of(result)
    return ModelView(
        prefix,
        key,
        path,
        headline,
        summary,
        tiles=list(_tiles(result)),
        facts=list(_facts(result)),
        findings=list(_groups(result, keys)),
        checked=facts.unchecked([result]),
        steps=(),
        graph=_graph(result, f"{prefix}table") if drawn else None,
        caption=facts.rows_note(result, result.layers) or counted(len(result.layers), "layer"),
        headings=headings(columns),
        rows=[
            row(
                columns,
                layer,
                f"{prefix}r{i}",
                f"#{keys[layer.name]}" if i in shown else "",
                named.get(layer.name, ()),
            )
            for i, layer in enumerate(result.layers)
        ],
        foot=foot(columns, result),
        notes=_notes(result),
        layers=[
            card(layer, f"{prefix}l{i}", named.get(layer.name, ()))
            for i, layer in enumerate(result.layers)
            if i in shown
        ],
        left_out=_left_out(result, len(shown)),
        covered=list(_covered(result)),
        skipped=[_skipped(group) for group in facts.skipped_groups(result.coverage.skipped)],
    )


def _graph(report: Report, table: str) -> Markup | None:
    """Draw the graph of the layers, which are coloured by figures of their table."""
    if report.graph is None or not report.graph.nodes:
        return None
    values = {layer.name: layer.neural_persistence.normalized for layer in report.layers}
    return graph_figure(report.graph, values, table, ("NP", "z", "bars"))


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
        "first; onnxtop report MODEL --layers NAME -f html shows those of others."
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
    problems = facts.severities(report.findings)
    yield Fact("layers", f"{len(report.layers):,}", "layer")
    yield Fact("parameters", humanised(report.model.parameters), "parameters")
    yield Fact(
        "weights read", _share(coverage.parameters_analysed, coverage.parameters_total), "coverage.fraction"
    )
    if report.settings.topology:
        mean = network.neural_persistence.mean_normalized
        yield Fact("neural persistence", figure(mean), "np/mean", more="mean of the layers, from 0 to 1")
        deep = network.deep_graph_persistence
        yield Fact("deep graph persistence", figure(deep.normalized), "dgp", more=deep.reason or "")
    yield Fact("findings", problems or "none", "finding", more=f"{counts.rules_run} rules ran")


def _share(part: int, whole: int) -> str:
    """Write a share in percent; never rounds up to 100 %."""
    return f"{part * 1000 // whole / 10:g} %" if whole else "none"


def _facts(report: Report) -> Iterator[Fact]:
    function = report.model.function
    if function is not None:
        yield Fact("inputs", [_port(port) for port in function.inputs], "input", is_name=True)
        yield Fact("outputs", [_port(port) for port in function.outputs], "output", is_name=True)
    yield Fact("made by", ", ".join(facts.made_by(report)), "producer")
    for line in facts.loss(report):
        yield Fact("on data", line, "on data")


def _port(port: Port) -> str:
    shape = "" if port.shape is None else f" [{', '.join(str(size) or '?' for size in port.shape)}]"
    return f"{port.name}: {port.type.lower()}{shape}"


def _groups(report: Report, keys: Mapping[str, str]) -> Iterator[FindingGroup]:
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
            Entry(each.layer or "", each.message, _link(keys.get(each.layer or "")), each.known)
            for each in members
        ]
        yield FindingGroup(severity, code, rule.name.replace("-", " ") if rule else code, entries, texts)


def _link(key: str | None) -> str:
    return "" if key is None else f"#{key}"


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
        yield Fact("rules that ran", " ".join(report.rules.run), "rules not run")
    yield Fact("file", ", ".join(facts.size(report)), "model")
    yield Fact("SHA-256", report.model.sha256, "sha256", is_name=True)
    if report.model.complaint:
        yield Fact("ONNX's checker", report.model.complaint)
    measures = [f"{name.replace('_', ' ')} {version}" for name, version in report.tool.algorithms.items()]
    yield Fact("tool", [f"{report.tool.name} {report.tool.version}", ", ".join(measures)], "tool")


def _skipped(group: facts.SkippedGroup) -> SheetRow:
    cells = (
        Cell(group.op_type),
        Cell(group.reason),
        Cell(f"{group.tensors:,}"),
        Cell(f"{group.parameters:,}"),
    )
    return SheetRow(cells)
