"""A training run drawn in the terminal: the verdict, a table of checkpoints, a table of layers."""

from collections.abc import Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.page import Page
from onnxtop.render.table import Column, Layout, Row, table
from onnxtop.render.text import known
from onnxtop.render.trace.facts import (
    FIRST,
    LAST,
    LONG_TABLE,
    about,
    events,
    marks,
    percent,
    sampled,
    small,
    stopping,
)
from onnxtop.results.outcome import FailedModel
from onnxtop.results.trace import Checkpoint, Course, Step, Trace
from onnxtop.results.words import in_percent

_COLUMNS = {
    "checkpoint": Column("checkpoint", "left"),
    "np": Column("NP"),
    "bar": Column("", "left", style="cyan"),
    "dgp": Column("DGP"),
    "layers": Column("layers", "left", style="cyan"),
    "untrained": Column("untrained"),
    "moved": Column("moved"),
    "largest": Column("largest"),
    "loss": Column("loss"),
    "accuracy": Column("accuracy"),
    "note": Column("", "left"),
}
_LAYOUT = Layout(
    lesser=("layers", "largest", "untrained", "bar", "moved", "dgp"),
    enough={"checkpoint": 16, "note": 20},
    shrink=(("note", 10), ("checkpoint", 10)),
)
_BY_LAYER = {
    "layer": Column("layer", "left"),
    "from": Column("NP from"),
    "to": Column("to"),
    "np": Column("", "left", style="cyan"),
    "z": Column("z"),
    "z_course": Column("", "left", style="cyan"),
    "moved": Column("moved", "left", style="cyan"),
    "bottleneck": Column("bottleneck", "left", style="cyan"),
}
_LAYER_LAYOUT = Layout(
    lesser=("bottleneck", "z_course", "moved", "np"),
    enough={"layer": 20},
    shrink=(("layer", 12),),
    names="layer",
)
_FOOT = 8
"""Lines of a growing page beside head and rows, and the one below it, or its first stays when it goes."""
_SPARKS = 6, 24
"""Cells of a course, at least and at most: of more checkpoints some are shown, first and last among them."""
_MOST_LAYERS = 24
"""Layers that have a sign each in the row of a checkpoint."""
_LISTED = 20
"""At most so many layers are shown; ``all_rows`` shows all."""
_STYLES = {Course.DIVERGED: "bold red", Course.UNTRAINED: "bold yellow", Course.SETTLED: "bold green"}


def render(trace: Trace, options: RenderOptions) -> str:
    """Draw a run, ``options.width`` cells wide, and no less than 40."""
    return _TracePage(options).draw(trace)


class _TracePage(Page):
    """One run on one page."""

    def __init__(self, options: RenderOptions) -> None:
        super().__init__(options)
        self.height = options.height
        self.room: int | None = None

    def draw(self, trace: Trace) -> str:
        """Return the finished page; one that grows in a terminal is its head and the table's end alone."""
        incomplete = "" if trace.complete else " (incomplete)"
        course = trace.verdict.course
        self.line(self.signs.shown(trace.verdict.sentence + incomplete), _STYLES.get(course, "bold"))
        self.paragraph(self.signs.dot.join(about(trace)), "dim")
        if self.height is not None:
            self.room = max(self.height - _FOOT - self.paper.getvalue().count("\n"), 4)
        self._checkpoints(trace)
        if self.room is not None:
            self.paragraph(stopping(trace)[0])
            return self.finished()
        failed = [each for each in trace.checkpoints if isinstance(each, FailedModel)]
        self.listed([(each.path, each.message, "red") for each in failed])
        self._layers(trace.measured)
        self.line()
        for sentence in events(trace, self.all_rows):
            self.paragraph(sentence, "yellow")
        for sentence in stopping(trace):
            self.paragraph(sentence)
        for note in trace.notes:
            self.paragraph(f"note: {note}", "yellow")
        return self.finished()

    def _checkpoints(self, trace: Trace) -> None:
        steps = trace.checkpoints
        first, last = (FIRST, LAST) if self.room is None else (1, self.room - 2)
        most = LONG_TABLE if self.room is None else self.room
        cut = len(steps) > most and not (self.all_rows and self.room is None)
        shown = [*steps[:first], *steps[-last:]] if cut else steps
        rows = [self._row(trace, step) for step in shown] if trace.measured else []
        if cut:
            gap = f"{self.signs.gap} {len(steps) - first - last:,} more"
            rows.insert(first, Row({"checkpoint": gap}, "dim", named=False))
        if rows:
            self.line()
            self.lines(table(_COLUMNS, [rows], _LAYOUT, self.signs, self.width))

    def _row(self, trace: Trace, step: Step) -> Row:
        if isinstance(step, FailedModel):
            return Row(
                {"checkpoint": self.signs.short(step.path, max(self.width // 3, 40)), "note": "not read"},
                "red",
            )
        scores = step.judged_on
        layers = [layer.neural_persistence for layer in step.layers]
        return Row(
            {
                "checkpoint": self.signs.shown(step.name),
                "np": self.signs.figure(step.neural_persistence),
                "bar": self.signs.bar(step.neural_persistence),
                "dgp": self.signs.figure(step.deep_graph_persistence),
                "layers": self.signs.levels(layers, 0.0, 1.0) if len(layers) <= _MOST_LAYERS else "",
                "untrained": in_percent(step.untrained),
                "moved": small(step.moved),
                "largest": "" if step.scale is None else f"{step.scale:.3g}",
                "loss": self.signs.figure(scores.loss) if scores else "",
                "accuracy": percent(scores.accuracy, "") if scores else "",
                "note": self.signs.shown(marks(trace, step)),
            }
        )

    def _layers(self, points: Sequence[Checkpoint]) -> None:
        """Tabulate the course of each layer, if there is one."""
        if len(points) < 2:
            return
        count = len(points[-1].layers)
        shown = count if self.all_rows else min(count, _LISTED)
        rows = [self._course(points, number) for number in range(shown)]
        self.line()
        self.lines(table(_BY_LAYER, [rows], _LAYER_LAYOUT, self.signs, self.width))
        if shown < count:
            self.paragraph(f"and {count - shown:,} more; --all lists every one", "dim")

    def _course(self, points: Sequence[Checkpoint], number: int) -> Row:
        course = [point.layers[number] for point in points]
        persistence = [layer.neural_persistence for layer in course]
        z = [layer.z for layer in course]
        return Row(
            {
                "layer": self.signs.shown(course[-1].name),
                "from": self.signs.figure(persistence[0]),
                "to": self.signs.figure(persistence[-1]),
                "np": self._spark(persistence),
                "z": "" if z[-1] is None else f"{z[-1]:z.1f}",
                "z_course": self._spark(z),
                "moved": self._spark([layer.relative for layer in course], 0.0),
                "bottleneck": self._spark([layer.bottleneck for layer in course], 0.0),
            }
        )

    def _spark(self, values: Sequence[float | None], low: float | None = None) -> str:
        """Draw a course in few cells, from its least to its greatest value; empty if there is none."""
        defined = known(values)
        if not defined:
            return ""
        cells = min(max((self.drawn - 48) // 3, _SPARKS[0]), _SPARKS[1])
        return self.signs.levels(sampled(values, cells), min(defined) if low is None else low, max(defined))
