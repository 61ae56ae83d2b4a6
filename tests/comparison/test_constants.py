"""Two constants at one place: what is rounding, what is spread out, what is an edit."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from onnx import numpy_helper, parser

import onnxtop
from onnxtop.comparison import sums
from onnxtop.comparison.constants import compare_constants
from onnxtop.comparison.sums import PairSums
from onnxtop.reader.terms.constant import constant_of
from onnxtop.results.diff import DiffSettings, Verdict
from tests.models import save

TOLERANCE = DiffSettings().tolerance
LOWEST = float(np.finfo(np.float32).min)


def passes(old, new):
    return compare_constants(constant_of(old), constant_of(new)).is_within(TOLERANCE)


def numbers(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


# A few huge elements stand for no others


def causal(huge, shape=(8, 8)):
    """Return a mask of attention with a bias in what it leaves, and where that is."""
    open_ = np.broadcast_to(np.tri(shape[-1], dtype=bool), shape)
    return np.where(open_, 3 * numbers(*shape), np.float32(huge)).astype(np.float32), open_


def classes(huge, count=12):
    """Return a bias of which one class is left out, and where the others are."""
    array, open_ = numbers(count), np.arange(count) > 0
    array[0] = huge
    return array, open_


HUGE = {
    "causal": causal,
    "heads": lambda huge: causal(huge, (3, 1, 8, 8)),
    "classes": classes,
    "seven classes": lambda huge: classes(huge, 7),
}


def one(array):
    array = array.copy()
    array[array.size // 2] += 50
    return array


EDITS = {
    "negated": lambda array: -array,
    "zeroed": np.zeros_like,
    "times 1.5": lambda array: array * np.float32(1.5),
    "drawn anew": lambda array: 3 * numbers(*array.shape, seed=1),
    "one": one,
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("huge", [-1e4, -1e9, 1e9, LOWEST])
@pytest.mark.parametrize("kind", HUGE)
def test_huge_elements_hide_no_change_of_others(kind, huge, edit):
    old, open_ = HUGE[kind](huge)
    new = old.copy()
    new[open_] = EDITS[edit](old[open_])
    before, after = old[open_].astype(float), new[open_].astype(float)
    wanted = np.linalg.norm(after - before) / np.linalg.norm(before)
    change = compare_constants(constant_of(old), constant_of(new))
    assert not change.is_within(TOLERANCE)
    assert change.relative == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("edit", ["negated", "zeroed", "one"])
@pytest.mark.parametrize("kind", HUGE)
def test_a_cast_hides_no_change_beside_huge_elements(kind, edit):
    """A mask that another type rounds is off by more than all that it leaves."""
    old, open_ = HUGE[kind](-1e9)
    new = old.copy()
    new[open_] = EDITS[edit](old[open_])
    assert passes(old, old.astype(ml_dtypes.bfloat16))
    assert not passes(old, new.astype(ml_dtypes.bfloat16))
    assert not passes(new.astype(ml_dtypes.bfloat16), old)


@pytest.mark.parametrize("kind", HUGE)
def test_a_small_change_beside_huge_elements_is_within(kind):
    old, open_ = HUGE[kind](-1e9)
    new = old.copy()
    new[open_] += 0.02 * numbers(open_.sum(), seed=2)
    change = compare_constants(constant_of(old), constant_of(new))
    assert change.is_within(TOLERANCE)
    assert 0.005 < change.relative < 0.1


def test_a_change_that_is_large_beside_no_element_counts_whole():
    old = np.array([-1e9, 0, 0, 0, 0, -1e9, 0, 0, 0], np.float32)
    new = np.where(old == 0, numbers(9), old)
    change = compare_constants(constant_of(old), constant_of(new))
    assert (change.relative, change.is_within(TOLERANCE)) == (1.0, False)


# What rounds


def in_steps(array, top, axes=None):
    """Return what codes up to a number make of an array, with one scale or one for each first index."""
    largest = np.abs(array).max(axis=axes, keepdims=True)
    step = np.where(largest == 0, 1, largest / top).astype(np.float32)
    return np.round(array / step) * step


def asymmetric(array):
    low, high = min(array.min(), 0), max(array.max(), 0)
    step = np.float32((high - low) / 255)
    zero = np.round(-low / step)
    return ((np.clip(np.round(array / step) + zero, 0, 255) - zero) * step).astype(np.float32)


ROUNDED = {
    "float16": lambda array: array.astype(np.float16),
    "float16, decoded": lambda array: array.astype(np.float16).astype(np.float32),
    "bfloat16": lambda array: array.astype(ml_dtypes.bfloat16),
    "bfloat16, decoded": lambda array: array.astype(ml_dtypes.bfloat16).astype(np.float32),
    "double": lambda array: array.astype(np.float64) * (1 + 1e-9),
    "8 bits": lambda array: in_steps(array, 127),
    "8 bits, asymmetric": asymmetric,
    "8 bits by channel": lambda array: in_steps(array, 127, tuple(range(1, array.ndim)) or None),
    "32 bits": lambda array: in_steps(array, 2**16),
    "folded": lambda array: (array * np.float32(1.7) + np.float32(0.3) - np.float32(0.3)) / np.float32(1.7),
}


def with_dead(share):
    array = numbers(32, 16)
    array[:, 5] *= np.float32(share)
    return array


def with_outlier(size):
    array = numbers(12)
    array[3] = size
    return array


WEIGHTS = {
    "vector": numbers(8),
    "matrix": numbers(64, 48, scale=0.02),
    "kernel": numbers(16, 8, 3, 3, scale=0.1),
    "large numbers": numbers(20, 20, scale=300),
    "heavy tails": np.random.default_rng(0).standard_t(2, (40, 30)).astype(np.float32),
    "nearly one": 1 + numbers(96, scale=0.01),
    **{f"dead by {share}": with_dead(share) for share in (1e-2, 1e-5, 1e-9, 1e-20)},
    **{f"outlier of {size}": with_outlier(size) for size in (20, 60, 200)},
    "a small one": np.array([0.5, -0.3, 0.1, 0.4, 0.2, -0.6, 0.7, 2e-5, 0.1, -0.2], np.float32),
}


@pytest.mark.parametrize("rounding", ROUNDED)
@pytest.mark.parametrize("name", WEIGHTS)
def test_rounding_is_no_edit(name, rounding):
    old = WEIGHTS[name]
    new = ROUNDED[rounding](old)
    assert new.tobytes() != old.tobytes() or name == "folded"
    assert passes(old, new)
    if old.dtype != new.dtype:
        assert passes(new, old)


@pytest.mark.parametrize("count", [4, 5, 8, 12, 64])
def test_tables_that_are_computed_on_two_ways_are_one(count):
    """Where one way is at 0, the other is at 1e-16 or 1e-7, beside elements of which none moves."""
    turns = np.outer(np.arange(count), np.arange(count)) / count
    double = np.cos(2 * np.pi * turns).astype(np.float32)
    single = np.cos(np.float32(2 * np.pi) * (turns % 1).astype(np.float32))
    zeros = np.where(np.abs(double) < 1e-6, np.float32(0), double)
    for old, new in itertools.permutations((double, single, zeros), 2):
        assert passes(old, new)


@pytest.mark.parametrize("share", [0.12, 0.15, 0.2])
@pytest.mark.parametrize("name", ["matrix", "kernel", "heavy tails", "large numbers"])
def test_to_prune_the_smallest_is_no_edit(name, share):
    old = WEIGHTS[name]
    new = np.where(np.abs(old) < np.quantile(np.abs(old), share), np.float32(0), old)
    assert 0.8 * share < np.mean(new != old) < 1.2 * share
    assert passes(old, new)


# Edits in few elements, rows or columns


def zeroed(array, where):
    array[where] = 0


def negated(array, where):
    array[where] *= -1


LARGE = (8400, 512)
"""More elements than fit in a strip, and than are sorted."""


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (zeroed, np.s_[:, 100]),
        (negated, np.s_[:, 3]),
        (zeroed, np.s_[::40]),
        (negated, np.s_[17, 4]),
        (zeroed, np.s_[::31, ::17]),
    ],
)
def test_an_edit_of_few_elements_rows_or_columns_of_a_large_constant(change, where):
    old = numbers(*LARGE)
    new = old.copy()
    change(new, where)
    found = PairSums(old, new)
    assert found.relative == pytest.approx(np.linalg.norm(new - old) / np.linalg.norm(old), rel=0.02)
    assert not found.is_spread


def test_what_is_spread_over_a_large_constant():
    old = numbers(*LARGE)
    assert PairSums(old, old + numbers(*LARGE, seed=1, scale=0.05)).is_spread
    assert PairSums(old, in_steps(old, 127)).is_spread


@pytest.mark.parametrize("scale", [1e-30, 5e-8, 1e-3, 1.0, 1e3])
def test_an_edit_is_one_at_any_scale(scale):
    old = numbers(16, 128, scale=scale)
    for change, where in ((zeroed, np.s_[:, 7]), (negated, np.s_[3, 3]), (zeroed, np.s_[2])):
        new = old.copy()
        change(new, where)
        assert not passes(old, new)
    assert passes(old, old + numbers(16, 128, seed=1, scale=0.05 * scale))


SHAPES = [(1,), (9,), (40,), (5, 7), (1, 50), (50, 1), (7, 3, 5), (2, 1, 4, 9), (3, 2, 2, 2, 3)]


@pytest.mark.parametrize("cells", [1, 4, 10, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_over_slices_are_those_of_numpy_however_it_is_cut(shape, cells, monkeypatch):
    monkeypatch.setattr(sums, "CHUNK", cells)
    old, new = numbers(*shape), numbers(*shape, seed=1)
    found = PairSums(old, new)
    squares = (new.astype(float) - old.astype(float)) ** 2
    for axis, each in enumerate(found._slices):
        others = tuple(other for other in range(squares.ndim) if other != axis)
        wanted = squares.sum(axis=others) if 1 < shape[axis] < old.size else np.zeros(0)
        np.testing.assert_allclose(each, wanted)
    assert found.whole == pytest.approx(np.sqrt(squares.sum() / (old.astype(float) ** 2).sum()))


@pytest.mark.parametrize("count", [7, 8, 20, 39, 40, 200, 3000])
def test_the_largest_twentieth_is_found_without_sorting(count):
    rng = np.random.default_rng(count)
    seen = set()
    for width in np.linspace(0.5, 6, 40):
        difference = np.exp(width * rng.normal(size=count))
        squares = np.sort(difference**2)
        share = squares[count - max(1, count // 20) :].sum() / squares.sum()
        if abs(share - 0.9) < 0.01:
            continue
        wanted = share > 0.9 and count >= 8
        assert PairSums(np.ones(count), 1 + difference).is_spread is not wanted
        seen.add(wanted)
    assert seen == ({True, False} if count >= 8 else {False})


# Whole models


ATTENTION = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[2, 8, 8] x) => (float[2, 8, 8] y)
{ q = MatMul (x, w)  t = Transpose <perm = [0, 2, 1]> (x)  s = MatMul (q, t)
  b = Add (s, mask)  p = Softmax <axis = -1> (b)  y = MatMul (p, x) }
"""
TABLE = """
<ir_version: 8, opset_import: ["" : 17]>
net (int64[N] x) => (float[N, 4] y) { e = Gather <axis = 0> (table, x)  y = MatMul (e, out) }
"""


