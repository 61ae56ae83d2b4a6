import math

import numpy as np
import pytest
from scipy import stats

from onnxtop.errors import UsageError
from onnxtop.statistics.initialisers import (
    InitialiserMatch,
    bias_was_moved,
    closest_initialiser,
    initialiser_distances,
    orthonormal_lines,
)
from onnxtop.statistics.laws import FITTED

N_IN, N_OUT = 300, 80


def uniform(rng, shape, bound):
    return rng.uniform(-bound, bound, shape)


def normal(rng, shape, deviation):
    return rng.normal(0, deviation, shape)


def truncated(rng, shape, deviation):
    """As Keras and Flax draw it: cut off at two deviations and widened to the one asked for."""
    cut = stats.truncnorm(-2, 2, scale=deviation / stats.truncnorm(-2, 2).std())
    return cut.rvs(shape, random_state=rng)


DRAWS = {
    "PyTorch default": (uniform, 1 / math.sqrt(N_IN)),
    "Kaiming uniform, fan-in": (uniform, math.sqrt(6 / N_IN)),
    "Kaiming uniform, fan-out": (uniform, math.sqrt(6 / N_OUT)),
    "Kaiming normal, fan-in": (normal, math.sqrt(2 / N_IN)),
    "Kaiming normal, fan-out": (normal, math.sqrt(2 / N_OUT)),
    "Kaiming truncated normal, fan-in": (truncated, math.sqrt(2 / N_IN)),
    "Xavier uniform": (uniform, math.sqrt(6 / (N_IN + N_OUT))),
    "Xavier normal": (normal, math.sqrt(2 / (N_IN + N_OUT))),
    "Xavier truncated normal": (truncated, math.sqrt(2 / (N_IN + N_OUT))),
    "LeCun uniform, fan-in": (uniform, math.sqrt(3 / N_IN)),
    "LeCun uniform, fan-out": (uniform, math.sqrt(3 / N_OUT)),
    "LeCun normal, fan-in": (normal, math.sqrt(1 / N_IN)),
    "LeCun normal, fan-out": (normal, math.sqrt(1 / N_OUT)),
    "LeCun truncated normal, fan-in": (truncated, math.sqrt(1 / N_IN)),
    "normal, deviation 0.01": (normal, 0.01),
    "normal, deviation 0.02": (normal, 0.02),
    "normal, deviation 1": (normal, 1.0),
    "Keras uniform": (uniform, 0.05),
    "uniform": (uniform, 3.7),
    "normal": (normal, 0.9),
    "truncated normal": (truncated, 0.77),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_draws_are_told(name, dtype):
    draw, scale = DRAWS[name]
    matrix = draw(np.random.default_rng(0), (N_IN, N_OUT), scale).astype(dtype)
    match = closest_initialiser([matrix])
    assert (match.name, match.fits) == (name, True)


@pytest.mark.parametrize("shape", [(120, 40), (40, 120), (64, 64)])
def test_orthogonal_matrices_are_told(shape):
    square = np.linalg.qr(np.random.default_rng(1).standard_normal((max(shape), min(shape))))[0]
    matrix = (square if shape[0] >= shape[1] else square.T).astype(np.float32)
    assert closest_initialiser([1.41 * matrix]).name == "orthogonal"
    matrix[:, 0] += 0.01
    assert closest_initialiser([matrix]).name != "orthogonal"


def test_distance_is_that_of_kolmogorov_and_smirnov():
    matrix = np.random.default_rng(2).standard_t(3, (90, 70))
    found = {match.name: match.distance for match in initialiser_distances([matrix])}
    entries = matrix.ravel()
    for name, law in {
        "PyTorch default": stats.uniform(-1 / math.sqrt(90), 2 / math.sqrt(90)),
        "Kaiming normal, fan-in": stats.norm(0, math.sqrt(2 / 90)),
        "Xavier uniform": stats.uniform(-math.sqrt(6 / 160), 2 * math.sqrt(6 / 160)),
        "normal": stats.norm(0, math.sqrt(np.mean(entries**2))),
        "LeCun truncated normal, fan-out": stats.truncnorm(
            -2, 2, scale=math.sqrt(1 / 70) / stats.truncnorm(-2, 2).std()
        ),
    }.items():
        assert found[name] == pytest.approx(stats.kstest(entries, law.cdf).statistic, abs=1 / entries.size)


@pytest.mark.parametrize("step", [0.002, 0.01, 0.03])
def test_rounding_makes_no_distance(step):
    rng = np.random.default_rng(9)
    for name in ("PyTorch default", "Kaiming normal, fan-in"):
        draw, scale = DRAWS[name]
        matrix = np.round(draw(rng, (N_IN, N_OUT), scale) / step) * step
        assert (closest_initialiser([matrix]).name, closest_initialiser([matrix]).fits) == (name, True)


def test_fans_of_a_convolution():
    """3 x 3 taps, 32 channels in, 48 out: rows of the matrix are 288, the usual fan-out is 432."""
    matrix = normal(np.random.default_rng(3), (288, 48), math.sqrt(2 / 432))
    assert closest_initialiser([matrix], fan_out=432).name == "Kaiming normal, fan-out"
    assert closest_initialiser([matrix]).name != "Kaiming normal, fan-out"


def test_groups_have_the_inputs_of_one_and_the_outputs_of_all():
    blocks = list(normal(np.random.default_rng(4), (8, 36, 30), math.sqrt(2 / (36 + 240))))
    assert closest_initialiser(blocks).name == "Xavier normal"


def test_trained_weights_fit_nothing():
    rng = np.random.default_rng(5)
    matrix = rng.standard_normal((200, 100)) * rng.gamma(1.0, size=(200, 1))
    match = closest_initialiser([matrix])
    assert not match.fits
    assert match == min(initialiser_distances([matrix]), key=lambda each: each.distance)


def test_an_initialiser_of_known_scale_goes_before_a_fitted_one():
    matrix = normal(np.random.default_rng(6), (N_IN, N_OUT), math.sqrt(2 / N_IN))
    fitting = {match.name: match.distance for match in initialiser_distances([matrix]) if match.fits}
    assert set(fitting) & set(FITTED)
    assert closest_initialiser([matrix]).name == "Kaiming normal, fan-in"


def test_large_layers_are_sampled():
    matrix = uniform(np.random.default_rng(7), (1500, 1200), 1 / math.sqrt(1500)).astype(np.float32)
    match = closest_initialiser([matrix])
    assert (match.name, match.fits) == ("PyTorch default", True)
    assert match == closest_initialiser([np.asfortranarray(matrix)])


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 0.5])
def test_nothing_to_compare(value):
    matrix = np.full((40, 30), value)
    assert initialiser_distances([matrix]) == []
    assert closest_initialiser([matrix]) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 3)])
