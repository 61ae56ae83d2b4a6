"""``onnxtop loss-barcode``: minima, the passes between them, their bars, the TO-score."""

import os
import sys
from collections.abc import Iterable, Sequence
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
from onnxtop.errors import UsageError
from onnxtop.render import FailedModel, RenderOptions

if TYPE_CHECKING:
    from onnxtop.results.landscape import LossLandscape

__all__ = ["command"]

FORMATS = ("terminal", "json", "svg")

SUFFIXES = {".txt": "terminal", ".json": "json", ".svg": "svg"}


class BarcodeVerb(Verb):
    """A verb that also draws pictures, and always tells what it found."""

    suffixes = SUFFIXES

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; if everything goes to files, the terminal is told as well."""
        rest = super().parse_args(ctx, args)
        if all(output.path is not None for output in ctx.params["outputs"]):
            ctx.params["outputs"].append(Output("terminal"))
        return rest


@click.command("loss-barcode", cls=BarcodeVerb, epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--data",
    type=click.Path(),
    metavar="FILE",
    required=True,
    help="Arrays named as the inputs, with labels or target (.npz); *_test beside them is a test split.",
)
@click.option(
    "--minima",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Train so many more minima, each with a seed of its own.",
)
@click.option(
    "--start",
    type=click.Choice(["fresh", "perturbed"]),
    default="fresh",
    show_default=True,
    help="Train from new random weights, or from the model's own, perturbed.",
)
@click.option(
    "--optimiser",
    type=click.Choice(["adam", "sgd-1", "sgd-2", "lbfgs"]),
    default="adam",
    show_default=True,
    help="How to train; sgd-1 and sgd-2 are the papers' schedules.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Passes over the data, or iterations of lbfgs. Default: 60, 2001, 200, 1000.",
)
@click.option(
    "--finder",
    type=click.Choice(["neb", "bezier", "authors", "line"]),
    default="neb",
    show_default=True,
    help="How a path is found: elastic band, Bezier curve, the papers' step, straight line.",
)
@click.option(
    "--gradients",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="At most so many gradients for one path.",
)
@click.option("--no-align", is_flag=True, help="Do not renumber hidden units to lie near each other first.")
@click.option(
    "--pairs",
    type=click.Choice(["tree", "all", "direct"]),
    default="tree",
    show_default=True,
    help="Join the pairs that can shorten a bar, or all; direct: all, and bars as in the papers' code.",
)
@click.option(
    "--loss",
    type=click.Choice(["auto", "cross-entropy", "binary", "mse", "l1", "huber"]),
    default="auto",
    show_default=True,
    help="Which loss.",
)
@click.option(
    "--batchnorm",
    type=click.Choice(["frozen", "batch", "recalibrate"]),
    default="batch",
    show_default=True,
    help="Statistics that BatchNorm uses: stored, of the batch, or measured anew.",
)
@click.option(
    "--l2",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Add L2 / 2 times the squared length of the weights to the loss.",
)
@click.option(
    "--budget",
    metavar="NUMBER|TIME",
    help="All paths together cost at most so many gradients (20000) or so much time (90s, 5min).",
)
@click.option(
    "--curvature", is_flag=True, help="Also find the lowest eigenvalue of the Hessian at each minimum."
)
@click.option(
    "--state",
    type=click.Path(),
    metavar="FILE",
    help="Keep what is found here, and go on from it if it exists.",
)
@click.option(
    "--seed",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of everything random.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Paths looked for at a time. Default: one a core, at most 4.",
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
    **options: Any,
) -> int:
    """Minima of the loss, passes between them, bars, TO-score.

    Each MODEL is a minimum: an ONNX file, a folder (every *.onnx below it) or a pattern; all of one
    architecture. Deaths, lengths and the TO-score are upper bounds.
    """
    found = find_models(models)
    for failed in (model for model in found if isinstance(model, FailedModel)):
        messages.error(failed.message, failed.path)
        return failed.code
    paths = [model for model in found if isinstance(model, str)]
    _check(outputs, paths, data)
    voice = Voice(verbose, quiet)
    with ProgressLine(wanted(quiet, no_progress)) as progress:
        landscape = _found(paths, data, options, progress)
    _write_all(outputs, landscape, all_rows)
    for path in (output.path for output in outputs if output.path is not None):
        voice.note(f"wrote {path}")
    if any(note.startswith("interrupted") for note in landscape.notes):
        messages.error("interrupted: this is what was found until then")
        return 130
    return 0


def _check(found: Sequence[Output], paths: Sequence[str], data: str) -> None:
    if not os.path.lexists(data):
        raise UsageError(f"{data}: wanted data, found no such file; see --data")
    outputs.check(found, [*paths, data])


def _found(
    paths: Sequence[str], data: str, options: dict[str, Any], progress: ProgressLine
) -> "LossLandscape":
    """Run; numpy and onnx are loaded here, not for help."""
    from onnxtop.landscape.story import loss_barcode

    align = not options.pop("no_align")
    return loss_barcode(paths, data, progress=progress, align=align, **options)


def _write_all(found: Iterable[Output], landscape: "LossLandscape", all_rows: bool) -> None:
    """Write every output that can be written."""
    failures = []
    for output in found:
        try:
            _write(output, landscape, all_rows)
        except OSError as error:
            failures.append(f"{output.path or 'stdout'}: cannot be written: {error.strerror or error}")
    if failures:
        raise UsageError("; ".join(failures))


def _write(output: Output, landscape: "LossLandscape", all_rows: bool) -> None:
    if output.path is not None:
        text = _rendered(output.format, landscape, RenderOptions(all_rows=all_rows))
        outputs.write_file(Path(os.path.realpath(output.path)), text.encode("utf-8", "backslashreplace"))
    elif sys.stdout is None:
        raise OSError("it is closed")
    else:
        terminal = output.format == "terminal"
        look = outputs.look_of(sys.stdout, all_rows) if terminal else RenderOptions()
        encoding = outputs.encoding_of(sys.stdout) if terminal else "utf-8"
        outputs.write_stdout(_rendered(output.format, landscape, look), encoding)


def _rendered(format_name: str, landscape: "LossLandscape", look: RenderOptions) -> str:
    if format_name == "svg":
        from onnxtop.render.landscape import svg as landscape_svg

        return landscape_svg.render(landscape)
    if format_name == "json":
        from onnxtop.render.landscape import json as landscape_json

        return landscape_json.render(landscape)
    from onnxtop.render.landscape import terminal as landscape_terminal

    return landscape_terminal.render(landscape, look)
