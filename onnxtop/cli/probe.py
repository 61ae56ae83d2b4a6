"""``onnxtop probe``: loss, accuracy and gradient of a model on data, and the landscape around it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import attempts, exit_code
from onnxtop.cli.models import find_models
from onnxtop.cli.verb import Run, Verb
from onnxtop.errors import ModelError, UsageError
from onnxtop.render import FailedModel
from onnxtop.render.probe import Probed

if TYPE_CHECKING:
    from onnxtop.loss.options import ProbeOptions

__all__ = ["command"]

_INTERRUPTED = 130


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(f"wanted numbers with commas between, found {value!r}") from None


@click.command("probe", cls=Verb, result="probe", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--data",
    required=True,
    metavar="PATH",
    type=click.Path(),
    help="Samples: .npz with arrays named as the inputs and labels or target, .npy, or a folder of images.",
)
@click.option(
    "--labels", metavar="FILE", type=click.Path(), help="Labels or targets, where --data is an .npy file."
)
@click.option("--split", metavar="NAME", help="Use the arrays whose names end in _NAME.")
@click.option(
    "--loss",
    type=click.Choice(["auto", "cross-entropy", "binary", "mse", "l1", "huber"]),
    default="auto",
    show_default=True,
    help="Which loss; by the output's shape and the target's type if auto.",
)
@click.option(
    "--target-output",
    "output",
    metavar="NAME",
    help="Which output the loss is of, where the model has several.",
)
@click.option(
    "--batchnorm",
    type=click.Choice(["frozen", "batch", "recalibrate"]),
    default="frozen",
    show_default=True,
    help="Statistics of BatchNormalization: stored, of each batch, or measured anew.",
)
@click.option(
    "--l2", type=click.FloatRange(min=0), default=0.0, metavar="NUMBER", help="Add this much weight decay."
)
@click.option(
    "--ignore-index",
    type=int,
    default=-100,
    show_default=True,
    metavar="LABEL",
    help="The label that does not count.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), metavar="N", help="Samples in a run; by memory if not given."
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads in a run; by size if not given."
)
@click.option("--quick", is_flag=True, help="Loss, scores and gradient only.")
@click.option("--surface", is_flag=True, help="Measure the loss over a plane too; draw it with -o FILE.svg.")
@click.option(
    "--surface-points",
    type=click.IntRange(min=3),
    default=25,
    show_default=True,
    metavar="N",
    help="Points a side.",
)
@click.option(
    "--finite-differences",
    is_flag=True,
    help="Allow them where an operation has no rule (up to 300 parameters).",
)
@click.option("--mean", metavar="M[,M,M]", callback=_numbers, help="Subtract from pixels (0 to 1) of images.")
@click.option("--deviation", metavar="S[,S,S]", callback=_numbers, help="Divide pixels of images by.")
@click.option(
    "--budget", type=click.FloatRange(min=0), metavar="SECONDS", help="Begin no further step after so long."
)
@click.option(
    "--allow-external",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    multiple=True,
    help="Also read external weights from this folder.",
)
@click.option(
    "--seed",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of random directions.",
)
def command(run: Run, models: tuple[str, ...], data: str, **settings: Any) -> int:
    """Loss, accuracy and gradient of a model on data.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern. This verb runs the model.
    """
    found = find_models(models)
    if not settings["surface"] and any(output.format == "svg" for output in run.outputs):
        raise UsageError("svg draws the loss surface: add --surface")
    run.check([*found, data])
    work = _work(run, data, _options(**settings))
    results: list[Probed | FailedModel] = []
    # data that does not fit ends the run: no other model is likely to do better
    for result in attempts(run, found, work, fatal=(UsageError,)):
        results.append(result)
        if _interrupted(result):
            break
    run.write(results)
    if any(map(_interrupted, results)):
        return _INTERRUPTED
    return exit_code(result.code if isinstance(result, FailedModel) else 0 for result in results)


def _options(
    quick: bool,
    surface: bool,
    surface_points: int,
    finite_differences: bool,
    mean: tuple[float, ...] | None,
    deviation: tuple[float, ...] | None,
    **settings: Any,
) -> "ProbeOptions":
    from onnxtop.loss.options import Pixels, ProbeOptions

    return ProbeOptions(
        surface=surface_points if surface else 0,
        differences=finite_differences,
        profile=not quick,
        sharpness=not quick,
        descent=not quick,
        image=Pixels(mean=mean or (0.0,), deviation=deviation or (1.0,)),
        **settings,
    )


def _work(run: Run, data: str, options: "ProbeOptions") -> Callable[[str], Probed]:
    from onnxtop.loss import summary
    from onnxtop.reader.model import load

    def work(path: str) -> Probed:
        model = load(path, allow_external=options.allow_external)
        try:
            result = summary.probe_summary(model, data, options, run.progress)
        except MemoryError:
            raise ModelError("there is not enough memory; give a smaller --batch-size") from None
        return Probed(path, model.sha256(), model.byte_count, result)

    return work


def _interrupted(result: Probed | FailedModel) -> bool:
    return isinstance(result, Probed) and result.result.stopped == "interrupt"
