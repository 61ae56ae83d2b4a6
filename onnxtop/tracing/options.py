"""What may be asked of a series of checkpoints."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from onnxtop.auditing.options import AuditOptions
from onnxtop.errors import OptionError, UsageError
from onnxtop.options import Checked, Option, said
from onnxtop.tracing.stopping import StoppingOptions


@dataclass(frozen=True)
class TraceOptions(Checked):
    """How a series of checkpoints is ordered, measured and judged.

    The ``order`` is "name", by which numbers in names count as numbers, "mtime", the time of the last change,
    or "given". A ``label`` puts checkpoints in the order of their steps.
    """

    order: Annotated[
        Literal["name", "mtime", "given"],
        Option("Order of the checkpoints: by the numbers in their names, by their time, or as given."),
    ] = "name"
    label: Annotated[
        str | None,
        Option(
            "Take the step from the name, where this has its group; order by it.",
            metavar="REGEX",
            form="pattern",
        ),
    ] = None
    metric_file: Annotated[
        str | None,
        Option(
            "Scores by step or checkpoint: columns such as val_loss, accuracy.", metavar="CSV", form="file"
        ),
    ] = None
    log: Annotated[
        tuple[str, ...],
        Option("Log the figures there too: csv:FILE, tensorboard:DIR or mlflow:URI.", metavar="KIND:PLACE"),
    ] = ()
    audit: AuditOptions = field(default_factory=AuditOptions)
    stopping: StoppingOptions = field(default_factory=StoppingOptions)

    @property
    def pattern(self) -> re.Pattern[str] | None:
        """The pattern of steps in names."""
        return None if self.label is None else re.compile(self.label)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        super().__post_init__()
        pattern = self.pattern
        if pattern is not None and not pattern.groups:
            raise OptionError.of(
                "label",
                f"wanted a group around the step, as in 'step_([0-9]+)', found none in {said(self.label)}",
            )
        if self.label is not None and self.order != "name":
            raise OptionError.of(
                "label", f"checkpoints with steps are in their order, found order {self.order!r}"
            )
        if self.metric_file is not None and self.audit.data is not None:
            raise OptionError.of("metric_file", "scores come from it or from data, found both: leave one out")
        if self.audit.layers is not None or self.audit.minima or self.audit.running.asked:
            raise UsageError("audit: a trace has every layer, trains nothing and runs models on data only")


@dataclass(frozen=True)
class WatchOptions(Checked):
    """How a folder is watched while training runs."""

    follow: Annotated[
        bool, Option("Watch the folder, and measure checkpoints as they appear; Ctrl-C ends it.")
    ] = False
    until_stop: Annotated[bool, Option("End when the stopping rule fires.", needs=("follow",))] = False
    interval: Annotated[
        float, Option("Seconds between two looks.", metavar="SECONDS", least=0, needs=("follow",))
    ] = 1.0
