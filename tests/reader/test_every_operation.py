"""Every operation of the standard on constants: what the reader computes is what the runtime computes.

Where onnxruntime has no kernel, onnx's reference operation is the truth. What is not computed has a reason.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator

from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.loading import load
from tests.models import save
from tests.reader.operations import WRITTEN, Example, example_model, examples, operations

NEVER = {"Bernoulli", "Loop", "Multinomial", "RandomNormalLike", "RandomUniformLike", "Scan"}
"""Operations that are random, or loop over a graph."""

REASONS = {
    "GlobalLpPool": "no registered implementation",
    "MaxRoiPool": "no registered implementation",
    "NonMaxSuppression": "not known beforehand",
    "Optional": "no tensor",
    "SequenceConstruct": "no tensor",
    "SplitToSequence": "no tensor",
    "ConvTranspose in groups": "could not broadcast",
}
"""What onnx's reference does not compute, and why; any other reason is a fault."""

LATEST = {"Scatter": 10, "Upsample": 9}


def _truths(proto: ModelProto) -> list[NDArray[np.generic]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        return [np.asarray(result) for result in session.run(None, {})]
    except Exception:  # no kernel for this opset or these types
        with np.errstate(all="ignore"):
            return [np.asarray(result) for result in ReferenceEvaluator(proto).run(None, {})]


def _opset(op_type: str) -> int:
    return LATEST.get(op_type, max(22, min(26, onnx.defs.get_schema(op_type).since_version)))


def _check(proto: ModelProto, tmp_path: Path) -> None:
    loaded = load(save(proto, tmp_path))
    constants = Constants(loaded)
    for value, wanted in zip(loaded.nodes[0].outputs, _truths(proto), strict=True):
        assert value in constants
        found = constants.read(value)
        assert (found.shape, found.dtype.itemsize) == (wanted.shape, wanted.dtype.itemsize)
        if found.dtype == wanted.dtype and found.dtype.kind == "f":
            np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)
        else:  # small floats come back from the runtime as bytes
            np.testing.assert_array_equal(found.view(wanted.dtype), wanted)


@pytest.mark.parametrize("op_type", operations())
def test_as_the_runtime_does(tmp_path: Path, op_type: str) -> None:
    for example in examples(op_type):
        name = f"{op_type} in groups" if "group" in example[2] else op_type
        if op_type in NEVER:
            _check_never(example, tmp_path)
        elif name in REASONS:
            _check_reason(example, tmp_path, REASONS[name])
        else:
            _check(example_model(example, _opset(op_type)), tmp_path)


def _check_never(example: Example, tmp_path: Path) -> None:
    loaded = load(save(example_model(example, 22), tmp_path))
    assert not any(value in Constants(loaded) for value in loaded.producers)


def _check_reason(example: Example, tmp_path: Path, reason: str) -> None:
    loaded = load(save(example_model(example, 22), tmp_path))
    (value,) = loaded.nodes[0].outputs
    constants = Constants(loaded)
    assert value in constants
    with pytest.raises(UnreadableConstantError, match=f"(?i){reason}"):
        constants.read(value)


def test_every_example_is_of_an_operation() -> None:
    """An onnx that is older than the examples does not know all of them."""
    unknown = {op_type for op_type, _, _ in WRITTEN} - set(operations())
    assert not unknown or onnx.defs.onnx_opset_version() < 28


EXTREMES = np.array([0, -0.0, 1e-30, 100, -100, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32)
UNSAID = {"ArgMax", "ArgMin", "BitCast", "Cast", "Clip", "DynamicQuantizeLinear", "Hardmax", "NonZero"}
"""Where the runtime has a way of its own with NaN, or no bound means the largest finite number."""


@pytest.mark.parametrize("op_type", operations())
def test_what_is_not_finite(tmp_path: Path, op_type: str) -> None:
    """Infinities and NaN come out where the runtime has them, and nobody is warned."""
    for _, operands, attributes in examples(op_type):
        alone = len(operands) == 1 and operands[0].shape == (3, 4)
        if alone and op_type not in NEVER | UNSAID | REASONS.keys():
            _check(example_model((op_type, [EXTREMES[np.newaxis]], attributes), _opset(op_type)), tmp_path)
