"""What every verb is: a click command that pairs its outputs, can talk, and survives its own bugs."""

import contextlib
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import click

from onnxtop.cli import Command, messages
from onnxtop.cli.completion import ModelPath
from onnxtop.cli.interrupt import Interrupts
from onnxtop.cli.models import keep_weights_in, listed
from onnxtop.cli.options import DependentOption, output_options, talk_options
from onnxtop.cli.outputs import (
    LineOutputs,
    Output,
    PageLook,
    check,
    pair,
    write_all,
    write_interrupted,
    writing,
)
from onnxtop.cli.progress import GrowingPage, ProgressLine, wanted
from onnxtop.errors import NothingToAnalyseError, OnnxtopError, OptionError
from onnxtop.options import Digesting
from onnxtop.reader.address import STDIN
from onnxtop.render import DETAILED, STREAMED, RenderOptions, render
from onnxtop.results.outcome import FailedModel
from onnxtop.work.files import write_file

if TYPE_CHECKING:
    from onnxtop.results.envelope import Head
    from onnxtop.work.options import WorkOptions


@dataclass(frozen=True)
class Run:
    """One run of a verb: which result it writes and where to, and how it talks meanwhile."""

    result: str
    outputs: Sequence[Output]
    all_rows: bool
    voice: messages.Voice
    progress: ProgressLine
    interrupts: Interrupts
    lines: LineOutputs
    seconds: dict[str, float] | None = None
    look: PageLook = field(default_factory=PageLook)
    columns: tuple[str, ...] = ()
    asked_in: tuple[str, ...] = ()
    """Files that say what is asked: a configuration, a list of models."""
    allowed: tuple[str, ...] = ()
    """Folders beside their own in which models may keep weights."""

    def check(self, inputs: Iterable[str | FailedModel | None], more: Sequence[Output] = ()) -> None:
        """Refuse before the work outputs that could not be written, or would overwrite what is read."""
        paths = [path for path in inputs if isinstance(path, str)]
        check([*self.outputs, *more], [*paths, *self.asked_in], partial(keep_weights_in, paths, self.allowed))

    def note_cache(self, work: "WorkOptions") -> None:
        """Say that nothing new can be remembered, if so; loudly only of a folder that was named."""
        from onnxtop.work.store import store_of

        store = store_of(work)
        if why := store.trouble():
            tell = self.voice.note if work.cache is None else self.voice.say
            tell(f"{store.folder}: nothing new is remembered in this cache: {why}")

    @property
    def draws_details(self) -> bool:
        """Whether an output draws the details of layers."""
        return any(output.format in DETAILED for output in self.outputs)

    @property
    def digests(self) -> Digesting:
        """Which digests reports hold: as JSON they are baselines too, which every weight is compared with."""
        whole = any(output.format in ("json", "jsonl") for output in self.outputs)
        return "whole" if whole else "outline"

    def rendering(
        self, fail_on: str | None = None, head: "Head | None" = None, *, details: bool = True
    ) -> RenderOptions:
        """Return how results are shown; without ``details`` only pictures get those of reports."""
        return RenderOptions(
            all_rows=self.all_rows,
            columns=self.columns,
            fail_on=fail_on,
            head=head,
            seconds=self.seconds,
            details=details,
        )

    def add(self, found: Any, options: RenderOptions) -> None:
        """Write what was found of one model to the outputs that do not wait for the others."""
        if self.lines.on_stdout:
            self.progress.stop()
        self.lines.write(self.result, found, options)

    def growing(self) -> GrowingPage:
        """Return the page that grows on stdout, off where nobody sees it."""
        drawn = any(output.path is None and output.format == "terminal" for output in self.outputs)
        return GrowingPage(drawn and sys.stdout is not None and sys.stdout.isatty())

    def show(self, page: GrowingPage, result: str, found: Any, options: RenderOptions) -> None:
        """Draw on it what was found so far, in as many lines as the terminal has."""
        self.progress.stop()
        height = shutil.get_terminal_size((80, 24)).lines
        page.show(
            render(result, "terminal", found, replace(self.look.on(sys.stdout, options), height=height))
        )

    def write(self, found: Any, options: RenderOptions | None = None) -> None:
        """Write what was found to every output, but what `add` has written already."""
        self.progress.stop()
        rest = [output for output in self.outputs if output.format not in STREAMED]
        try:
            write_all(rest, self.result, found, options or self.rendering(), self.look)
        finally:
            self.lines.close()
        self.note(self.outputs)

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Let an interrupt end work that is done whole or not at all; the outputs then say that it is not."""
        try:
            with self.interrupts.heard():
                yield
        except KeyboardInterrupt:
            self.progress.stop()
            write_interrupted(self.outputs)
            raise

    def save(self, write: Callable[[IO[bytes]], object]) -> None:
        """Write every output, a file, by a function of its own."""
        for output in self.outputs:
            with writing(output):
                write_file(output.path or "", write)
        self.note(self.outputs)

    def note(self, outputs: Iterable[Output]) -> None:
        """Say which files were written, if it is to be said."""
        for path in (output.path for output in outputs if output.path is not None):
            self.voice.note(f"wrote {path}")


class Verb(Command):
    """A command that writes one kind of result, in any of its formats.

    It has the options of outputs before its own, and those of talking behind them; its callback gets what
    they say as a ``run``, and returns the exit code.
    """

    hint = ""
    """What else to do where the suffix of a file tells no format."""

    def __init__(self, name: str, *, result: str, params: Sequence[click.Parameter], **rest: Any) -> None:
        named = [each for each in params if isinstance(each, click.Argument)]
        own = [each for each in params if each not in named]
        for each in named:
            each.type = ModelPath()  # a verb that writes results reads models
        self.several = next((each for each in named if each.nargs < 0), None)
        self.needs_some = self.several is not None and self.several.required
        if self.several is not None:
            self.several.required = False  # a list may name them
            own.insert(0, _files_from())
        self.result = result
        whole: list[click.Parameter] = [*named, *output_options(result), *own, *talk_options()]
        super().__init__(name, params=whole, **rest)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and once more for the order of ``-f`` and ``-o``, which click forgets."""
        if ctx.resilient_parsing:  # a shell completes what is not whole yet
            return super().parse_args(ctx, args)
        given, _, order = self.make_parser(ctx).parse_args(list(args))
        rest = super().parse_args(ctx, args)
        for param in self.params:
            if isinstance(param, DependentOption):
                param.check(ctx)
        read = None if self.several is None else self._take_list(ctx, self.several)
        asked_in = (read, getattr(ctx.obj, "path", None))
        values = {name: iter(given.get(name) or ()) for name in ("formats", "files")}
        events = [(p.name, str(next(values[p.name]))) for p in order if p.name in values]
        quiet, verbose = ctx.params.pop("quiet"), ctx.params.pop("verbose")
        outputs = self.outputs_of(ctx, events)
        progress = ProgressLine(wanted(quiet, ctx.params.pop("no_progress")))
        ctx.params["run"] = Run(
            result=self.result,
            outputs=outputs,
            all_rows=ctx.params.pop("all_rows", True),
            voice=messages.Voice(verbose, quiet),
            progress=progress,
            interrupts=Interrupts(progress.stop),
            lines=LineOutputs(outputs),
            seconds={} if ctx.params.pop("junit_times", False) else None,
            look=PageLook(ctx.params.pop("width", None), ctx.params.pop("color", "auto")),
            columns=ctx.params.pop("columns", ()),
            allowed=ctx.params.get("allow_external", ()),
            asked_in=tuple(str(each) for each in asked_in if each is not None),
        )
        return rest

    def _take_list(self, ctx: click.Context, several: click.Argument) -> str | None:
        """Add the models that a list names to those of the arguments; return which file it is."""
        file: str | None
        file, name = ctx.params.pop("files_from"), several.name or ""
        given = ctx.params[name]
        if file == STDIN and STDIN in given:
            raise click.UsageError("standard input holds either a model or a list: name one of them")
        models = given if file is None else (*given, *listed(file))
        if file is not None and not models and not ctx.params.get("skip_strays"):
            raise NothingToAnalyseError(f"{file}: names no model")
        if self.needs_some and not models:
            raise click.MissingParameter(ctx=ctx, param=several)
        ctx.params[name] = models
        return file

    def outputs_of(self, ctx: click.Context, events: Sequence[tuple[str, str]]) -> list[Output]:
        """Return the outputs that were asked for."""
        return pair(events, self.result, self.hint)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error that nobody foresaw is a line on stderr, and a traceback with ``-vv``."""
        run: Run = ctx.params["run"]
        try:
            with run.interrupts, run.progress, run.lines, warnings.catch_warnings():
                # NaN of the kind that signals, in a model: a finding, and no concern of NumPy's
                warnings.filterwarnings("ignore", "invalid value encountered", RuntimeWarning)
                return super().invoke(ctx)
        except OptionError as error:
            known = next((each for each in self.params if each.name == error.name), None)
            raise error if known is None else click.BadParameter(error.reason, ctx, known) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, OnnxtopError):
            raise
        except Exception as error:
            run.voice.traceback_of(error)
            messages.error(messages.internal(error))
            return OnnxtopError.exit_code


def _files_from() -> click.Option:
    return click.Option(
        ["--files-from"],
        type=click.Path(allow_dash=True),
        metavar="FILE",
        help="Read more names from this file, or - for standard input: one a line, or with NUL between.",
    )


class TellingVerb(Verb):
    """A verb that always tells what it found."""

    def outputs_of(self, ctx: click.Context, events: Sequence[tuple[str, str]]) -> list[Output]:
        """Return the outputs; if everything goes to files, the terminal is told as well."""
        outputs = super().outputs_of(ctx, events)
        to_files = all(output.path is not None for output in outputs)
        return [*outputs, Output("terminal")] if to_files else outputs
