"""What a check found of one model: the report, and the verdict that it comes to."""

from dataclasses import dataclass
from typing import Any

from onnxtop.results.envelope import envelope
from onnxtop.results.outcome import Outcome, code_of, fails, verdict_of
from onnxtop.results.report import Finding, Report
from onnxtop.shown import Tabular


@dataclass(frozen=True, repr=False)
class Check(Tabular):
    """A model that was judged.

    ``report`` is everything that was found; ``fail_on`` says which findings are failures: "error", "warning"
    or "never".
    """

    report: Report
    fail_on: str = "error"

    @property
    def verdict(self) -> Outcome:
        """The verdict, which the command line writes and the exit code follows."""
        return verdict_of(self.report, self.fail_on)

    @property
    def exit_code(self) -> int:
        """What ``onnxtop check`` returns: 0 where nothing failed."""
        return code_of(self.report, self.fail_on)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was found, the worst or not."""
        return self.report.findings

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that make it fail."""
        return tuple(finding for finding in self.findings if fails(finding, self.fail_on))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as ``onnxtop check -f json`` writes them: a baseline for later checks."""
        return envelope([self.report], self.fail_on)
