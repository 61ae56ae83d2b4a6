from dataclasses import replace

import numpy as np
import pytest
from brute_force import prim_strengths, unrolled
from hard_matrices import random_kernel

from onnxtop.errors import UsageError
from onnxtop.network import Kernel
from onnxtop.topology import filters
from onnxtop.topology.filters import filter_forests
from onnxtop.topology.neural_persistence import network_persistence
from onnxtop.topology.persistence import Diagram


def graphs(kernel, bias=None):
    """The dense matrix of every filter and channel, its last row the bias."""
    for group, out, channel in np.ndindex(kernel.weights.shape[:3]):
        matrix = unrolled(replace(kernel, weights=kernel.weights[group, out, channel][None, None, None]))
        of_filter = [] if bias is None else [bias.reshape(kernel.weights.shape[:2])[group, out]]
        yield np.vstack([matrix, *(np.full(matrix.shape[1], value) for value in of_filter)])


def by_definition(kernel, scale, p, convention, bias=None):
    """Mean total and mean normalized persistence over the graphs, each by Prim on its dense matrix."""
    totals = []
    for matrix in graphs(kernel, bias):
        deaths = np.minimum(prim_strengths(matrix) / scale, 1)
        points = np.column_stack([np.ones_like(deaths), deaths])
        diagram = Diagram(points, np.empty((0, 3)))
        totals.append([diagram.norm(p, convention, n) for n in (1, sum(matrix.shape) - 1)])
    return tuple(np.mean(totals, axis=0))


@pytest.mark.parametrize("few_taps", [0, filters.FEW_TAPS])
@pytest.mark.parametrize("seed", range(60))
def test_every_graph_is_the_tree_by_brute_force(seed, few_taps, monkeypatch):
    monkeypatch.setattr(filters, "FEW_TAPS", few_taps)  # remembered by set, or every graph grown
    monkeypatch.setattr(filters, "TOGETHER", [1, 40, 1 << 18][seed % 3])
    filters._edge_counts.cache_clear()
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng, most_taps=3 + seed % 2)
    bias = rng.standard_normal(kernel.weights.shape[0] * kernel.weights.shape[1]) if seed % 3 == 1 else None
    forests = filter_forests(kernel, bias=bias)
    for matrix, strengths, edges in zip(graphs(kernel, bias), forests.strengths, forests.edges, strict=True):
        assert forests.n_vertices == sum(matrix.shape)
        tree = prim_strengths(matrix)
        ours = np.repeat(strengths, edges).astype(float)
        assert ours[ours > 0].tolist() == tree[tree > 0].tolist()


@pytest.mark.parametrize("convention", ["essential", "tree"])
@pytest.mark.parametrize("p", [1e-4, 0.5, 1, 2, 3, np.inf])
def test_the_layer_is_the_mean_of_its_graphs(p, convention, monkeypatch):
    monkeypatch.setattr(filters, "CELLS", 5)  # a graph at a time
    for seed in range(4):
        rng = np.random.default_rng(seed)
        kernel = random_kernel(rng)
        bias = rng.standard_normal(kernel.weights.shape[0] * kernel.weights.shape[1]) if seed % 2 else None
        forests = filter_forests(kernel, bias=bias)
        expected = [strongest for matrix in graphs(kernel, bias) if (strongest := np.abs(matrix).max()) > 0]
        assert forests.strongest == max(expected, default=0)
        for scale in ("global", 2 * forests.strongest + 1):
            layer = network_persistence({"c": forests}, scale=scale, p=p, convention=convention).layers["c"]
            divided = (layer.scale or 1, p, convention, bias)
            assert (layer.total, layer.normalized) == pytest.approx(
                by_definition(kernel, *divided), rel=1e-12
            )
            assert not layer.diagram.points.size


@pytest.mark.parametrize("convention", ["essential", "tree"])
@pytest.mark.parametrize("p", [25, 200, 1e4])
def test_a_large_p_with_a_tap_that_makes_no_edge(p, convention):
    """Its bar would be the longest by far: its power overflows, and does not count."""
    weights = np.array([1.0, 0.999, 1e-3]).reshape(1, 1, 1, 3)
    kernel = Kernel(weights, (1,), (1,), (1,), in_size=(6,), out_size=(6,))
    forests = filter_forests(kernel)
    layer = network_persistence({"c": forests}, p=p, convention=convention).layers["c"]
    expected = by_definition(kernel, forests.strongest, p, convention)
    assert (layer.total, layer.normalized) == pytest.approx(expected, rel=1e-12)


