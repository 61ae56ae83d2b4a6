import itertools
import tracemalloc
from functools import lru_cache

import numpy as np
import pytest
from hard_matrices import HARD, random_matrix

from onnxtop.network import Kernel
from onnxtop.topology.convolution import channels
from onnxtop.topology.neural_persistence import layer_forest, layer_persistence, network_persistence
from onnxtop.topology.null_model import NO_SPREAD, RARE_DRAWS, NullModels, StrongestWeights
from onnxtop.topology.rank_profiles import draw_profiles
from onnxtop.topology.strongest import strongest_weights


def persistence(blocks, bias=None, **options):
    """Normalized neural persistence and scale of one layer."""
    network = network_persistence({"layer": layer_forest(blocks, bias=bias)}, **options)
    return network.layers["layer"].normalized, network.layers["layer"].scale


def null_of(blocks, bias=None, **options):
    models = NullModels()
    normalized, scale = persistence(blocks, bias, **options)
    return models.measure(models.read(blocks, bias), normalized, **{**options, "scale": scale})


def shuffled(blocks, rng):
    """The layer with its entries over all its cells at random."""
    entries = rng.permutation(np.concatenate([block.ravel() for block in blocks]))
    parts = np.split(entries, np.cumsum([block.size for block in blocks])[:-1])
    return [part.reshape(block.shape) for part, block in zip(parts, blocks, strict=True)]


# The null model against shuffling


def normal(rng, shape):
    return rng.standard_normal(shape)


def heavy(rng, shape):
    return rng.standard_t(2, shape).astype(np.float32)


def int8(rng, shape):
    return np.round(rng.standard_normal(shape) * 30).clip(-127, 127).astype(np.float32)


def mostly_zero(rng, shape):
    return rng.standard_normal(shape) * (rng.random(shape) > 0.9)


SHUFFLES = [
    (normal, [(300, 100)], 200),
    (heavy, [(300, 100)], 200),
    (int8, [(300, 100)], 200),
    (mostly_zero, [(300, 100)], 200),
    (heavy, [(64, 400)], 200),
    (int8, [(256, 256)], 120),
    (int8, [(36, 4)] * 12, 200),
    (mostly_zero, [(36, 4), (10, 40), (1, 30)], 400),
]


@pytest.mark.parametrize(
    ("make", "shapes", "n_shuffles"),
    SHUFFLES,
    ids=[f"{make.__name__}-{shapes[0][0]}x{shapes[0][1]}" for make, shapes, _ in SHUFFLES],
)
def test_mean_and_spread_are_those_of_shuffles(make, shapes, n_shuffles, monkeypatch):
    """With more draws than usual, so that what is compared is the law and not the luck."""
    monkeypatch.setattr("onnxtop.topology.rank_profiles.DRAWS", 400)
    rng = np.random.default_rng(6)
    blocks = [make(rng, shape) for shape in shapes]
    null = null_of(blocks)
    real = [persistence(shuffled(blocks, rng))[0] for _ in range(n_shuffles)]
    assert null.mean == pytest.approx(np.mean(real), abs=0.2 * null.std)
    assert null.std == pytest.approx(np.std(real, ddof=1), rel=0.15)


# By the law or by draws, against other draws


def outlier(factor, many=1):
    def make(rng, shape):
        weights = rng.standard_normal(shape)
        weights.flat[np.argsort(-np.abs(weights), axis=None)[:many]] *= factor
        return weights

    return make


KINDS = {
    "normal": normal,
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "student 3": lambda rng, shape: rng.standard_t(3, shape),
    "student 1.5": lambda rng, shape: rng.standard_t(1.5, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 3, shape),
    "cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "one outlier of 10": outlier(10),
    "one outlier of a million": outlier(1e6),
    "five outliers": outlier(100, 5),
    "twelve outliers": outlier(100, 12),
    "integers": lambda rng, shape: rng.integers(-7, 8, shape).astype(float),
    "few integers": lambda rng, shape: rng.integers(-2, 3, shape).astype(float),
    "70 % zeros": lambda rng, shape: rng.standard_normal(shape) * (rng.random(shape) < 0.3),
    "90 % zeros": lambda rng, shape: rng.uniform(-1, 1, shape) * (rng.random(shape) < 0.1),
}
POWERS = [("essential", 2.0), ("tree", 2.0), ("tree", 0.5), ("essential", 1.0), ("tree", 3.0), ("tree", 10.0)]
OTHER_DRAWS = 1000
MODELS = NullModels()
"""Of all kinds, so that no shape is drawn twice."""


