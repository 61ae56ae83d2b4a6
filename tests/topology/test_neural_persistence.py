import hashlib
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from brute_force import on_diagonal, prim_strengths
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from onnxtop.errors import UsageError
from onnxtop.topology.neural_persistence import (
    layer_forest,
    layer_persistence,
    network_persistence,
    neural_persistence,
)

DATA = Path(__file__).parents[1] / "data"
REFERENCE = json.loads((DATA / "neural_persistence.json").read_text())
ARRAYS = np.load(DATA / "neural_persistence.npz")
MATRICES = {name: case for name, case in REFERENCE["matrices"].items() if name != "all_zero_3x3"}
sixty = settings(max_examples=60)


def tolerance(dtype):
    return 1e-6 if dtype == "float32" else 1e-12


@pytest.mark.parametrize("name", MATRICES)
def test_values_of_the_papers_code(name):
    case, matrix = MATRICES[name], ARRAYS[name]
    rel = tolerance(case["dtype"])
    result = layer_persistence(matrix)
    assert result.n_vertices == case["n"]
    assert result.scale == pytest.approx(case["W"], rel=rel)
    assert result.total == pytest.approx(case["code_total_persistence"], rel=rel)
    assert result.normalized == pytest.approx(case["code_total_persistence_normalized"], rel=rel)
    assert layer_persistence(matrix, p=1).total == pytest.approx(case["code_pnorm_p1"], rel=rel)
    assert layer_persistence(matrix, p=3).total == pytest.approx(case["code_pnorm_p3"], rel=rel)
    assert layer_persistence(matrix, p=np.inf).total == pytest.approx(case["code_infinity_norm"], rel=rel)
    assert neural_persistence({name: matrix}).mean_normalized == pytest.approx(
        case["code_global_normalized"], rel=rel
    )


@pytest.mark.parametrize("name", MATRICES)
def test_trees_of_the_papers_code(name):
    case, matrix = MATRICES[name], ARRAYS[name]
    rel = tolerance(case["dtype"])
    result = layer_persistence(matrix, convention="tree")
    deaths = result.diagram.points[:, 1]
    assert deaths.sum() == pytest.approx(case["mst_weight_sum"], rel=rel)
    assert result.total == pytest.approx(case["mst_only_pnorm_p2"], rel=rel, abs=rel)
    assert result.normalized == pytest.approx(case["mst_only_normalized_p2"], rel=rel, abs=rel)
    assert layer_persistence(matrix, convention="tree", p=1).total == pytest.approx(
        case["mst_only_pnorm_p1"], rel=rel, abs=rel
    )
    if "mst_weights_desc" in case:
        assert deaths == pytest.approx(case["mst_weights_desc"], rel=rel)
    if case["dtype"] == "float64":
        digest = hashlib.sha256(deaths.astype("<f8").tobytes()).hexdigest()
        assert digest == case["mst_weight_sha256_f64le_desc"]


@pytest.mark.parametrize("name", REFERENCE["networks"])
def test_networks_of_the_papers_code(name):
    case = REFERENCE["networks"][name]
    rel = tolerance(case["dtype"])
    network = neural_persistence({layer: ARRAYS[f"{name}/{layer}"] for layer in case["layers"]})
    assert network.scale == pytest.approx(case["W"], rel=rel)
    for layer, values in case["layers"].items():
        assert network.layers[layer].total == pytest.approx(values["total_persistence"], rel=rel)
        assert network.layers[layer].normalized == pytest.approx(
            values["total_persistence_normalized"], rel=rel
        )
    assert network.total == pytest.approx(case["global"]["accumulated_total_persistence"], rel=rel)
    assert network.mean_normalized == pytest.approx(
        case["global"]["accumulated_total_persistence_normalized"], rel=rel
    )


