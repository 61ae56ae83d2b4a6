"""Work on models in a process that may die of them, as it is asked for from Python."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from onnxtop.auditing.layers import Progress
from onnxtop.reader.address import called
from onnxtop.work.options import WorkOptions
from onnxtop.work.workers import once

Found = TypeVar("Found")


def inside(work: WorkOptions) -> WorkOptions:
    """Return how work is done in the process itself that it is done in apart."""
    return replace(work, apart=False)


def apart(
    work_on: Callable[..., Found],
    models: Sequence[object],
    work: WorkOptions,
    progress: Progress | None,
    *,
    runs: bool = False,
) -> Found:
    """Return what work on models gives; where it ``runs`` them it has the time for that too.

    Raises
    ------
    ModelError
        The process died, or took too long.
    """
    return once(work_on, tuple(map(_name, models)), work, progress, seconds=work.seconds(runs=runs))


def _name(model: Any) -> str:
    return called(os.fspath(model)) if isinstance(model, str | os.PathLike) else f"<{type(model).__name__}>"
