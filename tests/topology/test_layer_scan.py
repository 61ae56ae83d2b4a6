"""One pass over a layer finds what passes of their own would find, whoever asks."""

import numpy as np
import pytest
from hard_matrices import HARD, random_matrix

from onnxtop import network
from onnxtop.topology import layer_scan, strongest
from onnxtop.topology.graph import distinct
from onnxtop.topology.layer_scan import scan_layer, scan_once
from onnxtop.topology.neural_persistence import layer_forest
from onnxtop.topology.null_model import NullModels
from onnxtop.topology.reach import filled_lines
from onnxtop.topology.spanning import strongest_first
from onnxtop.topology.strongest import strong_cells, strongest_weights

SHAPES = [(130, 170), (90, 60), (9, 4)]


def layer(name, dtype, order, shift=0.0):
    blocks = [random_matrix(name, *shape, seed=seed) for seed, shape in enumerate(SHAPES)]
    return [np.array(np.clip(block + shift, -6e4, 6e4), dtype, order=order) for block in blocks]


@pytest.fixture
def small_chunks(monkeypatch):
    for module in (layer_scan, strongest):
        monkeypatch.setattr(module, "CHUNK", 1000)
    monkeypatch.setattr(network, "_CELLS", 1000)
    monkeypatch.setattr(network, "_WIDTH", 48)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("name", ["gaussian", "int4_uniform", "zeros_99", "scaled_rows", "all_equal"])
def test_one_pass_is_as_good_as_several(name, shift, order, dtype, small_chunks):
    blocks = layer(name, dtype, order, shift)
    scans = scan_once(blocks, 2000)
    every = np.concatenate([block.ravel() for block in blocks]).astype(np.float64)
    assert scans.paths.mean == pytest.approx(every.mean(), rel=1e-12, abs=1e-12 * every.std())
    assert scans.paths.std == pytest.approx(np.ptp(every) and every.std(), rel=1e-12)
    for k, (block, cells) in enumerate(zip(blocks, scans.paths.blocks, strict=True)):
        assert np.array_equal(block[cells.places], cells.weights)
        strengths = scans.paths.strength(1.0)(block)
        assert strengths.max() <= scans.paths.largest
        strengths[cells.places] = 0.0
        assert strengths.max() <= scans.paths.limit(1.0, k)
    counted = filled_lines(blocks)
    for lines, wanted, block in zip(scans.filled, counted, blocks, strict=True):
        assert lines.rows.tolist() == wanted.rows.tolist() == np.count_nonzero(block, axis=1).tolist()
        assert lines.columns.tolist() == wanted.columns.tolist() == np.count_nonzero(block, axis=0).tolist()
    forest, alone = layer_forest(blocks, cells=scans.cells), layer_forest(blocks)
    assert forest.strengths.tolist() == alone.strengths.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_tiny_matrices_are_scanned_together_as_one_by_one(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    blocks = [np.round(rng.standard_normal(shape), 1).astype(dtype) for shape in [(3, 3), (9, 1), (5, 8)] * 5]
    blocks[4] = np.asfortranarray(blocks[4])
    together = scan_once(blocks, 40)
    monkeypatch.setattr(layer_scan, "SMALL", 0)
    apart = scan_once(blocks, 40)
    for name in ("mean", "std", "largest"):
        assert getattr(together.paths, name) == pytest.approx(getattr(apart.paths, name), rel=1e-12)
    for one, other in zip(together.paths.blocks, apart.paths.blocks, strict=True):
        assert [side.tolist() for side in one.places] == [side.tolist() for side in other.places]
        assert one.weights.tolist() == other.weights.tolist()
    assert together.cells.strongest(40).tolist() == apart.cells.strongest(40).tolist()
    for one, other in zip(together.filled, apart.filled, strict=True):
        assert [side.tolist() for side in one] == [side.tolist() for side in other]


@pytest.mark.parametrize("name", HARD)
def test_the_strongest_are_exact_or_not_told(name, small_chunks):
    blocks = layer(name, np.float32, "C")
    cells = strong_cells(blocks, 3000)
    told = [n for n in (1, 50, 700, 1500, 3000, 10**9) if (some := cells.strongest(n)) is not None
            and np.array_equal(some, strongest_weights(blocks, n))]  # fmt: skip
    refused = [n for n in (1, 50, 700, 1500, 3000, 10**9) if cells.strongest(n) is None]
    assert sorted(told + refused) == [1, 50, 700, 1500, 3000, 10**9]
    assert name not in ("gaussian", "uniform", "rank_8") or 1500 in told


def test_the_null_model_reads_no_weight_that_is_listed(monkeypatch):
    matrix = random_matrix("gaussian", 300, 200)
    plain, models = NullModels().read([matrix]), NullModels()
    wanted = models.read([matrix]).strengths.size
    monkeypatch.setattr("onnxtop.topology.null_model.strongest_weights", None)
    kept = models.read([matrix], cells=strong_cells([matrix], int(1.2 * wanted)))
    assert kept.strengths.tolist() == plain.strengths.tolist()


def _put(seen, tile):
    assert not seen[tile.rows, tile.columns].any()
    seen[tile.rows, tile.columns] = tile.cells
    assert (tile.sizes == np.abs(tile.cells)).all()


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_every_weight_is_passed_once(shift, monkeypatch, small_chunks):
    passed = []

    def counted(blocks):
        for tile in network.tiles(blocks):
            passed.append(tile.cells.size)
            yield tile

    monkeypatch.setattr(layer_scan, "tiles", counted)
    matrix = random_matrix("gaussian", 400, 300) + np.float32(shift)
    seen = np.zeros_like(matrix)
    scans = scan_once([matrix], 2000, look=lambda tile: _put(seen, tile))
    assert (seen == matrix).all()
    assert scans.filled == ()
    layer_forest([matrix], cells=scans.cells)
    assert sum(passed) == matrix.size
    assert scans.paths.largest == pytest.approx(np.abs(matrix - matrix.mean()).max() / matrix.std(), rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_a_weight_that_is_not_finite(bad, dtype):
    for shift in (0.0, 5.0):
        matrix = (random_matrix("gaussian", 120, 90) + shift).astype(dtype)
        matrix[7, 11] = bad
        scans = scan_once([matrix, matrix])
        assert scans.cells is None
        assert not scans.paths.finite
        assert [lines.rows.tolist() for lines in scans.filled] == [[90] * 120] * 2
        assert not scan_layer([np.full((120, 90), bad, dtype)]).finite


def test_a_mean_far_from_zero_has_cuts_of_its_own():
    matrix = np.abs(random_matrix("gaussian", 300, 200))
    scan = scan_layer([matrix], n_wanted=500)
    low, high = scan.blocks[0].cuts
    assert low != -high
    assert 0 < scan.limit(1.0, 0) < scan.largest


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.float32, np.float64])
def test_many_are_sorted_as_few(dtype):
    strengths = (np.random.default_rng(0).random(20_000) * 5000).astype(dtype)
    for some in (strengths, strengths[:500], np.round(strengths / 100)[::-1].astype(dtype)):
        assert strongest_first(some).tolist() == np.argsort(-some.astype(float), kind="stable").tolist()


def test_distinct():
    assert distinct(np.array([], np.intp)).tolist() == []
    assert distinct(np.array([5, 2, 5, 2, 2, 9])).tolist() == [2, 5, 9]
