"""How many components the strongest weights of a layer leave when its weights stand in random places.

The r strongest weights of a shuffled layer are r random cells: a random bipartite graph. Each component fewer
is an edge of the spanning tree. So whatever is said of the tree of a shuffled layer is said by how many
components there are after r cells, and that depends on the layer's shape alone. This module gives the mean of
that number, its covariance at two ranks and its quantiles, without drawing anything.

Let cells be there independently with probability p first. What is reached from a neuron is then nearly a
branching process of two types, which dies out with probability x for an input and y for an output, reached
along an edge that is left out:

    x = (1 - p (1 - y)) ** (n_cols - 1)        y = (1 - p (1 - x)) ** (n_rows - 1)

The neurons of which it dies out are in small components, nearly all of them trees: their neurons less their
edges. To these come those that hold one cycle (even, of length 4 or more) and the one large component, if
p sqrt(n_rows n_cols) is above 1. About 1, in a window, both are blurred; how is universal up to the width of
the window, and its seven numbers (in `_rings` and `_giant`) were fitted to 160,000 random graphs.

What is wanted has r cells exactly, not p each. The number of cells is binomial about r; taking its noise out
lowers the mean by half its variance times the curvature. The covariance is an integral along a path between
two independent graphs and two equal ones (interpolation; Chatterjee, *Superconcentration and related topics*,
2014), of the chance that a cell would join two components in both.

Bollobás, *Random graphs*, 2001; Janson, Knuth, Łuczak, Pittel, *The birth of the giant component*, 1993;
Johansson, *The giant component of the random bipartite graph*, 2012.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from onnxtop.network import Blocks
from onnxtop.topology.graph import Floats, Indices

Shapes: TypeAlias = tuple[tuple[int, int, int], ...]
"""Shapes of blocks as (longer side, shorter side, how many), sorted: all that the law depends on."""

BEYOND = 5.0
"""Beyond the last rank that is looked at, exp(-BEYOND) components are still to be joined."""
ALONE = 3.0
"""Of the ranks behind which exp(-ALONE) are, one part is made."""
FINE = 64
"""Ranks in each part of the curve of the mean."""
NODES = 16
"""Parts of the ranks, at whose ends the covariance is computed."""
FIRST = 1.2
"""The first ranks are looked at one by one, then in steps of this ratio: rings grow as their fourth power."""
BEFORE = 0.9
"""Share of the onset up to which cycles are counted one by one."""
LONGEST = 12
"""Half the edges of the longest that are counted."""
FEW = 0.3
"""Rings in the mean up to which they are taken as Poisson."""
BAND = 0.9
"""Share of the arrangements that a null band holds at every bar."""
_DEVIATE = 1.6449
"""Between this and its negative are so many of the normal deviates."""
LEAST = 64
"""Neurons of a block down to which the law was found to hold."""
LEAST_CELLS = 240
"""Cells of a block, likewise: the narrowest blocks have too few."""
LEAST_OF_ONE = 24
"""The same of n blocks, as a multiple of the root of n: their errors add up, their deviations do not."""


def holds(shapes: Shapes) -> bool:
    """Tell whether the law is good for a layer with blocks of these shapes: within 0.15 deviations."""
    if any(short > 1 and long * short < LEAST_CELLS for long, short, _ in shapes):
        return False
    sizes = [(long + short, count) for long, short, count in shapes if short > 1]
    least = max(LEAST, LEAST_OF_ONE * sum(count for _, count in sizes) ** 0.5)
    return bool(sizes) and min(size for size, _ in sizes) >= least


def neurons(shapes: Shapes) -> int:
    """Return how many neurons a layer with blocks of these shapes has."""
    return sum((long + short) * count for long, short, count in shapes)


def shapes_of(blocks: Blocks) -> Shapes:
    """Return the shapes of the blocks of a layer."""
    if len(blocks) == 1:
        return ((max(blocks[0].shape), min(blocks[0].shape), 1),)
    counts = Counter((max(block.shape), min(block.shape)) for block in blocks)
    return tuple(sorted((long, short, count) for (long, short), count in counts.items()))


class Moments(NamedTuple):
    """Mean and deviation of a sum, and how rare is what moves it: 1 / n if n weights of many do."""

    mean: float
    deviation: float
    rarity: float


@dataclass(frozen=True, eq=False)
class NullLaw:
    """The number of components of a layer after its strongest weights stand in random places.

    Attributes
    ----------
    n_vertices, n_blocks
        Of the layer. Blocks share no vertex, so in the end there is one component a block.
    ranks
        Shape (k,), ascending from 0: the curves below are known at these numbers of weights.
    components, variances
        Shape (k,): mean and variance of the number of components.
    edges
        Positions in ``ranks``, ascending from 0: the ends of parts of the ranks.
    covariance
        Of the numbers of components at two of these ranks, the first left out, at which there is no spread.
    """

    n_vertices: int
    n_blocks: int
    ranks: Indices
    components: Floats
    variances: Floats
    edges: Indices
    covariance: Floats

    @property
    def last(self) -> int:
        """The weakest rank that matters."""
        return int(self.ranks[-1])

    def sums(self, values: Floats) -> Moments:
        """Return the moments of the sum of the values at the ranks of the tree's edges.

        ``values`` has shape (last,): a number for every rank, the strongest first. What the last of them
        leaves to be joined has the value of the last.

        How many components there are at the edges of the parts says how many weights of each part join; which
        of them do, each decides for itself. So the variance is that of the means of the parts, and within
        each part that of the values, weighted by the chance that it goes either way.
        """
        starts, lengths = self.ranks[:-1], np.diff(self.ranks)
        less = values - values[-1]
        sums, squares = np.add.reduceat(less, starts), np.add.reduceat(less * less, starts)
        joined = np.maximum(-np.diff(self.components) / lengths, 0.0)
        chance = np.maximum(joined * (1 - joined), 0.0)
        weights, first, second = (
            np.add.reduceat(chance * each, self.edges[:-1]) for each in (lengths, sums, squares)
        )
        means = first / np.maximum(weights, 1e-300)
        steps = np.diff(means, append=0.0)
        within = float((second - first * means).sum())
        variance = max(float(steps @ self.covariance @ steps) + within, 0.0)
        mean = float(joined @ sums) + (self.n_vertices - self.n_blocks) * float(values[-1])
        away = sums / lengths - first.sum() / max(weights.sum(), 1e-300)
        fourth = float((chance * lengths) @ away**4)
        return Moments(mean, variance**0.5, fourth / variance**2 if variance > 0 else 0.0)

    def last_value(self, values: Floats) -> tuple[float, float]:
        """Return mean and deviation of the value at the last of the ranks: what is left is Poisson."""
        left = np.interp(np.arange(self.last), self.ranks, self.components) - self.n_blocks
        shares = np.diff(np.append(np.exp(-left), 1.0))
        mean = float(shares @ values)
        return mean, float(np.sqrt(shares @ (values - mean) ** 2))

    def rings(self, rank: int) -> float:
        """Return the mean number of those among so many weights that close a ring."""
        return float(np.interp(rank, self.ranks, self.components)) - (self.n_vertices - rank)

    def band(self, left: Indices) -> tuple[Indices, Indices]:
        """Return between which ranks, 9 times of 10, no more components are left than these numbers.

        Of few weights the rings are Poisson, of many what is not joined yet, and of any number the
        components are nearly normal: a Poisson variable with their variance, moved to their mean, is all of
        these. It is compared by the cube root of Wilson and Hilferty (1931).
        """
        low, high = (self._first(left, deviate) for deviate in (_DEVIATE, -_DEVIATE))
        return low, high

    def _first(self, left: Indices, deviate: float) -> Indices:
        """Return the first ranks at which the number of components is that low with enough probability."""
        low, high = np.zeros(left.size, np.intp), np.full(left.size, self.last)
        while (low < high).any():
            middle = (low + high) // 2
            enough = self._deviates(middle, left) <= deviate
            low = np.where(enough, low, np.minimum(middle + 1, high))  # some are settled before others
            high = np.where(enough, middle, high)
        return low

    def _deviates(self, ranks: Indices, left: Indices) -> Floats:
        """Return the deviates that are exceeded as often as no more components are left."""
        variances = np.interp(ranks, self.ranks, self.variances)
        within = left + 1 - np.interp(ranks, self.ranks, self.components) + variances
        some = np.maximum(within, 1e-9)
        deviates = 3 * np.sqrt(some) * (np.cbrt(variances / some) - 1 + 1 / (9 * some))
        return np.where(within > 0, deviates, np.inf)


@lru_cache(maxsize=512)
def null_law(shapes: Shapes) -> NullLaw:
    """Return the law of a layer with blocks of these shapes, a shorter side of more than 1 among them.

    Examples
    --------
    >>> law = null_law(((30, 20, 1),))
    >>> law.ranks[:3].tolist(), law.components[:3].round(2).tolist(), bool(1.0 < law.components[-1] < 1.1)
    ([0, 1, 2], [50.0, 49.0, 48.0], True)
    """
    blocks = [_Block(short, long, count) for long, short, count in shapes]
    n_cells, n_vertices, n_blocks = (
        sum(sizes) for sizes in zip(*(block.sizes for block in blocks), strict=True)
    )
    ranks = _ranks(blocks, n_cells, n_vertices)
    components = _mean(blocks, ranks / n_cells, n_cells)
    rings = np.maximum.accumulate(np.where(ranks < 4, 0.0, components - (n_vertices - ranks)))
    components = np.maximum(n_vertices - ranks + rings, n_blocks)
    ends = _ends(components - n_blocks, ranks)
    known, ranks = ranks, np.union1d(ranks, ends)
    components, edges = np.interp(ranks, known, components), np.searchsorted(ranks, ends)
    left, rings = components - n_blocks, components - (n_vertices - ranks)
    covariance = _covariance(blocks, ends[1:] / n_cells, n_cells)
    shares = np.append(0.0, np.diagonal(covariance) / np.maximum(left[edges[1:]], 1e-9))
    variances = np.clip(np.interp(ranks, ends, shares) * left, 0.0, rings)
    variances = np.where(rings < FEW, rings, variances)
    return NullLaw(n_vertices, n_blocks, ranks, components, variances, edges, covariance)


@dataclass(frozen=True)
class _Block:
    """Blocks of one shape; rows are the shorter side."""

    rows: int
    columns: int
    count: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many cells, neurons and blocks they are."""
        return self.count * self.rows * self.columns, self.count * (self.rows + self.columns), self.count

    @property
    def onset(self) -> float:
        """The probability of a cell at which there begins to be a large component."""
        return float((self.rows * self.columns) ** -0.5)

    @property
    def window(self) -> float:
        """The width of the window around it, as a share: of n neurons, any of which may meet, n ** (-1/3)."""
        roots = self.rows**0.5 + self.columns**0.5
        return float((roots * roots / (8 * self.rows * self.columns)) ** (1 / 3))


