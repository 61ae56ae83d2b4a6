"""Two models run on the same inputs: how far their outputs are apart, and the first place where they part."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.execution.feeds import Feed, source
from onnxtop.execution.job import Answer, Job, Places
from onnxtop.execution.sessions import EndedError, Tell, equal, opened, run, run_all, started
from onnxtop.loss.runtime import Session
from onnxtop.results.run import PairOutput, Parting

Array = NDArray[Any]

_LEAST_SPREAD = 0.05
"""Of the size of an output: one that hardly varies is not measured by how little it does."""
_TINY = 1e-6
_FLIPPED = 1e-3
"""Share of whole numbers that rounding may turn over, as where two classes are as good as tied."""
_LARGEST = 1e120
"""Of an output: the squares of larger numbers, and sums of them, are beyond what floats hold."""
_AT_ONCE = 48
"""So many places are compared in one run."""


def run_pair(job: Job, tell: Tell, answer: Callable[[Answer], None]) -> Answer:
    """Open both models, run both on every feed, and where they differ find out where they part.

    What is known before that is answered at once, so that it is not lost if the search takes too long.
    """
    sessions = [opened(job, number, tell, plain=True) for number in (0, 1)]
    given = source(job)
    names = [[pair[number] for pair in job.outputs] for number in (0, 1)]
    chosen, first = started(job, given, sessions, names, tell)
    base = next(given.feeds(chosen))
    again = run(job, sessions[0], 0, base, names[0], tell)
    chance = [not equal(old, new) for old, new in zip(first, again, strict=True)]
    tallies = [_Tally(job, old, new) for old, new in job.outputs]
    worst, most, runs = base, -1.0, 0
    for feed in given.feeds(chosen):
        both = run_all(job, sessions, feed, names, tell)
        apart = [
            tally.add(old, new, feed)
            for tally, old, new, random in zip(tallies, *both, chance, strict=True)
            if not random
        ]
        if max(apart, default=-1.0) > most:
            worst, most = feed, max(apart)
        runs += 1
    pairs = tuple(tally.told(random) for tally, random in zip(tallies, chance, strict=True))
    parting, notes = None, list(given.notes)
    if any(pair.differs for pair in pairs) and job.places:
        del sessions
        early = "where they part was not found: the process ended before"
        answer(Answer(runs=runs, chosen=chosen, pairs=pairs, notes=(*notes, early)))
        try:
            parting = _parting(job, worst, tell)
        except EndedError as ended:
            notes.append(f"where they part was not found: {ended.failure.reason}")
    return Answer(runs=runs, chosen=chosen, pairs=pairs, parting=parting, notes=tuple(notes))


@dataclass(frozen=True)
class Apart:
    """How far two arrays are apart: sums of the difference, of its square and of the old values.

    ``largest`` is the largest difference, ``most`` the same by the spread. Of whole numbers and words,
    ``flips``, every difference is 1.
    """

    largest: float = 0.0
    most: float = 0.0
    total: float = 0.0
    square: float = 0.0
    values: float = 0.0
    values_square: float = 0.0
    count: int = 0
    flips: bool = False
    reason: str = ""

    @property
    def relative(self) -> float:
        """The root of the mean square by the spread, or the share that differs."""
        if not self.count:
            return 0.0
        mean_square = self.square / self.count
        if self.flips:
            return mean_square
        mean = self.values / self.count
        variance = max(self.values_square / self.count - mean**2, 0.0)
        least = _LEAST_SPREAD * math.sqrt(self.values_square / self.count)
        return math.sqrt(mean_square) / max(math.sqrt(variance), least, _TINY)

    def exceeds(self, job: Job) -> bool:
        """Tell whether that is more than it may be."""
        if self.reason:
            return True
        if self.flips:
            return self.relative > (_FLIPPED if job.rounding else job.limit)
        return (self.most if job.rounding else self.relative) > job.limit

    def __add__(self, other: "Apart") -> "Apart":
        """Return what is so over both."""
        return Apart(
            largest=max(self.largest, other.largest),
            most=max(self.most, other.most),
            total=self.total + other.total,
            square=self.square + other.square,
            values=self.values + other.values,
            values_square=self.values_square + other.values_square,
            count=self.count + other.count,
            flips=self.flips or other.flips,
            reason=self.reason or other.reason,
        )


def apart(old: Array, new: Array) -> Apart:
    """Compare two arrays, of numbers or words."""
    if old.shape != new.shape:
        sizes = " and ".join(" x ".join(map(str, each.shape)) or "a number" for each in (old, new))
        return Apart(reason=f"of sizes {sizes}")
    if old.dtype.kind not in "fc" or new.dtype.kind not in "fc":
        return _whole(old, new)
    kind = np.complex128 if "c" in (old.dtype.kind, new.dtype.kind) else np.float64
    old, new = old.astype(kind), new.astype(kind)
    odd = ~(np.isfinite(old) & np.isfinite(new))
    if not equal(old[odd], new[odd]):
        return Apart(reason="NaN or infinite in one model and not so in the other")
    old, new = old[~odd], new[~odd]
    if not old.size:
        return Apart()
    if max(float(np.abs(each).max()) for each in (old, new)) > _LARGEST:
        same = np.array_equal(old, new)
        return Apart(count=old.size, reason="" if same else f"numbers beyond {_LARGEST:g}, not the same")
    with np.errstate(over="ignore", invalid="ignore"):
        difference, size = np.abs(new - old), np.abs(old)
        spread = max(float(np.std(old)), _LEAST_SPREAD * float(size.max()), _TINY)
        largest = float(difference.max())
        total, square, values, squares = (
            float(np.sum(each)) for each in (difference, difference**2, old.real, size**2)
        )
    return Apart(largest, largest / spread, total, square, values, squares, old.size)


def _whole(old: Array, new: Array) -> Apart:
    differs = old != new
    count = float(np.count_nonzero(differs))
    if old.dtype.kind in "biu" and new.dtype.kind in "biu":
        far = np.abs(old.astype(np.float64) - new.astype(np.float64))
        largest, total = float(far.max(initial=0.0)), float(far.sum())
    else:
        largest, total = float(count > 0), count
    share = count / max(differs.size, 1)
    return Apart(largest, share, total, count, count=differs.size, flips=True)


class _Tally:
    """What is counted of one output of both models over all runs."""

    def __init__(self, job: Job, old: str, new: str) -> None:
        self._names = old, new
        self._job = job
        self._sum: Apart | None = None
        self._same_top = self._rows = 0

    def add(self, old: Array | None, new: Array | None, feed: Feed) -> float:
        """Take what both gave; return how far that is apart, by the spread."""
        if old is None or new is None:
            return 0.0
        if feed.rows is not None and old.shape[:1] == new.shape[:1] == (feed.size,):
            old, new = old[: feed.rows], new[: feed.rows]
        found = apart(old, new)
        self._sum = found if self._sum is None else self._sum + found
        if _are_classes(old) and _are_classes(new) and old.shape == new.shape:
            self._rows += len(old)
            self._same_top += int(np.count_nonzero(old.argmax(axis=1) == new.argmax(axis=1)))
        return math.inf if found.reason else found.most

    def told(self, random: bool) -> PairOutput:
        """Return what was counted."""
        old, new = self._names
        found = self._sum
        if random or found is None:
            what = "it is random: the same inputs give something else" if random else "it is no tensor"
            return PairOutput(new, old, reason=what)
        return PairOutput(
            name=new,
            old_name=old,
            largest=found.largest,
            mean=found.total / max(found.count, 1),
            largest_relative=found.most,
            relative=found.relative,
            top=self._same_top / self._rows if self._rows else None,
            rows=self._rows,
            differs=found.exceeds(self._job),
            reason=found.reason or None,
        )


def _are_classes(array: Array) -> bool:
    return array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 1


def _parting(job: Job, feed: Feed, tell: Tell) -> Parting | None:
    """Return the first place whose values differ by more than outputs may."""
    wanted = [
        list(dict.fromkeys(name for names in side for name in names))
        for side in ([place.old for place in job.places], [place.new for place in job.places])
    ]
    sessions = [opened(job, number, tell, plain=True, outputs=wanted[number]) for number in (0, 1)]
    compared = 0
    for start in range(0, len(job.places), _AT_ONCE):
        places = job.places[start : start + _AT_ONCE]
        old = _values(job, sessions[0], 0, feed, [name for each in places for name in each.old], tell)
        new = _values(job, sessions[1], 1, feed, [name for each in places for name in each.new], tell)
        for place in places:
            compared += 1
            pairs = list(_pairs(place, old, new))
            if pairs and all(found.exceeds(job) for found in pairs):
                nearest = min(pairs, key=lambda each: each.relative)
                return _told(place, nearest, compared)
    return None


def _values(
    job: Job, session: Session, number: int, feed: Feed, names: Sequence[str], tell: Tell
) -> dict[str, Array | None]:
    wanted = list(dict.fromkeys(names))
    return dict(zip(wanted, run(job, session, number, feed, wanted, tell), strict=True))


def _pairs(
    place: Places, old: Mapping[str, Array | None], new: Mapping[str, Array | None]
) -> Iterator[Apart]:
    """Yield how far the values are apart, each of one model from each of the other that holds as much."""
    for ours in (old[name] for name in place.old):
        for theirs in (new[name] for name in place.new):
            if ours is None or theirs is None or ours.size != theirs.size or not ours.size:
                continue
            if ours.shape == theirs.shape:
                yield apart(ours, theirs)
            elif not ours.dtype.hasobject:  # in another layout: the same numbers in some order
                yield apart(np.sort(ours, axis=None), np.sort(theirs, axis=None))


def _told(place: Places, found: Apart, compared: int) -> Parting:
    return Parting(
        place.name,
        place.old_name,
        place.op_type,
        None if found.reason else found.largest,
        None if found.reason else found.relative,
        compared,
    )
