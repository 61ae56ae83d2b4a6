"""``onnxtop check``: models judged by rules, thresholds and a baseline: the gate of a build."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import analyse, code_of, exit_code
from onnxtop.cli.models import find_models, without_strays
from onnxtop.cli.options import MEASURED, READ, config_option, options_of
from onnxtop.cli.outputs import Output, check, write_all
from onnxtop.cli.settings import resolve, shown, use_configuration
from onnxtop.cli.verb import Run, Verb
from onnxtop.render import RenderOptions
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
@click.option(
    "--skip-strays",
    is_flag=True,
    help="Pass over files that are neither a model nor a model's data: for hooks, which name what changed.",
)
@options_of(AuditOptions, *READ, *MEASURED)
def command(run: Run, models: tuple[str, ...], show_settings: bool, skip_strays: bool, **options: Any) -> int:
    """Judge models by rules, thresholds and a baseline: the CI gate.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern; a file of external data stands for
    the models beside or above it that keep weights in it. Rules, severities, thresholds and
    exceptions are set in onnxtop.toml, or in [tool.onnxtop] of pyproject.toml; flags go before files.
    """
    ctx = click.get_current_context()
    if not models and not show_settings:
        raise click.UsageError("Missing argument 'MODEL...'.", ctx)
    settings = resolve(ctx)
    if show_settings:
        click.echo(shown(settings), nl=False)
        return 0
    if skip_strays:
        models = _without_strays(run, models)
        if not models:
            return 0  # what changed is no model's business
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
    results = analyse(run, found, options, _policies(settings, baseline, len(found)))
    run.write(results, settings["fail-on"])
    write_all(new, "report", results, RenderOptions())
    run.note(new)
    return exit_code(code_of(result, settings["fail-on"]) for result in results)


def _without_strays(run: Run, models: tuple[str, ...]) -> tuple[str, ...]:
    kept, strays = without_strays(models)
    for path in strays:
        run.voice.note(f"{path}: passed over: neither a model nor the data of one beside or above it")
    return tuple(kept)


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
