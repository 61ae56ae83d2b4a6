"""What the checkpoints of a training run show together, in words."""

from collections.abc import Iterator, Sequence

from onnxtop.results.trace import Checkpoint, TraceVerdict
from onnxtop.results.words import in_percent
from onnxtop.tracing.course import course
from onnxtop.tracing.events import events

APART = 0.05
"""By so much the relative changes of mean NP in the two scales must differ to be worth a word."""


def verdict(points: Sequence[Checkpoint]) -> TraceVerdict:
    """Return the course of training and what happened on the way."""
    return TraceVerdict(*course(points), events(points))


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
        f"the scales disagree: mean NP {_way(rise)} by {in_percent(abs(rise))} with scale global, and "
        f"{_way(own)} by {in_percent(abs(own))} with scale layer; the largest weight of the network went "
        f"from {sizes[0]:.3g} to {sizes[-1]:.3g}, and scale global measures every layer against it"
    )


def _way(change: float) -> str:
    return "rose" if change > 0 else "fell"