@pytest.mark.parametrize("shape", [(784, 10), (785, 10), (784, 650), (50, 50)])
def test_random_matrices_of_the_papers_code(shape):
    case = REFERENCE["random_matrix_baseline"][str(shape)]
    rngs = {"gauss": lambda rng: rng.standard_normal(shape), "uniform": lambda rng: rng.uniform(-1, 1, shape)}
    for name, draw in rngs.items():
        values = [
            layer_persistence(draw(np.random.default_rng(seed))).normalized for seed in range(case["seeds"])
        ]
        assert np.mean(values) == pytest.approx(case[f"{name}_mean"], rel=1e-12)
        assert np.std(values) == pytest.approx(case[f"{name}_std"], rel=1e-9)


def test_unit_values():
    case = REFERENCE["unit_values"]
    network = neural_persistence({"a": -np.ones((2, 4)), "b": -np.ones((2, 2))})
    assert network.layers["a"].total == case["all_minus_one_2x4"]["total_persistence"]
    assert network.layers["a"].normalized == pytest.approx(case["all_minus_one_2x4"]["normalized"], rel=1e-12)
    assert network.layers["b"].normalized == pytest.approx(case["all_minus_one_2x2"]["normalized"], rel=1e-12)
    assert network.mean_normalized == pytest.approx(case["mean_of_both"], rel=1e-12)
    masked = {"a": [[-1, 0, -1, 0], [0, -1, -1, 0]], "b": [[0, 0], [-1, -1]]}
    network = neural_persistence(masked)
    for name, rows in masked.items():
        expected = case[f"matrix_{json.dumps(rows, separators=(',', ':'))}"]
        assert network.layers[name].total == pytest.approx(expected["total_persistence"], rel=1e-12)
        assert network.layers[name].normalized == pytest.approx(expected["normalized"], rel=1e-12)
    assert network.mean_normalized == pytest.approx(case["mean_of_both_masked"], rel=1e-12)


matrices = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(-5, 5) | st.floats(-1, 1, allow_subnormal=False, width=32),
)


@sixty
@given(matrices)
def test_deaths_are_the_tree_by_brute_force(matrix):
    result = layer_persistence(matrix, scale=5)
    assert result.diagram.points[:, 1].tolist() == (prim_strengths(matrix) / 5).tolist()
    _, rows, cols = result.diagram.generators.T
    assert (np.abs(matrix[rows, cols]) / 5).tolist() == result.diagram.points[:, 1].tolist()


@sixty
@given(matrices, st.sampled_from([2.0**-20, 0.5, 64.0]), st.sampled_from([1, 2, 3.5, np.inf]))
def test_scale_sign_and_transpose_do_not_matter(matrix, factor, p):
    expected = layer_persistence(matrix, p=p).total
    assert layer_persistence(matrix * factor, p=p).total == expected
    assert layer_persistence(-matrix, p=p).total == expected
    assert layer_persistence(matrix.T, p=p).total == expected
    assert layer_persistence(np.abs(matrix), p=p).total == expected


@sixty
@given(matrices, st.randoms(use_true_random=False))
def test_order_of_neurons_does_not_matter(matrix, random):
    rows, cols = list(range(matrix.shape[0])), list(range(matrix.shape[1]))
    random.shuffle(rows)
    random.shuffle(cols)
    assert layer_persistence(matrix[rows][:, cols]).total == layer_persistence(matrix).total


@sixty
@given(matrices)
def test_normalized_stays_below_its_bound(matrix):
    n = sum(matrix.shape)
    for scale in (None, 5.0, 1e6):
        result = layer_persistence(matrix, scale=scale)
        assert 0 < result.normalized <= (n / (n - 1)) ** 0.5 * (1 + 1e-15)


