"""The common initialiser that could have drawn a layer's weights.

Each initialiser says how its entries are distributed, given how many inputs and outputs a layer has. The
distance of the entries from it is that of Kolmogorov and Smirnov: the largest difference between the share of
entries up to a value and what the initialiser expects. It is taken half way between values, so that rounding
to a few values (quantised weights) makes no distance. Orthogonal matrices have nearly normal entries; they
are told by their rows or columns, which are orthonormal.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.network import Blocks, Stack, extremes, strips, widened
from onnxtop.statistics.laws import FITTED, Laws, laws_of, uniform
from onnxtop.statistics.numbers import narrower_types, unit_of
from onnxtop.statistics.orthonormal import ORTHONORMAL, from_orthonormal, may_be_orthonormal

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]
Indices = NDArray[np.intp]

SAMPLE, _STRIDE = 1 << 14, 32
"""Entries that are compared, evenly spaced over the layer; every so many of them show of most initialisers
that they are too far."""
CRITICAL = 2.23
"""Distance times the square root of the number of entries that chance exceeds once in ten thousand times."""
_FEW = 64
"""Entries of a bias from which on its distribution says something."""
_RARE = 1e-4
"""Chance below which nothing is drawn."""
_PRECISION = {None: 1e-6, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""How far rounding may put an entry beyond the largest that is drawn; a step of training moves some
further."""
_FOLDED = 1e-3
"""By how much weights may have shrunk: a normalisation that is folded at its start divides them by
sqrt(1 + epsilon)."""
_DISTINCT = 0.5
"""Share of the entries that are different unless they were rounded to a few values."""
_MASKED = 10
"""So many times as many zeros as of any other value were not drawn."""
_CELLS = 1 << 14
"""Entries compared at a time."""
ORTHOGONAL = "orthogonal"


@dataclass(frozen=True)
class InitialiserMatch:
    """The initialiser closest to a layer's weights.

    Attributes
    ----------
    name
        For people: ``Kaiming uniform, fan-in``.
    distance
        Largest difference of the two distribution functions, from 0 to 1; for an orthogonal matrix, of its
        inner products from those of orthonormal lines.
    fits
        Whether chance alone explains the distance, and no weight is larger than any that is drawn.
    """

    name: str
    distance: float
    fits: bool


def closest_initialiser(
    blocks: Blocks, *, fan_in: int | None = None, fan_out: int | None = None, largest: float | None = None
) -> InitialiserMatch | None:
    """Return the initialiser that comes closest to a layer's weights.

    An initialiser whose scale follows from the layer's sides goes before one whose scale is fitted, if it
    fits.

    Parameters
    ----------
    blocks
        Matrices (n_in, n_out) of one layer.
    fan_in, fan_out
        Inputs of an output and outputs of an input. By default the rows of a block and the columns of all
        blocks: right for dense layers, and the fan-in of a convolution. The usual fan-out of a convolution is
        its channels out times its taps.
    largest
        The largest magnitude, where it is known.

    Returns
    -------
    InitialiserMatch | None
        None if there is nothing to compare: all weights are equal, or some are not finite.

    Raises
    ------
    UsageError
        A fan below 1.

    Examples
    --------
    >>> matrix = np.random.default_rng(0).uniform(-0.1, 0.1, (100, 64))
    >>> match = closest_initialiser([matrix])
    >>> match.name, match.fits
    ('PyTorch default', True)
    """
    sample = _Sample.of(blocks, fan_in, fan_out, largest)
    orthonormal = orthonormal_lines(blocks) if sample.several else None
    return orthonormal or sample.closest()[0]


def closest_of_each(
    stack: Stack, fan_in: int, fan_out: int, largest: Sequence[float]
) -> list[InitialiserMatch | None]:
    """Return of layers of one small matrix each what `closest_initialiser` returns of each.

    Parameters
    ----------
    stack
        Matrices of at most `SAMPLE` entries.
    fan_in, fan_out
        As there.
    largest
        The largest magnitude of each.

    Examples
    --------
    >>> matrix = np.random.default_rng(0).uniform(-0.1, 0.1, (100, 64))
    >>> stack = Stack.of([matrix, np.linalg.qr(matrix)[0]])
    >>> [match.name for match in closest_of_each(stack, 100, 64, [0.1, 0.3])]
    ['PyTorch default', 'orthogonal']
    """
    entries = stack.wide.reshape(len(stack.lines), -1)
    found = _Sample(entries, entries.shape[1], (fan_in, fan_out), largest).closest()
    matrices = stack.matrices
    for k in np.flatnonzero(may_be_orthonormal(stack)).tolist():
        if found[k] is not None:
            found[k] = orthonormal_lines([matrices[k]]) or found[k]
    return found


