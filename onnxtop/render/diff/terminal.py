"""A comparison of two models on one page of the terminal."""

from onnxtop.comparison.judgement import relative
from onnxtop.render import RenderOptions
from onnxtop.render.cells import Signs
from onnxtop.render.diff.facts import (
    chosen,
    counting,
    direction,
    grounds,
    headline,
    percent,
    remarks,
    run,
    tables,
    tolerated,
)
from onnxtop.render.page import Page
from onnxtop.render.table import Column, Layout, Row, table
from onnxtop.results.diff import Diff, Figure, LayerDiff
from onnxtop.results.words import counted

_COLUMNS = {
    "mark": Column("", "left"),
    "layer": Column("layer", "left"),
    "change": Column("change"),
    "snr": Column("SNR dB"),
    "cosine": Column("cosine", from_width=92),
    "persistence": Column("NP"),
    "moved": Column(""),
    "kept": Column("tree kept"),
    "distance": Column("distance"),
}

_LAYOUT = Layout(
    lesser=("distance", "kept", "snr", "moved"), enough={"layer": 8}, shrink=(("layer", 8),), names="layer"
)

_SHOWN = 0.0005
"""A relative change of NP below this is not shown in the table."""
_SIGNS = {"more": "+", "less": "-"}


def render(diff: Diff, options: RenderOptions) -> str:
    """Draw the answer, the figures of the network, the table, and what is to be said of single layers."""
    return _DiffPage(options).draw_diff(diff)


class _DiffPage(Page):
    """Both models on one page."""

    def draw_diff(self, diff: Diff) -> str:
        """Return the finished page."""
        style = "bold red" if diff.changed else "bold green"
        self.line(f"{diff.whole.verdict}: {self.signs.shown(headline(diff))}", style)
        self._paths(diff)
        for ground in grounds(diff):
            self.paragraph(ground)
        self._run(diff)
        self._network(diff)
        self._whole(diff)
        if diff.layers:
            self.line()
            self._table(diff)
        self._lists(diff)
        return self.finished()

    def _paths(self, diff: Diff) -> None:
        room = self.width - 7
        for word, model in (("old", diff.old), ("new", diff.new)):
            self.line(f"  {word}  {self.signs.short(model.path, room)}", "bold")

    def _whole(self, diff: Diff) -> None:
        for title, found, style in (
            ("what changed", counting(diff), "red"),
            ("within the tolerance" if not diff.changed else "beside that", tolerated(diff), ""),
        ):
            if found:
                self.line()
                self.line(title, f"bold {style}".strip())
                self.listed([(kind, what, style) for kind, what in found])

    def _run(self, diff: Diff) -> None:
        differs = diff.run is not None and (diff.run.differs or diff.run.failure is not None)
        for sentence in run(diff):
            self.paragraph(sentence, "red" if differs else "")

    def _network(self, diff: Diff) -> None:
        network = diff.network
        if not diff.layers:
            return
        figures = (
            f"mean NP {self._pair(network.neural_persistence)}",
            f"deep graph persistence {self._pair(network.deep_graph_persistence)}",
        )
        for figure in figures:
            self.paragraph(figure)
        old, new = (counted(count, "weight") for count in network.parameters)
        self.paragraph(old if old == new else f"{old}, now {new}")
        for note in network.notes:
            self.paragraph(note, "yellow")

    def _pair(self, figure: Figure) -> str:
        change = relative(figure)
        old, new = (self.signs.figure(value) for value in (figure.old, figure.new))
        moved = "" if not change else f" ({percent(change)} {direction(figure)})"
        return old if old == new and not moved else f"{old}, now {new}{moved}"

    def _table(self, diff: Diff) -> None:
        shown = chosen(diff, self.all_rows)
        rows = [Row(_cells(layer, self.signs), "bold" if layer.changes else "") for layer in shown]
        self.lines(table(_COLUMNS, [rows], _LAYOUT, self.signs, self.width))
        if left_out := len(diff.layers) - len(shown):
            told = counted(left_out, "layer")
            self.paragraph(f"{told} that changed least left out; --all shows all", "dim")

    def _lists(self, diff: Diff) -> None:
        remarked = remarks(diff, diff.layers)
        for title, counts in (("changed", True), ("for information", False)):
            rows = [(name, told, "red" if counts else "") for name, told, does in remarked if does == counts]
            if rows:
                self.line()
                self.line(title, "bold red" if counts else "bold")
                self.listed(rows)
        if alone := tables(diff):
            self.line()
            self.line("only in one model", "bold red")
            self.listed([(word, f"{name}: {what}", "red") for word, name, what in alone])


def _cells(layer: LayerDiff, signs: Signs) -> dict[str, str]:
    change, figure = layer.weights, layer.neural_persistence
    moved = relative(figure)
    return {
        "mark": "!" if layer.changes else "=" if layer.is_same else "~",
        "layer": signs.shown(layer.name),
        "change": percent(change.relative, signs.undefined),
        "snr": "" if change.snr_db is None else f"{change.snr_db:.1f}",
        "cosine": "" if change.cosine is None else f"{change.cosine:.4f}",
        "persistence": signs.figure(figure.new),
        "moved": "" if moved is None or moved < _SHOWN else f"{_SIGNS[direction(figure)]}{percent(moved)}",
        "kept": percent(layer.tree_kept, signs.undefined),
        "distance": "" if layer.bottleneck is None else f"{layer.bottleneck:.4f}",
    }
