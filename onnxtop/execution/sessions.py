"""Models opened in the process that runs them, and the first inputs that they take."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import ModelError
from onnxtop.execution.feeds import Feed, Sampled, Seeded
from onnxtop.execution.job import Job
from onnxtop.loss.prepare.whole import whole
from onnxtop.loss.runtime import Runtime, Session
from onnxtop.results.run import RunFailure

Array = NDArray[Any]
Tell = Callable[[int], None]


class EndedError(Exception):
    """A run that ends here, with what is to be said of it."""

    def __init__(self, failure: RunFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def opened(job: Job, number: int, tell: Tell, *, plain: bool, outputs: Iterable[str] = ()) -> Session:
    """Open one of the models: its file, or what was read of it where it needs other folders or outputs."""
    path = job.models[number]
    tell(number)
    wanted = list(outputs)
    try:
        model = whole(path, job.allow_external, wanted, job.limits) if job.embed or wanted else Path(path)
        return Runtime(as_given=True).open(model, plain=plain)
    except ModelError as error:
        raise EndedError(RunFailure("refused", str(error), number)) from None


def started(
    job: Job, given: Seeded | Sampled, sessions: Sequence[Session], names: Sequence[Sequence[str]], tell: Tell
) -> tuple[int, list[Array | None]]:
    """Return which shapes serve all models, and what the first of them gives for the first inputs."""
    failure: RunFailure | None = None
    for chosen in range(given.tries):
        feed = next(given.feeds(chosen))
        try:
            results = run_all(job, sessions, feed, names, tell)
        except EndedError as ended:
            failure = failure or ended.failure
        else:
            return chosen, results[0]
    assert failure is not None
    raise EndedError(failure)


def run_all(
    job: Job, sessions: Sequence[Session], feed: Feed, names: Sequence[Sequence[str]], tell: Tell
) -> list[list[Array | None]]:
    """Return what every model gives for the same inputs."""
    return [run(job, session, number, feed, names[number], tell) for number, session in enumerate(sessions)]


def run(
    job: Job, session: Session, number: int, feed: Feed, outputs: Sequence[str], tell: Tell
) -> list[Array | None]:
    """Return some outputs as arrays, None for what is none."""
    tell(number)
    try:
        return [_array(result) for result in session.run(outputs, feed.of(job.inputs, number))]
    except ModelError as error:
        kind = "inputs" if _guessed(job) else "failed"
        raise EndedError(RunFailure(kind, str(error), number)) from None


def _guessed(job: Job) -> bool:
    """Tell whether the model may want other inputs than those that were made."""
    return job.data is None and any(
        each.shape is None or None in each.shape[1:] or np.dtype(each.types[0]).kind not in "fV"
        for each in job.inputs
    )


def _array(result: Any) -> Array | None:
    """Return what an output gives as an array: a map for each sample is its values."""
    if isinstance(result, np.ndarray):
        return result.astype(np.float32) if result.dtype.kind == "V" else result
    if isinstance(result, list) and result and all(isinstance(item, Mapping) for item in result):
        return np.array([list(item.values()) for item in result])
    return None


def equal(old: Array | None, new: Array | None) -> bool:
    """Tell whether two arrays are one, NaN included."""
    if old is None or new is None:
        return old is new
    return np.array_equal(old, new, equal_nan=old.dtype.kind in "fc" and new.dtype.kind in "fc")
