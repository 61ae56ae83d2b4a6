"""What the page tells of single layers: a card each, with pictures, figures and single weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from onnxtop.render.html import charts
from onnxtop.render.html.parts import Cell, Fact, Heading, SheetRow
from onnxtop.render.report import facts
from onnxtop.render.text import TIMES, counted, figure
from onnxtop.results.details import LayerDetails, StrongWeight
from onnxtop.results.report import Finding, LayerReport

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
