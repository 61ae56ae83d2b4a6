"""What `check` is told beside what to measure: which rules run, what they are judged by, what fails."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from onnxtop.options import Checked, Option

CONFIGURATION_BYTES = 2**18
"""What a configuration may hold."""


@dataclass(frozen=True)
class CheckOptions(Checked):
    """Which rules run, and what they are judged by; what has no `Option` stands in the configuration alone.

    ``thresholds`` and ``tolerances`` are bands and relative changes by the name of a figure, ``severity`` is
    by rule; ``ignore_layers`` are patterns of layer names by rule. All are written as in the configuration:
    ``thresholds={"np.normalized": {"min": 0.05}}``.
    """

    fail_on: Annotated[
        Literal["error", "warning", "never"], Option("Return 1 if there are findings this severe, or worse.")
    ] = "error"
    select: Annotated[
        tuple[str, ...],
        Option("Run only these rules: a name, OT101, or OT1; may repeat.", metavar="RULE", form="rule"),
    ] = ()
    ignore: Annotated[
        tuple[str, ...], Option("Leave these rules out; may repeat.", metavar="RULE", form="rule")
    ] = ()
    baseline: Annotated[
        str | None,
        Option(
            "Compare with this earlier JSON report, model, or folder of models; what was found in it already "
            "is known and fails nothing.",
            metavar="PATH",
            form="file",
        ),
    ] = None
    compare: Annotated[
        Literal["values", "structure"],
        Option(
            "Compare all with the baseline, or shapes, encodings and findings: for a model trained anew.",
            needs=("baseline",),
        ),
    ] = "values"
    severity: Mapping[str, str] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    tolerances: Mapping[str, float] = field(default_factory=dict)
    ignore_layers: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check also what names rules and figures."""
        super().__post_init__()
        if any(getattr(self, name) for name in _NAMING):
            from onnxtop.rules.policy import values_of  # loads numpy: not for help

            values_of(self)


_NAMING = ("select", "ignore", "severity", "thresholds", "tolerances", "ignore_layers")
