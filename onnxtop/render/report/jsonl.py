"""JSON lines: one model a line."""

from collections.abc import Sequence

from onnxtop.render import RenderOptions
from onnxtop.render.json import strict
from onnxtop.results.envelope import envelope
from onnxtop.results.outcome import Result


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render each model, analysed or failed, as the envelope that ``json`` gives for it alone."""
    return "".join(strict(envelope([each], options.fail_on, options.head)) + "\n" for each in results)
