"""What every operation does to hidden units: one function an operation, one table.

A rule marks what the node makes, or raises `UnsureError`; the units that reach the node are then held in
place. How operations move entries is said in `onnxtop.reader.lanes.movement`, and asked there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from onnxtop.gradient import rules as gradient
from onnxtop.landscape.units import UnitMark, UnitWalk, UnsureError, unmarked
from onnxtop.reader.lanes import lookups, movement
from onnxtop.reader.lanes.arrays import NONE, Ids, aligned, compressed
from onnxtop.reader.lanes.builder import GraphBuilder
from onnxtop.reader.lanes.recurrent import results
from onnxtop.reader.lanes.step import Lanes, Remarks, Step
from onnxtop.reader.lanes.walk import answers, results_of
from onnxtop.reader.lanes.weights import LayersOfNodes
from onnxtop.reader.model import Node, Value
from onnxtop.reader.schemas import RECURRENT

__all__ = ["RULES", "WITHOUT"]

Rule: TypeAlias = Callable[[UnitWalk, Node], None]


def _operand(walk: UnitWalk, value: Value | None) -> Value:
    """Return an operand that must be there, and of a known shape."""
    if value is None:
        raise UnsureError
    walk.shape(value)
    return value


def _mark(walk: UnitWalk, value: Value) -> UnitMark:
    return walk.marks.get(value) or unmarked(len(walk.shape(value)))


def _put(walk: UnitWalk, value: Value, ids: Ids, charge: int = 0) -> None:
    walk.marks[value] = UnitMark(compressed(ids), charge)


# Layers


def _read(walk: UnitWalk, data: Value, axis: int, weight: Value, weight_axis: int) -> None:
    """Let a weight read what lies along an axis of its operand."""
    mark = _mark(walk, data)
    length = walk.shape(weight)[weight_axis]
    if mark.ids.size == 1:
        walk.carry(weight, weight_axis, np.full(length, NONE, np.intp))
        return
    read = walk.along(mark.ids, axis)
    if read.size != length:
        raise UnsureError
    walk.carry(weight, weight_axis, read, mark.charge, -1)


def _made(walk: UnitWalk, node: Node, weight: Value, axis: int, bias: Value | None, place: int) -> None:
    """Mark what a weight makes, which lies along one axis of the result."""
    rank = len(walk.shape(node.outputs[0]))
    made, charge = walk.new(walk.shape(weight)[axis]), walk.new_charge()
    walk.carry(weight, axis, made, charge, 1)
    turn = [1] * rank
    turn[place] = -1
    mark = UnitMark(made.reshape(turn), charge)
    if bias is not None:
        _added(walk, mark, walk.shape(node.outputs[0]), bias)
    walk.marks[node.outputs[0]] = mark


def _added(walk: UnitWalk, mark: UnitMark, shape: Sequence[int], bias: Value) -> None:
    walk.meet(mark, shape, bias, 1)
    if walk.source(bias) is None:
        walk.spoil(mark.charge)


def _weight(walk: UnitWalk, value: Value | None) -> Value:
    if value is None or walk.source(value) is None:
        raise UnsureError
    return value


def Gemm(walk: UnitWalk, node: Node) -> None:
    data, weight = _operand(walk, node.inputs[0]), _weight(walk, node.inputs[1])
    attributes = node.attributes()
    if attributes.get("transA", 0) or walk.source(data) is not None:
        raise UnsureError
    into = 0 if attributes.get("transB", 0) else 1
    _read(walk, data, 1, weight, 1 - into)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    _made(walk, node, weight, into, bias, 1)


def MatMul(walk: UnitWalk, node: Node) -> None:
    data, other = (_operand(walk, value) for value in node.inputs)
    if walk.source(other) is None:
        _product(walk, node, data, other)
        return
    if walk.source(data) is not None or len(walk.shape(other)) != 2 or len(walk.shape(data)) < 2:
        raise UnsureError
    _read(walk, data, -1, other, 0)
    _made(walk, node, other, 1, None, -1)


def _product(walk: UnitWalk, node: Node, one: Value, two: Value) -> None:
    """Multiply two values: a score for each head, or a mixture of what its columns hold."""
    rank = len(walk.shape(node.outputs[0]))
    left, right = _mark(walk, one), _mark(walk, two)
    if one in walk.sources or min(len(walk.shape(one)), len(walk.shape(two))) < 2:
        raise UnsureError
    a, b = aligned(left.ids, rank), aligned(right.ids, rank)
    for sizes, ids in ((walk.shape(one), a), (walk.shape(two), b)):
        other = b if ids is a else a
        lead = rank - len(sizes)
        if any(
            other.shape[axis] > 1 and ids.shape[axis] == 1 and axis >= lead and sizes[axis - lead] > 1
            for axis in range(rank - 2)
        ):
            raise UnsureError  # one has heads of its own where the other has none
    if (a.shape[-1] > 1) != (b.shape[-2] > 1):
        raise UnsureError
    if a.shape[-1] > 1:
        if a.shape[-2] > 1 or b.shape[-1] > 1:
            raise UnsureError
        met = walk.relate(a.swapaxes(-1, -2), b)
        walk.spoil(left.charge)
        walk.spoil(right.charge)
        if any(size > 1 for size in met.shape[:-2]):
            heads = walk.new(int(np.prod(met.shape[:-2]))).reshape(*met.shape[:-2], 1, 1)
            for unit, head in zip(
                *(each.ravel().tolist() for each in np.broadcast_arrays(met, heads)), strict=True
            ):
                if unit >= 0:
                    walk.put_below(unit, head)
            _put(walk, node.outputs[0], heads)
        return
    ids = walk.relate(a, b)
    charges = walk.live([left.charge, right.charge])
    _put(walk, node.outputs[0], ids, charges[0] if len(charges) == 1 else _none(walk, charges))


def _none(walk: UnitWalk, charges: Sequence[int]) -> int:
    for charge in charges:
        walk.spoil(charge)
    return 0


def _convolution(walk: UnitWalk, node: Node, out_axis: int) -> None:
    data, weight = _operand(walk, node.inputs[0]), _weight(walk, node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    groups, shape, mark = node.attributes().get("group", 1), walk.shape(weight), _mark(walk, data)
    if groups == 1:
        _read(walk, data, 1, weight, 1 - out_axis)
        made, charge = walk.new(shape[out_axis]), walk.new_charge()
        walk.carry(weight, out_axis, made, charge, 1)
    elif out_axis == 0 and shape[0] == groups and shape[1] == 1:  # each unit has a kernel of its own
        made, charge = walk.along(mark.ids, 1), mark.charge
        walk.carry(weight, 0, made)
    else:
        raise UnsureError
    result = UnitMark(made.reshape(1, -1, *(1,) * (len(shape) - 2)), charge)
    if bias is not None:
        _added(walk, UnitMark(made, charge), (made.size,), bias)
    walk.marks[node.outputs[0]] = result


def recurrent(walk: UnitWalk, node: Node) -> None:
    """LSTM, GRU, RNN: a unit stands in every gate, and reads itself."""
    data, *weights = (_operand(walk, value) for value in node.inputs[:3])
    attributes = node.attributes()
    size, gates = walk.shape(weights[1])[2], walk.shape(weights[1])[1] // walk.shape(weights[1])[2]
    more = dict(enumerate(node.inputs))
    bias, start, cell, holes = (more.get(place) for place in (3, 5, 6, 7))
    if walk.shape(weights[1])[0] != 1 or any(walk.source(weight) is None for weight in weights):
        raise UnsureError  # two directions share their tensors
    if any(value is not None and not walk.is_uniform(value) for value in (start, cell)):
        raise UnsureError
    made, charge = walk.new(size), walk.new_charge()
    gate = {1: np.arange(size), 4: 3 * size + np.arange(size)}.get(gates)  # that the state has its sign from
    begins_at_zero = all(value is None or walk.is_uniform(value, 0.0) for value in (start, cell))
    odd = gate is not None and begins_at_zero and "activations" not in attributes
    walk.spoil(charge, odd=not odd)
    part = np.arange(0) if gate is None else gate
    _read(walk, data, 2, weights[0], 2)
    for weight in weights:
        walk.carry(weight, 1, np.tile(made, gates), charge, 1, part)
    walk.carry(weights[1], 2, made, charge, -1)
    twice = np.concatenate([part, gates * size + part])
    for value, count, power, where in ((bias, 2 * gates, 1, twice), (holes, 3, -1, None)):
        if value is not None and walk.source(value) is not None:
            walk.carry(value, 1, np.tile(made, count), charge, power, where)
        elif value is not None:
            walk.spoil(charge)
            if not walk.is_uniform(value):
                raise UnsureError
    outputs = results_of(node)
    marks = results(made.reshape(1, -1), attributes.get("layout", 0))
    for value, ids in zip(outputs, marks, strict=False):
        if value is not None:
            _put(walk, value, ids, charge)


# Entry by entry


def _pointwise(walk: UnitWalk, node: Node, *, additive: bool = False, product: bool = False) -> None:
    """Combine operands entry by entry; where tensors of theta alone have units, they start new ones."""
    operands = [_operand(walk, value) for value in node.inputs if value is not None]
    shape = walk.shape(node.outputs[0])
    marked = [value for value in operands if value in walk.marks]
    own = [value for value in operands if value not in walk.marks and walk.source(value) is not None]
    others = [value for value in operands if value not in walk.marks and value not in own]
    ids = np.full((1,) * len(shape), NONE, np.intp)
    for value in marked:
        ids = _meeting(walk, ids, aligned(walk.marks[value].ids, len(shape)), shape)
    charges = [walk.marks[value].charge for value in marked]
    charge = _charge_of(walk, node, charges, bool(own), others, additive=additive, product=product)
    for value in own:
        if not walk.carries_units(ids, shape, value):
            ids = _started(walk, ids, shape, value)
    power = 1 if additive else 0
    if not charge and product and own:
        charge, power = walk.new_charge(), 1
        if len(own) > 1 or node.op_type != "Mul":
            walk.spoil(charge)
    mark = UnitMark(ids, charge)
    for value in (*own, *others):
        walk.meet(mark, shape, value, power)
    if (ids >= 0).any() or marked:
        _put(walk, node.outputs[0], ids, charge)


def _meeting(walk: UnitWalk, one: Ids, two: Ids, shape: Sequence[int]) -> Ids:
    if not (one >= 0).any():
        return two
    if not (two >= 0).any():
        return one
    return walk.relate(one, two)


def _charge_of(
    walk: UnitWalk,
    node: Node,
    charges: Sequence[int],
    own: bool,
    others: Sequence[Value],
    *,
    additive: bool,
    product: bool,
) -> int:
    """Return the charge of a result: a sum's operands share it, one factor of a product has it."""
    charges = walk.live(charges) if product else charges
    constant = all(value in walk.constants for value in others)
    if additive and not others:
        return walk.same_charge(charges)
    first = node.inputs[0] in walk.marks
    if product and len(charges) == 1 and constant and (node.op_type == "Mul" or first):
        return charges[0]
    return _none(walk, charges)


