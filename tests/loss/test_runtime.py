"""onnxruntime's one door."""

import subprocess
import sys

import pytest

from onnxtop.loss import runtime

QUIET = """
import os
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
import builtins
load = builtins.__import__
def watched(name, *rest, **others):
    if name == "onnxruntime":
        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    return load(name, *rest, **others)
builtins.__import__ = watched
from onnxtop.loss import runtime
import sys
assert "onnxruntime" not in sys.modules
runtime._silent()
assert "onnxruntime" in sys.modules
"""


def test_telemetry_is_off_before_onnxruntime_is_loaded() -> None:
    subprocess.run([sys.executable, "-c", QUIET], check=True)


@pytest.mark.parametrize("part", ["/onnxruntime_src/", "[ONNXRuntimeError] : 1 : FAIL : Load model from "])
def test_a_reason_of_any_length_is_looked_at_in_part(part: str) -> None:
    assert len(runtime._reason(RuntimeError(part * 10**5))) <= 2**14  # not from each part to the last


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "/onnxruntime_src/core/framework/op_kernel.cc:83 virtual OrtValue* onnxruntime::OpKernelContext::"
            "OutputMLValue(int, const onnxruntime::TensorShape&) tensor.cc:57 CalculateTensorStorageSize "
            "Tensor shape.Size() must be >= 0",
            "Tensor shape.Size() must be >= 0",
        ),
        (
            "/onnxruntime_src/core/common/safeint.h:17 static void SafeIntExceptionHandler<onnxruntime::"
            "OnnxRuntimeException>::SafeIntOnOverflow() Integer overflow",
            "Integer overflow",
        ),
        ("/onnxruntime_src/core/a.cc:1 Shapes (1,2) differ", "Shapes (1,2) differ"),
    ],
)
def test_a_reason_is_no_place_in_the_source_of_onnxruntime(said: str, reason: str) -> None:
    assert runtime._reason(RuntimeError(said)) == reason


@pytest.mark.parametrize(
    "name", ["float8e4m3fn", "float8e5m2fnuz", "float8e8m0", "float4e2m1", "int4", "double"]
)
def test_every_type_of_onnxruntime_is_one_of_numpy(name: str) -> None:
    found = runtime._dtype(f"tensor({name})")
    assert found is not None
    assert found.name.replace("_", "").startswith(name.replace("double", "float64"))


def test_a_type_that_nobody_knows_yet_is_none() -> None:
    assert runtime._dtype("tensor(float3e1m1)") is None