@pytest.mark.parametrize("p", [0.5, 1, 2, np.inf])
def test_all_zero(p):
    assert layer_persistence(np.zeros((3, 4)), p=p).total == pytest.approx(7 ** (1 / p))
    assert layer_persistence(np.zeros((3, 4)), p=p, convention="tree").total == pytest.approx(6 ** (1 / p))
    network = neural_persistence({"a": np.zeros((3, 4)), "b": np.zeros((1, 1))}, p=p)
    assert network.scale == 0.0
    assert network.total == pytest.approx(7 ** (1 / p) + 2 ** (1 / p))
    assert network.reason is None


def test_a_layer_tiny_beside_the_scale_can_exceed_one():
    network = neural_persistence({"large": [[1.0]], "tiny": np.full((2, 2), 1e-9)})
    assert network.layers["tiny"].normalized == pytest.approx((4 / 3) ** 0.5, rel=1e-8)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], np.uint8),
        np.array([[1, 2], [3, 4]], np.float16),
        np.array([[1, 2], [3, 4]], ml_dtypes.bfloat16),
        ((1.0, -2.0), (-3.0, 4.0)),
    ],
)
def test_anything_that_is_a_matrix_of_numbers(matrix):
    assert layer_persistence(matrix).total == layer_persistence(np.array([[1.0, 2.0], [3.0, 4.0]])).total
    assert neural_persistence({"a": matrix}).layers["a"].n_vertices == 4


def test_booleans_and_the_smallest_integer():
    assert layer_persistence([[True, False], [False, True]]).diagram.points[:, 1].tolist() == [1.0, 1.0, 0.0]
    assert layer_persistence(np.array([[-128, 64]], np.int8)).diagram.points[:, 1].tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        ([1.0, 2.0], "shape (2,)"),
        (np.ones((2, 2, 2)), "shape (2, 2, 2)"),
        (3.0, "shape ()"),
        (np.ones((0, 4)), "shape (0, 4)"),
        (np.ones((4, 0)), "shape (4, 0)"),
        ([["a"]], "dtype <U1"),
        ([[1j]], "dtype complex128"),
        ([[None]], "dtype object"),
        (np.ones((1, 1), np.longdouble), "dtype"),
        ([[1.0], [1.0, 2.0]], "uneven"),
    ],
)
def test_anything_else_is_refused_with_what_was_found(matrix, found):
    with pytest.raises(UsageError, match="wanted") as error:
        layer_persistence(matrix)
    assert found in str(error.value)
    for layer in (matrix, [[[1.0]], matrix]):
        with pytest.raises(ValueError, match="layer 'fc'"):
            neural_persistence({"fc": layer})


@pytest.mark.parametrize("options", [{"p": 0}, {"p": -1}, {"p": np.nan}, {"p": "2"}, {"convention": "paper"}])
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError, match="wanted"):
        layer_persistence([[1.0]], **options)
    with pytest.raises(UsageError, match="wanted"):
        neural_persistence({"a": [[1.0]]}, **options)


@pytest.mark.parametrize("scale", [0.99, 0, -1, np.nan, np.inf, "largest", None])
def test_scales_that_make_no_sense(scale):
    if scale is not None:
        with pytest.raises(UsageError, match="wanted a"):
            layer_persistence([[1.0]], scale=scale)
    with pytest.raises(UsageError, match="wanted a"):
        neural_persistence({"a": [[1.0]]}, scale=scale)


def test_a_given_scale():
    result = layer_persistence([[1.0, 0.5]], scale=2)
    assert result.diagram.points[:, 1].tolist() == [0.5, 0.25]
    network = neural_persistence({"a": [[1.0, 0.5]], "b": [[2.0]]}, scale=2)
    assert network.layers["a"].total == result.total
    assert (network.scaling, network.scale) == ("given", 2.0)


