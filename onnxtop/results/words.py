"""Counts and kinds in words, for whoever writes sentences about results."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxtop.results.report import Finding

SEVERITIES = ("error", "warning", "note")
"""How bad a finding is, the worst first."""

MAIN_SPLIT = "main"
"""What the split is called whose arrays have no ending."""


def counted(count: int, thing: str) -> str:
    """Write a count with its noun.

    >>> counted(1, "layer"), counted(1200, "layer")
    ('1 layer', '1,200 layers')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def share(part: int, whole: int) -> str:
    """Write a share of things that are counted, as `percent` does.

    >>> share(1999, 2000), share(1, 2000), share(0, 2000), share(2, 3)
    ('99.9 %', 'less than 0.1 %', '0 %', '66.7 %')
    """
    return percent(part / whole)


def percent(share: float) -> str:
    """Write a share in percent, with one decimal; never rounds up to 100 %, nor down to 0.

    >>> percent(0.99769), percent(0.9997), percent(1.0), percent(0.0003), percent(0.0)
    ('99.8 %', '99.9 %', '100 %', 'less than 0.1 %', '0 %')
    """
    permille = min(round(1000 * share), 1000 if share >= 1 else 999)
    return f"{permille / 10:g} %" if permille or not share else "less than 0.1 %"


def in_percent(share: float | None, digits: int = 3, undefined: str = "") -> str:
    """Write a share, or a change, with a few digits, be it near to 0 or above 1.

    >>> in_percent(1 / 3), in_percent(0.00012345), in_percent(1.5), in_percent(0.9972, 4), in_percent(None)
    ('33.3 %', '0.0123 %', '150 %', '99.72 %', '')
    """
    return undefined if share is None else f"{100 * share:.{digits}g} %"


def changed_by(share: float) -> str:
    """Write a change relative to what there was: as a factor where it is large.

    >>> changed_by(0.0271), changed_by(1250.0)
    ('2.71 %', 'a factor of 1.25e+03')
    """
    return in_percent(share) if share < 10 else f"a factor of {share:.3g}"


def of_each(counts: Iterable[tuple[int, str]]) -> str:
    """Count things of several kinds, those that there are.

    >>> of_each([(1200, "read"), (0, "skipped"), (1, "failed")])
    '1,200 read, 1 failed'
    """
    return ", ".join(f"{count:,} {what}" for count, what in counts if count)


def samples_of(samples: int, split: str, *, alone: bool) -> str:
    """Count the samples of a split; one without a name needs none while it is ``alone``.

    >>> samples_of(500, "test", alone=True), samples_of(500, "", alone=True), samples_of(500, "", alone=False)
    ('500 samples of split test', '500 samples', '500 samples of split main')
    """
    named = "" if alone and not split else f" of split {split or MAIN_SPLIT}"
    return f"{counted(samples, 'sample')}{named}"


def severities(findings: "Sequence[Finding]") -> str:
    """Count the findings by severity, the worst first.

    >>> from onnxtop.results.report import Finding
    >>> severities([Finding("OT201", "note", None, "", ""), Finding("OT101", "error", None, "", "")])
    '1 error, 1 note'
    """
    counts = ((sum(finding.severity == each for finding in findings), each) for each in SEVERITIES)
    return ", ".join(counted(count, each) for count, each in counts if count)
