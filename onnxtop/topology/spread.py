"""How the weights are spread, in size and over the matrix: what neural persistence mostly follows.

Girrbach et al., *Addressing caveats of neural persistence with deep graph persistence*, TMLR 2023: the
variance of the weights and the spatial concentration of the large ones explain most of neural persistence.
Both are as in the paper's public code. For the variance, ``|w|`` is divided by the largest of the network.
The concentration is called sortedness: rows and columns are sorted by their means, and Kendall's tau says how
well the entries are sorted then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from onnxtop.errors import UsageError
from onnxtop.network import Blocks, Matrix, extremes, strips, widened
from onnxtop.topology.arguments import as_blocks, as_matrix
from onnxtop.topology.graph import Floats, Indices

CHUNK = 1 << 17
"""Cells worked on at a time, so that they stay in the cache."""

_HUGE = 2.0**512
"""Weights beyond this are counted in units of it, so that no sum of them overflows."""
ENTRIES = 100_000
"""Kendall's tau of a larger matrix is that of so many entries, drawn at random."""


@dataclass(frozen=True)
class Spread:
    """How many weights there are, the largest ``|w|``, and in its unit mean and variance of ``|w|``."""

    count: int
    largest: float
    mean: float
    variance: float


def spread_of(blocks: Blocks) -> Spread:
    """Return how large the weights of a layer are, all of them finite.

    Examples
    --------
    >>> spread_of([np.array([[1.0, -2.0], [0.0, -1.0]])])
    Spread(count=4, largest=2.0, mean=0.5, variance=0.125)
    """
    largest = extremes(blocks).largest if any(block.size for block in blocks) else 0.0
    parts = (block[part] for block in blocks for part in strips(block.shape, CHUNK))
    return together([_moments(part, largest) for part in parts])


def together(parts: Iterable[Spread]) -> Spread:
    """Return how large the weights of several layers are; of none, all figures are 0.

    Notes
    -----
    Chan, Golub, LeVeque 1979: means and variances of parts, without the weights.
    """
    held = [part for part in parts if part.count]
    largest = max((part.largest for part in held), default=0.0)
    if not largest:
        return Spread(sum(part.count for part in held), 0.0, 0.0, 0.0)
    counts = np.array([part.count for part in held], np.float64)
    units = np.array([part.largest for part in held]) / largest
    means = units * [part.mean for part in held]
    variances = units * units * [part.variance for part in held]
    mean = float(np.average(means, weights=counts))
    variance = float(np.average(variances + (means - mean) ** 2, weights=counts))
    return Spread(int(counts.sum()), largest, mean, variance)


def _moments(part: Matrix, largest: float) -> Spread:
    scaled = np.abs(widened(part), dtype=np.float64) / (largest or 1.0)
    return Spread(part.size, largest, float(scaled.mean()), float(scaled.var()))


def network_variance(matrices: Mapping[str, ArrayLike | Sequence[ArrayLike]]) -> float:
    """Return the variance of ``|w|`` over the largest ``|w|``, over all weights of a network.

    Parameters
    ----------
    matrices
        As for `neural_persistence`.

    Returns
    -------
    float
        Between 0 and 1/4; 0 if all weights are zero, nan if one is not finite, or there is none.

    Raises
    ------
    UsageError
        As for `neural_persistence`.

    Notes
    -----
    Girrbach et al. 2023.

    Examples
    --------
    >>> network_variance({"first": [[1.0, -2.0]], "second": [[0.0], [-1.0]]})
    0.125
    """
    parts = []
    for name in matrices:
        blocks = as_blocks(matrices[name], name)
        if not extremes(blocks).finite:
            return float("nan")
        parts.append(spread_of(blocks))
    return together(parts).variance if parts else float("nan")


def sortedness(matrix: ArrayLike, *, seed: int = 0) -> float:
    """Return how far the large weights of a matrix are gathered in some of its rows and columns.

    Parameters
    ----------
    matrix
        Shape (n_in, n_out); neither signs nor the order of rows and columns matter, apart from ties.
    seed
        Of the entries that are drawn from a matrix of more than 100,000.

    Returns
    -------
    float
        The largest Kendall's tau between ``|w|``, rows and columns sorted by their means, and an order of the
        entries: row by row, column by column, or along the diagonals. Up to 1, which one row or column is
        unless some of its entries are equal. nan if all entries are equal or one is not finite.

    Raises
    ------
    UsageError
        Not a matrix of real numbers, or a seed below 0.

    Notes
    -----
    Girrbach et al. 2023. Means are over the whole matrix; tau over 100,000 entries is off by some
    0.002. Takes a quarter of a second then, so that a report has it on request only.

    Examples
    --------
    >>> round(sortedness([[1.0, 2.0], [3.0, -4.0]]), 2)
    1.0
    >>> round(sortedness(np.random.default_rng(0).standard_normal((100, 50))), 2)
    0.1
    """
    if seed < 0:
        raise UsageError(f"wanted a seed of at least 0, found {seed}")
    weights = as_matrix(matrix, "matrix")
    if not (ends := extremes([weights])).finite:
        return float("nan")
    if ends.largest > _HUGE:
        weights = weights / np.float64(_HUGE)
    row_means, column_means = _means(weights)
    rows, columns = _entries(weights.shape, seed)
    values = np.abs(weights[rows, columns])
    n_rows, n_columns = weights.shape
    row, column = _places(row_means)[rows], _places(column_means)[columns]
    orders = (row * n_columns + column, column * n_rows + row, (row + column) * n_rows + row)
    return max(_tau(order, values) for order in orders)


def mean_sortedness(blocks: Blocks) -> float:
    """Return the sortedness of a layer: of several blocks the mean, by their sizes; nan as for one."""
    found = [sortedness(block) for block in blocks]
    return float(np.average(found, weights=[block.size for block in blocks]))


def _means(weights: Matrix) -> tuple[Floats, Floats]:
    """Return the mean ``|w|`` of every row and every column."""
    rows, columns = np.empty(len(weights)), np.zeros(weights.shape[1])
    for part in strips(weights.shape, CHUNK):
        sizes = np.abs(weights[part], dtype=np.float64)
        rows[part] = sizes.mean(axis=1)
        columns += sizes.sum(axis=0) / len(weights)
    return rows, columns


def _places(means: Floats) -> Indices:
    """Return where each line comes if they are sorted by their means."""
    places = np.empty(means.size, np.intp)
    places[np.argsort(means, kind="stable")] = np.arange(means.size)
    return places


def _entries(shape: tuple[int, ...], seed: int) -> tuple[Indices, Indices]:
    """Return rows and columns of all entries, or of some drawn at random."""
    size = shape[0] * shape[1]
    chosen = np.arange(size)
    if size > ENTRIES:
        chosen = np.random.default_rng(seed).choice(size, ENTRIES, replace=False, shuffle=False)
    rows, columns = np.divmod(chosen, shape[1])
    return rows, columns


def _tau(order: Indices, values: Matrix) -> float:
    from scipy.stats import kendalltau  # a second to load

    if order.size < 3:  # the variance of the statistic, which is not asked for, is divided by size - 2
        signs = np.sign(np.diff(order) * np.diff(values))
        return float(signs[0]) if signs.any() else float("nan")
    return float(kendalltau(order, values, method="asymptotic").statistic)
