"""What goes to stderr: one line a message, with nothing in it that a terminal would obey."""

import contextlib
import traceback
from collections.abc import Sequence

import click

from onnxtop.render.text import visible

_MOST = 2000
"""Characters of a message; names in a model, which it quotes, have any length."""


def error(message: str, path: str | None = None) -> None:
    """Say what went wrong, and with which file."""
    where = "" if path is None else f"{visible(path)}: "
    show(f"onnxtop: error: {where}{_short(visible(message))}")


def _short(message: str) -> str:
    """Leave out the middle of a message that nobody would read to its end, where it says what to do."""
    return message if len(message) <= _MOST else f"{message[: _MOST // 2]} ... {message[-_MOST // 2 :]}"


def show(text: str) -> None:
    """Write to stderr; where that is not possible nobody can be told, and the exit code has to do."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def internal(error: BaseException) -> str:
    """Describe an error that nobody foresaw."""
    return f"internal error: {type(error).__name__}: {error} (-vv shows where)"


class Voice:
    """How much the user wants to hear: errors always, notes with ``-v``, tracebacks with ``-vv``."""

    def __init__(self, verbose: int = 0, quiet: bool = False) -> None:
        self.quiet = quiet
        self.verbose = 0 if quiet else verbose
        self.tracebacks = verbose > 1

    def note(self, message: str) -> None:
        """Say what was done."""
        if self.verbose:
            self.say(message)

    def say(self, message: str) -> None:
        """Say what whoever did not ask for quiet should know."""
        if not self.quiet:
            show(f"onnxtop: {_short(visible(message))}")

    def traceback_of(self, error: BaseException) -> None:
        """Show where an internal error came from."""
        self.show(traceback_of(error))

    def show(self, lines: Sequence[str]) -> None:
        """Show the traceback of an internal error, here or elsewhere."""
        if self.tracebacks and lines:
            show("\n".join(map(visible, lines)))


def traceback_of(error: BaseException) -> tuple[str, ...]:
    """Return the lines of a traceback."""
    return tuple("".join(traceback.format_exception(error)).splitlines())
