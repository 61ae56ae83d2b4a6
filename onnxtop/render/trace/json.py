"""A training run as strict JSON."""

from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.results.report import SCHEMA_VERSION
from onnxtop.results.trace import Trace


def render(trace: Trace, options: RenderOptions) -> str:
    """Render one run; the same run gives the same bytes."""
    return document({"schema_version": SCHEMA_VERSION, **trace.to_dict()})