def test_scale_of_each_layer():
    network = neural_persistence({"a": [[1.0, 0.5]], "b": [[8.0, 4.0]]}, scale="layer")
    assert (network.scaling, network.scale) == ("layer", None)
    assert network.layers["a"].total == network.layers["b"].total == layer_persistence([[1.0, 0.5]]).total
    assert [layer.scale for layer in network.layers.values()] == [1.0, 8.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_layer_that_is_not_finite_poisons_nothing(bad):
    matrix = np.ones((3, 4))
    matrix[1, 2:] = bad
    result = layer_persistence(matrix)
    assert np.isnan([result.total, result.normalized]).all()
    assert result.diagram.points.shape == (0, 2)
    assert result.reason == "2 weights are NaN or infinite, the first at (1, 2)"
    network = neural_persistence({"bad": matrix, "good": [[1.0, 0.5]]})
    alone = neural_persistence({"good": [[1.0, 0.5]]})
    assert (network.total, network.mean_normalized, network.scale) == (
        alone.total,
        alone.mean_normalized,
        1.0,
    )
    assert network.layers["bad"].reason == result.reason
    assert network.layers["good"].reason is None


@pytest.mark.parametrize("scale", ["global", "layer", 3.0])
def test_a_network_without_a_finite_layer(scale):
    network = neural_persistence({"a": [[np.nan]], "b": [[np.inf, 1.0]]}, scale=scale)
    assert np.isnan([network.total, network.mean_normalized]).all()
    assert network.reason == "none of the 2 counted layers is finite"
    assert network.layers["a"].reason == "1 weight is NaN or infinite, the first at (0, 0)"
    assert network.layers["a"].scale == pytest.approx(3.0 if scale == 3.0 else np.nan, nan_ok=True)
    assert np.isnan(layer_persistence([[np.nan, 1.0]]).scale)
    assert neural_persistence({}, scale=scale).reason == "no layer is counted"


def test_layers_that_are_not_counted():
    forests = {
        name: layer_forest([np.array([[w, w / 4]])], layer=i)
        for i, (name, w) in enumerate([("a", 1.0), ("copy", 4.0), ("b", 0.5)])
    }
    network = network_persistence(forests, counted={"a", "b"})
    assert network.scale == 1.0
    assert network.layers["copy"].diagram.points[:, 1].tolist() == [1.0, 1.0]
    assert network.total == network.layers["a"].total + network.layers["b"].total
    assert network.mean_normalized == (network.layers["a"].normalized + network.layers["b"].normalized) / 2
    assert network.layers["copy"].diagram.generators[:, 0].tolist() == [1, 1]
    assert network_persistence(forests, scale=1.0, counted=["a"]).layers["copy"].total == 1.0
    with pytest.raises(UsageError, match="found c"):
        network_persistence(forests, counted=["a", "c"])


def test_without_a_counted_finite_layer_there_is_no_scale():
    forests = {"a": layer_forest([np.array([[np.nan]])]), "b": layer_forest([np.array([[1.0]])])}
    network = network_persistence(forests, counted=["a"])
    assert np.isnan(network.layers["b"].total)
    assert network.layers["b"].reason == "no finite layer sets the scale"
    assert network_persistence(forests, counted=[]).reason == "no layer is counted"


def test_groups_are_one_disconnected_layer():
    groups = list(np.random.default_rng(0).standard_normal((5, 6, 2)))
    grouped = neural_persistence({"conv": groups}).layers["conv"]
    whole = layer_persistence(on_diagonal(groups))
    assert grouped.total == pytest.approx(whole.total, rel=1e-12)
    assert grouped.n_vertices == 40
    assert grouped.diagram.points[-4:].tolist() == [[1.0, 0.0]] * 4
    assert grouped.diagram.generators[-4:].tolist() == [[-1, -1, -1]] * 4
    assert grouped.diagram.generators[:-4, 0].tolist() == [0] * 35


def test_bias_joins_the_groups():
    groups = list(np.random.default_rng(0).standard_normal((2, 3, 2)))
    bias = np.array([1.0, -2.0, 3.0, -4.0])
    forest = layer_forest(groups, bias=bias)
    assert forest.strengths.tolist() == prim_strengths(np.vstack([on_diagonal(groups), bias])).tolist()


@pytest.mark.parametrize("dtype", [float, np.float32, int, bool, ml_dtypes.bfloat16])
@pytest.mark.parametrize("convention", ["essential", "tree"])
def test_a_bias_is_one_more_row(dtype, convention):
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 6), (5, 1), (7, 4), (40, 30)):
        matrix, bias = rng.standard_normal(shape), (4 * rng.standard_normal(shape[1])).astype(dtype)
        whole = np.vstack([matrix, bias.astype(float)])
        found = layer_persistence(matrix, bias=bias, convention=convention)
        expected = layer_persistence(whole, convention=convention)
        assert (found.total, found.normalized, found.scale) == (
            expected.total,
            expected.normalized,
            np.abs(whole).max(),
        )
        assert found.n_vertices == sum(shape) + 1
        assert (found.diagram.points[:, 1] * found.scale).tolist() == pytest.approx(prim_strengths(whole))
        assert layer_persistence(matrix, bias=bias.tolist(), convention=convention).total == found.total


