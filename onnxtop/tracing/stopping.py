"""When to stop training: the rule on a series of numbers, whatever they measure.

The rule is that of Rieck et al., Neural Persistence (ICLR 2019), section 4::

    P = 0, G = 0
    at each check: Q = the measure
        if Q > P + min_delta: P = Q, G = 0
        else: G = G + 1
        if G >= patience: stop

Larger is better. Two things the paper leaves open. Checks of the burn-in do not count: they set neither P nor
G. A value that is not finite is no rise: a run that has diverged is stopped when its patience is at an end.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from onnxtop.options import Checked, Option

CAVEAT = (
    "neural persistence does not tell when to stop training convolutions: the paper that proposes it lost up "
    "to 4 % of accuracy with them"
)
"""What the paper says of its own rule: Rieck et al. 2019, section 4."""


@dataclass(frozen=True)
class StoppingOptions(Checked):
    """When training is to stop: after so many checks without a rise, what a rise is, when counting begins."""

    patience: Annotated[
        int, Option("Stop after so many checks in a row without a rise.", metavar="N", least=1)
    ] = 3
    min_delta: Annotated[
        float,
        Option("A rise is more than this above the best so far.", metavar="NUMBER", least=0),
    ] = 0.0
    burn_in: Annotated[int, Option("Do not count so many checks at the start.", metavar="N", least=0)] = 0
    measure: Annotated[
        Literal["np", "dgp"],
        Option(
            "Watch the network's mean neural persistence, or its deep graph persistence.",
        ),
    ] = "np"


@dataclass
class StoppingRule:
    """The rule in the middle of a series: fed value by value, readable between any two.

    Attributes
    ----------
    options
        Patience, smallest rise and burn-in.
    best
        P, the largest value that counted as a rise; 0 before the first.
    best_at
        The check that gave it, None before the first; the first check of a series is number 0.
    waited
        G, the checks since then that were no rise.
    checks
        The checks so far, with those of the burn-in.
    stopped_at
        The check at which the rule fired, None while it has not.

    Examples
    --------
    >>> rule = StoppingRule(StoppingOptions(patience=2))
    >>> [rule.update(value) for value in (0.1, 0.3, 0.2, 0.3)]
    [False, False, False, True]
    >>> rule.best, rule.best_at, rule.stopped_at
    (0.3, 1, 3)
    """

    options: StoppingOptions = field(default_factory=StoppingOptions)
    best: float = 0.0
    best_at: int | None = None
    waited: int = 0
    checks: int = 0
    stopped_at: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether it has fired."""
        return self.stopped_at is not None

    def update(self, value: float) -> bool:
        """Take the value of one more check, and return whether to stop.

        Once it has fired it stays so: later checks are counted and change nothing else.
        """
        number = self.checks
        self.checks += 1
        if self.stopped or number < self.options.burn_in:
            return self.stopped
        if math.isfinite(value) and value > self.best + self.options.min_delta:
            self.best, self.best_at, self.waited = float(value), number, 0
        else:
            self.waited += 1
        if self.waited >= self.options.patience:
            self.stopped_at = number
        return self.stopped
