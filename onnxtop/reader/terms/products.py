"""Matrix products in one form: no Gemm, numbers and changes of shape outside of the product."""

from math import prod

import numpy as np

from onnxtop.reader.terms.arithmetic import is_plain
from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.movement import moved_from, reshaped, viewed
from onnxtop.reader.terms.table import RESHAPED, VIEW


def gemm(b: Builder, call: Call) -> Results | None:
    """Write Gemm as a product, its factors and a sum."""
    left, right, bias = (call.operand(place) for place in range(3))
    turned = {"perm": (1, 0)}
    if call.get("transA"):
        left = b.one("Transpose", left, attributes=turned)
    if call.get("transB"):
        right = b.one("Transpose", right, attributes=turned)
    made = times(b, b.one("MatMul", left, right), call.get("alpha", 1.0))
    beta = call.get("beta", 1.0)
    if bias is None or beta == 0:
        return [made]
    return [b.one("Add", made, times(b, bias, beta))]


def times(b: Builder, item: int, factor: float) -> int:
    """Multiply by a number, in the type of the term."""
    if factor == 1:
        return item
    return b.one("Mul", item, b.constant(np.array(factor, b.table.dtype(item) or np.float32)))


def matmul(b: Builder, call: Call) -> Results | None:
    """Take numbers, then changes of the leading axes, out of a product."""
    left, right = call.operands
    assert left is not None
    assert right is not None
    return _numbers_outside(b, left, right) or _rows_outside(b, left, right)


def _numbers_outside(b: Builder, left: int, right: int) -> Results | None:
    factor, plain = 1.0, []
    for item in (left, right):
        term = b.source(item)
        number = b.number(term.operands[1]) if term.op == "Mul" else None
        shape = b.table.shape(term.operands[1]) if number is not None else None
        if number is None or shape is None or len(shape) > 1 or b.is_constant(term.operands[0]):
            plain.append(item)
            continue
        factor *= number
        plain.append(term.operands[0] or 0)
    if plain == [left, right] or not is_plain(factor):
        return None
    return [times(b, b.one("MatMul", *plain), factor)]


def _rows_outside(b: Builder, left: int, right: int) -> Results | None:
    """Multiply rows by a matrix before the rows are moved or put into other axes."""
    weight, term = b.table.held(right), b.source(left)
    if weight is None or len(weight.shape) != 2 or term.op not in (RESHAPED, VIEW):
        return None
    source = term.operands[0]
    assert source is not None
    before, after = b.table.shape(source), b.table.shape(left)
    if not before or not after or min(len(before), len(after)) < 2:
        return None
    shape = (*after[:-1], weight.shape[1])
    if term.op == RESHAPED and before[-1] == after[-1] is not None:
        return [reshaped(b, b.one("MatMul", source, right), shape)]
    made = _rows_moved(b, left, source, right, "MatMul")
    if made is not None or len(after) == 2 or None in after:
        return made
    flat = reshaped(b, left, (prod(size or 0 for size in after[:-1]), after[-1]))
    return [reshaped(b, b.one("MatMul", flat, right), shape)]


def _rows_moved(b: Builder, item: int, source: int, other: int, op: str) -> Results | None:
    """Compute along whole rows first, then move the rows."""
    places, held = b.source(item).places, b.table.held(other)
    if held is None or places is None or not places.size or places.ndim < 2:
        return None
    before, size, made = b.table.sizes(source), held.shape[0], held.shape[-1]
    if not before or len(before) < 2 or before[-1] != size or places.shape[-1] != size:
        return None
    first = places[..., :1]
    if (first % size).any() or (places != first + np.arange(size, dtype=np.int32)).any():
        return None
    moved = first // size * made + np.arange(made, dtype=np.int32)
    computed = b.one(op, source, other)
    if b.table.sizes(computed) != (*before[:-1], made) or prod(before[:-1]) * made > 2**31:
        return None
    result = viewed(b, computed, lambda own: own.reshape(-1)[moved])
    return None if result is None else [result]


def along_rows(b: Builder, call: Call) -> Results | None:
    """Add or multiply a vector along whole rows before the rows are moved."""
    for place in (0, 1) if len(call.operands) == 2 else ():
        other = call.operands[1 - place]
        held = b.table.held(other)
        if other is None or held is None or len(held.shape) != 1 or held.size < 2:
            continue
        found = moved_from(b, call.operands[place])
        if found is None:
            continue
        moved, source = found
        before, after = b.table.shape(source), b.table.shape(moved)
        if b.source(moved).op == VIEW:
            return _rows_moved(b, moved, source, other, call.op)
        whole = before and after and before[-1] == after[-1] == held.size
        if whole and b.source(moved).op == RESHAPED and after is not None:
            return [reshaped(b, b.one(call.op, source, other), after)]
    return None


def bias_first(b: Builder, call: Call) -> Results | None:
    """Add a constant to a product before something else is added."""
    for place in (0, 1):
        item, other = call.operands[place], call.operands[1 - place]
        term = None if item is None else b.source(item)
        if (
            term is None
            or term.op != "Add"
            or not b.is_constant(other)
            or any(map(b.is_constant, term.operands))
        ):
            continue
        made = [each for each in term.operands if _is_product(b, each)]
        rest = [each for each in term.operands if not _is_product(b, each)]
        if len(made) == len(rest) == 1:
            return [b.one("Add", b.one("Add", made[0], other), rest[0])]
    return None


def _is_product(b: Builder, item: int | None) -> bool:
    """Tell whether a term is a matrix product, moved or times a number."""
    while item is not None:
        term = b.source(item)
        scaled = term.op == "Mul" and b.number(term.operands[1]) is not None
        if not scaled and term.op not in (RESHAPED, VIEW, "Transpose"):
            return term.op == "MatMul"
        item = term.operands[0]
    return False


def with_bias(b: Builder, call: Call) -> Results | None:
    """Let a convolution add what is added to its channels."""
    for place in (0, 1):
        item, held = call.operands[place], b.table.held(call.operands[1 - place])
        term = None if item is None else b.source(item)
        if term is None or term.op != "Conv" or len(term.operands) != 2 or held is None:
            continue
        kernel = b.table.shape(term.operands[1])
        channels = None if kernel is None else kernel[0]
        shape = (channels, *[1] * (len(kernel or ()) - 2))
        if channels is None or held.shape not in ((), shape, (1, *shape)):
            continue
        each = call.operands[1 - place] or 0
        if not held.shape:
            each = b.constant(np.broadcast_to(held.read(), (channels,)))
        bias = reshaped(b, each, (channels,))
        return b.make("Conv", [*term.operands, bias], dict(term.attributes))
    return None


RULES: dict[str, tuple[Rule, ...]] = {
    "Gemm": (gemm,),
    "MatMul": (matmul,),
    "Add": (with_bias, bias_first, along_rows),
    "Mul": (along_rows,),
}
