"""``onnxtop report``: neural persistence of every layer."""

from typing import Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import run_audit
from onnxtop.cli.options import AT_A_TIME, MEASURED, READ, WORK, config_option, options_of
from onnxtop.cli.settings import use_measures
from onnxtop.cli.verb import Run, Verb
from onnxtop.rules.options import CheckOptions


@click.command("report", cls=Verb, result="report", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@options_of(AuditOptions, *READ, *MEASURED)
@options_of(CheckOptions(fail_on="never"), "fail_on")
@options_of(AuditOptions, "details", "data", "minima")
@options_of(WORK, *AT_A_TIME, "cache")
@config_option(use_measures)
def command(run: Run, models: tuple[str, ...], fail_on: str, **options: Any) -> int:
    """Neural persistence of every layer of a model.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern.
    """
    config = click.get_current_context().obj
    return run_audit(run, models, fail_on, config.values if config else {}, **options)