def model(text, **arrays):
    made = parser.parse_model(text)
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return made


def compared(old, new, folder):
    return onnxtop.diff(save(old, folder, "old.onnx"), save(new, folder, "new.onnx"))


@pytest.mark.parametrize("huge", [-1e4, -1e9, LOWEST])
def test_a_mask_with_another_bias_is_changed(huge, tmp_path):
    mask, open_ = causal(huge)
    old, new = (
        model(ATTENTION, mask=array, w=numbers(8, 8)) for array in (mask, np.where(open_, -mask, mask))
    )
    found = compared(old, new, tmp_path)
    assert found.whole.verdict is Verdict.CHANGED
    assert "changed by 200 %, beside larger elements" in found.whole.changes[0].what


def test_a_column_of_a_large_table_is_an_edit_and_no_folded_normalisation(tmp_path):
    table = numbers(*LARGE)
    new = table.copy()
    new[:, 100] = 0
    out = numbers(512, 4)
    old_model, new_model = (model(TABLE, table=array, out=out) for array in (table, new))
    found = compared(old_model, new_model, tmp_path)
    assert found.whole.verdict is Verdict.CHANGED
    assert not found.network.notes
    checked = onnxtop.check(tmp_path / "new.onnx", baseline=tmp_path / "old.onnx")
    assert checked.failures
