"""``onnxtop check``: models judged by rules, thresholds and a baseline: the gate of a build."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from onnxtop.cli import EXIT_CODES
from onnxtop.cli.analysis import analyse, exit_code
from onnxtop.cli.messages import Voice
from onnxtop.cli.models import find_models
from onnxtop.cli.options import measure_options, output_options, read_options, talk_options
from onnxtop.cli.outputs import Output, check, write_all
from onnxtop.cli.progress import ProgressLine, wanted
from onnxtop.cli.settings import Settings, resolve, shown
from onnxtop.cli.verb import Verb
from onnxtop.errors import ModelError

if TYPE_CHECKING:
    from onnxtop.render import Result
    from onnxtop.results.report import Report
    from onnxtop.rules.baseline import Baseline

__all__ = ["command"]

_BEFORE = (2, 5)
"""Exit codes that go before that of an incomparable baseline."""


@click.command("check", cls=Verb, epilog=EXIT_CODES)
@click.argument("models", metavar="MODEL...", nargs=-1)
@output_options
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
@talk_options
def command(models: tuple[str, ...], show_settings: bool, **arguments: Any) -> int:
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
    return _run(models, settings, arguments)


def _run(models: tuple[str, ...], settings: Settings, arguments: Mapping[str, Any]) -> int:
    """Audit, judge, write, and return the code."""
    outputs: list[Output] = arguments["outputs"]
    baseline = _baseline(settings)
    # by path: what a gate writes does not depend on the order in which models were named
    found = sorted(find_models(models), key=lambda model: model if isinstance(model, str) else model.path)
    check(
        outputs, [model for model in found if isinstance(model, str)] + ([baseline.path] if baseline else [])
    )
    from onnxtop.auditing.story import (
        AuditOptions,  # loads numpy and onnx: not for help, nor for errors of usage
    )

    voice = Voice(arguments["verbose"], arguments["quiet"])
    options = AuditOptions(**settings.measured, layers=None)
    with ProgressLine(wanted(arguments["quiet"], arguments["no_progress"])) as progress:
        results = analyse(found, options, voice, progress)
    judged = [_judged(result, settings, baseline, len(results), arguments["layers"]) for result in results]
    fail_on = settings.values["fail-on"]
    write_all(outputs, judged, arguments["all_rows"], fail_on)
    for path in (output.path for output in outputs if output.path is not None):
        voice.note(f"wrote {path}")
    return _code(judged, fail_on)


def _baseline(settings: Settings) -> "Baseline | None":
    from onnxtop.rules.baseline import read_baseline

    path = settings.values.get("baseline")
    return read_baseline(path) if path else None


def _judged(
    result: "Result", settings: Settings, baseline: "Baseline | None", n_models: int, layers: str | None
) -> "Result":
    """Apply the rules to a report; layers that were not asked for count in the network's figures only."""
    from onnxtop.results.report import Report

    if not isinstance(result, Report):
        return result
    findings = _findings(result, settings, baseline, n_models)
    pattern = re.compile(layers or "")
    return dataclasses.replace(
        result,
        settings=dataclasses.replace(result.settings, layers=layers),
        layers=tuple(layer for layer in result.layers if pattern.search(layer.name)),
        findings=tuple(each for each in findings if each.layer is None or pattern.search(each.layer)),
    )


def _findings(report: "Report", settings: Settings, baseline: "Baseline | None", n_models: int) -> Any:
    from onnxtop.rules.baseline import incomparable
    from onnxtop.rules.catalogue import apply
    from onnxtop.rules.policy import policy_of

    if baseline is None:
        return apply(report, policy_of(settings.values))
    earlier = baseline.of(report.model.path, n_models)
    why = earlier if isinstance(earlier, str) else incomparable(report, earlier)
    return apply(report, policy_of(settings.values, None if why else earlier, why))  # type: ignore[arg-type]


def _code(results: "Sequence[Result]", fail_on: str) -> int:
    """Return the exit code; a baseline that cannot be compared is a model that could not be analysed."""
    from onnxtop.results.report import Report

    code = exit_code(results, fail_on)
    reports = (result for result in results if isinstance(result, Report))
    lost = any(finding.rule == "OT500" for report in reports for finding in report.findings)
    return ModelError.exit_code if lost and code not in _BEFORE else code
