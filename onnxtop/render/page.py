"""A page of the terminal, drawn by rich: nothing is ever wider than the terminal, or nothing is ever cut.

Names are data: they go through ``Text``, never through rich's markup, and what does not print is escaped.
"""

import io
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from onnxtop.render import RenderOptions
from onnxtop.render.cells import ASCII, UNICODE
from onnxtop.render.names import shortened
from onnxtop.results.headline import Headline, Tone

_LISTED = 12
"""At most so many entries of a list are shown; ``all_rows`` shows all."""

_LABEL = 24
"""Cells that the label of such an entry has at least."""

ENDLESS = 1 << 30
"""The width of a page on which nothing is cut or folded."""

TONES = {Tone.GOOD: "bold green", Tone.DOUBT: "bold yellow", Tone.BAD: "bold red"}
"""How news are drawn."""

_DRAWN = 100
"""Cells of pictures on such a page."""


def widths_of(options: RenderOptions, narrowest: int = 40) -> tuple[int, int]:
    """Return the room of words, and that of pictures."""
    width = max(options.width, narrowest)
    return (width, width) if options.width else (ENDLESS, _DRAWN)


class Page:
    """A page that is filled from above, ``options.width`` cells wide, and no less than the narrowest.

    With a width of 0 nothing is cut: each sentence and each row has a line, however long. ``width`` is the
    room of words, ``drawn`` that of pictures.
    """

    narrowest = 40

    def __init__(self, options: RenderOptions) -> None:
        self.signs = UNICODE if options.unicode else ASCII
        self.width, self.drawn = widths_of(options, self.narrowest)
        self.all_rows = options.whole
        self.paper = io.StringIO()
        self.console = Console(
            file=self.paper,
            width=self.drawn,
            height=25,
            color_system="standard" if options.color else None,
            force_terminal=options.color,
            force_jupyter=False,
            no_color=False,  # the caller has looked at NO_COLOR: do not read the environment again
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=not options.width,
        )

    def finished(self) -> str:
        """Return what was drawn since this was last asked, lines without blanks at their ends."""
        text = self.paper.getvalue()
        self.paper.seek(0)
        self.paper.truncate()
        return "".join(f"{line.rstrip()}\n" for line in text.split("\n")[:-1])

    def headline(self, headline: Headline) -> None:
        """Draw a verdict."""
        sign = self.signs.tones[headline.tone]
        self.line(f"{sign} {self.signs.shown(headline.words)}", TONES[headline.tone])

    def line(self, text: str = "", style: str = "") -> None:
        """Draw a line that holds no name, or one that is safe to show."""
        self.console.print(Text(text, style, overflow="fold"))

    def paragraph(self, text: str, style: str = "") -> None:
        """Draw a sentence, indented and folded."""
        self._indented("", 0, Text(self.signs.shown(text), style, overflow="fold"))

    def lines(self, lines: Iterable[Text]) -> None:
        """Draw lines, of a table or a picture, cut where the page ends; those that fold are indented."""
        for line in lines:
            if line.overflow == "fold":
                self._indented("", 0, line)
            else:
                self.console.print(line, no_wrap=True)

    def listed(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """List a label and a sentence a line, and the label's style; long sentences fold under themselves.

        Labels that are too long are shortened such that they stay apart.
        """
        shown = rows if self.all_rows else rows[:_LISTED]
        room = max(self.width // 3, _LABEL)
        labels = shortened([self.signs.shown(label) for label, _, _ in shown], room, self.signs.ellipsis)
        self.labelled([(label, *row[1:]) for label, row in zip(labels, shown, strict=True)])
        if len(shown) < len(rows):
            self.paragraph(f"and {len(rows) - len(shown):,} more; --all lists every one", "dim")

    def labelled(self, rows: Sequence[tuple[str, str, str]], style: str = "") -> None:
        """Draw sentences in a ``style``, each behind its label, which has a style of its own."""
        room = max((cell_len(label) for label, _, _ in rows), default=0)
        for label, sentence, own in rows:
            self._indented(label, room, Text(self.signs.shown(sentence), style, overflow="fold"), own)

    def _indented(self, label: str, room: int, sentence: Text, style: str = "") -> None:
        """Draw a sentence behind its label, the lines it folds into beneath each other."""
        start = 2 + room + 2 * bool(room)
        head = Text("  ").append(label, style).append(" " * (start - 2 - cell_len(label)))
        lines = [sentence]
        if self.width != ENDLESS:
            lines = list(sentence.wrap(self.console, max(self.width - start, 8)))
        for i, line in enumerate(lines):
            self.console.print((head if i == 0 else Text(" " * start)).append_text(line), no_wrap=True)