def test_strengths_above_the_scale_of_others_are_cut_off():
    kernel = Kernel(np.full((1, 1, 1, 1), 8.0), (1,), (0,), (1,), False, (3,), (3,))
    other = Kernel(np.ones((1, 1, 1, 1)), (1,), (0,), (1,), False, (3,), (3,))
    found = network_persistence({"a": filter_forests(kernel), "b": filter_forests(other)}, counted=["b"])
    assert found.layers["a"].total == found.layers["b"].total == pytest.approx(np.sqrt(3))


def test_the_strongest_edge_and_where_its_weight_is():
    weights = np.random.default_rng(0).permutation(np.arange(1.0, 2 * 3 * 2 * 4 + 1)).reshape(2, 3, 2, 4)
    kernel = Kernel(weights, (1,), (0,), (1,), False, (6,), (3,))
    flattened = np.zeros((16, 6))
    for group, block in enumerate(kernel.matrices()):
        flattened[8 * group : 8 * group + 8, 3 * group : 3 * group + 3] = block
    forests = filter_forests(kernel)
    assert (forests.strongest, flattened[forests.strongest_at]) == (48.0, 48.0)
    with_bias = filter_forests(kernel, bias=np.array([0.0, 0, 0, 0, -99, 0]))
    assert (with_bias.strongest, with_bias.strongest_at) == (99.0, (16, 4))


def test_nothing_falls_inside():
    kernel = Kernel(np.ones((1, 2, 2, 1)), (1,), (9,), (1,), False, (3,), (3,))
    forests = filter_forests(kernel)
    assert (forests.strongest, forests.strongest_at, forests.edges.sum()) == (0.0, None, 0)
    assert network_persistence({"a": forests}).layers["a"].total == pytest.approx(np.sqrt(6))


def test_weights_that_are_not_finite():
    weights = np.ones((2, 3, 2, 2))
    weights[1, 2, 0, 1] = np.nan
    kernel = Kernel(weights, (1,), (0,), (1,), False, (4,), (3,))
    forests = filter_forests(kernel)
    assert (forests.nonfinite, forests.first_nonfinite, forests.strongest) == (1, (5, 5), 0.0)
    forests = filter_forests(
        replace(kernel, weights=np.ones((2, 3, 2, 2))), bias=np.array([0, 0, 0, 0, np.inf, 0])
    )
    assert (forests.nonfinite, forests.first_nonfinite, forests.n_vertices) == (1, (8, 4), 8)
    assert "1 weight is NaN" in network_persistence({"a": forests}).layers["a"].reason


def test_arguments_that_make_no_sense():
    kernel = Kernel(np.ones((2, 3, 1, 1)), (1,), (0,), (1,), False, (2,), (2,))
    with pytest.raises(UsageError, match=r"bias of shape \(6,\), found \(3,\)"):
        filter_forests(kernel, bias=np.ones(3))
    with pytest.raises(UsageError, match="wanted the input and output size"):
        filter_forests(replace(kernel, in_size=None))


def test_a_large_layer_is_counted_by_sets_of_taps():
    """512 x 512 filters of 3 x 3 taps: more orders of the taps than sets of them, by far."""
    weights = np.random.default_rng(0).standard_normal((1, 512, 512, 3, 3), dtype=np.float32)
    kernel = Kernel(weights, (1, 1), (1, 1), (1, 1), False, (7, 7), (7, 7))
    forests = filter_forests(kernel)
    assert forests.strengths.shape == (512 * 512, 9)
    assert set(forests.edges.sum(axis=1, dtype=int).tolist()) == {97}  # 98 positions, all joined
    few = filter_forests(replace(kernel, weights=weights[:, 100:102, 7:9]))
    chosen = forests.edges.reshape(512, 512, 9)[100:102, 7:9].reshape(4, 9)
    assert np.array_equal(few.edges, chosen)
