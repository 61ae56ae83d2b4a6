"""Constants made to cost: what they would need is told before they run, and is the reason in their place."""

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxtop.reader import bounds
from onnxtop.reader.bounds import EvaluationBudget, EvaluationCost, OverBudgetError, infer
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.limits import GIB, Limits
from onnxtop.reader.loading import load
from tests.models import model, node, save, weights

Array = NDArray[Any]
Example = tuple[list[Any], Mapping[str, Any]]

HUGE = 2**20
IMAGE = weights(1, 1, 8, 8)
NUMBERS = helper.make_tensor("v", TensorProto.INT64, [1], [0])


def ints(*values: Any) -> Array:
    return np.array(values, np.int64)


def f32(*values: Any) -> Array:
    return np.array(values, np.float32)


def filled(*dims: int, then: list[Any], **held: Any) -> Example:
    """Return operations on ``F``, which a small file fills with zeros."""
    return [node("ConstantOfShape", "dims", "F"), *then], {"dims": ints(*dims), **held}


def reason(tmp_path: Path, example: Example, opset: int = 24) -> str:
    """Return why the last result of a model is not computed."""
    nodes, held = example
    name = nodes[-1].output[0]
    loaded = load(save(model(nodes, held, {}, [name], opset=opset), tmp_path))
    (value,) = (value for value in loaded.producers if value.name == name)
    constants = Constants(loaded)
    assert value in constants
    with pytest.raises(UnreadableConstantError) as caught:
        constants.read(value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TOO_LARGE: dict[str, Example] = {
    "Expand": ([node("Expand", "w d")], {"w": f32(1), "d": ints(HUGE, HUGE)}),
    "Tile": ([node("Tile", "w d")], {"w": weights(2, 2), "d": ints(2**40, 2**40)}),
    "Tile to nothing": ([node("Tile", "w d")], {"w": weights(2, 2), "d": ints(2**31, 0)}),
    "Expand to nothing": ([node("Expand", "w d")], {"w": f32(1), "d": ints(2**31, 0)}),
    "Range": (
        [node("Range", "a b c")],
        {"a": np.float32(0), "b": np.float32(1e30), "c": np.float32(1)},
    ),
    "Pad": ([node("Pad", "w p")], {"w": weights(2, 2), "p": ints(HUGE, HUGE, HUGE, HUGE)}),
    "Pad an axis": ([node("Pad", "w p - a")], {"w": weights(2, 2), "p": ints(2**40, 0), "a": ints(1)}),
    "Resize": ([node("Resize", "w - s")], {"w": IMAGE, "s": f32(1, 1, 1e4, 1e4)}),
    "ConvTranspose": (
        [node("ConvTranspose", "w k", strides=[HUGE, HUGE])],
        {"w": IMAGE, "k": weights(1, 1, 3, 3)},
    ),
    "ConvTranspose to a size": (
        [node("ConvTranspose", "w k", output_shape=[HUGE, HUGE])],
        {"w": IMAGE, "k": weights(1, 1, 3, 3)},
    ),
    "OneHot": ([node("OneHot", "w d v")], {"w": ints(*range(9)), "d": np.array(2**40), "v": f32(0, 1)}),
    "Col2Im": (
        [node("Col2Im", "w i b")],
        {"w": weights(1, 4, 9), "i": ints(HUGE, HUGE), "b": ints(2, 2)},
    ),
    "CenterCropPad": ([node("CenterCropPad", "w s")], {"w": weights(2, 2), "s": ints(HUGE, HUGE)}),
    "EyeLike": filled(2**15, 2**15, then=[node("EyeLike", "F")]),
    "GatherND": filled(
        2**4,
        HUGE,
        then=[node("ConstantOfShape", "n", "I", value=NUMBERS), node("GatherND", "F I")],
        n=ints(2**16, 1),
    ),
    "GatherND of batches": filled(
        2, 2, HUGE, then=[node("GatherND", "F i", batch_dims=1)], i=np.zeros((2, 2**10, 1), np.int64)
    ),
    "Einsum": ([node("Einsum", "w w w w", equation="a,b,c,d->abcd")], {"w": weights(2**10)}),
    "AffineGrid": ([node("AffineGrid", "t s")], {"t": weights(1, 2, 3), "s": ints(1, 1, HUGE, HUGE)}),
    "AffineGrid of nothing": (
        [node("AffineGrid", "t s")],
        {"t": np.zeros((0, 2, 3), np.float32), "s": ints(0, 1, HUGE, HUGE)},
    ),
    "MelWeightMatrix": (
        [node("MelWeightMatrix", "a a c d e")],
        {"a": np.array(HUGE), "c": np.array(8000), "d": np.float32(0), "e": np.float32(4000)},
    ),
    "BlackmanWindow": ([node("BlackmanWindow", "n")], {"n": np.array(2**40)}),
    "DFT": ([node("DFT", "w n")], {"w": weights(1, 8, 1), "n": np.array(2**40)}),
    "a product that is wide": filled(2**24, 1, then=[node("Transpose", "F", "G"), node("MatMul", "F G")]),
    "one step, far away": (
        [node("Range", "a b c")],
        {"a": np.array(0), "b": np.array(2**62), "c": np.array(1)},
    ),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_results_that_are_too_large(tmp_path: Path, what: str) -> None:
    tracemalloc.start()
    try:
        assert "at most 0.25 GiB, found" in reason(tmp_path, TOO_LARGE[what])
        assert tracemalloc.get_traced_memory()[1] < 2**28
    finally:
        tracemalloc.stop()


LAID_OUT: dict[str, Example] = {
    "the padding of a convolution": (
        [node("Conv", "w k", pads=[HUGE] * 4, strides=[2 * HUGE] * 2)],
        {"w": IMAGE, "k": weights(1, 1, 3, 3)},
    ),
    "the zeros of a dilated kernel": (
        [node("Conv", "w k", dilations=[2**14] * 2, pads=[2**14] * 4)],
        {"w": IMAGE, "k": weights(1, 1, 2, 2)},
    ),
    "the columns of a convolution": filled(
        1, 64, 256, 256, then=[node("Conv", "F k")], k=weights(64, 64, 7, 7)
    ),
    "the padding of a pool": (
        [node("AveragePool", "w", kernel_shape=[3, 3], pads=[2**30] * 4, strides=[2**31] * 2)],
        {"w": IMAGE},
    ),
    "the scores of attention": filled(1, 1, 2**13, 1, then=[node("Attention", "F F F")]),
    "the terms of an Einsum": filled(2**10, 2**10, then=[node("Einsum", "F F F", equation="ab,cd,ef->")]),
    "copies on the way": filled(2**25, then=[node("Softmax", "F", axis=0)]),
}


@pytest.mark.parametrize("what", LAID_OUT)
def test_what_is_laid_out_in_between(tmp_path: Path, what: str) -> None:
    assert "at most 0.25 GiB, found" in reason(tmp_path, LAID_OUT[what])


TOO_LONG: dict[str, Example] = {
    "MatMul": filled(2**12, 2**12, then=[node("MatMul", "F F")]),
    "MatMul in half precision": filled(
        2**11, 2**11, then=[node("Cast", "F", "H", to=TensorProto.BFLOAT16), node("MatMul", "H H")]
    ),
    "Gemm": filled(2**12, 2**12, then=[node("Gemm", "F F")]),
    "Einsum": filled(2**11, 2**11, then=[node("Einsum", "F F", equation="ab,bc->ac")]),
    "Det": filled(2**11, 2**11, then=[node("Det", "F")]),
    "LRN": filled(1, 2**12, 32, 32, then=[node("LRN", "F", size=2**12 + 1)]),
    "LSTM": filled(
        2**10,
        1,
        2**10,
        then=[node("ConstantOfShape", "n", "G"), node("LSTM", "F G G", hidden_size=2**10)],
        n=ints(1, 2**12, 2**10),
    ),
    "a pool of large windows": filled(
        1, 1, 2**11, 2**11, then=[node("AveragePool", "F", kernel_shape=[512, 512])]
    ),
    "a long sum": filled(HUGE, then=[node("Sum", " ".join(["F"] * 4_000))]),
    "many sums": filled(
        HUGE,
        then=[
            *(node("ReduceL2", "F", f"r{place}") for place in range(2_000)),
            node("Concat", " ".join(f"r{place}" for place in range(2_000)), axis=0),
        ],
    ),
}


@pytest.mark.parametrize("what", TOO_LONG)
def test_arithmetic_that_is_too_long(tmp_path: Path, what: str) -> None:
    assert "raise it with --limit" in reason(tmp_path, TOO_LONG[what])


ENTRY_BY_ENTRY: dict[str, Example] = {
    "MaxPool": filled(1, 1, 2**11, 2**11, then=[node("MaxPool", "F", kernel_shape=[3, 3])]),
    "GridSample": filled(1, 2**11, 2**11, 2, then=[node("GridSample", "w F")], w=IMAGE),
    "RoiAlign": (
        [node("RoiAlign", "w r b", output_height=1, output_width=1, sampling_ratio=2**30)],
        {"w": IMAGE, "r": f32([0, 0, 4, 4]), "b": ints(0)},
    ),
    "RoiAlign of a large region": (
        [node("RoiAlign", "w r b", output_height=1, output_width=1)],
        {"w": IMAGE, "r": f32([0, 0, 1e9, 1e9]), "b": ints(0)},
    ),
    "LSTM": filled(
        2**17, 1, 4, then=[node("LSTM", "F w r", hidden_size=4)], w=weights(1, 16, 4), r=weights(1, 16, 4)
    ),
    "many short loops": filled(
        1,
        1,
        2**7,
        2**7,
        then=[
            *(node("MaxPool", "F", f"r{place}", kernel_shape=[3, 3]) for place in range(200)),
            node("Concat", " ".join(f"r{place}" for place in range(200)), axis=0),
        ],
    ),
}


@pytest.mark.parametrize("what", ENTRY_BY_ENTRY)
def test_loops_in_python(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as may be only one loop and many together; of the others a line counts for more."""
    if what not in ("MaxPool", "many short loops"):
        monkeypatch.setattr(bounds, "_LINE", 16 * bounds._LINE)
    assert "1073741824 steps, found more; raise it with --limit work=2147483648" in reason(
        tmp_path, ENTRY_BY_ENTRY[what]
    )


ABSURD: dict[str, Example] = {
    "pieces without number": ([node("Split", "w", num_outputs=2**31)], {"w": weights(4)}),
    "batch axes below zero": ([node("GatherND", "w i", batch_dims=-7)], {"w": weights(4), "i": ints([1])}),
    "a fill below zero": ([node("ConstantOfShape", "d")], {"d": ints(-1)}),
    "two open sizes": ([node("Reshape", "w d")], {"w": weights(4), "d": ints(-1, -1)}),
    "blocks of nothing": ([node("DepthToSpace", "w", blocksize=0)], {"w": IMAGE}),
    "a step of nothing": ([node("Range", "a b c")], {"a": np.array(0), "b": np.array(9), "c": np.array(0)}),
    "a pool of nothing": ([node("MaxPool", "w", kernel_shape=[0, 0], strides=[0, 0])], {"w": IMAGE}),
    "an equation of another rank": ([node("Einsum", "w", equation="ijk->k")], {"w": weights(2, 2)}),
    "a size below zero": ([node("Expand", "w d")], {"w": f32(1), "d": ints(-3)}),
}


@pytest.mark.parametrize("what", ABSURD)
def test_what_makes_no_sense_is_a_reason(tmp_path: Path, what: str) -> None:
    assert "fails: " in reason(tmp_path, ABSURD[what])


@pytest.mark.parametrize(
    "proto",
    [
        helper.make_node("Split", ["w"], ["y"], num_outputs=2**31),
        helper.make_node("GatherND", ["w", "w"], ["y"], batch_dims=-7),
    ],
)
def test_inference_that_would_end_the_process_is_refused(proto: Any) -> None:
    operands = [((4,), TensorProto.INT64, ints(0, 1, 2, 3))] * len(proto.input)
    with pytest.raises(ValueError, match="with attributes"):
        infer(proto, operands, 22)


def test_what_is_spent_is_gone() -> None:
    budget = EvaluationBudget(Limits(constants=100 / GIB))
    budget.spend(EvaluationCost(60))
    with pytest.raises(OverBudgetError, match=r"at most 9\.32e-08 GiB, found 1\.12e-07"):
        budget.spend(EvaluationCost(60))


def test_a_tracer_is_put_back() -> None:
    """A debugger or a measurement of coverage goes on after an evaluation, stopped or not."""
    import sys

    seen = []

    def tracer(*given: Any) -> None:
        seen.append(given)

    budget = EvaluationBudget(Limits(constants=100 / GIB))
    budget.lines = 10
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(OverBudgetError), budget.counted():
            sum(number for number in range(100))
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
