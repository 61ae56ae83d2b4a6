"""``onnxtop layers``: the weighted layers of a model, without topology: the quick look."""

from typing import Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import run_audit
from onnxtop.cli.options import LIMITS, READ, WORK, options_of
from onnxtop.cli.verb import Run, Verb


@click.command("layers", cls=Verb, result="layers", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@options_of(AuditOptions, *READ)
@options_of(WORK, *LIMITS, "cache")
def command(run: Run, models: tuple[str, ...], **options: Any) -> int:
    """List the weighted layers of a model, without topology.

    MODEL is an ONNX file, a folder (every *.onnx below it), a pattern, an address (https://, s3://, hf://,
    gs://), or - for standard input.
    """
    return run_audit(run, models, "never", {}, topology=False, **options)
