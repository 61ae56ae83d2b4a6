"""What a probe of a model found, in the formats that show it: terminal, JSON, SVG."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxtop._version import __version__
from onnxtop.errors import UsageError
from onnxtop.render import FailedModel, RenderOptions

if TYPE_CHECKING:
    from onnxtop.loss.summary import LossProbeResult

__all__ = ["FORMATS", "SUFFIXES", "Probed", "render", "render_json"]

FORMATS = ("terminal", "json", "svg")
"""Formats of ``onnxtop probe``; ``svg`` draws the loss surface."""

SUFFIXES = {".txt": "terminal", ".json": "json", ".svg": "svg"}


@dataclass(frozen=True)
class Probed:
    """A model with what its probe found."""

    path: str
    sha256: str
    bytes: int
    result: "LossProbeResult"


def render(format_name: str, results: Sequence[Probed | FailedModel], options: RenderOptions) -> str:
    """Render the results of one or several models, in their order.

    Raises
    ------
    UsageError
        There is no such format, or no surface to draw.
    """
    if format_name == "json":
        return render_json(results)
    if format_name == "terminal":
        text: str = importlib.import_module("onnxtop.render.probe.terminal").render(results, options)
        return text
    if format_name != "svg":
        raise UsageError(f"wanted a format out of {', '.join(FORMATS)}, found {format_name!r}")
    surfaces = [found for found in results if isinstance(found, Probed) and found.result.surface is not None]
    if len(surfaces) != 1:
        raise UsageError(f"wanted one model with --surface for svg, found {len(surfaces)}")
    picture: str = importlib.import_module("onnxtop.render.probe.svg").svg(
        surfaces[0].result.surface, surfaces[0].path, surfaces[0].result.loss_name
    )
    return picture


def render_json(results: Sequence[Probed | FailedModel]) -> str:
    """Render one model as its object, several (or none) as a list under ``reports``."""
    from onnxtop.render.report.json import strict
    from onnxtop.results.report import SCHEMA_VERSION

    head = {"schema_version": SCHEMA_VERSION, "tool": {"name": "onnxtop", "version": __version__}}
    plain = [_plain(found) for found in results]
    whole = {**head, **plain[0]} if len(plain) == 1 else {**head, "reports": plain}
    return strict(whole, indent=2) + "\n"


def _plain(found: Probed | FailedModel) -> dict[str, Any]:
    if isinstance(found, FailedModel):
        return {"model": {"path": found.path}, "error": {"code": found.code, "message": found.message}}
    model = {"path": found.path, "sha256": found.sha256, "bytes": found.bytes}
    return {"model": model, "loss_probe": found.result.to_dict()}
