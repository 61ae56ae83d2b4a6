"""The graph of a model's layers as text, and the graph of its neurons as a file of arrays.

Every format of the layer graph is a module here with one function, ``render(picture, options) -> str``,
imported on first use; ``neurons`` writes arrays. Names of a model are data in all of them.
"""

import importlib
from typing import TYPE_CHECKING

from onnxtop.errors import UsageError
from onnxtop.render import RenderOptions

if TYPE_CHECKING:
    from onnxtop.render.graph.picture import Picture

__all__ = ["FORMATS", "SUFFIXES", "render"]

FORMATS = {
    "text": "onnxtop.render.graph.text",
    "dot": "onnxtop.render.graph.dot",
    "graphml": "onnxtop.render.graph.graphml",
    "json": "onnxtop.render.graph.json",
    "mermaid": "onnxtop.render.graph.mermaid",
}
"""Format to the module that renders it."""

SUFFIXES = {
    ".txt": "text",
    ".dot": "dot",
    ".gv": "dot",
    ".graphml": "graphml",
    ".json": "json",
    ".mmd": "mermaid",
}
"""File suffix to format, for an output file whose format is not said."""


def render(format_name: str, picture: "Picture", options: RenderOptions | None = None) -> str:
    """Render a layer graph.

    Raises
    ------
    UsageError
        There is no such format.
    """
    if format_name not in FORMATS:
        raise UsageError(f"wanted a format out of {', '.join(FORMATS)}, found {format_name!r}")
    text: str = importlib.import_module(FORMATS[format_name]).render(picture, options or RenderOptions())
    return text
