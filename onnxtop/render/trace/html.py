"""A training run as a page: how it went, its curves, what happened on the way, every checkpoint and layer."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from markupsafe import Markup

from onnxtop.render import RenderOptions
from onnxtop.render.html.charts import bar, lines, spark
from onnxtop.render.html.page import page
from onnxtop.render.html.parts import Cell, Fact, Heading, Picture, SheetRow, full_sheet
from onnxtop.render.text import defined, figure, known
from onnxtop.render.trace.facts import (
    about,
    events,
    marks,
    percent,
    sampled,
    small,
    stopping,
    verdict,
)
from onnxtop.results.outcome import FailedModel
from onnxtop.results.trace import Checkpoint, LayerStep, OnData, Step, Trace
from onnxtop.results.words import counted, in_percent

_DRAWN = 8
"""So many layers have a curve in one chart, those whose NP moved most; there are as many colours."""
_POINTS = 40
"""Points of a small curve, at most."""
_SCORES: Mapping[str, Callable[[OnData], float | None]] = {
    "loss": lambda each: each.loss,
    "accuracy": lambda each: each.accuracy,
}
_WIDE, _HALF = (760, 260), (380, 200)

_CHECKPOINTS = (
    Heading("checkpoint", "checkpoint"),
    Heading("NP", "np.mean_normalized", numeric=True),
    Heading("DGP", "dgp", numeric=True),
    Heading("untrained", "untrained share", numeric=True),
    Heading("moved", "moved", numeric=True),
    Heading("largest", "largest", numeric=True),
    Heading("loss", "loss", numeric=True),
    Heading("accuracy", "accuracy", numeric=True),
    Heading("events", "events"),
)
_LAYERS = (
    Heading("layer", "layer"),
    Heading("op", "op", choose=True),
    Heading("NP from", "np", numeric=True),
    Heading("to", "np", numeric=True),
    Heading("NP", "np"),
    Heading("z", "z", numeric=True),
    Heading("moved", "moved"),
    Heading("bottleneck", "bottleneck/layer"),
    Heading("events", "events", choose=True),
)


def render(trace: Trace, options: RenderOptions) -> str:
    """Render one run as a page of its own."""
    steps = trace.checkpoints
    ends = (step.name if isinstance(step, Checkpoint) else step.path for step in (*steps[:1], *steps[-1:]))
    return page(" … ".join(dict.fromkeys(ends)), verdict(trace), "trace.html", **values(trace))


def values(trace: Trace) -> dict[str, object]:
    """Return what the template of a run is given."""
    points, failed = trace.measured, [each for each in trace.checkpoints if isinstance(each, FailedModel)]
    layers = points[-1].layers if points else ()
    checkpoints = [_checkpoint(trace, step) for step in trace.checkpoints]
    return {
        "sentence": trace.verdict.sentence,
        "figures": list(_figures(trace)),
        "events": events(trace, all_rows=True),
        "failed": [Fact(each.path, each.message, is_name=True) for each in failed],
        "stopping": stopping(trace),
        "curves": list(_curves(trace)) if points else [],
        "courses": [_courses(trace)] if layers else [],
        "checkpoints": full_sheet(counted(len(checkpoints), "checkpoint"), _CHECKPOINTS, checkpoints),
        "layers": full_sheet(
            counted(len(layers), "layer"), _LAYERS, [_layer(trace, number) for number in range(len(layers))]
        ),
        "settings": list(_settings(trace)),
    }


def _figures(trace: Trace) -> Iterator[Fact]:
    """Yield the course, the figures of the last checkpoint with what they began from, and where to stop."""
    since = trace.verdict.since
    yield Fact("course", str(trace.verdict.course), "course", "" if since is None else f"since {since}")
    if trace.measured:
        first, last = trace.measured[0], trace.measured[-1]
        yield _since("mean NP", "np/mean", first.neural_persistence, last.neural_persistence)
        yield _since("DGP", "dgp", first.deep_graph_persistence, last.deep_graph_persistence)
        begun, scores = first.judged_on, last.judged_on
        if begun and scores:
            yield _since("loss", "loss", begun.loss, scores.loss)
        if begun and scores and scores.accuracy is not None:
            yield _since("accuracy", "accuracy", begun.accuracy, scores.accuracy, percent)
    rule = trace.stopping
    saved = f"{rule.saved:,} of {counted(rule.checks, 'checkpoint')} saved" if rule.stopped else ""
    if rule.checks:
        yield Fact("stop", rule.stopped or "would not have stopped", "stopping rule", saved)


def _since(
    label: str,
    term: str,
    first: float | None,
    last: float | None,
    written: Callable[[float | None], str] = figure,
) -> Fact:
    return Fact(label, written(last), term, f"from {written(first)}" if defined(first) else "")


def _curves(trace: Trace) -> Iterator[Picture]:
    """Yield what is known of the whole network at each checkpoint."""
    points = trace.measured
    means = {
        "mean NP, scale global": [point.scale_global for point in points],
        "mean NP, scale layer": [point.scale_layer for point in points],
        "DGP": [point.deep_graph_persistence for point in points],
    }
    yield _drawn(trace, "mean NP and DGP", means, "np/mean", _WIDE)
    data = [{each.split: each for each in point.data} for point in points]
    for words, of in _SCORES.items():
        splits = {split: [of(each[split]) if split in each else None for each in data] for split in data[-1]}
        yield _drawn(trace, words, splits, words)
    yield _drawn(trace, "moved", {"moved": [point.moved for point in points]}, "moved")
    yield _drawn(
        trace, "untrained share", {"untrained": [point.untrained for point in points]}, "untrained share"
    )


def _courses(trace: Trace) -> Picture:
    """Draw the NP of the layers in which it moved most."""
    points = trace.measured
    courses = {
        layer.name: [point.layers[number].neural_persistence for point in points]
        for number, layer in enumerate(points[-1].layers)
    }
    ranges = {
        name: max(known(course)) - min(known(course)) for name, course in courses.items() if known(course)
    }
    chosen = sorted(ranges, key=lambda name: -ranges[name])[:_DRAWN]
    words = "NP" if len(chosen) == len(courses) else f"NP of the {len(chosen)} layers that moved most"
    return _drawn(trace, words, {name: courses[name] for name in courses if name in chosen}, "np", _WIDE)


def _drawn(
    trace: Trace,
    caption: str,
    series: Mapping[str, Sequence[float | None]],
    term: str,
    size: tuple[int, int] = _HALF,
) -> Picture:
    """Draw curves over the checkpoints, with where the course began and where the rule would have stopped."""
    names = [point.name for point in trace.measured]
    series = {name: course for name, course in series.items() if len(known(course)) > 1}
    if not series:
        return Picture(caption, Markup())
    verdicts = ((trace.verdict.since, str(trace.verdict.course)), (trace.stopping.stopped, "stop"))
    upright = {float(names.index(name)): word for name, word in verdicts if name in names}
    drawn = lines(series, names=names, title=f"{caption}: {names[0]} … {names[-1]}", marks=upright, size=size)
    return Picture(caption, drawn, list(series) if len(series) > 1 else (), term, size == _WIDE)


def _checkpoint(trace: Trace, step: Step) -> SheetRow:
    if isinstance(step, FailedModel):
        told = Cell(f"not read: {step.message}")
        return SheetRow([Cell(step.path, is_name=True), *[Cell("")] * (len(_CHECKPOINTS) - 2), told])
    scores = step.judged_on
    return SheetRow(
        [
            Cell(step.name, is_name=True),
            _barred(step.neural_persistence),
            Cell(figure(step.deep_graph_persistence), step.deep_graph_persistence),
            Cell(in_percent(step.untrained), step.untrained),
            Cell(small(step.moved), step.moved),
            Cell("" if step.scale is None else f"{step.scale:.3g}", step.scale),
            Cell(figure(scores.loss) if scores else "", scores.loss if scores else None),
            Cell(percent(scores.accuracy, "") if scores else "", scores.accuracy if scores else None),
            Cell(marks(trace, step)),
        ]
    )


def _barred(value: float | None) -> Cell:
    return Cell(figure(value), value, bar(value))


def _layer(trace: Trace, number: int) -> SheetRow:
    steps = [point.layers[number] for point in trace.measured]
    first, last = steps[0], steps[-1]
    kinds = (event.kind for event in trace.verdict.events if event.layer == last.name)
    return SheetRow(
        [
            Cell(last.name, is_name=True),
            Cell(last.op_type, is_name=True),
            Cell(figure(first.neural_persistence), first.neural_persistence),
            Cell(figure(last.neural_persistence), last.neural_persistence),
            _sparked(steps, lambda step: step.neural_persistence),
            Cell("" if last.z is None else f"{last.z:z.1f}", last.z, _spark(steps, lambda step: step.z)),
            _sparked(steps, lambda step: step.relative),
            _sparked(steps, lambda step: step.bottleneck),
            Cell(", ".join(dict.fromkeys(kinds))),
        ]
    )


Of = Callable[[LayerStep], float | None]


def _sparked(steps: Sequence[LayerStep], of: Of) -> Cell:
    return Cell("", picture=_spark(steps, of))


def _spark(steps: Sequence[LayerStep], of: Of) -> Markup:
    return spark(sampled([of(step) for step in steps], _POINTS))


def _settings(trace: Trace) -> Iterator[Fact]:
    yield Fact("settings", about(trace), "settings")
    if trace.notes:
        yield Fact("notes", trace.notes, "note")
    yield Fact("tool", f"{trace.tool.name} {trace.tool.version}", "tool")
