"""``onnxtop check``: models judged by rules, thresholds and a baseline: the gate of a build."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import analyse, code_of, exit_code
from onnxtop.cli.models import find_models
from onnxtop.cli.options import measure_options, read_options
from onnxtop.cli.settings import Settings, resolve, shown
from onnxtop.cli.verb import Run, Verb

if TYPE_CHECKING:
    from onnxtop.rules.baseline import Baseline
    from onnxtop.rules.rule import Policy

__all__ = ["command"]


@click.command("check", cls=Verb, result="check", epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="Return 1 if there are findings this severe, or worse.",
)
@click.option(
    "--baseline",
    type=click.Path(),
    metavar="FILE",
    help="Compare with this earlier JSON report; what it has found already is known and fails nothing.",
)
@click.option(
    "--select", metavar="RULE", multiple=True, help="Run only these rules: a name, OT101, or OT1; may repeat."
)
@click.option("--ignore", metavar="RULE", multiple=True, help="Leave these rules out; may repeat.")
@click.option(
    "--config",
    type=click.Path(),
    metavar="FILE",
    help="Read this configuration instead of the nearest onnxtop.toml or pyproject.toml.",
)
@click.option("--show-settings", is_flag=True, help="Print every setting and where it comes from, and stop.")
@read_options
@measure_options
def command(run: Run, models: tuple[str, ...], show_settings: bool, **arguments: Any) -> int:
    """Judge models by rules, thresholds and a baseline: the CI gate.

    MODEL is an ONNX file, a folder (every *.onnx below it) or a pattern. Rules, severities, thresholds and
    exceptions are set in onnxtop.toml, or in [tool.onnxtop] of pyproject.toml; flags go before files.
    """
    if not models and not show_settings:
        raise click.UsageError("Missing argument 'MODEL...'.", click.get_current_context())
    settings = resolve(click.get_current_context(), arguments)
    if show_settings:
        click.echo(shown(settings), nl=False)
        return 0
    return _judge(run, models, settings, arguments["layers"])


def _judge(run: Run, models: tuple[str, ...], settings: Settings, layers: str | None) -> int:
    """Audit, judge, write, and return the code."""
    from onnxtop.rules.baseline import read_baseline

    path = settings.values.get("baseline")
    baseline = read_baseline(path) if path else None
    # by path: what a gate writes does not depend on the order in which models were named
    found = sorted(find_models(models), key=lambda model: model if isinstance(model, str) else model.path)
    run.check([*found, *([path] if path else [])])
    from onnxtop.auditing.story import AuditOptions  # loads numpy and onnx: not for errors of usage

    options = AuditOptions(**settings.measured, layers=layers)
    results = analyse(run, found, options, _policies(settings.values, baseline, len(found)))
    fail_on = settings.values["fail-on"]
    run.write(results, fail_on)
    return exit_code(code_of(result, fail_on) for result in results)


def _policies(
    values: Mapping[str, Any], baseline: "Baseline | None", n_models: int
) -> "Callable[[str], Policy]":
    """Return the policy of each model by its path."""
    from onnxtop.rules.policy import policy_of

    def policy(path: str) -> "Policy":
        earlier = baseline.of(path, n_models) if baseline else None
        if isinstance(earlier, str):
            return policy_of(values, incomparable=earlier)
        return policy_of(values, earlier)

    return policy
