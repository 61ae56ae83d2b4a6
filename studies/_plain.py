"""What can be said of weights without topology: moments, singular values, WeightWatcher's alpha."""

import numpy as np
from numpy.typing import NDArray

MOMENTS = ("mean", "std", "minimum", "lower", "median", "upper", "maximum", "kurtosis")
"""Of the weights of a layer, as Unterthiner et al. take them, and how heavy their tails are."""
BIASES = ("bias_mean", "bias_std", "bias_minimum", "bias_maximum")
SPECTRAL = ("norm", "edge", "stable_rank", "alpha")
SMALL = 20
"""Eigenvalues below which WeightWatcher fits with a correction for small samples..."""
LEAST_TAIL = 8
"""... and with no fewer in the tail."""


def moments(weight: NDArray[np.floating]) -> tuple[float, ...]:
    """Return mean, standard deviation, quantiles and kurtosis."""
    values = np.asarray(weight, np.float64).ravel()
    std = values.std()
    fourth = np.mean((values - values.mean()) ** 4) / std**4 if std else np.nan
    quantiles = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    return values.mean(), std, *quantiles, fourth


def bias_moments(bias: NDArray[np.floating]) -> tuple[float, ...]:
    """Return mean, standard deviation and ends."""
    values = np.asarray(bias, np.float64)
    return values.mean(), values.std(), values.min(), values.max()


def spectral(weight: NDArray[np.floating]) -> tuple[float, ...]:
    """Return figures of singular values of a weight, outputs first.

    The spectral norm; the same over the edge of Marchenko and Pastur, where the largest singular value of a
    random matrix of this variance lies; the stable rank; and alpha.
    """
    matrix = np.asarray(weight, np.float64).reshape(len(weight), -1)
    values = np.linalg.svd(matrix, compute_uv=False)
    edge = matrix.std() * (np.sqrt(matrix.shape[0]) + np.sqrt(matrix.shape[1]))
    if not values[0]:
        return 0.0, np.nan, np.nan, np.nan
    return values[0], values[0] / edge, float(np.sum(values**2)) / values[0] ** 2, alpha(weight)


def alpha(weight: NDArray[np.floating]) -> float:
    """Return the exponent of a power law fitted to the eigenvalues of W^T W, as WeightWatcher 0.7.7 does.

    Those of a convolution are of all positions of its kernels together. The tail begins where the law fits
    best (Clauset et al.).
    """
    wide = np.asarray(weight, np.float64).reshape(*weight.shape[:2], -1)
    held = [np.linalg.svd(wide[:, :, place], compute_uv=False) ** 2 for place in range(wide.shape[2])]
    values = np.sort(np.concatenate(held))
    values = values[values > 1e-5 * values[-1]]
    logs, small = np.log(values), len(values) < SMALL
    best, found = np.inf, np.nan
    for first in range(len(values) - 1):
        n = len(values) - first
        spread = logs[first:].sum() - n * logs[first]
        if (small and n < LEAST_TAIL) or spread <= 0:
            continue
        exponent = 1 + (n - small) / spread
        law = 1 - np.exp((1 - exponent) * (logs[first:] - logs[first]))
        distance = np.abs(law - np.arange(n) / n).max()
        if distance < best:
            best, found = distance, exponent
    return float(found)
