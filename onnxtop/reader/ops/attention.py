"""Fused attention of com.microsoft: packed projections, split into query, key and value."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from onnxtop.network import Blocks
from onnxtop.reader.dequantize import affine
from onnxtop.reader.encoding import Encoding
from onnxtop.reader.reading import Array, Bias, OpCall, Reading, one_matrix


def Attention(call: OpCall, *, qkv_hidden_sizes: Sequence[int] = (), **_: Any) -> Iterator[Reading]:
    """Read weights (inputs, query + key + value)."""
    yield from _packed(call, 1, "qkv", call.constant(2), qkv_hidden_sizes)


def QAttention(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read weights (inputs, 3 * hidden) in 8-bit codes, a scale a tensor or a column."""
    if call.is_constant(1):
        encoding = Encoding(call.dtype(1), call.granularity(4))
        codes = (call.needed(4), call.needed(7))
        yield from _packed(call, 1, "qkv", call.constant(2), (), more=codes, decode=affine, encoding=encoding)


def LongformerAttention(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read the weights of local and of global attention, each (inputs, 3 * hidden)."""
    yield from _packed(call, 1, "qkv", call.constant(2), ())
    yield from _packed(call, 4, "qkv", call.constant(5), (), prefix="global.")


def DecoderAttention(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read the query's weights, and those of key and value packed."""
    if call.is_constant(2):
        yield Reading((call.operand(2),), one_matrix, part="q")
    yield from _packed(call, 3, "kv", None, ())


def _packed(
    call: OpCall,
    position: int,
    names: str,
    bias: Any,
    sizes: Sequence[int],
    *,
    prefix: str = "",
    more: tuple[Any, ...] = (),
    **reading: Any,
) -> Iterator[Reading]:
    if not call.is_constant(position):
        return
    columns = call.shape(position)[-1]
    sizes = sizes or [columns // len(names)] * len(names)
    if len(sizes) != len(names) or sum(sizes) != columns or min(sizes) < 1:
        raise ValueError(f"{columns} columns for the sizes {list(sizes)}")
    ends = np.cumsum(sizes).tolist()
    for name, begin, end in zip(names, [0, *ends], ends, strict=False):
        yield Reading(
            (call.operand(position), *more),
            partial(_columns, begin=begin, end=end),
            part=prefix + name,
            bias=Bias.of(bias, partial(_stretch, begin=begin, end=end)),
            **reading,
        )


def _columns(array: Array, *, begin: int, end: int) -> Blocks:
    return [array[:, begin:end]]


def _stretch(array: Array, *, begin: int, end: int) -> Array:
    return np.ravel(array)[begin:end]
