"""``onnxtop diff``: what changed between two models, as wholes and layer by layer."""

from functools import partial
from typing import Any

import click

from onnxtop.cli.analysis import once, readable
from onnxtop.cli.models import one_model
from onnxtop.cli.options import WORK, options_of
from onnxtop.cli.verb import Run, Verb
from onnxtop.comparison.options import DiffOptions
from onnxtop.options import with_values

EXIT_CODES = """\b
Exit codes:
  0    SAME, EQUIVALENT, WITHIN TOLERANCE, or after --run NO DIFFERENCE FOUND
  1    CHANGED, or UNPROVEN
  2    usage error
  3    a model could not be analysed, or a name or pattern finds none
  4    nothing to compare: only one of the models has weight tensors
  5    internal error
  130  interrupted: nothing was finished"""


@click.command("diff", cls=Verb, result="diff", epilog=EXIT_CODES)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@options_of(DiffOptions(work=WORK))
def command(run: Run, old: str, new: str, **options: Any) -> int:
    """Tell whether two models are one function, and what changed.

    OLD and NEW are ONNX files. Every operation, attribute, edge and constant is compared; then the layers, in
    weights and topology: they are found again under other names, transposed, permuted or quantised. With
    --run or --data both models are run on the same inputs, which decides what the graphs leave open.
    """
    before, after = one_model(old), one_model(new)
    compared = with_values(DiffOptions(), options)
    run.note_cache(compared.work)
    run.check((before, after, compared.running.samples))
    from onnxtop.comparison.story import diff  # loads numpy and onnx: not for help

    seconds = compared.work.seconds(runs=compared.running.asked)
    with run.whole(), readable(f"{before}, {after}", "compare these models"):
        compare = partial(diff, before, after, compared)
        found = once(run, compare, (before, after), compared.work, seconds=seconds)
    run.write(found)
    return int(found.changed)
