"""Random projections: a layer in short, and its units in so few numbers that equal ones find each other.

Every line of a side has one random factor and one of ``SIDE`` buckets, which takes turns; the lines of a
bucket, each times its factor, are added up. That is a count sketch, with normal factors in place of signs so
that lines of few values do not meet by chance (M. Charikar, K. Chen, M. Farach-Colton, *Finding frequent
items in data streams*, ICALP 2002): it reads a weight once where dense directions read it ``SIDE`` times.
Factors depend on the length of a side alone, not on which side it is, so the sketch of a transposed layer is
the transposed sketch.
"""

import base64
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 8
"""Sides of the sketch of a layer."""

_SEED = 20190506


@lru_cache(maxsize=64)
def factors(length: int) -> Floats:
    """Return the factors of the lines of a side, shape (length,)."""
    return np.random.default_rng((_SEED, length)).standard_normal(length, np.float32)


def spread(some: Floats, first: int) -> Floats:
    """Return factors, the first of which is that of line ``first``, in their buckets, shape (n, SIDE).

    >>> spread(np.array([2.0, 3.0], np.float32), 7)[:, [0, 7]].tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    places = np.arange(some.size)
    dense = np.zeros((some.size, SIDE), np.float32)
    dense[places, (places + first) % SIDE] = some
    return dense


def together(buckets: Floats, lines: Floats, some: Floats, first: int) -> None:
    """Add lines, shape (n, length), each times its factor, to their buckets, shape (SIDE, length).

    It is ``buckets += spread(some, first).T @ lines`` in as many multiplications as there are entries; both
    may be stacks, with a first axis more.

    >>> buckets = np.zeros((SIDE, 2), np.float32)
    >>> together(buckets, np.ones((17, 2), np.float32), np.arange(17, dtype=np.float32), 1)
    >>> buckets[:, 0].tolist()
    [22.0, 24.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    """
    n_lines, length = lines.shape[-2:]
    turns = n_lines // SIDE
    order = (first + np.arange(SIDE)) % SIDE
    if turns > 1:
        taken = lines[..., : turns * SIDE, :].reshape(*lines.shape[:-2], turns, SIDE, length)
        of_bucket = np.ascontiguousarray(some[: turns * SIDE].reshape(turns, SIDE).T)[:, np.newaxis]
        buckets[..., order, :] += np.matmul(of_bucket, taken.swapaxes(-3, -2))[..., 0, :]
    for line in range(turns * SIDE if turns > 1 else 0, n_lines):
        buckets[..., (first + line) % SIDE, :] += some[line] * lines[..., line, :]


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


def close(lefts: NDArray[np.float64], rights: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Tell of some sketches and some others, shapes (k, SIDE, SIDE), whose cosine is above a bound.

    All are one matrix product; those near the bound are looked at one by one.

    >>> close(np.eye(8)[None], np.stack([np.eye(8), -np.eye(8), np.zeros((8, 8))]), 0.9).tolist()
    [[True, False, False]]
    """
    cosines = _directions(lefts) @ _directions(rights).T
    near: NDArray[np.bool_] = cosines > least
    for one, two in np.argwhere(abs(cosines - least) < 1e-5).tolist():
        near[one, two] = cosine(lefts[one], rights[two]) > least
    return near


def _directions(sketches: NDArray[np.float64]) -> Floats:
    flat = sketches.reshape(-1, SIDE * SIDE)
    lengths = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1.0)
    directions: Floats = (flat / lengths).astype(np.float32)
    return directions