@lru_cache
def other_draws(shape):
    return draw_profiles(((max(shape), min(shape), 1),), OTHER_DRAWS, seed=1)


def values_of_draws(matrix, convention, p):
    """The normalized neural persistence of other draws, read off their ranks."""
    profiles = other_draws(matrix.shape)
    strengths = np.sort(np.abs(matrix), axis=None)[::-1] / np.abs(matrix).max()
    sums = ((1 - strengths[profiles.ranks - 1]) ** p).sum(axis=1) + (convention == "essential")
    return (sums / (profiles.n_vertices - 1)) ** (1 / p)


@pytest.mark.parametrize("shape", [(64, 64), (784, 10), (6, 1000), (2000, 2)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_spread_are_those_of_other_draws(kind, shape):
    """The mean within 0.1 deviations, the deviation within 7 %, and what either number of draws errs."""
    matrix = KINDS[kind](np.random.default_rng(3), shape)
    strongest = MODELS.read([matrix])
    for convention, p in POWERS:
        null = MODELS.measure(strongest, 1.0, scale=np.abs(matrix).max(), convention=convention, p=p)
        drawn = values_of_draws(matrix, convention, p)
        if np.median(drawn) in (drawn.min(), drawn.max()):  # hardly an arrangement is another than the others
            assert null.mean == pytest.approx(drawn.mean(), abs=0.2 * drawn.std() + 1e-12)
            continue
        kurtosis = np.mean((drawn - drawn.mean()) ** 4) / drawn.var() ** 2
        chance = np.sqrt(1 / OTHER_DRAWS + 1 / RARE_DRAWS)
        assert null.mean == pytest.approx(drawn.mean(), abs=(0.1 + 2.5 * chance) * drawn.std())
        allowed = 0.07 + 2.5 * chance * np.sqrt((kurtosis - 1) / 4)
        assert np.log(null.std / drawn.std(ddof=1)) == pytest.approx(0, abs=allowed)


@pytest.mark.parametrize("shape", [(64, 64), (784, 10), (6, 1000)], ids=str)
def test_the_strongest_weight_is_in_every_tree(shape):
    """However large it is, all arrangements lose the same by it: z stays, the deviation falls as it grows."""
    matrix = normal(np.random.default_rng(1), shape)
    matrix[: len(matrix) // 4 or 1] *= 1.6
    place = np.unravel_index(np.abs(matrix).argmax(), shape)
    nulls = []
    for factor in (1e2, 1e4, 1e6):
        strong = matrix.copy()
        strong[place] *= factor
        nulls.append(null_of([strong]))
    assert [null.z for null in nulls[1:]] == pytest.approx([nulls[0].z] * 2, rel=0.02)
    assert [null.std for null in nulls[1:]] == pytest.approx(
        [nulls[0].std / 1e2, nulls[0].std / 1e4], rel=0.02
    )


@pytest.mark.parametrize(
    "kind", ["normal", "uniform", "student 3", "cauchy", "one outlier of 10", "70 % zeros"]
)
def test_ordinary_layers_are_not_drawn(kind, monkeypatch):
    def drawn(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("onnxtop.topology.null_model.profiles_of", drawn)
    for shape in [(64, 64), (300, 50), (10, 784)]:
        assert null_of([KINDS[kind](np.random.default_rng(0), shape)]).std > 0


def test_of_too_many_neurons_rare_bars_are_not_drawn(monkeypatch):
    """The law is not taken for what it is not good for; where it is good the number does not matter."""
    monkeypatch.setattr("onnxtop.topology.null_model.MOST_NEURONS", 99)
    matrix = KINDS["uniform"](np.random.default_rng(0), (64, 64))
    null = null_of([matrix], convention="tree", p=30.0)
    assert (null.mean, null.z) == (None, None)
    assert null.reason.startswith("the null model of a layer whose spread a few rare bars make")
    assert null_of([matrix]).z is not None


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(30, 100)], 1.0),
        ([(100, 30)], 3.0),
        ([(36, 4)] * 8, 0.3),
        ([(36, 4), (10, 40), (1, 30)], 3.0),
        ([(1, 40)], 1.0),
    ],
    ids=lambda each: f"{len(each)} of {each[0]}" if isinstance(each, list) else "",
)
def test_a_bias_row_stays_and_the_weights_are_shuffled(shapes, size, monkeypatch):
    monkeypatch.setattr("onnxtop.topology.rank_profiles.DRAWS", 300)
    rng = np.random.default_rng(7)
    blocks = [rng.standard_normal(shape) for shape in shapes]
    bias = size * rng.standard_normal(sum(shape[1] for shape in shapes))
    null = null_of(blocks, bias=bias)
    real = [persistence(shuffled(blocks, rng), bias)[0] for _ in range(200)]
    assert null.mean == pytest.approx(np.mean(real), abs=0.2 * null.std)
    assert null.std == pytest.approx(np.std(real, ddof=1), rel=0.15)


