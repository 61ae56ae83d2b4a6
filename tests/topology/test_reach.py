"""The search through weights that are not zero, against paths found weight by weight."""

import numpy as np
import pytest

from onnxtop.network import Block, NetworkGraph, Weights
from onnxtop.topology.network_graphs import stack
from onnxtop.topology.reach import filled_lines, reach
from tests.connectivity_truth import reachable


def sparse(rng, rows, columns):
    matrix = rng.normal(size=(rows, columns))
    matrix[rng.random(matrix.shape) < rng.choice([0.0, 0.3, 0.7, 0.95])] = 0
    if rng.integers(4) == 0:
        matrix[rng.integers(rows), rng.integers(columns)] = np.nan
    return matrix


def random_graph(seed):
    """Return blocks between random vertices: shared ones, padding, cycles; structural edges beside them."""
    rng = np.random.default_rng(seed)
    count = 24
    matrices = [sparse(rng, *rng.integers(1, 9, 2)) for _ in range(rng.integers(1, 7))]
    blocks = [
        Block(layer, 0, rng.integers(-1, count, matrix.shape[0]), rng.integers(0, count, matrix.shape[1]))
        for layer, matrix in enumerate(matrices)
    ]
    return NetworkGraph(
        n_vertices=count,
        inputs=np.unique(rng.integers(0, count, 3)),
        outputs=np.unique(rng.integers(0, count, 3)),
        layers=[Weights(f"layer {k}", lambda matrix=matrix: [matrix]) for k, matrix in enumerate(matrices)],
        blocks=blocks,
        structural=rng.integers(0, count, (rng.integers(0, 6), 2)),
        skips=np.empty((0, 2), np.intp),
    )


def turned(graph):
    return NetworkGraph(
        n_vertices=graph.n_vertices,
        inputs=graph.outputs,
        outputs=graph.inputs,
        layers=[Weights(w.name, lambda w=w: [m.T for m in w.read()]) for w in graph.layers],
        blocks=[Block(b.layer, b.matrix, b.columns, b.rows) for b in graph.blocks if (b.rows >= 0).all()],
        structural=graph.structural[:, ::-1],
        skips=graph.skips,
    )


def spread(graph, starts, *, through_zeros):
    found = (reachable(graph, start, through_zeros=through_zeros) for start in starts.tolist())
    return sorted(set().union(*found))


@pytest.mark.parametrize("seed", range(80))
def test_the_search_finds_what_paths_find(seed):
    graph = random_graph(seed)
    for filled in ({}, {k: filled_lines(w.read()) for k, w in enumerate(graph.layers)}, None):
        found = reach(graph, filled)
        wanted = spread(graph, graph.inputs, through_zeros=filled is None)
        assert np.flatnonzero(found.forward).tolist() == wanted
    if all((block.rows >= 0).all() for block in graph.blocks):
        wanted = spread(turned(graph), graph.outputs, through_zeros=False)
        assert np.flatnonzero(reach(graph, {}).backward).tolist() == wanted


def test_groups_that_are_mixed_reach_each_other():
    graph = stack([np.array([[1.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 2.0]])])
    assert np.flatnonzero(reach(graph, {}).forward).tolist() == [0, 1]
    found = reach(graph, {}, [np.array([1, 2])])
    assert np.flatnonzero(found.forward).tolist() == [0, 1, 2, 4]
    assert np.flatnonzero(found.backward).tolist() == [0, 1, 2, 3, 4]
    assert len(found.forward) == graph.n_vertices + 1


def test_layers_whose_counts_decide_are_not_read_again():
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=(30, 20)), rng.normal(size=(20, 10))]
    matrices[0][rng.random((30, 20)) < 0.2] = 0
    matrices[0][:, 3] = 0
    graph = stack(matrices)
    filled = {k: filled_lines([matrix]) for k, matrix in enumerate(matrices)}
    read = []
    counted = NetworkGraph(
        **{
            **vars(graph),
            "layers": [Weights(f"{k}", lambda k=k: read.append(k)) for k in range(2)],
        }
    )
    found = reach(counted, filled)
    assert read == []
    assert np.flatnonzero(~found.forward[:-1]).tolist() == [33]
    assert found.backward[:-1].all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(3, 5), (700, 3), (3, 700), (600, 130), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_filled_lines_count(order, shape, dtype):
    matrix = np.array(np.random.default_rng(1).integers(-1, 2, shape), dtype, order=order)
    matrix[0, 0] = np.nan
    for each in (matrix, matrix[::-1], np.ones(shape, dtype)):
        (found,) = filled_lines([each])
        assert found.rows.tolist() == np.count_nonzero(each, axis=1).tolist()
        assert found.columns.tolist() == np.count_nonzero(each, axis=0).tolist()
