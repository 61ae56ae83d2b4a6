"""How a change of a constant is spread, added up in one pass: over sizes, and over the slices of each axis.

Elements and their changes are counted by size, in bins of a quarter of an octave, whatever their number:
what is asked of the largest twentieth of them is asked of the bins. Nothing is sorted, and a constant of any
size takes the memory of a few of its lines.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from onnxtop.network import CHUNK
from onnxtop.reader.terms.constant import Array

ROUNDING = 1e-5
"""Relative change below which two constants are one, rounded on different ways."""

_FEW = 0.05
_MOST = 0.9
"""A change of which so much sits in so few of the elements is an edit, whatever its size."""
_NEAR = 0.01
"""Elements that all stay within this share of themselves are rounded, not edited."""
_CODES = 256
"""Codes that keep so few sizes apart have a step that may be most of the smaller elements."""
_HALF = 0.51
"""So many steps at most is a number off that is rounded to the nearest."""
_LEVELS, _FINE = 6, 127
"""So many steps at least is the largest of the elements that a step is made for, as with codes of 4 bits; of
others it is no more than a constant of one scale would have in 8 bits."""
_TOLD = 8
"""Of fewer elements or slices, a change is an edit only where it is one of them alone."""

_BITS = 50
"""Bits of a double that are left out of its bin: its exponent and two binary digits remain."""
_OCTAVE = 1 << 2
_BINS = 1 << 63 - _BITS
_LARGER = 3 * _OCTAVE
"""Elements that are more than eight times as large as all that changed say nothing of these. If it were less,
to prune the smallest would count as much as to change all."""
_GAP = 10 * _OCTAVE
"""Changes that are a thousand times as large as all others are another change."""

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]
DType = np.dtype[Any]


class PairSums:
    """What two constants of one shape add up to.

    ``whole`` is the norm of the difference against that of the old constant. ``relative`` is the largest such
    share that a change has of what it is about: a change is held against elements as large as those that it
    is in, and those beyond, such as the -1e9 of a mask, count for it no more than those of another constant
    would. Changes of other orders of magnitude are other changes. What is rounded to a narrower type or to a
    few codes is held against the whole constant, which is what it was rounded by. ``steps`` are, for either
    that is of codes, how far apart these are at each element.
    """

    def __init__(self, old: Array, new: Array, steps: Sequence[Array] = ()) -> None:
        old, new = np.atleast_1d(old, new)
        self._steps = [_Steps(np.atleast_1d(each)) for each in steps]
        self._count = old.size
        self._size = self._moved = self._apart = self._largest = 0.0
        self._change, self._kept, self._smallest = 0.0, 0.0, np.inf
        self._types: list[DType] = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
        self._counts, self._tops = np.zeros(_BINS, np.int64), np.zeros(_BINS, np.int64)
        self._energies, self._sizes = np.zeros(_BINS), np.zeros(_BINS)
        self._slices = [np.zeros(size if 1 < size < old.size else 0) for size in old.shape]
        narrow = _narrower(old.dtype, new.dtype)
        with np.errstate(all="ignore"):
            for box in _boxes(old.shape, CHUNK) if old.size else ():
                self._add(box, old[box], new[box], narrow)
        self.is_finite = bool(np.isfinite(self._size) and np.isfinite(self._moved))
        self.whole = _share(self._moved, self._size)
        self._ends = self._changes() if self.is_finite else []
        self.relative = max([self.whole, *([] if self._is_rounded else map(self._relative, self._ends))])

    @property
    def is_narrowed(self) -> bool:
        """Tell whether one of the two is the other, rounded to a narrower type of floats or to its codes."""
        return bool(self._types) or self._is_in_codes

    @property
    def _is_in_codes(self) -> bool:
        return any(each.are_fine(self._largest) for each in self._steps)

    @property
    def is_number_narrowed(self) -> bool:
        """Tell the same of a single number, which float16 holds in few digits where it is very small.

        Of bfloat16 nothing is told: that it holds 1 is no reason to take any number near it for 1.
        """
        return self._is_in_codes or np.dtype(np.float16) in self._types

    @property
    def is_spread(self) -> bool:
        """Tell whether no change sits in few of the elements, nor in few of the slices along an axis."""
        if self.is_narrowed or self._apart <= self._noise:
            return True
        slices = (sums for sums in self._slices if sums.size)
        return not self._is_in_elements() and not any(map(_is_in_few, slices))

    def _add(self, box: tuple[slice, ...], old: Array, new: Array, narrow: DType | None) -> None:
        before, after = old.astype(np.float64), new.astype(np.float64)
        self._types = [each for each in self._types if _is_twin(before, after, each)]
        difference = after - before
        self._steps = [each for each in self._steps if each.round(box, before, difference)]
        self._size += float(np.vdot(before, before))
        self._moved += float(np.vdot(difference, difference))
        if narrow is not None:  # what the narrower type does to all numbers is no edit of any
            difference[old.astype(narrow) == new.astype(narrow)] = 0
        self._add_sizes(np.abs(difference, out=difference), np.abs(before), np.abs(after))
        self._add_slices(box, np.square(difference))

    def _add_sizes(self, change: Floats, size: Floats, result: Floats) -> None:
        kept = result > 0
        self._apart = max(self._apart, float(np.max(change, where=change > _NEAR * size, initial=0.0)))
        self._change = max(self._change, float(np.max(change)))
        self._kept = max(self._kept, float(np.max(change, where=kept, initial=0.0)))
        self._largest = max(self._largest, float(np.max(size)))
        self._smallest = min(self._smallest, float(np.min(result, where=kept, initial=np.inf)))
        changes, sizes = _bins(change), _bins(size)
        _count(self._counts, changes)
        _count(self._energies, changes, np.square(change))
        _count(self._sizes, sizes, np.square(size))
        np.maximum.at(self._tops, changes, np.maximum(sizes, _bins(result)) * kept.reshape(-1))

    def _add_slices(self, box: tuple[slice, ...], energy: Floats) -> None:
        """Add to the slices of each axis what lies in this box, the last axis first, which is then summed."""
        rest, shape = energy, energy.shape
        for axis in reversed(range(len(shape))):
            lines = rest.reshape(-1, shape[axis])
            if self._slices[axis].size:
                self._slices[axis][box[axis]] += np.ones(len(lines)) @ lines
            rest = lines @ np.ones(shape[axis])

    @property
    def _noise(self) -> float:
        """How far any element may move by rounding: what is computed from numbers near 1 is off by no more.

        A constant of small numbers has a scale of its own; larger ones are not taken as scale, for they may
        be there only to mask others.
        """
        return ROUNDING * min(math.sqrt(self._size / max(self._count, 1)), 1.0)

    @property
    def _is_rounded(self) -> bool:
        """Tell whether the new constant is the old one in a narrower type, or in a few codes on one scale.

        Such codes are at least a step in size, or 0, and no element is off by more than half a step; that
        they are no edit is seen by those that are not 0.
        """
        coded = self._largest <= _CODES * self._smallest and self._change <= _HALF * self._smallest
        return self.is_narrowed or (coded and self._change <= 4 * self._kept)

    def _changes(self) -> list[int]:
        """Return the last bin of each change that is more than rounding.

        Of changes of several orders of magnitude, those that only leave 0 are what a coarse step does.
        """
        used = np.flatnonzero(self._counts[1:]) + 1
        parts = np.split(used, np.flatnonzero(np.diff(used) > _GAP) + 1) if used.size else []
        least = int(_bins(np.array([self._noise]))[0])
        return [
            int(part[-1])
            for part in parts
            if part[-1] > least and (part is parts[-1] or self._tops[part].any())
        ]

    def _relative(self, end: int) -> float:
        """Return the share that the changes up to a bin have of the elements that are about as large."""
        largest = max(int(self._tops[1 : end + 1].max()), end) + _LARGER
        size = float(self._sizes[: largest + 1].sum())
        moved = float(self._energies[1 : end + 1].sum())
        return _share(moved, size) if size or not self._size else 1.0

    def _is_in_elements(self) -> bool:
        """Tell whether few of the elements hold most of the change."""
        counts, energies = self._counts[:0:-1], self._energies[:0:-1]
        if self._count < _TOLD:
            return int(counts.sum()) == 1
        taken = np.diff(np.minimum(np.cumsum(counts), _few(self._count)), prepend=0)
        largest = energies @ (taken / np.maximum(counts, 1))
        return bool(largest > _MOST * energies.sum())


def _share(moved: float, size: float) -> float:
    if not size:
        return 0.0 if moved == 0 else np.inf
    return float(np.sqrt(moved / size))


def _few(count: int) -> int:
    return max(1, count // round(1 / _FEW))


def _is_in_few(sums: Floats) -> bool:
    """Tell whether few slices hold most of a change."""
    if sums.size < _TOLD:
        return int(np.count_nonzero(sums)) == 1
    count = _few(sums.size)
    largest = np.partition(sums, sums.size - count)[sums.size - count :]
    return bool(largest.sum() > _MOST * sums.sum())


def _bins(sizes: Floats) -> Bins:
    """Return the bins of numbers that have no sign; 0 is that of zero."""
    return np.right_shift(sizes.reshape(-1).view(np.int64), _BITS)


def _count(totals: NDArray[Any], bins: Bins, weights: Floats | None = None) -> None:
    found = np.bincount(bins, None if weights is None else weights.reshape(-1))
    totals[: found.size] += found


def _is_twin(old: Floats, new: Floats, dtype: DType) -> bool:
    """Tell whether one is the other, rounded to a type."""
    return bool((old.astype(dtype) == new).all() or (new.astype(dtype) == old).all())


class _Steps:
    """How far apart the codes are that elements are rounded to, and the largest element that is, by step."""

    def __init__(self, steps: Array) -> None:
        self._steps = steps
        self._coarsest, self._tops = np.zeros(_BINS), np.zeros(_BINS)

    def round(self, box: tuple[slice, ...], numbers: Floats, difference: Floats) -> bool:
        """Tell whether no element of a box is off by more than half of its step."""
        steps = np.abs(self._steps[box], dtype=np.float64)
        moved = difference != 0
        bins = _bins(steps)
        np.maximum.at(self._tops, bins, np.abs(numbers).reshape(-1))
        np.maximum.at(self._coarsest, bins[moved.reshape(-1)], steps[moved])
        return bool((np.abs(difference) <= _HALF * steps).all())

    def are_fine(self, largest: float) -> bool:
        """Tell whether each step is that of several codes at least, or a small one for the whole constant.

        One that is as large as what it rounds leaves nothing of it: that is no rounding, but another scale.
        """
        fine = (_LEVELS * self._coarsest <= self._tops) | (_FINE * self._coarsest <= largest)
        return bool(fine.all())


def _narrower(old: DType, new: DType) -> DType | None:
    return None if old == new else min(old, new, key=lambda dtype: dtype.itemsize)


def _boxes(shape: Sequence[int], cells: int) -> Iterator[tuple[slice, ...]]:
    """Cut an array into boxes of at most so many elements, in the order of its axes."""
    axis, size = len(shape), 1
    while axis and size * shape[axis - 1] <= cells:
        axis -= 1
        size *= shape[axis]
    whole = (slice(None),) * (len(shape) - axis)
    if not axis:
        yield whole
        return
    height = max(1, cells // size)
    for leading in np.ndindex(*shape[: axis - 1]):
        for start in range(0, shape[axis - 1], height):
            yield (*(slice(i, i + 1) for i in leading), slice(start, start + height), *whole)
