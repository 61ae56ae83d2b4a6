"""Pages of the documentation that are made from the code: tables of formats and limits, the public names.

Run as a script, this writes ``docs/formats.md`` and ``docs/security.md`` (their tables) and ``docs/api.md``::

    python -m tests.pages
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import onnxtop
from onnxtop.cli import VERBS
from onnxtop.options import declared
from onnxtop.reader.limits import Limits
from onnxtop.render import RENDERERS, formats_of, suffixes
from tests.world.cases import rows as rows_of_faults

DOCS = Path(__file__).resolve().parent.parent / "docs"
FORMATS = DOCS / "formats.md"
API = DOCS / "api.md"
SECURITY = DOCS / "security.md"

FOR = {
    "terminal": "people, at a terminal",
    "text": "people, at a terminal",
    "html": "people, as one file that a browser shows",
    "json": "programs: everything there is, with settings, coverage and a schema version",
    "jsonl": "programs: one model a line, written when it is done",
    "csv": "spreadsheets: one layer, or checkpoint, a row",
    "markdown": "issues, pull requests and summaries of jobs",
    "junit": "test reports of a build: a case a rule, those that did not run skipped",
    "sarif": "code scanning and editors",
    "github": "annotations in GitHub Actions",
    "svg": "pictures, in documents and browsers",
    "png": "pictures, where SVG is not shown",
    "pdf": "pictures, in papers",
    "dot": "Graphviz",
    "graphml": "networkx, Gephi and yEd",
    "mermaid": "diagrams in Markdown",
}
"""What each format is for; those of other tools are named as the tools are."""

TABLE = re.compile(r"(?<=^\| --- \| --- \| --- \| --- \|\n)(\| `.*\n)+", re.M)

FAULTS = re.compile(r"(?<=^\| --- \| --- \| --- \| --- \|\n)(\| .*\n)+", re.M)

LIMITS = re.compile(
    r"(?<=^\| name \| at most \| what it counts \|\n\| --- \| --- \| --- \|\n)(\| `.*\n)+", re.M
)

API_HEAD = """\
# The interface of Python

Everything here is imported from `onnxtop` itself: `onnxtop.audit`, `onnxtop.Report`. What is not on this \
page is not part of the interface and may change. [The tour](python.md) shows most of it at work.

This page is written from `onnxtop.__all__` and the docstrings by `python -m tests.pages`; a test checks \
that it is current.
"""


def rows_of_formats() -> str:
    """Return the rows of the table: every format that any verb writes, with its suffixes and verbs."""
    verbs: dict[str, list[str]] = {}
    ends: dict[str, list[str]] = {}
    for verb, (module, _) in VERBS.items():
        result = getattr(importlib.import_module(module).command, "result", None)
        for name in formats_of(result) if result in (*RENDERERS, "plot") else ():
            verbs.setdefault(name, []).append(verb)
            ends[name] = [f"`{suffix}`" for suffix, other in suffixes(result).items() if other == name]
    return "".join(
        f"| `{name}` | {' '.join(ends[name])} | {', '.join(of)} | {FOR[name]} |\n"
        for name, of in verbs.items()
    )


def formats() -> str:
    """Return the page of formats with the table that is true now."""
    page, n = TABLE.subn(lambda _: rows_of_formats(), FORMATS.read_text(encoding="utf-8"))
    assert n == 1
    return page


def security() -> str:
    """Return the page of promises with the limits that hold now, and the faults that are tried."""
    rows = "".join(
        f"| `{name}` | {each.default:,.15g} {each.option.metavar} | {each.option.help} |\n"
        for name, each in declared(Limits).items()
    )
    page, n_limits = LIMITS.subn(lambda _: rows, SECURITY.read_text(encoding="utf-8"))
    page, n_faults = FAULTS.subn(lambda _: rows_of_faults(), page)
    assert n_limits == n_faults == 1
    return page


def api() -> str:
    """Return the page of public names: mkdocstrings puts their docstrings in."""
    parts = [API_HEAD]
    for title, names in (*_sections(), *_modules()):
        parts += [f"## {title}\n", *(f"::: onnxtop.{name}\n" for name in names)]
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, list[str]]]:
    values = {name: getattr(onnxtop, name) for name in onnxtop.__all__ if name != "__version__"}
    kinds: dict[str, list[str]] = {"Functions": [], "Options": [], "What they return": [], "Errors": []}
    for name in sorted(values, key=str.lower):
        kinds[_kind(name, values[name])].append(name)
    yield from kinds.items()


def _modules() -> Iterator[tuple[str, list[str]]]:
    """Yield the modules that are public as such: what is defined in them, or named in their ``__all__``."""
    for module in onnxtop._MODULES:
        home = f"onnxtop.{module}"
        values = vars(importlib.import_module(home))
        own = [name for name, value in values.items() if getattr(value, "__module__", "") == home]
        names = values.get("__all__") or [name for name in own if not name.startswith("_")]
        yield f"onnxtop.{module}", [f"{module}.{name}" for name in sorted(names)]


def _kind(name: str, value: object) -> str:
    if not inspect.isclass(value):
        return "Functions"
    if issubclass(value, onnxtop.OnnxtopError):
        return "Errors"
    return "Options" if name.endswith("Options") else "What they return"


PAGES = {FORMATS: formats, API: api, SECURITY: security}

if __name__ == "__main__":
    for path, page in PAGES.items():
        path.write_text(page(), encoding="utf-8")
        print(f"wrote {path.relative_to(DOCS.parent)}")
