"""Two constants at one place of two models: rounding, a small change spread out, or another constant."""

from dataclasses import dataclass

import numpy as np

from onnxtop.comparison.alignment import align
from onnxtop.comparison.sums import ROUNDING, PairSums
from onnxtop.reader.terms.constant import Constant
from onnxtop.results.words import changed_by, in_percent

_SINGLE = 1e-3
"""Relative change of a single number that is still rounding (to float16)."""
_ALIGNED = 2**22
"""Elements up to which another order is looked for."""


@dataclass(frozen=True)
class ConstantChange:
    """How two constants differ: ``relative`` to the old one's norm; infinite where they cannot be compared.

    The norm is that of elements that are about as large as those that changed.

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
        self._known: dict[tuple[object, ...], ConstantChange] = {}

    def of(self, old: Constant, new: Constant) -> ConstantChange:
        """Return how two differ."""
        asked = old.key, old.made, new.key, new.made
        if asked not in self._known:
            self._known[asked] = compare_constants(old, new)
        return self._known[asked]


def compare_constants(old: Constant, new: Constant) -> ConstantChange:
    """Compare two constants element by element."""
    if old.shape != new.shape and not old.size == new.size == 1:
        return ConstantChange(np.inf, f"shape {_listed(old.shape)}, now {_listed(new.shape)}")
    if not (old.is_float and new.is_float):
        kinds = f" {old.dtype}" if old.dtype == new.dtype else ""
        told = f"{_shown(old)}, now {_shown(new)}" if old.size <= 8 else "other elements"
        types = "" if old.dtype == new.dtype else f"{old.dtype}, now {new.dtype}; "
        return ConstantChange(np.inf, f"{types}{told}{kinds}")
    return _compared(old, new)


def _listed(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _shown(constant: Constant) -> str:
    return str(constant.read().ravel().tolist())


def _compared(old: Constant, new: Constant) -> ConstantChange:
    before, after = old.read(), new.read()
    steps = [each.steps().reshape(before.shape) for each in (old, new) if each.steps is not None]
    sums = PairSums(before, after.reshape(before.shape), steps)
    relative = sums.relative
    if not sums.is_finite:
        return ConstantChange(np.inf, "numbers that are not finite")
    if old.made != new.made and relative > ROUNDING:
        return ConstantChange(relative, f"{_listed(old.shape)} computed from others, or in another way")
    if old.size == 1:
        told = f"{_number(old)}, now {_number(new)}"
        return ConstantChange(relative, told, relative <= _SINGLE or sums.is_number_narrowed)
    order = _order(old, new) if relative > ROUNDING and old.size <= _ALIGNED else ""
    spread = not order and sums.is_spread
    return ConstantChange(relative, f"{_listed(old.shape)} {_told(sums, order, spread)}", spread, order)


def _told(sums: PairSums, order: str, spread: bool) -> str:
    if order:
        return f"the same in another order ({order})"
    relative = sums.relative
    larger = f", beside larger elements (of all, {in_percent(sums.whole)})"
    beside = larger if relative > 2 * sums.whole else ""
    few = "" if spread or relative > 0.1 else ", most of it in few elements"
    return f"changed by {changed_by(relative)}{beside}{few}"


def _number(constant: Constant) -> str:
    return f"{constant.number:.6g}"


def _order(old: Constant, new: Constant) -> str:
    """Return how a constant was rearranged, empty if it was not."""
    before, after = old.read(), new.read()
    order = ""
    if before.ndim > 1:
        order = align([before.reshape(len(before), -1)], [after.reshape(len(after), -1)]).order
    moved = np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    return order or ("permuted" if moved else "")
