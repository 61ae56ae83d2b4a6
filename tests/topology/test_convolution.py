import json
from pathlib import Path

import numpy as np
import pytest
from brute_force import is_forest, prim_strengths, unrolled
from hard_matrices import random_kernel

from onnxtop.errors import UsageError
from onnxtop.network import Kernel
from onnxtop.topology import convolution
from onnxtop.topology.convolution import channels, unrolled_forest
from onnxtop.topology.neural_persistence import network_persistence

DATA = Path(__file__).parents[1] / "data"
REFERENCE = json.loads((DATA / "neural_persistence.json").read_text())["conv_unrolled"]
ARRAYS = np.load(DATA / "neural_persistence.npz")


@pytest.mark.parametrize("batch", [1, 30, convolution.BATCH])
@pytest.mark.parametrize("seed", range(40))
def test_unrolled_equals_brute_force(seed, batch, monkeypatch):
    monkeypatch.setattr(convolution, "BATCH", batch)
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng)
    matrix = unrolled(kernel)
    forest = unrolled_forest(kernel, layer=2)
    tree = prim_strengths(matrix)
    assert forest.n_vertices == sum(matrix.shape)
    assert forest.strengths.tolist() == tree[tree > 0].tolist()
    layer, rows, cols = forest.generators.T
    assert set(layer.tolist()) <= {2}
    assert np.abs(matrix[rows, cols]).tolist() == forest.strengths.tolist()
    assert np.array_equal(forest.edges, np.column_stack([rows, matrix.shape[0] + cols]))
    assert is_forest(forest)


