"""One model run on several inputs: what of its outputs is not finite, constant, random, deaf to an input."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.execution.feeds import Feed, source
from onnxtop.execution.job import Answer, Job
from onnxtop.execution.sessions import EndedError, Tell, equal, opened, run, started
from onnxtop.loss.runtime import Session
from onnxtop.results.run import RunOutput

Array = NDArray[Any]

_SAME = 1e-6
"""Numbers that differ by no more than this share of them are one number, rounded."""
_MOST_INPUTS = 32
_BASES = 6
"""An input is moved from so many places before it is said to change nothing: each may be saturated."""


def run_single(job: Job, tell: Tell) -> Answer:
    """Open a model, run it on every feed, then once more with one input changed at a time."""
    session = opened(job, 0, tell, plain=False)
    given = source(job)
    names = list(session.types())
    chosen, first = started(job, given, [session], [names], tell)
    tallies = [_Tally(name) for name in names]
    base, *others = given.feeds(chosen)
    _take(tallies, first, base)
    for feed in others:
        _take(tallies, run(job, session, 0, feed, names, tell), feed)
    runs = 1 + len(others)
    again = run(job, session, 0, base, names, tell)
    for tally, old, new in zip(tallies, first, again, strict=True):
        tally.random = not equal(old, new)
    for feed in given.more(chosen):
        if any(tally.is_constant for tally in tallies):
            _take(tallies, run(job, session, 0, feed, names, tell), feed)
            runs += 1
    notes = list(given.notes)
    if len(job.inputs) > _MOST_INPUTS:
        notes.append(f"only the first {_MOST_INPUTS} of {len(job.inputs)} inputs were changed one by one")
    deaf = _ignored(job, session, [base, *others, *given.more(chosen)][:_BASES], tallies, tell)
    outputs = tuple(tally.told(deaf[place]) for place, tally in enumerate(tallies))
    return Answer(runs=runs, chosen=chosen, outputs=outputs, notes=tuple(notes))


def _take(tallies: Sequence["_Tally"], results: Sequence[Array | None], feed: Feed) -> None:
    for tally, result in zip(tallies, results, strict=True):
        tally.add(result, feed)


def _ignored(
    job: Job, session: Session, bases: Sequence[Feed], tallies: Sequence["_Tally"], tell: Tell
) -> list[tuple[str, ...]]:
    """Return for each output the inputs that change nothing of it, from wherever they start."""
    found: list[tuple[str, ...]] = [() for _ in tallies]
    names = [tally.name for tally in tallies]
    judged = {place for place, tally in enumerate(tallies) if tally.is_sound and not tally.is_constant}
    for each in job.inputs[:_MOST_INPUTS] if len(job.inputs) > 1 else ():
        still, made = {place for place in judged if not tallies[place].random}, 0
        for turn, base in enumerate(bases):
            other = base.other(job.inputs, each.name, job, turn) if still else None
            if other is None:
                continue
            try:
                first, results = (run(job, session, 0, feed, names, tell) for feed in (base, other))
            except EndedError:  # as it may where the values of inputs depend on each other
                still.clear()
                break
            made += 1
            still = {place for place in still if equal(first[place], results[place])}
        for place in still if made else ():
            found[place] += (each.name,)
    return found


class _Tally:
    """What is counted of one output over all runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.random = False
        self._type, self._shape = "no tensor", ()
        self._nan = self._infinite = self._unsound = self._compared = 0
        self._constant = True
        self._first: Array | None = None
        self._runs = 0

    @property
    def is_sound(self) -> bool:
        """Whether the first run gave numbers, or words."""
        return self._first is not None and self._first.size > 0 and not self._nan

    @property
    def is_constant(self) -> bool:
        """Whether all runs gave the same numbers."""
        return bool(self._constant and self._compared and self.is_sound and not self.random)

    def add(self, result: Array | None, feed: Feed) -> None:
        """Take what a run gave."""
        if result is None:
            return
        if not self._runs:
            self._type, self._shape = str(result.dtype), result.shape
        self._runs += 1
        rows = feed.rows if result.ndim and result.shape[0] == feed.size else None
        counted = result if rows is None else result[:rows]
        if counted.dtype.kind in "fc":
            nan = int(np.count_nonzero(np.isnan(counted)))
            infinite = np.isinf(counted)
            self._nan += nan
            self._infinite += int(np.count_nonzero(infinite))
            self._unsound += bool(nan or (counted[infinite] > 0).any())
        for part in [counted] if rows is None else counted:
            self._compare(np.asarray(part))

    def _compare(self, part: Array) -> None:
        if self._first is None:
            self._first = part
            return
        self._compared += 1
        self._constant = self._constant and _is_one(self._first, part)

    def told(self, ignores: tuple[str, ...]) -> RunOutput:
        """Return what was counted."""
        return RunOutput(
            name=self.name,
            type=self._type,
            shape=tuple(map(int, self._shape)),
            nan=self._nan,
            infinite=self._infinite,
            unsound=self._unsound,
            constant=self.is_constant,
            ignores=ignores,
            random=self.random,
        )


def _is_one(old: Array, new: Array) -> bool:
    if old.shape != new.shape or old.dtype.kind not in "fc":
        return equal(old, new)
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.all((old == new) | (np.abs(new - old) <= _SAME * np.abs(old))))
