"""What every operation does to the units along the axes of its inputs: one function an operation, one table.

A rule marks the node's outputs and returns True, or returns False where it is not sure; the units that reach
the node are then held in place.
"""

import math
from collections.abc import Callable, Sequence

from onnxtop.gradient import rules as gradient
from onnxtop.landscape.units import Marks, Units, Walk
from onnxtop.reader.model import Node, Value

__all__ = ["RULES", "WITHOUT"]


def _matrix(walk: Walk, node: Node, data: Value, weight: Value, *, into: int) -> Units | None:
    """Let a matrix with output axis ``into`` read a value's last axis; return the units it makes."""
    shape = walk.layout[weight.name][1]
    read = (walk.of(data) or (None,))[-1]
    if read is not None and read.length != shape[1 - into]:
        walk.pin(read)
        read = None
    walk.carry(weight, 1 - into, read)
    made = walk.new(shape[into])
    walk.carry(weight, into, made)
    return made


def Gemm(walk: Walk, node: Node) -> bool:
    data, weight, *rest = node.inputs
    attributes = node.attributes()
    if data is None or weight is None or attributes.get("transA", 0) or not walk.is_parameter(weight):
        return False
    made = _matrix(walk, node, data, weight, into=0 if attributes.get("transB", 0) else 1)
    marks: Marks = (None, made)
    if rest and rest[0] is not None:
        shape = (None, walk.layout[weight.name][1][0 if attributes.get("transB", 0) else 1])
        marks = _combined(walk, marks, shape, rest[0], additive=True) or marks
    return walk.put(node.outputs[0], marks)


def MatMul(walk: Walk, node: Node) -> bool:
    data, weight = node.inputs
    if data is None or weight is None or not walk.is_parameter(weight) or walk.is_parameter(data):
        return False
    marks = walk.of(data)
    if marks is None or len(marks) < 2 or len(walk.layout[weight.name][1]) != 2:
        return False
    return walk.put(node.outputs[0], (*marks[:-1], _matrix(walk, node, data, weight, into=1)))


def Conv(walk: Walk, node: Node) -> bool:
    return _convolution(walk, node, out_axis=0)


def ConvTranspose(walk: Walk, node: Node) -> bool:
    return _convolution(walk, node, out_axis=1)


def _convolution(walk: Walk, node: Node, out_axis: int) -> bool:
    data, weight, *rest = node.inputs
    if data is None or weight is None or not walk.is_parameter(weight):
        return False
    shape, groups = walk.layout[weight.name][1], node.attributes().get("group", 1)
    marks = walk.of(data) or (None,) * len(shape)
    read = marks[1] if all(units is None for units in (marks[0], *marks[2:])) else None
    if groups == 1:
        walk.carry(weight, 1 - out_axis, read)
        made: Units | None = walk.new(shape[out_axis])
    elif out_axis == 0 and shape[0] == groups and shape[1] == 1:
        made = read
    else:
        return False
    walk.carry(weight, out_axis, made)
    if rest and rest[0] is not None:
        if walk.is_parameter(rest[0]):
            walk.carry(rest[0], 0, made)
        else:
            walk.pin(made)
    return walk.put(node.outputs[0], (None, made, *(None,) * (len(shape) - 2)))


def _combined(
    walk: Walk, marks: Marks, length: Sequence[int | None], other: Value, additive: bool
) -> Marks | None:
    """Combine a marked value with another operand, place by place; None if it cannot be told."""
    theirs, shape = walk.of(other), walk.shape(other)
    if theirs is None or shape is None or len(length) != len(marks):
        return None
    rank = max(len(marks), len(theirs))
    rows = zip(
        (None,) * (rank - len(marks)) + marks,
        (1,) * (rank - len(marks)) + tuple(length),
        (None,) * (rank - len(theirs)) + theirs,
        (1,) * (rank - len(theirs)) + tuple(shape),
        strict=True,
    )
    result: list[Units | None] = []
    for axis, (one, ours, two, its) in enumerate(rows):
        if one is not None and two is None and its == one.length and walk.is_parameter(other):
            walk.carry(other, axis - rank, one)
            result.append(one)
        else:
            result.append(_beside(walk, (one, ours), (two, its), additive))
    return tuple(result)


def _beside(
    walk: Walk, one: tuple[Units | None, int | None], two: tuple[Units | None, int | None], additive: bool
) -> Units | None:
    """Combine two axes: equal units, or units and an axis of length 1 that is repeated along them."""
    (ours, our_length), (theirs, their_length) = one, two
    if ours is None and theirs is None:
        return None
    for units, length in ((ours, their_length), (theirs, our_length)):
        if units is not None and length == 1 and units.length != 1:
            if additive:
                walk.not_odd((units,))
            return units
    return walk.join(ours, theirs)