@pytest.mark.parametrize("seed", range(30))
def test_bias_meets_every_output_position(seed):
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng)
    matrix = unrolled(kernel)
    bias = rng.standard_normal(kernel.weights.shape[0] * kernel.weights.shape[1])
    extended = np.vstack([matrix, np.repeat(bias, matrix.shape[1] // bias.size)])
    forest = unrolled_forest(kernel, bias=bias)
    tree = prim_strengths(extended)
    assert forest.n_vertices == sum(extended.shape)
    assert forest.strengths.tolist() == tree[tree > 0].tolist()
    _, rows, cols = forest.generators.T
    assert np.abs(extended[rows, cols]).tolist() == forest.strengths.tolist()


@pytest.mark.parametrize("name", [name for name in REFERENCE if name != "note"])
def test_values_of_the_papers_code_on_the_dense_unrolled_matrix(name):
    case, weights = REFERENCE[name], ARRAYS[name]
    in_size = (case["H"], case["W"])
    stride, pad = case["stride"], case["pad"]
    out_size = tuple(
        (size + 2 * pad - k) // stride + 1 for size, k in zip(in_size, weights.shape[2:], strict=True)
    )
    kernel = Kernel(weights[None], (stride,) * 2, (pad,) * 2, (1, 1), False, in_size, out_size)
    assert list(unrolled(kernel).shape) == case["unrolled_shape"]
    forest = unrolled_forest(kernel)
    assert forest.n_vertices - len(forest.edges) == case["components_without_zero_edges"]
    result = network_persistence({"conv": forest}).layers["conv"]
    assert result.total == pytest.approx(case["code_total_persistence"], rel=1e-12)
    assert result.normalized == pytest.approx(case["code_total_persistence_normalized"], rel=1e-12)
    assert result.diagram.points[:, 1].sum() == pytest.approx(case["mst_weight_sum"], rel=1e-12)


@pytest.mark.parametrize("size", [(12,), (9, 7), (5, 6, 4)])
def test_the_two_largest_taps_give_an_edge_for_every_output(size):
    taps = np.random.default_rng(len(size)).permutation(np.arange(1.0, 3 ** len(size) + 1))
    ones = (1,) * len(size)
    out_size = tuple(n - 2 for n in size)
    kernel = Kernel(
        taps.reshape(1, 1, 1, *(3,) * len(size)), ones, (0,) * len(size), ones, False, size, out_size
    )
    strengths = unrolled_forest(kernel).strengths
    n_out = np.prod(out_size)
    assert np.count_nonzero(strengths == taps.size) == n_out
    assert np.count_nonzero(strengths == taps.size - 1) == n_out


def test_a_large_layer_whose_channels_differ_in_scale_and_are_partly_dead():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((1, 64, 48, 3, 3), dtype=np.float32)
    weights *= np.logspace(0, -6, 64, dtype=np.float32).reshape(-1, 1, 1, 1)
    weights[:, 5] = 0
    weights[:, :, 7] = 0
    kernel = Kernel(weights, (1, 1), (1, 1), (1, 1), False, (14, 14), (14, 14))
    forest = unrolled_forest(kernel)
    assert len(forest.edges) == (63 + 47) * 196 - 1


def test_positions_that_no_tap_reaches_are_vertices():
    kernel = Kernel(np.ones((1, 1, 1, 1, 1)), (2, 2), (0, 0), (1, 1), False, (4, 4), (2, 2))
    forest = unrolled_forest(kernel)
    assert (forest.n_vertices, len(forest.edges)) == (20, 4)
    assert forest.generators[:, 1].tolist() == [0, 2, 8, 10]


def test_nothing_falls_inside():
    kernel = Kernel(np.ones((1, 2, 2, 1)), (1,), (9,), (1,), False, (3,), (3,))
    forest = unrolled_forest(kernel)
    assert (forest.n_vertices, forest.edges.shape, forest.generators.shape) == (12, (0, 2), (0, 3))


@pytest.mark.parametrize("sizes", [(None, (3, 3)), ((3, 3), None), (None, None)])
def test_unknown_sizes(sizes):
    kernel = Kernel(np.ones((1, 1, 1, 1, 1)), (1, 1), (0, 0), (1, 1), False, *sizes)
    with pytest.raises(UsageError, match="wanted the input and output size"):
        unrolled_forest(kernel)


def test_bias_of_another_length():
    kernel = Kernel(np.ones((2, 3, 1, 1)), (1,), (0,), (1,), False, (2,), (2,))
    with pytest.raises(UsageError, match=r"bias of shape \(6,\), found \(3,\)"):
        unrolled_forest(kernel, bias=np.ones(3))


def test_taps_that_are_not_finite():
    weights = np.ones((2, 3, 2, 2))
    weights[1, 2, 0, 1] = np.nan
    weights[1, 2, 1] = np.inf
    kernel = Kernel(weights, (1,), (0,), (1,), False, (4,), (3,))
    forest = unrolled_forest(kernel)
    assert (forest.nonfinite, forest.first_nonfinite, forest.n_vertices) == (3, (1, 2, 0, 1), 34)
    assert [np.isfinite(block).all() for block in channels(kernel)] == [True, False]
    assert np.isnan(channels(kernel)[1][0, 2])
    assert channels(kernel)[1][1, 2] == np.inf
    forest = unrolled_forest(kernel, bias=np.full(6, np.nan))
    assert (forest.nonfinite, forest.n_vertices) == (21, 35)


def test_flattened_blocks_are_views_with_a_row_for_every_tap():
    weights = np.random.default_rng(0).standard_normal((2, 5, 3, 2, 4))
    blocks = Kernel(weights, (1, 1), (0, 0), (1, 1)).matrices()
    for group, block in enumerate(blocks):
        assert block.shape == (24, 5)
        assert np.shares_memory(block, weights)
        assert block.flags.f_contiguous
        assert block[1 * 8 + 1 * 4 + 3, 2] == weights[group, 2, 1, 1, 3]


def test_channels_take_the_largest_tap():
    weights = np.random.default_rng(0).standard_normal((2, 5, 3, 2, 4))
    blocks = channels(Kernel(weights, (1, 1), (0, 0), (1, 1)))
    for group, block in enumerate(blocks):
        assert np.array_equal(block, np.abs(weights[group]).max(axis=(2, 3)).T)
