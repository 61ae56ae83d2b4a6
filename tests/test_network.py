"""What the two halves share: extremes and widening, of which float16 is worked on as integers."""

import warnings

import numpy as np
import pytest

from onnxtop import network
from onnxtop.network import Extremes, extremes, widened

ALL_HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(256, 256)
"""Every pattern of float16."""


@pytest.mark.parametrize("cells", [64, 1 << 17])
@pytest.mark.parametrize("turn", [np.asarray, np.transpose])
def test_every_float16_is_widened_exactly(monkeypatch, cells, turn):
    monkeypatch.setattr(network, "CHUNK", cells)
    halves = turn(ALL_HALVES)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        wide, wanted = widened(halves), halves.astype(np.float32)
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, wanted)
    here = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(wide[here]), np.signbit(wanted[here]))


def test_other_types_are_widened_only_where_they_are_foreign():
    native = np.ones((2, 3))
    assert widened(native) is native
    assert widened(native.astype(">f4")).dtype == np.dtype(np.float32)
    assert widened(native.astype(">f2")).tolist() == native.tolist()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f2", ">f4"])
@pytest.mark.parametrize("shift", [-4.0, 0.0, 4.0])
def test_extremes_are_those_of_numpy(dtype, shift):
    rng = np.random.default_rng(0)
    blocks = [(rng.standard_normal(shape) + shift).astype(dtype) for shape in ((700, 300), (3, 5))]
    blocks[0] = blocks[0].T
    weights = np.concatenate([block.ravel() for block in blocks])
    assert extremes(blocks) == (float(weights.min()), float(weights.max()))
    assert extremes(blocks).largest == float(np.abs(weights).max())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_extremes_miss_no_weight_that_is_not_finite(dtype, bad):
    block = np.ones((50, 40), dtype)
    block[20, 30] = bad
    found = extremes([np.ones((2, 2), dtype), block, block[:10]])
    assert not found.finite
    assert np.array_equal(
        found, {True: (np.nan, np.nan)}.get(np.isnan(bad), sorted((1.0, bad))), equal_nan=True
    )


def test_extremes_of_nothing_and_of_zeros():
    assert not extremes([]).finite
    assert not extremes([np.ones((0, 3))]).finite
    assert str(extremes([np.array([[-0.0]], np.float16)])) == str(Extremes(0.0, 0.0))
