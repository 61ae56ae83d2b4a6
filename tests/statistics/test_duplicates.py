"""Repeated units against brute force."""

import numpy as np
import pytest

from onnxtop.statistics.duplicates import NEAR
from onnxtop.statistics.layer import layer_statistics


def repeats(matrix):
    """Return the columns that equal an earlier one, of those with 8 weights or more."""
    seen, found = set(), []
    for index, column in enumerate(matrix.T):
        if np.count_nonzero(column) >= 8:
            if column.tobytes() in seen:
                found.append(index)
            seen.add(column.tobytes())
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_equal_units(seed, dtype):
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(8, 24)), int(rng.integers(2, 90))
    matrix = rng.integers(-1, 3, (rows, columns)).astype(dtype)
    for _ in range(int(rng.integers(0, columns))):
        matrix[:, rng.integers(columns)] = matrix[:, rng.integers(columns)]
    wanted = repeats(np.ascontiguousarray(matrix))
    for each in (matrix, np.asfortranarray(matrix)):
        assert list(layer_statistics([each]).duplicate_outputs.indices) == wanted
    assert list(layer_statistics([matrix.T]).duplicate_inputs.indices) == wanted


@pytest.mark.parametrize(("times", "near"), [(0.9, True), (1.1, False)])
def test_where_nearly_equal_ends(times, near):
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(200, 40)).astype(np.float32)
    step = rng.normal(size=200)
    step *= times * NEAR * np.linalg.norm(matrix[:, 4]) / np.linalg.norm(step)
    matrix[:, 30] = matrix[:, 4] + step
    assert bool(layer_statistics([matrix]).near_duplicate_outputs.count) == near


def test_a_chain_of_units_each_near_the_next():
    rng = np.random.default_rng(4)
    start, step = rng.normal(size=100), rng.normal(size=100)
    matrix = (start[:, None] + 5e-4 * step[:, None] * np.arange(10)).astype(np.float32)
    found = layer_statistics([matrix])
    assert found.duplicate_outputs.count == 0
    assert 1 <= found.near_duplicate_outputs.count <= 9
