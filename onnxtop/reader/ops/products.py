"""Products with a constant matrix: Gemm, MatMul, Einsum, those in attention, Gather as an embedding."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from onnxtop.network import Blocks
from onnxtop.reader.encoding import is_code_type, is_weight_type
from onnxtop.reader.ops.looked_up import decoding_after, is_part_of_a_decoding
from onnxtop.reader.reading import Array, Bias, OpCall, Reading, matrices, one_matrix


def Gemm(
    call: OpCall, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0, **_: Any
) -> Iterator[Reading]:
    """Read ``alpha * A' @ B' + beta * C``: the weight is B', or transposed A'."""
    position = call.weight_side()
    transposed = bool(transB) if position == 1 else not transA
    outputs = -1 if position == 1 else -2
    bias = Bias.of(call.vector(2, outputs), lambda array: np.ravel(array) * beta)
    yield Reading(
        (call.operand(position),),
        partial(one_matrix, transposed=transposed),
        scale=alpha,
        bias=bias,
        output_axis=outputs,
    )


def MatMul(call: OpCall, **_: Any) -> Iterator[Reading]:
    """Read ``A @ B``: the weight is B, or transposed A; further axes are a batch of matrices."""
    position = call.weight_side()
    axis = -2 if position == 0 else -1
    vector = len(call.shape(position)) == 1  # its one output has no axis in the result
    form = partial(factor, transposed=position == 0)
    outputs = None if vector else axis
    yield Reading((call.operand(position),), form, scale=call.node.factor, output_axis=outputs)


def factor(array: Array, *, transposed: bool) -> Blocks:
    """Return one factor of a product as matrices; a vector has one output on either side."""
    if array.ndim == 1:
        return [array[:, np.newaxis]]
    return matrices(array, transposed=transposed)


def Einsum(call: OpCall, *, equation: bytes = b"", **_: Any) -> Iterator[Reading]:
    """Read a product of two operands, one constant, as the matrix that it is.

    An axis of the weight that the other operand shares and the result lacks is an input, one that only the
    result shares an output, one that both share a batch of matrices.
    """
    terms, _arrow, result = equation.decode().replace(" ", "").partition("->")
    operands = terms.split(",")
    if len(operands) != 2 or len(call.node.inputs) != 2:
        return
    position = call.weight_side()
    axes, other = operands[position], operands[1 - position]
    summed = [axis for axis in axes if axis in other and axis not in result]
    outputs = [axis for axis in axes if axis in result and axis not in other]
    shared = [axis for axis in axes if axis in result and axis in other]
    if _arrow and "." not in axes and len(set(axes)) == len(summed) + len(outputs) + len(shared) == len(axes):
        order = [axes.index(axis) for axis in (*shared, *summed, *outputs)]
        form = partial(_contraction, order=order, shared=len(shared), summed=len(summed))
        yield Reading((call.operand(position),), form)


def _contraction(array: Array, *, order: Sequence[int], shared: int, summed: int) -> Blocks:
    ordered = array.transpose(order)
    sizes = ordered.shape
    n_in = int(np.prod(sizes[shared : shared + summed]))
    n_out = int(np.prod(sizes[shared + summed :]))
    return matrices(ordered.reshape(-1, n_in, n_out))


def Attention(call: OpCall, *, q_num_heads: int = 0, kv_num_heads: int = 0, **_: Any) -> Iterator[Reading]:
    """Read constant queries, keys and values as the factors of products that they are; see `MatMul`.

    A query or a key makes the scores, a neuron each; of a value each position is an input.
    """
    if not any(map(call.operand, (4, 5))):  # past keys and values
        yield from _attended(call, (q_num_heads, kv_num_heads, kv_num_heads))


def MultiHeadAttention(call: OpCall, *, num_heads: int = 0, **_: Any) -> Iterator[Reading]:
    """Read constant queries, keys and values as those of `Attention`."""
    if not any(map(call.operand, (3, 6, 7))):  # a bias that is added to them, past keys and values
        yield from _attended(call, (num_heads,) * 3)


def _attended(call: OpCall, heads: Sequence[int]) -> Iterator[Reading]:
    """Yield the constant ones of query, key and value; none if the scores are constant with two of them."""
    if {0, 1} <= call.weights.keys():
        return
    for position, (part, count) in enumerate(zip("qkv", heads, strict=True)):
        if position in call.weights:
            form = partial(_heads, count=count, transposed=part != "v")
            yield Reading((call.operand(position),), form, part=part, output_axis=None)


def _heads(array: Array, *, count: int, transposed: bool) -> Blocks:
    """Return a matrix for each sample and head; heads share the last axis, or are the second of four."""
    if array.ndim not in (3, 4) or (array.ndim == 3 and (count < 1 or array.shape[2] % count)):
        raise ValueError(f"an array of shape {array.shape} holds no {count} heads")
    split = array if array.ndim == 4 else array.reshape(*array.shape[:2], count, -1).swapaxes(1, 2)
    return matrices(split, transposed=transposed)


def Gather(call: OpCall, *, axis: int = 0, **_: Any) -> Iterator[Reading]:
    """Read a table that activations index: each entry is an input (one-hot), what it holds the outputs."""
    if len(call.shape(0)) < 2 or is_part_of_a_decoding(call):
        return
    form = partial(_table, axis=axis)
    if is_code_type(call.dtype(0)):
        found = decoding_after(call, axis)
        if found is not None:
            operands = (call.operand(0), *found.operands)
            yield Reading(operands, form, decode=found.decode, encoding=found.encoding)
    elif is_weight_type(call.dtype(0)):
        yield Reading((call.operand(0),), form)


def _table(array: Array, *, axis: int = 0) -> Blocks:
    return [np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)]
