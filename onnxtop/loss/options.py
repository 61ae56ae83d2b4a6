"""What may be asked of a loss: what a `Probe` is told, and what ``onnxtop probe`` measures with it.

Each option is declared here once; nothing heavy is imported.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from onnxtop.errors import OptionError
from onnxtop.options import MOST_DOWNLOAD, AllowExternal, Checked, MaxDownload, Option, Seed
from onnxtop.reader.limits import LimitValues

LossName: TypeAlias = Literal["auto", "cross-entropy", "binary", "mse", "l1", "huber"]
BatchNorm: TypeAlias = Literal["frozen", "batch", "recalibrate"]
Execution: TypeAlias = Literal["auto", "feeds", "rebuild"]


@dataclass(frozen=True)
class LossOptions(Checked):
    """Which loss of a model, and how it is run.

    What the option of a field says is not said twice.

    Attributes
    ----------
    batchnorm
        ``frozen`` uses the stored statistics, as the exported model does; ``batch`` those of the samples of
        each run (all of them, unless ``batch_size`` is smaller); ``recalibrate`` measures them at each theta,
        as the mean over runs, and holds them fixed in the gradient.
    untie
        Whether a tensor that is used several times becomes one parameter a use.
    batch_size
        Samples in a run; chosen by memory if None. The loss does not depend on it, unless ``batchnorm`` is
        ``batch`` or ``recalibrate``.
    threads
        Threads in a run; if None, one for small models and all processors of this process for others.
    execution
        ``feeds``, ``rebuild`` or ``auto``, which times both once where it may matter.
    """

    loss: Annotated[LossName, Option("Which loss; by the output's shape and the target's type if auto.")] = (
        "auto"
    )
    output: Annotated[
        str | None,
        Option(
            "Which output the loss is of, where the model has several.",
            flag="--target-output",
            metavar="NAME",
        ),
    ] = None
    batchnorm: Annotated[
        BatchNorm,
        Option("Statistics of BatchNormalization: stored, of each batch, or measured anew."),
    ] = "frozen"
    l2: Annotated[
        float,
        Option("Add L2 / 2 times the squared length of the weights to the loss.", metavar="NUMBER", least=0),
    ] = 0.0
    label_smoothing: Annotated[
        float,
        Option("Mix this share of the uniform distribution into the labels.", metavar="SHARE", least=0),
    ] = 0.0
    untie: bool = False
    ignore_index: Annotated[int, Option("The label that does not count.", metavar="LABEL")] = -100
    batch_size: Annotated[
        int | None, Option("Samples in a run; by memory if not given.", metavar="N", least=1)
    ] = None
    threads: Annotated[
        int | None, Option("Threads in a run; by size if not given.", metavar="N", least=1)
    ] = None
    execution: Execution = "auto"
    allow_external: AllowExternal = ()
    max_download: MaxDownload = MOST_DOWNLOAD
    limits: LimitValues = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__post_init__()
        if not self.label_smoothing < 1:
            raise OptionError.of("label_smoothing", f"wanted a share below 1, found {self.label_smoothing:g}")


@dataclass(frozen=True)
class Pixels(Checked):
    """How an image becomes numbers: (pixel / 255 - mean) / deviation, in the model's layout.

    ``shape`` is that of one sample in the model: (channels, height, width) or (height, width, channels), with
    1, 3 or 4 channels; None keeps the first image's size, channels first.
    """

    shape: tuple[int, ...] | None = None
    mean: Annotated[
        tuple[float, ...], Option("Subtract from pixels (0 to 1) of images.", metavar="M[,M,M]")
    ] = (0.0,)
    deviation: Annotated[tuple[float, ...], Option("Divide pixels of images by.", metavar="S[,S,S]")] = (1.0,)

    def __post_init__(self) -> None:
        """Refuse what nothing can be divided by."""
        super().__post_init__()
        if wrong := [each for each in self.deviation if each <= 0]:
            raise OptionError.of("deviation", f"wanted numbers above 0, found {wrong[0]:g}")

    @property
    def is_asked(self) -> bool:
        """Whether it says something about values, which arrays have of their own."""
        return (self.mean, self.deviation) != (Pixels.mean, Pixels.deviation)


@dataclass(frozen=True)
class ProbeOptions(LossOptions):
    """What to measure of a loss, and how.

    What the option of a field says is not said twice.

    Attributes
    ----------
    split
        Which split of the data to take; the one without an ending if None.
    gradient, profile, sharpness, descent
        Whether to measure the gradient, the loss along directions, the largest curvature, and what a short
        descent gains.
    surface
        Points a side of the loss surface; 0 for none.
    max_loss, min_accuracy
        What the split has to reach; a loss that is not finite never does.
    points, directions, reach
        Of the profiles: points a line, how many random lines, and how far they go in lengths of the filters.
    """

    execution: Execution = "feeds"  # a choice by timing could differ from run to run in the last digit
    labels: Annotated[
        str | Path | None,
        Option("Labels or targets, where --data is an .npy file.", metavar="FILE", form="file"),
    ] = None
    split: Annotated[str | None, Option("Use the arrays whose names end in _NAME.", metavar="NAME")] = None
    gradient: bool = True
    profile: bool = True
    sharpness: bool = True
    descent: bool = True
    surface: int = 0
    points: int = 21
    directions: int = 2
    reach: float = 0.5
    seed: Seed = 0
    budget: Annotated[
        float | None, Option("Begin no further step after so long.", metavar="SECONDS", least=0)
    ] = None
    differences: Annotated[
        bool,
        Option(
            "Allow them where an operation has no rule (up to 300 parameters).",
            flag="--finite-differences",
        ),
    ] = False
    max_loss: Annotated[
        float | None, Option("Return 1 if the loss is above this, or not finite.", metavar="NUMBER", least=0)
    ] = None
    min_accuracy: Annotated[
        float | None, Option("Return 1 if the accuracy, a share, is below this.", metavar="SHARE", least=0)
    ] = None
    image: Pixels = field(default_factory=Pixels)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__post_init__()
        if self.min_accuracy is not None and self.min_accuracy > 1:
            raise OptionError.of("min_accuracy", f"wanted a share from 0 to 1, found {self.min_accuracy:g}")
        for name, least in (("surface", 0), ("points", 2), ("directions", 0)):
            if getattr(self, name) < least:
                raise OptionError.of(
                    name, f"wanted a whole number of at least {least}, found {getattr(self, name)}"
                )
