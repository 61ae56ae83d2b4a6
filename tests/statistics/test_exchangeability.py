import numpy as np
import pytest

from onnxtop.glossary.untrained import EMPTY, LIMITS, TOLD, TOO_SMALL
from onnxtop.statistics import exchangeability
from onnxtop.statistics.exchangeability import Evidence, evidence, verdict
from onnxtop.topology.neural_persistence import layer_persistence
from onnxtop.topology.null_model import NullModels

SPECTRUM_LIMIT = LIMITS["spectrum"]


def summary(found, z):
    """Whether a layer is exchangeable, what speaks against it, and why that cannot be told."""
    told = verdict(found, z)
    assert (told.z_rows, told.z_columns, told.spectrum) == (found.z_rows, found.z_columns, found.spectrum)
    return told.exchangeable, told.structured, told.reason


SHAPES = [(64, 64), (300, 40), (40, 300), (16, 512)]


def normal(rng, shape):
    return rng.standard_normal(shape)


def uniform(rng, shape):
    return rng.uniform(-0.1, 0.1, shape)


def heavy(rng, shape):
    return rng.standard_t(2, shape)


def int4(rng, shape):
    return np.round(rng.standard_normal(shape) * 2.5).clip(-7, 7)


def mostly_zero(rng, shape):
    return rng.standard_normal(shape) * (rng.random(shape) > 0.9)


def positive(rng, shape):
    return rng.gamma(2.0, size=shape)


MAKERS = [normal, uniform, heavy, int4, mostly_zero, positive]


def concentration_by_hand(matrix):
    """Shares and z of the means of rows and columns, from the definition."""
    x = np.abs(matrix)
    figures = []
    for axis in (1, 0):
        means = x.mean(axis=axis)
        n_lines, width = means.size, x.shape[axis]
        z = (means.var(ddof=1) / (x.var(ddof=1) / width) - 1) * np.sqrt((n_lines - 1) / 2)
        figures.append((means.var() / x.var(), z))
    return figures


# Null: fresh matrices


@pytest.mark.parametrize("make", MAKERS)
def test_fresh_matrices_are_exchangeable(make):
    rng = np.random.default_rng(0)
    found = [evidence([make(rng, shape)]) for shape in SHAPES * 12]
    assert sum(not verdict(f, z=0.0).exchangeable for f in found) <= 1


@pytest.mark.parametrize("make", MAKERS)
def test_z_of_fresh_matrices_is_standardised(make):
    rng = np.random.default_rng(1)
    z = np.array([(f.z_rows, f.z_columns) for f in (evidence([make(rng, (60, 80))]) for _ in range(150))])
    assert np.abs(z.mean(axis=0)).max() < 0.25
    assert z.std(axis=0) == pytest.approx([1.0, 1.0], abs=0.15)


@pytest.mark.parametrize("make", [normal, uniform, int4])
def test_spectrum_of_fresh_matrices_follows_tracy_widom(make):
    rng = np.random.default_rng(2)
    measured = [evidence([make(rng, (60, 45))]).spectrum for _ in range(150)]
    found = np.array([spectrum for spectrum in measured if spectrum is not None])  # a few are concentrated
    assert found.size >= 147
    assert found.mean() == pytest.approx(-1.2, abs=0.5)
    assert found.std() == pytest.approx(1.27, abs=0.45)  # less for light tails


def test_groups_have_the_law_of_one_matrix():
    rng = np.random.default_rng(3)
    found = [evidence(list(rng.standard_normal((12, 30, 20)))) for _ in range(120)]
    assert np.mean([f.spectrum for f in found]) == pytest.approx(-1.2, abs=1.0)
    assert np.std([f.spectrum for f in found]) == pytest.approx(1.27, abs=0.4)
    assert np.std([f.z_rows for f in found]) == pytest.approx(1.0, abs=0.25)


# The definition


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
@pytest.mark.parametrize("make", [normal, positive])
def test_concentration_is_the_analysis_of_variance(make, order, dtype):
    matrix = make(np.random.default_rng(4), (70, 50)).astype(dtype)
    if order == "strided":
        matrix = np.repeat(matrix, 2, axis=0)[::2]
    found = evidence([np.asarray(matrix, order="F" if order == "F" else "K")])
    (row_share, z_rows), (column_share, z_columns) = concentration_by_hand(matrix.astype(np.float64))
    assert found.row_share == pytest.approx(row_share, rel=1e-3)
    assert found.column_share == pytest.approx(column_share, rel=1e-3)
    assert found.z_rows == pytest.approx(z_rows, abs=2e-3)
    assert found.z_columns == pytest.approx(z_columns, abs=2e-3)
    sizes = np.abs(matrix.astype(np.float64))
    assert found.largest == sizes.max()
    moments = sizes.mean() / sizes.max(), (sizes / sizes.max()).var()
    assert (found.mean, found.variance) == pytest.approx(moments, rel=1e-4)


