"""Pages of docs/studies: Markdown and pictures, made from records and never by hand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies._records import Record

DOCS = Path(__file__).parents[1] / "docs" / "studies"
COLOURS = ("#3f51b5", "#e65100", "#2e7d32", "#ad1457", "#607d8b", "#b8860b")
LOOK = {
    "axes.prop_cycle": None,
    "axes.axisbelow": True,
    "axes.edgecolor": "#90a4ae",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "grid.color": "#eceff1",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "onnxtop",
}
"""As onnxtop's own pictures look."""


@dataclass(frozen=True)
class Picture:
    """A figure: the name of its file without suffix, what it shows, and what draws it on an empty figure."""

    name: str
    alt: str
    size: tuple[float, float]
    draw: Callable[[Any], None]

    @property
    def link(self) -> str:
        """Return it as Markdown."""
        return f"![{self.alt}]({self.name}.svg)"

    def write(self, folder: Path) -> None:
        """Draw it; the same bytes whenever it is drawn."""
        import matplotlib  # tables need none
        from matplotlib.figure import Figure

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            look = {**LOOK, "axes.prop_cycle": matplotlib.cycler(color=COLOURS)}
            matplotlib.rcParams.update(look)
            figure = Figure(figsize=self.size)
            self.draw(figure)
            path = folder / f"{self.name}.svg"
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
        text = path.read_text(encoding="utf-8")
        path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Page:
    """A page, without its foot, and its pictures."""

    text: str
    pictures: tuple[Picture, ...] = ()


def write(name: str, page: Page, folder: Path = DOCS) -> None:
    """Write a page and its pictures; pictures of it that are no more go."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {f"{each.name}.svg" for each in page.pictures}
    for path in folder.glob(f"{name}-*.svg"):
        if path.name not in kept:
            path.unlink()
    for each in page.pictures:
        each.write(folder)
    beside = folder / f"{name}.new"
    beside.write_text(page.text, encoding="utf-8")
    beside.replace(folder / f"{name}.md")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell would be another column."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def joined(title: str, name: str, parts: Sequence[str], records: Sequence[Record], expected: int) -> str:
    """Return a whole page of its parts: a heading and how it was made before them, versions after them."""
    made = f"Written by `python -m studies {name}`: tables and pictures are made from records, never by hand."
    if len(records) < expected:
        made += f" So far {len(records)} of {expected} runs are done."
    whole = [
        f"# {title}",
        made,
        *map(unwrapped, filter(None, parts)),
        "## How it was run",
        foot(name, records, expected),
    ]
    return "\n\n".join(whole) + "\n"


def unwrapped(text: str) -> str:
    """Return text with each paragraph on one line; headings, lists, tables and code stay as they are."""
    blocks = text.strip("\n").split("\n\n")
    return "\n\n".join(each if each[0] in "#|- " else " ".join(each.split()) for each in blocks)


def foot(name: str, records: Sequence[Record], expected: int) -> str:
    """Return the command, when it was run, and with what."""
    command = (
        f"    pip install . -r studies/requirements.txt\n    python -m studies {name}\n\n"
        "goes on where records end; `--quick` does all of it at toy size in a minute."
    )
    if not records:
        return f"{command} There are no records yet of {expected} runs."
    minutes = sum(record.seconds for record in records) / 60
    dates = sorted({record.date for record in records})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    sets = sorted({", ".join(f"{key} {text}" for key, text in record.versions.items()) for record in records})
    return (
        f"{command} {len(records)} of {expected} runs, {minutes:.0f} minutes of processor time, {when}, "
        f"with {'; or '.join(sets)}."
    )


def sources(records: Iterable[Record]) -> str:
    """Return where the data of records come from."""
    named = sorted({f"{record.run.data}: {record.result.source}" for record in records})
    return "; ".join(named)