def _ranks(blocks: Sequence[_Block], n_cells: int, n_vertices: int) -> Indices:
    """Return the ranks at which the mean is computed: close where it bends."""
    most = min(1.0, max((np.log(n_vertices) + BEYOND) / block.rows for block in blocks))
    onsets = [block.onset for block in blocks]
    ends = most, min(most, 3 * min(onsets)), min(most, 3 * max(onsets))
    parts = [np.linspace(0.0, end, FINE) for end in ends]
    shares = np.concatenate([*parts, np.geomspace(min(most, min(onsets)), most, FINE)])
    last = int(np.ceil(most * n_cells))
    first = FIRST ** np.arange(np.log(min(onsets) * n_cells) / np.log(FIRST))
    return np.unique(np.minimum(np.ceil(np.concatenate([shares * n_cells, first])), last).astype(np.intp))


def _ends(left: Floats, ranks: Indices) -> Indices:
    """Return the ranks that end parts, after a 0: in each as much is joined, and what is left falls as much.

    In the last hardly ever more than one component is still to be joined.
    """
    joined, folds = left[0] - left, -np.log(np.maximum(left, np.exp(-ALONE)) / left[0])
    weights, first = np.unique(joined / joined[-1] + folds / folds[-1], return_index=True)
    ends = np.interp(np.linspace(0, weights[-1], NODES + 1), weights, ranks[first])
    return np.unique(np.append(np.round(ends[:-1]), ranks[-1]).astype(np.intp))


