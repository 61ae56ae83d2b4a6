"""Mixtures of experts of com.microsoft: the matrices of all experts are packed into one operand a layer."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from onnxtop.network import Blocks
from onnxtop.reader.dequantize import unpack
from onnxtop.reader.encoding import Encoding
from onnxtop.reader.ops.quantised import packed_blocks
from onnxtop.reader.reading import Array, Bias, OpCall, Reading


def MoE(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read weights (experts, outputs, inputs) of the way up, down, and of the gate that is not fused."""
    for name, weight in (("fc1", 2), ("fc2", 4), ("fc3", 6)):
        for number in range(_experts(call, weight)):
            yield Reading(
                (call.operand(weight),),
                partial(_expert, number=number),
                part=f"expert{number}.{name}",
                bias=Bias.of(call.constant(weight + 1), partial(_row, number=number)),
            )


def QMoE(
    call: OpCall, *, expert_weight_bits: int = 4, block_size: int = 0, quant_type: bytes = b"int", **more: Any
) -> Iterator[Reading]:
    """Read weights in packed codes of 2, 4 or 8 bits, a scale a row or a block of each row; see `MoE`."""
    if quant_type != b"int":
        return
    for name, weight, zero_point in (("fc1", 2, 11), ("fc2", 5, 12), ("fc3", 8, 13)):
        bits = more.get(f"{name}_expert_weight_bits", expert_weight_bits)
        for number in range(_experts(call, weight)):
            experts, rows, width = call.shape(weight)
            yield Reading(
                (call.operand(weight), call.needed(weight + 1), call.needed(zero_point)),
                partial(_expert, number=number),
                decode=partial(_decoded, number=number, bits=bits, block_size=block_size),
                decoded_shape=(experts, rows, width * 8 // bits),
                encoding=Encoding(
                    f"uint{bits}", "block" if block_size > 0 else "per-channel", max(block_size, 0) or None
                ),
                part=f"expert{number}.{name}",
                bias=Bias.of(call.constant(weight + 2), partial(_row, number=number)),
            )


def _experts(call: OpCall, position: int) -> int:
    if not call.is_constant(position):
        return 0
    if len(call.shape(position)) != 3:
        raise ValueError(f"weights of shape {call.shape(position)} for experts")
    return call.shape(position)[0]


def _row(array: Array, *, number: int) -> Array:
    row: Array = array.reshape(-1, array.shape[-1])[number]
    return row


def _expert(array: Array, *, number: int) -> Blocks:
    """Return one expert's matrix (n_in, n_out), of all of them or of that one alone."""
    return [array[min(number, len(array) - 1)].T]


def _decoded(
    codes: Array,
    scales: Array,
    zero_points: Array | None = None,
    *,
    number: int,
    bits: int,
    block_size: int,
) -> Array:
    """Return one expert's weights (1, outputs, inputs)."""
    rows, columns = codes.shape[1], codes.shape[2] * 8 // bits
    if zero_points is not None and zero_points.ndim == 2:  # packed along the rows
        zero_points = unpack(zero_points, bits, rows)[..., np.newaxis].astype(np.int16)
    chosen = zero_points if zero_points is None else zero_points[number]
    size = block_size if block_size > 0 else columns
    return packed_blocks(
        codes[number], scales[number], chosen, k=columns, n=rows, bits=bits, block_size=size
    )[np.newaxis]
