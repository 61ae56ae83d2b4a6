"""Random projections: a layer in short, and its units in so few numbers that equal ones find each other.

The directions depend on the length of a side alone, not on which side it is, so the sketch of a transposed
layer is the transposed sketch.
"""

import base64
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 8
"""Sides of the sketch of a layer."""

NARROW, WIDE = 8, 32
"""Directions on which columns and rows (in memory order) are projected."""

_SEED = 20190506


@lru_cache(maxsize=8)
def directions(length: int) -> Floats:
    """Return ``WIDE`` gaussian directions, shape (length, WIDE)."""
    return np.random.default_rng((_SEED, length)).standard_normal((length, WIDE), np.float32)


def pack(sketch: NDArray[np.floating]) -> str | None:
    """Write a sketch as text, one byte a number beside a common factor that is dropped; None if all is 0."""
    largest = float(np.abs(sketch).max())
    if not 0 < largest < np.inf:
        return None
    codes = np.rint(sketch / largest * 127).astype(np.int8)
    return base64.b64encode(codes.tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float64]:
    """Read a sketch, shape (SIDE, SIDE).

    Raises
    ------
    ValueError
        The text is no sketch.
    """
    codes = np.frombuffer(base64.b64decode(text, validate=True), np.int8)
    return codes.reshape(SIDE, SIDE).astype(np.float64)


def cosine(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    """Estimate the cosine of two layers from their sketches, to about 0.1.

    >>> import numpy as np
    >>> cosine(np.eye(8), -np.eye(8))
    -1.0
    """
    lengths = float(np.linalg.norm(left) * np.linalg.norm(right))
    return round(float(np.sum(left * right)) / lengths, 12) if lengths else 0.0