def _elementwise(additive: bool, odd: bool) -> Callable[[Walk, Node], bool]:
    def rule(walk: Walk, node: Node) -> bool:
        operands = [value for value in node.inputs if value is not None]
        operands.sort(key=lambda value: (walk.is_parameter(value), not any(walk.of(value) or ())))
        first, *rest = operands
        marks, shape = walk.of(first), walk.shape(first)
        for other in rest:
            if marks is None or shape is None:
                return False
            theirs = walk.of(other) or ()
            if (not additive and any(theirs)) or not odd:
                walk.not_odd((*marks, *theirs))
            marks, shape = _combined(walk, marks, shape, other, additive), walk.shape(node.outputs[0])
        return marks is not None and walk.put(node.outputs[0], marks)

    return rule


def _unary(odd: bool) -> Callable[[Walk, Node], bool]:
    def rule(walk: Walk, node: Node) -> bool:
        marks = walk.of(node.inputs[0])
        if marks is None:
            return False
        return walk.put(node.outputs[0], marks if odd else walk.not_odd(marks))

    return rule


def _pool(odd: bool) -> Callable[[Walk, Node], bool]:
    def rule(walk: Walk, node: Node) -> bool:
        marks = walk.of(node.inputs[0])
        if marks is None or any(units is not None for units in (*marks[:1], *marks[2:])):
            return False
        return walk.put(node.outputs[0], marks if odd else walk.not_odd(marks))

    return rule


def BatchNormalization(walk: Walk, node: Node) -> bool:
    return walk.batch_statistics and _normalized(walk, node, node.inputs[1:3], axis=1)


def InstanceNormalization(walk: Walk, node: Node) -> bool:
    return _normalized(walk, node, node.inputs[1:3], axis=1)


def LayerNormalization(walk: Walk, node: Node) -> bool:
    return node.attributes().get("axis", -1) == -1 and _normalized(walk, node, node.inputs[1:3], axis=-1)


def PRelu(walk: Walk, node: Node) -> bool:
    data, slope = node.inputs
    marks = walk.of(data)
    if marks is None or slope is None:
        return False
    shape = walk.shape(data) if data is not None else None
    combined = _combined(walk, walk.not_odd(marks), shape or (), slope, additive=False)
    return combined is not None and walk.put(node.outputs[0], combined)


def _normalized(walk: Walk, node: Node, gains: Sequence[Value | None], axis: int) -> bool:
    marks = walk.of(node.inputs[0])
    if marks is None:
        return False
    units = marks[axis]
    for gain in gains:
        if gain is not None and walk.is_parameter(gain):
            walk.carry(gain, 0, units)
        elif gain is not None:
            walk.pin(units)
    return walk.put(node.outputs[0], walk.not_odd(marks))


def Softmax(walk: Walk, node: Node) -> bool:
    return _unary(odd=False)(walk, node)


def Transpose(walk: Walk, node: Node) -> bool:
    marks = walk.of(node.inputs[0])
    if marks is None:
        return False
    order = node.attributes().get("perm", range(len(marks))[::-1])
    return walk.put(node.outputs[0], [marks[axis] for axis in order])


def Reshape(walk: Walk, node: Node) -> bool:
    """Follow units through a reshape that merges axes, or only adds and drops axes of length 1."""
    data = node.inputs[0]
    marks = walk.of(data)
    if data is None or marks is None:
        return False
    new = walk.shape(node.outputs[0])
    if not any(marks):
        return walk.put(node.outputs[0], (None,) * len(new or ()))
    blocks = _blocks(walk.shape(data) or (), new or ())
    if blocks is None:
        return False
    result: list[Units | None] = [None] * len(new or ())
    old = walk.shape(data) or ()
    for olds, news in blocks:
        marked = [axis for axis in olds if marks[axis] is not None]
        wide = [axis for axis in news if (new or ())[axis] != 1]
        if not marked:
            continue
        units = marks[marked[0]]
        before, after = ([old[axis] for axis in olds if (axis - marked[0]) * side > 0] for side in (-1, 1))
        if len(marked) > 1 or len(wide) != 1 or units is None or None in before or None in after:
            return False
        outer, inner = (math.prod(size or 1 for size in sizes) for sizes in (before, after))
        result[wide[0]] = Units(units.group, units.size, units.outer * outer, units.inner * inner)
    return walk.put(node.outputs[0], result)


