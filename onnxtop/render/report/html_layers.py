"""Layers on the page: a row of the table and a card with pictures each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from onnxtop.render.html import charts
from onnxtop.render.html.parts import Cell, Fact, Heading, SheetRow
from onnxtop.render.report import facts
from onnxtop.render.text import TIMES, counted, figure, humanised
from onnxtop.results.details import LayerDetails, StrongWeight
from onnxtop.results.report import Finding, LayerReport, Report

_POINTS = 12
"""Points of a picture in the table."""

_WEIGHTS = (
    Heading("from", "strongest weights"),
    Heading("to", "strongest weights"),
    Heading("weight", "weights", numeric=True),
    Heading("bars", "bars", numeric=True),
)


@dataclass(frozen=True)
class Sheet:
    """A small table of a card."""

    key: str
    caption: str
    headings: Sequence[Heading]
    rows: Sequence[SheetRow]


@dataclass(frozen=True)
class LayerCard:
    """What is told of a layer where there is room."""

    key: str
    name: str
    about: str
    findings: Sequence[Finding]
    facts: Sequence[Fact]
    pictures: Sequence[tuple[str, Markup]]
    tables: Sequence[Sheet]


@dataclass(frozen=True)
class Columns:
    """Which columns the layers of a report fill."""

    measured: bool
    sortedness: bool
    bars: bool
    details: bool
    statistics: bool


def columns_of(report: Report) -> Columns:
    """Look which columns there are."""
    layers = report.layers
    return Columns(
        report.settings.topology,
        any(layer.sortedness is not None for layer in layers),
        facts.limited_bars(layers) is not None,
        any(layer.details is not None for layer in layers),
        any(layer.statistics is not None for layer in layers),
    )


def headings(columns: Columns) -> list[Heading]:
    """Return the headings of the table of layers."""
    return [
        Heading("layer", "layer"),
        Heading("finding", "severity", choose=True),
        Heading("op", "op", choose=True),
        Heading(f"in {TIMES} out", "in x out", numeric=True),
        Heading("weights", "weights", numeric=True),
        *([Heading("NP", "np", numeric=True)] if columns.measured else []),
        *([Heading("bars, chance", "null band")] if columns.details else []),
        *(
            [Heading("z", "z", numeric=True), Heading("excess", "excess", numeric=True)]
            if columns.measured
            else []
        ),
        *([Heading("sortedness", "sortedness", numeric=True)] if columns.sortedness else []),
        *([Heading("bars", "bars", numeric=True)] if columns.bars else []),
        *(
            [
                Heading(title, "statistics", numeric=True)
                for title in ("minimum", "maximum", "zeros", "rank", "dead units")
            ]
            if columns.statistics
            else []
        ),
        Heading("encoding", "encoding", choose=True),
        Heading("note", "note"),
    ]


def row(columns: Columns, layer: LayerReport, key: str, link: str, findings: Sequence[Finding]) -> SheetRow:
    """Return the row of a layer."""
    persistence = layer.neural_persistence
    value = persistence.normalized
    role = facts.limited_bars([layer])
    cells = [
        Cell(layer.name, link=link, is_name=True),
        Cell(findings[0].severity if findings else ""),
        Cell(layer.op_type),
        Cell(f"{layer.n_in} {TIMES} {layer.n_out}", float(layer.n_in * layer.n_out)),
        Cell(humanised(layer.parameters), float(layer.parameters)),
    ]
    if columns.measured:
        cells.append(Cell(figure(value), picture=charts.bar(value)))
    if columns.details:
        cells.append(Cell("", picture=_spark(layer.details)))
    if columns.measured:
        cells += [Cell(facts.z_told(persistence)), Cell(facts.excess_told(persistence))]
    if columns.sortedness:
        cells.append(Cell(figure(layer.sortedness, "")))
    if columns.bars:
        cells.append(Cell(facts.bars_told(role)))
    if columns.statistics:
        cells += _statistics(layer)
    return SheetRow([*cells, Cell(layer.encoding), Cell(facts.remark(layer))], key)


def _statistics(layer: LayerReport) -> list[Cell]:
    held = layer.statistics
    if held is None:
        return [Cell("")] * 5
    dead = held.dead_inputs.count + held.dead_outputs.count
    rank = "" if held.rank is None else f"{held.rank}"
    return [
        *(Cell(figure(value)) for value in (held.minimum, held.maximum)),
        Cell(f"{held.zeros:,}"),
        Cell(rank),
        Cell(f"{dead:,}"),
    ]


def foot(columns: Columns, report: Report) -> list[SheetRow]:
    """Return the row of the network."""
    if not columns.measured:
        return []
    network = report.network.neural_persistence.mean_normalized
    blank = Cell("")
    return [
        SheetRow(
            [
                *(Cell("network mean"), blank, blank, blank),
                Cell(humanised(report.coverage.parameters_analysed)),
                Cell(figure(network), picture=charts.bar(network)),
                *([blank] if columns.details else []),
                *(blank, blank),
                *([blank] if columns.sortedness else []),
                *([Cell(facts.bars_told(facts.n_bars(report)))] if columns.bars else []),
                *([blank] * 5 if columns.statistics else []),
                *(blank, blank),
            ]
        )
    ]


def _spark(details: LayerDetails | None) -> Markup:
    if details is None:
        return Markup()
    step = max(1, -(-len(details.bars) // _POINTS))
    return charts.spark(
        details.bars[::step], (details.null_low or ())[::step], (details.null_high or ())[::step]
    )


def card(layer: LayerReport, key: str, findings: Sequence[Finding]) -> LayerCard:
    """Return the card of a layer."""
    details = layer.details
    return LayerCard(
        key,
        layer.name,
        _about(layer),
        findings,
        list(_facts(layer)),
        list(_pictures(layer)),
        list(_tables(details, key)) if details else (),
    )


def _about(layer: LayerReport) -> str:
    persistence = layer.neural_persistence
    np = f"NP {figure(persistence.normalized)}" if persistence.normalized is not None else ""
    z = f"z {facts.z_told(persistence)}" if persistence.z is not None else ""
    phrases = (layer.op_type, f"{layer.n_in} {TIMES} {layer.n_out}", np, z, facts.remark(layer))
    return ", ".join(filter(None, phrases))


def _pictures(layer: LayerReport) -> Iterator[tuple[str, Markup]]:
    details, name = layer.details, layer.name
    if details is None:
        return
    band = details.null_low is not None
    yield (
        "Bars, longest first; grey: by chance" if band else "Bars, longest first",
        charts.curve(
            details.bars,
            details.null_low or (),
            details.null_high or (),
            at=details.ranks,
            title=f"Bars of {name}: {counted(details.n_bars, 'bar')}",
            across="rank",
            up="length",
        ),
    )
    deaths = [1.0 - length for length in details.bars]
    yield "Persistence diagram", charts.diagram(deaths, title=f"Persistence diagram of {name}")
    if (held := details.histogram) is not None:
        title = f"Weights of {name}, from {held.low:.4g} to {held.high:.4g}"
        yield (
            "Weights",
            charts.histogram(held.low, held.high, held.counts, title=title),
        )


def _facts(layer: LayerReport) -> Iterator[Fact]:
    persistence, held, role = layer.neural_persistence, layer.statistics, layer.deep_graph_persistence
    if (
        (draws := persistence.draws)
        and persistence.null_mean is not None
        and persistence.null_std is not None
    ):
        chance = f"{persistence.null_mean:.4f} \N{PLUS-MINUS SIGN} {persistence.null_std:.4f}"
        yield Fact("NP by chance", chance, "null model", more=f"{draws} draws")
        yield Fact("excess", facts.excess_told(persistence), "excess")
    if persistence.total is not None:
        yield Fact("total", figure(persistence.total), "total")
    if layer.variance is not None:
        yield Fact("variance", f"{layer.variance:.4g}", "variance")
    if held is not None:
        yield Fact(
            "weights from",
            f"{held.minimum:.4g} to {held.maximum:.4g}",
            "statistics",
            more=f"rms {held.rms:.4g}",
        )
        yield Fact("zeros", f"{held.zeros:,}", "statistics")
        if held.rank is not None:
            yield Fact("rank", f"{held.rank}", "statistics", more=f"of at most {held.rank_limit}")
        yield from _units(layer)
        if held.codes is not None:
            codes = held.codes
            yield Fact("codes", f"{codes.distinct:,} of {codes.bits} bits", "codes")
    if (structure := layer.exchangeability) is not None:
        yield Fact("structure", _structure(layer), "exchangeability", more=structure.reason or "")
    if role is not None:
        yield Fact("bars of the network", f"{role.bars:,}", "bars")
        for label, ends in (("alpha", role.alpha), ("beta", role.beta)):
            if ends:
                yield Fact(label, f"{ends[0]:.4g} to {ends[-1]:.4g}", "alpha")
    yield Fact(
        "weight",
        layer.weight,
        "weights",
        more=f"{layer.encoding}, {f' {TIMES} '.join(map(str, layer.shape))}",
        is_name=True,
    )
    if layer.uses != (layer.name,):
        yield Fact("uses", layer.uses, "uses", is_name=True)
    if layer.source:
        yield Fact("source", layer.source, "source", is_name=True)


def _units(layer: LayerReport) -> Iterator[Fact]:
    held = layer.statistics
    assert held is not None
    for label, inputs, outputs in (
        ("dead units", held.dead_inputs, held.dead_outputs),
        ("duplicate units", held.duplicate_inputs, held.duplicate_outputs),
    ):
        if inputs.count or outputs.count:
            told = f"{counted(inputs.count, 'input')}, {counted(outputs.count, 'output')}"
            yield Fact(label, told, "statistics")


def _structure(layer: LayerReport) -> str:
    found = layer.exchangeability
    assert found is not None
    if found.exchangeable is None:
        return "not judged"
    if found.exchangeable:
        fits = f": as {found.initialiser} leaves it" if found.fits else ""
        return f"none, looks untrained{fits}"
    return ", ".join(found.structured) or "found"


def _tables(details: LayerDetails, key: str) -> Iterator[Sheet]:
    for name, caption, weights in (
        ("strong", "Strongest weights", details.strongest),
        ("narrow", "Bottlenecks: weights at which bars of the network end", details.bottlenecks),
    ):
        if weights:
            yield Sheet(f"{key}-{name}", caption, _WEIGHTS, [_weight(each) for each in weights])


def _weight(weight: StrongWeight) -> SheetRow:
    cells = (
        Cell(weight.source, is_name=True),
        Cell(weight.target, is_name=True),
        Cell(figure(weight.value)),
        Cell(facts.bars_told(weight.bars or None)),
    )
    return SheetRow(cells)
