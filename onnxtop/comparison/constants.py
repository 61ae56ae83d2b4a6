"""Two constants at one place of two models: rounding, a small change spread out, or another constant."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.comparison.alignment import CHUNK, align
from onnxtop.reader.terms.constant import Array, Constant

ROUNDING = 1e-5
"""Relative change below which two constants are one, rounded on different ways."""

_FEW = 0.05
_MOST = 0.9
"""A change of which so much sits in so few of the elements is an edit, whatever its size."""
_NEAR = 0.01
"""Elements that all stay within this share of themselves are rounded, not edited."""
_SINGLE = 1e-3
"""Relative change of a single number that is still rounding (to float16)."""
_TOLD = 8
"""Of fewer elements or slices, a change is an edit only where it is one of them alone."""
_BLOCK = 64
_SORTED = 2**22
_ALIGNED = 2**22

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """How two constants differ: ``relative`` to the old one's norm; infinite where they cannot be compared.

    ``order`` says how the old one is rearranged in the new.
    """

    relative: float
    what: str
    is_spread: bool = False
    order: str = ""

    def is_within(self, tolerance: float) -> bool:
        """Tell whether it is no more than a tolerance allows."""
        return self.relative <= ROUNDING or (self.is_spread and self.relative <= tolerance)


class Changes:
    """How constants of one model differ from those of another, each two compared once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Change] = {}

    def of(self, old: Constant, new: Constant) -> Change:
        """Return how two differ."""
        asked = old.key, old.made, new.key, new.made
        if asked not in self._known:
            self._known[asked] = compare_constants(old, new)
        return self._known[asked]


def compare_constants(old: Constant, new: Constant) -> Change:
    """Compare two constants element by element."""
    if old.shape != new.shape and not old.size == new.size == 1:
        return Change(np.inf, f"shape {_listed(old.shape)}, now {_listed(new.shape)}")
    if not (old.is_float and new.is_float):
        kinds = f" {old.dtype}" if old.dtype == new.dtype else ""
        told = f"{_shown(old)}, now {_shown(new)}" if old.size <= 8 else "other elements"
        types = "" if old.dtype == new.dtype else f"{old.dtype}, now {new.dtype}; "
        return Change(np.inf, f"{types}{told}{kinds}")
    return _compared(old, new)


def _listed(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _shown(constant: Constant) -> str:
    return str(constant.read().ravel().tolist())


def _compared(old: Constant, new: Constant) -> Change:
    size = moved = 0.0
    near = True
    blocks = []
    for before, after in _pieces(old.read(), new.read()):
        with np.errstate(all="ignore"):
            difference = after - before
            size += float(before @ before)
            moved += float(difference @ difference)
            near = near and bool((np.abs(difference) <= _NEAR * np.abs(before) + 1e-7).all())
            blocks.append(_energies(difference, old.size > _SORTED))
    relative = float(np.sqrt(moved / size)) if size else (0.0 if moved == 0 else np.inf)
    if not np.isfinite(size) or not np.isfinite(moved):
        return Change(np.inf, "numbers that are not finite")
    if old.made != new.made and relative > ROUNDING:
        return Change(relative, f"{_listed(old.shape)} computed from others, or in another way")
    if old.size == 1:
        told = f"{_number(old)}, now {_number(new)}"
        return Change(relative, told, relative <= _SINGLE)
    order = _order(old, new) if relative > ROUNDING and old.size <= _ALIGNED else ""
    spread = not order and (near or not _is_concentrated(np.concatenate(blocks)))
    spread = spread and (near or not _is_in_slices(old, new))
    share = f"{100 * relative:.3g} %" if relative < 10 else f"a factor of {relative:.3g}"
    told = f"the same in another order ({order})" if order else f"changed by {share}"
    few = "" if order or spread or relative > 0.1 else ", most of it in few elements"
    return Change(relative, f"{_listed(old.shape)} {told}{few}", spread, order)


def _number(constant: Constant) -> str:
    return f"{constant.number:.6g}"


def _pieces(old: Array, new: Array) -> Iterator[tuple[Floats, Floats]]:
    before, after = old.reshape(-1), new.reshape(-1)
    for start in range(0, before.size, CHUNK):
        piece = slice(start, start + CHUNK)
        yield before[piece].astype(np.float64), after[piece].astype(np.float64)


def _energies(difference: Floats, blocked: bool) -> Floats:
    """Return squared differences, summed over blocks of a large constant."""
    squares = np.square(difference)
    return np.add.reduceat(squares, np.arange(0, squares.size, _BLOCK)) if blocked else squares


def _is_concentrated(squares: NDArray[Any]) -> bool:
    if squares.size < _TOLD:
        return int(np.count_nonzero(squares)) == 1
    count = max(1, squares.size // round(1 / _FEW))
    largest = np.partition(squares, squares.size - count)[squares.size - count :] if squares.size else squares
    return bool(largest.sum() > _MOST * squares.sum())


def _is_in_slices(old: Constant, new: Constant) -> bool:
    """Tell whether a change sits in few of the slices along some axis."""
    if old.size > _SORTED:
        return False
    squares = np.square(new.read().astype(np.float64) - old.read().astype(np.float64))
    sums = (
        squares.sum(axis=tuple(other for other in range(squares.ndim) if other != axis))
        for axis in range(squares.ndim)
    )
    return any(each.size > 1 and _is_concentrated(each) for each in sums)


def _order(old: Constant, new: Constant) -> str:
    """Return how a constant was rearranged, empty if it was not."""
    before, after = old.read(), new.read()
    order = ""
    if before.ndim > 1:
        order = align([before.reshape(len(before), -1)], [after.reshape(len(after), -1)]).order
    moved = np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    return order or ("permuted" if moved else "")
