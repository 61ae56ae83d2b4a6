"""A comparison of two models on one page of the terminal."""

from collections.abc import Sequence

from rich.text import Text

from onnxtop.comparison.judgement import relative
from onnxtop.render import RenderOptions
from onnxtop.render.cells import Signs, without_common_ends
from onnxtop.render.diff.facts import answer, chosen, percent, remarks, tables
from onnxtop.render.report.terminal import Page
from onnxtop.render.text import counted
from onnxtop.results.diff import Diff, Figure, LayerDiff

__all__ = ["render"]

_TITLES = ("", "layer", "change", "SNR dB", "cosine", "NP", "", "tree kept", "distance")
_WIDE_ONLY = (4,)
"""Columns that a page narrower than `_WIDE` leaves out."""
_WIDE = 92
_NAME = 1
_LABEL = 24
"""Cells that a list of sentences has for the layer they are about."""
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
        self._paths(diff)
        word, style = ("CHANGED", "bold red") if diff.changed else ("SAME", "bold green")
        if not diff.changed and not all(layer.is_same for layer in diff.layers):
            word = "WITHIN TOLERANCE"
        self._line(f"{word}: {self.signs.shown(answer(diff))}", style)
        self._network(diff)
        if diff.layers:
            self._line("")
            self._table(diff, chosen(diff, self.all_rows))
        self._lists(diff)
        return self.finished()

    def _paths(self, diff: Diff) -> None:
        room = self.width - 5
        for word, model in (("old", diff.old), ("new", diff.new)):
            self._line(f"{word}  {self.signs.short(model.path, room)}", "bold")

    def _network(self, diff: Diff) -> None:
        network = diff.network
        figures = (
            f"mean NP {self._pair(network.neural_persistence)}",
            f"deep graph persistence {self._pair(network.deep_graph_persistence)}",
        )
        for figure in figures:
            self._paragraph(figure)
        old, new = (counted(count, "weight") for count in network.parameters)
        self._paragraph(old if old == new else f"{old}, now {new}")
        for note in network.notes:
            self._paragraph(note, "yellow")

    def _pair(self, figure: Figure) -> str:
        change = relative(figure)
        old, new = (self.signs.figure(value) for value in (figure.old, figure.new))
        moved = "" if not change else f" ({percent(change)} {_direction(figure)})"
        return old if old == new and not moved else f"{old}, now {new}{moved}"

    def _table(self, diff: Diff, rows: Sequence[LayerDiff]) -> None:
        lines = [_cells(row, self.signs) for row in rows]
        wide = self.width >= _WIDE
        kept = [i for i, cells in enumerate(zip(*lines, strict=True)) if any(cells)]
        kept = [i for i in kept if wide or i not in _WIDE_ONLY]
        widths = [max(len(_TITLES[i]), *(len(line[i]) for line in lines)) for i in range(len(_TITLES))]
        others = sum(widths[i] for i in kept if i != _NAME) + 2 * (len(kept) - 1)
        room = max(self.width - others, 8)
        if widths[_NAME] > room:
            names = without_common_ends([line[_NAME] for line in lines], self.signs.ellipsis)
            lines = [
                (*line[:_NAME], name, *line[_NAME + 1 :]) for line, name in zip(lines, names, strict=True)
            ]
        widths[_NAME] = min(max(len(line[_NAME]) for line in (_TITLES, *lines)), room)
        rule = tuple(self.signs.rule * widths[i] for i in range(len(_TITLES)))
        for line, style in ((_TITLES, "dim"), (rule, "dim")):
            self.console.print(self._row(line, kept, widths, style))
        for row, line in zip(rows, lines, strict=True):
            self.console.print(self._row(line, kept, widths, "bold" if row.changes else ""))
        if len(rows) < len(diff.layers):
            left = len(diff.layers) - len(rows)
            self._paragraph(f"{counted(left, 'layer')} that changed least left out; --all shows all", "dim")

    def _row(self, line: Sequence[str], kept: Sequence[int], widths: Sequence[int], style: str) -> Text:
        cells = []
        for i in kept:
            text = Text(self.signs.short(line[i], widths[i]))
            text.align("left" if i <= _NAME else "right", widths[i])
            cells.append(text)
        return Text("  ", style, no_wrap=True).join(cells)

    def _lists(self, diff: Diff) -> None:
        remarked = remarks(diff, diff.layers)
        for title, counts in (("changed", True), ("for information", False)):
            rows = [(name, told, "red" if counts else "") for name, told, does in remarked if does == counts]
            if any(len(name) > _LABEL for name, _, _ in rows):
                names = without_common_ends([name for name, _, _ in rows], self.signs.ellipsis)
                rows = [(name, told, style) for name, (_, told, style) in zip(names, rows, strict=True)]
            if rows:
                self._line("")
                self._line(title, "bold red" if counts else "bold")
                self._listed(rows)
        if alone := tables(diff):
            self._line("")
            self._line("only in one model", "bold red")
            self._listed([(word, f"{name}: {what}", "red") for word, name, what in alone])


def _direction(figure: Figure) -> str:
    return "more" if (figure.new or 0.0) > (figure.old or 0.0) else "less"


def _cells(layer: LayerDiff, signs: Signs) -> tuple[str, ...]:
    change, figure = layer.weights, layer.neural_persistence
    moved = relative(figure)
    return (
        "!" if layer.changes else "=" if layer.is_same else "~",
        signs.shown(layer.name),
        percent(change.relative, signs.undefined),
        "" if change.snr_db is None else f"{change.snr_db:.1f}",
        "" if change.cosine is None else f"{change.cosine:.4f}",
        signs.figure(figure.new),
        "" if moved is None or moved < _SHOWN else f"{_SIGNS[_direction(figure)]}{percent(moved)}",
        percent(layer.tree_kept, signs.undefined),
        "" if layer.bottleneck is None else f"{layer.bottleneck:.4f}",
    )
