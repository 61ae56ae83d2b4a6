"""Renderers: results in, one string out.

Every format is a module here with one function, ``render(results, options) -> str``. The modules are
imported on first use, so that JSON never waits for rich. Nothing here prints: the command line is one
caller among others.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnxtop.errors import UsageError

if TYPE_CHECKING:
    from onnxtop.results.report import Report

__all__ = ["FAILING", "FORMATS", "SUFFIXES", "FailedModel", "RenderOptions", "Result", "render"]

FORMATS = {
    "terminal": "onnxtop.render.report.terminal",
    "json": "onnxtop.render.report.json",
    "jsonl": "onnxtop.render.report.jsonl",
    "csv": "onnxtop.render.report.csv",
    "markdown": "onnxtop.render.report.markdown",
    "junit": "onnxtop.render.report.junit",
    "sarif": "onnxtop.render.report.sarif",
    "github": "onnxtop.render.report.github",
}
"""Format to the module that renders it."""

SUFFIXES = {
    ".txt": "terminal",
    ".json": "json",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".md": "markdown",
    ".xml": "junit",
    ".sarif": "sarif",
}
"""File suffix to format, for an output file whose format is not said."""


FAILING = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
"""Value of ``--fail-on`` to the severities that fail."""


@dataclass(frozen=True)
class FailedModel:
    """A model that could not be analysed; ``code`` is the exit code that this failure alone would give."""

    path: str
    code: int
    message: str


@dataclass(frozen=True)
class RenderOptions:
    """How a result is shown; json, jsonl, csv, sarif and github depend on none of these.

    ``width`` is in terminal cells; ``all_rows`` shows every row of a long table; ``unicode`` False keeps the
    terminal format to ASCII. With ``fail_on`` the terminal format is a verdict: what fails, and what passes;
    in junit it says which findings are failures.
    """

    width: int = 80
    color: bool = False
    all_rows: bool = False
    unicode: bool = True
    fail_on: str | None = None


Result: TypeAlias = "Report | FailedModel"


def render(format_name: str, results: Sequence[Result], options: RenderOptions | None = None) -> str:
    """Render the results of one or several models, in their order.

    Raises
    ------
    UsageError
        There is no such format.
    """
    if format_name not in FORMATS:
        raise UsageError(f"wanted a format out of {', '.join(FORMATS)}, found {format_name!r}")
    text: str = importlib.import_module(FORMATS[format_name]).render(results, options or RenderOptions())
    return text
