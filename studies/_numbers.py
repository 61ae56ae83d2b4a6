"""Figures as they are written: means with spreads, ranks that go together, intervals, regressions."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
DRAWS, FEWEST = 300, 3
"""Of an interval: draws, and units without which there is none."""


def number(value: float | None) -> float:
    """Return a figure, NaN where there is none."""
    return math.nan if value is None else float(value)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return items by a key, keys in the order in which they come."""
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for each in items:
        groups[key(each)].append(each)
    return dict(groups)


def mean(values: Iterable[float]) -> float:
    """Return the mean of those that are numbers; NaN without any."""
    held = [each for each in values if math.isfinite(each)]
    return float(np.mean(held)) if held else math.nan


def spread(values: Iterable[float]) -> float:
    """Return the standard deviation of a sample; NaN of fewer than two."""
    held = [each for each in values if math.isfinite(each)]
    return float(np.std(held, ddof=1)) if len(held) > 1 else math.nan


def told(values: Iterable[float], digits: int = 3, unit: str = "") -> str:
    """Return mean ± standard deviation; a dash where there is nothing."""
    held = [each for each in values if math.isfinite(each)]
    if not held:
        return "-"
    around = f" ± {spread(held):z.{digits}f}" if len(held) > 1 else ""
    return f"{mean(held):z.{digits}f}{around}{unit}"


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the rank correlation; NaN of fewer than three pairs, or where one side is constant."""
    pairs = np.column_stack([first, second])
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if len(pairs) < 3 or not np.ptp(pairs, axis=0).all():
        return math.nan
    return float(np.corrcoef(stats.rankdata(pairs, axis=0), rowvar=False)[0, 1])


def partial(first: Sequence[float], second: Sequence[float], given: Sequence[float]) -> float:
    """Return the rank correlation that is left when what goes with a third series is taken out of both."""
    return left_over(spearman(first, second), spearman(first, given), spearman(second, given))


def left_over(both: float, one: float, other: float) -> float:
    """Return a correlation without what goes with a third series, by those of either with that one."""
    rest = (1 - one**2) * (1 - other**2)
    return (both - one * other) / math.sqrt(rest) if rest > 1e-12 else math.nan


def interval(units: Sequence[T], statistic: Callable[[Sequence[T]], float]) -> tuple[float, float]:
    """Return where 95 % of a statistic lie when units are drawn again with replacement, from a fixed seed.

    What is not independent belongs into one unit. NaN of fewer than three units.
    """
    if len(units) < FEWEST:
        return math.nan, math.nan
    rng = np.random.default_rng(0)
    drawn = (
        statistic([units[each] for each in rng.integers(len(units), size=len(units))]) for _ in range(DRAWS)
    )
    return central(drawn)


def student(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's interval of 95 % of a mean, for few independent values, which draws make too narrow.

    NaN of fewer than three.
    """
    if len(values) < FEWEST:
        return math.nan, math.nan
    half = float(stats.t.ppf(0.975, len(values) - 1)) * spread(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def central(draws: Iterable[float]) -> tuple[float, float]:
    """Return where 95 % of those lie that are numbers; NaN without any."""
    held = [each for each in draws if math.isfinite(each)]
    if not held:
        return math.nan, math.nan
    low, high = np.quantile(held, (0.025, 0.975))
    return float(low), float(high)


def place(value: float, ends: tuple[float, float], digits: int = 2) -> str:
    """Return whether a figure lies within two ends, or how far from them; a dash where there are none."""
    low, high = ends
    if not math.isfinite(low + high):
        return "-"
    if low <= value <= high:
        return "within"
    return f"{value - high:.{digits}f} above" if value > high else f"{low - value:.{digits}f} below"


def between(value: float, ends: tuple[float, float], digits: int = 2) -> str:
    """Return a figure with its interval; a dash where there is none."""
    if not math.isfinite(value):
        return "-"
    low, high = ends
    around = f" ({low:z.{digits}f} to {high:z.{digits}f})" if math.isfinite(low + high) else ""
    return f"{value:z.{digits}f}{around}"


def with_interval(units: Sequence[T], statistic: Callable[[Sequence[T]], float], digits: int = 2) -> str:
    """Return a statistic with its interval."""
    return between(statistic(units), interval(units, statistic), digits)


def explained(y: Sequence[float], *predictors: Sequence[float]) -> float:
    """Return the share of a variance that a linear regression explains; NaN of too few points."""
    target, matrix = np.array(y), np.column_stack([np.ones(len(y)), *predictors])
    good = np.isfinite(target) & np.isfinite(matrix).all(axis=1)
    target, matrix = target[good], matrix[good]
    if len(target) <= matrix.shape[1] or np.ptp(target) == 0:
        return math.nan
    rest = target - matrix @ np.linalg.lstsq(matrix, target, rcond=None)[0]
    return 1 - float(rest @ rest) / float(np.sum((target - target.mean()) ** 2))


def unseen(
    y: Sequence[float], folds: Sequence[Hashable], *predictors: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return squared errors of a linear regression on folds that it has not seen, and those of the mean.

    NaN where a fold leaves too few points to learn from.
    """
    target, matrix = np.array(y), np.column_stack([np.ones(len(y)), *predictors])
    good = np.isfinite(target) & np.isfinite(matrix).all(axis=1)
    errors, plain = np.full(len(y), math.nan), np.full(len(y), math.nan)
    names = list(dict.fromkeys(folds))
    places = np.array([names.index(each) for each in folds])
    for place in range(len(names)):
        learn, test = good & (places != place), good & (places == place)
        if learn.sum() <= matrix.shape[1]:
            continue
        weights = np.linalg.lstsq(matrix[learn], target[learn], rcond=None)[0]
        errors[test] = (target[test] - matrix[test] @ weights) ** 2
        plain[test] = (target[test] - target[learn].mean()) ** 2
    return errors, plain
