"""Level 2: what rounds is left out, and named: casts, codes of activations, a folded normalisation."""

from dataclasses import replace

import numpy as np

from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.constant import Constant, is_float
from onnxtop.reader.terms.movement import again, moved_from
from onnxtop.reader.terms.table import Term

CODING = frozenset(
    ("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear")
)
"""Operations that make codes, decode them, or compute with them."""

ROUNDING = CODING | {"BatchNormalization", "Cast", "CastLike"}
"""Operations that level 2 is for: where both models hold as many of each, it has nothing to say."""

CASTS = "casts between float types"
CODES = "rounding of activations to codes"
FOLDED = "BatchNormalization folded into the weights before it"
CUT = "quantisers that cut off below 0"


def cast(b: Builder, call: Call) -> Results | None:
    """Leave out a cast from floats to floats."""
    item = call.operands[0]
    kinds = b.table.dtype(item), b.table.dtype(b.plain(call)[0])
    if kinds[0] is None or kinds[1] is None or not (is_float(kinds[0]) and is_float(kinds[1])):
        return None
    if kinds[0] != kinds[1]:
        b.drop(CASTS)
    return [item]


def dynamic(b: Builder, call: Call) -> Results | None:
    """Leave out codes whose scale is told from the values: they are the values, at scale 1 from 0 on."""
    item = call.operands[0]
    b.drop(CODES)
    return [item, b.constant(np.array(1, np.float32)), b.constant(np.array(0, np.uint8))][: call.results]


def decoded(b: Builder, call: Call) -> Results | None:
    """Leave out codes that are made and decoded by one scale; a quantiser that starts at 0 is a Relu."""
    item = call.operands[0]
    if item is None:
        return None
    kind = b.table.dtype(item)
    if kind is not None and is_float(kind):  # values that `dynamic` left as they are
        return [b.one("Mul", item, call.operands[1])]
    term = b.source(item)
    along = dict(term.attributes).get("axis")
    if term.op != "QuantizeLinear" or (term.operands[1:], along) != (call.operands[1:], call.get("axis")):
        return _decoded_first(b, call)
    source = term.operands[0]
    b.drop(CODES)
    if kind is None or kind.kind not in "iu" or source is None:
        return [source]
    zero, lowest = b.table.held(call.operand(2)), np.iinfo(kind).min
    begins = (lowest == 0) if zero is None else bool((zero.read() == lowest).all())
    if not begins:
        return [source]
    made = b.one("Relu", source)
    if made != source and b.source(source).op != "Relu":
        b.assumed.add(made)
    return [made]


def _decoded_first(b: Builder, call: Call) -> Results | None:
    """Decode a table by one scale before it is looked up."""
    term, scale = b.source(call.operands[0] or 0), b.table.shape(call.operands[1])
    if term.op != "Gather" or not b.is_constant(term.operands[0]) or scale != ():
        return None
    table = b.make("DequantizeLinear", [term.operands[0], *call.operands[1:]], call.attributes, call.opset)
    return b.make("Gather", [table[0], *term.operands[1:]], dict(term.attributes))


def product_of_codes(b: Builder, call: Call) -> Results | None:
    """Multiply by weights in codes, or convolve with them, less their zero point; the rest is floats."""
    item, codes, above, zero = (call.operand(place) for place in range(4))
    kind, held, start = b.table.dtype(item), b.table.held(codes), b.table.held(zero)
    if kind is None or not is_float(kind) or held is None or (zero is not None and start is None):
        return None
    begin = b.table.held(above)
    if above is not None and (begin is None or begin.read().any()):
        return None
    numbers = held.read().astype(np.float32)
    if start is not None:
        offset = start.read().astype(np.float32)
        convolves = call.op == "ConvInteger" and offset.size > 1
        numbers = numbers - (offset.reshape(-1, *[1] * (numbers.ndim - 1)) if convolves else offset)
    op = "Conv" if call.op == "ConvInteger" else "MatMul"
    return b.make(op, [item, b.constant(numbers)], call.attributes if op == "Conv" else {})


def scaled(b: Builder, call: Call) -> Results | None:
    """Multiply the weights by what their product is multiplied by, one number or one an output."""
    for place in (0, 1):
        found = (
            moved_from(b, call.operands[place]) if b.number(call.operands[1 - place]) is not None else None
        )
        if found is not None and b.source(found[1]).op == "MatMul":
            before = scaled(b, replace(call, operands=(found[1], call.operands[1 - place])))
            made = None if before is None or before[0] is None else again(b, found[0], before[0])
            return None if made is None else [made]
        item, factor = call.operands[place], b.table.held(call.operands[1 - place])
        term = None if item is None else b.source(item)
        if term is None or factor is None or term.op not in ("MatMul", "Conv") or len(term.operands) != 2:
            continue
        weights = b.table.held(term.operands[1])
        if weights is None or not factor.is_float:
            continue
        if factor.size > 1 and (term.op == "Conv" or factor.shape != weights.shape[-1:]):
            continue
        if len(factor.shape) > 1:
            continue
        product = b.constant(weights.read() * factor.read())
        return b.make(term.op, [term.operands[0], product], dict(term.attributes))
    return None


def normalised(b: Builder, call: Call) -> Results | None:
    """Fold a BatchNormalization into the convolution or product before it."""
    item = call.operands[0]
    if item is None or call.results > 1 or call.get("training_mode"):
        return None
    statistics = [b.table.held(other) for other in call.operands[1:5]]
    found = _linear(b, item)
    if found is None or None in statistics:
        return None
    before, held, bias, along = found
    scale, shift, mean, variance = (np.float64(held.read()) for held in statistics if held is not None)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + call.get("epsilon", 1e-5))
    if held.shape[along] != factor.size:
        return None
    shape = [1] * len(held.shape)
    shape[along] = -1
    weights = b.constant((held.read() * factor.reshape(shape)).astype(held.dtype))
    shifted = ((0.0 if bias is None else np.float64(bias.read()).ravel()) - mean) * factor + shift
    b.drop(FOLDED)
    added = b.constant(shifted.astype(held.dtype))
    if before.op == "MatMul":
        return [b.one("Add", b.one("MatMul", before.operands[0], weights), added)]
    return b.make(before.op, [before.operands[0], weights, added], dict(before.attributes))


def _linear(b: Builder, item: int) -> tuple[Term, Constant, Constant | None, int] | None:
    """Return the operation with weights that a term is, its weights and bias, and the axis of its outputs."""
    term, bias = b.source(item), None
    if term.op == "Add" and term.operands[0] is not None and b.is_constant(term.operands[1]):
        bias = b.table.held(term.operands[1])
        product = b.source(term.operands[0])
        rank = b.table.shape(product.operands[0]) if product.op == "MatMul" else None
        if rank is None or len(rank) != 2 or bias is None or len(bias.shape) > 1:
            return None
        term = product
    elif term.op in ("Conv", "ConvTranspose") and len(term.operands) > 2:
        bias = b.table.held(term.operands[2])
        if bias is None and term.operands[2] is not None:
            return None
    grouped = term.op == "ConvTranspose" and dict(term.attributes).get("group", 1) != 1
    along = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1}.get(term.op)
    held = b.table.held(term.operands[1]) if along is not None and not grouped else None
    return None if held is None or along is None else (term, held, bias, along)


RULES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("Cast", "CastLike"), (cast,)),
    "DequantizeLinear": (decoded,),
    "DynamicQuantizeLinear": (dynamic,),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (product_of_codes,)),
    "Mul": (scaled,),
    "BatchNormalization": (normalised,),
}