# The branching process


class _Fates(NamedTuple):
    """The probabilities that what is reached along an edge dies out, from a row and from a column."""

    rows: Floats
    columns: Floats

    def apart(self) -> Floats:
        """Return the probability that a cell would join two components: not both ends are in the giant."""
        return 1 - (1 - self.rows) * (1 - self.columns)


def _fates(block: _Block, q: Floats, gone: _Fates, start: Floats) -> _Fates:
    """Return the smallest solution of the equations above, by Newton's method from below.

    ``q`` is the probability of an edge along which the process goes on, ``gone`` those of edges that end it
    at once, to be survived first. The function is convex, so no step goes beyond the solution.
    """
    n, m = block.columns - 1, block.rows - 1
    x = start
    for _ in range(40):
        u = 1 - gone.columns - q * (1 - x)
        y = u**m
        v = 1 - gone.rows - q * (1 - y)
        value = v**n
        steps = (value - x) / np.maximum(1 - q * q * n * m * (value / v) * (y / u), 1e-6)
        steps = np.where(value - x > 1e-12, steps, 0.0)
        x = np.minimum(x + steps, 1.0)
        if steps.max() < 1e-7:
            break
    return _Fates(x, (1 - gone.columns - q * (1 - x)) ** m)


def _extinct(block: _Block, p: Floats) -> _Fates:
    """Return the fates in the graph whose cells are there with probability p."""
    never = np.zeros_like(p)
    below = p * p * (block.rows - 1) * (block.columns - 1) <= 1
    return _fates(block, p, _Fates(never, never), below.astype(np.float64))


