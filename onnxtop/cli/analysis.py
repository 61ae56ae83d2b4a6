"""Models in, results and an exit code out: what verbs that take several models have in common."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import messages
from onnxtop.cli.models import find_models
from onnxtop.cli.verb import Run
from onnxtop.errors import ModelError, OnnxtopError
from onnxtop.render.text import counted
from onnxtop.results.outcome import FailedModel, Result, code_of, exit_code

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
    chosen = AuditOptions(**options)
    results = analyse(run, found, chosen, lambda path: policy)
    from onnxtop.auditing.story import head_of

    # a report fails nothing unless asked, and yet says what a check would say of the errors
    run.write(results, None if fail_on == "never" else fail_on, head_of(chosen))
    return exit_code(code_of(result, fail_on) for result in results)


def analyse(
    run: Run,
    models: Sequence[str | FailedModel],
    options: AuditOptions,
    policy: "Callable[[str], Policy | None]" = lambda path: None,
) -> list[Result]:
    """Audit every model; that it gave no figures is told on stderr."""
    from onnxtop.auditing.story import audit  # loads numpy and onnx: not for errors of usage

    run.progress.wait()
    results: list[Result] = []
    for result in attempts(
        run, models, lambda path: audit(path, options, policy=policy(path), progress=run.progress)
    ):
        results.append(result)
        if not isinstance(result, FailedModel):
            _tell(result, run)
    return results


def attempts(
    run: Run,
    models: Sequence[str | FailedModel],
    work: Callable[[str], Found],
    fatal: tuple[type[Exception], ...] = (),
) -> Iterator[Found | FailedModel]:
    """Do the work for every model; a failure is told on stderr, takes its place and stops no other.

    Errors of a ``fatal`` kind are not failures of the one model: they end the run.
    """
    for number, model in enumerate(models, start=1):
        if isinstance(model, str):
            run.progress.title = f"{number}/{len(models)} {model}"
            result = _attempt(run, model, work, fatal)
        else:
            result = model
        if isinstance(result, FailedModel):
            run.progress.stop()
            messages.error(result.message, result.path)
        yield result


def _attempt(
    run: Run, path: str, work: Callable[[str], Found], fatal: tuple[type[Exception], ...]
) -> Found | FailedModel:
    try:
        with readable(path):
            return work(path)
    except fatal:
        raise
    except OnnxtopError as error:
        return FailedModel(path, error.exit_code, str(error).removeprefix(f"{path}: "))
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
        raise ModelError(f"{path}: there is not enough memory to {work}") from None
    except OSError as error:
        raise ModelError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None


def _tell(result: "Report", run: Run) -> None:
    if not result.coverage.parameters_analysed:
        from onnxtop.render.report.facts import why_empty

        run.progress.stop()
        messages.error(f"nothing to analyse: {why_empty(result)}", result.model.path)
    elif run.voice.verbose:
        run.progress.stop()
        weights = counted(result.coverage.parameters_analysed, "weight")
        run.voice.note(
            f"{result.model.path}: {counted(len(result.layers), 'layer')} shown, {weights} analysed"
        )
