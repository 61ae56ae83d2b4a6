"""How well scores judge, with intervals: every statistic is of many samples at once, drawn by whole runs.

A statistic takes weights (draws, rows) and gives an estimate for each draw: the first has every run once, the
others have runs drawn again with replacement. Differences of two statistics are taken draw by draw.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from studies._numbers import DRAWS, between

Array = NDArray[np.float64]
Model = Callable[[Array, Array, Array], Array]
"""Learns from features and targets, and predicts for other features."""
FOLDS = 5


def weights(places: Sequence[int]) -> Array:
    """Return how often each row counts in each draw, given the run that it is of."""
    _, held = np.unique(np.asarray(places, np.intp), return_inverse=True)
    count = int(held.max()) + 1 if held.size else 0
    rng = np.random.default_rng(0)
    drawn = [
        np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(DRAWS if count else 0)
    ]
    return np.array([np.ones(count), *drawn])[:, held]


def shown(estimates: Array, digits: int = 2, factor: float = 1.0) -> str:
    """Return an estimate with its 95 % interval; without one where draws give no numbers."""
    return between(factor * float(estimates[0]), ends(factor * estimates), digits)


def ends(estimates: Array) -> tuple[float, float]:
    """Return where 95 % of the draws lie."""
    held = estimates[1:][np.isfinite(estimates[1:])]
    if not held.size:
        return float("nan"), float("nan")
    low, high = np.quantile(held, (0.025, 0.975))
    return float(low), float(high)


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
    levels, level = np.unique(held, return_inverse=True)
    above, below = (np.zeros((len(weight), len(levels))) for _ in range(2))
    for side, chosen in ((above, yes), (below, ~yes)):
        order = np.argsort(level[chosen], kind="stable")
        sums = np.cumsum(np.pad(weight[:, chosen][:, order], ((0, 0), (1, 0))), axis=1)
        edges = np.searchsorted(level[chosen][order], np.arange(len(levels) + 1))
        side[:] = np.diff(sums[:, edges], axis=1)
    fewer = np.cumsum(below, axis=1) - below / 2
    return _ratio((above * fewer).sum(axis=1), above.sum(axis=1) * below.sum(axis=1))


def correlation(first: Sequence[float] | Array, second: Sequence[float] | Array, weight: Array) -> Array:
    """Return Spearman's rank correlation, with the ranks that rows have among all."""
    pairs = np.column_stack([first, second]).astype(np.float64)
    good = np.isfinite(pairs).all(axis=1)
    if good.sum() < 3:
        return np.full(len(weight), np.nan)
    a, b = stats.rankdata(pairs[good], axis=0).T
    weight = weight[:, good]
    count = weight.sum(axis=1)
    mean_a, mean_b = (_ratio(weight @ each, count) for each in (a, b))
    both = _ratio(weight @ (a * b), count) - mean_a * mean_b
    spread_a, spread_b = (
        _ratio(weight @ each**2, count) - mean**2 for each, mean in ((a, mean_a), (b, mean_b))
    )
    return _ratio(both, np.sqrt(np.clip(spread_a * spread_b, 0, None)))


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
