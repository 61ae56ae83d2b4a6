"""``onnxtop probe``: loss, accuracy and gradient of a model on data, and the landscape around it."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES, messages
from onnxtop.cli.analysis import PATIENCE, attempts, not_reached
from onnxtop.cli.models import find_models
from onnxtop.cli.options import LIMITS, WORK, DependentOption, options_of
from onnxtop.cli.verb import Run, Verb
from onnxtop.errors import ModelError, UsageError
from onnxtop.loss.options import ProbeOptions
from onnxtop.options import with_values
from onnxtop.render.probe import Probed, is_cut_short
from onnxtop.results.outcome import INTERRUPTED, FailedModel, exit_code
from onnxtop.work.options import WorkOptions

if TYPE_CHECKING:
    from onnxtop.loss.summary import Progress


@click.command("probe", cls=Verb, result="probe", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    type=click.Path(),
    help="Samples: .npz with arrays named as the inputs and labels or target, .npy, or a folder of images.",
)
@options_of(
    ProbeOptions,
    *(
        "labels",
        "split",
        "loss",
        "output",
        "batchnorm",
        "l2",
        "label_smoothing",
        "ignore_index",
        "batch_size",
        "threads",
    ),
)
@click.option("--quick", is_flag=True, help="Loss, scores and gradient only.")
@click.option("--surface", is_flag=True, help="Measure the loss over a plane too; draw it with -o FILE.svg.")
@click.option(
    "--surface-points",
    cls=DependentOption,
    needed={"surface": "--surface"},
    type=click.IntRange(min=3),
    default=25,
    show_default=True,
    metavar="N",
    help="Points a side; with --surface.",
)
@options_of(ProbeOptions, "max_loss", "min_accuracy")
@options_of(ProbeOptions, "differences", "mean", "deviation", "budget")
@options_of(ProbeOptions, "allow_external", "max_download", "limits", "seed")
@options_of(WORK, *LIMITS)
def command(
    run: Run,
    models: tuple[str, ...],
    data: str,
    memory: float | None,
    time_limit: float | None,
    **settings: Any,
) -> int:
    """Loss, accuracy and gradient of a model on data.

    MODEL is an ONNX file, a folder (every *.onnx below it), a pattern, an address (https://, s3://, hf://,
    gs://), or - for standard input. This verb runs the model. A loss that is not finite fails as one above
    --max-loss does: the exit code is 1.
    """
    found = find_models(models)
    if not settings["surface"] and any(output.format == "svg" for output in run.outputs):
        raise UsageError("svg draws the loss surface: add --surface")
    run.check([*found, data, settings["labels"]])

    work_on, work = (
        partial(_probed, data, _options(**settings)),
        WorkOptions(memory=memory, time_limit=time_limit),
    )
    results: list[Probed | FailedModel] = []
    # of several models one that the data does not fit costs only itself
    fatal = (UsageError,) if len(found) == 1 else ()
    for result in attempts(run, found, work_on, fatal=fatal, work=work, grace=PATIENCE):
        results.append(result)
        if isinstance(result, Probed) and is_cut_short(result):
            run.progress.stop()
            results += not_reached(found, len(results) - 1)
            break
    run.write(results)
    _tell(run, results)
    return exit_code(map(_code_of, results))


def _code_of(result: Probed | FailedModel) -> int:
    if is_cut_short(result):
        return INTERRUPTED
    return result.code if isinstance(result, FailedModel) else int(bool(result.result.failed))


def _tell(run: Run, results: Sequence[Probed | FailedModel]) -> None:
    """Say on stderr what failed, unless a page on stdout says so already."""
    if any(output.format == "terminal" and output.path is None for output in run.outputs):
        return
    for result in results:
        for failure in () if isinstance(result, FailedModel) else result.result.failed:
            messages.error(failure, result.path)


def _options(quick: bool, surface: bool, surface_points: int, **settings: Any) -> ProbeOptions:
    steps = dict.fromkeys(("profile", "sharpness", "descent"), not quick)
    return with_values(ProbeOptions(surface=surface_points if surface else 0), {**steps, **settings})


def _probed(data: str, options: ProbeOptions, path: str, progress: "Progress") -> Probed:
    from onnxtop.loss import summary
    from onnxtop.reader.loading import load

    model = load(
        path,
        allow_external=options.allow_external,
        max_download=options.max_download,
        limits=options.limits,
    )
    try:
        result = summary.probe(model, data, options, progress=progress)
    except MemoryError:
        raise ModelError("there is not enough memory; give a smaller --batch-size") from None
    return Probed(path, model.file.sha256(), model.byte_count, result)
