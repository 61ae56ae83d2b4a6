"""What is written of a result that an interrupt kept from being there at all."""

from onnxtop.render.json import document
from onnxtop.results.envelope import header
from onnxtop.results.outcome import INTERRUPTED, Outcome

_TOLD = f"{Outcome.INTERRUPTED}: nothing was finished"


def render(format_name: str) -> str:
    """Render that there is nothing, in a format that can say so; else nothing is to be written."""
    if format_name == "json":
        error = {"code": INTERRUPTED, "message": _TOLD}
        return document({**header(), "complete": False, "error": error})
    return f"incomplete: {_TOLD}\n" if format_name in ("terminal", "text", "markdown") else ""
