"""Several models in one table of the terminal, the worst first."""

from collections.abc import Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.page import TONES, Page
from onnxtop.render.report.facts import share_analysed
from onnxtop.render.table import Column, Layout, Row, table
from onnxtop.render.text import figure, humanised
from onnxtop.results.headline import headline_of, headline_of_run, worst_first
from onnxtop.results.outcome import FailedModel, Result, path_of
from onnxtop.results.report import Report
from onnxtop.results.words import counted

_ROWS = 40
"""So many models have a row; ``all_rows`` shows all."""

_HEAD = 9
"""Lines of a page that grows, beside its rows."""

_COLUMNS = {
    "tone": Column("", "left"),
    "model": Column("model", "left"),
    "layers": Column("layers"),
    "weights": Column("weights"),
    "read": Column("analysed"),
    "persistence": Column("NP"),
    "deep": Column("DGP"),
    "words": Column("verdict", "left", words=True),
}

_LAYOUT = Layout(
    lesser=("read", "weights", "deep", "layers", "persistence"),
    enough={"model": 24, "words": 32},
    shrink=(("words", 24), ("model", 24), ("words", 16), ("model", 12), ("words", 8)),
    names="model",
)


class AllModels(Page):
    """All models of a run; a page that grows has as many rows as its terminal has room for."""

    def __init__(self, options: RenderOptions) -> None:
        super().__init__(options)
        self.fail_on = options.fail_on
        self.rows: int | None = None if self.all_rows else _ROWS
        if options.height is not None:
            self.rows = max(options.height - _HEAD, 3)

    def draw(self, results: Sequence[Result]) -> str:
        """Return the finished page."""
        self.headline(headline_of_run(results, self.fail_on))
        self.line()
        shown = worst_first(results, self.fail_on)[: self.rows]
        self.lines(table(_COLUMNS, [[self._row(each) for each in shown]], _LAYOUT, self.signs, self.width))
        if more := len(results) - len(shown):
            self.paragraph(f"and {counted(more, 'more model')}; --all shows every one", "dim")
        return self.finished()

    def _row(self, result: Result) -> Row:
        headline = headline_of(result, self.fail_on)
        cells = {
            "tone": self.signs.tones[headline.tone],
            "model": self.signs.shown(path_of(result)),
            "words": self.signs.shown(headline.words),
        }
        figures = {} if isinstance(result, FailedModel) else _figures(result)
        return Row({**cells, **figures}, styles={"tone": TONES[headline.tone]})


def _figures(report: Report) -> dict[str, str]:
    network = report.network
    mean, deep = network.neural_persistence.mean_normalized, network.deep_graph_persistence.normalized
    return {
        "layers": f"{len(report.layers):,}",
        "weights": humanised(report.coverage.parameters_total),
        "read": share_analysed(report.coverage),
        "persistence": "" if mean is None else figure(mean),
        "deep": "" if deep is None else figure(deep),
    }
