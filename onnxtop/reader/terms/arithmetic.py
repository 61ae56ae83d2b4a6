"""Arithmetic in one form: what adds nothing is left out, numbers are joined and go before movements."""

from math import inf, isfinite

import numpy as np

from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.movement import again, moved_from, reshaped
from onnxtop.reader.terms.table import RESHAPED, VIEW

_SAME = 1e-6
"""Numbers nearer than this share of themselves are one: a constant that was rounded on the way."""


def is_near(value: float | None, wanted: float) -> bool:
    """Tell whether a number is another one but for rounding."""
    return value is not None and abs(value - wanted) <= _SAME * abs(wanted)


def identity(b: Builder, call: Call) -> Results | None:
    """Leave out what hands its operand on."""
    return [call.operands[0]] if call.operands else None


def dropout(b: Builder, call: Call) -> Results | None:
    """Leave out a Dropout that does not train; its mask, if anyone wants it, stays a term."""
    training = b.table.held(call.operand(2))
    if call.opset < 7 or (call.operand(2) is not None and (training is None or training.read().any())):
        return None
    return [call.operands[0], *b.plain(call)[1:]]


def one_operand(b: Builder, call: Call) -> Results | None:
    """Leave out a sum, maximum or joining of one alone."""
    return [call.operands[0]] if len(call.operands) == 1 else None


def cast(b: Builder, call: Call) -> Results | None:
    """Leave out a cast to the type that a term is of."""
    item = call.operands[0]
    kind = b.table.dtype(item)
    if kind is None:
        return None
    if call.op == "CastLike":
        return [item] if kind == b.table.dtype(call.operands[1]) else None
    made = b.plain(call)
    return [item] if kind == b.table.dtype(made[0]) else None


def shape(b: Builder, call: Call) -> Results | None:
    """Compute a shape that is known."""
    sizes = b.table.sizes(call.operands[0])
    if sizes is None:
        return None
    if call.op == "Size":
        return [b.constant(np.array(int(np.prod(sizes, dtype=np.int64)), np.int64))]
    return [b.constant(np.array(sizes[slice(call.get("start", 0), call.get("end"))], np.int64))]


def average(b: Builder, call: Call) -> Results | None:
    """Write a pooling over everything as a mean."""
    known = b.table.shape(call.operands[0])
    if known is None or len(known) < 3:
        return None
    axes = b.constant(np.arange(2, len(known), dtype=np.int64))
    return b.make("ReduceMean", [call.operands[0], axes], {"keepdims": 1})


def idle(b: Builder, call: Call) -> Results | None:
    """Leave out a factor of 1 and a summand of 0."""
    nothing = 1.0 if call.op in ("Mul", "Div") else 0.0
    for place in (1, 0) if call.op in ("Add", "Mul") else (1,):
        item, other = call.operands[1 - place], call.operands[place]
        ranks = [b.table.shape(each) for each in (item, other)]
        known = ranks[0] is not None and ranks[1] is not None and len(ranks[1]) <= len(ranks[0])
        if known and b.number(other) == nothing and b.table.dtype(item) == b.table.dtype(other):
            return [item]
    return None


def quotient(b: Builder, call: Call) -> Results | None:
    """Write a division as a product: with a number's inverse, or with a Reciprocal."""
    item, divisor = call.operands
    held = b.table.held(divisor)
    if held is None:
        floats = b.table.dtype(item)
        if floats is None or floats.kind != "f":
            return None
        return [b.one("Mul", item, b.one("Reciprocal", divisor))]
    number = b.number(divisor)
    if number is None or not 1e-30 < abs(number) < 1e30:
        return None
    inverse = np.full(held.shape, 1 / number, held.dtype)
    return [b.one("Mul", item, b.constant(inverse))]


def difference(b: Builder, call: Call) -> Results | None:
    """Write the subtraction of a constant of floats as a sum."""
    held = b.table.held(call.operands[1])
    if held is None or not held.is_float or held.dtype.kind != "f":
        return None
    return [b.one("Add", call.operands[0], b.one("Neg", call.operands[1]))]


