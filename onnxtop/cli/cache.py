"""``onnxtop cache``: what is remembered, and how to forget it."""

import click

from onnxtop.cli import EXIT_CODES, Command
from onnxtop.cli.options import WORK, options_of
from onnxtop.cli.outputs import say
from onnxtop.errors import UsageError
from onnxtop.options import with_values
from onnxtop.render.text import visible
from onnxtop.results.words import counted
from onnxtop.work.store import OFF, Store, store_of


@click.command("cache", cls=Command, epilog=EXIT_CODES)
@click.option("--clear", is_flag=True, help="Delete all that is remembered.")
@options_of(WORK, "cache")
def command(clear: bool, cache: str | None) -> int:
    """Show where results are remembered, or clear that.

    Remembered are reports, comparisons and what was measured of layers, by what the files hold, the options
    and the version; what was used least recently makes room. The environment variable ONNXTOP_CACHE names
    another folder, or says off.
    """
    store = store_of(with_values(WORK, {"cache": cache}))
    if not store:
        say(f"{OFF}: nothing is remembered")
        return 0
    try:
        told = _cleared(store) if clear else _shown(store)
    except OSError as error:
        raise UsageError(f"{store.folder}: this cache cannot be used: {error.strerror or error}") from None
    say(told)
    return 0


def _cleared(store: Store) -> str:
    return f"{visible(str(store.folder))}: {counted(store.clear(), 'result')} deleted"


def _shown(store: Store) -> str:
    sizes = [entry.size for entry in store.entries()]
    held = f"{counted(len(sizes), 'result')}, {sum(sizes):,} of at most {store.limit:,} bytes"
    return f"{visible(str(store.folder))}: {held}"
