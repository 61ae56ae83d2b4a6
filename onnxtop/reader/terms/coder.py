"""A quantiser that level 2 leaves out: of which term it makes codes, and what these hold."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from onnxtop.reader.terms.constant import Array
from onnxtop.reader.terms.table import Table


@dataclass(frozen=True)
class Coder:
    """A quantiser into codes of a type, by terms that are constant; no zero point is 0.

    ``source`` is the term whose elements it makes codes of, in whatever order or shape.
    """

    source: int
    scale: int
    zero: int | None
    kind: np.dtype[Any]

    @property
    def has_ends(self) -> bool:
        """Whether its codes are integers; of floats nothing is known here, level 2 has one type of them."""
        return "int" in self.kind.name

    def start(self, table: Table) -> Array:
        """Return the code of 0: one number if it is the same everywhere."""
        held = table.held(self.zero)
        return np.zeros(()) if held is None else _plain(held.read())

    def steps(self, table: Table) -> Array:
        """Return how far apart two values are whose codes follow each other: one number if it is."""
        held = table.held(self.scale)
        assert held is not None
        return _plain(held.read())

    def codes(self) -> tuple[float, float]:
        """Return the least and the largest code."""
        if not self.has_ends:
            return -np.inf, np.inf
        told: Any = ml_dtypes
        limits = told.iinfo(self.kind)
        return float(limits.min), float(limits.max)

    def ends(self, table: Table) -> tuple[Array, Array]:
        """Return the least and the largest value that codes hold."""
        least, largest = self.codes()
        start, steps = self.start(table), self.steps(table)
        return (least - start) * steps, (largest - start) * steps

    def is_sound(self, table: Table) -> bool:
        """Tell whether its steps are numbers above 0, and as many as its zero points."""
        steps, held = self.steps(table), [table.held(item) for item in (self.scale, self.zero)]
        fits = held[0] is not None and (held[1] is None or held[0].size == held[1].size)
        return fits and bool((np.isfinite(steps) & (steps > 0)).all())

    def is_blind(self, table: Table, span: tuple[float, float]) -> bool:
        """Tell whether it makes one code of all values between two."""
        if not self.has_ends:
            return False
        steps, start = self.steps(table), self.start(table)
        made = [np.clip(np.rint(end / steps) + start, *self.codes()) for end in span]
        return bool((made[0] == made[1]).all())


def _plain(array: Array) -> Array:
    """Return numbers, one if all are it."""
    numbers: Array = np.asarray(array, np.float64)
    one = numbers.size and (numbers == numbers.ravel()[0]).all()
    return numbers.reshape(-1)[0].reshape(()) if one else numbers
