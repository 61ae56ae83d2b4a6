"""Fused operations written out in ordinary ones, as ONNX functions that onnx's own inliner inlines.

One function an operation, named exactly as it, its attributes as keyword defaults: it is given the `Body` to
write and the names of its inputs (None for one that is left out), and returns the names of its outputs. So
whatever knows ordinary operations knows fused ones. A form that a function does not take (an attribute or
input that it has no name for, an output that it does not make) stays the one operation that it is.

Definitions: onnxruntime, docs/ContribOperators.md. Bodies use operations of the newest opset that all tools
here run, whatever opset the model is in: onnxruntime too writes LayerNormalization into old models.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, helper, inliner

__all__ = ["FUSED", "Body", "inlined", "mark_of", "write_out"]

_DOMAIN = "onnxtop"
_CALL, _PART = "onnxtop.call", "onnxtop.part"
_MICROSOFT = "com.microsoft"


Shape = tuple[int, ...]


class Body:
    """The body of a function as it is written; called with an operation and its inputs, it adds a node.

    ``shapes`` are those of the function's inputs where the model tells (0 for an open size), ``held`` those
    of its inputs that are constants.
    """

    def __init__(self, shapes: Mapping[str, Shape], held: Sequence[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.shapes = shapes
        self.held = held

    def __call__(self, op_type: str, *inputs: str | None, part: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name; ``part`` says what the node is for."""
        return self.several(1, op_type, *inputs, part=part, **attributes)[0]

    def several(
        self, count: int, op_type: str, *inputs: str | None, part: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        outputs = [f"v{len(self.nodes)}_{place}" for place in range(count)]
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        node = helper.make_node(op_type, [name or "" for name in inputs], outputs, **attributes)
        if part:
            node.metadata_props.add(key=_PART, value=part)
        self.nodes.append(node)
        return outputs

    def constant(self, **value: Any) -> str:
        """Return a constant, given as a Constant node's attribute."""
        return self("Constant", **value)

    def scaled(self, value: str, factor: float) -> str:
        """Multiply a value by a number."""
        return value if factor == 1 else self("Mul", value, self.constant(value_float=float(factor)))

    def biased(self, value: str, bias: str | None) -> str:
        """Add a bias if there is one."""
        return value if bias is None else self("Add", value, bias, part="bias")


Written = Sequence[str | None] | str | None
"""Names of the outputs, None for one that is not made; None for a form that is not written out."""


# Products and convolutions with what comes after them.


def FusedGemm(
    f: Body,
    a: str,
    b: str,
    c: str | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    **attributes: Any,
) -> Written:
    """Gemm, then an activation function."""
    settings = {"alpha": activation_alpha, "beta": activation_beta, "gamma": activation_gamma}
    return _activated(f, f("Gemm", a, b, c, **attributes), activation, settings)


def FusedConv(
    f: Body,
    x: str,
    w: str,
    b: str | None = None,
    z: str | None = None,
    *,
    activation: str = "",
    activation_params: Sequence[float] = (),
    **attributes: Any,
) -> Written:
    """Conv, plus another activation, then an activation function."""
    y = f("Conv", x, w, b, **attributes)
    names = ("min", "max") if activation == "Clip" else ("alpha", "beta")
    settings = dict(zip(names, activation_params, strict=False))
    return _activated(f, y if z is None else f("Add", y, z), activation, settings)


def _activated(f: Body, y: str, activation: str, settings: Mapping[str, float | None]) -> str:
    given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
    if activation == "Clip":
        return f("Clip", y, *(f.constant(value_float=bound) for bound in given.values()))
    return f(activation, y, **given) if activation else y


def FusedMatMul(
    f: Body,
    a: str,
    b: str,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Written:
    """``alpha * A' @ B'``; transBatch brings the first axis next to the last before all else."""
    left, right = _turned(f, a, transA, transBatchA), _turned(f, b, transB, transBatchB)
    if b in f.held:
        right = f.scaled(right, alpha)
    elif a in f.held:
        left = f.scaled(left, alpha)
    product = f("MatMul", left, right)
    return product if a in f.held or b in f.held else f.scaled(product, alpha)


def _turned(f: Body, x: str, transposed: int, batch: int) -> str:
    """Return a factor as the product sees it, by an Einsum where nothing tells its rank."""
    rank = len(f.shapes.get(x, ()))
    if not (transposed or batch) or rank == 1:
        return x
    if not rank:
        letters = {(1, 0): "...ij->...ji", (0, 1): "i...j->...ij", (1, 1): "j...i->...ij"}
        return f("Einsum", x, equation=letters[bool(transposed), bool(batch)])
    order = [*range(1, rank - 1), 0, rank - 1] if batch else list(range(rank))
    return f("Transpose", x, perm=[*order[:-2], *order[:-3:-1]] if transposed else order)


# Activation functions.


def Gelu(f: Body, x: str) -> Written:
    """Gelu, before the standard had it."""
    return f("Gelu", x)


def BiasGelu(f: Body, x: str, bias: str) -> Written:
    """Gelu of x + bias."""
    return f("Gelu", f.biased(x, bias))


def FastGelu(f: Body, x: str, bias: str | None = None) -> Written:
    """Gelu of x + bias, approximated by tanh."""
    return f("Gelu", f.biased(x, bias), approximate="tanh")


def QuickGelu(f: Body, x: str, *, alpha: float = 1.702) -> Written:
    """``x * sigmoid(alpha * x)``."""
    return f("Mul", x, f("Sigmoid", f.scaled(x, alpha)))


# Normalisation.


def SkipLayerNormalization(
    f: Body,
    x: str,
    skip: str,
    gamma: str,
    beta: str | None = None,
    bias: str | None = None,
    *,
    epsilon: float = 1e-12,
) -> Written:
    """Layer normalisation of x + skip + bias; the last output is that sum."""
    total = f.biased(f("Add", x, skip), bias)
    return [*f.several(3, "LayerNormalization", total, gamma, beta, epsilon=epsilon), total]


def SkipSimplifiedLayerNormalization(
    f: Body, x: str, skip: str, gamma: str, bias: str | None = None, *, epsilon: float = 1e-12
) -> Written:
    """Normalisation around 0 of x + skip + bias; the last output is that sum."""
    total = f.biased(f("Add", x, skip), bias)
    return [f("SimplifiedLayerNormalization", total, gamma, epsilon=epsilon), None, None, total]


# Operations on codes: decoded, the ordinary operation, and encoded again where the result is codes too.


def _decoded(
    f: Body, codes: str | None, scale: str | None, zero_point: str | None = None, axis: int = 1
) -> str:
    """Decode; one zero point for many scales is written out, since DequantizeLinear wants one each."""
    shapes = [f.shapes.get(name or "") for name in (scale, zero_point)]
    if None not in shapes and [math.prod(shape or ()) == 1 for shape in shapes] == [False, True]:
        zero_point = f("Expand", zero_point, f("Shape", scale))
    return f("DequantizeLinear", codes, scale, zero_point, axis=axis)


def DequantizeLinear(f: Body, x: str, scale: str, zero_point: str | None = None, *, axis: int = 1) -> Written:
    """DequantizeLinear, before the standard had all its types."""
    return f("DequantizeLinear", x, scale, zero_point, axis=axis)


def QuantizeLinear(f: Body, x: str, scale: str, zero_point: str | None = None, *, axis: int = 1) -> Written:
    """QuantizeLinear, before the standard had all its types."""
    return f("QuantizeLinear", x, scale, zero_point, axis=axis)


def QLinearMatMul(
    f: Body, a: str, a_scale: str, a_zero: str, b: str, b_scale: str, b_zero: str, *y: str
) -> Written:
    """MatMul of codes, with a scale a tensor, a row (left) or a column (right)."""
    left, right = _decoded(f, a, a_scale, a_zero, -2), _decoded(f, b, b_scale, b_zero, -1)
    return f("QuantizeLinear", f("MatMul", left, right), *y)


def QLinearConv(
    f: Body,
    x: str,
    x_scale: str,
    x_zero: str,
    w: str,
    w_scale: str,
    w_zero: str,
    y_scale: str,
    y_zero: str,
    bias: str | None = None,
    **attributes: Any,
) -> Written:
    """Conv with a kernel scale a tensor or a channel out; the bias is in units of both scales."""
    data, kernel = _decoded(f, x, x_scale, x_zero), _decoded(f, w, w_scale, w_zero, 0)
    shift = bias and _decoded(f, bias, f("Mul", x_scale, w_scale), axis=0)
    return f("QuantizeLinear", f("Conv", data, kernel, shift, **attributes), y_scale, y_zero)


def QGemm(
    f: Body,
    a: str,
    a_scale: str,
    a_zero: str,
    b: str,
    b_scale: str,
    b_zero: str,
    c: str | None = None,
    y_scale: str | None = None,
    y_zero: str | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Written:
    """Gemm with a scale of B a tensor or an output; C is in units of alpha and both scales."""
    left, right = _decoded(f, a, a_scale, a_zero), _decoded(f, b, b_scale, b_zero, 0 if transB else 1)
    shift = c and _decoded(f, c, f("Mul", a_scale, b_scale), axis=-1)
    y = f("Gemm", left, right, shift, alpha=alpha, beta=alpha, transA=transA, transB=transB)
    return y if y_scale is None else f("QuantizeLinear", y, y_scale, y_zero)


def DynamicQuantizeMatMul(
    f: Body, a: str, b: str, scale: str, zero_point: str | None = None, bias: str | None = None
) -> Written:
    """MatMul of an activation, rounded to codes on its own range, with decoded codes."""
    data = f("DequantizeLinear", *f.several(3, "DynamicQuantizeLinear", a))
    return f.biased(f("MatMul", data, _decoded(f, b, scale, zero_point, -1)), bias)


def MatMulIntegerToFloat(
    f: Body,
    a: str,
    b: str,
    a_scale: str,
    b_scale: str,
    a_zero: str | None = None,
    b_zero: str | None = None,
    bias: str | None = None,
) -> Written:
    """MatMul of codes, with a scale of B a tensor or a column, to floats."""
    left, right = _decoded(f, a, a_scale, a_zero, -2), _decoded(f, b, b_scale, b_zero, -1)
    return f.biased(f("MatMul", left, right), bias)


def QLinearWhere(
    f: Body, condition: str, x: str, x_scale: str, x_zero: str, y: str, y_scale: str, y_zero: str, *z: str
) -> Written:
    """Where on two tensors of codes."""
    sides = _decoded(f, x, x_scale, x_zero), _decoded(f, y, y_scale, y_zero)
    return f("QuantizeLinear", f("Where", condition, *sides), *z)


def QLinearConcat(f: Body, y_scale: str, y_zero: str, *parts: str, axis: int) -> Written:
    """Concat of tensors of codes, each with its scale and zero point."""
    decoded = [_decoded(f, *part) for part in zip(parts[::3], parts[1::3], parts[2::3], strict=True)]
    return f("QuantizeLinear", f("Concat", *decoded, axis=axis), y_scale, y_zero)


def QLinearSoftmax(
    f: Body, x: str, scale: str, zero_point: str, *y: str, axis: int = -1, opset: int
) -> Written:
    """Softmax of codes; before opset 13 over the axis and all behind it."""
    data = _decoded(f, x, scale, zero_point)
    if opset >= 13:
        return f("QuantizeLinear", f("Softmax", data, axis=axis), *y)
    flat = f("Softmax", f("Flatten", data, axis=axis), axis=1)
    return f("QuantizeLinear", f("Reshape", flat, f("Shape", data)), *y)


def _on_codes(op_type: str, operands: int = 1) -> Callable[..., Written]:
    """Return what writes an ordinary operation on codes; each operand is followed by scale and zero point."""

    def write(f: Body, *names: str | None, channels_last: int = 0, **attributes: Any) -> Written:
        if channels_last:
            return None
        given, y = names[: 3 * operands], names[3 * operands :]
        triples = zip(given[::3], given[1::3], given[2::3], strict=True)
        decoded = [_decoded(f, codes, scale, zero) for codes, scale, zero in triples]
        return f("QuantizeLinear", f(op_type, *decoded, **attributes), *y)

    return write


FUSED: Mapping[tuple[str, str], Callable[..., Written]] = {
    (_MICROSOFT, write.__name__): write
    for write in (
        *(BiasGelu, FastGelu, FusedConv, FusedGemm, FusedMatMul, Gelu, QuickGelu),
        *(SkipLayerNormalization, SkipSimplifiedLayerNormalization),
        *(DequantizeLinear, DynamicQuantizeMatMul, MatMulIntegerToFloat, QGemm, QuantizeLinear),
        *(QLinearConcat, QLinearSoftmax, QLinearWhere),
    )
} | {
    ("", "QLinearConv"): QLinearConv,
    ("", "QLinearMatMul"): QLinearMatMul,
    (_MICROSOFT, "QLinearAdd"): _on_codes("Add", 2),
    (_MICROSOFT, "QLinearAveragePool"): _on_codes("AveragePool"),
    (_MICROSOFT, "QLinearGlobalAveragePool"): _on_codes("GlobalAveragePool"),
    (_MICROSOFT, "QLinearLeakyRelu"): _on_codes("LeakyRelu"),
    (_MICROSOFT, "QLinearMul"): _on_codes("Mul", 2),
    (_MICROSOFT, "QLinearSigmoid"): _on_codes("Sigmoid"),
}
"""What is written out, by domain and op_type."""


def write_out(proto: ModelProto) -> tuple[ModelProto, Mapping[str, NodeProto]]:
    """Return a model with its fused operations written out, and those operations by the mark of their nodes.

    A model without any is returned as it is. The opset imports stay: a body may hold operations that are
    newer.
    """
    if not any((node.domain, node.op_type) in FUSED for node in _nodes(proto.graph)):
        return proto, {}
    written = ModelProto()
    written.CopyFrom(proto)
    known = _Known.of(written.graph)
    calls: dict[str, NodeProto] = {}
    for node in [node for node in _nodes(written.graph) if (node.domain, node.op_type) in FUSED]:
        mark, call = str(len(calls)), NodeProto.FromString(node.SerializeToString())
        function = _function(node, mark, known)
        if function is not None:
            calls[mark] = call
            function.opset_import.extend(proto.opset_import)
            written.functions.append(function)
            node.domain, node.op_type = function.domain, function.name
            node.input[:] = filter(None, node.input)
            del node.attribute[:]
    written.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    result = inlined(written)
    return (proto, {}) if result is written else (result, calls)


def inlined(proto: ModelProto) -> ModelProto:
    """Return the model with calls of its own functions replaced by their bodies, as it is if that fails."""
    try:
        return inliner.inline_local_functions(proto) if proto.functions else proto
    except Exception:  # the inliner raises bare C++ errors; the calls then count as unknown operations
        return proto


def mark_of(node: NodeProto) -> tuple[str, str]:
    """Return the mark of the call that a node was written out from, and what it is for; "" for neither."""
    marks = {entry.key: entry.value for entry in node.metadata_props if entry.key in (_CALL, _PART)}
    return marks.get(_CALL, ""), marks.get(_PART, "")


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for body in _bodies(node):
            yield from _nodes(body)


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


class _Known(NamedTuple):
    """What a model tells of its values by name: declared shapes, which are constants, which something takes.

    A name that stands for values of different shapes in different scopes has none here.
    """

    shapes: Mapping[str, Shape]
    held: frozenset[str]
    taken: frozenset[str]

    @classmethod
    def of(cls, proto: GraphProto) -> "_Known":
        graphs = [proto, *(body for node in _nodes(proto) for body in _bodies(node))]
        declared = [
            (value.name, tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim))
            for graph in graphs
            for value in (*graph.input, *graph.value_info, *graph.output)
            if value.type.tensor_type.HasField("shape")
        ]
        held = [(tensor.name, tuple(tensor.dims)) for graph in graphs for tensor in graph.initializer]
        held += [
            (node.output[0], tuple(attribute.t.dims))
            for node in _nodes(proto)
            for attribute in node.attribute
            if node.op_type == "Constant" and attribute.name == "value" and node.output
        ]
        shapes = dict([*declared, *held])
        for name, shape in (*declared, *held):
            if shapes.get(name) != shape:
                shapes.pop(name, None)
        taken = {name for node in _nodes(proto) for name in node.input if name}
        taken.update(value.name for graph in graphs for value in graph.output)
        return cls(shapes, frozenset(name for name, _ in held), frozenset(taken))


def _function(node: NodeProto, mark: str, known: _Known) -> FunctionProto | None:
    """Write out one node; None for a form that its function does not take."""
    write = FUSED[node.domain, node.op_type]
    names = [f"i{place}" if name else None for place, name in enumerate(node.input)]
    sources = {name: node.input[place] for place, name in enumerate(names) if name}
    f = Body(
        {name: known.shapes[source] for name, source in sources.items() if source in known.shapes},
        [name for name, source in sources.items() if source in known.held],
    )
    try:
        arguments = inspect.signature(write).bind(f, *names, **_attributes(node))
        results = write(*arguments.args, **arguments.kwargs)
    except (TypeError, ValueError):  # inputs and attributes that it does not take, or of another kind
        return None
    results = [results] if isinstance(results, str) else list(results or ())
    results += [None] * (len(node.output) - len(results))
    made = {name: result for name, result in zip(node.output, results, strict=False) if name and result}
    if not known.taken.intersection(node.output) <= made.keys():
        return None
    node.output[:] = made
    for inner in f.nodes:
        inner.metadata_props.add(key=_CALL, value=mark)
    name = f"{node.op_type}{mark}"
    return helper.make_function(_DOMAIN, name, list(sources), list(made.values()), f.nodes, [])


def _attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes, texts as str."""
    found = {}
    for attribute in node.attribute:
        if attribute.type != AttributeProto.UNDEFINED:
            value = helper.get_attribute_value(attribute)
            found[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return found
