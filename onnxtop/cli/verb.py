"""What every verb is: a click command that pairs its outputs and survives its own bugs."""

from collections.abc import Mapping
from typing import Any, ClassVar

import click

from onnxtop.cli import messages
from onnxtop.cli.outputs import pair
from onnxtop.errors import OnnxtopError
from onnxtop.render import SUFFIXES

__all__ = ["Verb"]


class Verb(click.Command):
    """A command with the options of ``output_options`` and ``talk_options``.

    The order of ``-f`` and ``-o`` matters: the parameter ``outputs`` of the callback gets them in pairs. The
    callback returns the exit code. ``suffixes`` tells the formats that it writes, by the suffix of a file.
    """

    suffixes: ClassVar[Mapping[str, str]] = SUFFIXES

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, and once more for the order, which click forgets."""
        given, _, order = self.make_parser(ctx).parse_args(list(args))
        rest = super().parse_args(ctx, args)
        values = {name: iter(given.get(name) or ()) for name in ("formats", "files")}
        events = [(p.name, str(next(values[p.name]))) for p in order if p.name in values]
        ctx.params["outputs"] = pair(events, self.suffixes)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error that nobody foresaw is a line on stderr, and a traceback with ``-vv``."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OnnxtopError):
            raise
        except Exception as error:
            messages.Voice(ctx.params["verbose"]).traceback_of(error)
            messages.error(messages.internal(error))
            return OnnxtopError.exit_code
