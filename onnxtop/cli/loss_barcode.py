"""``onnxtop loss-barcode``: minima, the passes between them, their bars, the TO-score."""

import os
from collections.abc import Sequence
from typing import Any

import click

from onnxtop.cli import EXIT_CODES, messages
from onnxtop.cli.models import all_models
from onnxtop.cli.outputs import Output
from onnxtop.cli.verb import Run, Verb
from onnxtop.errors import UsageError

__all__ = ["command"]

_INTERRUPTED = 130


class BarcodeVerb(Verb):
    """A verb that always tells what it found."""

    def outputs_of(self, ctx: click.Context, events: Sequence[tuple[str, str]]) -> list[Output]:
        """Return the outputs; if everything goes to files, the terminal is told as well."""
        outputs = super().outputs_of(ctx, events)
        to_files = all(output.path is not None for output in outputs)
        return [*outputs, Output("terminal")] if to_files else outputs


@click.command("loss-barcode", cls=BarcodeVerb, result="landscape", epilog=EXIT_CODES)
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
def command(run: Run, models: tuple[str, ...], data: str, no_align: bool, **options: Any) -> int:
    """Minima of the loss, passes between them, bars, TO-score.

    Each MODEL is a minimum: an ONNX file, a folder (every *.onnx below it) or a pattern; all of one
    architecture. Deaths, lengths and the TO-score are upper bounds.
    """
    paths = all_models(models)
    if not os.path.lexists(data):
        raise UsageError(f"{data}: wanted data, found no such file; see --data")
    run.check([*paths, data])
    from onnxtop.landscape.story import loss_barcode  # loads numpy and onnx: not for help

    landscape = loss_barcode(paths, data, progress=run.progress, align=not no_align, **options)
    run.write(landscape)
    if any(note.startswith("interrupted") for note in landscape.notes):
        messages.error("interrupted: this is what was found until then")
        return _INTERRUPTED
    return 0
