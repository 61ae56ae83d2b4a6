"""Renderers: results in, one string out.

Every format of a result is a module of its own with one function, ``render(found, options) -> str``; they
are all in ``RENDERERS``, and imported on first use, so that JSON never waits for rich. Nothing here prints:
the command line is one caller among others.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxtop.errors import UsageError

if TYPE_CHECKING:
    from onnxtop.results.envelope import Head


def _modules(result: str, *formats: str) -> Mapping[str, str]:
    return {name: f"onnxtop.render.{result}.{name}" for name in formats}


_REPORT = _modules(
    "report", "terminal", "json", "jsonl", "csv", "markdown", "html", "junit", "sarif", "github"
)

RENDERERS: Mapping[str, Mapping[str, str]] = {
    "report": _REPORT,
    "layers": {name: _REPORT[name] for name in ("terminal", "json", "jsonl", "csv", "markdown")},
    "check": {**_REPORT, **_modules("check", "terminal", "markdown")},
    "diff": _modules("diff", "terminal", "json", "markdown", "html"),
    "graph": _modules("graph", "text", "dot", "graphml", "json", "mermaid", "svg"),
    "probe": _modules("probe", "terminal", "json", "svg", "html"),
    "landscape": _modules("landscape", "terminal", "json", "svg", "html"),
    "trace": _modules("trace", "terminal", "json", "jsonl", "csv", "markdown", "svg", "html"),
}
"""Result to its formats, the first of them the default; format to the module that renders it.

Reports, layers, checks and probes are rendered many at a time, as a sequence; of the others there is one.
"""

PICTURES = ("svg", "png", "pdf")
"""Formats of what ``onnxtop.plot`` draws, the first of them the default."""

CHOOSABLE = ("report", "layers")
"""Results whose tables of layers have the columns that one asks for."""

STREAMED = ("jsonl",)
"""Formats of which the renderings of single models, one after the other, are that of all."""

DETAILED = ("html",)
"""Formats that draw the details of layers; the others hold them only where they were asked for."""

_SUFFIXES = {
    "terminal": (".txt",),
    "text": (".txt",),
    "json": (".json",),
    "jsonl": (".jsonl",),
    "csv": (".csv",),
    "markdown": (".md",),
    "html": (".html",),
    "junit": (".xml",),
    "sarif": (".sarif",),
    "svg": (".svg",),
    "png": (".png",),
    "pdf": (".pdf",),
    "dot": (".dot", ".gv"),
    "graphml": (".graphml",),
    "mermaid": (".mmd",),
}
"""Format to the suffixes of its files; what GitHub reads off the output of a step is never a file."""


@dataclass(frozen=True)
class RenderOptions:
    """How a result is shown.

    ``width`` is in terminal cells; with 0 nothing is cut or folded, and every row is there. ``all_rows``
    shows every row of a long table, and what waits for it elsewhere; ``columns`` names those of the table of
    layers, as in CSV, the usual ones without any. ``unicode`` False keeps the terminal format to ASCII.
    ``fail_on`` says which findings are failures: the verdict depends on it. Without ``failed`` the terminal
    format leaves out models that could not be analysed. ``head`` is what the reports of the run have in
    common, for where no report tells it. ``seconds`` are what each model took, by path, if they are to be
    written. ``height`` is that of a terminal in which a page grows. Without ``details`` only the formats that
    draw them get those of the reports.
    """

    width: int = 80
    color: bool = False
    all_rows: bool = False
    columns: tuple[str, ...] = ()
    unicode: bool = True
    fail_on: str | None = None
    failed: bool = True
    head: "Head | None" = None
    seconds: Mapping[str, float] | None = None
    height: int | None = None
    details: bool = True

    @property
    def whole(self) -> bool:
        """Whether every row and entry is to be shown, however many there are."""
        return self.all_rows or not self.width


def formats_of(result: str) -> tuple[str, ...]:
    """Return the formats of a result, the first of them the default."""
    return PICTURES if result == "plot" else tuple(RENDERERS[result])


def suffixes(result: str) -> dict[str, str]:
    """Return the format of each file suffix, for an output file whose format is not said.

    >>> suffixes("diff")
    {'.txt': 'terminal', '.json': 'json', '.md': 'markdown', '.html': 'html'}
    """
    return {suffix: name for name in formats_of(result) for suffix in _SUFFIXES.get(name, ())}


def render(result: str, format_name: str, found: Any, options: RenderOptions | None = None) -> str:
    """Render what was found, a result of this kind, or a sequence of them in their order.

    Raises
    ------
    UsageError
        The result has no such format.
    """
    formats = RENDERERS[result]
    if format_name not in formats:
        raise UsageError(f"wanted a format out of {', '.join(formats)}, found {format_name!r}")
    options = options or RenderOptions()
    if not options.details and format_name not in DETAILED:
        found = _without_details(found)
    text: str = importlib.import_module(formats[format_name]).render(found, options)
    return text


def _without_details(results: Sequence[Any]) -> list[Any]:
    from onnxtop.results.report import Report  # not for help

    return [each.without_details if isinstance(each, Report) else each for each in results]