def test_concentration_of_groups_pools_their_rows():
    rng = np.random.default_rng(5)
    blocks = [rng.standard_normal((30, 20)) * scale for scale in (1.0, 1.0, 3.0)]
    pooled = np.vstack(blocks)
    found = evidence(blocks)
    (row_share, z_rows), _ = concentration_by_hand(pooled)
    assert found.row_share == pytest.approx(row_share, rel=1e-4)
    assert found.z_rows == pytest.approx(z_rows, rel=1e-4)
    assert found.z_rows > 20
    assert found.z_columns > 20


@pytest.mark.parametrize("cells", [2**18, 500])
def test_strips_change_nothing(cells, monkeypatch):
    monkeypatch.setattr("onnxtop.statistics.exchangeability.CHUNK", cells)
    matrix = normal(np.random.default_rng(6), (111, 37))
    (row_share, _), (column_share, _) = concentration_by_hand(matrix)
    found = evidence([matrix])
    assert (found.row_share, found.column_share) == pytest.approx((row_share, column_share), rel=1e-6)


def test_spectrum_by_hand():
    """Entries of two values: nothing is cut off, and NumPy's own decomposition gives the answer."""
    matrix = np.where(np.random.default_rng(7).random((90, 60)) > 0.3, 1.0, -2.0)
    standard = (matrix - matrix.mean()) / matrix.std()
    largest = np.linalg.svd(standard, compute_uv=False)[0]
    a = np.sqrt(89) + np.sqrt(60)
    wanted = (largest**2 - a**2) / (a * (1 / np.sqrt(89) + 1 / np.sqrt(60)) ** (1 / 3))
    assert evidence([matrix]).spectrum == pytest.approx(wanted, abs=1e-3)
    assert evidence([matrix.T]).spectrum == pytest.approx(wanted, abs=1e-3)


def test_spectrum_of_a_large_side():
    """More than 64 columns take another way to the eigenvalue."""
    matrix = np.where(np.random.default_rng(8).random((500, 250)) > 0.5, 1.0, -1.0)
    standard = (matrix - matrix.mean()) / matrix.std()
    a = np.sqrt(499) + np.sqrt(250)
    unit = a * (1 / np.sqrt(499) + 1 / np.sqrt(250)) ** (1 / 3)
    wanted = (np.linalg.norm(standard, 2) ** 2 - a**2) / unit
    assert evidence([matrix]).spectrum == pytest.approx(wanted, abs=1e-2)


@pytest.mark.parametrize("rank", [1, 3, 200])
def test_spectrum_of_low_rank(rank):
    rng = np.random.default_rng(18)
    matrix = np.sign(rng.standard_normal((300, rank)) @ rng.standard_normal((rank, 200)))
    standard = (matrix - matrix.mean()) / matrix.std()
    a = np.sqrt(299) + np.sqrt(200)
    wanted = (np.linalg.norm(standard, 2) ** 2 - a**2) / (
        a * (1 / np.sqrt(299) + 1 / np.sqrt(200)) ** (1 / 3)
    )
    assert evidence([matrix]).spectrum == pytest.approx(wanted, rel=1e-4, abs=2e-2)


@pytest.mark.parametrize("largest", [60000, np.float64(1e200), np.float64(1e-200)])
def test_extreme_numbers(largest):
    dtype = np.float16 if largest == 60000 else np.float64
    unit = np.random.default_rng(19).uniform(-1, 1, (60, 50))
    found, plain = evidence([(unit * largest).astype(dtype)]), evidence([unit])
    assert found.z_rows == pytest.approx(plain.z_rows, abs=1e-2)
    assert found.spectrum == pytest.approx(plain.spectrum, abs=1e-2)


# Planted structure


@pytest.mark.parametrize("shape", SHAPES)
def test_a_loud_row_is_concentration(shape):
    matrix = normal(np.random.default_rng(9), shape)
    matrix[: shape[0] // 8] *= 2.5
    assert "concentration" in verdict(evidence([matrix]), z=0.0).structured


def test_a_direction_is_spectrum_alone():
    """Signs of rank one on equal magnitudes: neither persistence nor concentration can see it."""
    rng = np.random.default_rng(10)
    signs = np.sign(np.outer(rng.standard_normal(120), rng.standard_normal(80)))
    noisy = np.where(rng.random((120, 80)) < 0.3, -signs, signs)
    found = evidence([noisy])
    assert (found.z_rows, found.row_share, found.variance) == (None, None, pytest.approx(0.0, abs=1e-9))
    assert summary(found, None) == (False, ("spectrum",), None)


def test_one_huge_entry_is_no_direction():
    matrix = normal(np.random.default_rng(11), (100, 100))
    matrix[3, 4] = 1e6
    assert evidence([matrix]).spectrum < SPECTRUM_LIMIT


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1e30])
def test_scale_is_the_largest_weight_and_nothing_else(scale):
    matrix = normal(np.random.default_rng(12), (60, 50))
    plain, scaled = evidence([matrix]), evidence([(matrix * scale).astype(np.float32)])
    for name in ("row_share", "column_share", "z_rows", "z_columns", "spectrum"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), abs=1e-2)
    assert scaled.largest == pytest.approx(plain.largest * scale, rel=1e-6)
    assert (scaled.mean, scaled.variance) == pytest.approx((plain.mean, plain.variance), rel=1e-4)