def test_tiny_layers(shape):
    matrix = np.random.default_rng(8).standard_normal(shape)
    match = closest_initialiser([matrix])
    assert match is None if matrix.size == 1 else isinstance(match, InitialiserMatch)


@pytest.mark.parametrize("fans", [{"fan_in": 0}, {"fan_out": -1}])
def test_fans_below_one(fans):
    with pytest.raises(UsageError, match="wanted fans of at least 1"):
        closest_initialiser([np.ones((3, 3))], **fans)


def test_a_step_of_training_moves_some_weight_beyond_what_is_drawn():
    matrix = uniform(np.random.default_rng(3), (N_IN, N_OUT), 1 / math.sqrt(N_IN))
    assert closest_initialiser([matrix]).fits
    moved = matrix + 0.003 * np.sign(np.random.default_rng(4).standard_normal(matrix.shape))
    match = next(each for each in initialiser_distances([moved]) if each.name == "PyTorch default")
    assert not match.fits
    assert bias_was_moved(np.linspace(-0.1, 0.1, 8), N_IN, match)


@pytest.mark.parametrize("turned", [False, True])
def test_orthogonal_outputs_are_told_whatever_was_folded_into_them(turned):
    """As normalisations that are folded into convolutions: every output has a factor of its own."""
    rng = np.random.default_rng(5)
    matrix = np.linalg.qr(rng.standard_normal((48, 24)))[0] * rng.uniform(0.2, 3, 24)
    found = orthonormal_lines([(matrix.T if turned else matrix).astype(np.float32)])
    assert found is not None
    assert found.name == "orthogonal"


