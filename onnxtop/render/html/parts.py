"""What the macros of the pages are given: plain values, shown as text unless they are ``Markup``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

from markupsafe import Markup

NO_PICTURE = Markup()


@dataclass(frozen=True)
class Fact:
    """A label and what it says, one thing or a list; ``term`` is the word of the glossary that explains it.

    ``more`` stands small beside it; ``is_name`` says that it is a name of the file's.
    """

    label: str
    value: str | Sequence[str]
    term: str = ""
    more: str = ""
    is_name: bool = False

    @property
    def values(self) -> Sequence[str]:
        """The values, one or many."""
        return (self.value,) if isinstance(self.value, str) else self.value


@dataclass(frozen=True)
class GroupedFinding:
    """One finding of a group: where, a name with a link if that has a place on the page, and what."""

    where: str
    message: str
    link: str = ""
    known: bool = False


@dataclass(frozen=True)
class FindingGroup:
    """All findings of one rule; ``texts`` are its explanations by their labels."""

    severity: str
    code: str
    name: str
    entries: Sequence[GroupedFinding]
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heading:
    """The heading of a column, the word that explains it, and how its cells are read.

    ``numeric`` cells stand at the right and are sorted as numbers; a column to ``choose`` from offers its
    values as a filter.
    """

    title: str
    term: str = ""
    numeric: bool = False
    choose: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: a text, the number by which it is sorted where the text does not say it, a picture, a link.

    Its ``look`` is a tone or a severity, which colours it; the text has to say the same. ``whole`` is the
    name of which it shows a part.
    """

    text: str
    value: float | None = None
    picture: Markup = NO_PICTURE
    link: str = ""
    is_name: bool = False
    look: str = ""
    whole: str = ""

    @property
    def sorted_by(self) -> str:
        """The number by which it is sorted, empty where the text is that number."""
        value = "" if self.value is None else f"{self.value:.6g}"
        return "" if value == self.text else value


@dataclass(frozen=True)
class SheetRow:
    """A row of a sheet, as many cells as there are headings; links lead to its ``key``, an id of the page."""

    cells: Sequence[Cell]
    key: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture, what it shows, the word that explains that, and the names of its curves if they are many."""

    caption: str
    drawn: Markup
    names: Sequence[str] = ()
    term: str = ""
    is_wide: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table: its caption, its headings, its rows, and rows that stay at its foot."""

    caption: str
    headings: Sequence[Heading]
    rows: Sequence[SheetRow]
    foot: Sequence[SheetRow] = ()


def full_sheet(
    caption: str, headings: Sequence[Heading], rows: Sequence[SheetRow], foot: Sequence[SheetRow] = ()
) -> Sheet:
    """Return a table without the columns in which no row has anything."""
    cells = [row.cells for row in rows]
    full = [any(row[place].text or row[place].picture for row in cells) for place in range(len(headings))]
    left, below = (
        [SheetRow(list(compress(row.cells, full)), row.key) for row in some] for some in (rows, foot)
    )
    return Sheet(caption, list(compress(headings, full)), left, below)