def test_only_part_of_a_huge_matrix_is_decomposed(monkeypatch):
    monkeypatch.setattr("onnxtop.statistics.exchangeability.LONGER", 60)
    monkeypatch.setattr("onnxtop.statistics.exchangeability.SHORTER", 40)
    rng = np.random.default_rng(13)
    assert evidence([rng.standard_normal((300, 200))]).spectrum < SPECTRUM_LIMIT
    planted = rng.standard_normal((300, 200)) + np.outer(rng.choice([-1, 1], 300), rng.choice([-1, 1], 200))
    assert evidence([planted]).spectrum > 20


def test_same_figures_every_time():
    matrix = normal(np.random.default_rng(14), (400, 300))
    assert evidence([matrix]) == evidence([matrix.copy()])


@pytest.mark.parametrize(("factor", "asked"), [(1.0, True), (3.0, False)])
def test_the_spectrum_is_not_asked_where_the_concentration_tells(monkeypatch, factor, asked):
    calls = []
    monkeypatch.setattr(exchangeability, "_spectrum", lambda blocks: calls.append(blocks) or 9.0)
    matrix = normal(np.random.default_rng(23), (64, 48))
    matrix[:5] *= factor
    found = evidence([matrix])
    assert (len(calls), found.spectrum, found.reason) == ((1, 9.0, None) if asked else (0, None, TOLD))
    assert verdict(found, z=0.0).structured == (("spectrum",) if asked else ("concentration",))


@pytest.mark.parametrize(("above", "shuffles"), [(300.0, 1), (30.0, 4), (4.5, 1)])
def test_shuffles_are_drawn_only_near_the_limit(monkeypatch, above, shuffles):
    """The edge of these shuffles is at 25: far beyond it one tells, near it all of them are needed."""
    found = iter([above, *[25.0] * 4])
    monkeypatch.setattr(exchangeability, "_johnstone", lambda entries: next(found))
    matrix = mostly_zero(np.random.default_rng(24), (64, 48))
    assert exchangeability._above_edge(matrix) == pytest.approx(above - 25.0 + exchangeability.EDGE_MEAN)
    assert len(list(found)) == 4 - shuffles


# No verdict


@pytest.mark.parametrize("shapes", [[(7, 500)], [(500, 7)], [(31, 33)], [(9, 1)] * 960, [(20, 20)] * 2])
def test_too_small_to_tell(shapes):
    rng = np.random.default_rng(15)
    blocks = [rng.standard_normal(shape) for shape in shapes]
    found = evidence(blocks)
    pooled = np.abs(np.concatenate([block.ravel() for block in blocks]))
    largest, shares = pooled.max(), pooled / pooled.max()
    moments = pytest.approx(shares.mean(), rel=1e-5), pytest.approx(shares.var(), rel=1e-5)
    assert found == Evidence(largest, *moments, reason=TOO_SMALL)
    for z in (None, -50.0, 2.9):
        assert summary(found, z) == (None, (), TOO_SMALL)
    assert summary(found, 3.1) == (False, ("neural persistence",), TOO_SMALL)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value):
    matrix = normal(np.random.default_rng(16), (60, 50))
    matrix[5, 6] = value
    found = evidence([normal(np.random.default_rng(17), (60, 50)), matrix])
    assert found == Evidence(reason="a weight is NaN or infinite")
    assert verdict(found, z=None).exchangeable is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [(0.0, "all its weights are zero"), (-0.3, "all its weights are equal, as far as float32 tells")],
)
def test_constants(value, reason):
    found = evidence([np.full((60, 50), value, np.float32)])
    assert found.variance == pytest.approx(0.0, abs=1e-12)
    assert (found.z_rows, found.spectrum) == (None, None)
    assert summary(found, None) == (None, (), reason)


# Putting together


