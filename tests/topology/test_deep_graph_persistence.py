import json
from pathlib import Path

import numpy as np
import pytest
from brute_force import prim_strengths

from onnxtop.errors import UsageError
from onnxtop.network import Block, NetworkGraph, Weights
from onnxtop.topology.deep_graph_persistence import _measure, _Options, deep_graph_persistence
from onnxtop.topology.neural_persistence import layer_persistence

REFERENCE = json.loads((Path(__file__).parents[1] / "data" / "deep_graph_persistence.json").read_text())
NO_EDGES = np.empty((0, 2), np.intp)


# The slow and obvious way


def strengths_of(graph, standardise=True):
    """A function giving float64 strengths of every layer, scaled to the network's largest."""
    layers = {}
    for k in sorted({block.layer for block in graph.blocks}):
        matrices = [np.asarray(matrix, float) for matrix in graph.layers[k].read()]
        every = np.concatenate([matrix.ravel() for matrix in matrices])
        if standardise:
            std = np.ptp(every) and every.std()
            layers[k] = [abs(m - every.mean()) / std if std else np.zeros(m.shape) for m in matrices]
        else:
            layers[k] = [abs(m) for m in matrices]
    top = max((matrix.max() for matrices in layers.values() for matrix in matrices), default=0.0)
    return {k: [m / top if top else m for m in matrices] for k, matrices in layers.items()}


def brute_force_s(graph, standardise=True, skips="keep"):
    """S by max-min closure over all vertices."""
    widths = np.zeros((graph.n_vertices, graph.n_vertices))
    layers = strengths_of(graph, standardise)
    for block in graph.blocks:
        for (row, col), strength in np.ndenumerate(layers[block.layer][block.matrix]):
            tail, head = block.rows[row], block.columns[col]
            if tail >= 0 and head >= 0:
                widths[tail, head] = max(widths[tail, head], strength)
    left_out = {tuple(edge) for edge in graph.skips.tolist()} if skips == "cut" else set()
    for tail, head in graph.structural.tolist():
        if (tail, head) not in left_out:
            widths[tail, head] = 1.0
    for middle in range(graph.n_vertices):
        widths = np.maximum(widths, np.minimum(widths[:, [middle]], widths[middle]))
    np.fill_diagonal(widths, 1.0)
    return widths[np.ix_(graph.inputs, graph.outputs)]


def check(graph, rel=1e-12, **options):
    result = _measure(graph, _Options(**options))
    s = brute_force_s(graph, options.get("standardise", True), options.get("skips", "keep"))
    scale = s.max() if options.get("rescale", True) and s.max() else 1.0
    assert result.strongest == pytest.approx(s.max(), rel=rel)
    assert result.diagram.points[:, 1] == pytest.approx(prim_strengths(s) / scale, rel=rel, abs=1e-15)
    assert result.alpha == pytest.approx(s.max(axis=0), rel=rel, abs=1e-15)
    assert result.beta == pytest.approx(s.max(axis=1), rel=rel, abs=1e-15)
    assert len(result.diagram.points) == sum(s.shape) - 1
    check_generators(graph, result, scale, rel, options.get("standardise", True))
    return result


def check_generators(graph, result, scale, rel, standardise=True):
    """The weight behind each bar has the strength of the bar; only top, or absent, bars have none."""
    layers = strengths_of(graph, standardise)
    for (_, death), (layer, row, col) in zip(
        result.diagram.points.tolist(), result.diagram.generators.tolist(), strict=True
    ):
        if layer < 0:
            assert death * scale == pytest.approx(1.0) or death == 0.0
            continue
        for matrix in layers[layer]:
            if row < matrix.shape[0]:
                break
            row, col = row - matrix.shape[0], col - matrix.shape[1]
        assert matrix[row, col] == pytest.approx(death * scale, rel=rel)
    limiting = result.diagram.generators[:, 0]
    assert result.layers.bars.tolist() == [np.sum(limiting == k) for k in range(len(graph.layers))]