def initialiser_distances(
    blocks: Blocks, *, fan_in: int | None = None, fan_out: int | None = None, largest: float | None = None
) -> list[InitialiserMatch]:
    """Return how far a layer's weights are from every common initialiser.

    Parameters and errors are those of `closest_initialiser`; the list is empty where that returns None.
    """
    sample = _Sample.of(blocks, fan_in, fan_out, largest)
    orthonormal = orthonormal_lines(blocks) if sample.several else None
    return [orthonormal] if orthonormal else sample.distances()


@dataclass(frozen=True, eq=False)
class _Sample:
    """Entries of layers of one size and one pair of fans, shape (k, n), and the largest magnitude of each."""

    entries: NDArray[np.floating[Any]]
    size: int
    fans: tuple[int, int]
    largest: Sequence[float]

    @classmethod
    def of(cls, blocks: Blocks, fan_in: int | None, fan_out: int | None, largest: float | None) -> "_Sample":
        """Take entries of a single layer."""
        n_in = max(len(block) for block in blocks) if fan_in is None else fan_in
        n_out = sum(block.shape[1] for block in blocks) if fan_out is None else fan_out
        if min(n_in, n_out) < 1:
            raise UsageError(f"wanted fans of at least 1, found {n_in} in and {n_out} out")
        size = sum(block.size for block in blocks)
        largest = extremes(blocks).largest if largest is None else largest
        return cls(_spread(blocks)[np.newaxis], size, (n_in, n_out), [largest])

    @property
    def several(self) -> bool:
        """Whether there is a layer to compare: finite, and not of one value."""
        return bool(self._comparisons)

    def closest(self) -> list[InitialiserMatch | None]:
        """Return the closest initialiser of each, whose lines are not looked at."""
        found: list[InitialiserMatch | None] = [None] * len(self.entries)
        for layers, comparison in self._comparisons:
            for row, layer in enumerate(layers.tolist()):
                found[layer] = comparison.closest(row)
        return found

    def distances(self) -> list[InitialiserMatch]:
        """Return how far a single layer is from every initialiser."""
        return [
            match
            for _, comparison in self._comparisons
            for match in comparison.matches(0, np.arange(comparison.bounds.shape[1]))
        ]

    @cached_property
    def _comparisons(self) -> list[tuple[Indices, "_Comparison"]]:
        """Compare layers with all distributions, those together that have as many different values."""
        found = []
        for layers, values, counts in _values(self.entries):
            n = counts.sum(axis=1)
            units = np.array([*map(unit_of, np.abs(values[:, [0, -1]]).max(axis=1).tolist())])
            sizes = self.size * n / min(self.size, SAMPLE)
            extreme = _Extreme.of(values, n, sizes, np.array(self.largest)[layers]).over(units)
            values /= units[:, np.newaxis]
            comparison = _Comparison(
                halfway=(values[:, :-1] + values[:, 1:]) / 2,
                shares=np.cumsum(counts, axis=1)[:, :-1] / n[:, np.newaxis],
                critical=CRITICAL / np.sqrt(n),
                extreme=extreme,
                laws=laws_of(*self.fans).over(units[:, np.newaxis]).fitted(values, counts),
            )
            found.append((layers, comparison))
        return found


