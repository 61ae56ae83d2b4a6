"""What the formats for people say about a training run, in plain words and before any markup."""

from collections.abc import Sequence

from onnxtop.render.settings import phrases
from onnxtop.render.text import figure
from onnxtop.results.headline import Headline, Tone
from onnxtop.results.trace import Checkpoint, Cost, Course, Event, Stopping, Trace
from onnxtop.results.words import counted, in_percent

LONG_TABLE = 40
"""A table of more checkpoints than this is cut in its middle."""
FIRST, LAST = 10, 25
_EVENTS = 12
"""So many sentences tell what happened."""
_ALONE = 3
"""So many layers with one fate have a sentence each."""

_TONES = {Course.SETTLED: Tone.GOOD, Course.LEARNING: Tone.GOOD, Course.DIVERGED: Tone.BAD}


def verdict(trace: Trace) -> Headline:
    """Say in few words how training went, and whether something happened on the way."""
    course, since = trace.verdict.course, trace.verdict.since
    failed = len(trace.checkpoints) - len(trace.measured)
    beside = [
        *([counted(len(trace.verdict.events), "event")] if trace.verdict.events else []),
        *([f"{counted(failed, 'checkpoint')} not read"] if failed else []),
        *([] if trace.complete else ["incomplete"]),
    ]
    tone = _TONES.get(course, Tone.DOUBT)
    if beside and tone is Tone.GOOD:
        tone = Tone.DOUBT
    at = "" if since is None else f" {'at' if course is Course.DIVERGED else 'since'} {since}"
    return Headline(tone, "; ".join([f"{course}{at}", *beside]))


def about(trace: Trace) -> list[str]:
    """Say in phrases what the figures depend on."""
    if not trace.measured:
        return phrases(trace.settings)
    last = trace.measured[-1]
    return [
        counted(len(trace.checkpoints), "checkpoint"),
        counted(len(last.layers), "layer"),
        *phrases(trace.settings),
        *([f"scores: {last.judged_on.split}"] if last.judged_on else []),
    ]


def stopping(trace: Trace) -> list[str]:
    """Say what the stopping rule would have done, a sentence a line."""
    found = trace.stopping
    return [_fired(found), *_cost(found), *([found.caveat] if found.caveat else [])]


def _fired(found: Stopping) -> str:
    rule = f"patience {found.patience}, min-delta {found.min_delta:g}, burn-in {found.burn_in}"
    measure = {"np": "mean NP", "dgp": "DGP"}[found.measure]
    best = "" if found.best is None else f"; the last rise of {measure} was at {found.best}"
    if not found.checks:
        return f"stopping rule ({rule}): no checkpoint was measured"
    if found.stopped is None:
        return f"stopping rule ({rule}): would not have stopped{best}"
    saved = f"{found.saved:,} of {counted(found.checks, 'checkpoint')} saved"
    return f"stopping rule ({rule}): would have stopped at {found.stopped}, {saved}{best}"


def _cost(found: Stopping) -> list[str]:
    cost = found.cost
    if cost is None:
        return []
    last = f"accuracy on {cost.source} is {percent(cost.last)} at the last checkpoint"
    where = f"would have stopped at {cost.validation}" if cost.validation else "would not have stopped"
    other = f"; a patience of {found.patience} on the loss {where}: {percent(cost.validation_stopped)}"
    others = [(cost.validation_stopped, "stopping on the loss"), (cost.last, "never stopping")]
    if cost.validation is None and cost.validation_stopped is None:  # no loss is known
        other, others = "", others[1:]
    if found.stopped is None:
        return [last + other]
    against = " and ".join(f"{points(cost, value)} against {what}" for value, what in others)
    return [f"accuracy at {found.stopped} is {percent(cost.stopped)}: {against}", last + other]


def points(cost: Cost, value: float | None) -> str:
    """Say how far the accuracy of the rule is above or below another one.

    >>> points(Cost("test", 0.97, None, None, None), 0.972)
    '-0.20 points'
    """
    if cost.stopped is None or value is None:
        return "not known"
    return f"{100 * (cost.stopped - value):+.2f} points"


def percent(accuracy: float | None, undefined: str = "not known") -> str:
    """Write an accuracy.

    >>> percent(0.972), percent(None)
    ('97.2 %', 'not known')
    """
    return in_percent(accuracy, 4, undefined)


def small(value: float | None) -> str:
    """Write a change, which may be tiny.

    >>> small(0.25), small(0.0004), small(0.0), small(None)
    ('0.250', '4.0e-04', '0', '')
    """
    if value is None:
        return ""
    if value == 0:
        return "0"
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}" if value < 100 else f"{value:.3g}"


def line(point: Checkpoint) -> str:
    """Say in one line what a checkpoint is, for a log."""
    scores = point.judged_on
    parts = [
        f"NP {figure(point.neural_persistence)}",
        f"DGP {figure(point.deep_graph_persistence)}",
        *([f"untrained {in_percent(point.untrained)}"] if point.untrained is not None else []),
        *([f"moved {small(point.moved)}"] if point.moved is not None else []),
        *([f"loss {figure(scores.loss)}"] if scores else []),
        *([f"accuracy {percent(scores.accuracy)}"] if scores and scores.accuracy is not None else []),
        *(["stop"] if point.stop else []),
    ]
    return f"{point.name}  {', '.join(parts)}"


def events(trace: Trace, all_rows: bool) -> list[str]:
    """Tell what happened, a sentence each; many layers with one fate share a sentence."""
    groups: dict[tuple[str, str | None], list[Event]] = {}
    for event in trace.verdict.events:
        groups.setdefault((event.kind, event.checkpoint), []).append(event)
    sentences = []
    for (kind, checkpoint), group in groups.items():
        if all_rows or len(group) <= _ALONE:
            sentences += [event.what for event in group]
        else:
            named = ", ".join(str(event.layer) for event in group[:_ALONE])
            at = "" if checkpoint is None else f" at {checkpoint}"
            sentences.append(
                f"{kind}{at}: {len(group):,} of {counted(len(trace.measured[-1].layers), 'layer')}, "
                f"{named} and others; --all names every one"
            )
    if all_rows or len(sentences) <= _EVENTS:
        return sentences
    return [*sentences[:_EVENTS], f"and {len(sentences) - _EVENTS:,} more; --all tells every one"]


def marks(trace: Trace, point: Checkpoint) -> str:
    """Say what a checkpoint is to the stopping rule and to the verdict."""
    told = (
        "stop" if point.name == trace.stopping.stopped else "",
        "last rise" if point.name == trace.stopping.best else "",
        f"{trace.verdict.course}" if point.name == trace.verdict.since else "",
        *dict.fromkeys(event.kind for event in trace.verdict.events if event.checkpoint == point.name),
    )
    return ", ".join(filter(None, told))


def sampled(values: Sequence[float | None], most: int) -> list[float | None]:
    """Return at most so many values of a course, the first and the last among them.

    >>> sampled([0.0, 1.0, 2.0, 3.0, 4.0], 3)
    [0.0, 2.0, 4.0]
    """
    count, last = min(len(values), most), len(values) - 1
    return [values[round(number * last / max(count - 1, 1))] for number in range(count)]
