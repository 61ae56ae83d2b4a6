"""The whole story of a series of checkpoints: measured one after the other, then judged together."""

import contextlib
import math
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Unpack

from onnxtop.auditing.apart import apart
from onnxtop.auditing.layers import Memory, Progress
from onnxtop.auditing.options import settings_of
from onnxtop.auditing.tool import ALGORITHMS
from onnxtop.errors import OnnxtopError, UsageError
from onnxtop.options import asked
from onnxtop.results.outcome import FailedModel
from onnxtop.results.report import this_tool
from onnxtop.results.trace import Checkpoint, Cost, Step, Stopping, Trace
from onnxtop.tracing.cache import TRACE_ALGORITHM, Cache
from onnxtop.tracing.keywords import TraceKeywords
from onnxtop.tracing.logs import Logs
from onnxtop.tracing.measuring import MeasuredFile, check_architecture, checkpoint
from onnxtop.tracing.options import TraceOptions
from onnxtop.tracing.scores import ScoreTable
from onnxtop.tracing.series import CheckpointFile, files, placed
from onnxtop.tracing.stopping import CAVEAT, StoppingRule
from onnxtop.tracing.verdict import scale_notes, verdict
from onnxtop.work.crews import Threads
from onnxtop.work.options import processors
from onnxtop.work.store import store_of

TOOL = this_tool({**ALGORITHMS, "trace": TRACE_ALGORITHM})


def trace(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    options: TraceOptions | None = None,
    *,
    progress: Progress | None = None,
    **changes: Unpack[TraceKeywords],
) -> Trace:
    """Trace a training run through its checkpoints.

    Parameters
    ----------
    paths
        ONNX files of one architecture; a folder stands for every ``*.onnx`` below it.
    options
        How they are ordered, measured and judged.
    progress
        Called after each layer.
    **changes
        Or single options as keywords, see `TraceOptions`: ``patience=2``, ``scale="layer"``.

    Returns
    -------
    Trace
        A file that cannot be read has its failure in its place.

    Raises
    ------
    onnxtop.errors.UsageError
        Architectures that differ, options that make no sense, a name without the step that the label wants.
    onnxtop.errors.UnreadableError
        A folder of checkpoints, or one in it, cannot be listed.

    Examples
    --------
    ::

        trace = onnxtop.trace("run", patience=2)
        trace.verdict.course, trace.stopping.stopped
    """
    series = Series(asked(TraceOptions, options, changes), progress)
    if series.options.audit.work.apart:
        series.measure = partial(_measured_apart, series)
    with series.logs:
        places = placed(files(paths), series.options)
        with contextlib.closing(series.sources(places)) as sources:
            for source in sources:
                _add(series, source)
    return series.trace()


def _measured_apart(series: "Series", source: MeasuredFile) -> Checkpoint:
    """Measure a checkpoint in a copy of the series, which goes on here."""

    def measure(progress: Progress) -> Checkpoint:
        return series.measured(source)

    return apart(measure, [source.place.path], series.options.audit.work, series.progress)


def _add(series: "Series", source: MeasuredFile) -> None:
    """Add a checkpoint, or what is wrong with it."""
    try:
        series.add(source)
    except UsageError:
        raise
    except OnnxtopError as error:
        path = source.place.path
        series.fail(FailedModel(path, error.exit_code, str(error).removeprefix(f"{path}: ")))


