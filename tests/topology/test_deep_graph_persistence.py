import itertools
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from brute_force import prim_strengths
from hard_matrices import HARD, random_matrix

from onnxtop.errors import UsageError
from onnxtop.network import Block, NetworkGraph, Weights
from onnxtop.topology import deep_graph_persistence as deep, layer_scan
from onnxtop.topology.deep_graph_persistence import _measure, _Options, deep_graph_persistence
from onnxtop.topology.facts import LayerRole
from onnxtop.topology.layer_scan import scan_layer, strongest_in_lines
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
    bars = [role.bars if role else 0 for role in result.layers]
    assert bars == [np.sum(limiting == k) for k in range(len(graph.layers))]


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
    return NetworkGraph(n_vertices, np.array(inputs), np.array(outputs), weights, blocks, structural, skips)


def random_stack(rng):
    widths = rng.integers(1, 9, rng.integers(2, 6)).tolist()
    shapes = itertools.pairwise(widths)
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
                ids = [
                    rng.choice(np.append(side, -1), size)
                    for side, size in zip((before, after), shape, strict=True)
                ]
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


@pytest.mark.parametrize("seed", range(60))
def test_stacks_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    check(as_graph(random_stack(rng)), **random_options(rng))


@pytest.mark.parametrize("seed", range(100))
def test_graphs_against_brute_force(seed, monkeypatch):
    if seed % 2:
        monkeypatch.setattr(deep, "HELD", 0)
    rng = np.random.default_rng(seed)
    check(random_graph(rng, cycles=False), **random_options(rng))


@pytest.mark.parametrize("seed", range(100))
def test_cyclic_graphs_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    check(random_graph(rng, cycles=True), **random_options(rng))


@pytest.mark.parametrize("kind", ["gaussian", "ties", "zeros"])
def test_taps_shared_weights_and_recurrence_at_the_level_the_tool_chooses(kind):
    rng = np.random.default_rng(14)
    ins, state, outs = np.split(np.arange(200), [60, 130])
    convolution = [draw(rng, (180, 35), kind), draw(rng, (180, 35), kind)]
    recurrent, head = [draw(rng, (140, 140), kind)], [draw(rng, (70, 140), kind)]
    taps, twice = np.tile(ins, 3), np.tile(state, 2)
    blocks = [
        Block(0, 0, taps, state[:35]),
        Block(0, 1, np.where(rng.random(180) < 0.1, -1, taps), state[35:]),
        Block(1, 0, twice, rng.permutation(twice)),
        Block(2, 0, state, rng.choice(outs, 140)),
    ]
    edges = np.column_stack([ins[:2], outs[:2]])
    check(graph_of(200, ins, outs, [convolution, recurrent, head], blocks, edges, edges), skips="cut")


# Published values


def recipe(case):
    rng = np.random.default_rng(case["seed"])
    shapes = zip(case["dims"][:-1], case["dims"][1:], strict=True)
    stored = [(rng.standard_normal(shape) / np.sqrt(shape[0])).T.astype(case["dtype"]) for shape in shapes]
    return [matrix.T for matrix in stored]


@pytest.mark.parametrize("name", REFERENCE["networks"])
def test_values_of_the_papers_code(name):
    case = REFERENCE["networks"][name]
    rel = 1e-6 if case["dtype"] == "float32" else 1e-12
    values, matrices = case["get_dnp"], recipe(case)
    result = deep_graph_persistence(matrices)
    assert [result.n_inputs, result.n_outputs] == case["S_shape"]
    assert result.normalized == pytest.approx(values["dnp_exact_norm"], rel=rel)
    assert result.total == pytest.approx(values["dnp_exact"], rel=rel)
    assert result.strongest == pytest.approx(case["S_max"], rel=rel)
    unscaled = deep_graph_persistence(matrices, rescale=False)
    assert unscaled.total == pytest.approx(values["dnp_prev"], rel=rel)
    assert unscaled.normalized == pytest.approx(values["dnp_prev_norm"], rel=rel)
    check(as_graph(matrices), rel)


# Larger networks, at the level the tool itself chooses


def explicit_s(matrices):
    """S by one max-min product after another."""
    scan = [(m.astype(float), m.astype(float).mean(), m.astype(float).std()) for m in matrices]
    layers = [abs(m - mean) / std if np.ptp(m) else 0 * m for m, mean, std in scan]
    top = max(layer.max() for layer in layers) or 1.0
    s = layers[0] / top
    for layer in layers[1:]:
        s = np.stack([np.minimum(row[:, None], layer / top).max(axis=0) for row in s])
    return s