def _started(walk: UnitWalk, ids: Ids, shape: Sequence[int], value: Value) -> Ids:
    """Give new units to an axis of a tensor of theta along which nothing else changes."""
    theirs = walk.shape(value)
    lead = len(shape) - len(theirs)
    wide = [axis for axis, size in enumerate(theirs) if size > 1]
    if len(wide) != 1 or ids.shape[lead + wide[0]] > 1:
        return ids
    turn = [1] * len(shape)
    turn[lead + wide[0]] = -1
    return walk.new(theirs[wide[0]]).reshape(turn)


def _unary(walk: UnitWalk, node: Node, *, odd: bool = True, positive: bool = True) -> None:
    """Hand units on; ``odd`` and ``positive`` say what a charge may not be."""
    data = _operand(walk, node.inputs[0])
    mark = _mark(walk, data)
    walk.marks[node.outputs[0]] = UnitMark(mark.ids, walk.spoil(mark.charge, odd=odd, positive=positive))


def PRelu(walk: UnitWalk, node: Node) -> None:
    data, slope = (_operand(walk, value) for value in node.inputs)
    mark = _mark(walk, data)
    walk.meet(replace(mark, charge=0), walk.shape(data), slope, 0)
    walk.marks[node.outputs[0]] = UnitMark(mark.ids, walk.spoil(mark.charge, odd=True, positive=False))


