"""What happened to layers on the way, and to the network as a whole, each in a sentence."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from onnxtop.results.trace import Checkpoint, Event, LayerStep
from onnxtop.tracing.course import exploded, onsets, weights

CHANCE = 4.0
"""Standard deviations of the cosine between unrelated weights up to which nothing of the earlier is left."""
TURNED = 0.5
"""A cosine below which weights that show no training any more were reset."""


def events(points: Sequence[Checkpoint]) -> tuple[Event, ...]:
    """Return what happened, layer by layer, then as a whole; each list in the order of time."""
    wholes = [*_replaced(points), *_restored(points)]
    told = {event.checkpoint for event in wholes}
    layers = range(len(points[0].layers) if points else 0)
    own = [event for number in layers for event in _of_layer(points, number, told)]
    return (*own, *wholes, *_explosions(points))


def _of_layer(points: Sequence[Checkpoint], number: int, told: set[str | None]) -> Iterator[Event]:
    """Yield what happened to a layer, but where it is told of the whole network."""
    course = [point.layers[number] for point in points]
    name = course[-1].name
    moved = any(point.moved != 0 for point in points[1:])
    if moved and all(layer.relative == 0 for layer in course[1:]):
        yield Event("frozen", name, None, f"{name} never moved: it is frozen")
    holders: dict[str, str] = {}
    for before, point in pairwise(points):
        was, now = before.layers[number], point.layers[number]
        kind, what = _fate(was, now, point.name, holders.get(now.digest))
        holders.setdefault(was.digest, before.name)
        if kind and not (point.name in told and kind in ("reset", "restored")):
            yield Event(kind, name, point.name, what)


def _fate(before: LayerStep, now: LayerStep, when: str, holder: str | None) -> tuple[str, str]:
    """Tell what became of a layer's training at a checkpoint, if it was lost there.

    ``holder`` is an earlier checkpoint in which the layer had these weights.
    """
    name = now.name
    if now.nonfinite and not before.nonfinite:
        return "not finite", f"{name}: {weights(now.nonfinite)} NaN or infinite at {when}"
    if now.digest == before.digest or now.nonfinite or before.nonfinite:
        return "", ""
    if now.largest == 0 and before.largest:
        return "zeroed", f"{name} was set to zero at {when}"
    if holder is not None:
        return "restored", f"{name} went back at {when} to its weights of {holder}"
    if _is_lost(now):
        return "reset", f"{name} was reset at {when}: nothing of its earlier weights is left"
    turned = now.cosine is not None and now.cosine < TURNED
    if turned and now.untouched and before.untouched is False:
        return "reset", f"{name} was reset at {when}: its weights show no training any more"
    return "", ""


def _is_lost(layer: LayerStep) -> bool:
    """Tell whether the weights have no more in common with those before than chance gives."""
    chance = CHANCE / math.sqrt(math.prod(layer.shape) or 1)
    return layer.cosine is not None and abs(layer.cosine) < min(chance, TURNED)


def _replaced(points: Sequence[Checkpoint]) -> Iterator[Event]:
    for before, now in pairwise(points):
        if len(now.layers) > 1 and all(map(_is_lost, now.layers)):
            told = f"{now.name} shares nothing with {before.name}: it is of another run, or was started anew"
            yield Event("replaced", None, now.name, told)


def _restored(points: Sequence[Checkpoint]) -> Iterator[Event]:
    holders: dict[tuple[str, ...], str] = {}
    for before, now in pairwise(points):
        was, held = (tuple(layer.digest for layer in point.layers) for point in (before, now))
        if held != was and held in holders:
            told = f"{now.name} went back to the weights of {holders[held]}"
            yield Event("restored", None, now.name, told)
        holders.setdefault(was, before.name)


def _explosions(points: Sequence[Checkpoint]) -> Iterator[Event]:
    for at in onsets(exploded(points)):
        before, now = points[at - 1], points[at]
        told = f"the largest weight is {now.scale:.3g} at {now.name}, {before.scale or 0:.3g} before"
        yield Event("exploded", None, now.name, told)
