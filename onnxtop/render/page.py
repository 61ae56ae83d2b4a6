"""A page of the terminal, drawn by rich: nothing is ever wider than the terminal.

Names are data: they go through ``Text``, never through rich's markup, and what does not print is escaped.
"""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from onnxtop.render import RenderOptions
from onnxtop.render.cells import ASCII, UNICODE

_LISTED = 12
"""At most so many entries of a list are shown; ``all_rows`` shows all."""


class Page:
    """A page that is filled from above, ``options.width`` cells wide within the narrowest and the widest."""

    narrowest, widest = 40, 120

    def __init__(self, options: RenderOptions) -> None:
        self.signs = UNICODE if options.unicode else ASCII
        self.width = min(max(options.width, self.narrowest), self.widest)
        self.all_rows = options.all_rows
        self.paper = io.StringIO()
        self.console = Console(
            file=self.paper,
            width=self.width,
            height=25,
            color_system="standard" if options.color else None,
            force_terminal=options.color,
            force_jupyter=False,
            no_color=False,  # the caller has looked at NO_COLOR: do not read the environment again
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def finished(self) -> str:
        """Return what was drawn so far, lines without blanks at their ends."""
        return "".join(f"{line.rstrip()}\n" for line in self.paper.getvalue().split("\n")[:-1])

    def line(self, text: str = "", style: str = "") -> None:
        """Draw a line that holds no name, or one that is safe to show."""
        self.console.print(Text(text, style, overflow="fold"))

    def paragraph(self, text: str, style: str = "") -> None:
        """Draw a sentence, indented and folded."""
        self.console.print(Padding(Text(self.signs.shown(text), style, overflow="fold"), (0, 0, 0, 2)))

    def lines(self, lines: Iterable[Text]) -> None:
        """Draw lines, of a table or a picture, that are cut where the page ends."""
        for line in lines:
            self.console.print(line, no_wrap=True)

    def listed(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """List a label and a sentence a line, and the label's style; long sentences fold under themselves."""
        shown = rows if self.all_rows else rows[:_LISTED]
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for label, sentence, style in shown:
            grid.add_row(Text(self.signs.short(label, 24), style), Text(self.signs.shown(sentence)))
        self.console.print(Padding(grid, (0, 0, 0, 2)))
        if len(shown) < len(rows):
            self.paragraph(f"and {len(rows) - len(shown):,} more; --all lists every one", "dim")
