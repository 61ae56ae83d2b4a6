"""How many elements a model's constants have, counted without the reader.

Codes that share a byte are counted each, of a ConstantOfShape what it makes, of sparse tensors everything.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from tests.reader.extraction import Scope, load

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
ATTRIBUTES = {
    "LinearClassifier": ("coefficients", "intercepts"),
    "LinearRegressor": ("coefficients", "intercepts"),
    "SVMClassifier": ("coefficients", "support_vectors"),
    "SVMRegressor": ("coefficients", "support_vectors"),
    "TfIdfVectorizer": ("weights",),
}


def count(path: Path) -> int:
    """Return the elements of all constants."""
    scopes = _scopes(load(path))
    codes = _packed(scopes)
    return sum(codes.get(key, elements) for key, elements in _tensors(scopes))


Key = tuple[int, str]
"""A scope and a name in it."""

Scopes = list[tuple[Scope, list[NodeProto]]]


def _scopes(model: ModelProto) -> Scopes:
    root = Scope(model, model.graph)
    nodes: dict[int, tuple[Scope, list[NodeProto]]] = {id(root): (root, [])}
    for node, scope in root.walk():
        nodes.setdefault(id(scope), (scope, []))[1].append(node)
    return list(nodes.values())


def _tensors(scopes: Scopes) -> Iterator[tuple[Key, int]]:
    """Yield each constant and its elements."""
    for scope, nodes in scopes:
        for tensor in scope.graph.initializer:
            yield (id(scope), tensor.name), math.prod(tensor.dims)
        for sparse in scope.graph.sparse_initializer:
            yield (id(scope), sparse.values.name), math.prod(sparse.dims)
        for node in nodes:
            yield from _in_attributes(scope, node)
            if node.op_type == "ConstantOfShape":
                shape = scope.constant(node.input[0])
                if shape is not None:
                    yield (id(scope), node.output[0]), math.prod(shape.tolist())


def _in_attributes(scope: Scope, node: NodeProto) -> Iterator[tuple[Key, int]]:
    key = id(scope), node.output[0] if node.output else ""
    for attribute in node.attribute:
        if node.op_type == "Constant":
            yield key, _held(attribute)
        elif attribute.name in ATTRIBUTES.get(node.op_type, ()):
            yield (id(scope), f"{key[1]}.{attribute.name}"), len(attribute.floats)


def _held(attribute: AttributeProto) -> int:
    match attribute.name:
        case "value":
            return math.prod(attribute.t.dims)
        case "sparse_value":
            return math.prod(attribute.sparse_tensor.dims)
        case "value_floats" | "value_ints" | "value_strings":
            return len(attribute.floats) + len(attribute.ints) + len(attribute.strings)
        case "value_float" | "value_int" | "value_string":
            return 1
    return 0


def _packed(scopes: Scopes) -> dict[Key, int]:
    """Return how many codes there are in the tensors of which several share a byte."""
    codes: dict[Key, int] = {}
    for scope, nodes in scopes:
        for node in nodes:
            options = {item.name: item.i for item in node.attribute}
            if node.op_type == "MatMulNBits":
                codes.update(dict.fromkeys(_reached(scope, node, 1), options["K"] * options["N"]))
            if node.op_type == "GatherBlockQuantized":
                for key, tensor in _reached(scope, node, 0).items():
                    packed = tensor.data_type == TensorProto.UINT8
                    codes[key] = math.prod(tensor.dims) * (8 // options.get("bits", 4) if packed else 1)
    return codes


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
