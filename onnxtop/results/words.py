"""Counts and kinds in words, for whoever writes sentences about results."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxtop.results.report import Finding

SEVERITIES = ("error", "warning", "note")
"""How bad a finding is, the worst first."""


def counted(count: int, thing: str) -> str:
    """Write a count with its noun.

    >>> counted(1, "layer"), counted(1200, "layer")
    ('1 layer', '1,200 layers')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def share(part: int, whole: int) -> str:
    """Write a share in percent; never rounds up to 100 %, nor down to 0.

    >>> share(1999, 2000), share(1, 2000), share(0, 2000)
    ('99.9 %', 'less than 0.1 %', '0 %')
    """
    permille = part * 1000 // whole
    return f"{permille / 10:g} %" if permille or not part else "less than 0.1 %"


def severities(findings: "Sequence[Finding]") -> str:
    """Count the findings by severity, the worst first.

    >>> from onnxtop.results.report import Finding
    >>> severities([Finding("OT201", "note", None, "", ""), Finding("OT101", "error", None, "", "")])
    '1 error, 1 note'
    """
    counts = ((sum(finding.severity == each for finding in findings), each) for each in SEVERITIES)
    return ", ".join(counted(count, each) for count, each in counts if count)