def check_stack(matrices, rel=1e-11):
    s = explicit_s(matrices)
    result = deep_graph_persistence(matrices)
    assert result.alpha == pytest.approx(s.max(axis=0), rel=rel, abs=1e-9)
    assert result.beta == pytest.approx(s.max(axis=1), rel=rel, abs=1e-9)
    deaths = prim_strengths(s) / (s.max() or 1.0)
    assert result.diagram.points[:, 1] == pytest.approx(deaths, rel=rel, abs=1e-9)


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("order", ["C", "F"])
def test_hard_matrices_against_explicit_s(name, order):
    shapes = [(150, 200), (200, 170), (170, 140)]
    matrices = [random_matrix(name, *shape, seed=k) for k, shape in enumerate(shapes)]
    check_stack([np.asarray(matrix, order=order) for matrix in matrices])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_dtypes(dtype):
    rng = np.random.default_rng(1)
    check_stack([rng.standard_normal(shape).astype(dtype) for shape in [(150, 160), (160, 140), (140, 10)]])


def test_after_a_bottleneck_and_through_strides():
    rng = np.random.default_rng(2)
    shapes = [(200, 3), (3, 200), (200, 180), (180, 160)]
    check_stack([rng.standard_normal((2 * m, 3 * n))[::2, ::3] for m, n in shapes])


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_squares_that_leave_the_range_of_float32(size):
    rng = np.random.default_rng(3)
    matrices = [rng.standard_normal(shape, dtype=np.float32) for shape in [(30, 40), (40, 20)]]
    usual = deep_graph_persistence(matrices)
    scaled = deep_graph_persistence([matrix * np.float32(size) for matrix in matrices])
    assert scaled.diagram.points == pytest.approx(usual.diagram.points, rel=1e-5)
    doubles = deep_graph_persistence([matrix.astype(float) * 1e300 for matrix in matrices])
    assert doubles.total == pytest.approx(usual.total, rel=1e-6)


@pytest.mark.parametrize("factor", [1.0, 1e308])
def test_weights_near_the_largest_number(factor):
    """The distance of one from the mean may be beyond what a number holds; strengths are not."""
    stack = [np.array([[1.7, -1.7, -1.7], [0.5, -1.6, 1.0]]), np.array([[1.0], [-1.7], [1.7]])]
    expected = deep_graph_persistence(stack)
    found = deep_graph_persistence([factor * matrix for matrix in stack])
    assert (found.reason, found.total) == (None, pytest.approx(expected.total, rel=1e-12))


def test_mean_and_std():
    rng = np.random.default_rng(4)
    for matrix in (rng.standard_normal((300, 400)) + 1e6, np.full((40, 50), 0.1), rng.random((3, 4))):
        scan = scan_layer([matrix, matrix[:, ::2]])
        every = np.concatenate([matrix.ravel(), matrix[:, ::2].ravel()])
        assert scan.mean == pytest.approx(every.mean(), rel=1e-12)
        assert scan.std == pytest.approx(np.ptp(every) and every.std(), rel=1e-8)


def test_the_mean_of_weights_on_a_grid_is_exact():
    steps = np.random.default_rng(13).permutation(np.repeat([-3.0, -1.0, 0.0, 1.0, 3.0], 800)).reshape(50, 80)
    scan = scan_layer([steps.astype(np.float32) + 5])
    assert scan.mean == 5.0


@pytest.mark.parametrize("name", ["gaussian", "signs", "int4_uniform", "sorted_entries", "zeros_99"])
def test_what_is_not_listed_is_below_the_limit(name):
    matrices = [random_matrix(name, 200, 300), np.asfortranarray(random_matrix(name, 100, 300, seed=1))]
    scan = scan_layer(matrices, n_wanted=700)
    assert sum(cells.weights.size for cells in scan.blocks) < 8000
    for k, (matrix, cells) in enumerate(zip(matrices, scan.blocks, strict=True)):
        assert np.array_equal(matrix[cells.places], cells.weights)
        rest = scan.strength(1.0)(matrix)
        rest[cells.places] = 0.0
        assert rest.max() <= scan.limit(1.0, k)


@pytest.mark.parametrize("name", ["gaussian", "signs", "int4_uniform"])
def test_a_sample_that_misleads(name, monkeypatch):
    """Nothing of the sample is near the strong weights, so that far too many are beyond the first cuts."""
    monkeypatch.setattr(layer_scan, "sample", lambda *_: np.linspace(-0.01, 0.01, 99, dtype=np.float32))
    matrices = [random_matrix(name, 250, 200, seed=7), random_matrix(name, 200, 220, seed=8)]
    scan = scan_layer(matrices, n_wanted=300)
    n_listed = sum(cells.weights.size for cells in scan.blocks)
    assert 30 < n_listed <= 8 * 300 + 1024
    check_stack(matrices)


