"""Codes, scales and zero points for tests: every entry different from its neighbours, exact in float32."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.models import Weights, model

Array = NDArray[Any]

RANGES = {
    "INT2": (-2, 1),
    "UINT2": (0, 3),
    "INT4": (-8, 7),
    "UINT4": (0, 15),
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT16": (-32768, 32767),
    "UINT16": (0, 65535),
}
SMALL_FLOATS = ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ")
FLOAT4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)
"""What the sixteen codes of float4e2m1 mean (OCP Microscaling Formats, table 5)."""


def codes(kind: str, *shape: int, seed: int = 0) -> TensorProto:
    """Return random codes over the whole range of an integer type, finite ones of a small float type."""
    rng = np.random.default_rng((seed, *shape))
    if kind in RANGES:
        low, high = RANGES[kind]
        values: Array = rng.integers(low, high, shape, endpoint=True)
    elif kind == "INT32":
        values = rng.integers(-(2**20), 2**20, shape)
    else:
        values = rng.choice([0.0, 0.125, -0.5, 1.0, -1.5, 2.0, 3.5, -6.0, 14.0, -96.0], shape)
    return as_tensor(kind, values)


def as_tensor(kind: str, values: Array) -> TensorProto:
    dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind))
    return numpy_helper.from_array(np.asarray(values).astype(dtype), "codes")


def scales(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return different powers of two and three quarters: exact products with any code."""
    rng = np.random.default_rng((seed, *shape))
    return (rng.choice([0.75, 1.0, 1.25, 1.75], shape) * 2.0 ** rng.integers(-6, 0, shape)).astype(dtype)


def newest(nodes: Sequence[Any], held: Weights, **settings: Any) -> ModelProto:
    """Return a model in the opset that knows every type."""
    proto = model(nodes, held, **{"opset": 25, **settings})
    proto.ir_version = 13
    return proto