def test_biases_of_a_network():
    """They take part in the scale, join the blocks of a layer, and may be those of some layers only."""
    rng = np.random.default_rng(1)
    groups = [rng.standard_normal((3, 2)), rng.standard_normal((4, 5))]
    matrices = {"a": rng.standard_normal((6, 5)), "groups": groups, "last": rng.standard_normal((7, 2))}
    bias = {"a": np.array([0, 0, -9.0, 0, 1]), "groups": rng.standard_normal(7)}
    whole = {
        "a": np.vstack([matrices["a"], bias["a"]]),
        "groups": np.vstack([on_diagonal(groups), bias["groups"]]),
        "last": matrices["last"],
    }
    found = neural_persistence(matrices, bias=bias)
    expected = neural_persistence(whole)
    assert found.scale == 9.0
    assert (found.total, found.mean_normalized) == pytest.approx((expected.total, expected.mean_normalized))
    for name, layer in found.layers.items():
        assert layer.total == pytest.approx(expected.layers[name].total, rel=1e-12)
    assert neural_persistence(matrices, bias={}).total == neural_persistence(matrices).total


def test_a_bias_that_is_not_finite_leaves_the_layer_without_value():
    found = neural_persistence({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, bias={"b": [np.nan, 1.0]})
    assert (found.scale, found.layers["b"].reason) == (
        1.0,
        "1 weight is NaN or infinite, the first at (2, 0)",
    )
    assert np.isnan(found.layers["b"].total)
    assert found.mean_normalized == found.layers["a"].normalized


@pytest.mark.parametrize(
    "bias", [[1.0], [1.0, 2.0, 3.0], 1.0, [[1.0, 2.0]], [[1.0], [2.0, 3.0]], ["a", "b"], [1j, 2]]
)
def test_a_bias_that_does_not_fit(bias):
    with pytest.raises(UsageError, match="wanted a bias"):
        layer_persistence(np.ones((3, 2)), bias=bias)
    with pytest.raises(UsageError, match="wanted the bias of layer 'fc'"):
        neural_persistence({"fc": np.ones((3, 2))}, bias={"fc": bias})


def test_a_bias_of_no_layer():
    with pytest.raises(UsageError, match="wanted names of layers in bias, found fc2"):
        neural_persistence({"fc": np.ones((3, 2))}, bias={"fc2": [1.0, 2.0]})


def test_blocks_and_bias_of_a_layer_are_checked():
    with pytest.raises(UsageError, match="at least one matrix"):
        layer_forest([])
    with pytest.raises(UsageError, match=r"bias of shape \(3,\), found \(2,\)"):
        layer_forest([np.ones((2, 1)), np.ones((2, 2))], bias=np.ones(2))
    with pytest.raises(UsageError, match=r"shape \(2, 0\)"):
        layer_forest([np.ones((2, 0))])
