"""The law of the number of components, against theorems and draws."""

from functools import lru_cache
from math import comb

import numpy as np
import pytest

from onnxtop.topology.null_law import BAND, holds, neurons, null_law, shapes_of
from onnxtop.topology.null_model import NullModels
from onnxtop.topology.rank_profiles import draw_profiles

SHAPES = [
    ((64, 64, 1),),
    ((400, 6, 1),),
    ((300, 100, 1),),
    ((120, 90, 3), (200, 40, 2), (9, 1, 30)),
    ((60, 4, 1),),
    ((500, 2, 1),),
]
"""Square and narrow, of one block and of many, down to the smallest that the law is for."""

CURVES = {
    "linear": lambda share: 1 - share,
    "normal": lambda share: np.sqrt(-np.log(share + 1e-12)),
    "heavy": lambda share: share**-0.3,
}
"""Sorted strengths by the share of the weights that are larger: uniform, about normal, heavy-tailed."""


@lru_cache
def drawn_of(shapes):
    return draw_profiles(shapes, 400)


def components(profiles, ranks):
    """The number of components of every draw after so many weights, counted."""
    joined = np.array([np.searchsorted(draw, ranks, side="right") for draw in profiles.ranks])
    return profiles.n_vertices - joined


# Theorems


@pytest.mark.parametrize("more", [-1.0, 0.0, 1.0, 2.0])
def test_the_last_neurons_to_be_joined_stand_alone(more):
    """Of n x n cells, after n (log n + c) there are 2 exp(-c) left, Poisson (Erdos and Renyi 1959)."""
    n = 10**6
    law = null_law(((n, n, 1),))
    rank = n * (np.log(n) + more)
    left = np.interp(rank, law.ranks, law.components) - 1
    assert left == pytest.approx(2 * np.exp(-more), rel=0.02)
    assert np.interp(rank, law.ranks, law.variances) == pytest.approx(left, rel=0.05)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_rings_before_there_is_a_giant(share):
    """Of 2 k edges there are share ** (2 k) / (2 k) in the mean, a Poisson variable."""
    m, n = 4000, 9000
    law = null_law(((n, m, 1),))
    rank = round(share * np.sqrt(m * n))
    exact = sum(share ** (2 * k) / (2 * k) for k in range(2, 200))
    assert law.rings(rank) == pytest.approx(exact, rel=0.15)
    assert np.interp(rank, law.ranks, law.variances) == pytest.approx(exact, rel=0.2)


@pytest.mark.parametrize("sides", [(64, 64), (1000, 6), (2000, 2), (700, 300)])
def test_the_first_ring_has_four_edges(sides):
    """Three weights never close one; of four, as many choices as there are pairs of rows and of columns."""
    n, m = sides
    law = null_law(((n, m, 1),))
    assert [law.rings(rank) for rank in (1, 2, 3)] == [0.0, 0.0, 0.0]
    assert law.rings(4) == pytest.approx(comb(n, 2) * comb(m, 2) / comb(n * m, 4), rel=1e-3)


def test_the_giant_grows_as_its_equation_says():
    """At twice the onset of n x n, 1 - x of all are in it, x = exp(-2 (1 - x)); the others are in trees."""
    n, x = 100_000, 0.20318786997997992
    law = null_law(((n, n, 1),))
    left = np.interp(2 * n, law.ranks, law.components)
    assert left == pytest.approx(2 * n * x - 2 * n * x * x, rel=1e-3)


def test_every_cell_of_a_star_joins():
    law = null_law(((64, 40, 1), (50, 1, 4)))
    alone = null_law(((64, 40, 1),))
    share = 1000 / (64 * 40 + 200)
    both = np.interp(1000, law.ranks, law.components)
    assert both == pytest.approx(
        np.interp(share * 64 * 40, alone.ranks, alone.components) + 204 - share * 200, abs=0.5
    )


# Against draws


@pytest.mark.parametrize("shapes", SHAPES)
def test_the_mean_and_the_variance_of_draws(shapes):
    law, profiles = null_law(shapes), drawn_of(shapes)
    ranks = law.ranks[5::12]
    drawn = components(profiles, ranks)
    chance = np.maximum(drawn.std(axis=0), 0.2) / np.sqrt(400)
    mean = np.interp(ranks, law.ranks, law.components)
    assert (np.abs(mean - drawn.mean(axis=0)) < 4.5 * chance + 0.3).all()
    spread = np.sqrt(np.interp(ranks, law.ranks, law.variances))
    wide = drawn.std(axis=0) > 0.5
    assert np.median(spread[wide] / drawn.std(axis=0)[wide]) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", CURVES)
