"""``onnxtop diff``: what changed between two models, layer by layer."""

from typing import Any

import click

from onnxtop.cli.analysis import readable
from onnxtop.cli.models import one_model
from onnxtop.cli.options import options_of
from onnxtop.cli.verb import Run, Verb
from onnxtop.comparison.options import CompareOptions
from onnxtop.options import with_values

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
@options_of(CompareOptions)
def command(run: Run, old: str, new: str, **options: Any) -> int:
    """Tell what changed between two models, layer by layer.

    OLD and NEW are ONNX files. Layers are found again under other names, transposed, permuted or quantised.
    """
    before, after = one_model(old), one_model(new)
    run.check((before, after))
    from onnxtop.comparison.story import compare  # loads numpy and onnx: not for help

    with readable(f"{before}, {after}", "compare these models"):
        diff = compare(before, after, with_values(CompareOptions(), options), progress=run.progress)
    run.write(diff)
    return int(diff.changed)