# The mean


def _mean(blocks: Sequence[_Block], shares: Floats, n_cells: int) -> Floats:
    """Return the mean number of components after these shares of all cells."""
    p = np.minimum(shares, 1 - 1e-12)
    components, bends = np.sum(
        [np.multiply(block.count, _curve(block, p, n_cells)) for block in blocks], axis=0
    )
    mean: Floats = components - p * (1 - p) / n_cells * bends / 2
    return mean


def _curve(block: _Block, p: Floats, n_cells: int) -> tuple[Floats, Floats]:
    """Return the mean number of components at p, a share of so many cells, and its second derivative."""
    m, n = block.rows, block.columns
    x, y = _extinct(block, p)
    u, v = 1 - p * (1 - x), 1 - p * (1 - y)
    trees = m * x * v + n * y * u - m * n * p * x * y
    if m == 1:
        return trees, np.zeros_like(p)
    a, b = (n - 1) * x / v, (m - 1) * y / u
    dx = -(a * (1 - y) + p * a * b * (1 - x)) / np.maximum(1 - p * p * a * b, 1e-6)
    dy = -b * (1 - x - p * dx)
    bend = -m * n * (dx * (1 - y) + (1 - x) * dy)
    reach = p * np.sqrt((m - 1) * (n - 1))
    closed = _rings(block, p, _Fates(x, y)) + _giant((reach - 1) / block.window, block.window)
    cycles = _cycles(block, np.minimum(p, p * BEFORE / np.maximum(reach, BEFORE)), n_cells)
    return trees + np.where(reach <= BEFORE, cycles, np.maximum(closed, cycles)), bend


def _cycles(block: _Block, p: Floats, n_cells: int) -> Floats:
    """Return the mean number of cycles, exactly: of each length so many, all of whose cells are there.

    They are p n_cells of n_cells. Before the onset hardly a component holds two.
    """
    k = np.arange(min(block.rows, LONGEST))[:, None]
    free = np.maximum(p * n_cells - 2 * k, 0) * np.maximum(p * n_cells - 2 * k - 1, 0)
    rows, columns = (block.rows - k) / (n_cells - 2 * k), (block.columns - k) / (n_cells - 2 * k - 1)
    cycles: Floats = (np.cumprod(free * rows * columns, axis=0) / (2 * k + 2))[1:].sum(axis=0)
    return cycles


