"""``onnxtop plot``: pictures of a model."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from onnxtop.auditing.options import AuditOptions
from onnxtop.cli import EXIT_CODES, messages
from onnxtop.cli.analysis import once, readable
from onnxtop.cli.models import one_model
from onnxtop.cli.options import LIMITS, MEASURED, READ, WORK, config_option, options_of
from onnxtop.cli.outputs import Output, put_bytes, writing
from onnxtop.cli.settings import use_measures
from onnxtop.cli.verb import Run, Verb
from onnxtop.errors import NothingToAnalyseError
from onnxtop.options import with_values
from onnxtop.plot.options import DETAILED, PlotOptions

if TYPE_CHECKING:
    from onnxtop.results.report import Report


class PlotVerb(Verb):
    """A verb that writes pictures: bytes."""

    def outputs_of(self, ctx: click.Context, events: Sequence[tuple[str, str]]) -> list[Output]:
        """Return the outputs that were asked for; a terminal gets text alone, and only if asked to."""
        outputs = super().outputs_of(ctx, events)
        shown = [output.format for output in outputs if output.path is None]
        asked_for_text = bool(events) and shown == ["svg"]
        if shown and not asked_for_text and sys.stdout is not None and sys.stdout.isatty():
            raise click.UsageError(
                "a terminal shows no picture: name a file with -o, as .svg, .png or .pdf, or use a pipe"
            )
        return outputs


@click.command("plot", cls=PlotVerb, result="plot", epilog=EXIT_CODES)
@click.argument("model", metavar="MODEL")
@options_of(PlotOptions)
@options_of(AuditOptions, *READ, *MEASURED)
@options_of(WORK, *LIMITS, "cache")
@config_option(use_measures)
def command(run: Run, model: str, kind: str, most: int, **options: Any) -> int:
    """Draw layers, diagrams, bars, weights or the graph of layers.

    MODEL is one ONNX file, or a folder or pattern that holds one. Needs matplotlib: pip install
    'onnxtop[plot]'.
    """
    path = one_model(model)
    run.check([path])
    with run.whole(), readable(path):
        report = _audit(run, path, with_values(AuditOptions(details=kind in DETAILED), options))
        if not report.layers:
            return _told(path, report)
        figure = _drawn(report, kind, most)
    _write(run, figure)
    return 0


def _audit(run: Run, path: str, options: AuditOptions) -> "Report":
    from onnxtop.auditing.story import audit  # loads numpy and onnx: not for help
    from onnxtop.plot.figures import matplotlib

    matplotlib()  # before the work
    run.note_cache(options.work)
    run.progress.wait()
    report = once(run, partial(audit, path, options), (path,), options.work)
    run.progress.stop()
    return report


def _drawn(report: "Report", kind: str, most: int) -> Any:
    """Return the figure."""
    from onnxtop import plot

    few = {} if kind in ("layers", "graph") else {"most": most}
    return getattr(plot, kind)(report, **few)


def _told(path: str, report: "Report") -> int:
    from onnxtop.render.report.facts import nothing

    messages.error(nothing(report), path)
    return NothingToAnalyseError.exit_code


def _write(run: Run, figure: Any) -> None:
    from onnxtop.plot.figures import written

    for output in run.outputs:
        data = written(figure, output.format)
        with writing(output):
            put_bytes(output, data)
    run.note(run.outputs)
