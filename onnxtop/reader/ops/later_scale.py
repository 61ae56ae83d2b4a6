"""The scale of codes that is multiplied onto the result of an integer product, told from the activation's.

The result of such a product is in units of both operands' scales. What follows multiplies it by them: one
after the other, as a product that is computed, or as one number. The activation's own scale is found where
its codes are made, and taken out of the factors; what is left belongs to the weight.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from onnxtop.reader.constants import UnreadableConstantError
from onnxtop.reader.evaluate import MOVEMENT
from onnxtop.reader.model import Node, Value
from onnxtop.reader.reading import Array, Call
from onnxtop.reader.search import reached

_CLOSE = 1e-6
_MOST = 32  # products of products that are looked into


@dataclass(frozen=True)
class Factors:
    """Constants that an integer product is multiplied by; ``known`` if they are the weight's scale alone.

    ``activation`` is the constant scale of the activation, where it is among the factors.
    """

    weight: tuple[Value, ...]
    known: bool
    activation: Value | None = None


@dataclass(frozen=True)
class _Activation:
    """What is known of the activation's scale.

    ``value`` is it, or its inverse; ``table`` the constant codes that an activation is looked up in. Neither
    for codes that are an input of the model, or are made in a way that is not understood.
    """

    value: Value | None = None
    inverse: bool = False
    table: Value | None = None
    is_input: bool = False


def factors_after(call: Call, position: int) -> Factors:
    """Return the constants by which the result of an integer product is scaled, for its operand's codes."""
    groups = [[*_leaves(call, value)] for value in _multipliers(call)]
    activation = _activation(call, 1 - position)
    own = _own_scale(call, position, activation, groups)
    if own is not None:
        groups = [[value for value in group if value is not own] for group in groups]
    constant = [[value for value in group if value in call.constants] for group in groups]
    left = next((group for group in constant if group), [])
    told = own is not None or activation.is_input or _moves(call, activation)
    if activation.value is None:
        told = told or any(_is_moving(call, value, activation) for group in groups for value in group)
    if not told:  # what hides the activation's scale is right up to one factor, whichever that is
        left = [value for group in constant for value in group]
    scale = own if own is not None and own in call.constants else None
    return Factors(tuple(left), told and bool(left), scale)


def _moves(call: Call, activation: _Activation) -> bool:
    """Tell whether the activation's scale is computed as the model runs: no constant can hide it."""
    return activation.value is not None and activation.value not in call.constants


def _is_moving(call: Call, value: Value, activation: _Activation) -> bool:
    """Tell whether a factor may be the activation's scale: computed, or looked up as its codes are."""
    node = call.model.producers.get(value)
    looked_up = (
        node is not None
        and (node.domain, node.op_type) == ("", "Gather")
        and node.inputs[0] in call.constants
    )
    return value not in call.constants and (activation.table is None or looked_up)


def _multipliers(call: Call) -> Iterator[Value]:
    """Yield what the result is multiplied by, in order, through casts and what is added in between."""
    value = call.node.outputs[0]
    while True:
        uses = call.model.users.get(value, ())
        if len(uses) != 1 or uses[0].node.domain:
            return
        node, position = uses[0].node, uses[0].position
        if node.op_type not in ("Add", "Cast", "DequantizeLinear", "Identity", "Mul"):
            return
        if node.op_type in ("DequantizeLinear", "Mul") and (factor := node.inputs[1 - position]) is not None:
            yield factor
        value = node.outputs[0]


def _leaves(call: Call, value: Value) -> Iterator[Value]:
    """Yield the factors of a product of scales, in order; others are what they are."""
    stack, opened = [value], 0
    while stack:
        item = stack.pop()
        node = call.model.producers.get(item)
        if node is not None and not node.domain and node.op_type == "Mul" and opened < _MOST:
            opened += 1
            stack += [factor for factor in reversed(node.inputs) if factor is not None]
        elif node is not None and _passes(node) and item not in call.constants and node.inputs[0]:
            stack.append(node.inputs[0])
        else:
            yield item


def _passes(node: Node) -> bool:
    return not node.domain and bool(node.inputs) and (node.op_type in MOVEMENT or node.op_type == "Cast")


