"""How often a callback checks: every so many epochs, or steps."""

from dataclasses import dataclass
from typing import Annotated, Literal

from onnxtop.options import Checked, Option


@dataclass(frozen=True)
class Pace(Checked):
    """Every so many epochs or steps.

    >>> [number for number in range(1, 8) if Pace(3, "step").due("step", number)]
    [3, 6]
    """

    every: Annotated[int, Option("Check after so many.", metavar="N", least=1)] = 1
    unit: Annotated[Literal["epoch", "step"], Option("Count epochs, or steps of the optimiser.")] = "epoch"

    def due(self, unit: str, number: int, before: int | None = None) -> bool:
        """Tell whether to check when so many of a unit are done, ``before`` when it was last asked."""
        before = number - 1 if before is None else before
        return unit == self.unit and number // self.every > before // self.every
