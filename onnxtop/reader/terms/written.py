"""Operations that exporters also write out in others, written out: LayerNormalization, Gelu and such."""

import math
from typing import Any

import numpy as np

from onnxtop.reader.declared import Shape
from onnxtop.reader.terms.arithmetic import is_near
from onnxtop.reader.terms.builder import EARLIER, Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.movement import reshaped

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
    if shape is None or not _is_exact(b, item) or not 0 <= axis < len(shape):
        return None
    axes = b.constant(np.arange(axis, len(shape), dtype=np.int64))
    mean = _mean(b, item, axes)
    centred = b.one("Sub", item, mean)
    normal = _divided(b, centred, axes, call.get("epsilon"))
    scaled = b.one("Mul", normal, scale)
    made = scaled if bias is None else b.one("Add", scaled, bias)
    return [made, *(b.plain(call)[1:] if call.results > 1 else ())]


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


def swish(b: Builder, call: Call) -> Results | None:
    """``x * sigmoid(alpha * x)``."""
    item, alpha = call.operand(0), call.get("alpha", 1.0)
    if not _is_exact(b, item):
        return None
    inner = item if alpha == 1 else b.one("Mul", item, _number(b, item, alpha))
    return [b.one("Mul", item, b.one("Sigmoid", inner))]


def of_matrix(b: Builder, call: Call) -> Results | None:
    """Before opset 13: all axes before one are rows, and all from it on columns."""
    item, axis = call.operand(0), call.get("axis", 1)
    shape = b.table.shape(item)
    if item is None or shape is None or not -len(shape) <= axis < len(shape):
        return None
    sides = [_product(shape[:axis]), _product(shape[axis:])]
    if sides.count(None) > 1 or shape.count(None) > 1:
        return None
    made = b.one(call.op, reshaped(b, item, tuple(sides)), attributes={"axis": 1})
    return [reshaped(b, made, shape)]


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(size or 0 for size in sizes)


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


def variance(b: Builder, call: Call) -> Results | None:
    """Write ``mean(x * x) - mean(x) * mean(x)`` as the mean of ``(x - mean(x))`` squared."""
    squares, product = (None if item is None else b.source(item) for item in call.operands)
    if squares is None or product is None or (squares.op, product.op) != ("ReduceMean", "Mul"):
        return None
    mean, other = product.operands
    if mean is None or mean != other or squares.operands[0] is None:
        return None
    square, taken = b.source(squares.operands[0]), b.source(mean)
    item = taken.operands[0] if taken.op == "ReduceMean" else None
    alike = (taken.operands[1:], taken.attributes) == (squares.operands[1:], squares.attributes)
    if item is None or square.op != "Mul" or square.operands != (item, item) or not alike:
        return None
    if not dict(squares.attributes).get("keepdims"):
        return None
    centred = b.one("Sub", item, mean)
    return b.make(
        "ReduceMean", [b.one("Mul", centred, centred), *squares.operands[1:]], dict(squares.attributes)
    )


def gathered(b: Builder, call: Call) -> Results | None:
    """Write ``a * s + b * s`` as ``(a + b) * s``, also with a third summand: normalisations come so, too."""
    first, second = call.operands
    if first is None or second is None:
        return None
    found = _common(b, first, second)
    if found is not None:
        one, other, factor = found
        return [b.one("Mul", b.one(call.op, one, other), factor)]
    for place in (0, 1) if call.op == "Add" else (0,):
        product, rest = (first, second) if not place else (second, first)
        for inner, last, sign in _summands(b, rest):
            found = _common(b, product, inner)
            if found is not None and call.op == "Add":
                one, other, factor = found
                return [b.one("Add", b.one("Mul", b.one(sign, one, other), factor), last)]
    return None


def _summands(b: Builder, item: int) -> list[tuple[int, int, str]]:
    """Return one summand of a sum, the rest, and with which sign the one is added."""
    term = b.source(item)
    if term.op not in ("Add", "Sub") or len(term.operands) != 2:
        return []
    first, second = term.operands
    if first is None or second is None:
        return []
    return [(second, first, "Sub")] if term.op == "Sub" else [(first, second, "Add"), (second, first, "Add")]


def _common(b: Builder, one: int, other: int) -> tuple[int, int, int] | None:
    """Return what two products have beside a factor in common, and that factor."""
    return next(
        (
            (first, second, factor)
            for first, factor in _factors(b, one)
            for second, same in _factors(b, other)
            if factor == same
        ),
        None,
    )


def _factors(b: Builder, item: int) -> list[tuple[int, int]]:
    """Return a product's factors in either order, nothing for another term."""
    term = b.source(item)
    first, second = term.operands if term.op == "Mul" and len(term.operands) == 2 else (None, None)
    return [] if first is None or second is None else [(first, second), (second, first)]


def negative(b: Builder, call: Call) -> Results | None:
    """Write the sum with a negative as a difference."""
    for place in (0, 1):
        item, other = call.operands[place], call.operands[1 - place]
        term = None if item is None else b.source(item)
        if term is not None and (term.op == "Neg" or (term.op == "Mul" and b.number(term.operands[1]) == -1)):
            return [b.one("Sub", other, term.operands[0])]
    return None


def opposite(b: Builder, call: Call) -> Results | None:
    """``x * -1``."""
    item = call.operand(0)
    return [b.one("Mul", item, _number(b, item, -1.0))] if _is_exact(b, item) else None


RULES: dict[str, tuple[Rule, ...]] = {
    "Add": (negative, gathered),
    "Gelu": (gelu,),
    "HardSwish": (hard_swish,),
    "LayerNormalization": (layer_normalization,),
    "Mul": (reciprocal_root,),
    "Neg": (opposite,),
    "Sub": (variance, gathered),
    **dict.fromkeys((f"{EARLIER}{op}" for op in ("LogSoftmax", "Softmax")), (of_matrix,)),
    "Swish": (swish,),
    "RMSNormalization": (rms_normalization,),
}
