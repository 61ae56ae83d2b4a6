"""How results are shown where nobody asked for a format: `onnxtop.shown` fetches this.

Every kind of result has a `Look` in the room of its formats, found by the name of its class.
"""

import hashlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.text import Text

from onnxtop.errors import MissingLibraryError
from onnxtop.render import RenderOptions
from onnxtop.render.html.page import fragment
from onnxtop.render.look import Look
from onnxtop.render.text import visible

_ROWS = 30
"""So many rows of a table are shown in a notebook."""

ROOMS: Mapping[str, tuple[str, ...]] = {
    "report.look": ("Report", "Check", "LayerReport"),
    "diff.look": ("Diff",),
    "trace.look": ("Trace",),
    "landscape.look": ("LossLandscape",),
    "probe.look": ("LossProbeResult",),
    "parts_look": (
        *("Layer", "Skipped", "Diagram"),
        *("MatrixPersistence", "NeuralPersistence", "DeepPersistence"),
    ),
}
"""What shows itself, by the module that has its look."""

_HOME = {name: f"onnxtop.render.{room}" for room, names in ROOMS.items() for name in names}


def look_of(result: Any) -> Look:
    """Return how a result is shown."""
    kind = type(result)
    found: Look = importlib.import_module(_HOME[kind.__name__]).LOOKS[kind]
    return found


def line(result: Any) -> str:
    """Say in a line what a result is."""
    return visible(look_of(result).line(result))


def html(result: Any) -> str:
    """Return what a notebook shows of a result: a fragment of HTML with its style, without a script."""
    card = look_of(result).card(result)
    key = hashlib.sha256(repr((card.title, card.tiles)).encode()).hexdigest()[:8]
    left = max(len(card.table.rows) - _ROWS, 0) if card.table else 0
    if card.table and left:
        card = replace(card, table=replace(card.table, rows=card.table.rows[:_ROWS]))
    told = f"{left:,} more rows; to_frame() has them all" if left else ""
    return fragment("notebook.html", card=card, key=f"onnxtop-{key}", left=told)


@dataclass(frozen=True)
class Drawing:
    """What rich draws of a result: the page of the command line, as wide as the console, or else its line."""

    result: Any

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """Draw it."""
        page = look_of(self.result).page
        if page is None:
            yield Text(line(self.result))
            return
        color, unicode = console.color_system is not None, not options.ascii_only
        drawn = page(self.result, RenderOptions(width=options.max_width, color=color, unicode=unicode))
        yield Text.from_ansi(drawn.rstrip("\n"))


def page(result: Any) -> Drawing:
    """Return what rich draws of a result."""
    return Drawing(result)


def frame(result: Any) -> Any:
    """Return the rows of a result as a data frame.

    Raises
    ------
    MissingLibraryError
        pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingLibraryError.of("pandas for data frames", "'onnxtop[pandas]'") from None
    look = look_of(result)
    assert look.rows is not None  # of what is `onnxtop.shown.Tabular`
    return pandas.DataFrame(list(look.rows(result)), columns=look.columns)
