"""Figures as they are written: means with spreads over seeds, and ranks that go together."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from scipy import stats

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


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
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(pairs) < 3 or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return math.nan
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def explained(y: Sequence[float], *predictors: Sequence[float]) -> float:
    """Return the share of a variance that a linear regression explains; NaN of too few points."""
    target, matrix = np.array(y), np.column_stack([np.ones(len(y)), *predictors])
    good = np.isfinite(target) & np.isfinite(matrix).all(axis=1)
    target, matrix = target[good], matrix[good]
    if len(target) <= matrix.shape[1] or np.ptp(target) == 0:
        return math.nan
    rest = target - matrix @ np.linalg.lstsq(matrix, target, rcond=None)[0]
    return 1 - float(rest @ rest) / float(np.sum((target - target.mean()) ** 2))
