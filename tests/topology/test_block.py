import numpy as np
import pytest
from brute_force import is_forest, prim_strengths
from hard_matrices import HARD, random_matrix

from onnxtop.topology import block, strongest
from onnxtop.topology.block import NonFinite, block_forest
from onnxtop.topology.graph import Forest

SHAPES = [(130, 170), (700, 150), (40, 1500), (2000, 9)]


def assert_spanning(matrix):
    """The forest has the strengths of Prim's tree, spans, and points at the weights that made it."""
    rows, cols, strengths = block_forest(matrix)
    assert np.sort(strengths)[::-1].tolist() == prim_strengths(matrix).tolist()
    assert np.abs(matrix[rows, cols]).astype(np.float64).tolist() == strengths.tolist()
    n_rows, n_cols = matrix.shape
    edges = np.column_stack([rows, n_rows + cols])
    assert is_forest(Forest(n_rows + n_cols, edges, strengths, np.column_stack([rows, rows, cols])))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", HARD)
def test_hard_matrices(name, shape):
    assert_spanning(random_matrix(name, *shape))


@pytest.mark.parametrize("name", HARD)
def test_hard_matrices_transposed_and_in_float16(name):
    matrix = np.clip(random_matrix(name, 90, 140, seed=1), -6e4, 6e4)
    assert_spanning(matrix.T)
    assert_spanning(matrix.astype(np.float16))


@pytest.mark.parametrize("seed", range(90))
def test_small_matrices_with_ties_and_zeros(seed, monkeypatch):
    monkeypatch.setattr(strongest, "SMALL", 0)
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 40, 2)
    matrix = rng.standard_normal(shape)
    if seed % 3:
        matrix = np.round(matrix * (seed % 3)) / 2
    if seed % 2:
        matrix[rng.random(shape) < 0.7] = 0
    assert_spanning(np.asfortranarray(matrix) if seed % 5 == 0 else matrix)


@pytest.mark.parametrize("name", ["gaussian", "int4_uniform", "dense_cluster", "scaled_rows", "zeros_99"])
@pytest.mark.parametrize("level", [0.0, 0.1, 3e38])
@pytest.mark.parametrize("chunk", [3000, strongest.CHUNK])
def test_a_misleading_sample_costs_time_only(name, level, chunk, monkeypatch):
    monkeypatch.setattr(strongest, "CHUNK", chunk)
    monkeypatch.setattr(strongest, "sample", lambda *_: np.full(99, level, np.float32))
    assert_spanning(random_matrix(name, 200, 300))


@pytest.mark.parametrize("chunk", [64, 1000])
@pytest.mark.parametrize(
    "name", ["gaussian", "int4_uniform", "block_hierarchy", "sorted_entries", "scaled_both"]
)
def test_any_chunk_and_strip(name, chunk, monkeypatch):
    monkeypatch.setattr(strongest, "CHUNK", chunk)
    monkeypatch.setattr(block, "STRIP", chunk)
    assert_spanning(random_matrix(name, 80, 110))
    assert_spanning(random_matrix(name, 300, 12))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_extreme_magnitudes(dtype):
    info = np.finfo(dtype)
    matrix = np.zeros((30, 40), dtype)
    matrix.ravel()[:4] = [info.max, info.smallest_subnormal, -info.smallest_subnormal, -0.0]
    assert_spanning(matrix)
    rng = np.random.default_rng(0)
    matrix = (rng.random((50, 60)) * info.smallest_subnormal * 1000).astype(dtype)
    assert_spanning(matrix)


def test_a_copy_is_made_only_where_needed():
    base = random_matrix("gaussian", 200, 120)
    base.flags.writeable = False
    assert_spanning(base)
    assert_spanning(base[::2, ::-3])
    assert_spanning(base.astype(">f4"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("position", [(0, 0), (1200, 700), (1999, 999)])
def test_one_weight_that_is_not_finite_among_millions(bad, dtype, position):
    matrix = np.ones((2000, 1000), dtype)
    matrix[position] = bad
    assert block_forest(matrix) == NonFinite(1, position)
    assert block_forest(np.asfortranarray(matrix)) == NonFinite(1, position)


def test_weights_that_are_not_finite_are_counted():
    matrix = random_matrix("gaussian", 300, 200)
    matrix[7, 11:] = np.nan
    matrix[200, 3] = np.inf
    assert block_forest(matrix) == NonFinite(190, (7, 11))
    assert block_forest(np.full((300, 200), np.nan)) == NonFinite(60_000, (0, 0))


def test_the_same_matrix_gives_the_same_edges():
    matrix = random_matrix("int4_uniform", 300, 200)
    first, second = block_forest(matrix), block_forest(matrix.copy())
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
