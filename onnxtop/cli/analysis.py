"""Models in, results and an exit code out: what verbs that take several models have in common."""

import contextlib
import importlib
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import messages
from onnxtop.cli.apart import apart
from onnxtop.cli.baselines import Judge
from onnxtop.cli.models import find_models
from onnxtop.cli.verb import Run
from onnxtop.errors import ModelError, OnnxtopError
from onnxtop.options import with_values
from onnxtop.reader.address import called
from onnxtop.results.outcome import INTERRUPTED, FailedModel, Result, code_of, exit_code
from onnxtop.results.words import counted
from onnxtop.work import workers
from onnxtop.work.crews import GRACE, Lost
from onnxtop.work.inside import tell_share
from onnxtop.work.limits import NO_MEMORY
from onnxtop.work.options import LEAST_MEMORY, WorkOptions, processors
from onnxtop.work.processes import Again
from onnxtop.work.workers import Results

if TYPE_CHECKING:
    from onnxtop.auditing.layers import Progress
    from onnxtop.results.report import Report

Found = TypeVar("Found")


def run_audit(
    run: Run, models: Iterable[str], fail_on: str, configured: Mapping[str, Any], **options: Any
) -> int:
    """Audit the models that the arguments name, as configured, write every output, return the code."""
    from onnxtop.rules.policy import policy_of  # loads numpy: not for help

    judge = Judge(policy_of(configured), ()) if configured else None
    found = find_models(models)
    audited = with_values(AuditOptions(digests=run.digests), options)
    run.check([*found, audited.data])
    # a report fails nothing unless asked, and yet says what a check would say of the errors
    judged = None if fail_on == "never" else fail_on
    results = analyse(run, found, audited, judged, judge)
    return exit_code(code_of(result, fail_on) for result in results)


def analyse(
    run: Run,
    models: Sequence[str | FailedModel],
    options: AuditOptions,
    fail_on: str | None = None,
    judge: "Judge | None" = None,
) -> list[Result]:
    """Audit every model and write what was found; that it gave no figures is told on stderr.

    Of several models a table grows in the terminal meanwhile.
    """
    from onnxtop.auditing.tool import head_of  # loads numpy: not for errors of usage

    run.note_cache(options.work)
    run.progress.wait()
    results: list[Result] = []
    shown = run.rendering(fail_on, head_of(options), details=options.details)
    options = replace(options, details=options.details or run.draws_details, diagrams=False)
    run.progress.page = run.growing()
    known = _remembered(run, models, options, judge)
    new = [model for model in models if model not in known]
    work = shared_out(options.work, new)
    if work.jobs != 1:
        importlib.import_module("onnxtop.auditing.story")  # here, before there are copies of this process
    audited = partial(_audited, replace(options, work=each_its_own(work, new)), judge)
    seconds = options.work.seconds(runs=options.running.asked)
    for result in attempts(run, models, audited, work=work, known=known, seconds=seconds):
        results.append(result)
        run.add(result, shown)
        if not isinstance(result, FailedModel):
            _tell(result, run)
        if len(models) > 1 and run.progress.late and run.progress.page.enabled:
            run.show(run.progress.page, "report", results, shown)
    run.write(results, shown)
    return results


def _remembered(
    run: Run, models: Sequence[str | FailedModel], options: AuditOptions, judge: "Judge | None"
) -> "dict[str | FailedModel, Report]":
    """Return the reports that need no work, so that no worker is started for them; an interrupt ends that.

    To look for a pattern in names is work: it may be without end.
    """
    known: dict[str | FailedModel, Report] = {}
    if options.layers is not None:
        return known
    with contextlib.suppress(KeyboardInterrupt), run.interrupts.heard():  # it is told where work begins
        for model in models if judge is None or judge.is_ready else ():
            start = time.monotonic()
            if isinstance(model, str) and (report := _recalled(model, options, judge, run.progress)):
                known[model] = report
                if run.seconds is not None:
                    run.seconds[model] = time.monotonic() - start
    return known


def _recalled(
    path: str, options: AuditOptions, judge: "Judge | None", progress: "Progress"
) -> "Report | None":
    from onnxtop.auditing.recall import recalled

    with contextlib.suppress(OnnxtopError):  # it is told where the model is worked on
        return recalled(path, options, None if judge is None else judge.policy(path), progress)
    return None


def _audited(options: AuditOptions, judge: "Judge | None", path: str, progress: "Progress") -> "Report":
    from onnxtop.auditing.story import audit

    policy = None if judge is None else judge.policy(path, progress)
    return audit(path, options, policy=policy, progress=progress)


