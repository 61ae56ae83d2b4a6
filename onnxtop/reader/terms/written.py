"""Operations that exporters also write out in others, written out: LayerNormalization, Gelu and such."""

import math
from typing import Any

import numpy as np

from onnxtop.reader.terms.arithmetic import is_near
from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call

_EXACT = (np.float32, np.float64)


def _number(b: Builder, item: int | None, value: float) -> int:
    return b.constant(np.array(value, b.table.dtype(item)))


def _is_exact(b: Builder, item: int | None) -> bool:
    """Tell whether a term is of a type in which it is written out: what is narrower is computed wider."""
    return b.table.dtype(item) in _EXACT


def layer_normalization(b: Builder, call: Call) -> Results | None:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, over the axes from one on."""
    item, scale, bias = (call.operand(place) for place in range(3))
    shape, axis = b.table.shape(item), call.get("axis", -1)
    if call.results > 1 or shape is None or not _is_exact(b, item) or not 0 <= axis < len(shape):
        return None
    axes = b.constant(np.arange(axis, len(shape), dtype=np.int64))
    mean = _mean(b, item, axes)
    centred = b.one("Sub", item, mean)
    normal = _divided(b, centred, axes, call.get("epsilon"))
    scaled = b.one("Mul", normal, scale)
    return [scaled if bias is None else b.one("Add", scaled, bias)]


def rms_normalization(b: Builder, call: Call) -> Results | None:
    """``x / sqrt(mean of squares + epsilon) * scale``, over the axes from one on."""
    item, scale = call.operand(0), call.operand(1)
    shape, axis = b.table.shape(item), call.get("axis", -1)
    if call.results > 1 or shape is None or not _is_exact(b, item) or not 0 <= axis < len(shape):
        return None
    axes = b.constant(np.arange(axis, len(shape), dtype=np.int64))
    return [b.one("Mul", _divided(b, item, axes, call.get("epsilon")), scale)]


def _divided(b: Builder, item: int | None, axes: int, epsilon: Any) -> int:
    squares = _mean(b, b.one("Mul", item, item), axes)
    root = b.one("Sqrt", b.one("Add", squares, _number(b, item, epsilon)))
    return b.one("Div", item, root)


def _mean(b: Builder, item: int | None, axes: int) -> int:
    return b.one("ReduceMean", item, axes, attributes={"keepdims": 1})


def gelu(b: Builder, call: Call) -> Results | None:
    """``x * (1 + erf(x / sqrt(2))) * 0.5``."""
    item = call.operand(0)
    if not _is_exact(b, item) or call.get("approximate", b"none") != b"none":
        return None
    inner = b.one("Erf", b.one("Mul", item, _number(b, item, math.sqrt(0.5))))
    product = b.one("Mul", item, b.one("Add", inner, _number(b, item, 1.0)))
    return [b.one("Mul", product, _number(b, item, 0.5))]


def hard_swish(b: Builder, call: Call) -> Results | None:
    """``x * hard_sigmoid(x)``, with a slope of a sixth."""
    item = call.operand(0)
    gate = b.one("HardSigmoid", item, attributes={"alpha": float(np.float32(1 / 6)), "beta": 0.5})
    return [b.one("Mul", item, gate)]


def reciprocal_root(b: Builder, call: Call) -> Results | None:
    """Put the numbers of a root of two or a half in one form: they come rounded in several ways."""
    number = b.number(call.operands[1])
    for wanted in (math.sqrt(0.5), math.sqrt(2.0)):
        exact = _rounded(b, call.operands[1], wanted)
        if number is not None and number != exact and is_near(number, wanted):
            held = b.table.held(call.operands[1])
            assert held is not None
            return [b.one("Mul", call.operands[0], b.constant(np.full(held.shape, exact, held.dtype)))]
    return None


def _rounded(b: Builder, item: int | None, value: float) -> float:
    return float(np.array(value, b.table.dtype(item)))


def shifted_product(b: Builder, call: Call) -> Results | None:
    """Write ``x * s + (b - mean * s)`` as ``(x - mean) * s + b``, as a normalisation is written elsewhere."""
    for place in (0, 1):
        scaled, shift = call.operands[place], call.operands[1 - place]
        if scaled is None or shift is None:
            continue
        for item, scale in _factors(b, scaled):
            found = _less(b, shift, scale)
            if found is not None:
                mean, bias = found
                return [b.one("Add", b.one("Mul", b.one("Sub", item, mean), scale), bias)]
    return None


def _factors(b: Builder, item: int) -> list[tuple[int, int]]:
    """Return a product's factors in either order, nothing for another term."""
    term = b.source(item)
    first, second = term.operands if term.op == "Mul" and len(term.operands) == 2 else (None, None)
    return [] if first is None or second is None else [(first, second), (second, first)]


def _less(b: Builder, shift: int, scale: int) -> tuple[int, int] | None:
    """Return (mean, bias) of a shift that is ``bias - mean * scale``."""
    term = b.source(shift)
    if term.op == "Sub" and None not in term.operands:
        bias, product = term.operands
        mean = _other_factor(b, product, scale)
        return None if mean is None or bias is None else (mean, bias)
    if term.op == "Add" and None not in term.operands:
        for place in (0, 1):
            product, bias = term.operands[place], term.operands[1 - place]
            negative = _other_factor(b, product, scale)
            inner = None if negative is None else b.source(negative)
            if inner is not None and inner.op == "Neg" and bias is not None and inner.operands[0] is not None:
                return inner.operands[0], bias
    return None


def _other_factor(b: Builder, product: int | None, scale: int) -> int | None:
    pairs = [] if product is None else _factors(b, product)
    return next((other for other, factor in pairs if factor == scale), None)


RULES: dict[str, tuple[Rule, ...]] = {
    "Add": (shifted_product,),
    "Gelu": (gelu,),
    "HardSwish": (hard_swish,),
    "LayerNormalization": (layer_normalization,),
    "Mul": (reciprocal_root,),
    "RMSNormalization": (rms_normalization,),
}
