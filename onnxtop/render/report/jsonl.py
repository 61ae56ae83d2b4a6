"""JSON lines: one model a line."""

from collections.abc import Sequence

from onnxtop.render import RenderOptions, Result
from onnxtop.render.json import strict
from onnxtop.render.report.json import plain


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render each model, analysed or failed, as the object that ``json`` gives for it alone."""
    return "".join(strict(plain(result)) + "\n" for result in results)
