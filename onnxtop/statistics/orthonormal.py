"""Rows or columns of a matrix that are orthogonal to each other, as an initialiser may draw them.

A. Saxe et al., *Exact solutions to the nonlinear dynamics of learning in deep linear neural networks*, ICLR
2014.
"""

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Matrix, Stack
from onnxtop.statistics.numbers import spread_evenly, unit_of

Floats = NDArray[np.float64]

ORTHONORMAL = 1e-5
"""Largest difference of inner products from those of orthonormal lines, relative to their lengths: what
float32 leaves. One step of training leaves more."""
LINES = 64
"""Rows or columns whose inner products are looked at."""
_FIRST = 4
"""So many lines mostly tell that they are not orthogonal."""
_FEW = 64
"""Entries of a line that are compared."""


def from_orthonormal(matrix: Matrix) -> float:
    """Return how far lines of the shorter side are from orthogonal; 1 if there are few, or none was drawn.

    >>> from_orthonormal(np.ones((4, 4))), from_orthonormal(np.ones((2, 2)))
    (1.0, 1.0)
    """
    lines = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    if len(lines) < _FIRST:
        return 1.0
    skew = _skew(lines, _FIRST)
    return skew if skew > ORTHONORMAL else _skew(lines, LINES)


def may_be_orthonormal(stack: Stack) -> NDArray[np.bool_]:
    """Tell of which matrices the lines may be orthogonal, as far as the first ones say.

    >>> may_be_orthonormal(Stack.of([np.eye(4), np.ones((4, 4)), np.arange(16.0).reshape(4, 4)])).tolist()
    [True, False, False]
    """
    shorter = stack.lines if stack.lines.shape[1] <= stack.lines.shape[2] else stack.lines.transpose(0, 2, 1)
    if shorter.shape[1] < _FIRST:
        return np.zeros(len(shorter), np.bool_)
    chosen = shorter[:, spread_evenly(shorter.shape[1], _FIRST)].astype(np.float64)
    with np.errstate(all="ignore"):
        chosen /= np.abs(chosen).max(axis=(1, 2), keepdims=True)
        chosen /= np.sqrt(np.square(chosen).sum(axis=2, keepdims=True))
        skews = np.abs(chosen @ chosen.transpose(0, 2, 1) - np.eye(_FIRST)).max(axis=(1, 2))
    apart: NDArray[np.bool_] = skews > 2 * ORTHONORMAL
    return ~apart  # what is near the limit, or no number, is looked at again


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
