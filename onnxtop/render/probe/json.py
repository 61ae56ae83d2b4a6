"""A probe as JSON, under the key that it has in a report."""

from collections.abc import Sequence
from typing import Any

from onnxtop._version import __version__
from onnxtop.render import FailedModel, RenderOptions
from onnxtop.render.json import document, failure
from onnxtop.render.probe import Probed
from onnxtop.results.report import SCHEMA_VERSION


def render(results: Sequence[Probed | FailedModel], options: RenderOptions) -> str:
    """Render one model as its object, several (or none) as a list under ``reports``."""
    head = {"schema_version": SCHEMA_VERSION, "tool": {"name": "onnxtop", "version": __version__}}
    plain = [_plain(found) for found in results]
    return document({**head, **plain[0]} if len(plain) == 1 else {**head, "reports": plain})


def _plain(found: Probed | FailedModel) -> dict[str, Any]:
    if isinstance(found, FailedModel):
        return failure(found)
    model = {"path": found.path, "sha256": found.sha256, "bytes": found.bytes}
    return {"model": model, "loss_probe": found.result.to_dict()}