# Normalisation, pools, reductions


def _normalised(walk: UnitWalk, node: Node, axis: int) -> None:
    """Normalise: what comes out has a charge of its own, that of gain and shift."""
    data = _operand(walk, node.inputs[0])
    mark = _mark(walk, data)
    ids = walk.along(mark.ids, axis) if mark.ids.size > 1 else mark.ids.reshape(-1)
    walk.spoil(mark.charge)
    charge = walk.new_charge()
    for gain in node.inputs[1:3]:
        if gain is not None:
            _added(walk, UnitMark(ids, charge), (walk.shape(data)[axis],), gain)
    walk.marks[node.outputs[0]] = UnitMark(mark.ids, charge)


def BatchNormalization(walk: UnitWalk, node: Node) -> None:
    if not walk.batch_statistics:
        raise UnsureError
    _normalised(walk, node, 1)


def LayerNormalization(walk: UnitWalk, node: Node) -> None:
    if node.attributes().get("axis", -1) not in (-1, len(walk.shape(_operand(walk, node.inputs[0]))) - 1):
        raise UnsureError
    _normalised(walk, node, -1)


def _pool(walk: UnitWalk, node: Node, *, odd: bool = True, everywhere: bool = False) -> None:
    """Pool over positions; a global mean over units does not depend on their order."""
    data = _operand(walk, node.inputs[0])
    mark = _mark(walk, data)
    over = tuple(range(2, mark.ids.ndim))
    if any(mark.ids.shape[axis] > 1 for axis in over):
        if not everywhere:
            raise UnsureError
        _reduced(walk, node, mark, over, keep=True, linear=odd)
        return
    walk.marks[node.outputs[0]] = UnitMark(mark.ids, walk.spoil(mark.charge, odd=not odd, positive=False))


