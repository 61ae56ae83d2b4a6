"""How the formats of a check for people order models: what needs somebody comes first."""

from collections.abc import Sequence

from onnxtop.results.outcome import Outcome, Result, path_of, verdict_of
from onnxtop.results.words import counted, of_each

ORDER = (
    Outcome.FAILED,
    Outcome.INCOMPARABLE,
    Outcome.NOT_ANALYSED,
    Outcome.INTERRUPTED,
    Outcome.NOTHING,
    Outcome.NOT_JUDGED,
    Outcome.PASSED,
)
"""From what is to be looked at first to what is well."""


def by_verdict(results: Sequence[Result], fail_on: str | None) -> list[tuple[Outcome, Result]]:
    """Return the results with their verdicts, failures first, then by path."""
    judged = [(verdict_of(result, fail_on), result) for result in results]
    return sorted(judged, key=lambda pair: (ORDER.index(pair[0]), path_of(pair[1])))


def summed_up(results: Sequence[Result], fail_on: str | None) -> str:
    """Count the models by their verdicts.

    >>> summed_up([], None)
    '0 models: nothing to analyse'
    """
    verdicts = [verdict_of(result, fail_on) for result in results]
    counts = ((verdicts.count(each), each) for each in ORDER)
    return f"{counted(len(results), 'model')}: {of_each(counts) or Outcome.NOTHING}"
