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