@pytest.mark.parametrize(
    ("shapes", "options"),
    [
        ([(3, 2)], {}),
        ([(2, 3)], {"convention": "tree"}),
        ([(2, 2), (2, 1)], {"p": 1.0}),
        ([(1, 2), (2, 2)], {"p": np.inf, "convention": "tree"}),
        ([(1, 2), (2, 2)], {}),
    ],
)
def test_the_bias_of_an_output_stays_with_it(shapes, options, monkeypatch):
    """Against the mean over all arrangements: blocks come in another order, and turned, in the profiles."""
    monkeypatch.setattr("onnxtop.topology.rank_profiles.DRAWS", 2000)
    rng = np.random.default_rng(8)
    blocks = [rng.uniform(0.1, 1, shape) for shape in shapes]
    bias = np.array([0.9, 0.02, 0.5, 0.3])[: sum(shape[1] for shape in shapes)]
    entries = np.concatenate([block.ravel() for block in blocks])
    cuts = np.cumsum([block.size for block in blocks])[:-1]
    every = [
        persistence(
            [
                part.reshape(shape)
                for part, shape in zip(np.split(np.array(order), cuts), shapes, strict=True)
            ],
            bias,
            **options,
        )[0]
        for order in itertools.permutations(entries)
    ]
    null = null_of(blocks, bias=bias, **options)
    assert null.mean == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(2000) + 1e-12)
    assert null.std == pytest.approx(np.std(every), rel=0.1, abs=1e-12)


def test_a_bias_that_is_not_finite():
    blocks = [random_matrix("gaussian", 20, 10)]
    assert NullModels().read(blocks, np.full(10, np.nan)).reason == "a weight is NaN or infinite"


@pytest.mark.parametrize(
    "options", [{"convention": "tree"}, {"p": 1.0}, {"p": 3.5}, {"scale": 9.0}, {"p": np.inf}]
)
def test_conventions(options):
    """A layer put in the order of a profile has exactly the value of that draw."""
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((30, 20))
    if options == {"p": np.inf}:
        options = {"p": np.inf, "convention": "tree"}
    null = null_of([matrix], **options)
    real = np.array([persistence(shuffled([matrix], rng), **options)[0] for _ in range(300)])
    assert null.mean == pytest.approx(real.mean(), abs=0.4 * null.std)
    assert null.std == pytest.approx(real.std(ddof=1), rel=0.3)


def test_z_is_excess_in_standard_deviations():
    null = null_of([random_matrix("gaussian", 80, 60)])
    value, _ = persistence([random_matrix("gaussian", 80, 60)])
    assert null.excess == value - null.mean
    assert null.z == null.excess / null.std
    assert null.excess_share == null.excess / value


