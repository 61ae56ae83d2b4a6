"""``onnxtop trace``: how training got there, checkpoint by checkpoint, and when it could have stopped."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import messages
from onnxtop.cli.analysis import attempts, once, readable
from onnxtop.cli.models import find_models
from onnxtop.cli.options import AT_A_TIME, MEASURED, WORK, options_of
from onnxtop.cli.outputs import Output, put, writing
from onnxtop.cli.progress import GrowingPage
from onnxtop.cli.verb import Run, TellingVerb
from onnxtop.errors import ModelError, UsageError
from onnxtop.options import with_values
from onnxtop.results.outcome import INTERRUPTED, FailedModel, exit_code
from onnxtop.tracing.logs import files_of
from onnxtop.tracing.options import TraceOptions, WatchOptions
from onnxtop.tracing.stopping import StoppingOptions

if TYPE_CHECKING:
    from onnxtop.auditing.layers import Progress
    from onnxtop.results.trace import Checkpoint, Step
    from onnxtop.tracing.measuring import MeasuredFile
    from onnxtop.tracing.series import CheckpointFile
    from onnxtop.tracing.story import Series


EXIT_CODES = """\b
Exit codes:
  0    every checkpoint was traced; with --until-stop: the rule fired
  2    usage error, or checkpoints of several architectures
  3    a checkpoint could not be read, or a name or pattern finds none
  4    nothing to trace: no weight tensors, or no model in a folder
  5    internal error
  130  interrupted: what was done is written
Several failures: the code is the first that applies
of 130, 2, 5, 3, 0, 4."""


@click.command("trace", cls=TellingVerb, result="trace", epilog=EXIT_CODES)
@click.argument("checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True)
@options_of(TraceOptions, "order", "label")
@options_of(StoppingOptions)
@options_of(AuditOptions, "data")
@options_of(TraceOptions, "metric_file")
@options_of(WatchOptions)
@options_of(TraceOptions, "log")
@options_of(WORK, *AT_A_TIME, "cache")
@options_of(AuditOptions, *MEASURED, "allow_external", "max_download", "limits", "peepholes")
def command(
    run: Run, checkpoints: tuple[str, ...], follow: bool, until_stop: bool, interval: float, **options: Any
) -> int:
    """How training got there, checkpoint by checkpoint, and when to stop.

    CHECKPOINT is an ONNX file, a folder (every *.onnx below it) or a pattern; all of one architecture. With
    --follow it is one folder.
    """
    asked = with_values(TraceOptions(), options)
    watching = WatchOptions(follow, until_stop, interval)
    found = find_models(checkpoints)
    logs = [Output("csv", path) for path in files_of(asked.log)]
    run.note_cache(asked.audit.work)
    run.check([*found, asked.audit.data, asked.metric_file], logs)
    from onnxtop.tracing.story import Series  # loads numpy and onnx: not for help

    series = Series(asked, None if follow else run.progress, growing=follow)
    with series.logs:
        ended = _follow(run, series, checkpoints, watching) if follow else _all(run, series, found)
        run.write(series.trace(complete=not ended))
    codes = [step.code if isinstance(step, FailedModel) else 0 for step in series.steps]
    return ended or (0 if until_stop else exit_code(codes))


def _all(run: Run, series: "Series", found: Sequence[str | FailedModel]) -> int:
    """Measure checkpoints that are there; return the code of an interrupt, 0 without one."""
    with run.whole():
        places = _placed(run, series, [model for model in found if isinstance(model, str)])
    models: list[str | FailedModel] = [place.path for place in places]
    models += [each for each in found if isinstance(each, FailedModel)]
    run.progress.wait()
    with contextlib.closing(series):
        # what does not fit the first checkpoint ends the run, and so does what was asked wrongly
        measure, work = partial(_measured, series, places), series.options.audit.work
        alone = replace(work, jobs=1, scheduler=None)
        measured = attempts(
            run, models, measure, fatal=(UsageError,), work=alone, held=True, again=series.look_no_further
        )
        with contextlib.closing(measured):
            for number, step in enumerate(measured):
                if isinstance(step, FailedModel):
                    series.fail(step)
                else:
                    series.take(series.source(places[number]), step)
                run.add(series.steps[-1], run.rendering())
    cut = any(isinstance(step, FailedModel) and step.code == INTERRUPTED for step in series.steps)
    return INTERRUPTED if cut else 0


def _placed(run: Run, series: "Series", paths: Sequence[str]) -> "list[CheckpointFile]":
    """Return checkpoints in their order; a label is looked for where that may be without end."""
    from onnxtop.tracing.series import placed

    def place(progress: "Progress") -> "list[CheckpointFile]":
        return placed(paths, series.options)

    if series.options.label is None or not paths:
        return placed(paths, series.options)
    return once(run, place, paths, series.options.audit.work, held=True)


def _measured(
    series: "Series", places: "Sequence[CheckpointFile]", path: str, progress: "Progress"
) -> "Checkpoint":
    """Measure the next checkpoint, wherever that is: the series goes on here, or in a copy of it."""
    series.progress = progress
    return series.next_of(places)


def _follow(run: Run, series: "Series", folders: tuple[str, ...], options: WatchOptions) -> int:
    """Measure the checkpoints of a folder as they appear; return the code of what ended that but the rule.

    Raises
    ------
    UsageError, ModelError
        Nothing can be measured, or nothing more before there was anything.
    """
    from onnxtop.tracing.watching import Watch

    if len(folders) != 1 or os.path.isfile(folders[0]):
        raise UsageError(f"wanted one folder to follow, found {', '.join(folders)}")
    if not os.path.isdir(folders[0]):
        raise ModelError(f"{folders[0]}: wanted a folder to follow, found none")
    series.measure = partial(_measured_apart, run, series)
    watch = Watch(folders[0], series, options.interval, lambda path: _placed(run, series, [path])[0].step)
    steps = watch.steps()
    page = run.growing()
    try:
        while not (options.until_stop and series.rule.stopped):
            with run.interrupts.heard(), readable(folders[0], "measure these checkpoints"):
                step = next(steps)
            _show(run, series, step, page)
    except KeyboardInterrupt:
        for failed in watch.waiting.values():
            series.fail(failed)
        page.stop()
        messages.error("interrupted: this is what was measured until then")
        return INTERRUPTED
    except ModelError as error:
        if not series.steps:
            raise
        page.stop()
        messages.error(f"{error}: this is what was measured until then")
        return error.exit_code
    finally:
        page.stop()
        steps.close()
    return 0


def _measured_apart(run: Run, series: "Series", source: "MeasuredFile") -> "Checkpoint":
    """Measure a checkpoint in a copy of the series, which goes on here."""

    def measure(progress: "Progress") -> "Checkpoint":
        return series.measured(source)

    return once(run, measure, (source.file,), series.options.audit.work, held=True)


def _show(run: Run, series: "Series", step: "Step", page: GrowingPage) -> None:
    """Tell of one more checkpoint: on the page, as a line of its own, or on stderr if it has no figures."""
    from onnxtop.render.trace.facts import line

    run.add(step, run.rendering())
    if page.enabled:
        run.show(page, "trace", series.trace(), run.rendering())
    elif isinstance(step, FailedModel):
        messages.error(step.message, step.path)
    else:
        for output in (each for each in run.outputs if each == Output("terminal")):
            with writing(output):
                put(output, line(step) + "\n")