def _reduction(walk: UnitWalk, node: Node) -> None:
    data = _operand(walk, node.inputs[0])
    mark, attributes = _mark(walk, data), node.attributes()
    rank = mark.ids.ndim
    axes = attributes.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        array = walk.sizes.of(node.inputs[1]).array
        if array is None:
            raise UnsureError
        axes = array.ravel().tolist()
    if not axes and attributes.get("noop_with_empty_axes", 0):
        raise UnsureError
    over = tuple(sorted({axis % rank for axis in axes})) if axes else tuple(range(rank))
    linear = node.op_type in ("ReduceMean", "ReduceSum")
    _reduced(walk, node, mark, over, keep=bool(attributes.get("keepdims", 1)), linear=linear)


def _reduced(
    walk: UnitWalk, node: Node, mark: UnitMark, over: Sequence[int], *, keep: bool, linear: bool
) -> None:
    """Reduce axes; units along these count alike, and what is left of them is what they stand below."""
    ids, charge = walk.roots(mark.ids), mark.charge
    if any(ids.shape[axis] > 1 for axis in over):
        charge = walk.spoil(charge)
        left = compressed(walk.heads(ids))
        if any(left.shape[axis] > 1 for axis in over):
            raise UnsureError
        ids = left
    else:
        charge = walk.spoil(charge, odd=not linear, positive=False)
    if not keep:
        ids = ids.squeeze(tuple(over))
    if (ids >= 0).any():
        walk.marks[node.outputs[0]] = UnitMark(ids, charge)


def Softmax(walk: UnitWalk, node: Node) -> None:
    _unary(walk, node)


# Movement


class _Moving(Step):
    """A step of the walk over lanes whose lanes are units."""

    walk: UnitWalk

    def join(self, operands: Sequence[Ids], *, sum_: bool = False) -> Ids:
        """Let units meet where operands are put behind each other along an axis without units."""
        rank = max(ids.ndim for ids in operands)
        first, *others = (aligned(ids, rank) for ids in operands)
        for other in others:
            first = _meeting(self.walk, first, other, ())
        return first


def _moved(walk: UnitWalk, node: Node) -> None:
    """Move units as lanes are moved, and the places in theta of what is moved from it."""
    marked = [value for value in node.inputs if value in walk.marks]
    sourced = [value for value in node.inputs if walk.source(value) is not None]
    if sourced and not marked:
        names = {walk.sources[value][0] for value in sourced if value is not None}
        others = [value for value in node.inputs if value is not None and value not in sourced]
        if len(names) > 1 or any(value not in walk.constants for value in others):
            raise UnsureError
        if node.op_type == "Concat" and others:
            raise UnsureError
        lanes = {value: walk.sources[value][1] for value in sourced if value is not None}
        walk.sources.update({value: (min(names), ids) for value, ids in _lanes(walk, node, lanes).items()})
        return
    lanes = {value: walk.roots(walk.marks[value].ids) for value in marked if value is not None}
    charge = walk.same_charge(walk.marks[value].charge for value in marked if value is not None)
    if node.op_type == "Concat":
        _beside(walk, node, lanes)
        charge = charge if set(lanes) == set(node.inputs) else walk.spoil(charge)
    if node.op_type == "Pad" and (node.attributes().get("value", 0) or len(node.inputs) > 2):
        charge = walk.spoil(charge)
    for value, ids in _lanes(walk, node, lanes).items():
        walk.marks[value] = UnitMark(ids, charge)