def _blocks(old: Sequence[int | None], new: Sequence[int | None]) -> list[tuple[list[int], list[int]]] | None:
    """Pair runs of axes of equal product; an open size at the front is taken to be the same batch."""
    blocks = []
    i = j = 0
    if old and new and old[0] is None and new[0] is None:
        blocks.append(([0], [0]))
        i = j = 1
    if None in old[i:] or None in new[j:]:
        return None
    while i < len(old) or j < len(new):
        olds, news = [i] if i < len(old) else [], [j] if j < len(new) else []
        i, j = i + len(olds), j + len(news)
        while (left := _size(old, olds)) != (right := _size(new, news)):
            if left < right and i < len(old):
                olds.append(i)
                i += 1
            elif right < left and j < len(new):
                news.append(j)
                j += 1
            else:
                return None
        blocks.append((olds, news))
    return blocks


def _size(shape: Sequence[int | None], axes: Sequence[int]) -> int:
    return math.prod(shape[axis] or 0 for axis in axes)


def _reduction(walk: Walk, node: Node) -> bool:
    """Keep the units of the other axes; a mean over all units does not depend on their order."""
    marks, new = walk.of(node.inputs[0]), walk.shape(node.outputs[0])
    axes = _axes(walk, node)
    if marks is None or axes is None:
        return False
    reduced = {axis % len(marks) for axis in axes} if axes else set(range(len(marks)))
    walk.not_odd(tuple(marks[axis] for axis in reduced))
    if node.op_type not in ("ReduceMean", "ReduceSum"):
        walk.not_odd(marks)
    if node.attributes().get("keepdims", 1):
        kept = [None if axis in reduced else units for axis, units in enumerate(marks)]
    else:
        kept = [units for axis, units in enumerate(marks) if axis not in reduced]
    return (new is None or len(new) == len(kept)) and walk.put(node.outputs[0], kept)


def _axes(walk: Walk, node: Node) -> list[int] | None:
    """Return the axes named in an attribute or a constant input; empty for all, None if not known."""
    if "axes" in (attributes := node.attributes()):
        return list(attributes["axes"])
    if len(node.inputs) < 2 or node.inputs[1] is None:
        return []
    tensor = walk.model.tensors.get(node.inputs[1])
    return None if tensor is None else [int(axis) for axis in walk.model.files.wanted(tensor).ravel()]


def Shape(walk: Walk, node: Node) -> bool:
    return walk.put(node.outputs[0], (None,))


_UNARY_ODD = "Asin Asinh Atan Atanh Cast Dropout Erf Identity Neg Sign Sin Sinh Softsign Tan Tanh"
_UNARY_EVEN = (
    "Abs Celu Clip Cos Elu Exp Gelu HardSigmoid HardSwish LeakyRelu Log Mish Reciprocal Relu Selu Sigmoid "
    "Softplus Sqrt Swish ThresholdedRelu"
)

RULES: dict[tuple[str, str], Callable[[Walk, Node], bool]] = {
    **{("", op): _unary(odd=True) for op in _UNARY_ODD.split()},
    **{("", op): _unary(odd=False) for op in _UNARY_EVEN.split()},
    **{("", op): _elementwise(additive=True, odd=True) for op in ("Add", "Sub", "Sum")},
    **{("", op): _elementwise(additive=False, odd=True) for op in ("Mul", "Div")},
    **{("", op): _elementwise(additive=True, odd=False) for op in ("Max", "Min", "Pow")},
    **{("", op): _pool(odd=True) for op in ("AveragePool", "GlobalAveragePool")},
    **{("", op): _pool(odd=False) for op in ("MaxPool", "GlobalMaxPool")},
    **{("", op): Reshape for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")},
    **{("", op): _reduction for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2")},
    **{
        ("", rule.__name__): rule
        for rule in (
            *(BatchNormalization, Conv, ConvTranspose, Gemm, InstanceNormalization, LayerNormalization),
            *(MatMul, PRelu, Shape, Softmax, Transpose),
        )
    },
}
"""The rule of every operation that is known; any other holds its units in place."""

WITHOUT: dict[tuple[str, str], str] = {
    **gradient.WITHOUT,
    ("", "Einsum"): "which axes its letters name is not followed",
    ("", "Gather"): "the entries of its table are inputs, which have their places",
    **dict.fromkeys(
        (("", name) for name in ("GRU", "LSTM", "RNN")),
        "units of the hidden state stand in every gate, which is not followed",
    ),
}
"""Operations with weights that have no rule, and why: what has no gradient is not searched either."""
