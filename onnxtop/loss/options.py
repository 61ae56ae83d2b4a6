"""What may be asked of a loss: what a `Probe` is told, and what ``onnxtop probe`` measures with it.

Each option is declared here once; nothing heavy is imported.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from onnxtop.errors import UsageError

__all__ = ["BatchNorm", "Execution", "LossName", "LossOptions", "Pixels", "ProbeOptions", "processors"]

LossName: TypeAlias = Literal["auto", "cross-entropy", "binary", "mse", "l1", "huber"]
BatchNorm: TypeAlias = Literal["frozen", "batch", "recalibrate"]
Execution: TypeAlias = Literal["auto", "feeds", "rebuild"]


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class LossOptions:
    """Which loss of a model, and how it is run.

    Attributes
    ----------
    loss
        ``auto`` chooses by the output's shape and the target's type.
    output
        Which output the loss is of, where the model has several.
    batchnorm
        ``frozen`` uses the stored statistics, as the exported model does; ``batch`` those of the samples of
        each run (all of them, unless ``batch_size`` is smaller); ``recalibrate`` measures them at each theta,
        as the mean over runs, and holds them fixed in the gradient.
    l2
        Adds l2 / 2 times the squared length of theta.
    untie
        Whether a tensor that is used several times becomes one parameter a use.
    ignore_index
        The label that does not count.
    batch_size
        Samples in a run; chosen by memory if None. The loss does not depend on it, unless ``batchnorm`` is
        ``batch`` or ``recalibrate``.
    threads
        Threads in a run; if None, one for small models and all processors of this process for others.
    execution
        ``feeds``, ``rebuild`` or ``auto``, which times both once where it may matter.
    allow_external
        Folders beside the model's own from which external weights may be read.
    """

    loss: LossName = "auto"
    output: str | None = None
    batchnorm: BatchNorm = "frozen"
    l2: float = 0.0
    untie: bool = False
    ignore_index: int = -100
    batch_size: int | None = None
    threads: int | None = None
    execution: Execution = "auto"
    allow_external: tuple[str | Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name, value, known in (
            ("a loss", self.loss, LossName),
            ("batchnorm", self.batchnorm, BatchNorm),
            ("execution", self.execution, Execution),
        ):
            if value not in get_args(known):
                raise UsageError(f"wanted {name} out of {', '.join(get_args(known))}, found {value!r}")
        if not 0 <= self.l2 < float("inf"):
            raise UsageError(f"wanted l2 of 0 or more, found {self.l2}")
        for name, number in (("batch_size", self.batch_size), ("threads", self.threads)):
            if number is not None and number < 1:
                raise UsageError(f"wanted {name} of 1 or more, found {number}")


@dataclass(frozen=True)
class Pixels:
    """How an image becomes numbers: (pixel / 255 - mean) / deviation, in the model's layout.

    ``shape`` is that of one sample in the model: (channels, height, width) or (height, width, channels), with
    1, 3 or 4 channels; None keeps the first image's size, channels first.
    """

    shape: tuple[int, ...] | None = None
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class ProbeOptions(LossOptions):
    """What to measure of a loss, and how.

    Attributes
    ----------
    labels
        An .npy file of labels, where the data is an .npy file.
    split
        Which split of the data to take; the one without an ending if None.
    gradient, profile, sharpness, descent
        Whether to measure the gradient, the loss along directions, the largest curvature, and what a short
        descent gains.
    surface
        Points a side of the loss surface; 0 for none.
    points, directions, reach
        Of the profiles: points a line, how many random lines, and how far they go in lengths of the filters.
    seed
        Of random directions.
    budget
        Seconds after which no further step is begun; None for no limit.
    differences
        Whether finite differences may stand in for a gradient without rules, up to 300 parameters.
    image
        How images are turned into numbers.
    """

    execution: Execution = "feeds"  # a choice by timing could differ from run to run in the last digit
    labels: str | Path | None = None
    split: str | None = None
    gradient: bool = True
    profile: bool = True
    sharpness: bool = True
    descent: bool = True
    surface: int = 0
    points: int = 21
    directions: int = 2
    reach: float = 0.5
    seed: int = 0
    budget: float | None = None
    differences: bool = False
    image: Pixels = field(default_factory=Pixels)
