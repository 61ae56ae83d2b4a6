"""How work is shared out: the options that no figure depends on."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from onnxtop.errors import UsageError
from onnxtop.options import Checked, Option
from onnxtop.work.machine import processor_quota

MODEL_SECONDS, RUN_SECONDS = 3600.0, 120.0
"""What the work on a model may take, and what a run of it may, where nobody says it."""


LEAST_MEMORY = 1 / 16
"""GiB that a process may have at least: in less the libraries that it needs die, each in its own way."""


def processors() -> int:
    """Return how many processors this process may use, or has the time of: one that it has in part counts."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, processor_quota())))


@dataclass(frozen=True)
class WorkOptions(Checked):
    """Who does the work, within which memory, and where what is done is remembered.

    None stands for what there is: of ``jobs`` for every core, of ``memory`` for most of what is free, of
    ``cache`` for the user's own folder. The command line has these; in Python one job is the default, and
    nothing is remembered. Work that is done ``apart`` is done in processes that may die of a model, also
    where it is one at a time; they keep to the memory and to the time limit. What comes out is the same, byte
    by byte, whatever is asked here.
    """

    jobs: Annotated[
        int | None,
        Option(
            "Work on so many models, or layers of one, at a time. Default: one a core.",
            short="-j",
            metavar="N",
            least=1,
        ),
    ] = 1
    memory: Annotated[
        float | None,
        Option(
            "Work on fewer at a time where they would take more memory; none may. Default: most of what is "
            "free.",
            metavar="GIB",
            least=LEAST_MEMORY,
        ),
    ] = None
    time_limit: Annotated[
        float | None,
        Option(
            "End the work on a model after so long, and a run of it. Default: an hour, and two minutes.",
            metavar="SECONDS",
            least=0,
            in_file=True,
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        Option("Let the workers of this Dask cluster do the work.", metavar="tcp://HOST:PORT"),
    ] = None
    cache: Annotated[
        str | Path | None,
        Option(
            "Remember results in this folder, or off: nowhere. Default: the user's cache folder.",
            metavar="DIR|off",
            form="file",
        ),
    ] = "off"
    apart: bool = False

    @property
    def run_seconds(self) -> float:
        """What a run of a model may take."""
        return RUN_SECONDS if self.time_limit is None else self.time_limit

    def seconds(self, *, runs: bool = False) -> float:
        """Return what the work on a model may take, that of a run of it with it."""
        own = MODEL_SECONDS if self.time_limit is None else self.time_limit
        return own + (self.run_seconds if runs else 0.0)

    def __post_init__(self) -> None:
        """Refuse also what is no address, and a folder without a name: it would be the one that one is in."""
        super().__post_init__()
        if self.cache == "":
            raise UsageError("cache: wanted a folder or off, found an empty name")
        if self.scheduler is not None and not re.fullmatch(r"[a-z]+://[^/\s]+:[0-9]+", self.scheduler):
            raise UsageError(f"scheduler: wanted an address as tcp://HOST:PORT, found {self.scheduler!r}")
