"""The table of layers in the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

from onnxtop.glossary import measures, report as words
from onnxtop.render.cells import BAR, Signs, scale_of
from onnxtop.render.report import columns as named
from onnxtop.render.report.facts import (
    Gap,
    bars_told,
    by_severity,
    excess_told,
    limited_bars,
    n_bars,
    remark,
    z_told,
)
from onnxtop.render.table import Column, Columns, Layout, Row, table, with_room
from onnxtop.render.text import TIMES, defined, humanised
from onnxtop.results.report import LayerReport, Report

_READ_COLUMNS = {
    "name": Column("layer", "left"),
    "op_type": Column("op", "left", words=True),
    "size": Column(f"in {TIMES} out"),
    "weights": Column("weights", from_width=50),
    "encoding": Column("encoding", "left", words=True),
    "uses": Column("uses", from_width=60),
}
"""Columns of layers that were only read."""

_COLUMNS = {
    "name": Column("layer", "left"),
    "op_type": Column("op", "left", 60, words=True),
    "encoding": Column("encoding", "left", 80, words=True),
    "size": Column(f"in {TIMES} out"),
    "weights": Column("weights", from_width=50),
    "total": Column("total", from_width=100),
    "persistence": Column("NP"),
    "bar": Column("", "left", 60, least=BAR),
    "z": Column("z", from_width=70),
    "excess": Column("excess", from_width=80),
    "sortedness": Column("sortedness"),
    "bars": Column("bars", from_width=70),
}

_NOTE = {"note": Column("", "left", style="yellow")}

_SHRINK = (
    *(("name", 40), ("name", 24), ("encoding", 8), ("op_type", 8)),
    *(("name", 16), ("size", 9), ("op_type", 4), ("name", 12), ("size", 5), ("name", 8)),
)

_LESSER = ("total", "weights", "excess")
"""Columns that go where there is little room."""

_ENOUGH = {"name": 24, "op_type": 8, "encoding": 10}

_READ_SHRINK = (("name", 24), ("op_type", 8), ("name", 16), ("encoding", 8), *_SHRINK)
"""The encoding is what one looks for in layers that were only read."""

_WIDE, _WIDE_BAR = 120, 30
"""From this width of the page on bars are as long."""

_TERMS = {"persistence": "np", "z": "z", "excess": "excess", "bars": "bars", "sortedness": "sortedness"}
"""Columns whose meaning is not plain, and what explains them."""

_TITLES = {term.name: term.title for term in (*measures.FIGURES, *words.TERMS)}

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
"""How findings are drawn, by their severity."""


class LayerTable:
    """A table of layers, and the network's row if it was measured; ``notes`` numbers the reasons beneath."""

    def __init__(
        self, report: Report, notes: Mapping[str, int], asked: Sequence[str], signs: Signs, width: int
    ) -> None:
        self.report, self.notes, self.signs, self.width = report, notes, signs, width
        self.measured = report.settings.topology
        self.bar = _WIDE_BAR if width >= _WIDE else BAR
        self.scale = scale_of(layer.neural_persistence.normalized for layer in report.layers)
        self.extra = named.asked_for(asked)
        self.columns = self._columns(asked)
        self.styles = _styles(report)

    def lines(self, rows: Sequence[LayerReport | Gap]) -> Iterator[Text]:
        """Draw the rows."""
        layers = [self._layer(row) if isinstance(row, LayerReport) else self._gap(row) for row in rows]
        parts = [layers, [self._network()]] if "persistence" in self.columns else [layers]
        layout = self._layout()
        self.columns = with_room(self.columns, [row for part in parts for row in part], layout, self.width)
        return table(self.columns, parts, layout, self.signs, self.width)

    def meanings(self) -> list[tuple[str, str]]:
        """Say what those of the columns drawn mean whose titles do not tell."""
        return [(each.title, _TITLES[_TERMS[cell]]) for cell, each in self.columns.items() if cell in _TERMS]

    def left_out(self) -> list[str]:
        """Name the columns that were asked for and for which there is no room."""
        return [name for name in self.extra if f"own {name}" not in self.columns]

    def _columns(self, asked: Sequence[str]) -> Columns:
        """Return the usual columns, or those that were asked for."""
        usual = {**(_COLUMNS if self.measured else _READ_COLUMNS)}
        if self.measured:
            usual["bar"] = Column(self.scale.title(self.bar), "left", 60, least=self.bar)
            if len({layer.encoding for layer in self.report.layers}) < 2:
                del usual["encoding"]
        shown: dict[str, Column] = {"name": usual["name"]}
        for name in asked or (named.USUAL,):
            own = Column(name, "left") if name in named.WORDS else Column(name)
            shown |= usual if name == named.USUAL else {f"own {name}": own}
        return {**shown, **_NOTE}

    def _layout(self) -> Layout:
        own = tuple(f"own {name}" for name in reversed(self.extra))
        if not self.measured:
            return Layout(("weights", "uses", *own), {"name": 16}, _READ_SHRINK, "name")
        mixed = ("op_type",) if "encoding" in self.columns else ()
        return Layout((*_LESSER, *mixed, *own), _ENOUGH, _SHRINK, "name")

    def _layer(self, layer: LayerReport) -> Row:
        signs, persistence, reason = self.signs, layer.neural_persistence, remark(layer)
        measured = defined(persistence.normalized)
        cells = {
            "name": signs.shown(layer.name),
            "op_type": signs.shown(layer.op_type),
            "encoding": signs.shown(layer.encoding),
            "size": f"{layer.n_in} {signs.times} {layer.n_out}",
            "weights": humanised(layer.parameters),
            "uses": str(len(layer.uses)),
            "total": signs.figure(persistence.total),
            "persistence": signs.figure(persistence.normalized),
            "bar": self._bar(persistence.normalized) if measured else _flag(layer),
            "z": z_told(persistence),
            "excess": excess_told(persistence),
            "sortedness": "" if layer.sortedness is None else signs.figure(layer.sortedness),
            "bars": bars_told(limited_bars([layer])),
            "note": f"[{self.notes[reason]}]" if reason else "",
            **self._own(layer),
        }
        styles = {"bar": "cyan" if measured else "red"}
        return Row(cells, styles={**styles, "name": self.styles.get(layer.name, "")})

    def _own(self, layer: LayerReport) -> dict[str, str]:
        """Return the cells of columns that were asked for."""
        if not self.extra:
            return {}
        values = named.values(layer)
        return {
            f"own {name}": self.signs.shown(named.told(values[name])) or self.signs.undefined
            for name in self.extra
        }

    def _bar(self, value: float | None) -> str:
        return self.signs.bar(value, self.scale, self.bar)

    def _gap(self, gap: Gap) -> Row:
        cells = {
            "name": f"{self.signs.gap} {gap.layers:,} more",
            "weights": humanised(gap.parameters),
            "persistence": self.signs.figure(gap.low),
            "bar": f"to {self.signs.figure(gap.high)}" if defined(gap.high) else "",
            "bars": bars_told(gap.bars),
        }
        return Row(cells, "dim", named=False)

    def _network(self) -> Row:
        network = self.report.network.neural_persistence
        cells = {
            "name": "network mean",
            "weights": humanised(self.report.coverage.parameters_analysed),
            "persistence": self.signs.figure(network.mean_normalized),
            "bar": self._bar(network.mean_normalized),
            "bars": bars_told(n_bars(self.report)),
            "note": f"[{self.notes[network.reason]}]" if network.reason else "",
        }
        return Row(cells, "bold", {"bar": "cyan"}, named=False)


def _styles(report: Report) -> dict[str, str]:
    """Return how names of layers are drawn: as the worst that was found of them, if that is no note."""
    rising = reversed(by_severity(report.findings))
    return {each.layer: STYLES[each.severity] for each in rising if each.layer and each.severity != "note"}


def _flag(layer: LayerReport) -> str:
    return "not finite" if layer.nonfinite else "undefined"
