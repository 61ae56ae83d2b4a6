"""Products and tables of codes in blocks (com.microsoft) as ordinary ones of what the codes stand for.

Codes are laid out one a byte and decoded by DequantizeLinear, so that a zero point that goes without saying
is one that is written, and a weight in blocks is compared with any other.
"""

from typing import Any

import numpy as np

from onnxtop.reader.dequantize import unpack
from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.constant import Array, Constant
from onnxtop.reader.terms.lossy import CODES
from onnxtop.reader.terms.table import ROUNDED


def matmul_n_bits(b: Builder, call: Call) -> Results | None:
    """``x @ w.T + bias`` with w of N rows and K columns, in blocks along the columns."""
    packed, scales, zeros = (b.table.held(call.operand(place)) for place in (1, 2, 3))
    k, n, bits, size = (call.get(name, left) for name, left in _N_BITS)
    if packed is None or scales is None or call.operand(4) is not None or not _is_known(b, call, 3):
        return None
    blocks = -(-k // size)
    if packed.dtype != np.uint8 or scales.size != n * blocks or bits not in _BITS:
        return None
    codes = unpack(packed.read().reshape(n, -1), bits, blocks * size)
    start = _start(zeros, bits, (n, blocks))
    if codes.shape != (n, blocks * size) or start is None:
        return None
    weights = _decoded(b, codes, scales.read().reshape(n, blocks), start, 1, size)
    if k < blocks * size:
        ends = (b.constant(np.array([end], np.int64)) for end in (0, k, 1))
        weights = b.one("Slice", weights, *ends)
    turned = b.one("Transpose", weights, attributes={"perm": (1, 0)})
    product = b.one("MatMul", _rounded(b, call), turned)
    bias = call.operand(5)
    return [product if bias is None else b.one("Add", product, bias)]


def _rounded(b: Builder, call: Call) -> int | None:
    """Return the operand, rounded to a narrower type if the product may do so."""
    item, level = call.operand(0), call.get("accuracy_level", 0)
    if item is None or level <= 1:
        return item
    if b.level > 1:
        b.drop(CODES)
        return item
    return b.table.term(ROUNDED, [("accuracy_level", level)], [item], b.source(item).type)


_BITS = (2, 4, 8)
_N_BITS = (("K", 0), ("N", 0), ("bits", 4), ("block_size", 32))


def gather_block_quantized(b: Builder, call: Call) -> Results | None:
    """Entries of a table whose codes are packed along its last axis if they are bytes."""
    packed, scales, zeros = (b.table.held(call.operand(place)) for place in (0, 2, 3))
    if packed is None or scales is None or not _is_known(b, call, 3):
        return None
    codes, bits = packed.read(), call.get("bits", 4)
    start: Array | None = None if zeros is None else zeros.read()
    if packed.dtype == np.uint8:
        codes = unpack(codes, bits, codes.shape[-1] * 8 // bits)
        start = _start(zeros, bits, scales.shape)
    axis, size = call.get("quantize_axis", 1), call.get("block_size", 128)
    table = _decoded(b, codes, scales.read(), start, axis, size)
    return [b.one("Gather", table, call.operand(1), attributes={"axis": call.get("gather_axis", 0)})]


def _is_known(b: Builder, call: Call, place: int) -> bool:
    """Tell whether an operand is a constant, or left out."""
    return call.operand(place) is None or b.is_constant(call.operand(place))


def _start(zeros: Constant | None, bits: int, shape: tuple[int, ...]) -> Array | None:
    """Return the zero points of blocks, one a byte: half of the codes if none are written.

    None for those between two codes.
    """
    if zeros is None:
        return np.full(shape, 2 ** (bits - 1), np.uint8)
    held = zeros.read()
    if held.dtype == np.uint8:
        return unpack(held.reshape(*shape[:-1], -1), bits, shape[-1]).reshape(shape)
    numbers: Array = held.reshape(shape).astype(np.float64)
    return numbers.astype(np.uint8) if np.isin(numbers, np.arange(256)).all() else None


def _decoded(b: Builder, codes: Array, scales: Array, start: Array | None, axis: int, size: int) -> int:
    operands: list[Any] = [codes, scales] if start is None else [codes, scales, start]
    attributes = {"axis": axis, "block_size": size}
    return b.one("DequantizeLinear", *(b.constant(each) for each in operands), attributes=attributes)


RULES: dict[str, tuple[Rule, ...]] = {
    "com.microsoft.GatherBlockQuantized": (gather_block_quantized,),
    "com.microsoft.MatMulNBits": (matmul_n_bits,),
}
