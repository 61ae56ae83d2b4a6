"""Statistics of planted matrices, each in both memory orders and cut into blocks."""

from collections.abc import Callable

import numpy as np
import pytest

from onnxtop.statistics.layer import layer_statistics
from onnxtop.statistics.sketch import cosine, unpack
from onnxtop.statistics.sums import add_up

RNG = np.random.default_rng(11)


def gaussian(rows: int, columns: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng((rows, columns)).normal(size=(rows, columns)).astype(dtype)


ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda matrix: np.repeat(np.repeat(matrix, 2, axis=0), 2, axis=1)[::2, ::2],
}


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> Callable[[np.ndarray], np.ndarray]:
    return ORDERS[request.param]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (40, 30), (700, 600), (3, 5000)])
def test_numbers(order, dtype, shape):
    matrix = gaussian(*shape, dtype)
    matrix[0, 0] = 0
    found = layer_statistics([order(matrix)])
    exact = matrix.astype(np.float64)
    assert (found.n_in, found.n_out) == shape
    assert (found.minimum, found.maximum) == (exact.min(), exact.max())
    assert found.rms == pytest.approx(np.sqrt(np.mean(exact**2)), rel=1e-5)
    assert found.zeros == 1
    assert found.at_limit == np.count_nonzero(np.abs(exact) == np.abs(exact).max())


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e300])
def test_no_scale_overflows(factor):
    found = layer_statistics([gaussian(50, 40, "float64") * factor])
    plain = layer_statistics([gaussian(50, 40, "float64")])
    assert found.rms == pytest.approx(plain.rms * factor, rel=1e-5)
    assert cosine(unpack(found.sketch), unpack(plain.sketch)) > 0.999
    assert found.rank == plain.rank


def test_dead_units(order):
    matrix = gaussian(20, 30)
    matrix[[3, 17]] = 0
    matrix[:, 5] = 0
    found = layer_statistics([order(matrix)])
    assert found.dead_inputs.indices == (3, 17)
    assert found.dead_outputs.indices == (5,)


def test_only_the_first_indices_are_listed():
    matrix = np.zeros((200, 3))
    matrix[0] = 1
    found = layer_statistics([matrix])
    assert (found.dead_inputs.count, len(found.dead_inputs.indices)) == (199, 64)


def test_duplicates(order):
    matrix = gaussian(40, 50)
    matrix[:, 30:35] = matrix[:, 10:15]
    matrix[:, 49] = matrix[:, 2] * np.float32(1.0002)
    matrix[25] = matrix[7]
    found = layer_statistics([order(matrix)])
    assert found.duplicate_outputs.indices == (30, 31, 32, 33, 34)
    assert found.near_duplicate_outputs.indices == (49,)
    assert found.duplicate_inputs.indices == (25,)


def test_scaled_and_negated_units_are_no_duplicates(order):
    matrix = gaussian(40, 50)
    matrix[:, 20] = 2 * matrix[:, 1]
    matrix[:, 21] = -matrix[:, 1]
    assert layer_statistics([order(matrix)]).duplicate_outputs.count == 0


def test_dead_and_short_units_are_no_duplicates():
    matrix = gaussian(40, 50)
    matrix[:, 10:20] = 0
    assert layer_statistics([matrix]).duplicate_outputs.count == 0
    assert layer_statistics([np.sign(gaussian(7, 500))]).duplicate_outputs.count == 0


def test_ten_thousand_units_half_of_them_copies(order):
    matrix = gaussian(64, 10_000)
    matrix[:, 5000:] = matrix[:, np.random.default_rng(0).permutation(5000)]
    found = layer_statistics([order(matrix)])
    assert found.duplicate_outputs.count == 5000


def test_nearly_equal_units_are_mostly_found():
    matrix = gaussian(300, 4000)
    noise = np.random.default_rng(5).normal(size=(300, 2000))
    matrix[:, 2000:] = matrix[:, :2000] * (1 + 3e-4 * noise)
    found = layer_statistics([matrix])
    assert found.duplicate_outputs.count == 0
    assert found.near_duplicate_outputs.count >= 1950


@pytest.mark.parametrize("rank", [1, 4, 31])
def test_rank(order, rank):
    matrix = gaussian(120, rank) @ gaussian(rank, 90)
    assert layer_statistics([order(matrix)]).rank == rank


@pytest.mark.parametrize(("shape", "full"), [((120, 90), 32), ((20, 90), 20), ((90, 6), 6), ((1, 9), 1)])
def test_full_rank(shape, full):
    found = layer_statistics([gaussian(*shape)])
    assert (found.rank, found.rank_limit) == (full, full)


def test_dead_units_do_not_lower_the_rank():
    matrix = gaussian(60, 60)
    matrix[10:] = 0
    found = layer_statistics([matrix])
    assert (found.rank, found.rank_limit) == (10, 10)


@pytest.mark.parametrize("count", [2, 100])
def test_blocks_are_numbered_through(count):
    blocks = [gaussian(9, 12) + number for number in range(count)]
    blocks[1][4] = 0
    blocks[1][:, 3] = 0
    found = layer_statistics(blocks)
    assert found.dead_inputs.indices == (13,)
    assert found.dead_outputs.indices == (15,)
    assert (found.n_in, found.n_out) == (9 * count, 12 * count)
    assert found.rms == pytest.approx(np.sqrt(np.mean(np.square(blocks))), rel=1e-5)