def _values(entries: NDArray[np.floating[Any]]) -> Iterator[tuple[Indices, Floats, Counts]]:
    """Yield the different values of each sample, ascending, and how many of its entries have each.

    Those of as many values come together, shape (k, m), with the numbers of their samples. Left out are
    samples with an entry that is not finite, or with one value alone.
    """
    ordered = np.sort(entries, axis=1)
    first = np.ones(ordered.shape, np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
    finite = np.isfinite(ordered[:, [0, -1]]).all(axis=1)
    lengths = np.where(finite, np.count_nonzero(first, axis=1), 0)
    for length in sorted(set(lengths.tolist()) - {0, 1}):
        layers = np.flatnonzero(lengths == length)
        if length == entries.shape[1]:
            values = ordered[layers].astype(np.float64)
            yield layers, values, np.ones(values.shape, np.intp)
            continue
        starts = np.nonzero(first[layers])[1].reshape(-1, length)
        values = np.take_along_axis(ordered[layers], starts, axis=1).astype(np.float64)
        counts = np.diff(starts, axis=1, append=entries.shape[1])
        masked = _masked(values, counts)
        if not masked.all():
            yield layers[~masked], values[~masked], counts[~masked]
        if masked.any() and length > 2:
            kept = values[masked] != 0
            parts = (part[masked][kept].reshape(-1, length - 1) for part in (values, counts))
            yield layers[masked], *parts


def _masked(values: Floats, counts: Counts) -> NDArray[np.bool_]:
    """Tell where there are far more zeros than entries of any other value: a mask made them."""
    zeros, others = np.where(values == 0, counts, 0), np.where(values == 0, 1, counts)
    masked: NDArray[np.bool_] = zeros.sum(axis=1) > _MASKED * others.max(axis=1)
    return masked


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Layers beside all distributions: values half way between their entries, the share of these below each.

    Of each layer all is in a unit of about its largest entry, so that squares neither overflow nor vanish.
    ``halfway`` and ``shares`` are of shape (k, m), ``critical`` are the distances that chance explains.
    """

    halfway: Floats
    shares: Floats
    critical: Floats
    extreme: "_Extreme"
    laws: Laws

    def closest(self, row: int) -> InitialiserMatch:
        """Return the closest initialiser of a layer, whose scale is not fitted if others fit."""
        bounds = self.bounds[row]
        fitting = [
            match for match in self.matches(row, np.flatnonzero(bounds <= self.critical[row])) if match.fits
        ]
        if fitting:
            of_sides = [match for match in fitting if match.name not in FITTED]
            return min(of_sides or fitting, key=lambda match: match.distance)
        first, *others = np.argsort(bounds, kind="stable")
        (closest,) = self.matches(row, np.array([first]))
        for other in others:
            if bounds[other] >= closest.distance:
                break
            closest = min(closest, *self.matches(row, np.array([other])), key=lambda match: match.distance)
        return closest

    def matches(self, row: int, chosen: Indices) -> list[InitialiserMatch]:
        """Return how far a layer is from chosen distributions, and which of them fit."""
        laws = self.laws.of(row, chosen)
        distances = self.bounds[row, chosen]
        if self._stride > 1 and chosen.size:
            distances = _distances(laws, self.halfway[[row]], self.shares[[row]])[0]
        fit = (distances <= self.critical[row]) & self._possible[row, chosen]
        return list(map(InitialiserMatch, laws.names, distances.tolist(), fit.tolist()))

    @cached_property
    def bounds(self) -> Floats:
        """Bounds below the distances from all distributions, shape (k, d): where all values count, these."""
        halfway, shares = self.halfway[:, :: self._stride], self.shares[:, :: self._stride]
        return _distances(self.laws, halfway, shares)

    @property
    def _stride(self) -> int:
        """Every how many of the entries tell of most initialisers that they are too far: of few, all."""
        return _STRIDE if self.halfway.shape[1] > _STRIDE**2 else 1

    @cached_property
    def _possible(self) -> NDArray[np.bool_]:
        return self.extreme.could_be_of(self.laws)


def _distances(laws: Laws, halfway: Floats, shares: Floats) -> Floats:
    """Return the largest differences of the shares of entries and draws, of layers times distributions."""
    found = np.empty((len(halfway), len(laws.names)))
    for rows in strips(halfway.shape, _CELLS):
        some = laws._replace(scales=laws.scales[rows])
        found[rows] = np.abs(shares[rows, np.newaxis] - some.shares(halfway[rows])).max(axis=2)
    return found


@dataclass(frozen=True, eq=False)
class _Extreme:
    """The largest of so many magnitudes, and by how much rounding may have moved it; shapes (k,)."""

    largest: Floats
    n: Floats
    rounding: Floats

    @classmethod
    def of(cls, values: Floats, counts: Counts, sizes: Floats, largest: Floats) -> "_Extreme":
        """Return that of layers, given the different values of samples, and how many entries they are."""
        rounded = values.shape[1] < _DISTINCT * counts
        steps = np.maximum(values[:, 1] - values[:, 0], values[:, -1] - values[:, -2])
        with np.errstate(over="ignore", under="ignore"):
            precision = [_PRECISION[name] for name in narrower_types(values.astype(np.float32))]
        return cls(largest, sizes, np.where(rounded, steps, 0.0) / 2 + np.array(precision) * largest)

    def over(self, units: Floats) -> "_Extreme":
        """Return them in other units."""
        return replace(self, largest=self.largest / units, rounding=self.rounding / units)

    def could_be_of(self, laws: Laws) -> NDArray[np.bool_]:
        """Tell whether it is neither larger nor smaller than that of so many draws, shape (k, d).

        Of a bounded distribution it lies closely below the bound: the first step of training moves some
        weight beyond. One whose scale was fitted is not asked.
        """
        low, high = self.largest - self.rounding, self.largest * (1 + _FOLDED) + self.rounding
        ends = laws.shares(np.stack([-low, low, -high, high], axis=1))
        within = np.maximum(ends[..., 1::2] - ends[..., ::2], 0.0) ** self.n[:, np.newaxis, np.newaxis]
        possible: NDArray[np.bool_] = low[:, np.newaxis] <= laws.reaches
        possible &= (within[..., 0] <= 1 - _RARE / 2) & (within[..., 1] >= _RARE / 2)
        possible |= laws.are_fitted
        return possible


def orthonormal_lines(blocks: Blocks) -> InitialiserMatch | None:
    """Return the match of blocks whose rows or columns are orthogonal, whatever factor each may have.

    A factor for each output is what folding a normalisation leaves. Tables of cosines and the like repeat
    their numbers, which what is drawn does not.
    """
    skew = max(from_orthonormal(block) for block in blocks)
    return InitialiserMatch(ORTHOGONAL, skew, True) if skew <= ORTHONORMAL else None


def bias_was_moved(bias: Floats, fan_in: int, made_by: InitialiserMatch | None = None) -> bool | None:
    """Tell whether a bias is neither one number, as most start, nor as PyTorch draws it from so many inputs.

    PyTorch draws a bias where others set it to zero, whatever drew the weights. That training did not move
    one a little is believed only if the weights show no step either: if what they are ``made_by`` fits, and
    draws nothing beyond a bound. Of a few numbers that it may have drawn nothing can be told: None.

    >>> bias_was_moved(np.zeros(8), 4), bias_was_moved(np.linspace(-0.5, 0.5, 64), 4)
    (False, False)
    >>> bias_was_moved(np.linspace(-0.1, 3, 8), 4), bias_was_moved(np.linspace(-0.01, 0.01, 8), 4)
    (True, True)
    """
    if not np.isfinite(bias).all() or (bias == bias[:1]).all():
        return False
    bound = 1 / math.sqrt(fan_in)
    values, counts = np.unique(bias, return_counts=True)
    shares = np.cumsum(counts)[:-1] / bias.size
    distance = float(np.abs(shares - uniform((values[:-1] + values[1:]) / 2, bound)).max())
    reached = float(np.abs(bias).max()) / bound
    if not _RARE ** (1 / bias.size) <= reached <= 1 + _FOLDED or distance > CRITICAL / math.sqrt(bias.size):
        return True
    if made_by is not None and not (made_by.fits and is_bounded(made_by.name)):
        return True
    return None if bias.size < _FEW else False


def _spread(blocks: Blocks) -> NDArray[np.floating[Any]]:
    """Return entries spread evenly over the layer, in a type that is sorted quickly."""
    size = sum(block.size for block in blocks)
    step = -(-size // SAMPLE)
    parts, first = [], 0
    for block in blocks:
        places = np.arange(-first % step, block.size, step)
        parts.append(widened(block[np.divmod(places, block.shape[1])][np.newaxis])[0])
        first += block.size
    return np.concatenate(parts)


@functools.cache
def is_bounded(name: str | None) -> bool:
    """Tell whether the initialiser of a name draws nothing beyond a bound.

    >>> is_bounded("PyTorch default"), is_bounded("Kaiming normal, fan-in"), is_bounded(None)
    (True, False, False)
    """
    known = laws_of(1, 1)
    reaches = dict(zip(known.names, known.reaches.tolist(), strict=True))
    return name == ORTHOGONAL or math.isfinite(reaches.get(name or "", math.inf))
