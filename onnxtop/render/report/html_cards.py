"""What the page tells of single layers: a card each, with pictures, figures and single weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxtop.render.html import charts
from onnxtop.render.html.parts import Cell, Fact, Heading, Picture, Sheet, SheetRow, full_sheet
from onnxtop.render.report import facts
from onnxtop.render.report.columns import told
from onnxtop.render.svg import told_apart
from onnxtop.render.text import TIMES, figure, visible
from onnxtop.results.details import LayerDetails, StrongWeight
from onnxtop.results.report import Finding, LayerPersistence, LayerReport
from onnxtop.results.words import counted
from onnxtop.statistics.facts import Exchangeability, LayerStatistics
from onnxtop.topology.facts import LayerRole

_WEIGHTS = (
    Heading("from", "strongest weights"),
    Heading("to", "strongest weights"),
    Heading("weight", "weights", numeric=True),
    Heading("bars", "bars", numeric=True),
)
_LONGEST = 28
"""Letters of the name of a layer in such a table."""


@dataclass(frozen=True)
class LayerCard:
    """What is told of a layer where there is room."""

    key: str
    name: str
    about: str
    findings: Sequence[Finding]
    facts: Sequence[Fact]
    pictures: Sequence[Picture]
    tables: Sequence[tuple[str, Sheet]]


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


def _pictures(layer: LayerReport) -> Iterator[Picture]:
    details, name = layer.details, layer.name
    if details is None:
        return
    bars = charts.curve(
        details.bars,
        details.null_low or (),
        details.null_high or (),
        at=details.ranks,
        title=f"Bars of {name}: {counted(details.n_bars, 'bar')}",
        across="rank",
        up="length",
    )
    chance = "" if details.null_low is None else "; grey: by chance"
    yield Picture(f"bars, longest first{chance}", bars, term="null band")
    deaths = [1.0 - length for length in details.bars]
    drawn = charts.diagram(deaths, title=f"Persistence diagram of {name}")
    yield Picture("persistence diagram", drawn, term="diagram")
    if (held := details.histogram) is not None:
        title = f"Weights of {name}, from {held.low:.4g} to {held.high:.4g}"
        drawn = charts.histogram(held.low, held.high, held.counts, title=title)
        yield Picture("histogram of the weights", drawn, term="statistics")


def _facts(layer: LayerReport) -> Iterator[Fact]:
    yield from _chance(layer.neural_persistence)
    if layer.neural_persistence.total is not None:
        yield Fact("total", figure(layer.neural_persistence.total), "total")
    if layer.variance is not None:
        yield Fact("variance", f"{layer.variance:.4g}", "variance")
    if layer.statistics is not None:
        yield from _values(layer.statistics)
    if layer.exchangeability is not None:
        why = layer.exchangeability.reason or ""
        yield Fact("structure", _structure(layer.exchangeability), "exchangeability", more=why)
    if layer.deep_graph_persistence is not None:
        yield from _role(layer.deep_graph_persistence)
    yield from _stored(layer)


def _chance(persistence: LayerPersistence) -> Iterator[Fact]:
    mean, spread = persistence.null_mean, persistence.null_std
    if mean is not None and spread is not None:
        chance = f"{mean:.4f} \N{PLUS-MINUS SIGN} {spread:.4f}"
        yield Fact("NP by chance", chance, "null model")
        yield Fact("excess", facts.excess_told(persistence), "excess")


def _values(held: LayerStatistics) -> Iterator[Fact]:
    """Tell what the weights of a layer are like."""
    ends = f"{held.minimum:.4g} to {held.maximum:.4g}"
    yield Fact("weights from", ends, "statistics", more=f"rms {held.rms:.4g}")
    yield Fact("zeros", f"{held.zeros:,}", "statistics")
    if held.rank is not None:
        yield _rank(held)
    for label, inputs, outputs in (
        ("dead units", held.dead_inputs, held.dead_outputs),
        ("duplicate units", held.duplicate_inputs, held.duplicate_outputs),
    ):
        if inputs.count or outputs.count:
            told = f"{counted(inputs.count, 'input')}, {counted(outputs.count, 'output')}"
            yield Fact(label, told, "statistics")
    if held.codes is not None:
        yield Fact("codes", f"{held.codes.distinct:,} of {held.codes.bits} bits", "codes")


def _rank(held: LayerStatistics) -> Fact:
    """Tell the rank of a layer, or how high it is at least, and the highest that its shape allows.

    It is only looked for up to a limit, and among units that have a weight.
    """
    live = min(held.n_in - held.dead_inputs.count, held.n_out - held.dead_outputs.count)
    least = "at least " if held.rank == held.rank_limit != live else ""
    return Fact("rank", f"{least}{held.rank}", "statistics", more=f"of at most {min(held.n_in, held.n_out)}")


def _structure(seen: Exchangeability) -> str:
    if seen.exchangeable is None:
        return "not judged"
    if seen.exchangeable:
        return "none: as a start leaves it" + (f", by {seen.initialiser}" if seen.fits else "")
    return ", ".join(seen.structured) or "there is some"


def _role(role: LayerRole) -> Iterator[Fact]:
    yield Fact("bars of the network", f"{role.bars:,}", "bars")
    for label, ends in (("alpha", role.alpha), ("beta", role.beta)):
        if ends:
            yield Fact(label, f"{ends[0]:.4g} to {ends[-1]:.4g}", "alpha")


def _stored(layer: LayerReport) -> Iterator[Fact]:
    shape = f" {TIMES} ".join(map(str, layer.shape))
    yield Fact("weight", layer.weight, "weights", more=f"{layer.encoding}, {shape}", is_name=True)
    if layer.uses != (layer.name,):
        yield Fact("uses", layer.uses, "uses", is_name=True)
    if layer.source:
        yield Fact("source", layer.source, "source", is_name=True)


def _tables(details: LayerDetails, key: str) -> Iterator[tuple[str, Sheet]]:
    for name, caption, weights in (
        ("strong", "strongest weights", details.strongest),
        ("narrow", "bottlenecks", details.bottlenecks),
    ):
        if weights:
            rows = list(_weights(weights))
            yield f"{key}-{name}", full_sheet(caption, _WEIGHTS, rows)


def _weights(weights: Sequence[StrongWeight]) -> Iterator[SheetRow]:
    names = _neurons([name for each in weights for name in (each.source, each.target)])
    for weight in weights:
        yield SheetRow(
            (
                names[weight.source],
                names[weight.target],
                Cell(told(weight.value)),
                Cell(facts.bars_told(weight.bars or None)),
            )
        )


def _neurons(names: Sequence[str]) -> Mapping[str, Cell]:
    """Return the cells of neurons: a long name of a layer is shortened, the number behind it is not."""
    split = {name: name.rpartition("[") for name in names}
    layers = list(dict.fromkeys(layer for layer, _, _ in split.values()))
    short = dict(zip(layers, told_apart(layers, _LONGEST), strict=True))
    shown = {name: f"{short[layer]}{bracket}{rest}" for name, (layer, bracket, rest) in split.items()}
    return {
        name: Cell(text, is_name=True, whole="" if text == visible(name) else name)
        for name, text in shown.items()
    }
