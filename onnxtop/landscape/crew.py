"""Probes for several threads, and a probe as the callables that minima and paths take."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxtop.landscape.minima import BatchGradient
from onnxtop.loss.probe import Probe

__all__ = ["Crew", "gradient_of"]

Floats: TypeAlias = NDArray[np.float64]


@dataclass(eq=False)
class Crew:
    """Probes for several threads: each is used by one at a time, for one model caches what it runs."""

    probes: list[Probe]
    idle: SimpleQueue[Probe] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        for probe in self.probes:
            self.idle.put(probe)

    @contextmanager
    def one(self) -> Iterator[Probe]:
        """Lend a probe."""
        probe = self.idle.get()
        try:
            yield probe
        finally:
            self.idle.put(probe)


def gradient_of(probe: Probe) -> BatchGradient:
    """Return the probe's gradient in float64."""

    def gradient(theta: Floats, rows: NDArray[np.intp] | None = None) -> tuple[float, Floats]:
        loss, slope = probe.loss_and_gradient(theta, rows)
        return loss, slope.astype(np.float64)

    return gradient