@pytest.mark.parametrize(
    ("figures", "z", "structured"),
    [
        ((0.0, 0.0, 0.0), 0.0, ()),
        ((3.9, -3.9, 3.9), 2.9, ()),
        ((0.0, 0.0, -30.0), None, ()),
        ((0.0, 0.0, 0.0), 3.1, ("neural persistence",)),
        ((0.0, 0.0, 0.0), -30.0, ()),
        ((4.1, -50.0, 0.0), 0.0, ("concentration",)),
        ((-50.0, -50.0, -50.0), -50.0, ()),
        ((0.0, 4.1, 4.1), 3.1, ("neural persistence", "concentration", "spectrum")),
    ],
)
def test_verdicts(figures, z, structured):
    z_rows, z_columns, spectrum = figures
    measured = Evidence(z_rows=z_rows, z_columns=z_columns, spectrum=spectrum)
    assert summary(measured, z) == (not structured, structured, None)


@pytest.mark.parametrize("draw", [normal, uniform])
@pytest.mark.parametrize("axis", [0, 1])
def test_weights_normalised_to_one_length_are_no_structure(draw, axis):
    """As weight normalisation makes them at its start; what was trained before is still told."""
    matrix = draw(np.random.default_rng(6), (128, 96))
    normalised = (matrix / np.linalg.norm(matrix, axis=axis, keepdims=True)).astype(np.float32)
    found = evidence([normalised])
    assert found.even
    assert (found.z_columns if axis == 0 else found.z_rows) is None
    assert verdict(found, z=9.0).exchangeable
    assert not evidence([matrix]).even
    trained = matrix + matrix.std() * np.outer(np.resize([-1, 1], 128), np.resize([-1, 1], 96))
    trained /= np.linalg.norm(trained, axis=axis, keepdims=True)
    assert "spectrum" in verdict(evidence([trained.astype(np.float32)]), z=0.0).structured


# What is more even than chance


def orthogonal(rng, shape):
    q = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))[0]
    return q if shape[0] >= shape[1] else q.T


def unit_norm(rng, shape):
    weights = rng.standard_normal(shape)
    return weights / np.linalg.norm(weights, axis=0)


def two_of_four(rng, shape):
    """The larger two of every four inputs, as structured sparsity leaves them."""
    fours = rng.standard_normal((shape[0] // 4, 4, shape[1]))
    order = np.argsort(np.argsort(np.abs(fours), axis=1), axis=1)
    return np.where(order >= 2, fours, 0.0).reshape(shape)


def sparse(rng, shape):
    """As PyTorch's sparse initialisation: 90 % of each output's weights are zero."""
    order = np.argsort(rng.random(shape), axis=0)
    return np.where(order < shape[0] // 10, rng.normal(0, 0.01, shape), 0.0)


MODELS = NullModels()
MARKED = {
    orthogonal: "of one length",
    unit_norm: "its columns are of one length",
    two_of_four: "all columns have as many zeros",
    sparse: "all columns have as many zeros",
}


@pytest.mark.parametrize("make", MARKED, ids=lambda make: make.__name__)
def test_evenness_is_the_mark_of_an_initialiser_and_no_structure(make):
    """Seeded, of several shapes, 60 of the 480 that ``python -m benchmarks untrained`` counts."""
    alike = 0
    for seed in range(15):
        for shape in ((64, 64), (128, 32), (256, 64), (96, 160)):
            matrix = make(np.random.default_rng([seed, *shape]), shape).astype(np.float32)
            value = layer_persistence(matrix)
            z = MODELS.measure(MODELS.read([matrix]), value.normalized, scale=value.scale).z
            told = verdict(evidence([matrix]), z)
            alike += bool(told.exchangeable)
            assert MARKED[make] in told.mark
    assert alike >= 59


def test_evenness_without_a_reason_is_named_too():
    rng = np.random.default_rng(21)
    alike = np.repeat(np.abs(normal(rng, (60, 1))), 50, axis=1) * rng.uniform(0.99, 1.01, (60, 50))
    even = rng.permuted(alike, axis=0) * rng.choice([-1, 1], (60, 50))
    found = evidence([even])
    assert found.z_columns < -4
    assert found.mark == "its large weights are spread over the columns more evenly than chance would have it"
    assert verdict(evidence([normal(rng, (60, 50))]), z=-3.1).mark is not None
    assert verdict(evidence([normal(rng, (60, 50))]), z=-2.9).mark is None


@pytest.mark.parametrize(("share", "asked"), [(0.01, False), (0.05, False), (0.1, True), (0.5, True)])
def test_a_nearly_empty_matrix_is_not_asked_for_its_spectrum(share, asked):
    """Pruned to 1 %, a third of all random matrices would have one."""
    rng = np.random.default_rng(22)
    for _ in range(12):
        matrix = rng.standard_normal((256, 64)) * (rng.random((256, 64)) < share)
        found = evidence([matrix])
        assert (found.spectrum is not None) == asked
        assert summary(found, 0.0) == (True, (), None if asked else EMPTY)
