"""``onnxtop layers``: the weighted layers of a model, without topology: the quick look."""

from typing import Any

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import run
from onnxtop.cli.options import output_options, read_options, talk_options
from onnxtop.cli.verb import Verb

__all__ = ["command"]


@click.command("layers", cls=Verb, epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@output_options
@read_options
@talk_options
def command(**arguments: Any) -> int:
    """List the weighted layers of a model, without topology.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern.
    """
    return run(fail_on="never", topology=False, **arguments)
