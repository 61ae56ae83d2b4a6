"""Seeded matrices that defeat a threshold taken from a sample: ties, zeros, scales, blocks; and kernels."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from onnxtop.network import Kernel

Matrix = NDArray[np.float32]
Maker = Callable[[Generator, int, int], Matrix]

HARD: dict[str, Maker] = {}


def hard(make: Maker) -> Maker:
    HARD[make.__name__] = make
    return make


def random_matrix(name: str, n_rows: int, n_cols: int, seed: int = 0) -> Matrix:
    """One of the hard matrices, float32."""
    return HARD[name](np.random.default_rng(seed), n_rows, n_cols).astype(np.float32, copy=False)


@hard
def gaussian(rng: Generator, m: int, n: int) -> Matrix:
    return rng.standard_normal((m, n), dtype=np.float32)


@hard
def uniform(rng: Generator, m: int, n: int) -> Matrix:
    return 2 * rng.random((m, n), dtype=np.float32) - 1


@hard
def heavy_tails(rng: Generator, m: int, n: int) -> Matrix:
    """Student's t with 1.2 degrees of freedom."""
    return gaussian(rng, m, n) / np.sqrt(rng.gamma(0.6, 1 / 0.6, (m, n)).astype(np.float32) + 1e-12)


@hard
def int4_of_rows(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    return np.clip(np.round(x / (np.abs(x).max(axis=1, keepdims=True) / 7)), -8, 7)


@hard
def int4_of_tensor(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    step = np.abs(x).max() / 7
    return np.round(x / step) * step


@hard
def int4_uniform(rng: Generator, m: int, n: int) -> Matrix:
    return rng.integers(-8, 8, (m, n), dtype=np.int8).astype(np.float32)


@hard
def int8_of_rows(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    step = np.abs(x).max(axis=1, keepdims=True) / 127
    return np.round(x / step) * step * np.exp(rng.normal(0, 0.5, (m, 1))).astype(np.float32)


@hard
def int8_of_columns(rng: Generator, m: int, n: int) -> Matrix:
    return int8_of_rows(rng, n, m).T.copy()


@hard
def signs(rng: Generator, m: int, n: int) -> Matrix:
    return (2 * rng.integers(0, 2, (m, n), dtype=np.int8) - 1).astype(np.float32)


@hard
def zeros_99(rng: Generator, m: int, n: int) -> Matrix:
    return gaussian(rng, m, n) * (rng.random((m, n), dtype=np.float32) > 0.99)


@hard
def zeros_9995(rng: Generator, m: int, n: int) -> Matrix:
    return gaussian(rng, m, n) * (rng.random((m, n), dtype=np.float32) > 0.9995)


@hard
def outlier(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    x[m // 2, n // 3] = 1e6
    return x


@hard
def dead_row_and_column(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    x[m // 2] = 0
    x[:, n // 3] = 0
    return x


@hard
def dead_half_of_rows(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    x[rng.permutation(m)[: m // 2]] = 0
    return x


@hard
def dead_but_a_quarter(rng: Generator, m: int, n: int) -> Matrix:
    x = gaussian(rng, m, n)
    x[m // 2 :] = 0
    x[:, n // 2 :] = 0
    return x


@hard
def scaled_rows(rng: Generator, m: int, n: int) -> Matrix:
    return gaussian(rng, m, n) * np.logspace(0, -9, m, dtype=np.float32)[:, None]


@hard
def scaled_columns(rng: Generator, m: int, n: int) -> Matrix:
    return gaussian(rng, m, n) * np.logspace(0, -9, n, dtype=np.float32)


@hard
def scaled_both(rng: Generator, m: int, n: int) -> Matrix:
    rows, cols = (rng.permutation(np.logspace(0, -9, side, dtype=np.float32)) for side in (m, n))
    return gaussian(rng, m, n) * rows[:, None] * cols


@hard
def rank_1(rng: Generator, m: int, n: int) -> Matrix:
    rows, cols = (np.sort(np.abs(rng.standard_normal(side, dtype=np.float32)))[::-1] for side in (m, n))
    return np.outer(rows, cols)


@hard
def rank_8(rng: Generator, m: int, n: int) -> Matrix:
    return gaussian(rng, m, 8) @ gaussian(rng, 8, n)


def _fill_blocks(x: Matrix, rng: Generator, scale: float) -> Matrix:
    """Put 8 gaussian blocks on the diagonal, each smaller than the one before by a factor."""
    m, n = x.shape
    for b in range(8):
        rows, cols = slice(m * b // 8, m * (b + 1) // 8), slice(n * b // 8, n * (b + 1) // 8)
        x[rows, cols] = gaussian(rng, *x[rows, cols].shape) * np.float32(scale**b)
    return x


@hard
def block_diagonal(rng: Generator, m: int, n: int) -> Matrix:
    return _fill_blocks(np.zeros((m, n), np.float32), rng, 1.0)


@hard
def block_hierarchy(rng: Generator, m: int, n: int) -> Matrix:
    return _fill_blocks(gaussian(rng, m, n) * np.float32(1e-12), rng, 0.1)


@hard
def all_equal(rng: Generator, m: int, n: int) -> Matrix:
    return np.full((m, n), 0.5, np.float32)


@hard
def all_zero(rng: Generator, m: int, n: int) -> Matrix:
    return np.zeros((m, n), np.float32)


@hard
def sorted_entries(rng: Generator, m: int, n: int) -> Matrix:
    return np.sort(gaussian(rng, m, n).ravel()).reshape(m, n)


@hard
def dense_cluster(rng: Generator, m: int, n: int) -> Matrix:
    x = np.zeros((m, n), np.float32)
    corner = x[: max(1, m // 20), : max(1, n // 20)]
    corner[:] = gaussian(rng, *corner.shape)
    return x


def random_kernel(rng: Generator, most_taps: int = 3) -> Kernel:
    """Any convolution small enough to unroll, sometimes with ties, zeros, or channels of different scale."""
    n_axes = int(rng.integers(1, 4))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.integers(low, high, n_axes).tolist())

    shape = (*rng.integers(1, 4, 3).tolist(), *per_axis(1, most_taps + 1))
    weights = rng.standard_normal(shape).astype(rng.choice(["f2", "f4", "f8"]))
    kind = rng.integers(4)
    if kind == 1:
        weights = np.round(weights)
    if kind == 2:
        weights[rng.random(shape) < 0.5] = 0
    if kind == 3:
        weights *= 10.0 ** -np.arange(shape[1]).reshape(-1, *[1] * (len(shape) - 2)).astype(weights.dtype)
    sizes = [per_axis(1, (9, 6, 5)[n_axes - 1]) for _ in "io"]
    return Kernel(weights, per_axis(1, 4), per_axis(0, 3), per_axis(1, 3), bool(rng.integers(2)), *sizes)
