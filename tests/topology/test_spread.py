import numpy as np
import pytest

import onnxtop
from onnxtop.errors import UsageError
from onnxtop.topology import spread
from onnxtop.topology.spread import network_variance, sortedness, spread_of, together

TYPES = ["f2", "f4", "f8"]


def tau_b(values):
    """Kendall's tau-b of a sequence against its positions, pair by pair."""
    concordant = discordant = tied = 0
    for later in range(len(values)):
        for earlier in range(later):
            step = values[later] - values[earlier]
            concordant, discordant, tied = (
                concordant + (step > 0),
                discordant + (step < 0),
                tied + (step == 0),
            )
    pairs = concordant + discordant + tied
    return (concordant - discordant) / np.sqrt(pairs * (pairs - tied))


def sorted_by_definition(matrix):
    sizes = np.abs(matrix).astype(float)
    sizes = sizes[:, np.argsort(sizes.mean(axis=0), kind="stable")]
    sizes = sizes[np.argsort(sizes.mean(axis=1), kind="stable")]
    diagonals = [
        sizes[i, d - i]
        for d in range(sum(sizes.shape))
        for i in range(len(sizes))
        if 0 <= d - i < sizes.shape[1]
    ]
    return max(tau_b(order) for order in (diagonals, sizes.ravel(), sizes.T.ravel()))


@pytest.mark.parametrize("seed", range(20))
def test_sortedness_by_its_definition(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal(rng.integers(1, 9, 2) + 1)
    if seed % 3 == 1:  # ties, and large weights gathered in some rows
        matrix = np.round(matrix * np.arange(1, len(matrix) + 1)[:, None])
    assert sortedness(matrix) == pytest.approx(sorted_by_definition(matrix), abs=1e-12)
    assert sortedness(-matrix) == sortedness(matrix)


def test_sortedness_of_what_is_sorted_and_of_what_is_not():
    assert sortedness(np.arange(1.0, 13).reshape(3, 4)) == pytest.approx(1.0)
    assert sortedness(np.random.default_rng(0).permutation(12.0 - np.arange(12))[None]) == pytest.approx(1.0)
    assert np.isnan(sortedness(np.ones((3, 4))))
    assert np.isnan(sortedness([[2.0]]))
    assert sortedness([[1.0, 2.0]]) == sortedness([[2.0], [1.0]]) == 1.0
    assert np.isnan(sortedness([[2.0, 2.0]]))
    assert np.isnan(sortedness([[1.0, np.nan]]))
    assert sortedness([[1.0, 1.0, 2.0]]) == pytest.approx((2 / 6) ** 0.5 * 2**0.5)  # tau-b: ties count half


@pytest.mark.parametrize("factor", [1e-300, 1.0, 8e307])
def test_sortedness_has_no_unit(factor):
    matrix = np.array([[1.0, 1.5, 0.3], [1.2, 0.1, 2.0]])
    with np.errstate(over="raise"):
        assert sortedness(factor * matrix) == sortedness(matrix)


def test_a_large_matrix_is_sampled_by_seed(monkeypatch):
    matrix = np.random.default_rng(0).standard_normal((120, 90)) * np.linspace(1, 3, 120)[:, None]
    whole = sortedness(matrix)
    monkeypatch.setattr(spread, "ENTRIES", 3000)
    assert sortedness(matrix, seed=1) == sortedness(matrix, seed=1) != sortedness(matrix, seed=2)
    assert np.mean([sortedness(matrix, seed=seed) for seed in range(20)]) == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize("chunk", [1, 7, spread.CHUNK])
@pytest.mark.parametrize("dtype", TYPES)
def test_moments_are_those_of_all_weights_together(dtype, chunk, monkeypatch):
    monkeypatch.setattr(spread, "CHUNK", chunk)
    rng = np.random.default_rng(0)
    layers = [[rng.standard_normal((5, 4)).astype(dtype), rng.standard_normal((3, 2)).astype(dtype)]]
    layers += [[100 * rng.standard_normal((2, 9)).astype(dtype)], [np.zeros((4, 4), dtype)]]
    every = np.concatenate([np.abs(block).astype(float).ravel() for blocks in layers for block in blocks])
    found = together(spread_of(blocks) for blocks in layers)
    scaled = every / every.max()
    assert (found.count, found.largest) == (every.size, every.max())
    assert (found.mean, found.variance) == pytest.approx((scaled.mean(), scaled.var()), rel=1e-12)


def test_the_variance_of_a_network():
    rng = np.random.default_rng(3)
    matrices = {
        "a": rng.standard_normal((6, 5)),
        "groups": [rng.standard_normal((3, 2)), rng.standard_normal((2, 2))],
    }
    every = np.abs(np.concatenate([matrices["a"].ravel(), *(block.ravel() for block in matrices["groups"])]))
    assert onnxtop.network_variance(matrices) == pytest.approx((every / every.max()).var(), rel=1e-12)
    assert network_variance({"a": 1e300 * matrices["a"]}) == pytest.approx(
        network_variance({"a": matrices["a"]})
    )
    assert network_variance({"a": np.zeros((2, 2))}) == network_variance({"a": np.full((2, 2), -3)}) == 0
    assert np.isnan(network_variance({"a": np.ones((2, 2)), "b": [[np.inf, 1.0]]}))


def test_arguments_that_make_no_sense():
    with pytest.raises(UsageError, match="wanted matrix of shape"):
        onnxtop.sortedness(np.ones(3))
    with pytest.raises(UsageError, match="wanted a seed"):
        sortedness(np.ones((2, 2)), seed=-1)
    with pytest.raises(UsageError, match="wanted layer 'a' of shape"):
        network_variance({"a": np.ones((2, 0))})
