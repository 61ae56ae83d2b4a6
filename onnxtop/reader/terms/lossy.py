"""Level 2: what rounds is left out, and named: casts, codes of activations, a folded normalisation."""

import numpy as np

from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.constant import is_float

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


def decoded(b: Builder, call: Call) -> Results | None:
    """Leave out codes that are made and decoded by one scale; a quantiser that begins at 0 is a Relu too."""
    term = b.source(call.operands[0] or 0)
    if call.operands[0] is None or term.op != "QuantizeLinear" or term.operands[1:] != call.operands[1:]:
        return None
    item = term.operands[0]
    zero = b.table.held(call.operand(2))
    kind = b.table.dtype(call.operands[0])
    b.drop(CODES)
    if kind is None or kind.kind not in "iu" or item is None:
        return [item]
    lowest = np.iinfo(kind).min
    begins = (lowest == 0) if zero is None else bool((zero.read() == lowest).all())
    if not begins:
        return [item]
    made = b.one("Relu", item)
    if made != item and b.source(item).op != "Relu":
        b.assumed.add(made)
    return [made]


def normalised(b: Builder, call: Call) -> Results | None:
    """Fold a BatchNormalization into the convolution or product before it."""
    item = call.operands[0]
    if item is None or call.results > 1 or call.get("training_mode"):
        return None
    statistics = [b.table.held(other) for other in call.operands[1:5]]
    convolved = b.source(item)
    if convolved.op != "Conv" or None in statistics:
        return None
    kernel, bias = b.table.held(convolved.operands[1]), None
    if kernel is None or (len(convolved.operands) > 2 and not b.is_constant(convolved.operands[2])):
        return None
    if len(convolved.operands) > 2:
        bias = b.table.held(convolved.operands[2])
    scale, shift, mean, variance = (np.float64(held.read()) for held in statistics if held is not None)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + call.get("epsilon", 1e-5))
    weights = kernel.read() * factor.reshape(-1, *[1] * (len(kernel.shape) - 1))
    shifted = ((0.0 if bias is None else np.float64(bias.read())) - mean) * factor + shift
    b.drop(FOLDED)
    operands = [
        convolved.operands[0],
        b.constant(weights.astype(kernel.dtype)),
        b.constant(shifted.astype(kernel.dtype)),
    ]
    return b.make("Conv", operands, dict(convolved.attributes))


RULES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("Cast", "CastLike"), (cast,)),
    "DequantizeLinear": (decoded,),
    "BatchNormalization": (normalised,),
}
