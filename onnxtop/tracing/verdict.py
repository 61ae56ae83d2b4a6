"""How training went, in words: what the checkpoints show together."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from onnxtop.results.trace import Checkpoint, Course, Event, TraceVerdict

BAND = 0.01
"""A mean NP this near to the last one, relatively, is where training settled."""
STILL = 0.03
"""A mean relative change of the weights, from one checkpoint to the next, that is next to none."""
AFTER = 2
"""So many checkpoints must follow the one from which on it is settled."""
JUMP, GROWTH = 10.0, 100.0
"""Factors by which the largest weight explodes: from one checkpoint to the next, and over all."""
APART = 0.05
"""By so much the relative changes of mean NP in the two scales must differ to be worth a word."""
CHANCE = 4.0
"""Standard deviations of the cosine between unrelated weights up to which nothing of the earlier is left."""
TURNED = 0.5
"""A cosine below which weights that show no training any more were reset."""


def verdict(points: Sequence[Checkpoint]) -> TraceVerdict:
    """Return the course of training and what happened on the way."""
    events = (*_layers(points), *_wholes(points))
    course, since, sentence = _course(points)
    return TraceVerdict(course, since, sentence, events)


def _course(points: Sequence[Checkpoint]) -> tuple[Course, str | None, str]:
    if not points:
        return Course.UNKNOWN, None, "no checkpoint could be read"
    last = points[-1]
    diverged = _diverged(points)
    if diverged is not None:
        return diverged
    if len(points) > 1 and all(point.moved == 0 for point in points[1:]):
        return Course.UNMOVED, None, "nothing moved: all checkpoints hold the same weights"
    if last.looks_untrained:
        trained = [point.name for point in points if point.looks_untrained is False]
        again = f"untrained again, after {trained[-1]} was trained" if trained else "still untrained"
        share = f"{round((last.untrained or 0) * last.judged)} of {last.judged}"
        return (
            Course.UNTRAINED,
            None,
            f"{again}: {share} layers that can be judged show no training at {last.name}",
        )
    if len(points) == 1:
        return Course.UNKNOWN, None, "too short to tell: one checkpoint shows no course"
    if (number := settled(points)) is not None:
        name = points[number].name
        return (
            Course.SETTLED,
            name,
            (
                f"settled since {name}: mean NP stays within {100 * BAND:g} % of "
                f"{_figure(last.neural_persistence)}, and no checkpoint moves the weights by more than "
                f"{100 * STILL:g} %"
            ),
        )
    return Course.LEARNING, None, f"learning: {_moves(points)}"


def settled(points: Sequence[Checkpoint]) -> int | None:
    """Return from which checkpoint on mean NP and weights hardly move, None if they still do."""
    end = points[-1].neural_persistence
    if end is None:
        return None
    first = len(points)
    for number in range(len(points) - 1, -1, -1):
        value = points[number].neural_persistence
        if value is None or abs(value - end) > BAND * abs(end):
            break
        first = number
        moved = points[number].moved
        if number and (moved is None or moved > STILL):
            break
    return first if first < len(points) - AFTER else None


def _diverged(points: Sequence[Checkpoint]) -> tuple[Course, str, str] | None:
    """Say that the last checkpoint is of a run that fell apart, and since when."""
    bad = _last_run([_nonfinite(point) > 0 for point in points])
    if bad is not None:
        point = points[bad]
        return (
            Course.DIVERGED,
            point.name,
            (f"diverged at {point.name}: {_weights(_nonfinite(point))} NaN or infinite"),
        )
    wild = _last_run(exploded(points))
    if wild is not None:
        point = points[wild]
        before = min(each.scale for each in points[:wild] if each.scale)
        return (
            Course.DIVERGED,
            point.name,
            (f"diverged at {point.name}: the largest weight grew from {before:.3g} to {point.scale:.3g}"),
        )
    scores = [point.judged_on for point in points]
    lost = _last_run([each is not None and each.loss is None for each in scores])
    if lost is not None and any(each is not None and each.loss is not None for each in scores):
        name = points[lost].name
        return Course.DIVERGED, name, f"diverged at {name}: the loss is not finite"
    return None


def _last_run(flags: Sequence[bool]) -> int | None:
    """Return where the flags begin to be on up to the end, None if the last is off."""
    number = len(flags)
    while number and flags[number - 1]:
        number -= 1
    return number if number < len(flags) else None


def _nonfinite(point: Checkpoint) -> int:
    return sum(layer.nonfinite for layer in point.layers)


def exploded(points: Sequence[Checkpoint]) -> list[bool]:
    """Tell of each checkpoint whether its largest weight is far beyond those of before the growth."""
    flags: list[bool] = []
    last = least = math.inf
    for point in points:
        size = point.scale or 0.0
        jumped = size > JUMP * last or size > GROWTH * least
        flags.append(jumped)
        if not jumped and size:
            last, least = size, min(least, size)
    return flags


def _moves(points: Sequence[Checkpoint]) -> str:
    first, last = points[0], points[-1]
    told = f"mean NP went from {_figure(first.neural_persistence)} to {_figure(last.neural_persistence)}"
    moved = (
        "" if last.moved is None else f", the last checkpoint moved the weights by {100 * last.moved:.3g} %"
    )
    return told + moved


def _layers(points: Sequence[Checkpoint]) -> Iterator[Event]:
    """Yield what happened to single layers, in the order of layers, then of time."""
    for number in range(len(points[0].layers) if points else 0):
        course = [point.layers[number] for point in points]
        name = course[-1].name
        moves = [layer.relative for layer in course[1:]]
        whole = all(point.moved == 0 for point in points[1:])
        if len(points) > 1 and not whole and all(move == 0 for move in moves):
            yield Event("frozen", name, None, f"{name} never moved: it is frozen")
        for at in range(1, len(points)):
            event = _event(points, number, at)
            if event is not None:
                yield event


def _event(points: Sequence[Checkpoint], number: int, at: int) -> Event | None:
    """Tell what became of a layer's training at a checkpoint, if it was lost there."""
    before, now = (point.layers[number] for point in points[at - 1 : at + 1])
    name, when = now.name, points[at].name
    if now.nonfinite and not before.nonfinite:
        return Event("not finite", name, when, f"{name}: {_weights(now.nonfinite)} NaN or infinite at {when}")
    if now.digest == before.digest or now.nonfinite or before.nonfinite:
        return None
    if now.largest == 0 and before.largest:
        return Event("zeroed", name, when, f"{name} was set to zero at {when}")
    held = [point.name for point in points[: at - 1] if point.layers[number].digest == now.digest]
    if held:
        if _is_whole(points, at) is not None:
            return None
        return Event("restored", name, when, f"{name} went back at {when} to its weights of {held[0]}")
    if all(lost(points[at])) and len(points[at].layers) > 1:
        return None  # it is told of the whole
    if _is_lost(points[at], number):
        return Event(
            "reset", name, when, f"{name} was reset at {when}: nothing of its earlier weights is left"
        )
    if now.untouched and before.untouched is False and now.cosine is not None and now.cosine < TURNED:
        return Event(
            "reset", name, when, f"{name} was reset at {when}: its weights show no training any more"
        )
    return None


