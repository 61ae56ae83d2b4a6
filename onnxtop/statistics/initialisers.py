"""The common initialiser that could have drawn a layer's weights.

Each initialiser says how its entries are distributed, given how many inputs and outputs a layer has. The
distance of the entries from it is that of Kolmogorov and Smirnov: the largest difference between the share of
entries up to a value and what the initialiser expects. It is taken half way between values, so that rounding
to a few values (quantised weights) makes no distance. Orthogonal matrices have nearly normal entries; they
are told by their rows or columns, which are orthonormal.

K. He et al., *Delving deep into rectifiers*, ICCV 2015 (Kaiming). X. Glorot, Y. Bengio, *Understanding the
difficulty of training deep feedforward neural networks*, AISTATS 2010 (Xavier). Y. LeCun et al., *Efficient
BackProp*, 1998. A. Saxe et al., *Exact solutions to the nonlinear dynamics of learning in deep linear neural
networks*, ICLR 2014 (orthogonal).
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import UsageError
from onnxtop.network import Blocks, Matrix, extremes, widened
from onnxtop.statistics.numbers import narrower_type, spread_evenly, unit_of

Floats = NDArray[np.float64]
Counts = NDArray[np.intp]
Indices = NDArray[np.intp]

SAMPLE, _STRIDE = 1 << 14, 32
"""Entries that are compared, evenly spaced over the layer; every so many of them show of most initialisers
that they are too far."""
CRITICAL = 2.23
"""Distance times the square root of the number of entries that chance exceeds once in ten thousand times."""
TRUNCATED = 0.8796256610342398
"""Standard deviation of a standard normal variable cut off at 2."""
_PYTORCH = "PyTorch default"
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
ORTHOGONAL = "orthogonal"
ORTHONORMAL = 1e-5
"""Largest difference of inner products from those of orthonormal lines, relative to their lengths: what
float32 leaves. One step of training leaves more."""
LINES = 64
"""Rows or columns whose inner products are looked at."""


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
    entries = _Entries.of(blocks, fan_in, fan_out, largest)
    if entries is None:
        return None
    orthonormal = orthonormal_lines(blocks)
    if orthonormal:
        return orthonormal
    bounds = entries.distances(entries.drawn.all, entries.stride)
    fitting = [
        match for match in entries.matches(np.flatnonzero(bounds <= entries.critical), bounds) if match.fits
    ]
    if fitting:
        of_sides = [match for match in fitting if match.name not in FITTED]
        return min(of_sides or fitting, key=lambda match: match.distance)
    first, *others = np.argsort(bounds, kind="stable")
    (closest,) = entries.matches(np.array([first]), bounds)
    for other in others:
        if bounds[other] >= closest.distance:
            break
        closest = min(closest, *entries.matches(np.array([other]), bounds), key=lambda match: match.distance)
    return closest


def initialiser_distances(
    blocks: Blocks, *, fan_in: int | None = None, fan_out: int | None = None, largest: float | None = None
) -> list[InitialiserMatch]:
    """Return how far a layer's weights are from every common initialiser.

    Parameters and errors are those of `closest_initialiser`; the list is empty where that returns None.
    """
    entries = _Entries.of(blocks, fan_in, fan_out, largest)
    if entries is None:
        return []
    orthonormal = orthonormal_lines(blocks)
    every = entries.drawn.all
    return [orthonormal] if orthonormal else entries.matches(every, entries.distances(every, entries.stride))


@dataclass(frozen=True, eq=False)
class _Entries:
    """A sample of a layer: values half way between its entries, and the share of these below each.

    All is in a unit of about the largest entry, so that squares neither overflow nor vanish.
    ``drawn`` are all distributions, ``critical`` is the distance that chance explains.
    """

    halfway: Floats
    shares: Floats
    critical: float
    extreme: "_Extreme"
    drawn: "_Distributions"

    @classmethod
    def of(
        cls, blocks: Blocks, fan_in: int | None, fan_out: int | None, largest: float | None
    ) -> "_Entries | None":
        """Take the sample of a layer; None if all its entries are equal, or some are not finite."""
        n_in = max(len(block) for block in blocks) if fan_in is None else fan_in
        n_out = sum(block.shape[1] for block in blocks) if fan_out is None else fan_out
        if min(n_in, n_out) < 1:
            raise UsageError(f"wanted fans of at least 1, found {n_in} in and {n_out} out")
        different, counts = np.unique(_sample(blocks), return_counts=True)
        values, counts = _unmasked(different.astype(np.float64), counts)
        if values.size < 2 or not np.isfinite(values).all():
            return None
        up_to = np.cumsum(counts)
        n = int(up_to[-1])
        unit = unit_of(float(np.abs(values).max()))
        extreme = _Extreme.of(blocks, values, n, largest).over(unit)
        values /= unit
        return cls(
            halfway=(values[:-1] + values[1:]) / 2,
            shares=up_to[:-1] / n,
            critical=CRITICAL / math.sqrt(n),
            extreme=extreme,
            drawn=_of_sides(n_in, n_out).over(unit).fitted(values, counts),
        )

    def distances(self, chosen: Indices, stride: int = 1) -> Floats:
        """Return how far the entries are from chosen distributions: the largest differences of the shares.

        With a stride those of every so many entries: bounds below the distances.
        """
        halfway, shares = self.halfway[::stride], self.shares[::stride]
        distances = np.empty(chosen.size)
        for places, shares_of, scales in self.drawn.by_family(chosen):
            distances[places] = np.abs(shares - shares_of(halfway, scales)).max(axis=1)
        return distances

    @property
    def stride(self) -> int:
        """Every how many of the entries tell of most initialisers that they are too far: of few, all."""
        return _STRIDE if self.halfway.size > _STRIDE**2 else 1

    def matches(self, chosen: Indices, bounds: Floats) -> list[InitialiserMatch]:
        """Return how far the entries are from chosen distributions, and which of them fit.

        ``bounds`` are those of all distributions at the stride, which are distances already where it is 1.
        """
        if not chosen.size:
            return []
        distances = bounds[chosen] if self.stride == 1 else self.distances(chosen)
        fit = distances <= self.critical
        fit &= self.extreme.could_be_of(self.drawn, chosen)
        names = [self.drawn.names[number] for number in chosen.tolist()]
        return list(map(InitialiserMatch, names, distances.tolist(), fit.tolist()))


def _unmasked(values: Floats, counts: Counts) -> tuple[Floats, Counts]:
    """Leave out zeros where there are far more of them than of any other value: a mask made them."""
    zero = values == 0
    if zero.any() and counts[zero].sum() > _MASKED * counts[~zero].max(initial=1):
        return values[~zero], counts[~zero]
    return values, counts


@dataclass(frozen=True)
class _Extreme:
    """The largest of so many magnitudes, and by how much rounding may have moved it."""

    largest: float
    n: float
    rounding: float

    @classmethod
    def of(cls, blocks: Blocks, values: Floats, count: int, largest: float | None) -> "_Extreme":
        """Return that of a layer, given the different values of a sample and how many entries they are."""
        size = sum(block.size for block in blocks)
        sampled = min(size, SAMPLE)
        if largest is None:
            largest = extremes(blocks).largest
        rounded = values.size < _DISTINCT * count
        step = max(values[1] - values[0], values[-1] - values[-2]) if rounded else 0.0
        with np.errstate(over="ignore", under="ignore"):
            precision = _PRECISION[narrower_type(values.astype(np.float32))]
        return cls(largest, size * float(count) / sampled, step / 2 + precision * largest)

    def over(self, unit: float) -> "_Extreme":
        """Return it in another unit."""
        return replace(self, largest=self.largest / unit, rounding=self.rounding / unit)

    def could_be_of(self, drawn: "_Distributions", chosen: Indices) -> NDArray[np.bool_]:
        """Tell of chosen distributions whether it is neither larger nor smaller than that of so many draws.

        Of a bounded distribution it lies closely below the bound: the first step of training moves some
        weight beyond. One whose scale was fitted is not asked.
        """
        low, high = self.largest - self.rounding, self.largest * (1 + _FOLDED) + self.rounding
        possible = low <= drawn.reaches[chosen]
        for places, shares_of, scales in drawn.by_family(chosen):
            ends = shares_of(np.array([-low, low, -high, high]), scales)
            all_below, all_up_to = (np.maximum(ends[:, 1::2] - ends[:, ::2], 0.0) ** self.n).T
            possible[places] &= (all_below <= 1 - _RARE / 2) & (all_up_to >= _RARE / 2)
        return possible | (chosen >= len(drawn.names) - len(FITTED))


def orthonormal_lines(blocks: Blocks) -> InitialiserMatch | None:
    """Return the match of blocks whose rows or columns are orthogonal, whatever factor each may have.

    A factor for each output is what folding a normalisation leaves. Tables of cosines and the like repeat
    their numbers, which what is drawn does not.
    """
    skew = max(_from_orthonormal(block) for block in blocks)
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
    distance = float(np.abs(shares - _uniform((values[:-1] + values[1:]) / 2, bound)).max())
    reached = float(np.abs(bias).max()) / bound
    if not _RARE ** (1 / bias.size) <= reached <= 1 + _FOLDED or distance > CRITICAL / math.sqrt(bias.size):
        return True
    if made_by is not None and not (made_by.fits and is_bounded(made_by.name)):
        return True
    return None if bias.size < _FEW else False


# Distributions


def _uniform(x: Floats, bound: float | Floats) -> Floats:
    shares: Floats = np.clip(0.5 + x / (2 * bound), 0.0, 1.0)
    return shares


def _normal(x: Floats, deviation: float | Floats) -> Floats:
    shares: Floats = _normal_shares()(x / deviation)
    return shares


def _truncated(x: Floats, deviation: float | Floats) -> Floats:
    """Cut off at 2 of its own deviations and widened, so that ``deviation`` is what remains."""
    low, high = _outside()
    shares: Floats = (_normal(np.clip(x * TRUNCATED / deviation, -2.0, 2.0), 1.0) - low) / (high - low)
    return shares


@functools.cache
def _normal_shares() -> Callable[[Floats], Floats]:
    from scipy.special import ndtr  # loads much, for layers that look as if drawn

    shares: Callable[[Floats], Floats] = ndtr
    return shares


@functools.cache
def _outside() -> tuple[float, float]:
    """Return the shares of normal draws up to -2 and up to 2 deviations."""
    low, high = _normal(np.array([-2.0, 2.0]), 1.0).tolist()
    return low, high


Shares = Callable[[Floats, float | Floats], Floats]

FITTED = ("uniform", "normal", "truncated normal")
"""Names of the distributions whose scale is taken from the weights themselves."""


class _Distributions(NamedTuple):
    """All distributions that could have drawn a layer, those of `FITTED` last.

    Attributes
    ----------
    names, scales, reaches
        Of each: what it is called, its bound or deviation, and the largest entry that it ever draws (of those
        that are fitted, whatever there is); arrays of shape (k,).
    families
        What some have in common but the scale, the share of draws up to a value, and which they are.
    all
        Their numbers.
    """

    names: Sequence[str]
    scales: Floats
    reaches: Floats
    families: Sequence[tuple[Shares, NDArray[np.bool_]]]
    all: Indices

    def by_family(self, chosen: Indices) -> Iterator[tuple[Indices, Shares, Floats]]:
        """Go over chosen ones by what they have in common: the places of these among them, and their scales.

        Scales of shape (n, 1) give the shares of n of them at once.
        """
        for shares_of, members in self.families:
            places = np.flatnonzero(members[chosen])
            if places.size:
                yield places, shares_of, self.scales[chosen[places]][:, np.newaxis]

    def over(self, unit: float) -> "_Distributions":
        """Return them in another unit."""
        with np.errstate(over="ignore", under="ignore"):
            return self._replace(scales=self.scales / unit, reaches=self.reaches / unit)

    def fitted(self, values: Floats, counts: Counts) -> "_Distributions":
        """Return them for so many entries of each value."""
        deviation = math.sqrt(float((np.square(values) * counts).sum() / counts.sum()))
        own = [max(-float(values[0]), float(values[-1])), deviation, deviation]
        return self._replace(scales=np.concatenate([self.scales[: -len(own)], own]))


@functools.lru_cache(64)
def _of_sides(n_in: int, n_out: int) -> _Distributions:
    """Return them for so many inputs and outputs; those whose scale follows from neither lack theirs."""
    found: dict[str, tuple[Shares, float]] = {_PYTORCH: (_uniform, 1 / math.sqrt(n_in))}
    for name, variance in (
        ("Kaiming {}, fan-in", 2 / n_in),
        ("Kaiming {}, fan-out", 2 / n_out),
        ("Xavier {}", 2 / (n_in + n_out)),
        ("LeCun {}, fan-in", 1 / n_in),
        ("LeCun {}, fan-out", 1 / n_out),
    ):
        deviation = math.sqrt(variance)
        found[name.format("uniform")] = _uniform, math.sqrt(3) * deviation
        found[name.format("normal")] = _normal, deviation
        found[name.format("truncated normal")] = _truncated, deviation
    for deviation in (0.01, 0.02, 0.05, 1.0):
        found[f"normal, deviation {deviation:g}"] = _normal, deviation
    found["truncated normal, deviation 0.02"] = _truncated, 0.02 * TRUNCATED
    found["Keras uniform"] = _uniform, 0.05
    found |= zip(FITTED, ((law, math.nan) for law in (_uniform, _normal, _truncated)), strict=True)
    laws, scales = zip(*found.values(), strict=True)
    return _Distributions(
        names=tuple(found),
        scales=np.array(scales),
        reaches=np.array([_reach(law, scale) for law, scale in found.values()]),
        families=[(law, np.array([each is law for each in laws])) for law in (_uniform, _normal, _truncated)],
        all=np.arange(len(found)),
    )


def _reach(law: Shares, scale: float) -> float:
    """Return the largest entry that is ever drawn."""
    if law is _truncated:
        return 2 * scale / TRUNCATED
    return scale if law is _uniform else math.inf


@functools.cache
def is_bounded(name: str | None) -> bool:
    """Tell whether the initialiser of a name draws nothing beyond a bound.

    >>> is_bounded("PyTorch default"), is_bounded("Kaiming normal, fan-in"), is_bounded(None)
    (True, False, False)
    """
    known = _of_sides(1, 1)
    reaches = dict(zip(known.names, known.reaches.tolist(), strict=True))
    return name == ORTHOGONAL or math.isfinite(reaches.get(name or "", math.inf))


def _sample(blocks: Blocks) -> NDArray[np.floating[Any]]:
    """Return entries spread evenly over the layer, in a type that is sorted quickly."""
    size = sum(block.size for block in blocks)
    step = -(-size // SAMPLE)
    parts, first = [], 0
    for block in blocks:
        places = np.arange(-first % step, block.size, step)
        parts.append(widened(block[np.divmod(places, block.shape[1])][np.newaxis])[0])
        first += block.size
    return np.concatenate(parts)


# Orthogonal matrices


def _from_orthonormal(block: Matrix) -> float:
    """Return how far lines of the shorter side are from orthogonal; 1 if there are few, or none was drawn."""
    lines = block if block.shape[0] <= block.shape[1] else block.T
    if len(lines) < 4:
        return 1.0
    skew = _skew(lines, 4)
    return skew if skew > ORTHONORMAL else _skew(lines, LINES)


def _skew(lines: Matrix, n: int) -> float:
    """Return the largest inner product of so many lines, evenly spaced; 1 if they were not drawn."""
    chosen = lines[spread_evenly(len(lines), n)].astype(np.float64)
    chosen /= unit_of(float(np.abs(chosen).max()))
    lengths = np.sqrt(np.einsum("ij,ij->i", chosen, chosen))
    if not (np.isfinite(lengths).all() and lengths.all()) or _repeats(chosen):
        return 1.0
    chosen /= lengths[:, None]
    return float(np.abs(chosen @ chosen.T - np.eye(len(chosen))).max())


def _repeats(lines: Floats) -> bool:
    """Tell whether more than a few magnitudes of the first two lines occur twice."""
    few = np.abs(lines[:2, :_FEW])
    near = np.unique(np.round(few / (few.max() or 1.0), 6))
    return near.size < 0.9 * few.size
