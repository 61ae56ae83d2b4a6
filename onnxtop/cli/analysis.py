"""Models in, results and an exit code out: what verbs that take several models have in common."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import messages
from onnxtop.cli.models import find_models
from onnxtop.cli.verb import Run
from onnxtop.errors import ModelError, OnnxtopError
from onnxtop.options import with_values
from onnxtop.reader.address import called
from onnxtop.results.outcome import INTERRUPTED, FailedModel, Result, code_of, exit_code
from onnxtop.results.words import counted

if TYPE_CHECKING:
    from onnxtop.results.report import Report
    from onnxtop.rules.rule import Policy

Found = TypeVar("Found")


def run_audit(
    run: Run, models: Iterable[str], fail_on: str, configured: Mapping[str, Any], **options: Any
) -> int:
    """Audit the models that the arguments name, as configured, write every output, return the code."""
    from onnxtop.rules.policy import policy_of  # loads numpy: not for help

    policy = policy_of(configured) if configured else None
    found = find_models(models)
    run.check(found)
    # a report fails nothing unless asked, and yet says what a check would say of the errors
    judged = None if fail_on == "never" else fail_on
    asked = with_values(AuditOptions(), options)
    results = analyse(run, found, asked, judged, lambda path: policy)
    return exit_code(code_of(result, fail_on) for result in results)


def analyse(
    run: Run,
    models: Sequence[str | FailedModel],
    options: AuditOptions,
    fail_on: str | None = None,
    policy: "Callable[[str], Policy | None]" = lambda path: None,
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
    for result in attempts(run, models, lambda path: _report(path, options, policy(path), run.progress)):
        results.append(result)
        run.add(result, shown)
        if not isinstance(result, FailedModel):
            _tell(result, run)
        if len(models) > 1 and run.progress.late and run.progress.page.enabled:
            run.show(run.progress.page, "report", results, shown)
    run.write(results, shown)
    return results


def _report(
    path: str, options: AuditOptions, policy: "Policy | None", progress: Callable[[str, int, int], None]
) -> "Report":
    """Return the report on a model; what audits is loaded for the first that is not remembered."""
    from onnxtop.auditing.recall import recalled

    known = recalled(path, options, policy)
    if known is not None:
        return known
    from onnxtop.auditing.story import audit  # loads onnx

    return audit(path, options, policy=policy, progress=progress)


def attempts(
    run: Run,
    models: Sequence[str | FailedModel],
    work: Callable[[str], Found],
    fatal: tuple[type[Exception], ...] = (),
) -> Iterator[Found | FailedModel]:
    """Do the work for every model; a failure is told on stderr, takes its place and stops no other.

    Errors of a ``fatal`` kind are not failures of the one model: they end the run. After an interrupt the
    models that are left have failed by it; that is told once.
    """
    run.progress.expect([size_of(model) for model in models])
    for number, model in enumerate(models):
        if isinstance(model, FailedModel):
            result: Found | FailedModel = model
        else:
            run.progress.begin(f"{number + 1}/{len(models)} {called(model)}", number)
            result = _timed(run, model, work, fatal)
        if isinstance(result, FailedModel):
            run.progress.stop()
            if result.code == INTERRUPTED:
                yield from (result, *not_reached(models, number))
                return
            messages.error(result.message, result.path)
        yield result


def not_reached(models: Sequence[str | FailedModel], done: int) -> list[FailedModel]:
    """Tell that a run was interrupted after so many models; return what stands in the places of the rest.

    The one in which it was interrupted has a result of its own.
    """
    messages.error(f"interrupted: {done:,} of {counted(len(models), 'model')} done")
    return [
        model if isinstance(model, FailedModel) else FailedModel(model, INTERRUPTED, "not reached")
        for model in models[done + 1 :]
    ]


def size_of(model: str | FailedModel) -> int:
    """Return the bytes of a model's file and of weights beside it, as a guess at how long it takes."""
    if isinstance(model, FailedModel):
        return 0
    files = (Path(f"{model}{suffix}") for suffix in ("", ".data", "_data"))
    return sum(file.stat().st_size for file in files if file.is_file())


def _timed(
    run: Run, path: str, work: Callable[[str], Found], fatal: tuple[type[Exception], ...]
) -> Found | FailedModel:
    start = time.monotonic()
    try:
        with run.interrupts.heard():
            return _attempt(run, path, work, fatal)
    except KeyboardInterrupt:
        return FailedModel(path, INTERRUPTED, "interrupted while it was analysed")
    finally:
        if run.seconds is not None:
            run.seconds[path] = time.monotonic() - start


def _attempt(
    run: Run, path: str, work: Callable[[str], Found], fatal: tuple[type[Exception], ...]
) -> Found | FailedModel:
    try:
        with readable(path):
            return work(path)
    except fatal:
        raise
    except OnnxtopError as error:
        return FailedModel(path, error.exit_code, str(error).removeprefix(f"{called(path)}: "))
    except Exception as error:
        run.progress.stop()
        run.voice.traceback_of(error)
        return FailedModel(path, OnnxtopError.exit_code, messages.internal(error))


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
    except MemoryError:
        raise ModelError(f"{called(path)}: there is not enough memory to {work}") from None
    except OnnxtopError:  # some are errors of the operating system too
        raise
    except OSError as error:
        name = error.filename or called(path)
        raise ModelError(f"{name}: cannot be read: {error.strerror or error}") from None


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
