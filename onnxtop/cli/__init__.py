"""The command line: one module a verb, imported when the verb is run.

Everything heavy (numpy, onnx, rich) waits for the work itself, so that help and errors of usage are quick.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from onnxtop._version import __version__
from onnxtop.errors import OnnxtopError
from onnxtop.work.limits import THREADS

VERBS = {
    "report": ("onnxtop.cli.report", "Neural persistence of every layer of a model."),
    "layers": ("onnxtop.cli.layers", "List the weighted layers of a model, without topology."),
    "graph": ("onnxtop.cli.graph", "Show which layer of a model feeds which."),
    "plot": ("onnxtop.cli.plot", "Draw layers, diagrams, bars, weights or the graph of layers."),
    "check": ("onnxtop.cli.check", "Judge models by rules, thresholds and a baseline: the CI gate."),
    "diff": ("onnxtop.cli.diff", "Tell whether two models are one function, and what changed."),
    "trace": ("onnxtop.cli.trace", "How training got there, checkpoint by checkpoint, and when to stop."),
    "rules": ("onnxtop.cli.rules", "List the rules of check."),
    "explain": ("onnxtop.cli.explain", "Explain a rule, a figure, any word that is printed."),
    "schema": ("onnxtop.cli.schema", "Print the JSON Schema of what a verb writes."),
    "probe": ("onnxtop.cli.probe", "Loss, accuracy and gradient of a model on data."),
    "loss-barcode": ("onnxtop.cli.loss_barcode", "Minima of the loss, passes between them, bars, TO-score."),
    "cache": ("onnxtop.cli.cache", "Show where results are remembered, or clear that."),
    "demo": ("onnxtop.cli.demo", "Show a report on a small network that comes with onnxtop."),
    "help": ("onnxtop.cli.help", "Show what a verb does and its options."),
}
"""Verb to the module that holds its ``command``, and the line that ``--help`` shows for it."""

_ALLOCATED = 100_000
"""Objects made between two looks for cycles: a model's live on to the end, and looks find hardly any."""

EXIT_CODES = """\b
Exit codes:
  0    clean
  1    findings at or above --fail-on
  2    usage or configuration error
  3    a model could not be analysed, or a name or pattern finds none
  4    nothing to analyse: no weights, no model in a folder, or no rule ran
  5    internal error
  130  interrupted: what was done is written
Several models: all are analysed; the code is the first that applies
of 130, 2, 5, 3, 1, 0, 4."""


def _printing(text_of: Callable[[click.Context], str]) -> Callable[[click.Context, Any, bool], None]:
    """Make a callback that prints a text, as all else is written, and ends the run."""

    def callback(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        from onnxtop.cli.outputs import say

        if value and not ctx.resilient_parsing:
            say(text_of(ctx))
            ctx.exit()

    return callback


class Command(click.Command):
    """A command whose help is written as its results are: that it cannot be is told."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return click's option with a callback of our own."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _printing(click.Context.get_help)
        return option


class VerbGroup(Command, click.Group):
    """A group that knows its verbs by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; one that is not known is told with the nearest that is."""
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(unknown_verb(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an interrupt that none of its own work hears ends all."""
        try:
            os.getcwd()  # noqa: PTH109 (only whether it is there)
        except OSError:
            raise click.UsageError("the working directory is not there any more: go to another") from None
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def main(  # type: ignore[override]  # click says NoReturn where standalone_mode is true
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> int:
        """Run the command line; every error ends as a line on stderr and an exit code."""
        try:
            code = int(super().main(args, standalone_mode=False, **extra) or 0)
        except (click.Abort, click.ClickException, OnnxtopError) as error:
            code = _told(error)
        if standalone_mode:
            sys.exit(code)
        return code


def unknown_verb(name: str) -> str:
    """Say that there is no such verb, and which may be meant."""
    from onnxtop.options import did_you_mean

    hint = did_you_mean(name.lower(), VERBS) or f": wanted one of {', '.join(VERBS)}"
    return f"No such command {name!r}{hint}"


def _told(error: Exception) -> int:
    from onnxtop.cli import messages

    if isinstance(error, click.Abort):
        messages.error("interrupted")
        return 130
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        messages.show(error.format_message())
        return error.exit_code
    message = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message = f"{message.removesuffix('.')}; see {error.ctx.command_path} --help"
    messages.error(message)
    return int(getattr(error, "exit_code", 5))


@click.group(
    cls=VerbGroup,
    epilog=EXIT_CODES,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_printing(lambda _: f"onnxtop, version {__version__}"),
    help="Show the version and exit.",
)
def app() -> None:
    """Inspect the neural networks in ONNX files."""


def is_program() -> bool:
    """Tell whether this process is the command line's own, which then says what is garbage."""
    return gc.get_threshold()[0] == _ALLOCATED


def main() -> None:
    """Run the command line of this process.

    Linear algebra runs on one thread: its sums then do not depend on how many cores a machine has, and on a
    busy machine waking threads costs more than they bring.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")
    if "_ONNXTOP_COMPLETE" in os.environ:
        importlib.import_module("onnxtop.cli.completion").answer(app)
    gc.set_threshold(_ALLOCATED, *gc.get_threshold()[1:])
    app.main(prog_name="onnxtop")
