"""Probes for several threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from onnxtop.loss.probe import Probe

__all__ = ["Crew"]


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
