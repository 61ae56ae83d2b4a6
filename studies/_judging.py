"""How well scores judge, with intervals: every statistic is of many samples at once, drawn by whole runs.

A statistic takes weights (draws, rows) and gives an estimate for each draw: the first has every run once, the
others have runs drawn again with replacement. Differences of two statistics are taken draw by draw.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from studies._numbers import DRAWS, FEWEST, between, central

Array = NDArray[np.float64]
Model = Callable[[Array, Array, Array], Array]
"""Learns from features and targets, and predicts for other features."""
FOLDS = 5


def weights(places: Sequence[int]) -> Array:
    """Return how often each row counts in each draw, given the run that it is of.

    Of fewer than three runs there are no draws, and so no interval.
    """
    _, held = np.unique(np.asarray(places, np.intp), return_inverse=True)
    count = int(held.max()) + 1 if held.size else 0
    rng = np.random.default_rng(0)
    draws = DRAWS if count >= FEWEST else 0
    drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws)]
    return np.array([np.ones(count), *drawn])[:, held]


def shown(estimates: Array, digits: int = 2, factor: float = 1.0) -> str:
    """Return an estimate with its 95 % interval; without one where draws give no numbers."""
    return between(factor * float(estimates[0]), ends(factor * estimates), digits)


def ends(estimates: Array) -> tuple[float, float]:
    """Return where 95 % of the draws lie."""
    return central(estimates[1:])


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 1e-12)


def average(values: Sequence[float] | Array, weight: Array) -> Array:
    """Return the mean of those that are numbers."""
    held = np.asarray(values, np.float64)
    good = np.isfinite(held)
    return _ratio(weight[:, good] @ held[good], weight[:, good].sum(axis=1))


def auc(scores: Sequence[float] | Array, positive: Sequence[bool] | Array, weight: Array) -> Array:
    """Return how often a positive has a higher score than a negative; half where they are equal."""
    held, yes = np.asarray(scores, np.float64), np.asarray(positive, bool)
    good = np.isfinite(held)
    held, yes, weight = held[good], yes[good], weight[:, good]
    above, below = weight * yes, weight * ~yes
    fewer = (above * lower(held, below)).sum(axis=1)
    return _ratio(fewer, above.sum(axis=1) * below.sum(axis=1))


def lower(values: Array, weight: Array) -> Array:
    """Return, for each draw, how many rows are lower than each value, and half of those that are equal."""
    _, level = np.unique(values, return_inverse=True)
    order = np.argsort(level, kind="stable")
    sums = np.cumsum(np.pad(weight[:, order], ((0, 0), (1, 0))), axis=1)
    edges = np.searchsorted(level[order], [level, level + 1])
    found: Array = (sums[:, edges[0]] + sums[:, edges[1]]) / 2
    return found


def correlation(first: Sequence[float] | Array, second: Sequence[float] | Array, weight: Array) -> Array:
    """Return Spearman's rank correlation; rows are ranked in each draw anew, equals by the mean."""
    pairs = np.column_stack([first, second]).astype(np.float64)
    good = np.isfinite(pairs).all(axis=1)
    if good.sum() < 3:
        return np.full(len(weight), np.nan)
    weight = weight[:, good]
    a, b = (lower(each, weight) for each in pairs[good].T)
    count = weight.sum(axis=1, keepdims=True)
    a, b = (each - _ratio((weight * each).sum(axis=1), count[:, 0])[:, None] for each in (a, b))
    both, spread_a, spread_b = ((weight * each).sum(axis=1) for each in (a * b, a**2, b**2))
    return _ratio(both, np.sqrt(spread_a * spread_b))


def pooled(parts: Sequence[Array], sizes: Sequence[int]) -> Array:
    """Return the mean over groups by their sizes, in each draw of those that have a number in it."""
    found = np.array(parts)
    good = np.isfinite(found)
    share = good * np.array(sizes, np.float64)[:, None]
    return _ratio((share * np.where(good, found, 0)).sum(axis=0), share.sum(axis=0))


def explained(target: Array, predicted: Array, weight: Array) -> Array:
    """Return R2: the share of the variance that predictions explain."""
    good = np.isfinite(target) & np.isfinite(predicted)
    target, predicted, weight = target[good], predicted[good], weight[:, good]
    count = weight.sum(axis=1)
    middle = _ratio(weight @ target, count)
    spread = weight @ target**2 - count * middle**2
    return 1 - _ratio(weight @ (target - predicted) ** 2, spread)


# Learning


def unseen(features: Array, target: Array, places: Sequence[int], model: Model) -> Array:
    """Return predictions for runs that the model has not learned from; NaN if there are too few runs."""
    _, run = np.unique(np.asarray(places, np.intp), return_inverse=True)
    count = int(run.max()) + 1 if run.size else 0
    found = np.full(len(target), np.nan)
    if count < FOLDS:
        return found
    fold = np.random.default_rng(1).permutation(count)[run] % FOLDS
    for each in range(FOLDS):
        learn = fold != each
        known, new = scaled(features[learn], features[~learn])
        found[~learn] = model(known, target[learn], new)
    return found


def scaled(learned: Array, other: Array) -> tuple[Array, Array]:
    """Return features in standard deviations of the first, no further out than three; what is none is 0."""
    with np.errstate(invalid="ignore"):
        middle = np.nan_to_num(np.nanmean(np.where(np.isfinite(learned), learned, np.nan), axis=0))
        spread = np.nan_to_num(np.nanstd(np.where(np.isfinite(learned), learned, np.nan), axis=0))
    spread[spread < 1e-12] = 1.0
    return tuple(np.clip(np.nan_to_num((each - middle) / spread), -3, 3) for each in (learned, other))  # type: ignore[return-value]


def ridge(known: Array, target: Array, new: Array, penalty: float = 30.0) -> Array:
    """Predict by a linear model of features and their squares."""
    wide = [np.column_stack([each, each**2]) for each in (known, new)]
    middle, level = wide[0].mean(axis=0), target.mean()
    matrix = wide[0] - middle
    gram = matrix.T @ matrix + penalty * np.eye(matrix.shape[1])
    found: Array = level + (wide[1] - middle) @ np.linalg.solve(gram, matrix.T @ (target - level))
    return found


def kernel(known: Array, target: Array, new: Array, penalty: float = 0.1) -> Array:
    """Predict by ridge regression with a Gaussian kernel as wide as the typical distance of two samples."""
    level = target.mean()
    gram = _gaussian(known, known) + penalty * np.eye(len(known))
    found: Array = level + _gaussian(new, known) @ np.linalg.solve(gram, target - level)
    return found


def _gaussian(a: Array, b: Array) -> Array:
    apart = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    found: Array = np.exp(-np.clip(apart, 0, None) / (2 * a.shape[1]))
    return found