def test_lines_without_a_way_out():
    columns, values = strongest_in_lines(
        np.ones((2, 3)), layer_scan.Strength(0.0, 1.0, 1.0), np.arange(2), np.zeros(3)
    )
    assert (columns.tolist(), values.tolist()) == ([0, 0], [0.0, 0.0])


# Cases at the edge


def test_one_layer_is_its_standardised_matrix():
    matrix = np.random.default_rng(6).standard_normal((12, 7))
    one = layer_persistence((matrix - matrix.mean()) / matrix.std())
    deep = deep_graph_persistence([matrix])
    assert deep.total == pytest.approx(one.total, rel=1e-12)
    assert deep.normalized == pytest.approx(one.normalized, rel=1e-12)
    assert deep.strongest == 1.0
    plain = deep_graph_persistence([matrix], standardise=False, convention="tree", p=3)
    assert plain.total == pytest.approx(layer_persistence(matrix, convention="tree", p=3).total, rel=1e-12)


def test_zeros_and_constants():
    result = deep_graph_persistence({"a": np.zeros((3, 4)), "b": np.full((4, 2), 0.1)})
    assert result.total == pytest.approx(5**0.5)
    assert result.normalized == pytest.approx((5 / 4) ** 0.5)
    assert result.strongest == 0.0
    assert np.isnan(result.saturated)
    assert result.constant_layers == ("a", "b")
    assert [role.active for role in result.layers] == [0.0, 0.0]
    assert result.reason is None
    tree = deep_graph_persistence([np.zeros((3, 4)), np.ones((4, 2))], convention="tree", standardise=False)
    assert tree.total == 2.0
    assert tree.constant_layers == ()


def test_an_input_wired_to_an_output():
    matrix = np.random.default_rng(7).standard_normal((2, 2))
    blocks = [Block(0, 0, np.array([0, 1]), np.array([1, 2]))]
    result = check(graph_of(3, [0, 1], [1, 2], [[matrix]], blocks))
    assert result.strongest == 1.0
    alone = deep_graph_persistence(graph_of(1, [0], [0], [], []))
    assert (alone.total, alone.saturated, alone.alpha.tolist()) == (1.0, 1.0, [1.0])


def test_a_skip_around_everything():
    matrix = np.random.default_rng(8).standard_normal((4, 4))
    ids = np.arange(12).reshape(3, 4)
    skips = np.column_stack([ids[0], ids[2]])
    edges = np.concatenate([np.column_stack([ids[1], ids[2]]), skips])
    graph = graph_of(12, ids[0], ids[2], [[matrix]], [Block(0, 0, ids[0], ids[1])], edges, skips)
    kept = check(graph)
    assert kept.saturated >= 4 / 7
    assert np.count_nonzero(kept.diagram.generators[:, 0] < 0) >= 3
    cut = deep_graph_persistence(graph, skips="cut")
    assert cut.total == pytest.approx(deep_graph_persistence([matrix]).total, rel=1e-12)


def test_ends_that_nothing_reaches_count():
    matrix = np.random.default_rng(9).standard_normal((3, 2))
    blocks = [Block(0, 0, np.array([0, 1, -1]), np.array([3, 4]))]
    result = check(graph_of(6, [0, 1, 2], [3, 4, 5], [[matrix]], blocks))
    assert (result.n_inputs, result.n_outputs) == (3, 3)
    assert np.count_nonzero(result.diagram.points[:, 1] == 0.0) == 2
    assert result.diagram.generators[-2:].tolist() == [[-1, -1, -1]] * 2
    assert (result.alpha[-1], result.beta[-1]) == (0.0, 0.0)


def test_no_path():
    matrix = np.ones((2, 2))
    graph = graph_of(6, [0, 1], [4, 5], [[matrix]], [Block(0, 0, np.arange(2), np.arange(2, 4))])
    result = deep_graph_persistence(graph, standardise=False)
    assert (result.total, result.strongest, result.reason) == (2.0, 0.0, None)