def joined(b: Builder, call: Call) -> Results | None:
    """Join numbers that a term is multiplied by one after the other."""
    for place in (0, 1):
        item, other = call.operands[place], call.operands[1 - place]
        term = None if item is None else b.source(item)
        if term is None or term.op != "Mul" or b.is_constant(term.operands[0]):
            continue
        first, second = b.number(other), b.number(term.operands[1])
        if first is None or second is None:
            continue
        held, inner = b.table.held(other), b.table.held(term.operands[1])
        if held is None or inner is None or not is_plain(first * second):
            continue
        rank = max(len(held.shape), len(inner.shape))
        with np.errstate(over="ignore"):
            product = np.full((1,) * rank, first * second).astype(held.dtype)
        if product.any() and np.isfinite(product).all():
            return [b.one("Mul", term.operands[0], b.constant(product))]
    return None


def is_plain(number: float) -> bool:
    """Tell whether a number is one that float32 holds with all its digits."""
    return isfinite(number) and 1e-30 < abs(number) < 1e30


def constant_last(b: Builder, call: Call) -> Results | None:
    """Multiply two terms before a constant that one of them is multiplied by."""
    for place in (0, 1):
        item, other = call.operands[place], call.operands[1 - place]
        term = None if item is None else b.source(item)
        if term is None or term.op != call.op or b.is_constant(other) or other == item:
            continue
        if not b.is_constant(term.operands[1]) or b.is_constant(term.operands[0]):
            continue
        return [b.one(call.op, b.one(call.op, term.operands[0], other), term.operands[1])]
    return None


def number_before(b: Builder, call: Call) -> Results | None:
    """Add a number before elements are moved."""
    for place in (0, 1):
        held = b.table.held(call.operands[1 - place])
        found = moved_from(b, call.operands[place]) if held is not None and held.is_number else None
        if held is None or found is None:
            continue
        ranks = [b.table.shape(each) for each in found]
        if any(rank is None or len(rank) < len(held.shape) for rank in ranks):
            continue
        moved, source = found
        made = again(b, moved, b.one(call.op, source, call.operands[1 - place]))
        return None if made is None else [made]
    return None


def trimmed(b: Builder, call: Call) -> Results | None:
    """Leave out the leading axes of size 1 of a constant that meets as many axes or more."""
    for place in (0, 1):
        held, rank = b.table.held(call.operands[place]), b.table.shape(call.operands[1 - place])
        if (
            held is None
            or rank is None
            or not held.shape
            or held.shape[0] != 1
            or len(held.shape) > len(rank)
        ):
            continue
        count = next((at for at, size in enumerate(held.shape) if size != 1), len(held.shape))
        operands = list(call.operands)
        operands[place] = reshaped(b, call.operands[place] or 0, held.shape[count:])
        return b.make(call.op, operands)
    return None


def before_movement(b: Builder, call: Call) -> Results | None:
    """Compute with two terms before both are moved alike."""
    left, right = (moved_from(b, item) for item in call.operands)
    if left is None or right is None:
        return None
    (moved, source), (other, second) = left, right
    one, two = b.source(moved), b.source(other)
    sizes = b.table.sizes(source)
    if (
        (one.op, one.attributes) != (two.op, two.attributes)
        or sizes is None
        or sizes != b.table.sizes(second)
    ):
        return None
    made = again(b, moved, b.one(call.op, source, second))
    return None if made is None else [made]


def reduced(b: Builder, call: Call) -> Results | None:
    """Keep the axes that are reduced, and take them away after."""
    known, axes = b.table.shape(call.operands[0]), b.table.held(call.operand(1))
    if known is None or axes is None or call.get("keepdims", 1) or call.get("noop_with_empty_axes"):
        return None
    gone = set(axes.read().tolist())
    left = tuple(size for axis, size in enumerate(known) if axis not in gone)
    if left.count(None) > 1 or not gone:
        return None
    kept = b.make(call.op, call.operands, {**call.attributes, "keepdims": 1})
    return None if kept[0] is None else [reshaped(b, kept[0], left)]


