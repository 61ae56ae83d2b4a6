"""GitHub-flavoured Markdown, fit for a pull-request comment.

Names are shown as code, where Markdown, HTML, mentions and links mean nothing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.text import visible

_FOLDED = 15
"""A table with more rows than this starts folded."""

_LISTED = 20
"""At most so many entries of a list are shown; ``all_rows`` shows all."""


def code(name: str, *, in_html: bool = False) -> str:
    """Show a name as code; a span where that is safe, else HTML with everything odd as an entity."""
    shown = visible(name)
    if not in_html and shown.strip() and not re.search(r"[`|\\]", shown):
        return f"`{shown}`"
    return f"<code>{''.join(c if c.isalnum() else f'&#{ord(c)};' for c in shown)}</code>"


def prose(text: str) -> str:
    """Show a sentence as text: no markup, no HTML, no mention of a person or an issue."""
    return re.sub(r"[\\`*_{}\[\]<>|~&:!$]|[@#]|www(?=\.)", _harmless, visible(text))


def _harmless(match: re.Match[str]) -> str:
    """Write markup as an entity; part a mention or link from what it would refer to."""
    found = match[0]
    return f"{found}&#8203;" if found in ("@", "#", "www") else f"&#{ord(found)};"


def table(columns: Mapping[str, str], rows: Sequence[str], summary: str, note: str) -> Iterator[str]:
    """Write a table, folded under its summary if it is long, with a note beneath.

    ``columns`` are titles and how their cells are aligned, ":--" or "--:".
    """
    folded = len(rows) > _FOLDED
    if folded:
        yield from (f"<details><summary>{summary}</summary>", "")
    yield f"| {' | '.join(columns).rstrip()} |"
    yield f"|{'|'.join(columns.values())}|"
    yield from rows
    if note:
        yield from ("", note)
    if folded:
        yield from ("", "</details>")


def row(cells: Iterable[str]) -> str:
    """Write the row of a table."""
    return f"| {' | '.join(cells)} |"


def listed(lines: Sequence[str], options: RenderOptions) -> Sequence[str]:
    """Return the entries of a list to show, and how many more there are."""
    if options.all_rows or len(lines) <= _LISTED:
        return lines
    return [*lines[:_LISTED], f"- and {len(lines) - _LISTED:,} more; --all lists every one"]