def test_random_layers_are_within_chance():
    z = [null_of([random_matrix("gaussian", 120, 80, seed)]).z for seed in range(20)]
    assert abs(np.mean(z)) < 0.75
    assert 0.65 < np.std(z) < 1.45


@pytest.mark.parametrize("name", ["scaled_rows", "scaled_columns", "sorted_entries"])
def test_structure_is_seen(name):
    assert abs(null_of([random_matrix(name, 120, 80)]).z) > 10


def test_the_cluster_of_a_sparse_layer_has_an_excess_without_a_unit():
    """24 weights in a corner of 120 x 80: strewn at random, hardly two of them ever meet."""
    null = null_of([random_matrix("dense_cluster", 120, 80)])
    assert (null.z, null.reason) == (None, NO_SPREAD)
    assert null.excess > 0.02


# What does not matter


def test_transposing_and_signs_change_nothing():
    matrix = random_matrix("heavy_tails", 90, 40)
    assert null_of([matrix]) == null_of([np.ascontiguousarray(-matrix)])
    turned = null_of([matrix.T])
    assert turned.z == pytest.approx(null_of([matrix]).z, rel=1e-9)
    assert turned.mean == null_of([matrix]).mean


def test_neither_order_nor_other_layers_matter():
    layers = {
        shape: [random_matrix("gaussian", *shape)] for shape in [(50, 30), (20, 70), (64, 64), (30, 50)]
    }
    alone = {shape: null_of(blocks) for shape, blocks in layers.items()}
    for order in list(itertools.permutations(layers))[::7]:
        models = NullModels()
        kept = {shape: models.read(layers[shape]) for shape in order}
        for shape in reversed(order):
            normalized, scale = persistence(layers[shape])
            assert models.measure(kept[shape], normalized, scale=scale) == alone[shape]


def test_forgetting_a_shape_changes_nothing(monkeypatch):
    blocks, others = [random_matrix("gaussian", 20, 30)], [random_matrix("gaussian", 40, 20)]
    normalized, scale = persistence(blocks)
    expected = null_of(blocks)
    monkeypatch.setattr("onnxtop.topology.null_model.KEPT", 1)
    models = NullModels()
    kept = models.read(blocks)
    models.read(others)
    assert len(models._drawn) == 1
    assert models.measure(kept, normalized, scale=scale) == expected


def test_channels_of_a_convolution_are_a_layer_like_any_other():
    taps = np.random.default_rng(0).standard_normal((1, 40, 30, 3, 3))
    blocks = channels(Kernel(taps, (1, 1), (0, 0), (1, 1)))
    assert null_of(blocks) == null_of([np.abs(taps[0]).max(axis=(2, 3)).T])


# Layers without a null model, and hard ones


@pytest.mark.parametrize("shapes", [[(1, 40)], [(40, 1)], [(1, 1)], [(9, 1)] * 30, [(1, 3), (4, 1)]])
def test_single_rows_and_columns_have_none(shapes):
    rng = np.random.default_rng(0)
    models = NullModels()
    kept = models.read([rng.standard_normal(shape) for shape in shapes])
    null = models.measure(kept, 0.5, scale=5.0)
    assert (null.z, null.mean, null.std) == (None, None, None)
    assert null.reason == NO_SPREAD


@pytest.mark.parametrize("name", ["all_equal", "all_zero", "signs"])
def test_layers_of_one_magnitude_have_no_z(name):
    null = null_of([random_matrix(name, 40, 30)])
    assert null.z is None
    assert null.std == pytest.approx(0.0, abs=1e-15)
    assert null.excess == pytest.approx(0.0, abs=1e-12)
    assert null.reason == NO_SPREAD


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_not_finite(value, dtype):
    matrix = random_matrix("gaussian", 200, 150).astype(dtype)
    matrix[77, 33] = value
    models = NullModels()
    kept = models.read([matrix])
    assert (kept.strengths.size, kept.reason) == (0, "a weight is NaN or infinite")
    assert models.measure(kept, np.nan, scale=1.0).reason == "a weight is NaN or infinite"


