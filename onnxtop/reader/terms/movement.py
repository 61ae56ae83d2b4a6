"""Elements that only change places: any chain of such operations is one map of places.

Functions of one number go before the movement, so that chains meet. Where sizes are open, what stays is a
chain of transpositions and shapes.
"""

import hashlib
from collections.abc import Callable
from math import prod

import numpy as np

from onnxtop.reader.declared import Shape
from onnxtop.reader.equation import letters_of
from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import Call
from onnxtop.reader.terms.constant import Constant, constant_of
from onnxtop.reader.terms.table import RESHAPED, VIEW, GraphTerm, Places, Type
from onnxtop.reader.terms.types import types_of

_MOST = 2**20
"""Elements whose places are followed."""

FUNCTIONS = frozenset(
    (
        *("Abs", "Ceil", "Celu", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
        *("HardSwish", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid"),
        *("Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu"),
    )
)
"""Functions of one number, with constants beside it at most."""

_CHAIN = (RESHAPED, "Transpose", VIEW)


def reshaped(b: Builder, item: int, shape: Shape) -> int:
    """Return a term's elements in another shape, of which one size at most may be unknown."""
    term, table = b.source(item), b.table
    if term.constant is not None and None not in shape:
        held = term.constant
        sizes = tuple(size or 0 for size in shape)
        steps = held.steps
        return b.constant(
            Constant(
                held.dtype,
                sizes,
                held.digest,
                lambda: np.reshape(held.read(), sizes),
                held.made,
                steps=None if steps is None else lambda: np.reshape(steps(), sizes),
            )
        )
    if table.shape(item) == shape and shape.count(None) <= 1:
        return item
    source = term.operands[0] if term.operands else None
    if term.op == RESHAPED and source is not None:
        return reshaped(b, source, shape)
    factor = _factor(b, term)
    if factor is not None and term.operands[0] is not None:
        return _scaled(b, reshaped(b, term.operands[0], shape), factor)
    if term.op in _CHAIN and None not in shape:
        made = viewed(b, item, lambda places: places.reshape([size or 0 for size in shape]))
        if made is not None:
            return made
    kind = None if term.type is None else Type(term.type.dtype, shape)
    return table.term(RESHAPED, [("shape", shape)], [item], kind)


def viewed(b: Builder, item: int, move: Callable[[Places], Places]) -> int | None:
    """Return a term's elements moved, as a view of their source; None where sizes are open or large."""
    chain, base = [], item
    while b.source(base).op in _CHAIN:
        chain.append(b.source(base))
        following = b.source(base).operands[0]
        assert following is not None
        base = following
    sizes = b.table.sizes(base)
    if not sizes or min(sizes) < 1 or prod(sizes) > _MOST:
        return None
    term = b.source(base)
    factor = _factor(b, term)
    if factor is not None and term.operands[0] is not None:
        base = term.operands[0]
    places: Places = np.arange(prod(sizes), dtype=np.int32).reshape(sizes)
    for step in reversed(chain):
        places = _stepped(places, step)
    places = move(places)
    if not 0 < places.size <= _MOST:  # what holds nothing is no map of anything
        return None
    made = _view(b, base, places, sizes)
    return made if factor is None else _scaled(b, made, factor)


def _view(b: Builder, base: int, places: Places, sizes: tuple[int, ...]) -> int:
    shape = tuple(map(int, places.shape))
    if places.size == prod(sizes) and _is_in_order(places.reshape(-1)):
        return reshaped(b, base, shape)
    digest = hashlib.blake2b(np.ascontiguousarray(places).data, digest_size=16).hexdigest()
    kind = b.source(base).type
    attributes = [("places", digest), ("shape", shape)]
    return b.table.term(VIEW, attributes, [base], None if kind is None else Type(kind.dtype, shape), places)


def _is_in_order(places: Places) -> bool:
    """Tell whether places follow each other, by the first of them where these do not."""
    return bool((np.diff(places[:64]) == 1).all() and (np.diff(places) == 1).all())


def _stepped(places: Places, step: GraphTerm) -> Places:
    attributes = dict(step.attributes)
    if step.places is not None:
        return places.reshape(-1)[step.places]
    if step.op == RESHAPED:
        return places.reshape(attributes["shape"])
    return places.transpose(attributes.get("perm"))


def again(b: Builder, like: int, item: int) -> int | None:
    """Return a term moved as another one is moved from its source."""
    term = b.source(like)
    if term.op == RESHAPED:
        return reshaped(b, item, dict(term.attributes)["shape"])
    if term.op == "Transpose":
        return b.one("Transpose", item, attributes=dict(term.attributes))
    places = term.places
    if places is None:
        return None
    return viewed(b, item, lambda own: own.reshape(-1)[places])


def _factor(b: Builder, term: GraphTerm) -> int | None:
    """Return the one number that a term is multiplied by, if that leaves its shape as it is."""
    if term.op != "Mul" or b.number(term.operands[1]) is None or b.is_constant(term.operands[0]):
        return None
    first, rank = b.table.shape(term.operands[0]), b.table.shape(term.operands[1])
    keeps = term.type is not None and first == term.type.shape and first is not None and rank is not None
    return term.operands[1] if keeps and len(rank or ()) <= 1 <= len(first or ()) else None


def _scaled(b: Builder, item: int, factor: int) -> int:
    kind = b.source(item).type
    if not b.table.shape(item) and b.table.shape(factor):
        factor = reshaped(b, factor, ())
    return b.table.term("Mul", [], [item, factor], kind)


def transpose(b: Builder, call: Call) -> Results | None:
    """Join transpositions; one that moves axes of size 1 alone is another shape."""
    item = call.operands[0]
    if item is None:
        return None
    shape, term = b.table.shape(item), b.source(item)
    order = call.get("perm") or (None if shape is None else tuple(range(len(shape)))[::-1])
    if order is None:
        return None
    if term.op == "Transpose" and dict(term.attributes).get("perm"):
        before = dict(term.attributes)["perm"]
        return b.make("Transpose", term.operands, {"perm": tuple(before[axis] for axis in order)})
    if list(order) == sorted(order):
        return [item]
    sizes = b.table.sizes(item)
    if sizes is not None:
        made = viewed(b, item, lambda places: places.transpose(order))
        if made is not None:
            return [made]
    return b.plain(Call("Transpose", {"perm": tuple(order)}, (item,)))


def reshape(b: Builder, call: Call) -> Results | None:
    """Write every operation that keeps the elements' order as the shape that it makes."""
    item = call.operands[0]
    (kind,) = types_of(b.table, call)
    if item is None or kind is None or kind.shape is None or kind.shape.count(None) > 1:
        return None
    before = b.table.sizes(item)
    if before is not None and None not in kind.shape and prod(before) != prod(s or 0 for s in kind.shape):
        return None
    return [reshaped(b, item, kind.shape)]


def moved(b: Builder, call: Call) -> Results | None:
    """Run a movement whose places are constant on the places of its operand."""
    item = call.operands[0]
    sizes = b.table.sizes(item)
    if item is None or sizes is None or not 0 < prod(sizes) <= _MOST:
        return None
    more = [b.table.held(other) for other in call.operands[1:]]
    if any(held is None and other is not None for held, other in zip(more, call.operands[1:], strict=True)):
        return None
    own = constant_of(np.arange(prod(sizes), dtype=np.int32).reshape(sizes))
    results = b.folding.results(call, [own, *more])
    if results is None or any(result.size > _MOST or not result.size for result in results):
        return None
    made = [viewed(b, item, _taken(result)) for result in results]
    return None if None in made else list(made)


def _taken(result: Constant) -> Callable[[Places], Places]:
    return lambda places: places.reshape(-1)[result.read()]


def moved_from(b: Builder, item: int | None) -> tuple[int, int] | None:
    """Return the movement that a term is, and what is moved; a number it is multiplied by goes before."""
    if item is None:
        return None
    factor = _factor(b, b.source(item))
    moved = item if factor is None else b.source(item).operands[0]
    if moved is None or b.source(moved).op not in _CHAIN:
        return None
    source = b.source(moved).operands[0]
    if factor is not None:
        source = b.one("Mul", source, reshaped(b, factor, ()))
    return None if source is None else (moved, source)


def function_before(b: Builder, call: Call) -> Results | None:
    """Apply a function of one number before elements are moved."""
    if not all(other is None or b.is_constant(other) for other in call.operands[1:]):
        return None
    found = moved_from(b, call.operands[0])
    if found is None:
        return None
    moved, source = found
    before = b.make(call.op, [source, *call.operands[1:]], call.attributes, call.opset)
    made = None if before[0] is None else again(b, moved, before[0])
    return None if made is None else [made]


def einsum(b: Builder, call: Call) -> Results | None:
    """Write an equation that only names axes in another order as a transposition."""
    item, equation = call.operands[0], call.get("equation")
    shape = b.table.shape(item)
    if len(call.operands) != 1 or shape is None or not isinstance(equation, bytes):
        return None
    (letters,), result = letters_of(equation.decode(), [len(shape)])
    if len({*letters}) < len(letters) or sorted(letters) != sorted(result):
        return None
    return [b.one("Transpose", item, attributes={"perm": tuple(map(letters.index, result))})]


def rows_first(b: Builder, call: Call) -> Results | None:
    """Compute along the last axis before those in front of it are laid out anew."""
    item, axis = call.operands[0], call.get("axis")
    after = b.table.shape(item)
    if item is None or after is None or axis != len(after) - 1:
        return None
    if b.source(item).op == VIEW and len(after) > 2 and None not in after:
        flat = reshaped(b, item, (prod(size or 0 for size in after[:-1]), after[-1]))
        return [reshaped(b, b.one(call.op, flat, attributes={**call.attributes, "axis": 1}), after)]
    if b.source(item).op != RESHAPED:
        return None
    source = b.source(item).operands[0]
    before = b.table.shape(source)
    if not before or before[-1] is None or before[-1] != after[-1]:
        return None
    made = b.one(call.op, source, attributes={**call.attributes, "axis": len(before) - 1})
    return [reshaped(b, made, after)] if after.count(None) <= 1 else None


RULES: dict[str, tuple[Rule, ...]] = {
    "Einsum": (einsum,),
    **dict.fromkeys(("LogSoftmax", "Softmax"), (rows_first,)),
    "Transpose": (transpose,),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), (reshape,)),
    **dict.fromkeys(
        ("DepthToSpace", "Expand", "Gather", "GatherND", "Slice", "SpaceToDepth", "Split", "Tile"), (moved,)
    ),
    **dict.fromkeys(FUNCTIONS, (function_before,)),
}