# Random networks


def draw(rng, shape, kind):
    if kind == "ties":
        return rng.integers(-3, 4, shape).astype(float)
    if kind == "zeros":
        return rng.standard_normal(shape) * (rng.random(shape) < 0.4)
    if kind == "constant":
        return np.full(shape, 0.5)
    return rng.standard_normal(shape) + rng.normal()


def random_kind(rng):
    return rng.choice(["gaussian", "ties", "zeros", "gaussian", "ties", "constant"])


def graph_of(n_vertices, inputs, outputs, layers, blocks, structural=NO_EDGES, skips=NO_EDGES):
    structural, skips = (np.reshape(np.array(e, np.intp), (-1, 2)) for e in (structural, skips))
    weights = [Weights(f"w{k}", lambda matrices=matrices: matrices) for k, matrices in enumerate(layers)]
    return NetworkGraph(
        n_vertices, np.array(inputs), np.array(outputs), weights, blocks, structural, skips
    )


def random_stack(rng):
    widths = rng.integers(1, 9, rng.integers(2, 6)).tolist()
    shapes = zip(widths[:-1], widths[1:], strict=True)
    return [draw(rng, shape, random_kind(rng)) for shape in shapes]


def random_graph(rng, *, cycles):
    """Blocks between random vertices: parallel edges, padding, dead units, ends inside, shared weights."""
    n = int(rng.integers(4, 14))
    layers, blocks = [], []
    for layer in range(rng.integers(1, 6)):
        matrices = []
        for _ in range(rng.integers(1, 3)):
            cut = int(rng.integers(1, n))
            before, after = (np.arange(n), np.arange(n)) if cycles else (np.arange(cut), np.arange(cut, n))
            shape = tuple(rng.integers(1, 6, 2).tolist())
            matrices.append(draw(rng, shape, random_kind(rng)))
            for _ in range(rng.integers(1, 3)):
                ids = [rng.choice(np.append(side, -1), size) for side, size in zip((before, after), shape, strict=True)]
                blocks.append(Block(layer, len(matrices) - 1, *ids))
        layers.append(matrices)
    ends = rng.permutation(n)
    n_in, n_out = rng.integers(1, n // 2 + 1, 2)
    outputs = ends[-n_out:] if rng.random() < 0.7 else rng.choice(n, n_out, replace=False)
    edges = np.sort(rng.choice(n, (rng.integers(0, 4), 2)), axis=1)
    edges = edges[edges[:, 0] < edges[:, 1]]
    if cycles:
        edges = rng.permuted(edges, axis=1)
    if rng.random() < 0.5 and not cycles:
        rng.shuffle(blocks)
    skips = edges[: rng.integers(0, len(edges) + 1)]
    return graph_of(n, ends[:n_in], outputs, layers, blocks, edges, skips)


def random_options(rng):
    return {
        "standardise": bool(rng.random() < 0.7),
        "rescale": bool(rng.random() < 0.7),
        "skips": str(rng.choice(["keep", "cut"])),
        "n_wanted": None if rng.random() < 0.3 else int(rng.integers(1, 12)),
    }


def as_graph(matrices):
    widths = [matrices[0].shape[0], *(matrix.shape[1] for matrix in matrices)]
    ids = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
    blocks = [Block(k, 0, ids[k], ids[k + 1]) for k in range(len(matrices))]
    return graph_of(sum(widths), ids[0], ids[-1], [[m] for m in matrices], blocks)


@pytest.mark.parametrize("seed", range(200))
def test_stacks_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    check(as_graph(random_stack(rng)), **random_options(rng))


@pytest.mark.parametrize("seed", range(400))
def test_graphs_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    check(random_graph(rng, cycles=False), **random_options(rng))


@pytest.mark.parametrize("seed", range(400))
def test_cyclic_graphs_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    check(random_graph(rng, cycles=True), **random_options(rng))
