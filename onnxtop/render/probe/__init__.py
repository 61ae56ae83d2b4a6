"""What a probe of a model found: a format a module."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxtop.loss.summary import LossProbeResult


@dataclass(frozen=True)
class Probed:
    """A model with what its probe found."""

    path: str
    sha256: str
    bytes: int
    result: "LossProbeResult"
