"""``onnxtop explain``: what a rule, a figure or any other word that is printed means, and its source."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from onnxtop.cli import EXIT_CODES, Command
from onnxtop.cli.completion import Explained
from onnxtop.cli.outputs import say
from onnxtop.errors import UsageError

if TYPE_CHECKING:
    from onnxtop.cli.words import Explanation

_WIDTH = 80


@click.command("explain", cls=Command, epilog=EXIT_CODES, context_settings={"ignore_unknown_options": True})
@click.argument("names", metavar="[NAME]...", nargs=-1, type=Explained())
def command(names: tuple[str, ...]) -> int:
    """Explain a rule, a figure, any word that is printed.

    NAME is a code or a name that ``onnxtop rules`` lists, a figure such as np, z, dgp or variance, the title
    of a column, an option, a key of the JSON: in small or capital letters, with spaces, hyphens or neither.
    Without NAME, list what can be asked.
    """
    if not names:
        say("\n".join(_listed()).rstrip("\n"))
        return 0
    from onnxtop.cli.words import find  # loads the rules: not for help

    found = {entry.title: entry for name in names for entry in find(name) or [_unknown(name)]}
    say("\n\n".join(map(_page, found.values())))
    return 0


def _unknown(name: str) -> "Explanation":
    from onnxtop.cli.words import entries
    from onnxtop.options import did_you_mean

    known = (each for entry in entries() for each in entry.names)
    hint = did_you_mean(name.lower(), known) or "; onnxtop explain lists what can be asked"
    raise UsageError(f"there is no rule, figure or word {name!r}{hint}")


def _page(entry: "Explanation") -> str:
    return "\n".join([entry.title, *(_part(label, text) for label, text in entry.parts.items())])


def _part(label: str, text: str) -> str:
    return "\n" + textwrap.fill(text, _WIDTH, initial_indent=f"{label}: ", subsequent_indent="  ")


def _listed() -> Iterator[str]:
    """Yield the names that can be asked for, by their group; each by the first name that it has."""
    from onnxtop.cli.words import KEYS, entries, find

    groups: dict[str, list[Explanation]] = {}
    for entry in entries():
        if entry.group != KEYS or entry in find(entry.names[0]):
            groups.setdefault(entry.group, []).append(entry)
    for group, members in groups.items():
        yield f"{group}:"
        names = [" ".join(entry.names) if group == "rules" else entry.names[0] for entry in members]
        yield from (f"  {name}" for name in (names if group == "rules" else _wrapped(names)))
        yield ""


def _wrapped(names: Iterable[str]) -> Iterator[str]:
    """Put names on lines, none broken in two."""
    line = ""
    for name in names:
        if line and len(line) + len(name) + 2 > _WIDTH - 4:
            yield f"{line},"
            line = ""
        line += f", {name}" if line else name
    yield line