def _activation(call: Call, position: int) -> _Activation:
    """Follow the other operand back to what made its codes."""
    value, seen = call.operand(position), set[int]()
    while value is not None:
        value = call.model.carried.get(value, value)
        if value in call.constants:
            return _table(call, value)
        node = call.model.producers.get(value)
        if node is None:
            return _Activation(is_input=value in call.model.inputs)
        if node.index in seen:
            return _Activation()
        seen.add(node.index)
        made = _quantised(call, node)
        if made is not None:
            return made
        value = node.inputs[0] if node.inputs else None
    return _Activation()


def _quantised(call: Call, node: Node) -> _Activation | None:
    """Return the scale by which a node makes codes of floats, None if it is not such a node."""
    if not node.domain and node.op_type == "DynamicQuantizeLinear":
        return _Activation(node.outputs[1] if len(node.outputs) > 1 else None)
    if not node.domain and node.op_type == "QuantizeLinear":
        return _Activation(node.inputs[1])
    if not node.domain and node.op_type in ("Div", "Mul"):
        return _Activation(node.inputs[1], inverse=node.op_type == "Mul")
    return None


def _table(call: Call, codes: Value) -> _Activation:
    """Return what is known of constant codes: a scale by which they are decoded elsewhere, or their name."""
    origin = call.constants.origin(codes)
    for here in reached([codes], partial(_looked_up, call)):
        for use in call.model.users.get(here, ()):
            if use.position == 0 and not use.node.domain and use.node.op_type == "DequantizeLinear":
                return _Activation(use.node.inputs[1], table=origin)
    return _Activation(table=origin)


def _looked_up(call: Call, codes: Value) -> list[Value]:
    """Return what codes are called where they are moved, or some of them looked up."""
    users = (use.node for use in call.model.users.get(codes, ()) if use.position == 0)
    return [value for node in users if _passes(node) or node.op_type == "Gather" for value in node.outputs]


def _own_scale(call: Call, position: int, activation: _Activation, groups: list[list[Value]]) -> Value | None:
    """Return which of the factors is the activation's scale."""
    every = [value for group in groups for value in group]
    if activation.value is not None:
        wanted = _origin(call, activation.value)
        same = [value for value in every if not activation.inverse and _origin(call, value) == wanted]
        return next(iter(same or [v for v in every if _equal(call, v, activation)]), None)
    if activation.table is None:
        return None
    weight = call.operand(position)
    constant = [value for value in every if value in call.constants]
    theirs, ours = _stem(activation.table), _stem(call.constants.origin(weight)) if weight else ""
    named = [value for value in constant if theirs and _stem(_origin(call, value)) == theirs != ours]
    pair = next((group for group in groups if len(group) == 2 and all(v in constant for v in group)), [])
    if not named and ours != theirs:  # one of two is the weight's
        named = [value for value in pair if not ours or _stem(_origin(call, value)) != ours]
    if len(named) != 1:  # of two, the one with an entry for each output is the weight's
        named = [value for value in pair if call.constants.size(value) == 1]
    return named[0] if len(named) == 1 else None


def _origin(call: Call, value: Value) -> Value:
    """Return what a scale is before any movement."""
    while (node := call.model.producers.get(value)) is not None and _passes(node) and node.inputs[0]:
        value = node.inputs[0]
    return value


def _stem(value: Value) -> str:
    """Return a name without its last part: what codes, scale and zero point of one tensor share."""
    return value.name[: max(0, *map(value.name.rfind, "._/:"))]


def _equal(call: Call, value: Value, activation: _Activation) -> bool:
    ours, theirs = _numbers(call, value), _numbers(call, activation.value)
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = 1 / theirs if activation.inverse else theirs
    return bool(np.allclose(ours, wanted, rtol=_CLOSE, atol=0))


def _numbers(call: Call, value: Value | None) -> Array | None:
    if value is None or value not in call.constants:
        return None
    try:
        return np.ravel(call.constants.read(value)).astype(np.float64)
    except (UnreadableConstantError, ValueError):
        return None