class Series:
    """Checkpoints so far, and what is needed to add one more.

    Of one that is ``growing``, the table of scores grows as well: it is read when the trace is asked for, and
    may lack rows. What is added is measured by ``measure``, which may do it elsewhere.
    """

    def __init__(
        self, options: TraceOptions, progress: Progress | None = None, *, growing: bool = False
    ) -> None:
        self.options = options
        self.progress = progress
        work = options.audit.work
        self.jobs = 1 if work.scheduler is not None else work.jobs or processors()
        store = store_of(options.audit.work)
        self.memory = Memory(store, series=True)
        self.cache = Cache(options.audit, store)
        self.rule = StoppingRule(options.stopping)
        self.growing = growing
        self.scores = None if options.metric_file is None or growing else ScoreTable(options.metric_file)
        self.logs = Logs(options.log)
        self.steps: list[Step] = []
        self.first: Checkpoint | None = None
        self.last: MeasuredFile | None = None
        self.measure = self.measured
        self._ahead: Generator[MeasuredFile, None, None] | None = None

    @property
    def points(self) -> list[Checkpoint]:
        """The checkpoints that could be read."""
        return [step for step in self.steps if isinstance(step, Checkpoint)]

    def source(self, place: CheckpointFile, file: str | None = None) -> MeasuredFile:
        """Return a checkpoint to add, with its bytes in another file than its own if need be."""
        return MeasuredFile(place, file or place.path, self.options.audit, self.memory, self.progress)

    def sources(self, places: Sequence[CheckpointFile]) -> Generator[MeasuredFile, None, None]:
        """Yield checkpoints to add in their order, measured some ahead where several are at a time.

        Whoever stops before the end closes it: then nobody works any more.
        """
        sources = [self.source(place) for place in places]
        if self.jobs == 1:
            yield from sources
            return
        alone = replace(self.options.audit, work=replace(self.options.audit.work, jobs=1))
        sources = [replace(source, options=alone) for source in sources]
        crew = Threads(lambda number: self._prepare(sources[number], sources), self.jobs)
        waiting: deque[Future[None]] = deque()
        try:
            for number, source in enumerate(sources):
                for ahead in range(number + len(waiting), min(number + self.jobs, len(sources))):
                    waiting.append(crew.submit(ahead, ahead))
                waiting.popleft().exception()  # which is told where the checkpoint is added
                yield source
        finally:
            crew.stop()

    def _prepare(self, source: MeasuredFile, sources: Sequence[MeasuredFile]) -> None:
        """Measure a checkpoint that is not remembered."""
        number = sources.index(source)
        if self.cache.get(source, sources[number - 1] if number else None) is None:
            _ = source.audited

    def add(self, source: MeasuredFile) -> Checkpoint:
        """Measure one more checkpoint, compare it with the last and ask the rule; see `measured`."""
        return self.take(source, self.measure(source))

    def next_of(self, places: Sequence[CheckpointFile]) -> Checkpoint:
        """Measure the next of these checkpoints, which comes behind all steps so far; see `measured`."""
        if self._ahead is None:
            self._ahead = self.sources(places[len(self.steps) :])
        return self.measured(next(self._ahead))

    def look_no_further(self) -> bool:
        """Measure nothing ahead any more; tell whether something was: who died may have died of that."""
        ahead, self.jobs = self.jobs > 1, 1
        return ahead

    def close(self) -> None:
        """Stop measuring ahead."""
        if self._ahead is not None:
            self._ahead.close()

    def measured(self, source: MeasuredFile) -> Checkpoint:
        """Measure one more checkpoint, and compare it with the last.

        Raises
        ------
        ModelError, NothingToAnalyseError
            It cannot be read, or has no weights.
        UsageError
            It is of another architecture, or the options do not fit it.
        """
        before, first = self.last, self.first
        found = self.cache.measured(source, before, lambda: checkpoint(source, before, first))
        if first is not None:
            check_architecture(first, found)
        if before is not None:
            before.release()
        self.first, self.last = first or found, source
        return found

    def take(self, source: MeasuredFile, found: Checkpoint) -> Checkpoint:
        """Add a checkpoint that was measured, here or by a copy of this series, and ask the rule.

        Raises
        ------
        UsageError
            The table of scores does not fit it.
        """
        if self.last is None or self.last.place != source.place:
            self.last = source
        self.first = self.first or found
        if self.scores is not None:
            found = self.scores.of(found, len(self.steps))
        stop = self.rule.update(_watched(found, self.rule.options.measure))
        found = replace(found, waited=self.rule.waited, stop=stop)
        self._log(found)
        self.steps.append(found)
        return found

    def _log(self, point: Checkpoint) -> None:
        """Log a checkpoint, at its step or else its number, and at the time of its file."""
        moment = None
        with contextlib.suppress(OSError):  # of a run that is followed, it may be gone
            moment = Path(point.path).stat().st_mtime
        step = len(self.points) if point.step is None else point.step
        self.logs.write(step, point.metrics(), moment)

    def fail(self, failed: FailedModel) -> None:
        """Put a failure in a checkpoint's place."""
        self.steps.append(failed)

    def trace(self, *, complete: bool = True) -> Trace:
        """Return what is known so far."""
        points, steps = self.points, self.steps
        if self.growing and self.options.metric_file is not None:
            steps = _with_scores(steps, self.options.metric_file)
            points = [step for step in steps if isinstance(step, Checkpoint)]
        return Trace(
            tool=TOOL,
            settings=settings_of(self.options.audit),
            verdict=verdict(points),
            stopping=self._stopping(points),
            checkpoints=tuple(steps),
            notes=(*scale_notes(points), *self._other_scale(points)),
            complete=complete,
        )

    def _other_scale(self, points: Sequence[Checkpoint]) -> Iterator[str]:
        """Say where the rule would have stopped by the other scale, if elsewhere."""
        if self.rule.options.measure != "np":
            return
        name = "global" if self.options.audit.scale == "layer" else "layer"
        other = StoppingRule(self.rule.options)
        for point in points:
            value = point.scale_global if name == "global" else point.scale_layer
            other.update(_or_nan(point, value))
        if other.stopped_at != self.rule.stopped_at:
            where = "not have" if other.stopped_at is None else "have"
            at = "" if other.stopped_at is None else f" at {points[other.stopped_at].name}"
            yield f"with scale {name} the rule would {where} stopped{at}"

    def _stopping(self, points: Sequence[Checkpoint]) -> Stopping:
        rule, asked = self.rule, self.rule.options
        stopped = None if rule.stopped_at is None else points[rule.stopped_at].name
        return Stopping(
            measure=asked.measure,
            patience=asked.patience,
            min_delta=asked.min_delta,
            burn_in=asked.burn_in,
            checks=rule.checks,
            best=None if rule.best_at is None else points[rule.best_at].name,
            value=None if rule.best_at is None else rule.best,
            stopped=stopped,
            saved=0 if rule.stopped_at is None else len(points) - 1 - rule.stopped_at,
            caveat=_caveat(points) if asked.measure == "np" else None,
            cost=_cost(points, rule),
        )


