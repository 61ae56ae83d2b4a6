"""A comparison of two models as JSON."""

from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.results.diff import Diff
from onnxtop.results.report import SCHEMA_VERSION


def render(diff: Diff, options: RenderOptions) -> str:
    """Render everything that was found."""
    return document({"schema_version": SCHEMA_VERSION, **diff.to_dict()})
