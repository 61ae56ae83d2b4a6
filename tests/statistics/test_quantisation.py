import ml_dtypes
import numpy as np
import pytest

from onnxtop.network import RawCodes
from onnxtop.statistics.quantisation import code_statistics

SCALE = np.array([0.1], np.float32)


def test_all_codes_of_a_byte():
    found = code_statistics(RawCodes(np.arange(-128, 128).astype(np.int8), 8, SCALE))
    assert (found.bits, found.distinct, found.reach) == (8, 256, 1.0)
    assert found.clipped == pytest.approx((3 - 2) / 256)


def test_unsigned_codes_reach_from_the_lowest_to_the_highest():
    found = code_statistics(RawCodes(np.array([100, 151], np.uint8), 8, SCALE))
    assert found.reach == pytest.approx(51 / 255)


@pytest.mark.parametrize("kind", [ml_dtypes.int4, ml_dtypes.uint4])
def test_four_bits(kind):
    lowest = -8 if kind is ml_dtypes.int4 else 0
    found = code_statistics(RawCodes(np.arange(lowest, lowest + 16).astype(kind), 4, SCALE))
    assert (found.distinct, found.reach) == (16, 1.0)


def test_one_code_at_the_end_of_every_channel_is_not_clipped():
    codes = np.zeros((10, 20), np.int8)
    codes[:, 0] = 127
    assert code_statistics(RawCodes(codes, 8, np.ones(10))).clipped == 0
    codes[:, :10] = -127
    assert code_statistics(RawCodes(codes, 8, np.ones(10))).clipped == pytest.approx(0.4)


def test_scales():
    codes = np.zeros(4, np.int8)
    found = code_statistics(RawCodes(codes, 8, np.array([0.0, -1.0, np.nan, np.inf, 1e-40, 2.0])))
    assert (found.zero_scales, found.odd_scales) == (2, 2)  # a negative scale is as good as another
    assert code_statistics(RawCodes(codes, 8, np.array([1.0, 1.0, 60.0]))).scale_spread == 60
    assert code_statistics(RawCodes(codes, 8, SCALE)).scale_spread is None


def test_a_code_that_is_used_once_is_not_missed() -> None:
    codes = np.tile(np.array([-3, 0, 5], np.int8), 2**18)
    codes[[2**18 + 1, -1]] = 2, -9
    found = code_statistics(RawCodes(codes, 8, SCALE))
    assert (found.distinct, found.reach) == (5, 9 / 127)


@pytest.mark.parametrize("size", [2**17, 2**17 + 1, 2**20 + 2**17])
def test_many_codes_are_counted_as_few_are(size: int) -> None:
    codes = np.tile(np.arange(-128, 128), -(-size // 256))[:size].astype(np.int8)
    found = code_statistics(RawCodes(codes, 8, SCALE))
    assert (found.distinct, found.reach) == (256, 1.0)
    ends = sum(int(np.count_nonzero(codes == end)) for end in (-128, -127, 127))
    assert found.clipped == (ends - 2 * SCALE.size) / size
