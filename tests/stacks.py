"""Small matrices of one shape, as many layers of a model have them: of kinds that a look may stumble on."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tests.topology.hard_matrices import HARD, random_matrix

Matrix = NDArray[np.floating]

SHAPES = [(2, 2), (4, 4), (3, 7), (16, 16), (40, 9), (33, 65), (64, 64), (2, 900)]
"""Shapes, of which some do not divide by any width of a tile."""


def stacks() -> Iterator[tuple[str, list[Matrix]]]:
    """Yield alike matrices with a name: each kind in several shapes, types and orders of memory."""
    kinds = [*HARD, "tiny", "huge", "equal", "one size", "not finite", "masked", "repeated"]
    for number, kind in enumerate(kinds):
        for step in range(3):
            shape = SHAPES[(number + 3 * step) % len(SHAPES)]
            dtype = (np.float32, np.float64, np.float16)[(number + step) % 3]
            matrices = [_matrix(kind, shape, seed) for seed in range((1, 2, 5)[step])]
            with np.errstate(over="ignore", under="ignore"):
                typed = [matrix.astype(dtype) for matrix in matrices]
            order = "FC"[(number + step) % 2]
            yield f"{kind} {shape} {dtype.__name__} {order}", [np.array(each, order=order) for each in typed]


def _matrix(kind: str, shape: tuple[int, int], seed: int) -> Matrix:
    if kind in HARD:
        return random_matrix(kind, *shape, seed=seed)
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal(shape)
    if kind in ("tiny", "huge"):
        matrix *= 1e-20 if kind == "tiny" else 1e20
    elif kind == "equal":
        matrix[:] = seed - 1.0
    elif kind == "one size":
        matrix = np.sign(matrix) * (1 + 0.01 * rng.random(shape))
    elif kind == "not finite":
        matrix[0, -1] = (1.0, np.nan, np.inf, -np.inf, 2.0)[seed]
    elif kind == "masked":
        matrix[rng.random(shape) < 0.9] = 0
    else:
        matrix[1:] = matrix[:-1]
    return matrix
