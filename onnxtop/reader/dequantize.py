"""Any quantised encoding to float weights: arithmetic on arrays, no graph.

Every function computes what the runtime's own kernel computes, in the float type of the scale.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import CHUNK, strips

Array = NDArray[Any]


def affine(
    codes: Array, scale: Array, zero_point: Array | None = None, axis: int = 1, dtype: Any = None
) -> Array:
    """Return ``(codes - zero_point) * scale``, per tensor or along ``axis`` (ONNX DequantizeLinear).

    The result is of the type of the scale unless ``dtype`` is given.

    ``scale`` is a scalar, has one entry for each index along ``axis``, or already broadcasts to ``codes``.
    Differences of codes are exact. Beside codes and result it takes the memory of a strip of them.
    """
    scale = _along(np.asarray(scale), codes, axis)
    factor, zero = scale.astype(np.float32 if scale.dtype.itemsize < 4 else scale.dtype, copy=False), None
    if zero_point is not None and np.any(zero_point):
        zero = _along(np.asarray(zero_point), codes, axis)
        zero = zero.astype(np.int16 if zero.dtype.itemsize == codes.dtype.itemsize == 1 else np.int64)
    shapes = [each.shape for each in (codes, factor, zero) if each is not None]
    if not codes.ndim or np.broadcast_shapes(*shapes) != codes.shape:
        return np.asarray(_scaled(codes, factor, zero).astype(dtype or scale.dtype, copy=False))
    result = np.empty_like(codes, dtype or scale.dtype)
    outermost = int(np.argmax(np.abs(codes.strides)))
    for part in strips((codes.shape[outermost], codes.size // (codes.shape[outermost] or 1)), CHUNK):
        at = (slice(None),) * outermost + (part,)
        zeros = None if zero is None else np.broadcast_to(zero, codes.shape)[at]
        result[at] = _scaled(codes[at], np.broadcast_to(factor, codes.shape)[at], zeros)
    return result


def _scaled(codes: Array, factor: Array, zero: Array | None) -> Array:
    centred = np.asarray(codes if zero is None else codes.astype(zero.dtype) - zero).astype(factor.dtype)
    fits = np.broadcast_shapes(centred.shape, factor.shape) == centred.shape
    product: Array = np.multiply(
        centred, factor, out=centred if fits else None
    )  # as the runtime: rounded once
    return product


def check_scale(codes: Array, scale: Array, zero_point: Array | None, axis: int, block_size: int) -> None:
    """Raise ValueError unless scale and zero point fit the codes as ONNX DequantizeLinear wants them."""
    if np.dtype(scale.dtype).kind in "iub":
        raise ValueError(f"a scale of type {scale.dtype}")
    if scale.size != 1 and not -codes.ndim <= axis < codes.ndim:
        raise ValueError(f"axis {axis} of codes with {codes.ndim} axes")
    if block_size:
        wanted = [
            size if i != axis % codes.ndim else -(-size // block_size) for i, size in enumerate(codes.shape)
        ]
        fits = block_size > 0 and list(scale.shape) == wanted
    else:
        fits = scale.size == 1 or scale.shape == (codes.shape[axis],)
    if not fits:
        raise ValueError(f"scales of shape {scale.shape} for codes of shape {codes.shape}")
    shapes_differ = zero_point is not None and zero_point.shape != scale.shape and scale.size != 1
    if zero_point is not None and (shapes_differ or zero_point.dtype != codes.dtype):
        raise ValueError(f"a zero point of type {zero_point.dtype}, shape {zero_point.shape}")


def blocked(
    codes: Array, scale: Array, zero_point: Array | None, axis: int, block_size: int, dtype: Any = None
) -> Array:
    """Return the weights of blocks of ``block_size`` codes along ``axis`` that share a scale."""
    length, axis = codes.shape[axis], axis % codes.ndim
    block_size = min(block_size, length)
    if block_size and length % block_size == 0:  # no block is cut: none of the scales is written out
        parts = (*codes.shape[:axis], length // block_size, block_size, *codes.shape[axis + 1 :])
        zero = None if zero_point is None else np.expand_dims(zero_point, axis + 1)
        split = affine(codes.reshape(parts), np.expand_dims(scale, axis + 1), zero, dtype=dtype)
        return split.reshape(codes.shape)
    wide = np.repeat(scale, block_size, axis=axis).take(np.arange(length), axis=axis)
    if zero_point is not None:
        zero_point = np.repeat(zero_point, block_size, axis=axis).take(np.arange(length), axis=axis)
    return affine(codes, wide, zero_point, dtype=dtype)


def _along(values: Array, codes: Array, axis: int) -> Array:
    """Shape a scale or zero point so that it broadcasts to the codes."""
    if values.size == 1:
        return values.reshape(())
    if values.ndim != 1 or codes.ndim == 1:
        return values
    if values.size != codes.shape[axis]:
        raise ValueError(f"{values.size} scales or zero points for {codes.shape[axis]} channels")
    return values.reshape([-1 if i == axis % codes.ndim else 1 for i in range(codes.ndim)])


def unpack(packed: Array, bits: int, count: int) -> Array:
    """Return ``count`` codes of 2, 4 or 8 bits from the bytes along the last axis, lowest bits first."""
    if bits not in (2, 4, 8):
        raise ValueError(f"codes of {bits} bits")
    codes = np.empty((*packed.shape, 8 // bits), np.uint8)
    for place in range(8 // bits):
        np.right_shift(packed, np.uint8(bits * place), out=codes[..., place])
    np.bitwise_and(codes, np.uint8(2**bits - 1), out=codes)
    return codes.reshape(*packed.shape[:-1], -1)[..., :count]


def integer_quant(
    values: Array,
    scale: Array,
    zero_point: Array,
    bit_width: Array,
    *,
    signed: int = 1,
    narrow: int = 0,
    rounding_mode: bytes = b"ROUND",
) -> Array:
    """Return the values as Quant and IntQuant of QONNX leave them: rounded to a grid and clipped."""
    low, high = _integer_range(float(np.max(bit_width)), bool(signed), bool(narrow))
    codes = values / scale + zero_point
    if np.max(bit_width) == 1 and signed:  # one bit with a sign has the values -1 and 1
        codes = np.where(codes >= 0, 1.0, -1.0)
    else:
        codes = _round(np.clip(codes, low, high), rounding_mode)
    return ((codes - zero_point) * scale).astype(values.dtype)


def bipolar(values: Array, scale: Array) -> Array:
    """Return +scale where the value is not negative, -scale elsewhere (BipolarQuant of QONNX)."""
    return (np.where(values >= 0, 1.0, -1.0) * scale).astype(values.dtype)


def truncated(
    values: Array,
    scale: Array,
    zero_point: Array,
    in_bits: Array,
    out_bits: Array,
    *,
    rounding_mode: bytes = b"FLOOR",
) -> Array:
    """Return the values with their lowest bits cut off (Trunc of QONNX)."""
    codes = np.round(values / scale + zero_point)
    step = 2.0 ** (float(np.max(in_bits)) - float(np.max(out_bits)))
    cut = _round(codes / step, rounding_mode)
    return ((cut - zero_point) * scale).astype(values.dtype)


def float_quant(
    values: Array,
    scale: Array,
    exponent_bits: Array,
    mantissa_bits: Array,
    exponent_bias: Array,
    max_value: Array | None = None,
    *,
    rounding_mode: bytes = b"ROUND",
    saturation: int = 1,
    has_inf: int = 0,
) -> Array:
    """Return the values on the grid of a small float format (FloatQuant of QONNX).

    What is larger than its largest becomes that, or without saturation infinity or NaN.
    """
    scaled = np.nan_to_num(values.astype(np.float64), posinf=1e300, neginf=-1e300, nan=np.nan) / scale
    lowest = 1.0 - float(np.max(exponent_bias))
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(np.abs(scaled)))
    exponent = np.maximum(np.where(np.isfinite(exponent), exponent, lowest), lowest)
    step = 2.0 ** (exponent - float(np.max(mantissa_bits)))
    rounded = _round(scaled / step, rounding_mode) * step
    top = 2.0 ** float(np.max(exponent_bits)) - 1 - float(np.max(exponent_bias))
    largest = 2.0**top * (2 - 2.0 ** -float(np.max(mantissa_bits)))
    if max_value is not None and np.size(max_value):
        largest = min(largest, float(np.max(max_value)))
    if saturation:
        rounded = np.clip(rounded, -largest, largest)
    else:
        beyond = np.copysign(np.inf, rounded) if has_inf else np.nan
        rounded = np.where(np.abs(rounded) > largest, beyond, rounded)
    return (rounded * scale).astype(values.dtype)


def _integer_range(bits: float, signed: bool, narrow: bool) -> tuple[float, float]:
    if signed:
        return -(2.0 ** (bits - 1)) + narrow, 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1 - narrow


def _round(values: Array, mode: bytes) -> Array:
    roundings: dict[bytes, Callable[[Array], Array]] = {
        b"ROUND": np.round,
        b"HALF_EVEN": np.round,
        b"CEIL": np.ceil,
        b"FLOOR": np.floor,
        b"ROUND_TO_ZERO": np.trunc,
        b"DOWN": np.trunc,
        b"UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
        b"HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
        b"HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
    }
    if mode.upper() not in roundings:
        raise ValueError(f"rounding mode {mode.decode(errors='replace')}")
    return np.asarray(roundings[mode.upper()](values))
