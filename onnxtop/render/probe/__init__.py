"""What a probe of a model found: a format a module."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxtop.results.outcome import INTERRUPTED, FailedModel

if TYPE_CHECKING:
    from onnxtop.loss.summary import LossProbeResult


@dataclass(frozen=True)
class Probed:
    """A model with what its probe found."""

    path: str
    sha256: str
    bytes: int
    result: "LossProbeResult"


def is_cut_short(found: Probed | FailedModel) -> bool:
    """Tell whether the run was interrupted before or in the probe of a model."""
    if isinstance(found, FailedModel):
        return found.code == INTERRUPTED
    return found.result.stopped == "interrupt"
