"""The scale of codes that is multiplied onto the result of an integer product, told from the activation's.

The result of such a product is in units of both operands' scales. What follows multiplies it by them, or
divides: one after the other, as a product that is computed, or as one number. The activation's own scale is
found where its codes are made, and taken out of the factors; what is left belongs to the weight. Where none
is found the codes are the weights up to one factor, unless what is not followed scales column by column.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from onnxtop.reader.constants import UnreadableConstantError
from onnxtop.reader.encoding import is_weight_type
from onnxtop.reader.forms import MOVEMENT
from onnxtop.reader.model import Node, Value
from onnxtop.reader.reading import Array, OpCall
from onnxtop.reader.search import reached

_CLOSE = 1e-6
_MOST = 32  # products of products that are looked into


@dataclass(frozen=True)
class Factor:
    """What an integer product is multiplied by, or divided if ``inverse``."""

    value: Value
    inverse: bool = False


@dataclass(frozen=True)
class Factors:
    """Constants that an integer product is multiplied by; ``known`` if they are the weight's scale alone.

    ``activation`` is the constant scale of the activation, where it is among the factors. ``uneven`` says
    that none was found, though further on constants scale each column of the result for itself.
    """

    weight: tuple[Factor, ...]
    known: bool
    activation: Value | None = None
    uneven: bool = False


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


def factors_after(call: OpCall, position: int) -> Factors:
    """Return the constants by which the result of an integer product is scaled, for its operand's codes."""
    groups, end = _applied(call, position)
    activation = _activation(call, 1 - position)
    own = _own_scale(call, position, activation, groups)
    if own is not None:
        groups = [[factor for factor in group if factor is not own] for group in groups]
    constant = [[factor for factor in group if factor.value in call.constants] for group in groups]
    left = next((group for group in constant if group), [])
    told = own is not None or activation.is_input or _moves(call, activation)
    if activation.value is None:
        told = told or any(_is_moving(call, each.value, activation) for group in groups for each in group)
    if not told:  # what hides the activation's scale is right up to one factor, whichever that is
        left = [factor for group in constant for factor in group]
    scale = own.value if own is not None and not own.inverse and own.value in call.constants else None
    return Factors(tuple(left), told and bool(left), scale, not left and _is_scaled_by_column(call, end))


def _moves(call: OpCall, activation: _Activation) -> bool:
    """Tell whether the activation's scale is computed as the model runs: no constant can hide it."""
    return activation.value is not None and activation.value not in call.constants


def _is_moving(call: OpCall, value: Value, activation: _Activation) -> bool:
    """Tell whether a factor may be the activation's scale: computed, or looked up as its codes are."""
    node = call.model.producers.get(value)
    looked_up = (
        node is not None
        and (node.domain, node.op_type) == ("", "Gather")
        and node.inputs[0] in call.constants
    )
    return value not in call.constants and (activation.table is None or looked_up)


def _applied(call: OpCall, position: int) -> tuple[list[list[Factor]], Value]:
    """Return what scales the result, a group for each node that does so, and the value that is left then.

    Numbers of one entry are followed through whatever moves the result; columns only where a Reshape keeps
    their order, and a factor has one entry for each of them.
    """
    groups, value = list[list[Factor]](), call.node.outputs[0]
    sizes: tuple[int, ...] | None = None  # the last axes, of all that was moved; () if they are not known
    while len(uses := call.model.users.get(value, ())) == 1:
        node, place = uses[0].node, uses[0].position
        other = _scale(node, place)
        if other is not None:
            group = [*_leaves(call, other, inverse=node.op_type == "Div")]
            follows = sizes is None or _run_along(call, position, node, other, sizes)
            if not follows or any(_cuts(call, each) for each in group):
                break
            groups.append(group)
        elif _passes(node) and place == 0 and node.op_type not in ("Cast", "Identity"):
            sizes = _target(call, node) if sizes != () else ()
        elif node.domain or node.op_type not in ("Add", "Cast", "Identity"):
            break
        value = node.outputs[0]
    return groups, value


def _scale(node: Node, place: int) -> Value | None:
    """Return what a node multiplies its input by, or divides it by; None if it does neither."""
    scales = node.op_type in ("DequantizeLinear", "Mul") or (node.op_type == "Div" and place == 0)
    return node.inputs[1 - place] if scales and not node.domain and place < 2 else None


def _cuts(call: OpCall, factor: Factor) -> bool:
    """Tell whether a factor divides integers, which leaves no fractions."""
    held = factor.inverse and factor.value in call.constants
    return held and not is_weight_type(call.constants.stored_as(factor.value))


def _target(call: OpCall, node: Node) -> tuple[int, ...]:
    """Return the sizes that a Reshape gives its result, () if another node moves it or they are computed."""
    target = node.inputs[1] if node.op_type == "Reshape" and len(node.inputs) > 1 else None
    return tuple(call.constants.read(target).ravel().tolist()) if target in call.constants and target else ()


