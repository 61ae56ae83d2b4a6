"""What a study is, and all of them: every module here without an underscore is one."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import studies
from studies._pages import Page
from studies._records import Record, Run


@dataclass(frozen=True)
class Study:
    """A claim that is run.

    Attributes
    ----------
    name
        What it is called on the command line; its page is ``docs/studies/<name>.md``.
    what
        Its claim in a sentence.
    runs
        Gives what has to be measured, at full size or, with True, at toy size. Studies may share runs.
    page
        Makes the page from the records that there are, and the number of those that there should be.
    """

    name: str
    what: str
    runs: Callable[[bool], list[Run]]
    page: Callable[[Sequence[Record], int], Page]


@functools.cache
def catalogue() -> dict[str, Study]:
    """Return all studies by name, in the order of their numbers."""
    names = [each.name for each in pkgutil.iter_modules(studies.__path__) if each.name[0] != "_"]
    modules = [importlib.import_module(f"studies.{name}") for name in names]
    held = sorted(modules, key=lambda module: module.NUMBER)
    return {
        name: Study(name, (module.__doc__ or "").partition("\n")[0].rstrip("."), module.runs, module.page)
        for module in held
        for name in [module.__name__.rpartition(".")[2]]
    }


def chosen(names: Sequence[str]) -> list[Study]:
    """Return studies by name, or all.

    Raises
    ------
    ValueError
        A name is none.
    """
    known = catalogue()
    if wrong := [name for name in names if name not in known]:
        raise ValueError(f"wanted some of {', '.join(known)}, found {', '.join(wrong)}")
    return [known[name] for name in names or known]
