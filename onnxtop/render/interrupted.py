"""What is written of a result that an interrupt kept from being there at all."""

from onnxtop._version import __version__
from onnxtop.render.json import document
from onnxtop.results.outcome import INTERRUPTED, Outcome
from onnxtop.results.report import SCHEMA_VERSION

_TOLD = f"{Outcome.INTERRUPTED}: nothing was finished"


def render(format_name: str) -> str:
    """Render that there is nothing, in a format that can say so; else nothing is to be written."""
    if format_name == "json":
        tool = {"name": "onnxtop", "version": __version__, "algorithms": {}}
        error = {"code": INTERRUPTED, "message": _TOLD}
        return document({"schema_version": SCHEMA_VERSION, "tool": tool, "complete": False, "error": error})
    return f"incomplete: {_TOLD}\n" if format_name in ("terminal", "text", "markdown") else ""
