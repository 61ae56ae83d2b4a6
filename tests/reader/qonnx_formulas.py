"""The quantisers of QONNX, written down anew from its reference (qonnx 1.0.0, custom_op/general).

Nothing here is shared with the reader: these are the formulas that its decoders are held against.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.fix,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


def bounds(bits: Array, signed: int, narrow: int) -> tuple[Array, Array]:
    """Return min_int and max_int of intquant.py."""
    if signed:
        return -(2 ** (bits - 1)) + (1 if narrow else 0), 2 ** (bits - 1) - 1
    return 0 * bits, 2**bits - (2 if narrow else 1)


def int_quant(
    x: Array,
    scale: Array,
    zero_point: Array,
    bits: Array,
    *,
    signed: int = 1,
    narrow: int = 1,
    rounding_mode: str = "ROUND",
) -> Array:
    codes = x / scale + zero_point
    if np.all(bits == 1) and signed:
        codes = np.where(codes >= 0, np.float32(1), np.float32(-1))
    else:
        low, high = bounds(bits, signed, narrow)
        codes = np.where(codes > high, np.asarray(high, codes.dtype), codes)
        codes = np.where(codes < low, np.asarray(low, codes.dtype), codes)
        codes = ROUNDINGS[rounding_mode.upper()](codes)
    return (codes - zero_point) * scale


def bipolar_quant(x: Array, scale: Array) -> Array:
    return np.where(x >= 0, np.float32(1), np.float32(-1)) * scale


def trunc(
    x: Array,
    scale: Array,
    zero_point: Array,
    in_bits: Array,
    out_bits: Array,
    *,
    rounding_mode: str = "FLOOR",
) -> Array:
    """Return version 1, five inputs."""
    codes = np.round(x / scale + zero_point) / 2.0 ** (in_bits - out_bits)
    return (ROUNDINGS[rounding_mode.upper()](codes) - zero_point) * scale


def float_quant(
    x: Array,
    scale: Array,
    exponent_bits: Array,
    mantissa_bits: Array,
    exponent_bias: Array | None = None,
    max_value: Array | None = None,
    *,
    rounding_mode: str = "ROUND",
    has_inf: int = 0,
    has_nan: int = 0,
    has_subnormal: int = 0,
    saturation: int = 1,
) -> Array:
    del has_subnormal  # the reference takes no notice of it either
    if exponent_bias is None:
        exponent_bias = 2.0 ** (exponent_bits - 1) - 1
    scaled = x / scale
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(np.abs(scaled) + np.finfo(scaled.dtype).tiny)) - mantissa_bits
    step = np.exp2(np.maximum(exponent, 1.0 - exponent_bias - mantissa_bits))
    rounded = step * ROUNDINGS[rounding_mode.upper()](scaled / step)
    largest = np.sum(2.0 ** np.arange(0, -1.0 * mantissa_bits - 1, -1.0)) * 2 ** (
        2.0**exponent_bits - 1 - exponent_bias
    )
    if max_value is not None:
        largest = np.minimum(largest, max_value)
    clipped = np.clip(rounded, -largest, largest)
    if not saturation and has_inf:
        clipped = np.where(np.abs(rounded) > largest, np.copysign(np.inf, rounded), clipped)
    elif not saturation and has_nan:
        clipped = np.where(np.abs(rounded) > largest, np.nan, clipped)
    return clipped * scale


QUANTISERS: Mapping[str, Callable[..., Array]] = {
    "Quant": int_quant,
    "IntQuant": int_quant,
    "BipolarQuant": bipolar_quant,
    "FloatQuant": float_quant,
    "Trunc": trunc,
}