def test_sums_over_the_tree_are_those_of_draws(shapes, name):
    """The mean within 0.15 deviations, the deviation within 8 %, and what 400 draws err."""
    law, profiles = null_law(shapes), drawn_of(shapes)
    n_cells = sum(long * short * count for long, short, count in shapes)
    last = min(n_cells, max(law.last, profiles.last))
    strengths = CURVES[name](np.arange(1, last + 1) / (n_cells + 1))
    values = (1 - strengths / strengths[0]) ** 2
    drawn = values[profiles.ranks - 1].sum(axis=1)
    mean, deviation, _ = law.sums(values[: law.last])
    assert mean == pytest.approx(drawn.mean(), abs=(0.15 + 3 / np.sqrt(400)) * drawn.std(ddof=1))
    assert deviation == pytest.approx(drawn.std(ddof=1), rel=0.08 + 3 / np.sqrt(800))


@pytest.mark.parametrize("shapes", SHAPES)
def test_the_last_value_is_that_of_draws(shapes):
    law, profiles = null_law(shapes), drawn_of(shapes)
    drawn = np.minimum(profiles.ranks[:, -1], law.last)
    mean, deviation = law.last_value(np.arange(1.0, law.last + 1))
    assert mean == pytest.approx(drawn.mean(), abs=0.25 * drawn.std())
    assert deviation == pytest.approx(drawn.std(), rel=0.2)


@pytest.mark.parametrize("sides", [(200, 200), (512, 512), (300, 64)])
def test_no_end_of_the_band_is_behind_the_last_rank(sides):
    law = null_law(((*sides, 1),))
    low, high = law.band(np.arange(1, law.n_vertices))
    assert 1 <= low.min() <= high.max() <= law.last
    assert (low <= high).all()


@pytest.mark.parametrize("shapes", SHAPES)
def test_nine_of_ten_draws_are_in_the_band(shapes):
    law, profiles = null_law(shapes), drawn_of(shapes)
    left = np.unique(np.linspace(law.n_blocks, law.n_vertices / 2, 40).astype(int))
    ranks = profiles.ranks[:, law.n_vertices - 1 - left]
    low, high = law.band(left)
    assert (low <= high).all()
    assert np.median(((low <= ranks) & (ranks <= high)).mean(axis=0)) == pytest.approx(BAND, abs=0.03)


# What it is for


@pytest.mark.parametrize(
    ("shapes", "good"),
    [
        (((32, 32, 1),), True),
        (((32, 31, 1),), False),
        (((60, 4, 1), (9, 1, 500)), True),
        (((62, 2, 1),), False),
        (((2000, 2, 1),), True),
        (((300, 1, 1),), False),
        (((144, 16, 32),), True),
        (((72, 8, 32),), False),
        (((3000, 2000, 1), (20, 20, 1)), False),
    ],
)
def test_the_law_is_for_blocks_that_are_not_small(shapes, good):
    assert holds(shapes) is good


def test_shapes_count_blocks_turned_or_not():
    blocks = [np.ones(shape) for shape in ((3, 9), (9, 3), (1, 4), (9, 3))]
    assert shapes_of(blocks) == ((4, 1, 1), (9, 3, 3))
    assert neurons(shapes_of(blocks)) == 41


def test_a_shape_is_worked_out_once(monkeypatch):
    """However many layers have it, and in every null model."""
    null_law.cache_clear()
    matrix = np.random.default_rng(0).standard_normal((70, 50))
    for _ in range(5):
        models = NullModels()
        strongest = models.read([matrix])
        models.measure(strongest, 0.5, scale=5.0, at=np.arange(1, 9))
        models.measure(models.read([matrix.T]), 0.5, scale=5.0)
    assert null_law.cache_info().misses == 1
    assert strongest.strengths.size == models.wanted(shapes_of([matrix])) < matrix.size


def test_of_any_shape_components_only_grow_fewer():
    """Shapes from tiny sides to a million, mixed: all numbers are finite, and means never rise."""
    rng, checked = np.random.default_rng(0), 0
    for _ in range(60):
        sides = np.sort(np.exp(rng.uniform(0, [[14, 9]], (3, 2)))).astype(int) + 1
        shapes = tuple(sorted((int(long), int(short), 1) for short, long in sides))
        if not holds(shapes):
            continue
        law, checked = null_law(shapes), checked + 1
        assert (np.diff(law.components) < 1e-6).all()
        assert (law.variances >= 0).all()
        assert np.linalg.eigvalsh(law.covariance)[0] > -1e-6 * law.covariance.max()
        assert law.components[0] == neurons(shapes)
        assert law.n_blocks <= law.components[-1] < law.n_blocks + 0.2
    assert checked > 10
