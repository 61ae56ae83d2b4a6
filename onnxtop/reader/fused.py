"""Fused operations written out in ordinary ones, as ONNX functions that onnx's own inliner inlines.

One function an operation, named exactly as it, its attributes as keyword defaults: it is given the `Body` to
write and the names of its inputs, "" for one that is left out, and returns the names of its outputs. So
whatever knows ordinary operations knows fused ones. A form that a function does not take (an attribute or
input that it has no name for, an output that it does not make) stays the one operation that it is.

Not written out: attention whose weight packs three projections (slices of one weight would be three weights,
and no longer be shared between nodes as the one is), and weights in blocks of codes or packed gates, for
which ordinary operations have no layout. These are readings (`ops`).

Definitions: onnxruntime, docs/ContribOperators.md. ``sx`` and ``zx`` are the scale and zero point of x. A
body may use operations that are newer than the model's opset: onnxruntime too writes LayerNormalization into
old models.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, helper

from onnxtop.reader.functions.writing import inlined
from onnxtop.reader.limits import DEFAULTS, Limits
from onnxtop.reader.protos import bodies_in, constant_value, declared_in, nodes_in, op_of

__all__ = ["FUSED", "Body", "Mark", "mark_of", "write_out"]

_DOMAIN = "onnxtop"
_CALL, _PART, _FACTOR = "onnxtop.call", "onnxtop.part", "onnxtop.factor"

V = str
"""A value of a body, by name."""

Shape = tuple[int, ...]

Written = Sequence[V] | V
"""Names of the outputs, "" for one that is not made; "" alone for a form that is not written out."""


class Body:
    """The body of a function as it is written; called with an operation and its inputs, it adds a node.

    ``held`` are the shapes of those inputs of the function that are constants; of one that is computed from
    constants, none.
    """

    def __init__(self, held: Mapping[V, Shape | None]) -> None:
        self.nodes: list[NodeProto] = []
        self.held = held

    def __call__(self, op_type: str, *inputs: V, part: str = "", factor: float = 1, **attributes: Any) -> V:
        """Add a node with one output, and return the output's name.

        ``part`` says what the node is for, ``factor`` what its weight is multiplied by beside what it holds.
        """
        (output,) = self.several(1, op_type, *inputs, part=part, **attributes)
        if factor != 1:
            self.nodes[-1].metadata_props.add(key=_FACTOR, value=repr(factor))
        return output

    def several(self, count: int, op_type: str, *inputs: V, part: str = "", **attributes: Any) -> list[V]:
        """Add a node with several outputs."""
        outputs = [f"v{len(self.nodes)}_{place}" for place in range(count)]
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        node = helper.make_node(op_type, inputs, outputs, **attributes)
        if part:
            node.metadata_props.add(key=_PART, value=part)
        self.nodes.append(node)
        return outputs

    def scaled(self, x: V, factor: float) -> V:
        """Multiply by a number."""
        return x if factor == 1 else self("Mul", x, self.number(factor, x))

    def number(self, value: float, like: V) -> V:
        """Return a number in the type of another value."""
        return self("CastLike", self("Constant", value_float=float(value)), like)

    def biased(self, x: V, bias: V) -> V:
        """Add a bias if there is one."""
        return self("Add", x, bias, part="bias") if bias else x

    def decoded(self, x: V, scale: V, zero: V = "", axis: int = 1) -> V:
        """Decode codes; one zero point for many scales is repeated: DequantizeLinear wants one each."""
        if zero in self.held and scale in self.held:
            one, many = self.held[zero], self.held[scale]
            if one is None or many is None or math.prod(one) == 1 < math.prod(many):
                zero = self("Expand", zero, self("Shape", scale))
        return self("DequantizeLinear", x, scale, zero, axis=axis)

    def rank(self, name: V) -> int:
        """Return the rank of a constant input, 0 where it is not known."""
        return len(self.held.get(name) or ())

    def encoded(self, x: V, *affine: V) -> V:
        """Return codes of a scale and a zero point."""
        return self("QuantizeLinear", x, *affine)


# Products and convolutions with what comes after them.


def FusedGemm(
    f: Body, a: V, b: V, c: V = "", *, activation: str = "", activation_alpha: float | None = None,
    activation_beta: float | None = None, activation_gamma: float | None = None, **attributes: Any,
) -> Written:  # fmt: skip
    """Gemm, then an activation function."""
    given = {"alpha": activation_alpha, "beta": activation_beta, "gamma": activation_gamma}
    settings: Any = {name: value for name, value in given.items() if value is not None}
    y = f("Gemm", a, b, c, **attributes)
    return f(activation, y, **settings) if activation else y


def FusedConv(
    f: Body, x: V, w: V, b: V = "", z: V = "", *, activation: str = "",
    activation_params: Sequence[float] = (), **attributes: Any,
) -> Written:  # fmt: skip
    """Conv, plus another activation, then an activation function."""
    y = f("Conv", x, w, b, **attributes)
    y = f("Add", y, z) if z else y
    if activation == "Clip":
        return f("Clip", y, *(f.number(bound, y) for bound in activation_params))
    settings: Any = dict(zip(("alpha", "beta"), activation_params, strict=False))
    return f(activation, y, **settings) if activation else y


def FusedMatMul(
    f: Body, a: V, b: V, *, alpha: float = 1.0, transA: int = 0, transB: int = 0, transBatchA: int = 0,
    transBatchB: int = 0,
) -> Written:  # fmt: skip
    """``alpha * A' @ B'``; transBatch brings the first axis next to the last before all else.

    A constant side takes alpha; where none is, one may yet hold weights: experts that are chosen.
    """
    left, right = _turned(f, a, transA, transBatchA), _turned(f, b, transB, transBatchB)
    if b in f.held:
        return f("MatMul", left, f.scaled(right, alpha))
    if a in f.held:
        return f("MatMul", f.scaled(left, alpha), right)
    return f.scaled(f("MatMul", left, right, factor=alpha), alpha)


def _turned(f: Body, x: V, transposed: int, batch: int) -> V:
    """Return a factor as the product sees it, by an Einsum where nothing tells its rank."""
    rank = f.rank(x)
    if not (transposed or batch) or rank == 1:
        return x
    if not rank:
        letters = {(1, 0): "...ij->...ji", (0, 1): "i...j->...ij", (1, 1): "j...i->...ij"}
        return f("Einsum", x, equation=letters[bool(transposed), bool(batch)])
    order = [*range(1, rank - 1), 0, rank - 1] if batch else list(range(rank))
    return f("Transpose", x, perm=[*order[:-2], *order[:-3:-1]] if transposed else order)


# Activation functions and normalisation.


def BiasGelu(f: Body, x: V, bias: V) -> Written:
    """Gelu of x + bias."""
    return f("Gelu", f.biased(x, bias))


def FastGelu(f: Body, x: V, bias: V = "") -> Written:
    """Gelu of x + bias, approximated by tanh."""
    return f("Gelu", f.biased(x, bias), approximate="tanh")


def QuickGelu(f: Body, x: V, *, alpha: float = 1.702) -> Written:
    """``x * sigmoid(alpha * x)``."""
    return f("Mul", x, f("Sigmoid", f.scaled(x, alpha)))


def SkipLayerNormalization(
    f: Body, x: V, skip: V, gamma: V, beta: V = "", bias: V = "", *, epsilon: float = 1e-12
) -> Written:
    """Layer normalisation of x + skip + bias; the last output is that sum."""
    total = f.biased(f("Add", x, skip), bias)
    return [*f.several(3, "LayerNormalization", total, gamma, beta, epsilon=epsilon), total]


def SkipSimplifiedLayerNormalization(
    f: Body, x: V, skip: V, gamma: V, bias: V = "", *, epsilon: float = 1e-12
) -> Written:
    """Normalisation around 0 of x + skip + bias; the last output is that sum."""
    total = f.biased(f("Add", x, skip), bias)
    return [f("SimplifiedLayerNormalization", total, gamma, epsilon=epsilon), "", "", total]


# Embeddings.


def EmbedLayerNormalization(
    f: Body, ids: V, segments: V, word: V, position: V, segment: V, gamma: V, beta: V, mask: V = "",
    positions: V = "", *, epsilon: float = 1e-12, mask_index_type: int = 0,
) -> Written:  # fmt: skip
    """Words, positions and segments are looked up, summed and normalised; how many tokens count is told."""
    if not positions:
        zero, one = (f("Constant", value_int=number) for number in (0, 1))
        positions = f("Range", zero, f("Gather", f("Shape", ids), one), one)
    total = f("Gather", word, ids, part="word")
    total = f("Add", total, f("Gather", position, positions, part="position"))
    if segment:
        total = f("Add", total, f("Gather", segment, segments, part="segment"))
    count = f("Einsum", mask or f("Sub", ids, ids), equation="bs->b")
    return [f("LayerNormalization", total, gamma, beta, epsilon=epsilon), count, total]


def QEmbedLayerNormalization(
    f: Body, ids: V, segments: V, word: V, position: V, segment: V, gamma: V, beta: V, mask: V, *affine: V,
    epsilon: float = 1e-12,
) -> Written:  # fmt: skip
    """EmbedLayerNormalization of tables in codes; all scales stand before all zero points."""
    coded = zip((word, position, segment, gamma, beta), affine[:5], affine[5:], strict=True)
    word, position, segment, gamma, beta = (
        codes and f.decoded(codes, scale, zero) for codes, scale, zero in coded
    )
    return EmbedLayerNormalization(
        f, ids, segments, word, position, segment, gamma, beta, mask, epsilon=epsilon
    )[:2]


# Operations on codes: decoded, the ordinary operation, and encoded again where the result is codes too.


def QLinearMatMul(f: Body, a: V, sa: V, za: V, b: V, sb: V, zb: V, sy: V, zy: V) -> Written:
    """MatMul of codes, with a scale a tensor, a row (left) or a column (right)."""
    return f.encoded(f("MatMul", f.decoded(a, sa, za, -2), f.decoded(b, sb, zb, -1)), sy, zy)


def QLinearConv(
    f: Body, x: V, sx: V, zx: V, w: V, sw: V, zw: V, sy: V, zy: V, bias: V = "", **attributes: Any
) -> Written:
    """Conv with a kernel scale a tensor or a channel out; the bias is in units of both scales."""
    data, kernel = f.decoded(x, sx, zx), f.decoded(w, sw, zw, 0)
    bias = bias and f.decoded(bias, f("Mul", sx, sw), axis=0)
    return f.encoded(f("Conv", data, kernel, bias, **attributes), sy, zy)


def QGemm(
    f: Body, a: V, sa: V, za: V, b: V, sb: V, zb: V, c: V = "", sy: V = "", zy: V = "", *,
    alpha: float = 1.0, transA: int = 0, transB: int = 0,
) -> Written:  # fmt: skip
    """Gemm with a scale of B a tensor or an output; C is in units of alpha and both scales."""
    left, right = f.decoded(a, sa, za), f.decoded(b, sb, zb, 0 if transB else 1)
    c = c and f.decoded(c, f("Mul", sa, sb), axis=-1)
    y = f("Gemm", left, right, c, alpha=alpha, beta=alpha, transA=transA, transB=transB)
    return f.encoded(y, sy, zy) if sy else y


def DynamicQuantizeMatMul(f: Body, a: V, b: V, sb: V, zb: V = "", bias: V = "") -> Written:
    """MatMul of an activation, rounded to codes on its own range, with decoded codes."""
    codes, scale, zero = f.several(3, "DynamicQuantizeLinear", a)
    return f.biased(f("MatMul", f.decoded(codes, scale, zero), f.decoded(b, sb, zb, -1)), bias)


def MatMulIntegerToFloat(f: Body, a: V, b: V, sa: V, sb: V, za: V = "", zb: V = "", bias: V = "") -> Written:
    """MatMul of codes, with a scale of B a tensor or a column, to floats."""
    return f.biased(f("MatMul", f.decoded(a, sa, za, -2), f.decoded(b, sb, zb, -1)), bias)


def QLinearWhere(f: Body, condition: V, a: V, sa: V, za: V, b: V, sb: V, zb: V, sy: V, zy: V) -> Written:
    """Where on two tensors of codes."""
    return f.encoded(f("Where", condition, f.decoded(a, sa, za), f.decoded(b, sb, zb)), sy, zy)


def QLinearConcat(f: Body, sy: V, zy: V, *parts: V, axis: int) -> Written:
    """Concat of tensors of codes, each with its scale and zero point."""
    decoded = [f.decoded(*part) for part in zip(parts[::3], parts[1::3], parts[2::3], strict=True)]
    return f.encoded(f("Concat", *decoded, axis=axis), sy, zy)


def QLinearSoftmax(f: Body, x: V, sx: V, zx: V, sy: V, zy: V, *, axis: int = -1, opset: int) -> Written:
    """Softmax of codes; before opset 13 over the axis and all behind it."""
    data = f.decoded(x, sx, zx)
    if opset >= 13:
        return f.encoded(f("Softmax", data, axis=axis), sy, zy)
    flat = f("Softmax", f("Flatten", data, axis=axis), axis=1)
    return f.encoded(f("Reshape", flat, f("Shape", data)), sy, zy)


def _on_codes(op_type: str, operands: int = 1) -> Callable[..., Written]:
    """Return what writes an ordinary operation on codes; each operand is followed by scale and zero point."""

    def write(f: Body, *names: V, channels_last: int = 0, **attributes: Any) -> Written:
        given, y = names[: 3 * operands], names[3 * operands :]
        triples = zip(given[::3], given[1::3], given[2::3], strict=True)
        made = f(op_type, *(f.decoded(*triple) for triple in triples), **attributes)
        return "" if channels_last else f.encoded(made, *y)

    return write


def _channels_second(op_type: str) -> Callable[..., Written]:
    """Return what writes an operation of QONNX that keeps channels last, in data and in a kernel."""

    def write(f: Body, x: V, w: V = "", bias: V = "", **attributes: Any) -> Written:
        rank = len(attributes["kernel_shape"]) + 2 if "kernel_shape" in attributes else f.rank(w)
        if not rank:
            return ""
        second, last = [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]
        data, kernel = (name and f("Transpose", name, perm=second) for name in (x, w))
        return f("Transpose", f(op_type, data, kernel, bias, **attributes), perm=last)

    return write


def _same(op_type: str) -> Callable[..., Written]:
    """Return what writes an operation that the standard took over later, or with more types."""

    def write(f: Body, *names: V, **attributes: Any) -> Written:
        return f(op_type, *names, **attributes)

    return write


_MICROSOFT, _LAST = "com.microsoft", "qonnx.custom_op.channels_last"

FUSED: Mapping[tuple[str, str], Callable[..., Written]] = {
    **{
        (_MICROSOFT, write.__name__): write
        for write in (
            *(BiasGelu, DynamicQuantizeMatMul, EmbedLayerNormalization, FastGelu, FusedConv, FusedGemm),
            *(FusedMatMul, MatMulIntegerToFloat, QEmbedLayerNormalization, QGemm, QLinearConcat),
            *(QLinearSoftmax, QLinearWhere, QuickGelu, SkipLayerNormalization),
            *(SkipSimplifiedLayerNormalization,),
        )
    },
    **{(_MICROSOFT, name): _same(name) for name in ("DequantizeLinear", "Gelu", "QuantizeLinear", "Trilu")},
    **{
        (_MICROSOFT, f"QLinear{name}"): _on_codes(name)
        for name in ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid")
    },
    **{(_MICROSOFT, f"QLinear{name}"): _on_codes(name, 2) for name in ("Add", "Mul")},
    **{(_LAST, name): _channels_second(name) for name in ("Conv", "MaxPool")},
    ("", "QLinearConv"): QLinearConv,
    ("", "QLinearMatMul"): QLinearMatMul,
}
"""What is written out, by domain and op_type."""


def write_out(
    proto: ModelProto,
    elsewhere: Mapping[str, Shape] | None = None,
    limits: Limits = DEFAULTS,
) -> tuple[ModelProto, Mapping[str, NodeProto]]:
    """Return a model with its fused operations written out, and those operations by the mark of their nodes.

    A model without any is returned as it is. The opset imports stay: a body may hold operations that are
    newer. ``elsewhere`` are the shapes of constants that the model has as inputs.
    """
    if not any(op_of(node) in FUSED for node in nodes_in(proto.graph)):
        return proto, {}
    written = ModelProto()
    written.CopyFrom(proto)
    for node in nodes_in(written.graph):
        _forget_marks(node)
    calls: dict[str, NodeProto] = {}
    for node, held in list(_fused(written.graph, {}, elsewhere or {})):
        mark = str(len(calls))
        function = _function(node, mark, held)
        if function is not None:
            calls[mark] = NodeProto.FromString(node.SerializeToString())
            function.opset_import.extend(proto.opset_import)
            written.functions.append(function)
            node.domain, node.op_type = function.domain, function.name
            for names in (node.input, node.output):
                names[:] = filter(None, names)
            del node.attribute[:]
    written.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    result = inlined(written, limits)
    return (proto, {}) if result.functions else (result, calls)


def _forget_marks(node: NodeProto) -> None:
    """Take what says that a node was written out from one that was not."""
    if any(entry.key in (_CALL, _PART, _FACTOR) for entry in node.metadata_props):
        kept = [entry for entry in node.metadata_props if entry.key not in (_CALL, _PART, _FACTOR)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)


class Mark(NamedTuple):
    """What is known of a node that was written out.

    ``call`` is the mark of the operation, ``part`` what the node is for, "" for neither; ``factor`` is what
    its weight is multiplied by beside what it holds.
    """

    call: str = ""
    part: str = ""
    factor: float = 1.0


def mark_of(node: NodeProto) -> Mark:
    """Return what is known of a node that was written out."""
    known = {entry.key: entry.value for entry in node.metadata_props}
    return Mark(known.get(_CALL, ""), known.get(_PART, ""), float(known.get(_FACTOR, 1)))


Held = dict[str, Shape | None]
"""Constants by name: their shapes, or None for what is computed from constants."""


def _fused(graph: GraphProto, held: Held, inputs: Mapping[str, Shape]) -> Iterator[tuple[NodeProto, Held]]:
    """Yield the fused operations of a graph and its bodies, with those of their inputs that are constants.

    ``held`` are the constants outside, and again once all are taken; ``inputs`` are those that are inputs.
    """
    own = {*declared_in(graph), *(name for node in graph.node for name in node.output)}
    hidden = {name: held.pop(name) for name in own & held.keys()}
    held.update(inputs)
    held.update((tensor.name, tuple(tensor.dims)) for tensor in graph.initializer)
    held.update((sparse.values.name, tuple(sparse.dims)) for sparse in graph.sparse_initializer)
    values = ((name, constant_value(node)) for node in graph.node for name in node.output[:1])
    held.update((name, tuple(value.dims)) for name, value in values if value is not None)
    for node in graph.node:
        if op_of(node) in FUSED:
            yield node, {name: held[name] for name in node.input if name in held}
        bodies = list(bodies_in(node))
        for body in bodies:
            yield from _fused(body, held, {})
        given = [name for name in node.input if name]
        if given and not bodies and all(name in held for name in given):
            shape = held[given[0]] if op_of(node) == ("", "Identity") else None
            held.update((name, shape) for name in node.output)
    for name in [*own, *(sparse.values.name for sparse in graph.sparse_initializer)]:
        held.pop(name, None)
    held.update(hidden)


def _function(node: NodeProto, mark: str, held: Held) -> FunctionProto | None:
    """Write out one node; None for a form that its function does not take."""
    write = FUSED[op_of(node)]
    names = [f"i{place}" if name else "" for place, name in enumerate(node.input)]
    f = Body({name: held[source] for name, source in zip(names, node.input, strict=True) if source in held})
    try:
        arguments = inspect.signature(write).bind(f, *names, **_attributes(node))
        results = write(*arguments.args, **arguments.kwargs)
    except (TypeError, ValueError):  # inputs and attributes that it does not take, or of another kind
        return None
    results = [results] if isinstance(results, str) else results
    outputs = [result for result, name in zip(results, node.output, strict=False) if name]
    if not all(outputs) or len(outputs) < sum(map(bool, node.output)):
        return None
    for inner in f.nodes:
        inner.metadata_props.add(key=_CALL, value=mark)
    inputs = [name for name in names if name]
    return helper.make_function(_DOMAIN, f"{node.op_type}{mark}", inputs, outputs, f.nodes, [])


def _attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes, texts as str."""
    found = {}
    for attribute in node.attribute:
        if attribute.type != AttributeProto.UNDEFINED:
            value = helper.get_attribute_value(attribute)
            found[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return found