def test_the_sketch_of_many_blocks_is_that_of_the_whole():
    blocks = [gaussian(9, 4) * (1 + number) for number in range(40)]
    whole = np.zeros((360, 160), np.float32)
    for number, block in enumerate(blocks):
        whole[9 * number : 9 * number + 9, 4 * number : 4 * number + 4] = block
    one, two = (unpack(layer_statistics(each).sketch) for each in (blocks, [whole]))
    assert cosine(one, two) > 0.999


def test_units_of_different_blocks_are_not_compared():
    block = gaussian(16, 5)
    assert layer_statistics([block, block]).duplicate_outputs.count == 0


def test_sketches():
    one, other = gaussian(70, 70), gaussian(71, 70)[:70]
    sketches = [unpack(layer_statistics([each]).sketch) for each in (one, one.T, 3 * one, other)]
    straight, turned, larger, apart = sketches
    assert cosine(straight, turned.T) > 0.99
    assert cosine(straight, larger) > 0.99
    assert abs(cosine(straight, turned)) < 0.5
    assert abs(cosine(straight, apart)) < 0.5


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_statistics(odd):
    matrix = gaussian(5, 5)
    matrix[2, 2] = odd
    assert layer_statistics([matrix]) is None


@pytest.mark.parametrize("at", [(0, 0), (-1, -1)])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_statistics_in_whatever_tile_it_stands(odd, at):
    weights = np.random.default_rng(8).standard_normal((900, 700), dtype=np.float32)
    weights[at] = odd
    ends = add_up([weights]).ends
    assert not ends.finite
    assert np.isnan(ends).all() == np.isnan(odd)
    assert layer_statistics([weights]) is None


def test_what_is_empty_has_no_statistics():
    assert layer_statistics([]) is None
    assert layer_statistics([np.zeros((0, 3))]) is None


def test_a_layer_of_zeros():
    found = layer_statistics([np.zeros((4, 3), np.float32)])
    assert (found.zeros, found.rms, found.rank, found.sketch) == (12, 0, 0, None)
    assert found.dead_outputs.count == 3


def test_float16():
    matrix = gaussian(50, 40, "float16")
    matrix[0, :3] = 65504, -65504, 1e-6
    found = layer_statistics([matrix], half=True)
    assert found.saturated == 2
    assert found.subnormal >= 1
    assert layer_statistics([matrix]).saturated == 0
    decoded = layer_statistics([matrix.astype(np.float32)], half=True)
    assert (decoded.subnormal, decoded.saturated) == (found.subnormal, found.saturated)
    assert found.subnormal == np.count_nonzero((np.abs(matrix) < 2.0**-14) & (matrix != 0))


def test_float32_that_was_narrower_before():
    matrix = gaussian(50, 40)
    halves = matrix.astype(np.float16).astype(np.float32)
    cut = (matrix.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    found = [layer_statistics([each]).precision for each in (matrix, halves, cut, np.sign(matrix))]
    assert found == [None, "float16", "bfloat16", None]


def test_weights_that_were_cut_off_pile_up(order):
    for shape in [(40, 30), (700, 600), (2000, 1), (1, 2000), (2, 900)]:
        matrix = gaussian(*shape).clip(-1.5, 1.5)
        found = layer_statistics([order(matrix)])
        assert found.at_limit == pytest.approx(np.count_nonzero(np.abs(matrix) == 1.5), rel=0.1)
    kernels = [gaussian(25, 1).clip(-1, 1) * sign for sign in (1, -1)] + [gaussian(25, 2).clip(-1, 1)[:, :1]]
    assert layer_statistics(kernels).at_limit >= 3


COPIES: dict[str, Callable[[np.ndarray], list[np.ndarray]]] = {
    "a kernel for every channel": lambda kernel: [kernel.reshape(-1, 1)] * 32,
    "a kernel for more channels": lambda kernel: [kernel.reshape(-1, 1)] * 100,
    "a kernel and its negative": lambda kernel: [kernel.reshape(-1, 1), -kernel.reshape(-1, 1)] * 8,
    "some kernels of many": lambda kernel: (
        [kernel.reshape(-1, 1)] * 8
        + [gaussian(25, 2)[:, 1:] * shrunk for shrunk in np.linspace(0.1, 0.2, 24, dtype=np.float32)]
    ),
    "channels in": lambda kernel: [np.tile(kernel.reshape(-1, 1) * [[1, 0.5, 0.3]], (16, 1))],
    "channels out": lambda kernel: [np.tile(gaussian(64, 4), (1, 16))],
    "rows": lambda kernel: [np.repeat(gaussian(4, 64), 16, axis=0)],
    "columns": lambda kernel: [np.repeat(gaussian(64, 4), 16, axis=1)],
    "matrices": lambda kernel: [gaussian(16, 16)] * 12,
    "frames": lambda kernel: [np.repeat(kernel[None], 7, axis=0).reshape(-1, 1)],
}


@pytest.mark.parametrize("name", COPIES)
def test_weights_that_are_there_as_copies_count_once(name, order):
    blocks = [order(np.asarray(each, np.float32)) for each in COPIES[name](gaussian(5, 5))]
    largest = max(np.abs(each).max() for each in blocks)
    assert sum(np.count_nonzero(np.abs(each) == largest) for each in blocks) >= 4
    found = layer_statistics(blocks)
    assert found.at_limit == 1 or not found.varied