def test_no_ends():
    for inputs, outputs, missing in [([], [1], "inputs"), ([0], [], "outputs")]:
        ends = np.array(inputs, np.intp), np.array(outputs, np.intp)
        result = deep_graph_persistence(graph_of(2, *ends, [], []))
        assert np.isnan(result.total)
        assert missing in result.reason


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value):
    matrix = np.random.default_rng(10).standard_normal((4, 4))
    broken = matrix.copy()
    broken[2, 1] = value
    result = deep_graph_persistence({"fine": matrix, "broken": broken})
    assert np.isnan([result.total, result.normalized, result.strongest, *result.alpha, *result.beta]).all()
    assert result.diagram.points.shape == (0, 2)
    assert "'broken'" in result.reason
    # Off every path it changes nothing.
    ids = np.arange(12).reshape(3, 4)
    blocks = [Block(0, 0, ids[0], ids[1]), Block(1, 0, ids[0], ids[2])]
    result = deep_graph_persistence(graph_of(12, ids[0], ids[1], [[matrix], [broken]], blocks))
    assert result.total == pytest.approx(deep_graph_persistence([matrix]).total, rel=1e-12)


def test_a_broken_layer_behind_structural_edges_and_in_a_cycle():
    broken = np.full((1, 1), np.nan)
    edges = [[0, 1], [2, 1], [2, 3]]
    blocks = [Block(0, 0, np.array([1]), np.array([2]))]
    assert "'w0'" in deep_graph_persistence(graph_of(4, [0], [3], [[broken]], blocks, edges)).reason
    assert deep_graph_persistence(graph_of(4, [0], [3], [[broken]], blocks, edges[1:])).reason is None


def test_roles_of_layers():
    first, second = np.array([[4.0, 0.0], [0.0, 3.0]]), np.array([[2.0], [0.0]])
    roles = deep_graph_persistence([first, second], standardise=False).layers
    assert roles == (LayerRole(0, 0.5, (0.75, 1.0), (0.0, 0.5)), LayerRole(1, 1.0, (0.5, 0.5), (0.0, 0.5)))


def test_a_mapping_keeps_names_and_a_layer_of_several_matrices_its_places():
    rng = np.random.default_rng(11)
    matrices = [rng.standard_normal((2, 3)), rng.standard_normal((3, 2))]
    blocks = [Block(0, 0, np.arange(2), np.arange(5, 8)), Block(0, 1, np.arange(2, 5), np.arange(8, 10))]
    result = check(graph_of(10, np.arange(5), np.arange(5, 10), [matrices], blocks))
    generators = result.diagram.generators[result.diagram.generators[:, 0] >= 0]
    assert ((generators[:, 1] < 2) == (generators[:, 2] < 3)).all()
    assert len(generators) == 8


def test_layers_are_read_one_at_a_time_and_only_those_of_blocks():
    matrices = list(np.random.default_rng(12).standard_normal((2, 80, 80)))
    read = []

    def matrix_of(k):
        assert all(earlier() is None for earlier in read)
        matrix = matrices[k].copy()
        read.append(weakref.ref(matrix))
        return [matrix]

    ids = np.arange(240).reshape(3, 80)
    layers = [Weights(str(k), lambda k=k: matrix_of(k)) for k in range(3)]
    blocks = [Block(k, 0, ids[k], ids[k + 1]) for k in range(2)]
    graph = NetworkGraph(240, ids[0], ids[2], layers, blocks, NO_EDGES, NO_EDGES)
    result = _measure(graph, _Options(n_wanted=60))
    assert len(read) > 2  # some again, for what the strongest weights do not decide
    assert result.layers[2] is None
    read.clear()
    deep_graph_persistence(graph)
    assert len(read) == 2


def test_edges_of_a_large_network_are_held_a_layer_at_a_time(monkeypatch):
    stack = list(np.random.default_rng(15).standard_normal((6, 30, 30)))
    wanted, made, listed = deep_graph_persistence(stack), [], deep._listed

    def watched(cells, strength):
        assert sum(earlier() is not None for earlier in made) <= 1
        edges = listed(cells, strength)
        made.append(weakref.ref(edges.strengths))
        return edges

    monkeypatch.setattr(deep, "HELD", 0)
    monkeypatch.setattr(deep, "_listed", watched)
    found = deep_graph_persistence(stack)
    assert len(made) > len(stack)
    assert np.array_equal(found.diagram.points, wanted.diagram.points)
    assert np.array_equal(found.diagram.generators, wanted.diagram.generators)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ([], {}, "at least one"),
        ({}, {}, "at least one"),
        ([np.ones((2, 3)), np.ones((2, 3))], {}, "wanted 3 rows in layer 'layer 1'"),
        ([np.ones(3)], {}, "layer 'layer 0'"),
        ([np.ones((2, 0))], {}, "no side empty"),
        ([np.ones((2, 2))], {"convention": "both"}, "convention"),
        ([np.ones((2, 2))], {"p": 0}, "p above 0"),
        ([np.ones((2, 2))], {"skips": "drop"}, "skips"),
    ],
)
def test_bad_arguments(network, options, message):
    with pytest.raises(UsageError, match=message):
        deep_graph_persistence(network, **options)
