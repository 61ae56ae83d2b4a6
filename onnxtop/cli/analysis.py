"""Models in, results and an exit code out: what every verb that audits has in common."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from onnxtop.cli import messages
from onnxtop.cli.messages import Voice
from onnxtop.cli.models import find_models
from onnxtop.cli.outputs import Output, check, write_all
from onnxtop.cli.progress import ProgressLine, wanted
from onnxtop.errors import ModelError, NothingToAnalyseError, OnnxtopError
from onnxtop.render import FAILING, FailedModel, Result
from onnxtop.render.text import counted

if TYPE_CHECKING:
    from onnxtop.auditing.story import AuditOptions

__all__ = ["analyse", "exit_code", "run"]

_ORDER = (2, 5, 3, 1)
"""The first of these that any model has is the exit code; 4 only if every model has it."""


def run(
    models: tuple[str, ...],
    outputs: list[Output],
    all_rows: bool,
    fail_on: str,
    no_progress: bool,
    quiet: bool,
    verbose: int,
    to_outputs: tuple[str, ...] = (),
    **options: Any,
) -> int:
    """Do what a verb was asked: audit its models with these options, write every output, return the code."""
    found = find_models(models)
    check(outputs, [model for model in found if isinstance(model, str)])
    from onnxtop.auditing.story import (
        AuditOptions,  # loads numpy and onnx: not for help, nor for errors of usage
    )

    voice = Voice(verbose, quiet)
    with ProgressLine(wanted(quiet, no_progress)) as progress:
        results = analyse(found, AuditOptions(outputs=to_outputs, **options), voice, progress)
    write_all(outputs, results, all_rows)
    for path in (output.path for output in outputs if output.path is not None):
        voice.note(f"wrote {path}")
    return exit_code(results, fail_on)


def analyse(
    models: Sequence[str | FailedModel], options: "AuditOptions", voice: Voice, progress: ProgressLine
) -> list[Result]:
    """Audit every model; a failure is told on stderr, takes the model's place and stops no other."""
    results: list[Result] = []
    for number, model in enumerate(models, start=1):
        if isinstance(model, str):
            progress.title = f"{number}/{len(models)} {model}"
            result = _audited(model, options, voice, progress)
        else:
            result = model
        results.append(result)
        if _failure(result) or voice.verbose:
            progress.stop()
            _tell(result, voice)
    return results


def exit_code(results: Iterable[Result], fail_on: str) -> int:
    """Return the exit code of a run."""
    codes = {_code(result, fail_on) for result in results}
    for code in _ORDER:
        if code in codes:
            return code
    return NothingToAnalyseError.exit_code if codes == {NothingToAnalyseError.exit_code} else 0


def _code(result: Result, fail_on: str) -> int:
    if isinstance(result, FailedModel):
        return result.code
    if any(finding.severity in FAILING[fail_on] and not finding.known for finding in result.findings):
        return 1
    return 0 if result.coverage.parameters_analysed else NothingToAnalyseError.exit_code


def _audited(path: str, options: "AuditOptions", voice: Voice, progress: ProgressLine) -> Result:
    from onnxtop.auditing.story import audit

    try:
        return audit(path, options, progress=progress)
    except OnnxtopError as error:
        return FailedModel(path, error.exit_code, _without(path, str(error)))
    except MemoryError:
        return FailedModel(path, ModelError.exit_code, "there is not enough memory to analyse this model")
    except OSError as error:
        return FailedModel(path, ModelError.exit_code, f"cannot be read: {error.strerror or error}")
    except Exception as error:
        progress.stop()
        voice.traceback_of(error)
        return FailedModel(path, OnnxtopError.exit_code, messages.internal(error))


def _without(path: str, message: str) -> str:
    """Leave out the path at the head of a message: it is told beside it."""
    return message.removeprefix(f"{path}: ")


def _tell(result: Result, voice: Voice) -> None:
    path = result.path if isinstance(result, FailedModel) else result.model.path
    if failure := _failure(result):
        messages.error(failure, path)
    elif not isinstance(result, FailedModel):
        weights = counted(result.coverage.parameters_analysed, "weight")
        voice.note(f"{path}: {counted(len(result.layers), 'layer')} shown, {weights} analysed")


def _failure(result: Result) -> str:
    """Say why a model gave no figures, empty if it gave some."""
    if isinstance(result, FailedModel):
        return result.message
    if result.coverage.parameters_analysed:
        return ""
    from onnxtop.render.report.facts import why_empty

    return f"nothing to analyse: {why_empty(result)}"
