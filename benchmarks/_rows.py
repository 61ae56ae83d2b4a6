"""What a row of the table is, and all of them: every module here without an underscore holds some."""

import functools
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import benchmarks
from benchmarks._measuring import Figure

Pace = Literal["quick", "usual", "long"]


@dataclass(frozen=True)
class Row:
    """A figure with its goal, and how it is measured.

    Attributes
    ----------
    name, section
        What it is called on the command line, and the module that it is from.
    what, unit
        What the figure says, as a person reads it.
    run, arguments
        Gives the figure, and what it is called with. Where it has a parameter ``folder``, models are made
        there, once for all rows.
    at_most, at_least
        The goal; a row without one is there to be compared.
    pace
        ``quick`` rows take seconds, ``long`` ones minutes: these are measured only by name.
    needs
        Modules that it needs beside onnxtop's own.
    limit
        Seconds after which it has failed.
    tiny
        Arguments with which the same code runs in no time, for tests; None where whole processes are run.
    """

    name: str
    section: str
    what: str
    unit: str
    run: Callable[..., Figure]
    arguments: Mapping[str, Any] = field(default_factory=dict, compare=False)
    at_most: float | None = None
    at_least: float | None = None
    pace: Pace = "usual"
    needs: tuple[str, ...] = ()
    limit: float = 180.0
    tiny: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def goal(self) -> str:
        """As it is written in the table."""
        bounds = (("at most", self.at_most), ("at least", self.at_least))
        return ", ".join(
            f"{words} {bound:g}{_spaced(self.unit)}" for words, bound in bounds if bound is not None
        )

    @property
    def missing(self) -> list[str]:
        """What it needs that is not installed here."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def meets(self, value: float) -> bool:
        """Return whether a figure is as good as the goal; one that is no number never is."""
        low = self.at_least is None or value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most)

    def written(self, figure: Figure) -> str:
        """Return a figure as it is written in the table."""
        detail = f" ({figure.detail})" if figure.detail else ""
        return f"{figure.value:g}{_spaced(self.unit)}{detail}"

    def measure(self, folder: Path) -> Figure:
        """Measure it here."""
        own = {"folder": folder} if "folder" in inspect.signature(self.run).parameters else {}
        return self.run(**self.arguments, **own)


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


Measure = Callable[..., Figure]
_ROWS: dict[str, Row] = {}


def row(name: str, what: str, unit: str = "", **given: Any) -> Callable[[Measure], Measure]:
    """Make a row of a function; what else is given is as in `Row`."""

    def add(run: Measure) -> Measure:
        if name in _ROWS:
            raise ValueError(f"two rows are called {name}")
        _ROWS[name] = Row(name, run.__module__.rpartition(".")[2], what, unit, run, **given)
        return run

    return add


@functools.cache
def sections() -> dict[str, str]:
    """Return all modules with rows, and what each says of them: the heading and the text of its part."""
    modules = sorted(
        each.name
        for each in pkgutil.iter_modules(benchmarks.__path__)
        if each.name[0] != "_" and not each.ispkg
    )
    loaded = {name: importlib.import_module(f"benchmarks.{name}") for name in modules}
    return {name: _unwrapped(module.__doc__ or "") for name, module in loaded.items()}


def _unwrapped(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def catalogue() -> dict[str, Row]:
    """Return all rows by name, section by section."""
    return {name: each for section in sections() for name, each in _ROWS.items() if each.section == section}


def chosen(patterns: Sequence[str], pace: Sequence[Pace] = ("quick", "usual")) -> list[Row]:
    """Return the rows of these names or sections, in which * stands for anything; of none, all of some paces.

    Raises
    ------
    ValueError
        A pattern that no row has.
    """
    rows = catalogue().values()
    for pattern in patterns:
        if not any(_fits(each, pattern) for each in rows):
            raise ValueError(f"wanted a row or a section, found {pattern}: --list shows them")
    if patterns:
        return [each for each in rows if any(_fits(each, pattern) for pattern in patterns)]
    return [each for each in rows if each.pace in pace]


def _fits(each: Row, pattern: str) -> bool:
    return fnmatchcase(each.name, pattern) or each.section == pattern
