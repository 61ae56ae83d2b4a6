"""The JSON report: one model or many in one envelope."""

from collections.abc import Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.results.envelope import envelope
from onnxtop.results.outcome import Result


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render all models as one document."""
    return document(envelope(results, options.fail_on, options.head))