@pytest.mark.parametrize(("normalized", "scale"), [(np.nan, 1.0), (0.5, np.nan)])
def test_without_a_value_there_is_no_z(normalized, scale):
    models = NullModels()
    null = models.measure(models.read([random_matrix("gaussian", 20, 10)]), normalized, scale=scale)
    assert null.reason == "the layer has no neural persistence"


def test_strengths_above_the_scale_count_as_one():
    matrix = random_matrix("gaussian", 60, 40)
    models = NullModels()
    clipped = np.minimum(np.abs(matrix), np.float32(2.0))
    expected = models.measure(models.read([clipped]), 0.3, scale=2.0)
    assert models.measure(models.read([matrix]), 0.3, scale=2.0) == expected


def test_scale_of_a_network_of_zeros():
    models = NullModels()
    null = models.measure(models.read([random_matrix("zeros_99", 40, 30)]), 1.0, scale=0.0)
    assert 0.9 < null.mean < 1.0


def test_only_what_is_drawn_can_have_too_many_neurons(monkeypatch):
    monkeypatch.setattr("onnxtop.topology.null_model.MOST_NEURONS", 99)
    reason = "the null model of small blocks and of a bias row is for at most 99 neurons"
    assert NullModels().read([np.ones((60, 40))], np.ones(40)).reason == reason
    assert NullModels().read([np.ones((9, 2))] * 10).reason == reason
    assert NullModels().wanted(((60, 40, 1),), bias=True) == 0
    assert NullModels().read([np.ones((60, 40))]).reason is None


# The strongest weights


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("name", HARD)
def test_strongest_weights_are_the_strongest(name, dtype, monkeypatch):
    monkeypatch.setattr("onnxtop.topology.strongest.ALL", 5000)
    matrix = random_matrix(name, 300, 200).clip(-60000, 60000).astype(dtype)
    for view in (matrix, matrix.T, matrix[::2, ::3]):
        wanted = np.sort(np.abs(view).ravel())[::-1]
        for n in (1, 700, 3000, view.size, view.size + 5):
            found = strongest_weights([view], n)
            assert found.dtype == np.dtype(dtype).newbyteorder("=")
            assert np.array_equal(found, wanted[:n])


def test_strongest_weights_of_many_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    blocks = [
        rng.standard_normal(shape).astype(np.float32) for shape in [(9, 4)] * 500 + [(300, 1), (50, 70)]
    ]
    wanted = np.sort(np.abs(np.concatenate([block.ravel() for block in blocks])))[::-1]
    assert np.array_equal(strongest_weights(blocks, 2000), wanted[:2000])
    monkeypatch.setattr("onnxtop.topology.strongest.CHUNK", 1000)
    monkeypatch.setattr("onnxtop.topology.strongest.ALL", 1000)
    assert np.array_equal(strongest_weights(blocks, 2000), wanted[:2000])


@pytest.mark.parametrize("level", [0.0, 1e-3, 1e9])
@pytest.mark.parametrize("name", ["gaussian", "int4_uniform", "zeros_99"])
def test_a_misleading_sample_costs_a_pass_and_nothing_else(name, level, monkeypatch):
    monkeypatch.setattr("onnxtop.topology.strongest.CHUNK", 1000)
    monkeypatch.setattr("onnxtop.topology.strongest.ALL", 1000)
    monkeypatch.setattr("onnxtop.topology.strongest.sample", lambda *_: np.full(99, level, np.float32))
    matrix = random_matrix(name, 100, 100)
    for n in (1, 500, 2000):
        assert np.array_equal(strongest_weights([matrix], n), np.sort(np.abs(matrix).ravel())[::-1][:n])


def test_memory_is_bounded():
    matrix = random_matrix("gaussian", 2000, 2000)
    models = NullModels()
    tracemalloc.start()
    try:
        kept = models.read([matrix])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(kept, StrongestWeights)
    assert peak < 16 * 2**20
    assert kept.strengths.nbytes < 2**20


