"""Level 2: what rounds is left out, and named: casts, codes of activations, a folded normalisation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxtop.reader.terms.arithmetic import span_of
from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import MARK, Call
from onnxtop.reader.terms.coder import Coder
from onnxtop.reader.terms.constant import Array, Constant, constant_of, is_float
from onnxtop.reader.terms.movement import again, moved_from
from onnxtop.reader.terms.table import RESHAPED, RESULT, ROUNDED, VIEW, GraphTerm, Type

CODING = frozenset(
    ("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear")
)
"""Operations that make codes, decode them, or compute with them."""

_ROUNDING = CODING | {"BatchNormalization", "Cast", "CastLike", ROUNDED}
"""Operations that level 2 is for, beside factors of products."""

CASTS = "casts between float types"
CODES = "rounding of activations to codes"
FOLDED = "BatchNormalization folded into the weights before it"
BELOW, ABOVE = "quantisers that cut off below 0", "quantisers that cut off above 0"

_STEPS = MARK + "steps"
"""Marks values that are counted in steps of a scale, and neither rounded nor cut off."""
_PICKING = frozenset(
    (
        *(RESHAPED, VIEW, "Transpose", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements"),
        *("GatherND", "Reshape", "Slice", "SpaceToDepth", "Squeeze", "Tile", "Unsqueeze"),
    )
)
"""What moves or picks elements of its first operand."""


def hands_on(term: GraphTerm) -> bool:
    """Tell whether an operation hands values on: in another type or place, as codes, or decoded."""
    return term.op in ("Cast", "CastLike", "DequantizeLinear", "QuantizeLinear") or _keeps_codes(term)


def _keeps_codes(term: GraphTerm) -> bool:
    """Tell whether an operation makes of codes the codes of what it makes of the values."""
    if term.op == "Resize":
        given = dict(term.attributes)
        beyond = given.get("coordinate_transformation_mode") == b"tf_crop_and_resize"
        return given.get("mode") == b"nearest" and not beyond
    return term.op in _PICKING or term.op == "MaxPool"


def cast(b: Builder, call: Call) -> Results | None:
    """Leave out a cast from floats to floats; what is counted in steps stays so."""
    item = call.operands[0]
    kinds = b.table.dtype(item), b.table.dtype(b.plain(call)[0])
    if kinds[1] is None or not is_float(kinds[1]):
        return None
    counted = _counted(b, item)
    if counted is not None:
        return [_in_steps(b, *counted, np.dtype(np.float32))]
    if kinds[0] is None or not is_float(kinds[0]):
        return None
    if kinds[0] != kinds[1]:
        b.drop(CASTS)
    return [item]


def dynamic(b: Builder, call: Call) -> Results | None:
    """Write codes whose scale is told from the values as codes of that scale and zero point."""
    own = b.plain(replace(call, results=3))[1:]
    return [b.one("QuantizeLinear", call.operands[0], *own), *own][: call.results]


def decoded(b: Builder, call: Call) -> Results | None:
    """Leave out codes that are made and decoded by one scale and zero point."""
    item, scale, zero = (call.operand(place) for place in range(3))
    moves, quantiser = _quantiser(b, item, zero)
    if quantiser is not None and _agree(quantiser, call):
        made = _values(b, moves, quantiser)
        if made is not None:
            return [made]
    counted = _counted(b, item)
    if counted is not None and _start(b, zero) == 0 and b.table.shape(scale) == ():
        return [b.one("Mul", _in_steps(b, *counted, np.dtype(np.float32)), scale)]
    return _decoded_first(b, call)


def _unmoved(b: Builder, codes: int | None) -> tuple[list[int], int | None]:
    """Return how codes were moved, the last way first, and what was moved."""
    moves: list[int] = []
    while codes is not None and _keeps_codes(b.source(codes)):
        moves.append(codes)
        codes = b.source(codes).operands[0]
    return moves, codes


def _quantiser(b: Builder, codes: int | None, zero: int | None) -> tuple[list[int], GraphTerm | None]:
    """Return how codes were moved, the last way first, and what made them, if it is of that zero point."""
    moves, codes = _unmoved(b, codes)
    term = None if codes is None else b.source(codes)
    if term is None or term.op != "QuantizeLinear" or _counts(term):
        return moves, None
    return moves, term if _start(b, zero) == _start(b, term.operand(2)) else None


def _agree(quantiser: GraphTerm, decoder: Call) -> bool:
    """Tell whether codes are decoded by the scale that they were made by."""
    along = dict(quantiser.attributes).get("axis")
    return (quantiser.operand(1), along) == (decoder.operand(1), decoder.get("axis"))


def _values(b: Builder, moves: Sequence[int], quantiser: GraphTerm) -> int | None:
    """Return the values that codes were made of, moved as these are, and name it.

    None unless all is known that the codes hold: by constants, or because the scale was told from the values.
    """
    source, scale, zero = (quantiser.operand(place) for place in range(3))
    kind = b.table.dtype(zero) if quantiser.type is None else quantiser.type.dtype
    if source is None or scale is None or kind is None or (moves and b.table.shape(scale) != ()):
        return None
    if b.is_constant(source):
        return None  # codes of a constant are computed: where onnx could not, nothing is known of them
    made: int | None = source
    if not _is_own(b, source, scale, zero):
        if not b.is_constant(scale) or (zero is not None and not b.is_constant(zero)):
            return None
        made = _held(b, source, Coder(_whole(b, source), scale, zero, kind))
    for like in reversed(moves):
        made = None if made is None else _moved(b, like, made)
    if made is not None:
        b.drop(CODES)
    return made


def _whole(b: Builder, item: int) -> int:
    """Return the term whose elements another one holds, each once, in whatever order."""
    term = b.source(item)
    source = term.operand(0)
    moved = term.op in (RESHAPED, "Transpose") or (term.op == VIEW and _is_permutation(b, term))
    return item if source is None or not moved else _whole(b, source)


def _is_permutation(b: Builder, term: GraphTerm) -> bool:
    sizes, places = b.table.sizes(term.operand(0)), term.places
    if sizes is None or places is None or places.size != math.prod(sizes):
        return False
    return np.unique(places).size == places.size


def _moved(b: Builder, like: int, item: int) -> int | None:
    term = b.source(like)
    if term.op in (RESHAPED, VIEW, "Transpose"):
        return again(b, like, item)
    return b.make(term.op, [item, *term.operands[1:]], dict(term.attributes))[0]


def _start(b: Builder, zero: int | None) -> object:
    """Return the code of 0 where it is one number, else what tells it apart."""
    held = b.table.held(zero)
    if zero is None:
        return 0
    return (zero,) if held is None or not held.is_number else held.number


def _is_own(b: Builder, source: int, scale: int, zero: int | None) -> bool:
    """Tell whether scale and zero point are those that `dynamic` tells from the values themselves."""
    if zero is None or not b.source(scale).op == b.source(zero).op == RESULT:
        return False
    first, other = b.source(scale).operands[0], b.source(zero).operands[0]
    if first is None or first != other:
        return False
    told = b.source(first)
    return told.op == "DynamicQuantizeLinear" and told.operands[0] == source


def _held(b: Builder, source: int, coder: Coder) -> int | None:
    """Return what a quantiser holds of its values, and note it; None if that is one value, or none."""
    span = span_of(b, source)
    if not coder.is_sound(b.table) or coder.is_blind(b.table, span):
        return None
    made, what = source, BELOW
    least, largest = coder.ends(b.table)
    if span[0] < 0 and not least.any():
        made = b.one("Relu", source)
    elif span[1] > 0 and not largest.any():
        made, what = b.one("Clip", source, None, b.constant(np.array(0, np.float32))), ABOVE
    if made != source:
        b.assumed[_before_movement(b, made)] = what
    nodes = b.coders[b.table.side].setdefault(coder, [])
    if b.table.origin is not None:
        nodes.append(b.table.origin)
    return made


def _before_movement(b: Builder, item: int) -> int:
    """Return what a term moves: functions go before movements."""
    while b.source(item).op in (RESHAPED, VIEW, "Transpose") and (source := b.source(item).operands[0]):
        item = source
    return item


def _decoded_first(b: Builder, call: Call) -> Results | None:
    """Decode a table by one scale, of whatever sign, before it is looked up and moved."""
    moves, codes = _unmoved(b, call.operands[0])
    if not moves or not b.is_constant(codes) or b.table.shape(call.operands[1]) != ():
        return None
    if any(b.source(like).op == "MaxPool" for like in moves):
        return None
    made = b.make("DequantizeLinear", [codes, *call.operands[1:]], call.attributes, call.opset)[0]
    for like in reversed(moves):
        made = None if made is None else _moved(b, like, made)
    return None if made is None else [made]


def product_of_codes(b: Builder, call: Call) -> Results | None:
    """Multiply or convolve what the codes stand for; the result counts in steps of the scales."""
    op = "Conv" if call.op == "ConvInteger" else "MatMul"
    factors: list[int] = []
    scales: list[int] = []
    for place in (0, 1):
        codes, zero = call.operands[place], call.operand(place + 2)
        held = b.table.held(codes)
        if held is not None and (zero is None or b.is_constant(zero)):
            numbers = _less(held.read(), b.table.held(zero), op, place)
            factors.append(b.constant(_in_codes(numbers)))
            continue
        moves, quantiser = _quantiser(b, codes, zero)
        scale = None if quantiser is None else quantiser.operand(1)
        if quantiser is None or scale is None or b.table.shape(scale) != ():
            return None
        made = _values(b, moves, quantiser)
        if made is None:
            return None
        factors.append(made)
        scales.append(scale)
    item = b.one(op, *factors, attributes=call.attributes if op == "Conv" else {})
    for scale in scales:
        item = _in_steps(b, item, scale, np.dtype(np.int32))
    return [item] if scales else None


def _in_codes(numbers: Array) -> Constant:
    """Return codes as a constant, a step of 1 from each other."""
    steps = np.broadcast_to(np.float32(1), numbers.shape)
    return replace(constant_of(numbers), steps=lambda: steps)


def _less(codes: Array, start: Constant | None, op: str, place: int) -> Array:
    """Return codes as floats, less their zero point: one, or one a row, a column or an output channel."""
    numbers = codes.astype(np.float32)
    if start is None:
        return numbers
    offset = start.read().astype(np.float32)
    rows = offset.size > 1 and offset.ndim == 1 and (op == "Conv" or place == 0)
    last = 1 if op == "MatMul" else numbers.ndim - 1
    result: Array = numbers - (offset.reshape(-1, *[1] * last) if rows else offset)
    return result


def _in_steps(b: Builder, item: int, scale: int, kind: np.dtype[Any]) -> int:
    """Return values counted in steps of a scale: codes, but for what rounds."""
    type_ = Type(kind, b.table.shape(item))
    return b.table.term("QuantizeLinear", [(_STEPS, kind.name)], [item, scale], type_)


def _counts(term: GraphTerm) -> bool:
    return any(name == _STEPS for name, _ in term.attributes)


def _counted(b: Builder, item: int | None) -> tuple[int, int] | None:
    """Return the values that are counted in steps, and the scale; None for any other term."""
    term = None if item is None else b.source(item)
    value, scale = term.operands if term is not None and _counts(term) else (None, None)
    return None if value is None or scale is None else (value, scale)


def uncounted(b: Builder, call: Call) -> Results | None:
    """Multiply what is counted in steps of a scale by that scale, which gives the values."""
    for place in (0, 1):
        item, factor = call.operands[place], call.operands[1 - place]
        counted = _counted(b, item)
        if counted is None or factor is None:
            continue
        value, scale = counted
        rest = _quotient(b, factor, scale)
        if rest is not None:
            return [b.one("Mul", value, rest)]
        if b.is_constant(factor):
            return [_in_steps(b, b.one("Mul", value, factor), scale, np.dtype(np.float32))]
    return None


def _quotient(b: Builder, factor: int, scale: int) -> int | None:
    """Return what is left of a product without one of its factors, None if it has no such factor."""
    term = b.source(factor)
    if factor == scale:
        return b.constant(np.array(1, np.float32))
    if b.is_constant(factor) and b.is_constant(scale):
        return b.one("Div", factor, scale)
    if term.op == RESHAPED and term.operands[0] == scale:
        return b.constant(np.ones(dict(term.attributes)["shape"], np.float32))
    if term.op != "Mul":
        return None
    for place in (0, 1):
        one, other = term.operands[place], term.operands[1 - place]
        rest = None if one is None else _quotient(b, one, scale)
        if rest is not None:
            return b.one("Mul", rest, other)
    return None


def scaled(b: Builder, call: Call) -> Results | None:
    """Multiply weights and bias by what their product is multiplied by, one number or one an output."""
    for place in (0, 1):
        found = (
            moved_from(b, call.operands[place]) if b.number(call.operands[1 - place]) is not None else None
        )
        if found is not None and _linear(b, found[1]) is not None:
            before = scaled(b, replace(call, operands=(found[1], call.operands[1 - place])))
            made = None if before is None or before[0] is None else again(b, found[0], before[0])
            return None if made is None else [made]
    scaling = scaling_of(b, call.operands)
    return None if scaling is None else _multiplied(b, *scaling, np.zeros(()))


def rounds(b: Builder, term: GraphTerm) -> bool:
    """Tell whether level 2 leaves an operation out, or multiplies it into weights."""
    return term.op in _ROUNDING or (term.op == "Mul" and scaling_of(b, term.operands) is not None)


def scaling_of(b: Builder, operands: Sequence[int | None]) -> tuple["Linear", Array] | None:
    """Return the product with weights that one of two factors is, and the other: numbers of its outputs."""
    for item, other in (operands, operands[::-1]):
        factor, found = b.table.held(other), None if item is None else _linear(b, item)
        if factor is None or found is None or not factor.is_float:
            continue
        if factor.shape in ((), (1,), found.along_outputs):
            return found, np.float64(factor.read()).reshape(-1)
    return None


def normalised(b: Builder, call: Call) -> Results | None:
    """Fold a BatchNormalization into the convolution or product before it."""
    item = call.operands[0]
    if item is None or call.results > 1 or call.get("training_mode"):
        return None
    statistics = [b.table.held(other) for other in call.operands[1:5]]
    found = _linear(b, item)
    if found is None or None in statistics or not _has_channels(b, found):
        return None
    scale, shift, mean, variance = (np.float64(held.read()) for held in statistics if held is not None)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + call.get("epsilon", 1e-5))
    if found.weights.shape[found.along] != factor.size:
        return None
    b.drop(FOLDED)
    return _multiplied(b, found, factor, shift - mean * factor)


def _has_channels(b: Builder, found: "Linear") -> bool:
    """Tell whether outputs are the second axis, as the columns of a matrix are."""
    shapes = found.weights.shape, b.table.shape(found.term.operands[0])
    return found.term.op != "MatMul" or all(shape is not None and len(shape) == 2 for shape in shapes)


@dataclass(frozen=True)
class Linear:
    """An operation with weights, and a bias that is a constant; ``along`` is the weights' axis of outputs."""

    term: GraphTerm
    weights: Constant
    bias: Constant | None
    along: int

    @property
    def along_outputs(self) -> tuple[int, ...]:
        """The shape of what has one number for each output, as it is laid on the last axes of the results."""
        behind = 0 if self.term.op == "MatMul" else len(self.weights.shape) - 2
        return (self.weights.shape[self.along], *[1] * behind)


