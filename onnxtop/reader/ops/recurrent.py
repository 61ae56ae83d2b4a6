"""Recurrent layers: their packed weights, split into one matrix for each gate and direction.

Parts are named as in the ONNX standard: ``W.i`` is the input gate's matrix from the inputs, ``R.i`` the one
from the hidden state; those of the second direction end in ``.reverse``.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from onnxtop.network import Blocks
from onnxtop.reader.dequantize import affine
from onnxtop.reader.encoding import Encoding, Sharing
from onnxtop.reader.reading import Array, Bias, OpCall, Reading


def LSTM(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read W, R (directions, 4 * hidden, inputs), gates in the order input, output, forget, cell."""
    yield from _gates(call, "iofc")
    yield from _peepholes(call)


def GRU(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read W, R (directions, 3 * hidden, inputs), gates in the order update, reset, hidden."""
    yield from _gates(call, "zrh")


def RNN(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read W, R (directions, hidden, inputs)."""
    yield from _gates(call, "i")


def _gates(call: OpCall, gates: str) -> Iterator[Reading]:
    for position, side in ((1, "W"), (2, "R")):
        if not call.is_constant(position):
            continue
        directions, rows, inputs = call.shape(position)
        size, rest = divmod(rows, len(gates))
        if rest or directions > 2 or (side == "R" and inputs != size):
            raise ValueError(f"weights {side} of shape {call.shape(position)} for {len(gates)} gates")
        for direction in range(directions):
            for gate, letter in enumerate(gates):
                yield Reading(
                    (call.operand(position),),
                    partial(_gate, direction=direction, begin=gate * size, end=(gate + 1) * size),
                    part=_part(side, letter, direction),
                    bias=_bias(call, direction, gate + (position - 1) * len(gates), size),
                )


def _gate(array: Array, *, direction: int, begin: int, end: int) -> Blocks:
    return [array[direction, begin:end].T]


def _part(side: str, gate: str, direction: int) -> str:
    return f"{side}.{gate}.reverse" if direction else f"{side}.{gate}"


def _bias(call: OpCall, direction: int, number: int, size: int) -> Bias | None:
    """Return one gate's stretch of B, which holds those of W and then those of R."""
    return Bias.of(
        call.constant(3), lambda array: array.reshape(-1, array.shape[-1])[direction, number * size :][:size]
    )


def _peepholes(call: OpCall) -> Iterator[Reading]:
    """Read P (directions, 3 * hidden): each weight joins one cell to one gate's neuron, so it is a block."""
    if not call.is_constant(7):
        return
    directions, columns = call.shape(7)
    size = columns // 3
    for direction in range(directions):
        for gate, letter in enumerate("iof"):
            yield Reading(
                (call.operand(7),),
                partial(_peephole, direction=direction, begin=gate * size, end=(gate + 1) * size),
                part=_part("P", letter, direction),
            )


def _peephole(array: Array, *, direction: int, begin: int, end: int) -> Blocks:
    return list(array[direction, begin:end, np.newaxis, np.newaxis])


def DynamicQuantizeLSTM(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read W, R (directions, inputs, 4 * hidden) in codes, a scale a tensor or a column (com.microsoft)."""
    for position, scale, side in ((1, 8, "W"), (2, 10, "R")):
        if not call.is_constant(position):
            continue
        directions, inputs, columns = call.shape(position)
        size = columns // 4
        if side == "R" and inputs != size:
            raise ValueError(f"weights R of shape {call.shape(position)} for 4 gates")
        unit: Sharing = "per-channel" if len(call.shape(scale)) > 1 else "per-tensor"
        for direction in range(directions):
            for gate, letter in enumerate("iofc"):
                yield Reading(
                    (call.operand(position), call.needed(scale), call.needed(scale + 1)),
                    partial(_quantised_gate, direction=direction, begin=gate * size, end=(gate + 1) * size),
                    decode=_by_direction,
                    encoding=Encoding(call.dtype(position), unit),
                    part=_part(side, letter, direction),
                    bias=_bias(call, direction, gate + (0 if side == "W" else 4), size),
                )
    yield from _peepholes(call)


def _quantised_gate(array: Array, *, direction: int, begin: int, end: int) -> Blocks:
    return [array[direction, :, begin:end]]


def _by_direction(codes: Array, scale: Array, zero_point: Array | None = None) -> Array:
    shape = (codes.shape[0], 1, -1)
    return affine(codes, scale.reshape(shape), None if zero_point is None else zero_point.reshape(shape))
