"""The course of a training run, in a word and in a sentence, read off its checkpoints from the end."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

from onnxtop.results.trace import Checkpoint, Course
from onnxtop.results.words import in_percent

BAND = 0.01
"""A mean NP this near to the last one, relatively, is where training settled."""
STILL = 0.03
"""A mean relative change of the weights, from one checkpoint to the next, that is next to none."""
AFTER = 2
"""So many checkpoints must follow the one from which on it is settled."""
JUMP, GROWTH = 10.0, 100.0
"""Factors by which the largest weight explodes: from one checkpoint to the next, and over all."""

Found: TypeAlias = tuple[Course, str | None, str]
"""The course, the checkpoint since which it is so, and a sentence."""


def course(points: Sequence[Checkpoint]) -> Found:
    """Return how training went up to the last checkpoint."""
    if not points:
        return Course.UNKNOWN, None, "no checkpoint could be read"
    return (
        _not_finite(points)
        or _zero(points)
        or _exploded(points)
        or _without_loss(points)
        or _unmoved(points)
        or _untrained(points)
        or _too_short(points)
        or _settled(points)
        or (Course.LEARNING, None, f"learning: {_moves(points)}")
    )


def _not_finite(points: Sequence[Checkpoint]) -> Found | None:
    at = _on_at_the_end([_nonfinite(point) > 0 for point in points])
    if at is None:
        return None
    name, told = points[at].name, weights(_nonfinite(points[at]))
    return Course.DIVERGED, name, f"diverged at {name}: {told} NaN or infinite"


def _zero(points: Sequence[Checkpoint]) -> Found | None:
    at = _on_at_the_end([point.scale == 0 for point in points])
    if at is None:
        return None
    return Course.DIVERGED, points[at].name, f"diverged at {points[at].name}: all weights are 0"


def _exploded(points: Sequence[Checkpoint]) -> Found | None:
    at = _on_at_the_end(exploded(points))
    if at is None:
        return None
    name, before = points[at].name, min(each.scale for each in points[:at] if each.scale)
    sizes = f"from {before:.3g} to {points[at].scale:.3g}"
    return Course.DIVERGED, name, f"diverged at {name}: the largest weight grew {sizes}"


def _without_loss(points: Sequence[Checkpoint]) -> Found | None:
    """Tell of a loss that was measured and is not finite; a table may just have no number."""
    scores = [point.judged_on for point in points]
    at = _on_at_the_end([each is not None and each.samples > 0 and each.loss is None for each in scores])
    if at is None or not any(each is not None and each.loss is not None for each in scores):
        return None
    name = points[at].name
    return Course.DIVERGED, name, f"diverged at {name}: the loss is not finite"


def _unmoved(points: Sequence[Checkpoint]) -> Found | None:
    if len(points) == 1 or any(point.moved != 0 for point in points[1:]):
        return None
    return Course.UNMOVED, None, "nothing moved: all checkpoints hold the same weights"


def _untrained(points: Sequence[Checkpoint]) -> Found | None:
    last = points[-1]
    if not last.looks_untrained:
        return None
    trained = [point.name for point in points if point.looks_untrained is False]
    again = f"untrained again, after {trained[-1]} was trained" if trained else "still untrained"
    share = f"{round((last.untrained or 0) * last.judged)} of {last.judged} layers that can be judged"
    return Course.UNTRAINED, None, f"{again}: {share} show no training at {last.name}"


def _too_short(points: Sequence[Checkpoint]) -> Found | None:
    found = Course.UNKNOWN, None, "too short to tell: one checkpoint shows no course"
    return found if len(points) == 1 else None


def _settled(points: Sequence[Checkpoint]) -> Found | None:
    """Tell from which checkpoint on mean NP and weights hardly move."""
    end = points[-1].neural_persistence
    at = len(points)
    while at and end is not None and _is_near(points[at - 1], end):
        at -= 1
        if at and not _is_still(points[at]):
            break
    if end is None or at >= len(points) - AFTER:
        return None
    name, near, still = points[at].name, in_percent(BAND), in_percent(STILL)
    sentence = f"mean NP stays within {near} of {_figure(end)}, and no checkpoint moves the weights by more"
    return Course.SETTLED, name, f"settled since {name}: {sentence} than {still}"


def _is_near(point: Checkpoint, end: float) -> bool:
    value = point.neural_persistence
    return value is not None and abs(value - end) <= BAND * abs(end)


def _is_still(point: Checkpoint) -> bool:
    return point.moved is not None and point.moved <= STILL


def _moves(points: Sequence[Checkpoint]) -> str:
    first, last = (_figure(point.neural_persistence) for point in (points[0], points[-1]))
    moved = points[-1].moved
    told = "" if moved is None else f", the last checkpoint moved the weights by {in_percent(moved)}"
    return f"mean NP went from {first} to {last}{told}"


def exploded(points: Sequence[Checkpoint]) -> list[bool]:
    """Tell of each checkpoint whether its largest weight is far beyond those of before it grew.

    The first steps of a fresh network may raise it tenfold.
    """
    flags = [False] * len(points)
    last = least = math.inf
    fresh = True
    for number, point in enumerate(points):
        size = point.scale or 0.0
        flags[number] = size > (GROWTH if fresh else JUMP) * last or size > GROWTH * least
        if not flags[number] and size:
            last, least = size, min(least, size)
            fresh = point.looks_untrained is True or (number == 0 and point.looks_untrained is None)
    return flags


def onsets(flags: Sequence[bool]) -> list[int]:
    """Return where flags turn on."""
    return [number for number, (was, now) in enumerate(pairwise([False, *flags])) if now and not was]


def _on_at_the_end(flags: Sequence[bool]) -> int | None:
    """Return where the flags that are on at the end turned on, None if the last is off."""
    return onsets(flags)[-1] if flags[-1] else None


def _nonfinite(point: Checkpoint) -> int:
    return sum(layer.nonfinite for layer in point.layers)


def weights(count: int) -> str:
    """Say of so many weights that they are.

    >>> weights(1), weights(1200)
    ('1 weight is', '1,200 weights are')
    """
    return "1 weight is" if count == 1 else f"{count:,} weights are"


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
