"""A loss landscape as strict JSON, under the key that it has in a report."""

from onnxtop._version import __version__
from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.results.landscape import LossLandscape
from onnxtop.results.report import SCHEMA_VERSION

ALGORITHMS = {"loss_barcode": 3}
"""Raised whenever the same files and options may give another value."""


def render(landscape: LossLandscape, options: RenderOptions) -> str:
    """Render one landscape; the same landscape gives the same bytes."""
    tool = {"name": "onnxtop", "version": __version__, "algorithms": ALGORITHMS}
    return document({"schema_version": SCHEMA_VERSION, "tool": tool, "loss_landscape": landscape.to_dict()})
