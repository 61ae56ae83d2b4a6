"""Tables of codes that are looked up first and decoded after: Gather, then DequantizeLinear or arithmetic.

What decodes the entries that an index chooses decodes the whole table as well: every step is computed with
the table in the place of the chosen entries, and whole tables of scales and zero points in the place of those
that the same index chooses. Where nothing decodes them, the entries are the activation of an integer product.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from onnxtop.reader.dequantize import affine, blocked
from onnxtop.reader.encoding import Encoding, Sharing
from onnxtop.reader.evaluate import run
from onnxtop.reader.forms import MOVEMENT
from onnxtop.reader.model import Node, Value
from onnxtop.reader.ops.later_scale import factors_after
from onnxtop.reader.reading import Array, OpCall
from onnxtop.reader.search import reached

_DECODERS = ("DequantizeLinear", "Div", "Mul")
_STEPS = (*_DECODERS, "Add", "Cast", "Identity", "Sub")
_LONGEST = 16  # nodes from an entry to its weights


@dataclass(frozen=True, eq=False)
class Decoding:
    """How a table of codes is decoded: further constants that it takes, the arithmetic, the encoding."""

    operands: tuple[Value, ...]
    decode: Callable[..., Array]
    encoding: Encoding


@dataclass(frozen=True, eq=False)
class _Steps:
    """The nodes behind a look-up, in order, and by value the constants that stand for what they take."""

    call: OpCall
    axis: int
    stored: Mapping[Value, Value]
    nodes: tuple[Node, ...] = ()

    def including(self, value: Value | None, left: int) -> "_Steps | None":
        """Return the steps with those that a value needs, None if it depends on more than the index."""
        if value is None or value in self.stored or any(value in node.outputs for node in self.nodes):
            return self
        if value in self.call.constants:
            return self._with(value, value)
        node = self.call.model.producers.get(value)
        if node is None or node.domain or not left:
            return None
        if node.op_type != "Gather":
            return self.taking(node, left - 1) if node.op_type in (*_STEPS, "Unsqueeze") else None
        table, index = node.inputs[:2]
        same = index == self.call.operand(1) and node.attributes().get("axis", 0) == self.axis
        return self._with(value, table) if same and table in self.call.constants else None

    def _with(self, value: Value, constant: Value | None) -> "_Steps | None":
        assert constant is not None
        return _Steps(self.call, self.axis, {**self.stored, value: constant}, self.nodes)

    def taking(self, node: Node, left: int = _LONGEST) -> "_Steps | None":
        """Return the steps with a node, behind all that it needs, from at most so many nodes away."""
        steps: _Steps | None = self
        for value in node.inputs:
            near = steps is not None and len(steps.nodes) < _LONGEST
            steps = steps.including(value, left) if steps is not None and near else None
        return steps and _Steps(self.call, self.axis, steps.stored, (*steps.nodes, node))


def decoding_after(call: OpCall, axis: int) -> Decoding | None:
    """Return how the codes that a Gather looks up are decoded, None if nothing does so."""
    table, entries = call.constant(0), call.node.outputs[0]
    if table is None:
        return None
    for value in reached([entries], partial(_moved, call)):
        found = _decoding(_Steps(call, axis, {value: table}), value)
        if found is not None:
            whole = value is entries or all(call.constants.size(item) == 1 for item in found.operands)
            return found if whole else None  # a scale of each entry does not move with it
    return _of_an_activation(call, entries)


def _moved(call: OpCall, value: Value) -> list[Value]:
    """Return what the entries are called where they have only been moved."""
    uses = call.model.users.get(value, ())
    moves = (use.node for use in uses if use.position == 0 and not use.node.domain)
    return [node.outputs[0] for node in moves if node.op_type in MOVEMENT]


def _decoding(steps: _Steps, value: Value) -> Decoding | None:
    """Return how the nodes that take a value decode it."""
    call, table, decoder = steps.call, steps.stored[value], None
    while (found := _next(steps, value, decoder)) is not None:
        steps, value = found, found.nodes[-1].outputs[0]
        decoder = steps.nodes[-1] if steps.nodes[-1].op_type in _DECODERS else decoder
    if decoder is None:
        return None
    operands = tuple(dict.fromkeys(source for source in steps.stored.values() if source != table))
    decode = partial(_decoded, steps=steps, sources=(table, *operands))
    return Decoding(operands, decode, _encoding(call, decoder))


def is_part_of_a_decoding(call: OpCall) -> bool:
    """Tell whether a table is looked up to decode the codes that the same index looks up in another."""
    table, index = call.constant(0), call.operand(1)
    for node in call.constants.lookups_of_codes.get(index, ()) if index is not None else ():
        if node is not call.node:
            other = OpCall(node, call.model, call.constants)
            found = decoding_after(other, node.attributes().get("axis", 0))
            if found is not None and table in found.operands:
                return True
    return False


def _next(steps: _Steps, value: Value, decoder: Node | None) -> _Steps | None:
    """Return the steps with the next one; behind a factor only an offset may still come."""
    kinds = _STEPS if decoder is None else ("Add", "Sub") if decoder.op_type != "DequantizeLinear" else ()
    for use in steps.call.model.users.get(value, ()):
        fits = not use.node.domain and use.node.op_type in kinds
        found = steps.taking(use.node) if fits else None
        if found is not None and (decoder is None or _is_offset(steps, use.node, value)):
            return found
    return None


def _is_offset(steps: _Steps, node: Node, value: Value) -> bool:
    """Tell whether all that is added is one number, or one an entry: no position, no bias."""
    others = [item for item in node.inputs if item is not None and item != value]
    return all(item not in steps.call.constants or steps.call.constants.size(item) == 1 for item in others)


def _encoding(call: OpCall, decoder: Node) -> Encoding:
    dtype = call.dtype(0)
    if decoder.op_type != "DequantizeLinear":
        return Encoding(dtype, "scaled")
    scale, size = (*decoder.inputs, None)[1], decoder.attributes().get("block_size")
    one = scale in call.constants and scale is not None and call.constants.size(scale) == 1
    return Encoding(dtype, "block" if size else "per-tensor" if one else "per-channel", size or None)


def _decoded(*arrays: Array, steps: _Steps, sources: tuple[Value, ...]) -> Array:
    """Compute the steps for a whole table; raises ValueError where they are none for single entries."""
    held = dict(zip(sources, arrays, strict=True))
    have = {value: held[source] for value, source in steps.stored.items()}
    for node in steps.nodes:
        inputs = [None if value is None else have[value] for value in node.inputs]
        chosen = [
            place for place, value in enumerate(node.inputs) if value and value not in steps.call.constants
        ]
        have[node.outputs[0]] = _computed(steps, node, inputs, chosen)
    return have[steps.nodes[-1].outputs[0]]


def _computed(steps: _Steps, node: Node, inputs: list[Array | None], chosen: list[int]) -> Array:
    """Compute one step; ``chosen`` are the inputs that stand for what the index chooses."""
    arrays = {place: array for place, array in enumerate(inputs) if array is not None}
    first = arrays[chosen[0]]
    if node.op_type == "DequantizeLinear":
        return _dequantized(node, arrays, chosen, steps.axis)
    if node.op_type == "Unsqueeze":
        axes = arrays[1].ravel().tolist() if 1 in arrays else node.attributes().get("axes")
        if axes != [-1] and (first.ndim > 1 or axes == [0]):
            raise ValueError(f"the axes {axes} are put into what the index chooses")
        return np.expand_dims(first, -1)
    free = first.ndim - 1 if steps.axis == 0 else 0
    for place, array in arrays.items():
        fits = array.ndim == first.ndim if place in chosen else _spans(array) <= free
        if not fits:
            raise ValueError(f"{node.op_type} takes an array of shape {array.shape} that is none an entry")
    try:
        return run(node, inputs, steps.call.model.opset.get("ai.onnx", 1))[0]
    except Exception as error:  # onnx's reference operations raise whatever NumPy does
        raise ValueError(f"the node {node.op} {node.name!r} fails: {error}") from None


def _spans(array: Array) -> int:
    """Return over how many of the last axes an array runs."""
    return next((array.ndim - axis for axis, size in enumerate(array.shape) if size > 1), 0)


def _dequantized(node: Node, arrays: Mapping[int, Array], chosen: list[int], gathered: int) -> Array:
    if 0 not in chosen or 1 not in arrays:
        raise ValueError("what the index chooses is decoded by nothing")
    codes, scale, zero_point = arrays[0], arrays[1], arrays.get(2)
    axis, size = node.attributes().get("axis", 1), node.attributes().get("block_size", 0)
    if size:
        whole = -(-codes.shape[-1] // size)
        if 1 not in chosen or scale.shape != (*codes.shape[:-1], whole) or axis == 0:
            raise ValueError(f"blocks of scales of shape {scale.shape} are none of its entries")
        return blocked(codes, scale, zero_point, codes.ndim - 1, size)
    if scale.size == 1 and 1 not in chosen:
        return affine(codes, scale, zero_point)
    kept = (place for place in range(codes.ndim) if place != gathered % codes.ndim)
    here = (place for place in kept if axis >= 0 or axis == place - codes.ndim)
    fit = [place for place in here if codes.shape[place] == scale.size]
    if 1 in chosen or len(fit) != 1:
        raise ValueError(f"scales of shape {scale.shape} run along no axis of its entries")
    return affine(codes, scale, zero_point, fit[0])


def _of_an_activation(call: OpCall, entries: Value) -> Decoding | None:
    """Return what an integer product behind a look-up says of the codes that it takes as they are."""
    for use in call.model.users.get(entries, ()):
        node = use.node
        if node.domain or not node.outputs:
            continue
        if node.op_type in MOVEMENT and use.position == 0:
            found = _of_an_activation(call, node.outputs[0])
            if found is not None:
                return found
        if node.op_type in ("MatMulInteger", "ConvInteger") and use.position < 2:
            product = OpCall(node, call.model, call.constants)
            if product.is_constant(1 - use.position):
                return _as_product(call, product, use.position)
    return None


def _as_product(call: OpCall, product: OpCall, position: int) -> Decoding:
    scale = factors_after(product, 1 - position).activation
    zero_point = product.constant(position + 2)
    known = scale is not None and call.constants.size(scale) == 1
    operands = [value for value in (zero_point, scale if known else None) if value is not None]
    sharing: Sharing = "per-tensor" if known else "of unknown scale"
    decode = partial(_by_product, has_zero_point=zero_point is not None)
    return Decoding(tuple(operands), decode, Encoding(call.dtype(0), sharing))


def _by_product(codes: Array, *arrays: Array, has_zero_point: bool) -> Array:
    zero_point, scales = (arrays[0], arrays[1:]) if has_zero_point else (None, arrays)
    return affine(codes, scales[0] if scales else np.ones((), np.float32), zero_point)