def _rings(block: _Block, p: Floats, fates: _Fates) -> Floats:
    """Return the mean number of small components that hold one ring.

    Of 2 k edges there are (d ** k) / (2 k), d being the mean number of neurons two steps away: their sum is
    -(log(1 - d) + d) / 2. The window is blurred as far as measured on random graphs.
    """
    if block.rows == 1:
        return np.zeros_like(p)
    d = p * p * (block.rows - 1) * (block.columns - 1) * fates.rows * fates.columns
    gap = np.maximum(1 - d, 0) ** 3 + d * d * (2 * block.window) ** 3
    rings: Floats = -np.log(gap) / 6 - d / 2
    return rings


def _giant(place: Floats, window: float) -> Floats:
    """Return the mean number of components with more rings, the giant in the end, as measured."""
    onset = 1 / (1 + np.exp(np.clip(-3.5 * (place - 0.24), -50, 50)))
    bulge: Floats = max(0.67 - 2 * window, 0.0) * np.exp(-(((place - 1.9) / 1.85) ** 2))
    return onset + bulge


# The covariance

_POINTS, _SHARES = np.polynomial.legendre.leggauss(4)
_WAY = 1 - ((1 - _POINTS) / 2) ** 2
"""Places on the way from 0 to 1, closer towards 1, where the integrand is the steeper the later the ranks."""
_SHARES = _SHARES * (1 - _POINTS) / 2


def _covariance(blocks: Sequence[_Block], shares: Floats, n_cells: int) -> Floats:
    """Return the covariance of the numbers of components after these shares of all cells, ascending.

    A fraction of the cells is the same in both graphs, the others are independent; the fraction goes from
    none to all of those of the smaller. Rings that the smaller graph has are still there in the larger one.
    """
    p = np.minimum(shares, 1 - 1e-9)
    i, j = np.triu_indices(p.size)
    both = (p[i] * p[j]) + np.multiply.outer(_WAY, p[i] * (1 - p[j]))
    together, apart, rings = np.zeros(i.size), np.zeros(p.size), np.zeros(i.size)
    for block in blocks:
        fates = _extinct(block, p)
        cells = block.sizes[0]
        together += cells * (_SHARES @ _apart_in_both(block, p, fates, both, (i, j)))
        apart += cells / n_cells * fates.apart()
        rings += block.count * _small_rings(block, p, fates, n_cells)[i] * fates.apart()[j]
    covariance = np.zeros((p.size, p.size))
    covariance[i, j] = p[i] * (1 - p[j]) * (together - n_cells * apart[i] * apart[j]) + rings
    covariance[j, i] = covariance[i, j]
    return covariance


def _small_rings(block: _Block, p: Floats, fates: _Fates, n_cells: int) -> Floats:
    """Return the mean number of small components that hold one ring, before the onset and after it."""
    before = p * np.sqrt((block.rows - 1) * (block.columns - 1)) <= BEFORE
    return np.where(before, _cycles(block, p, n_cells), np.maximum(_rings(block, p, fates), 0.0))


def _apart_in_both(
    block: _Block, p: Floats, fates: _Fates, both: Floats, pairs: tuple[Indices, Indices]
) -> Floats:
    """Return the probabilities that a cell would join two components in either of two graphs."""
    (x1, x2), (y1, y2) = ([side[pair] for pair in pairs] for side in fates)
    one, other = p[pairs[0]] - both, p[pairs[1]] - both
    gone = _Fates(one * (1 - y1) + other * (1 - y2), one * (1 - x1) + other * (1 - x2))
    x, y = _fates(block, both, gone, np.maximum(x1 + x2 - 1, 0.0 * both))
    first, second = _Fates(x1, y1).apart(), _Fates(x2, y2).apart()
    return first + second - 1 + (1 - x1 - x2 + x) * (1 - y1 - y2 + y)
