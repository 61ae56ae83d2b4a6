"""A loss landscape as strict JSON, under the key that it has in a report."""

from onnxtop.landscape.tool import TOOL
from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.results.envelope import header
from onnxtop.results.landscape import LossLandscape


def render(landscape: LossLandscape, options: RenderOptions) -> str:
    """Render one landscape; the same landscape gives the same bytes."""
    return document({**header(TOOL), "loss_landscape": landscape.to_dict()})
