"""Skips kept and cut from one scan: the same as each for itself."""

import numpy as np

from onnxtop.network import Block, NetworkGraph, Weights
from onnxtop.topology.deep_graph_persistence import deep_graph_persistence, kept_and_cut


def residual(seed: int, *, skips: bool = True) -> tuple[NetworkGraph, list[int]]:
    """Return x (3) -> join (3) <- W(x), join -> y (2); every read of weights is counted."""
    rng = np.random.default_rng(seed)
    first, last = rng.standard_normal((3, 3)), rng.standard_normal((3, 2))
    reads: list[int] = []

    def read(number: int, matrix: np.ndarray) -> list[np.ndarray]:
        reads.append(number)
        return [matrix]

    x, inner, join, y = np.arange(3), np.arange(3, 6), np.arange(6, 9), np.arange(9, 11)
    skip = np.column_stack([x, join])
    graph = NetworkGraph(
        n_vertices=11,
        inputs=x,
        outputs=y,
        layers=[Weights("first", lambda: read(0, first)), Weights("last", lambda: read(1, last))],
        blocks=[Block(0, 0, x, inner), Block(1, 0, join, y)],
        structural=np.concatenate([np.column_stack([inner, join]), skip]),
        skips=skip if skips else np.empty((0, 2), np.intp),
    )
    return graph, reads


def test_both_are_as_each_for_itself():
    for seed in range(20):
        graph, _ = residual(seed)
        kept, cut = kept_and_cut(graph, convention="tree", p=3)
        assert kept.total == deep_graph_persistence(graph, convention="tree", p=3).total
        assert cut.total == deep_graph_persistence(graph, convention="tree", p=3, skips="cut").total
        assert (kept.skips, cut.skips) == ("keep", "cut")
        assert kept.total != cut.total


def test_weights_are_scanned_once_for_both():
    graph, reads = residual(0)
    deep_graph_persistence(graph)
    one = len(reads)
    reads.clear()
    kept_and_cut(graph)
    assert len(reads) < 2 * one


def test_without_skips_they_are_the_same():
    graph, _ = residual(1, skips=False)
    kept, cut = kept_and_cut(graph)
    assert kept is cut


def test_without_inputs_there_is_a_reason():
    graph, _ = residual(2)
    empty = NetworkGraph(**{**vars(graph), "inputs": np.empty(0, np.intp)})
    kept, cut = kept_and_cut(empty)
    assert kept.reason == cut.reason is not None
