"""``onnxtop check``: models judged by rules, thresholds and a baseline: the gate of a build."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import analyse
from onnxtop.cli.baselines import judge
from onnxtop.cli.models import find_models, without_strays
from onnxtop.cli.options import AT_A_TIME, MEASURED, READ, WORK, config_option, options_of
from onnxtop.cli.outputs import Output, say, write_all
from onnxtop.cli.settings import resolve, shown, use_configuration
from onnxtop.cli.verb import Run, Verb
from onnxtop.execution.options import RunOptions
from onnxtop.options import with_values
from onnxtop.results.outcome import INTERRUPTED, code_of, exit_code
from onnxtop.rules.options import CheckOptions

_JUDGED_BY = ("fail_on", "baseline", "compare")


@click.command("check", cls=Verb, result="check", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1)
@options_of(CheckOptions, *_JUDGED_BY)
@click.option(
    "--write-baseline",
    type=click.Path(),
    metavar="FILE",
    help="Write the reports as a baseline, whatever was found.",
)
@options_of(CheckOptions, "select", "ignore")
@config_option(use_configuration)
@click.option("--show-settings", is_flag=True, help="Print every setting and where it comes from, and stop.")
@click.option(
    "--skip-strays",
    is_flag=True,
    help="Pass over files that are neither a model nor a model's data: for hooks, which name what changed.",
)
@options_of(AuditOptions, *READ, *MEASURED)
@options_of(RunOptions)
@options_of(WORK, *AT_A_TIME, "cache")
def command(
    run: Run,
    models: tuple[str, ...],
    write_baseline: str | None,
    show_settings: bool,
    skip_strays: bool,
    **options: Any,
) -> int:
    """Judge models by rules, thresholds and a baseline: the CI gate.

    MODEL is an ONNX file, a folder (every *.onnx below it), a pattern, an address (https://, s3://, hf://,
    gs://), or - for standard input; a file of external data stands for the models beside or above it that
    keep weights in it. Rules, severities, thresholds and exceptions are set in onnxtop.toml, or in
    [tool.onnxtop] of pyproject.toml; flags go before files.
    """
    ctx = click.get_current_context()
    if not models and not show_settings and not skip_strays:
        raise click.UsageError("Missing argument 'MODEL...'.", ctx)
    settings = resolve(ctx)
    if show_settings:
        say(shown(settings))
        return 0
    if skip_strays:
        models = _without_strays(run, models)
        if not models:
            return 0  # a commit that changed no model
    measured = with_values(AuditOptions(), options)
    return _judge(run, models, settings.values, measured, write_baseline)


def _judge(
    run: Run,
    models: tuple[str, ...],
    settings: Mapping[str, Any],
    options: AuditOptions,
    written: str | None,
) -> int:
    """Audit, judge, write, and return the code."""
    if _is_first(settings["baseline"], written):
        settings = {**settings, "baseline": None}
    # by path: what a gate writes does not depend on the order in which models were named
    found = sorted(find_models(models), key=lambda model: model if isinstance(model, str) else model.path)
    options = replace(options, digests="normal" if settings["baseline"] or written else run.digests)
    judged = judge(settings, options, len(found))
    new = [Output("json", written)] if written else []
    read = [*found, options.running.samples]
    run.check([*read, *judged.read])
    run.check([*read, *judged.models], new)
    results = analyse(run, found, options, settings["fail-on"], judged)
    code = exit_code(code_of(result, settings["fail-on"]) for result in results)
    if code == INTERRUPTED:
        return code  # the baseline that was there is worth more than a part of one
    write_all(new, "report", results, run.rendering(settings["fail-on"], details=False))
    run.note(new)
    return code


def _is_first(baseline: str | None, written: str | None) -> bool:
    """Tell whether the baseline is the file that this very run writes for the first time."""
    if baseline is None or written is None or os.path.exists(baseline):
        return False
    return os.path.realpath(baseline) == os.path.realpath(written)


def _without_strays(run: Run, models: tuple[str, ...]) -> tuple[str, ...]:
    kept, strays = without_strays(models)
    for path in strays:
        run.voice.note(f"{path}: passed over: neither a model nor the data of one beside or above it")
    return tuple(kept)