def largest(b: Builder, call: Call) -> Results | None:
    """Write the larger one of 0 and a term as Relu."""
    if len(call.operands) != 2:
        return one_operand(b, call)
    for place in (0, 1):
        item, other = call.operands[place], b.table.held(call.operands[1 - place])
        known = b.table.shape(item)
        if other is None or known is None or len(other.shape) > len(known):
            continue
        if b.number(call.operands[1 - place]) == 0 and item is not None:
            return [b.one("Relu", item)]
    return None


def relu(b: Builder, call: Call) -> Results | None:
    """Leave out a Relu of what is never negative."""
    return [call.operands[0]] if is_never_negative(b, call.operands[0]) else None


_LOOKED_AT = 2**16
"""Elements of constants that are looked at for their sign."""

_PASSING = frozenset(
    (
        "AveragePool",
        "MaxPool",
        RESHAPED,
        VIEW,
        "Transpose",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "ReduceMean",
    )
)
"""Operations whose results lie between those that they are made of."""
_SPANS = {
    **dict.fromkeys(("Abs", "Exp", "Relu", "Softplus", "Sqrt"), (0.0, inf)),
    **dict.fromkeys(("HardSigmoid", "Sigmoid", "Softmax"), (0.0, 1.0)),
    **dict.fromkeys(("Cos", "Erf", "Sin", "Softsign", "Tanh"), (-1.0, 1.0)),
}


_DEEP = 4
"""So many operations below a term are looked at for the sign of its values."""


def span_of(b: Builder, item: int | None, deep: int = _DEEP) -> tuple[float, float]:
    """Return between which numbers the values of a term lie, as far as its operation and those below tell."""
    while item is not None and b.source(item).op in _PASSING:
        item = b.source(item).operands[0]
    if item is None:
        return -inf, inf
    term = b.source(item)
    square = term.op == "Mul" and term.operands[0] == term.operands[1]
    kept = term.op in ("Add", "Mul", "Reciprocal") and deep > 0
    if square or (kept and all(is_never_negative(b, each, deep - 1) for each in term.operands)):
        return 0.0, inf
    return _SPANS.get(term.op, (-inf, inf))


def is_never_negative(b: Builder, item: int | None, deep: int = _DEEP) -> bool:
    """Tell whether no value of a term is below 0: by the operations that it is made by, or as a constant."""
    held = b.table.held(item)
    if held is not None:
        return held.is_float and held.size <= _LOOKED_AT and bool((held.read() >= 0).all())
    return span_of(b, item, deep)[0] >= 0


def power(b: Builder, call: Call) -> Results | None:
    """Write a square as a product and a root as Sqrt."""
    item, exponent = call.operands[0], b.number(call.operands[1])
    held, known = b.table.held(call.operands[1]), b.table.shape(item)
    if held is None or known is None or len(held.shape) > len(known) or item is None:
        return None
    if exponent is None and held.is_number:
        exponent = held.number
    if exponent == 2 and b.table.dtype(item) is not None:
        return [b.one("Mul", item, item)]
    return [b.one("Sqrt", item)] if exponent == 0.5 else None


RULES: dict[str, tuple[Rule, ...]] = {
    "Dropout": (dropout,),
    **dict.fromkeys(("Concat", "Mean", "Min", "Sum"), (one_operand,)),
    **dict.fromkeys(("Cast", "CastLike"), (cast,)),
    **dict.fromkeys(("Shape", "Size"), (shape,)),
    "GlobalAveragePool": (average,),
    "Add": (trimmed, idle, number_before, before_movement),
    "Sub": (trimmed, idle, difference, before_movement),
    "Mul": (trimmed, idle, joined, constant_last, before_movement),
    "Div": (trimmed, idle, quotient),
    "Max": (largest,),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), (reduced,)),
    "Pow": (power,),
    "Relu": (relu,),
}
"""For level 1; `identity` holds at every level."""