def _with_scores(steps: Sequence[Step], table: str) -> list[Step]:
    """Return the steps with their scores, as far as the table has them by now."""
    found = list(steps)
    with contextlib.suppress(UsageError):
        scores = ScoreTable(table)
        for number, step in enumerate(steps):
            if isinstance(step, Checkpoint):
                with contextlib.suppress(UsageError):
                    found[number] = scores.of(step, number)
    return found


def _watched(point: Checkpoint, measure: str) -> float:
    return _or_nan(point, point.deep_graph_persistence if measure == "dgp" else point.neural_persistence)


def _or_nan(point: Checkpoint, value: float | None) -> float:
    """Return a figure for the rule: NaN where a layer is not finite, and the mean is of the others."""
    return math.nan if value is None or any(layer.nonfinite for layer in point.layers) else value


def _caveat(points: Sequence[Checkpoint]) -> str | None:
    if not points or not points[-1].convolutions:
        return None
    return f"{points[-1].convolutions} of {len(points[-1].layers)} layers are convolutions: {CAVEAT}"


def _cost(points: Sequence[Checkpoint], rule: StoppingRule) -> Cost | None:
    """Compare the accuracy where the rule fired with that of the same rule on the loss, and of no rule."""
    scores = [point.judged_on for point in points]
    if not scores or all(each is None or each.accuracy is None for each in scores):
        return None
    accuracies = [None if each is None else each.accuracy for each in scores]
    losses = [None if each is None else each.loss for each in scores]
    on_loss = StoppingRule(replace(rule.options, min_delta=0.0), best=-math.inf)
    for loss in losses:
        on_loss.update(math.nan if loss is None else -loss)
    at = on_loss.stopped_at
    judged = any(loss is not None for loss in losses)
    return Cost(
        source=next(each.split for each in scores if each is not None),
        stopped=None if rule.stopped_at is None else accuracies[rule.stopped_at],
        last=accuracies[-1],
        validation=points[at].name if judged and at is not None else None,
        validation_stopped=accuracies[-1 if at is None else at] if judged else None,
    )
