import numpy as np
import pytest
from brute_force import is_forest, on_diagonal, prim_strengths
from hard_matrices import random_matrix

from onnxtop.topology import dense
from onnxtop.topology.dense import dense_forest


def assert_forest_of(blocks, matrix):
    """The forest of blocks is that of the whole matrix without the zeros between blocks."""
    forest = dense_forest(blocks, layer=3)
    n_rows, n_cols = matrix.shape
    assert forest.n_vertices == n_rows + n_cols
    assert len(forest.edges) == forest.n_vertices - len(blocks)
    tree = prim_strengths(matrix)
    assert forest.strengths.tolist() == tree[: len(forest.edges)].tolist()
    assert not tree[len(forest.edges) :].any()
    layer, rows, cols = forest.generators.T
    assert set(layer.tolist()) == {3}
    assert np.abs(matrix[rows, cols]).tolist() == forest.strengths.tolist()
    assert np.array_equal(forest.edges, np.column_stack([rows, n_rows + cols]))
    assert is_forest(forest)


@pytest.mark.parametrize("seed", range(60))
def test_blocks_of_all_sizes(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(dense, "SMALL", 200)
    monkeypatch.setattr(dense, "JOINT", int(rng.integers(1, 400)))
    shapes = [rng.integers(1, rng.choice([2, 6, 40]) + 1, 2) for _ in range(rng.integers(1, 12))]
    blocks = [rng.standard_normal(shape) for shape in shapes]
    if seed % 2:
        blocks = [np.round(block) for block in blocks]
    if seed % 3 == 0:
        blocks = [np.asfortranarray(block) for block in blocks]
    assert_forest_of(blocks, on_diagonal(blocks))


def test_depthwise_convolution():
    kernel = np.random.default_rng(0).standard_normal((300, 9, 1))
    assert_forest_of(list(kernel), on_diagonal(list(kernel)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (1, 5000), (5000, 1), (2, 2)])
def test_lines(shape):
    matrix = np.random.default_rng(0).standard_normal(shape)
    forest = dense_forest([matrix])
    assert forest.strengths.tolist() == prim_strengths(matrix).tolist()


@pytest.mark.parametrize("shape", [(5, 6), (100, 90)])
def test_all_equal_and_all_zero(shape):
    for value in (0.0, -2.0):
        forest = dense_forest([np.full(shape, value)])
        assert forest.strengths.tolist() == [abs(value)] * (sum(shape) - 1)


@pytest.mark.parametrize("shapes", [[(3, 4)], [(100, 80)], [(1, 9)], [(3, 4), (2, 5), (90, 70)]])
def test_bias_is_one_more_row(shapes):
    rng = np.random.default_rng(len(shapes))
    blocks = [rng.standard_normal(shape) for shape in shapes]
    matrix = on_diagonal(blocks)
    bias = 2 * rng.standard_normal(matrix.shape[1])
    forest = dense_forest(blocks, bias=bias)
    extended = np.vstack([matrix, bias])
    assert forest.n_vertices == sum(extended.shape)
    assert forest.strengths.tolist() == prim_strengths(extended).tolist()
    _, rows, cols = forest.generators.T
    assert np.abs(extended[rows, cols]).tolist() == forest.strengths.tolist()
    of_bias = rows == matrix.shape[0]
    assert of_bias.any()
    assert set(forest.edges[of_bias, 0].tolist()) == {sum(matrix.shape)}
    assert is_forest(forest)


def test_weights_that_are_not_finite_in_several_blocks():
    blocks = [np.ones((1, 3)), np.ones((2, 2)), np.ones((80, 60))]
    blocks[2][5, 7] = np.inf
    forest = dense_forest(blocks)
    assert (forest.nonfinite, forest.first_nonfinite) == (1, (8, 12))
    blocks[1][1] = np.nan
    forest = dense_forest(blocks, bias=np.full(65, np.nan))
    assert (forest.nonfinite, forest.first_nonfinite) == (68, (2, 3))
    assert (forest.n_vertices, len(forest.edges), len(forest.generators)) == (149, 0, 0)


def test_a_memory_mapped_transposed_matrix_is_read_in_place(tmp_path):
    matrix = random_matrix("gaussian", 150, 210)
    np.save(tmp_path / "weight.npy", matrix)
    mapped = np.load(tmp_path / "weight.npy", mmap_mode="r")
    assert_forest_of([mapped.T], matrix.T)


def test_mixed_types_agree_with_float64():
    blocks = [np.random.default_rng(d).standard_normal((4, 3)).astype(f"f{2**d}") for d in (1, 2, 3)]
    assert_forest_of(blocks, on_diagonal(blocks))
