"""``onnxtop report``: neural persistence of every layer."""

from typing import Any

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import audited
from onnxtop.cli.options import measure_options, read_options
from onnxtop.cli.verb import Run, Verb

__all__ = ["command"]


@click.command("report", cls=Verb, result="report", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@read_options
@measure_options
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="never",
    show_default=True,
    help="Return 1 if there are findings this severe, or worse.",
)
@click.option(
    "--data",
    metavar="PATH",
    type=click.Path(),
    help="Run the model on these samples too: loss, scores, gradient.",
)
@click.option(
    "--minima",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="With --data: train so many minima, and report the loss barcode.",
)
def command(run: Run, models: tuple[str, ...], fail_on: str, **options: Any) -> int:
    """Neural persistence of every layer of a model.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern.
    """
    return audited(run, models, fail_on, **options)