def test_tables_that_are_orthogonal_were_not_drawn():
    n = np.arange(8)
    cosines = np.cos(np.pi / 8 * (n[:, None] + 0.5) * n).astype(np.float32)
    signs = np.array([[1, 1], [1, -1]], np.float32)
    for table in (cosines, np.eye(16, dtype=np.float32), np.kron(np.kron(signs, signs), signs)):
        assert orthonormal_lines([table]) is None


@pytest.mark.parametrize("step", [1e-4, -1e-4])
def test_a_step_of_one_weight_in_a_hundred_shows_at_the_bound(step):
    """A bounded distribution is told exactly: nothing beyond, and something closely below."""
    bound = 1 / math.sqrt(N_IN)
    matrix = uniform(np.random.default_rng(3), (N_IN, N_OUT), bound).astype(np.float32)
    assert closest_initialiser([matrix]).fits
    beyond = matrix.copy()
    beyond[0, 0] = bound + step
    shrunk = np.clip(matrix, -0.97 * bound, 0.97 * bound)
    for moved, fits in ((beyond, step < 0), (shrunk, False)):
        fitting = {match.name for match in initialiser_distances([moved]) if match.fits}
        assert ("PyTorch default" in fitting) == fits


@pytest.mark.parametrize("scale", [1.0, 1 / math.sqrt(1 + 1e-3)])
def test_a_normalisation_folded_at_its_start_is_not_noticed(scale):
    matrix = scale * uniform(np.random.default_rng(6), (N_IN, N_OUT), 1 / math.sqrt(N_IN))
    assert closest_initialiser([matrix]).fits


def test_zeros_of_a_mask_are_left_out():
    rng = np.random.default_rng(7)
    masked = normal(rng, (N_IN, N_OUT), 0.01) * (rng.random((N_IN, N_OUT)) < 0.1)
    assert (closest_initialiser([masked]).name, closest_initialiser([masked]).fits) == (
        "normal, deviation 0.01",
        True,
    )


def test_a_bias_that_was_hardly_moved_from_zero_was_not_drawn():
    """Of ten numbers that reach a twentieth of the bound, that of Kolmogorov and Smirnov says nothing."""
    moved = np.linspace(-0.02, 0.015, 10)
    assert bias_was_moved(moved, 4)
    drawn = np.random.default_rng(8).uniform(-0.5, 0.5, 64)
    exact, normals = (InitialiserMatch(name, 0.0, True) for name in ("Xavier uniform", "Xavier normal"))
    assert bias_was_moved(drawn, 4, exact) is False
    assert bias_was_moved(drawn[:10], 4, exact) is None
    assert bias_was_moved(drawn, 4, normals)


@pytest.mark.parametrize("factor", [1e-300, 1e-40, 1e40, 1e300])
@pytest.mark.parametrize("how", ["normal", "uniform", "orthogonal"])
def test_weights_of_any_size_that_a_number_holds(factor, how):
    """Beyond float32, and where squares overflow or vanish, an initialiser whose scale is fitted is told."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(-1, 1, (64, 64)) if how == "uniform" else rng.standard_normal((64, 64))
    matrix = np.linalg.qr(drawn)[0] if how == "orthogonal" else drawn
    with np.errstate(all="raise", under="ignore"):
        found = closest_initialiser([matrix * factor])
    fitted = min(
        (match for match in initialiser_distances([matrix]) if match.name in (*FITTED, "orthogonal")),
        key=lambda match: match.distance,
    )
    assert (found.name, found.fits) == (fitted.name, True)
    assert abs(found.distance - fitted.distance) < 1e-12
