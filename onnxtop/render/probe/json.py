"""A probe as JSON, under the key that it has in a report."""

from collections.abc import Sequence
from typing import Any

from onnxtop.render import RenderOptions
from onnxtop.render.json import document
from onnxtop.render.probe import Probed, is_cut_short
from onnxtop.results.envelope import failure, header, incomplete
from onnxtop.results.outcome import FailedModel


def render(results: Sequence[Probed | FailedModel], options: RenderOptions) -> str:
    """Render all models as one document, one of them or many."""
    missed = [each.path for each in results if is_cut_short(each)]
    return document(
        {
            **header(),
            **incomplete(missed),
            "reports": [_plain(each) for each in results],
        }
    )


def _plain(found: Probed | FailedModel) -> dict[str, Any]:
    if isinstance(found, FailedModel):
        return failure(found)
    model = {"path": found.path, "sha256": found.sha256, "bytes": found.bytes}
    return {"model": model, "loss_probe": found.result.to_dict()}
