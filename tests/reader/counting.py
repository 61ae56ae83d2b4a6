"""How many elements a model's floating-point constants and codes have, counted without the reader.

Floats are all counted. Of the integers, codes are: tensors that reach, through operations that only move
them, an operand of a quantised operation. The weights' and biases' have to be counted; scales' companions
(zero points of activations) may be.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from onnx import ModelProto, NodeProto, TensorProto

from tests.reader.extraction import Scope, load

FLOATS = frozenset(
    value
    for name, value in TensorProto.DataType.items()
    if name.startswith(("FLOAT", "DOUBLE", "BFLOAT")) and not name.startswith("FLOAT_")
)
MOVES = frozenset(
    [
        "Identity",
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Cast",
        "Slice",
        "Split",
        "Concat",
    ]
)
NARROW = frozenset({TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4})
ATTRIBUTES = {
    "LinearClassifier": ("coefficients", "intercepts"),
    "LinearRegressor": ("coefficients", "intercepts"),
    "SVMClassifier": ("coefficients", "support_vectors"),
    "SVMRegressor": ("coefficients", "support_vectors"),
    "TfIdfVectorizer": ("weights",),
}

# Operands that are codes of weights or biases, and those that are companions.
CODES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "DequantizeLinear": ((0,), (2,)),
    "QuantizeLinear": ((), (2,)),
    "QLinearMatMul": ((0, 3), (2, 5, 7)),
    "QLinearConv": ((3, 8), (2, 5, 7)),
    "QGemm": ((3, 6), (2, 5, 8)),
    "MatMulInteger": ((0, 1), (2, 3)),
    "ConvInteger": ((1,), (2, 3)),
    "DynamicQuantizeLSTM": ((1, 2), (9, 11)),
    "DynamicQuantizeMatMul": ((1,), (3,)),
    "MatMulIntegerToFloat": ((1,), (4, 5)),
    "MatMulNBits": ((), (3, 4)),
    "GatherBlockQuantized": ((), (3,)),
    "QAttention": ((1,), (6, 7)),
    "QEmbedLayerNormalization": ((2, 3, 4, 5, 6), (13, 14, 15, 16, 17)),
}


class Count(NamedTuple):
    """What has to be counted, and what may be on top of that."""

    least: int
    most: int


def count(path: Path) -> Count:
    scopes = _scopes(load(path))
    codes, companions = _codes(scopes)
    least = most = 0
    for key, elements, is_float in _tensors(scopes):
        if is_float or key in codes:
            least += codes.get(key) or elements
        elif key in companions:
            most += elements
    return Count(least, least + most)


Key = tuple[int, str]
"""A scope and a name in it."""

Scopes = list[tuple[Scope, list[NodeProto]]]


def _scopes(model: ModelProto) -> Scopes:
    root = Scope(model, model.graph)
    nodes: dict[int, tuple[Scope, list[NodeProto]]] = {id(root): (root, [])}
    for node, scope in root.walk():
        nodes.setdefault(id(scope), (scope, []))[1].append(node)
    return list(nodes.values())


def _tensors(scopes: Scopes) -> Iterator[tuple[Key, int, bool]]:
    """Yield each constant, its elements, whether it is of floats."""
    for scope, nodes in scopes:
        for tensor in scope.graph.initializer:
            yield (id(scope), tensor.name), math.prod(tensor.dims), tensor.data_type in FLOATS
        for sparse in scope.graph.sparse_initializer:
            yield (id(scope), sparse.values.name), math.prod(sparse.dims), sparse.values.data_type in FLOATS
        for node in nodes:
            yield from _in_attributes(scope, node)
            if node.op_type == "ConstantOfShape":
                shape = scope.constant(node.input[0])
                held = [a.t.data_type for a in node.attribute if a.name == "value"]
                if shape is not None:
                    key = id(scope), node.output[0]
                    yield key, math.prod(shape.tolist()), (held or [TensorProto.FLOAT])[0] in FLOATS


def _in_attributes(scope: Scope, node: NodeProto) -> Iterator[tuple[Key, int, bool]]:
    key = id(scope), node.output[0] if node.output else ""
    for attribute in node.attribute:
        if node.op_type == "Constant" and attribute.name == "value":
            yield key, math.prod(attribute.t.dims), attribute.t.data_type in FLOATS
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            yield key, 1 if attribute.name == "value_float" else len(attribute.floats), True
        elif node.domain == "ai.onnx.ml" and attribute.name in ATTRIBUTES.get(node.op_type, ()):
            yield (id(scope), f"{key[1]}.{attribute.name}"), len(attribute.floats), True


def _codes(scopes: Scopes) -> tuple[dict[Key, int], set[Key]]:
    """Return the codes of weights, with how many they are where several share a byte, and the companions."""
    codes: dict[Key, int] = {}
    companions: set[Key] = set()
    for scope, nodes in scopes:
        for node in nodes:
            weights, more = CODES.get(node.op_type, ((), ()))
            for position in weights:
                codes.update(dict.fromkeys(_reached(scope, node, position), 0))
            for position in more:
                companions.update(_reached(scope, node, position))
            options = {item.name: item.i for item in node.attribute}
            if node.op_type == "MatMulNBits":
                codes.update(dict.fromkeys(_reached(scope, node, 1), options["K"] * options["N"]))
            if node.op_type == "Cast":  # some exporters spell decoding out: Cast, Mul, Add
                narrow = {k: t for k, t in _reached(scope, node, 0).items() if t.data_type in NARROW}
                codes.update(dict.fromkeys(narrow, 0))
            if node.op_type == "GatherBlockQuantized":
                for key, tensor in _reached(scope, node, 0).items():
                    packed = tensor.data_type == TensorProto.UINT8
                    codes[key] = math.prod(tensor.dims) * (8 // options.get("bits", 4) if packed else 1)
    return codes, companions


def _reached(scope: Scope, node: NodeProto, position: int) -> dict[Key, TensorProto]:
    """Return the tensors behind an operand, through what only moves them."""
    name = node.input[position] if position < len(node.input) else ""
    found: dict[Key, TensorProto] = {}
    pending = [(scope, name)]
    while pending:
        here, value = pending.pop()
        home = here.home(value) if value else None
        if home is None:
            continue
        if value in home.tensors:
            found[id(home), value] = home.tensors[value]
        elif value in home.producers:
            producer = home.producers[value]
            if producer.op_type == "Constant":
                found.update({(id(home), value): a.t for a in producer.attribute if a.name == "value"})
            elif producer.op_type in MOVES:
                every = producer.input if producer.op_type == "Concat" else producer.input[:1]
                pending += [(home, item) for item in every]
        elif home.outer is not None and home.carried(value):
            pending.append((home.outer, home.carried(value) or ""))
    return found
