"""Operations on codes: the weight is an integer operand, its scale another operand or applied later on."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from onnxtop.network import CHUNK, strips
from onnxtop.reader.dequantize import affine, blocked, unpack
from onnxtop.reader.encoding import Encoding, Sharing
from onnxtop.reader.ops.convolutions import flattened, kernel_form
from onnxtop.reader.ops.later_scale import factors_after
from onnxtop.reader.ops.products import factor
from onnxtop.reader.reading import Array, Bias, OpCall, Reading, matrices, one_matrix


def MatMulInteger(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read codes whose scale is multiplied onto the result, as onnxruntime's dynamic quantisation does."""
    position = call.weight_side()
    form = partial(factor, transposed=position == 0)
    yield from _later_scaled(call, position, form, -2 if position == 0 else -1)


def ConvInteger(call: OpCall, **attributes: Any) -> Iterator[Reading]:
    """Read codes of a kernel whose scale is multiplied onto the result."""
    kernel = kernel_form(**attributes)
    axis = 1 - len(call.shape(1))
    yield from _later_scaled(call, 1, partial(flattened, kernel), 0, kernel=kernel, output_axis=axis)


def _later_scaled(call: OpCall, position: int, form: Any, axis: int, **reading: Any) -> Iterator[Reading]:
    found = factors_after(call, position)
    scales = [factor.value for factor in found.weight]
    unit: Sharing = (
        "per-tensor" if all(call.constants.size(scale) == 1 for scale in scales) else "per-channel"
    )
    unknown: Sharing | None = None if found.uneven else "of unknown scale"
    inverse = tuple(factor.inverse for factor in found.weight)
    yield Reading(
        (call.operand(position), call.needed(position + 2), *scales),
        form,
        decode=partial(_scale_later, axis=axis, inverse=inverse),
        encoding=Encoding(call.dtype(position), unit if found.known else unknown),
        **reading,
    )


def _scale_later(
    codes: Array, zero_point: Array | None, *scales: Array, axis: int, inverse: Sequence[bool]
) -> Array:
    weights = affine(codes, np.ones((), np.float32), zero_point, axis)
    for scale, divides in zip(scales, inverse, strict=True):
        with np.errstate(divide="ignore"):
            factor = np.reciprocal(scale) if divides else scale
        weights = affine(weights, _along(factor, weights.ndim, axis), None, axis)
    return weights


def _along(scale: Array, rank: int, axis: int) -> Array:
    """Return a scale as one entry an output, or as it stands beside a stack of matrices, if it spans it."""
    own = scale.shape[max(0, scale.ndim - rank) :]
    beside = axis < 0 and len(own) == rank > 2 and math.prod(own) == scale.size
    return scale.reshape(own) if beside and own[-3 - axis] == 1 else np.ravel(scale)


def MatMulNBits(
    call: OpCall, *, K: int = 0, N: int = 0, bits: int = 4, block_size: int = 32, **_: Any
) -> Iterator[Reading]:
    """Read codes (N, blocks, bytes) of 2, 4 or 8 bits in blocks along K (com.microsoft)."""
    if call.is_constant(1):
        if min(K, N, block_size) < 1:
            raise ValueError(f"K {K}, N {N}, block size {block_size}")
        yield Reading(
            (call.operand(1), call.needed(2), call.needed(3), call.needed(4)),
            partial(matrices, transposed=True),
            decode=partial(packed_blocks, k=K, n=N, bits=bits, block_size=block_size),
            fits=partial(_are_packed, k=K, n=N, bits=bits, block_size=block_size),
            decoded_shape=(N, K),
            encoding=Encoding(f"uint{bits}", "block", block_size),
            bias=Bias.of(call.constant(5)),
        )


def packed_blocks(
    packed: Array,
    scales: Array,
    zero_points: Array | None = None,
    groups: Array | None = None,
    *,
    k: int,
    n: int,
    bits: int,
    block_size: int,
) -> Array:
    """Return weights (n, k) from bytes of codes, in blocks of k that share a scale."""
    blocks = -(-k // block_size)
    packed, scales = packed.reshape(n, -1), scales.reshape(n, blocks)
    if zero_points is not None:
        bytewise = zero_points.dtype == np.uint8
        zeros = unpack(zero_points.reshape(n, -1), bits, blocks) if bytewise else zero_points
        zeros = zeros.reshape(n, blocks).astype(scales.dtype)
    group = np.arange(k) // block_size if groups is None or not groups.size else groups.ravel()
    weights = np.empty((n, k), scales.dtype)
    for rows in strips(weights.shape, CHUNK):
        codes = unpack(packed[rows], bits, blocks * block_size)[:, :k].astype(scales.dtype)
        codes -= 2 ** (bits - 1) if zero_points is None else zeros[rows][:, group]
        np.multiply(codes, scales[rows][:, group], out=weights[rows])
    return weights


def _are_packed(
    packed: Array,
    scales: Array,
    zero_points: Array | None,
    groups: Array | None,
    *,
    k: int,
    n: int,
    bits: int,
    block_size: int,
) -> bool:
    """Tell whether `packed_blocks` is certain to decode what has these shapes and types."""
    blocks = -(-k // block_size)
    plain = scales.dtype.name in ("float16", "float32", "float64") and packed.dtype == np.uint8
    filled = bits in (2, 4, 8) and packed.size % n == 0 and packed.size // n * (8 // bits) >= k
    bytes_of_zeros = -(-blocks * bits // 8)
    centred = zero_points is None or (
        zero_points.dtype == np.uint8 and zero_points.size == n * bytes_of_zeros
    )
    return plain and filled and centred and scales.size == n * blocks and groups is None


def GatherBlockQuantized(
    call: OpCall,
    *,
    gather_axis: int = 0,
    quantize_axis: int = 1,
    block_size: int = 128,
    bits: int = 4,
    **_: Any,
) -> Iterator[Reading]:
    """Read an embedding in blocks of codes, packed along its last axis if it is uint8 (com.microsoft)."""
    if not call.is_constant(0) or len(call.shape(0)) != 2 or gather_axis != 0:
        return
    packed = call.dtype(0) == "uint8"
    rows, columns = call.shape(0)
    width = columns * 8 // bits if packed else columns
    yield Reading(
        (call.operand(0), call.needed(2), call.needed(3)),
        one_matrix,
        decode=partial(
            _block_table, axis=quantize_axis, block_size=block_size, bits=bits if packed else 0, width=width
        ),
        decoded_shape=(rows, width),
        encoding=Encoding(f"uint{bits}" if packed else call.dtype(0), "block", block_size),
    )


def _block_table(
    codes: Array,
    scales: Array,
    zero_points: Array | None = None,
    *,
    axis: int,
    block_size: int,
    bits: int,
    width: int,
) -> Array:
    if bits:
        codes = unpack(codes, bits, width)
        if zero_points is None:
            zero_points = np.full(scales.shape, 2 ** (bits - 1), np.uint8)
        else:
            zero_points = unpack(zero_points, bits, scales.shape[-1])
    return blocked(codes, scales, zero_points, axis, block_size)
