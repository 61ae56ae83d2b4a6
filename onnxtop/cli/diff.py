"""``onnxtop diff``: what changed between two models, layer by layer."""

from typing import Any

import click

from onnxtop.cli.analysis import readable
from onnxtop.cli.models import one_model
from onnxtop.cli.options import file_options, lengths, shapes
from onnxtop.cli.verb import Run, Verb

__all__ = ["command"]


EXIT_CODES = """\b
Exit codes:
  0    no change beyond the tolerances
  1    changed
  2    usage error
  3    a model could not be analysed
  4    nothing to compare: no weight tensors
  5    internal error
  130  interrupted"""


@click.command("diff", cls=Verb, result="diff", epilog=EXIT_CODES)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Relative change of a layer's weights that is still the same; 0.1 is 20 dB.",
)
@click.option(
    "--np-tolerance",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Relative change of a layer's NP that is still the same.",
)
@click.option("--permuted-ok", is_flag=True, help="Let the same weights in another order count as the same.")
@file_options
@click.option(
    "--input-shape",
    "input_shapes",
    metavar="NAME=1,3,224,224",
    multiple=True,
    callback=shapes,
    help="Shape of an input, where the models leave it open.",
)
@click.option(
    "--dim",
    "dims",
    metavar="NAME=N",
    multiple=True,
    callback=lengths,
    help="Length of a named dimension, where the models leave it open.",
)
def command(
    run: Run, old: str, new: str, tolerance: float, np_tolerance: float, permuted_ok: bool, **options: Any
) -> int:
    """Tell what changed between two models, layer by layer.

    OLD and NEW are ONNX files. Layers are found again under other names, transposed, permuted or quantised.
    """
    before, after = one_model(old), one_model(new)
    run.check((before, after))
    from onnxtop.comparison.story import CompareOptions, compare
    from onnxtop.results.diff import DiffSettings  # loads numpy and onnx: not for help

    settings = DiffSettings(tolerance, np_tolerance, permuted_ok)
    with readable(f"{before}, {after}", "compare these models"):
        diff = compare(before, after, CompareOptions(settings, **options), progress=run.progress)
    run.write(diff)
    return int(diff.changed)
