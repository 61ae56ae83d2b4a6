import numpy as np
import pytest
from brute_force import kruskal

from onnxtop.topology import spanning
from onnxtop.topology.graph import Forest
from onnxtop.topology.spanning import GrowingForest, edge_forest, with_bias


def random_edges(seed):
    """A multigraph with loops, parallel edges, ties and zeros."""
    rng = np.random.default_rng(seed)
    n_vertices, n_edges = rng.integers(1, 30), rng.integers(0, 120)
    edges = rng.integers(0, n_vertices, (n_edges, 2))
    strengths = rng.integers(0, 6, n_edges) / 4 if seed % 2 else rng.random(n_edges)
    generators = np.column_stack([np.zeros(n_edges, int), np.arange(n_edges), np.arange(n_edges)])
    return int(n_vertices), edges, strengths, generators


@pytest.mark.parametrize("one_by_one", [0, 64])
@pytest.mark.parametrize("seed", range(50))
def test_edge_forest_takes_the_edges_kruskal_takes(seed, one_by_one, monkeypatch):
    monkeypatch.setattr(spanning, "_TINY", one_by_one)
    n_vertices, edges, strengths, generators = random_edges(seed)
    forest = edge_forest(n_vertices, edges, strengths, generators)
    used = kruskal(n_vertices, edges, strengths)
    assert forest.n_vertices == n_vertices
    assert forest.generators[:, 1].tolist() == used
    assert forest.edges.tolist() == edges[used].tolist()
    assert forest.strengths.tolist() == strengths[used].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_components_are_numbered_alike_however_they_are_joined(seed, monkeypatch):
    n_vertices, edges, _, _ = random_edges(seed)
    found = []
    for most in (0, 64):
        monkeypatch.setattr(spanning, "_TINY", most)
        growing = GrowingForest(n_vertices)
        used = growing.join(*edges[: n_vertices // 2].T)
        found.append((used.tolist(), growing.labels.tolist(), growing.n_components))
    assert found[0] == found[1]


def test_edge_forest_of_many_edges_goes_through_several_batches():
    rng = np.random.default_rng(0)
    edges, strengths = rng.integers(0, 500, (40_000, 2)), rng.integers(0, 50, 40_000) / 8
    edges[:5000] = rng.integers(0, 5, (5000, 2))  # a tight knot of strong edges joins little
    strengths[:5000] += 10
    forest = edge_forest(500, edges, strengths, np.zeros((40_000, 3), int))
    assert forest.strengths.tolist() == strengths[kruskal(500, edges, strengths)].tolist()


def test_edge_forest_keeps_edges_of_strength_zero_and_counts_lonely_vertices():
    forest = edge_forest(5, np.array([[0, 1], [3, 1]]), np.zeros(2), np.zeros((2, 3), int))
    assert forest.strengths.tolist() == [0.0, 0.0]
    assert forest.strongest == 0.0


def test_growing_forest_labels_components():
    growing = GrowingForest(5)
    assert growing.join(np.array([0, 1, 0]), np.array([1, 0, 2])).tolist() == [0, 2]
    assert growing.n_components == 3
    assert len(set(growing.labels[:3])) == 1
    assert len(set(growing.labels)) == 3
    assert growing.join(np.array([1, 3]), np.array([2, 4])).tolist() == [1]


@pytest.mark.parametrize("seed", range(20))
def test_with_bias_equals_the_forest_of_all_edges(seed):
    rng = np.random.default_rng(seed)
    n_rows, n_cols = rng.integers(1, 8, 2).tolist()
    weights = rng.integers(0, 5, (n_rows, n_cols)) / 2
    bias = rng.integers(-4, 5, n_cols) / 2
    rows, cols = np.indices((n_rows + 1, n_cols)).reshape(2, -1)
    edges = np.column_stack([np.where(rows < n_rows, rows, n_rows + n_cols), n_rows + cols])
    strengths = np.vstack([weights, np.abs(bias)]).ravel()
    generators = np.column_stack([np.zeros_like(rows), rows, cols])
    inner = rows < n_rows
    layer = edge_forest(n_rows + n_cols, edges[inner], strengths[inner], generators[inner])
    whole = edge_forest(n_rows + n_cols + 1, edges, strengths, generators)
    merged = with_bias(layer, n_rows, bias)
    assert merged.n_vertices == whole.n_vertices
    assert merged.strengths.tolist() == whole.strengths.tolist()


def test_with_bias_that_is_not_finite():
    layer = edge_forest(3, np.array([[0, 2]]), np.ones(1), np.zeros((1, 3), int))
    merged = with_bias(layer, 1, np.array([1.0, np.nan]))
    assert (merged.n_vertices, merged.nonfinite, merged.first_nonfinite) == (4, 1, (1, 1))
    assert merged.edges.shape == (0, 2)
    broken = Forest(3, layer.edges[:0], np.empty(0), layer.generators[:0], 2, (0, 1))
    merged = with_bias(broken, 1, np.array([np.inf, 1.0]))
    assert (merged.nonfinite, merged.first_nonfinite) == (3, (0, 1))