def _beside(walk: UnitWalk, node: Node, lanes: dict[Value, Ids]) -> None:
    """Let tensors of theta put behind units along another axis carry them, and constants hold them."""
    axis = node.attributes()["axis"]
    whole = next(iter(lanes.values()))
    if whole.shape[axis] > 1:
        return
    for value in node.inputs:
        if value is not None and value not in lanes:
            walk.meet(UnitMark(whole), walk.shape(node.outputs[0]), value, 0)


def _lanes(walk: UnitWalk, node: Node, lanes: dict[Value, Ids]) -> dict[Value, Ids]:
    if node.op_type == "Gather":
        first = None if node.inputs[0] is None else lanes.get(node.inputs[0])
        wide = first is None or first.shape[node.attributes().get("axis", 0)] > 1
        if wide and (first is None or walk.sizes.of(node.inputs[1]).array is None):
            raise UnsureError
    env = {value: Lanes(ids) for value, ids in lanes.items()}
    table = LayersOfNodes(walk.model, walk.constants, ())
    step = _Moving(node, results_of(node), env, walk.sizes, GraphBuilder(walk.model.limits), table, Remarks())
    object.__setattr__(step, "walk", walk)
    rule = _MOVES[node.op_type]
    return {value: each.ids for value, each in answers(step, rule(step, **node.attributes()))}


_MOVES = {
    **{name: getattr(movement, name) for name in movement.__all__},
    "Flatten": movement.Reshape,
    "Gather": lookups.Gather,
}
for _name in ("ReverseSequence", "Trilu"):
    del _MOVES[_name]


_LINEAR = "Cast Dropout Identity Neg"
_OF_ODD = "Asin Asinh Atan Atanh Erf Sign Sin Sinh Softsign Tan Tanh"
_HOMOGENEOUS = "Abs LeakyRelu Relu"
_OTHERS = (
    "Celu Clip Cos Elu Exp Gelu HardSigmoid HardSwish Log LogSoftmax Mish Reciprocal Selu Sigmoid Softplus "
    "Sqrt Swish ThresholdedRelu"
)

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_LINEAR.split(), partial(_unary, odd=False, positive=False)),
    **dict.fromkeys(_OF_ODD.split(), partial(_unary, odd=False)),
    **dict.fromkeys(_HOMOGENEOUS.split(), partial(_unary, positive=False)),
    **dict.fromkeys(_OTHERS.split(), _unary),
    **dict.fromkeys(("Add", "Sub", "Sum"), partial(_pointwise, additive=True)),
    **dict.fromkeys(("Mul", "Div"), partial(_pointwise, product=True)),
    **dict.fromkeys(("Max", "Min", "Pow", "Where"), _pointwise),
    **dict.fromkeys(("AveragePool",), _pool),
    **dict.fromkeys(("MaxPool",), partial(_pool, odd=False)),
    "GlobalAveragePool": partial(_pool, everywhere=True),
    "GlobalMaxPool": partial(_pool, odd=False, everywhere=True),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"), _reduction),
    **dict.fromkeys(_MOVES, _moved),
    **dict.fromkeys(RECURRENT, recurrent),
    "Conv": partial(_convolution, out_axis=0),
    "ConvTranspose": partial(_convolution, out_axis=1),
    "InstanceNormalization": partial(_normalised, axis=1),
    **{
        rule.__name__: rule for rule in (BatchNormalization, Gemm, LayerNormalization, MatMul, PRelu, Softmax)
    },
}

RULES: dict[tuple[str, str], Rule] = {("", name): rule for name, rule in _RULES.items()}
"""The rule of every operation that is known; any other holds its units in place."""

WITHOUT: dict[tuple[str, str], str] = {
    **gradient.WITHOUT,
    ("", "Attention"): "which axes of its operands its heads share is not followed",
    ("", "Einsum"): "which axes its letters name is not followed",
}
"""Operations with weights that have no rule, and why: what has no gradient is not searched either."""