def test_value_of_a_layer_is_among_its_own_draws():
    """Sorted weights put where a draw had them give that draw's value: reading off is exact."""
    matrix = random_matrix("gaussian", 3, 2)
    null_values = {
        round(layer_persistence(np.reshape(order, (3, 2))).normalized, 9)
        for order in itertools.permutations(np.abs(matrix).ravel().tolist())
    }
    models = NullModels()
    kept = models.read([matrix])
    drawn = models.measure(kept, 0.0, scale=float(np.abs(matrix).max()))
    assert min(null_values) <= drawn.mean <= max(null_values)


# The null band


def bars_of(blocks, bias=None):
    """Lengths of the bars of a layer in its own scale, longest first."""
    network = network_persistence({"layer": layer_forest(blocks, bias=bias)}, scale="layer")
    return np.sort(1 - network.layers["layer"].diagram.points[:, 1])[::-1]


def band_of(blocks, bias=None):
    models, n_bars = NullModels(), len(bars_of(blocks, bias))
    normalized, scale = persistence(blocks, bias, scale="layer")
    null = models.measure(models.read(blocks, bias), normalized, scale=scale, at=np.arange(1, n_bars + 1))
    return np.array(null.band)


@pytest.mark.parametrize(
    ("shapes", "bias"),
    [([(60, 50)], False), ([(60, 50)] * 2, False), ([(60, 40), (1, 7)], True), ([(30, 20)] * 3, False)],
)
def test_the_band_holds_a_shuffled_layer_at_its_rate(shapes, bias):
    """At every bar 9 of 10, by the law and by draws; more where arrangements are equal."""
    rng = np.random.default_rng(3)
    within, between = [], []
    for _ in range(8):
        blocks = [rng.standard_normal(shape) for shape in shapes]
        row = rng.standard_normal(sum(shape[1] for shape in shapes)) if bias else None
        low, high = band_of(blocks, row)
        missing = 0 if bias else len(shapes) - 1
        assert low[:missing].tolist() == high[:missing].tolist() == [1.0] * missing
        for _ in range(15):
            bars = bars_of(shuffled(blocks, rng), row)
            within.append((low <= bars) & (bars <= high))
            between.append((low < bars) & (bars < high))
    within, between = (np.mean(each, axis=0)[missing:] for each in (within, between))
    assert np.mean(between) - 0.04 < 0.9 < np.mean(within) + 0.04
    long = slice(len(within) // 10)  # of weak weights, whose ranks are seldom equal
    assert np.mean(between[long]) - 0.05 < 0.9 < np.mean(within[long]) + 0.05
    assert np.mean(within[long]) - np.mean(between[long]) < 0.1


def test_the_band_is_of_the_draws_that_the_figures_are_of():
    """The fifth of 100 draws from either end, bar by bar, read off the profiles by hand."""
    matrix = random_matrix("int4_uniform", 20, 15)
    strengths = np.sort(np.abs(matrix), axis=None)[::-1] / np.abs(matrix).max()
    bars = np.sort(1 - strengths[draw_profiles(((20, 15, 1),)).ranks - 1], axis=1)[:, ::-1]
    low, high = band_of([matrix])
    assert low.tolist() == pytest.approx(np.sort(bars, axis=0)[4].tolist(), abs=1e-7)
    assert high.tolist() == pytest.approx(np.sort(bars, axis=0)[95].tolist(), abs=1e-7)
    assert (low <= high).all()


def test_gathered_weights_leave_the_band():
    matrix = random_matrix("gaussian", 40, 30)
    matrix[:6] *= 4
    low, high = band_of([matrix])
    assert np.mean(bars_of([matrix]) > high) > 0.7
    assert np.mean(bars_of([matrix]) < low) < 0.2


def test_no_band_unless_it_is_asked_for():
    matrix = random_matrix("gaussian", 20, 10)
    assert null_of([matrix]).band is None
    assert NullModels().measure(StrongestWeights(reason="odd"), 1.0, scale=1.0, at=np.arange(3)).band is None