def lost(point: Checkpoint) -> list[bool]:
    """Tell of each layer whether nothing of its earlier weights is left."""
    return [_is_lost(point, number) for number in range(len(point.layers))]


def _is_whole(points: Sequence[Checkpoint], at: int) -> str | None:
    """Return the name of an earlier checkpoint, but the last, with all the weights of one."""
    digests = [[layer.digest for layer in point.layers] for point in points[: at + 1]]
    if digests[at] == digests[at - 1]:
        return None
    return next((points[number].name for number in range(at - 1) if digests[number] == digests[at]), None)


def _is_lost(point: Checkpoint, number: int) -> bool:
    layer = point.layers[number]
    size = math.prod(layer.shape)
    return layer.cosine is not None and abs(layer.cosine) < min(CHANCE / math.sqrt(size), TURNED)


def _wholes(points: Sequence[Checkpoint]) -> Iterator[Event]:
    """Yield what happened to the network as a whole."""
    for before, now in pairwise(points):
        if len(now.layers) > 1 and all(lost(now)):
            told = f"{now.name} shares nothing with {before.name}: it is of another run, or was started anew"
            yield Event("replaced", None, now.name, told)
    for at in range(1, len(points)):
        if (held := _is_whole(points, at)) is not None:
            told = f"{points[at].name} went back to the weights of {held}"
            yield Event("restored", None, points[at].name, told)
    flags = exploded(points)
    for number, (was, grew) in enumerate(pairwise(flags), start=1):
        if grew and not was:
            what = f"the largest weight is {points[number].scale:.3g} at {points[number].name}"
            yield Event(
                "exploded", None, points[number].name, f"{what}, {points[number - 1].scale:.3g} before"
            )


def _weights(count: int) -> str:
    return "1 weight is" if count == 1 else f"{count:,} weights are"


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"


def scale_notes(points: Sequence[Checkpoint]) -> Iterator[str]:
    """Yield in words where the two scales tell different stories: growth of the largest weight raises NP."""
    pairs = [
        (point.scale_global, point.scale_layer)
        for point in points
        if point.scale_global is not None and point.scale_layer is not None
    ]
    if len(pairs) < 2:
        return
    (first, first_own), (last, last_own) = pairs[0], pairs[-1]
    rise, own = last / first - 1 if first else 0.0, last_own / first_own - 1 if first_own else 0.0
    nearer, farther = sorted((abs(rise), abs(own)))
    if abs(rise - own) <= APART or (rise * own > 0 and nearer > farther / 2):
        return
    sizes = [point.scale for point in points if point.scale]
    yield (
        f"the scales disagree: mean NP {_way(rise)} by {100 * abs(rise):.3g} % with scale global, and "
        f"{_way(own)} by {100 * abs(own):.3g} % with scale layer; the largest weight of the network went "
        f"from {sizes[0]:.3g} to {sizes[-1]:.3g}, and scale global measures every layer against it"
    )


def _way(change: float) -> str:
    return "rose" if change > 0 else "fell"
