"""``onnxtop check``: models judged by rules, thresholds and a baseline: the gate of a build."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import analyse
from onnxtop.cli.models import find_models
from onnxtop.cli.options import MEASURED, READ, config_option, options_of
from onnxtop.cli.outputs import Output, check, write_all
from onnxtop.cli.settings import resolve, shown, use_configuration
from onnxtop.cli.verb import Run, Verb
from onnxtop.results.outcome import INTERRUPTED, code_of, exit_code
from onnxtop.rules.options import CheckOptions

if TYPE_CHECKING:
    from onnxtop.rules.baseline import Baseline
    from onnxtop.rules.rule import Policy

_JUDGING = ("fail_on", "baseline", "compare", "write_baseline", "select", "ignore")


@click.command("check", cls=Verb, result="check", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1)
@options_of(CheckOptions, *_JUDGING)
@config_option(use_configuration)
@click.option("--show-settings", is_flag=True, help="Print every setting and where it comes from, and stop.")
@options_of(AuditOptions, *READ, *MEASURED)
def command(run: Run, models: tuple[str, ...], show_settings: bool, **options: Any) -> int:
    """Judge models by rules, thresholds and a baseline: the CI gate.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern. Rules, severities, thresholds and
    exceptions are set in onnxtop.toml, or in [tool.onnxtop] of pyproject.toml; flags go before files.
    """
    ctx = click.get_current_context()
    if not models and not show_settings:
        raise click.UsageError("Missing argument 'MODEL...'.", ctx)
    settings = resolve(ctx)
    if show_settings:
        click.echo(shown(settings), nl=False)
        return 0
    measured = AuditOptions(**{name: value for name, value in options.items() if name not in _JUDGING})
    return _judge(run, models, settings.values, measured, options["write_baseline"])


def _judge(
    run: Run,
    models: tuple[str, ...],
    settings: Mapping[str, Any],
    options: AuditOptions,
    written: str | None,
) -> int:
    """Audit, judge, write, and return the code."""
    from onnxtop.rules.baseline import read_baseline

    baseline = read_baseline(settings["baseline"]) if settings["baseline"] else None
    # by path: what a gate writes does not depend on the order in which models were named
    found = sorted(find_models(models), key=lambda model: model if isinstance(model, str) else model.path)
    run.check([*found, *([baseline.path] if baseline else [])])
    new = [Output("json", written)] if written else []
    check([*run.outputs, *new], [path for path in found if isinstance(path, str)])
    results = analyse(run, found, options, settings["fail-on"], _policies(settings, baseline, len(found)))
    code = exit_code(code_of(result, settings["fail-on"]) for result in results)
    if code == INTERRUPTED:
        return code  # the baseline that was there is worth more than a part of one
    write_all(new, "report", results, run.rendering(settings["fail-on"]))
    run.note(new)
    return code


def _policies(
    values: Mapping[str, Any], baseline: "Baseline | None", n_models: int
) -> "Callable[[str], Policy]":
    """Return the policy of each model by its path."""
    from onnxtop.rules.policy import policy_of

    def policy(path: str) -> "Policy":
        earlier = baseline.of(path, n_models) if baseline else None
        if isinstance(earlier, str):
            return policy_of(values, unknown=earlier)
        return policy_of(values, earlier)

    return policy