def _run_along(call: OpCall, position: int, node: Node, scale: Value, sizes: tuple[int, ...]) -> bool:
    """Tell whether a scale still has one entry for all, or one for each column, in their order."""
    columns = call.shape(1)[-1] if (call.node.op_type, position) == ("MatMulInteger", 1) else 0
    wide = [each for each in _leaves(call, scale) if _is_wide(call, each.value)]
    straight = {each.value for each in _leaves(call, scale, moved=False)}
    return all(
        each.value in straight
        and node.op_type != "DequantizeLinear"
        and math.prod(shape := _without_ones(call.constants.shape(each.value))) == columns
        and sizes[len(sizes) - len(shape) :] == shape
        for each in wide
    )


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape from its first axis of more than one entry on."""
    return shape[next((axis for axis, size in enumerate(shape) if size != 1), len(shape)) :]


def _is_wide(call: OpCall, value: Value) -> bool:
    return value in call.constants and call.constants.size(value) != 1


def _is_scaled_by_column(call: OpCall, value: Value) -> bool:
    """Tell whether constants of several entries scale a value, or what sums, moves and scales make of it."""
    for here in islice(reached([value], partial(_scaled_on, call)), _MOST):
        for use in call.model.users.get(here, ()):
            other = _scale(use.node, use.position)
            if other is not None and any(_is_wide(call, each.value) for each in _leaves(call, other)):
                return True
    return False


def _scaled_on(call: OpCall, value: Value) -> list[Value]:
    nodes = [
        use.node
        for use in call.model.users.get(value, ())
        if _scale(use.node, use.position) is not None
        or (use.position == 0 and _passes(use.node))
        or (not use.node.domain and use.node.op_type in ("Add", "Sub"))
    ]
    return [node.outputs[0] for node in nodes]


def _leaves(call: OpCall, value: Value, *, inverse: bool = False, moved: bool = True) -> Iterator[Factor]:
    """Yield the factors of a product of scales, in order; others are what they are.

    ``moved`` says whether to follow them to what they are before any movement.
    """
    stack, opened = [Factor(value, inverse)], 0
    while stack:
        item = stack.pop()
        node = call.model.producers.get(item.value)
        if node is not None and not node.domain and node.op_type in ("Div", "Mul") and opened < _MOST:
            opened += 1
            turned = (False, node.op_type == "Div")
            pairs = [*zip(node.inputs, turned, strict=False)]
            stack += [
                Factor(each, item.inverse != turn) for each, turn in reversed(pairs) if each is not None
            ]
        elif (
            moved
            and node is not None
            and _passes(node)
            and item.value not in call.constants
            and node.inputs[0]
        ):
            stack.append(Factor(node.inputs[0], item.inverse))
        else:
            yield item


def _passes(node: Node) -> bool:
    return not node.domain and bool(node.inputs) and (node.op_type in MOVEMENT or node.op_type == "Cast")


def _activation(call: OpCall, position: int) -> _Activation:
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


def _quantised(call: OpCall, node: Node) -> _Activation | None:
    """Return the scale by which a node makes codes of floats, None if it is not such a node."""
    if not node.domain and node.op_type == "DynamicQuantizeLinear":
        return _Activation(node.outputs[1] if len(node.outputs) > 1 else None)
    if not node.domain and node.op_type == "QuantizeLinear":
        return _Activation(node.inputs[1])
    if not node.domain and node.op_type in ("Div", "Mul"):
        return _Activation(node.inputs[1], inverse=node.op_type == "Mul")
    return None


def _table(call: OpCall, codes: Value) -> _Activation:
    """Return what is known of constant codes: a scale by which they are decoded elsewhere, or their name."""
    origin = call.constants.origin(codes)
    for here in reached([codes], partial(_looked_up, call)):
        for use in call.model.users.get(here, ()):
            if use.position == 0 and not use.node.domain and use.node.op_type == "DequantizeLinear":
                return _Activation(use.node.inputs[1], table=origin)
    return _Activation(table=origin)


def _looked_up(call: OpCall, codes: Value) -> list[Value]:
    """Return what codes are called where they are moved, or some of them looked up."""
    users = (use.node for use in call.model.users.get(codes, ()) if use.position == 0)
    return [value for node in users if _passes(node) or node.op_type == "Gather" for value in node.outputs]


def _own_scale(
    call: OpCall, position: int, activation: _Activation, groups: list[list[Factor]]
) -> Factor | None:
    """Return which of the factors is the activation's scale."""
    every = [factor for group in groups for factor in group]
    if activation.value is not None:
        wanted = _origin(call, activation.value)
        alike = (each for each in every if each.inverse == activation.inverse)
        same = [each for each in alike if _origin(call, each.value) == wanted]
        return next(iter(same or [each for each in every if _equal(call, each, activation)]), None)
    if activation.table is None:
        return None
    weight = call.operand(position)
    constant = [each for each in every if each.value in call.constants and not each.inverse]
    theirs, ours = _stem(activation.table), _stem(call.constants.origin(weight)) if weight else ""
    named = [each for each in constant if theirs and _stem(_origin(call, each.value)) == theirs != ours]
    pair = next((group for group in groups if len(group) == 2 and all(v in constant for v in group)), [])
    if not named and ours != theirs:  # one of two is the weight's
        named = [each for each in pair if not ours or _stem(_origin(call, each.value)) != ours]
    if len(named) != 1:  # of two, the one with an entry for each output is the weight's
        named = [each for each in pair if call.constants.size(each.value) == 1]
    return named[0] if len(named) == 1 else None


def _origin(call: OpCall, value: Value) -> Value:
    """Return what a scale is before any movement."""
    while (node := call.model.producers.get(value)) is not None and _passes(node) and node.inputs[0]:
        value = node.inputs[0]
    return value


def _stem(value: Value) -> str:
    """Return a name without its last part: what codes, scale and zero point of one tensor share."""
    return value.name[: max(0, *map(value.name.rfind, "._/:"))]


def _equal(call: OpCall, factor: Factor, activation: _Activation) -> bool:
    ours, theirs = _numbers(call, factor.value), _numbers(call, activation.value)
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = theirs if factor.inverse == activation.inverse else 1 / theirs
    return bool(np.allclose(ours, wanted, rtol=_CLOSE, atol=0))


def _numbers(call: OpCall, value: Value | None) -> Array | None:
    if value is None or value not in call.constants:
        return None
    try:
        return np.ravel(call.constants.read(value)).astype(np.float64)
    except (UnreadableConstantError, ValueError):
        return None
