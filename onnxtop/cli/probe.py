"""``onnxtop probe``: loss, accuracy and gradient of a model on data, and the landscape around it."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES, messages, outputs
from onnxtop.cli.messages import Voice
from onnxtop.cli.models import find_models
from onnxtop.cli.options import output_options_for, talk_options
from onnxtop.cli.outputs import Output
from onnxtop.cli.progress import ProgressLine, wanted
from onnxtop.cli.verb import Verb
from onnxtop.errors import ModelError, OnnxtopError, UsageError
from onnxtop.render import FailedModel, RenderOptions
from onnxtop.render.probe import FORMATS, SUFFIXES, Probed, render

if TYPE_CHECKING:
    from onnxtop.loss.options import ProbeOptions

__all__ = ["command"]

_INTERRUPTED = 130


class ProbeVerb(Verb):
    """A verb whose formats are those of a probe."""

    suffixes = SUFFIXES


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(number) for number in value.split(","))
    except ValueError:
        raise click.BadParameter(f"wanted numbers with commas between, found {value!r}") from None


@click.command("probe", cls=ProbeVerb, epilog=EXIT_CODES)
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
@output_options_for(FORMATS, SUFFIXES)
@talk_options
def command(
    models: tuple[str, ...],
    data: str,
    outputs: list[Output],
    all_rows: bool,
    no_progress: bool,
    quiet: bool,
    verbose: int,
    **settings: Any,
) -> int:
    """Loss, accuracy and gradient of a model on data.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern. This verb runs the model.
    """
    found = find_models(models)
    writes_surface = any(output.format == "svg" for output in outputs)
    if writes_surface and not settings["surface"]:
        raise UsageError("svg draws the loss surface: add --surface")
    _check(outputs, [model for model in found if isinstance(model, str)])
    options = _options(**settings)
    voice = Voice(verbose, quiet)
    results: list[Probed | FailedModel] = []
    with ProgressLine(wanted(quiet, no_progress)) as progress:
        for number, model in enumerate(found, start=1):
            if isinstance(model, str):
                progress.title = f"{number}/{len(found)} {model}"
                results.append(_probed(model, data, options, voice, progress))
            else:
                results.append(model)
            last = results[-1]
            if isinstance(last, FailedModel):
                progress.stop()
                messages.error(last.message, last.path)
            elif last.result.stopped == "interrupt":
                break
    _write(outputs, results, all_rows)
    for output in outputs:
        if output.path is not None:
            voice.note(f"wrote {output.path}")
    return _exit_code(results)


def _check(chosen: list[Output], models: list[str]) -> None:
    outputs.check(chosen, models)


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


def _probed(
    path: str, data: str, options: "ProbeOptions", voice: Voice, progress: ProgressLine
) -> Probed | FailedModel:
    from onnxtop.loss.summary import probe_summary
    from onnxtop.reader.model import load

    try:
        model = load(path, allow_external=options.allow_external)
        result = probe_summary(model, data, options, progress)
        return Probed(path, model.sha256(), model.byte_count, result)
    except UsageError:
        raise  # the data does not fit: no other model is likely to do better
    except OnnxtopError as error:
        return FailedModel(path, error.exit_code, str(error))
    except MemoryError:
        return FailedModel(
            path, ModelError.exit_code, "there is not enough memory; give a smaller --batch-size"
        )
    except OSError as error:
        return FailedModel(path, ModelError.exit_code, f"cannot be read: {error.strerror or error}")
    except Exception as error:
        progress.stop()
        voice.traceback_of(error)
        return FailedModel(path, OnnxtopError.exit_code, messages.internal(error))


def _write(chosen: list[Output], results: list[Probed | FailedModel], all_rows: bool) -> None:
    for output in chosen:
        try:
            if output.path is not None:
                text = render(output.format, results, RenderOptions(all_rows=all_rows))
                outputs.write_file(
                    Path(os.path.realpath(output.path)), text.encode("utf-8", "backslashreplace")
                )
            elif output.format == "terminal":
                pages = [found for found in results if isinstance(found, Probed)]
                text = render("terminal", pages, outputs.look_of(sys.stdout, all_rows))
                outputs.write_stdout(text, outputs.encoding_of(sys.stdout))
            else:
                outputs.write_stdout(render(output.format, results, RenderOptions()), "utf-8")
        except OSError as error:
            raise UsageError(
                f"{output.path or 'stdout'}: cannot be written: {error.strerror or error}"
            ) from None


def _exit_code(results: list[Probed | FailedModel]) -> int:
    if any(isinstance(found, Probed) and found.result.stopped == "interrupt" for found in results):
        return _INTERRUPTED
    codes = {found.code if isinstance(found, FailedModel) else 0 for found in results}
    for code in (2, 5, 3, 1):
        if code in codes:
            return code
    return 4 if codes == {4} else 0