def _linear(b: Builder, item: int) -> Linear | None:
    """Return the operation with weights that a term is, with what is added to its outputs."""
    term, bias = b.source(item), None
    if term.op == "Add" and term.operands[0] is not None and b.is_constant(term.operands[1]):
        bias = b.table.held(term.operands[1])
        term = b.source(term.operands[0])
        if term.op != "MatMul" or bias is None or len(bias.shape) > 1:
            return None
    elif term.op in ("Conv", "ConvTranspose") and len(term.operands) > 2:
        bias = b.table.held(term.operands[2])
        if bias is None and term.operands[2] is not None:
            return None
    held = b.table.held(term.operands[1]) if term.op in _ALONG else None
    grouped = term.op == "ConvTranspose" and dict(term.attributes).get("group", 1) != 1
    if held is None or grouped or len(held.shape) < 2:
        return None
    along = _ALONG[term.op] % len(held.shape)
    return Linear(term, held, bias, along) if bias is None or bias.size in (1, held.shape[along]) else None


_ALONG = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}
"""The axis of the outputs, of weights."""


def _times(b: Builder, held: Constant, factor: Array) -> int:
    """Multiply weights by numbers; those that are codes are so still, in other steps."""
    with np.errstate(all="ignore"):
        made, steps = constant_of((held.read() * factor).astype(held.dtype)), held.steps
    return b.constant(made if steps is None else replace(made, steps=lambda: steps() * abs(factor)))


def _multiplied(b: Builder, found: Linear, factor: Array, shift: Array) -> Results | None:
    """Multiply weights and bias by a factor, one or one an output, and add to the bias."""
    held, bias, term = found.weights, found.bias, found.term
    shape = [1] * len(held.shape)
    shape[found.along] = -1
    weights = _times(b, held, factor.reshape(shape))
    operands = [term.operands[0], weights]
    if bias is None and not shift.any():
        return b.make(term.op, operands, dict(term.attributes))
    with np.errstate(all="ignore"):
        moved = (0.0 if bias is None else np.float64(bias.read()).reshape(-1)) * factor + shift
        added = b.constant(np.broadcast_to(moved, held.shape[found.along]).astype(held.dtype))
    if term.op == "MatMul":
        return [b.one("Add", b.one("MatMul", *operands), added)]
    return b.make(term.op, [*operands, added], dict(term.attributes))


RULES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("Cast", "CastLike"), (cast,)),
    "DequantizeLinear": (decoded,),
    "DynamicQuantizeLinear": (dynamic,),
    **dict.fromkeys(("ConvInteger", "MatMulInteger"), (product_of_codes,)),
    "Mul": (uncounted, scaled),
    "BatchNormalization": (normalised,),
}