_MODEL_SECONDS, _BYTE_SECONDS = 0.03, 2e-8
"""About what a model takes, and each of its bytes more: measured, and only to tell how many workers pay."""
_WORTH_IT = 2.0
"""Seconds of work from which on another worker is worth its start."""
PATIENCE = 60.0
"""Seconds that work has to give what there is of it after an interrupt, where a part is worth something."""
_MODEL_MEMORY, _BYTE_MEMORY = 2**27, 1.3
"""What an audit takes of memory in bytes, and for each byte of the model."""


def shared_out(options: WorkOptions, models: Sequence[str | FailedModel]) -> WorkOptions:
    """Return who works on models: where nobody said how many at a time, as many as are worth their start."""
    seconds = sum(_MODEL_SECONDS + _BYTE_SECONDS * size_of(model) for model in models)
    jobs = options.jobs or max(1, min(processors(), int(seconds / _WORTH_IT)))
    return replace(options, jobs=jobs)


def each_its_own(options: WorkOptions, models: Sequence[str | FailedModel]) -> WorkOptions:
    """Return who works on the layers of each model, while so many models are worked on at a time."""
    jobs = options.jobs or processors()
    at_a_time = max(1, min(jobs, len(models)))
    memory = None if options.memory is None else max(LEAST_MEMORY, options.memory / at_a_time)
    scheduler = options.scheduler if len(models) == 1 else None
    return replace(options, jobs=jobs // at_a_time, memory=memory, scheduler=scheduler)


@dataclass(frozen=True)
class Attempt(Generic[Found]):
    """What came of a model where it was worked on, and what is to be told here."""

    result: Found | FailedModel
    seconds: float
    traceback: Sequence[str]
    warned: "Sequence[warnings.WarningMessage]"


def attempts(
    run: Run,
    models: Sequence[str | FailedModel],
    work_on: "Callable[[str, Progress], Found]",
    fatal: tuple[type[Exception], ...] = (),
    work: WorkOptions | None = None,
    known: "Mapping[str | FailedModel, Found] | None" = None,
    seconds: float | None = None,
    grace: float = GRACE,
    held: bool = False,
    again: "Again | None" = None,
) -> Generator[Found | FailedModel, None, None]:
    """Do the work for every model; a failure is told on stderr, takes its place and stops no other.

    Errors of a ``fatal`` kind are not failures of the one model: they end the run. After an interrupt the
    models that are left have failed by it, but those that were done by then; that is told once. What is
    ``known`` of a model needs no work. A model has so many ``seconds``, and after an interrupt so many of
    ``grace`` to give what there is of it. What is ``held`` for the work no other process can be sent.
    Where the process died, ``again`` is asked whether to do its model once more.
    """
    known = known or {}
    places = [n for n, model in enumerate(models) if isinstance(model, str) and model not in known]
    named = [_name(models[number]) for number in places]
    run.progress.expect([size_of(model) for model in models])
    work = apart(work or WorkOptions(), models, held=held)
    most = work.seconds() if seconds is None else seconds
    with workers.Workers(work, seconds=most, grace=grace, again=again) as pool:
        alone = pool.alone or len(named) < 2
        attempt: Callable[[str], Attempt[Found]] = partial(
            _attempt, work_on, fatal, run.progress if alone and not work.apart else tell_share
        )
        results: Results[Attempt[Found]] = pool.map(
            attempt,
            named,
            [_MODEL_MEMORY + _BYTE_MEMORY * size_of(model) for model in named],
            run.progress.at if alone else lambda number, share, _: run.progress.along(places[number], share),
        )
        for number in () if alone else set(range(len(models))).difference(places):
            run.progress.along(number, 1.0)  # nobody works on it
        for number, model in enumerate(models):
            if alone:
                run.progress.begin(f"{number + 1}/{len(models)} {called(_name(model))}", number)
            result = _taken(run, model, known, results)
            if _is_cut(result):
                run.progress.stop()
                left = [result]
                for each in models[number + 1 :]:
                    one = _taken(run, each, known, results)
                    left.append(one)
                _tell_interrupted(len(models) - sum(map(_is_cut, left)), len(models))
                yield from left
                return
            if isinstance(result, FailedModel):
                run.progress.stop()
                messages.error(result.message, result.path)
            yield result


def _name(model: str | FailedModel) -> str:
    return model.path if isinstance(model, FailedModel) else model


def _is_cut(result: object) -> bool:
    return isinstance(result, FailedModel) and result.code == INTERRUPTED


def not_reached(models: Sequence[str | FailedModel], done: int) -> list[FailedModel]:
    """Tell that a run was interrupted after so many models; return what stands in the places of the rest.

    The one in which it was interrupted has a result of its own.
    """
    _tell_interrupted(done, len(models))
    return [model if isinstance(model, FailedModel) else _cut(model) for model in models[done + 1 :]]


def _tell_interrupted(done: int, n_models: int) -> None:
    messages.error(f"interrupted: {done:,} of {counted(n_models, 'model')} done")


def _cut(path: str, *, begun: bool = False) -> FailedModel:
    message = "interrupted while it was analysed" if begun else "not reached"
    return FailedModel(path, INTERRUPTED, message)


def size_of(model: str | FailedModel) -> int:
    """Return the bytes of a model's file and of weights beside it, as a guess at how long it takes."""
    if isinstance(model, FailedModel):
        return 0
    files = (Path(f"{model}{suffix}") for suffix in ("", ".data", "_data"))
    return sum(file.stat().st_size for file in files if os.path.isfile(file))


def _taken(
    run: Run,
    path: str | FailedModel,
    known: Mapping[str | FailedModel, Found],
    results: Results[Attempt[Found]],
) -> Found | FailedModel:
    """Return what came of the next model; what is told of it is told here, in the order of the models."""
    if path in known:
        return known[path]
    if isinstance(path, FailedModel):
        return path
    try:
        with run.interrupts.heard():
            attempt = next(results)
    except KeyboardInterrupt:
        results.stop()
        attempt = next(results)
    if isinstance(attempt, Lost):
        if attempt.reason is None:
            return _cut(path, begun=attempt.begun)
        return FailedModel(path, ModelError.exit_code, f"the process that analysed it {attempt.reason}")
    if run.seconds is not None:
        run.seconds[path] = attempt.seconds
    _warn(attempt.warned)
    if attempt.traceback:
        run.progress.stop()
        run.voice.show(attempt.traceback)
    return attempt.result


def _warn(warned: "Sequence[warnings.WarningMessage]") -> None:
    for each in warned:
        warnings.warn_explicit(str(each.message), each.category, each.filename, each.lineno, registry=_WARNED)


_WARNED: dict[Any, int] = {}
"""Warnings that were shown."""


def _attempt(
    work_on: "Callable[[str, Progress], Found]",
    fatal: tuple[type[Exception], ...],
    progress: "Progress",
    path: str,
) -> Attempt[Found]:
    """Do the work for a model, wherever that is, and note what is to be told."""
    start = time.monotonic()
    traceback: Sequence[str] = ()
    with warnings.catch_warnings(record=True) as warned:
        try:
            with readable(path):
                result: Found | FailedModel = work_on(path, progress)
        except fatal:
            raise
        except OnnxtopError as error:
            result = FailedModel(path, error.exit_code, str(error).removeprefix(f"{called(path)}: "))
        except Exception as error:
            traceback = messages.traceback_of(error)
            result = FailedModel(path, OnnxtopError.exit_code, messages.internal(error))
    return Attempt(result, time.monotonic() - start, traceback, warned)


def once(
    run: Run,
    work_on: Callable[..., Found],
    models: Sequence[str],
    work: WorkOptions | None = None,
    *,
    seconds: float | None = None,
    grace: float = GRACE,
    held: bool = False,
) -> Found:
    """Do what `workers.once` does, with the progress of a command line, which also hears the warnings."""
    work = apart(work or WorkOptions(), models, held=held)
    result, warned = workers.once(
        partial(_recorded, work_on),
        tuple(map(called, models)),
        work,
        run.progress,
        seconds=work.seconds() if seconds is None else seconds,
        grace=grace,
    )
    _warn(warned)
    return result


def _recorded(
    work_on: Callable[..., Found], progress: "Progress"
) -> "tuple[Found, Sequence[warnings.WarningMessage]]":
    """Do work, wherever that is, and note what it warns of."""
    with warnings.catch_warnings(record=True) as warned:
        return work_on(progress=progress), warned


@contextlib.contextmanager
def readable(path: str, work: str = "analyse this model") -> Iterator[None]:
    """Say of which model it was that it could not be read, or took too much memory.

    Raises
    ------
    ModelError
        Instead of errors of the operating system.
    """
    try:
        yield
    except (MemoryError, ImportError, SystemError) as error:
        if not _is_want_of_memory(error):
            raise
        raise ModelError(f"{called(path)}: there is not enough memory to {work}; see --memory") from None
    except OnnxtopError:  # some are errors of the operating system too
        raise
    except OSError as error:
        name = error.filename or called(path)
        raise ModelError(f"{name}: cannot be read: {error.strerror or error}") from None


def _is_want_of_memory(error: Exception) -> bool:
    """Tell whether memory was missing, also where a library is loaded that has other words for it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def _tell(result: "Report", run: Run) -> None:
    if not (result.coverage.parameters_analysed and result.layers):
        from onnxtop.render.report.facts import nothing

        run.progress.stop()
        messages.error(nothing(result), result.model.path)
    elif run.voice.verbose:
        run.progress.stop()
        weights = counted(result.coverage.parameters_analysed, "weight")
        run.voice.note(
            f"{result.model.path}: {counted(len(result.layers), 'layer')} shown, {weights} analysed"
        )
