"""ONNX's messages as trees: nodes and the bodies in them, tensors wherever they stand, what a node holds.

A damaged file may set any field of an attribute, whatever its type says, so fields are gone by what stands in
them. Which fields lead to tensors is read off ONNX's own description of its messages.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import onnx
from google.protobuf.message import Message
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, NodeProto, SparseTensorProto, TensorProto

Stored: TypeAlias = TensorProto | SparseTensorProto
"""What a constant is stored as."""


def nodes_in(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph, each with those of its bodies behind it."""
    return with_inner(graph.node)


def with_inner(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Yield nodes, each with those of its bodies behind it."""
    for node in nodes:
        yield node
        for body in bodies_in(node):
            yield from with_inner(body.node)


def bodies_in(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a node's attributes hold."""
    for _, body in named_bodies(node):
        yield body


def named_bodies(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """Yield the graphs that a node's attributes hold, each with the attribute's name."""
    for attribute in node.attribute:
        for body in attribute_bodies(attribute):
            yield attribute.name, body


def attribute_bodies(attribute: AttributeProto) -> Iterator[GraphProto]:
    """Yield the graphs that an attribute holds."""
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def declared_in(graph: GraphProto) -> Iterator[str]:
    """Yield the names that a graph gives its inputs and its initializers."""
    yield from (item.name for item in graph.input)
    yield from (item.name for item in graph.initializer)


def all_names(graph: GraphProto) -> Iterator[str]:
    """Yield the names of a graph's values and nodes, those in bodies too."""
    yield from declared_in(graph)
    yield from (item.name for item in graph.output)
    for node in graph.node:
        yield from (node.name, *node.input, *node.output)
        for body in bodies_in(node):
            yield from all_names(body)


def rename(node: NodeProto, names: Mapping[str, str]) -> None:
    """Give some values other names, wherever a node and its bodies name them."""
    for side in (node.input, node.output):
        side[:] = [names.get(name, name) for name in side]
    for body in bodies_in(node):
        for value in (*body.input, *body.output, *body.value_info):
            value.name = names.get(value.name, value.name)
        for tensor in body.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for inner in body.node:
            rename(inner, names)


def stored_in(message: Message, *, bodies: bool = True) -> Iterator[Stored]:
    """Yield the tensors in a message, sparse ones whole, however deep; without ``bodies`` not in graphs."""
    if isinstance(message, TensorProto | SparseTensorProto):
        yield message
        return
    for name, is_list, is_graph in _ways_to_tensors(message.DESCRIPTOR):
        if is_list or message.HasField(name):
            held = getattr(message, name)
            for inner in (held if is_list else (held,)) if bodies or not is_graph else ():
                yield from stored_in(inner, bodies=bodies)


def tensors_in(message: Message) -> Iterator[TensorProto]:
    """Yield the tensors in a message, sparse ones as their parts, however deep they stand."""
    for stored in stored_in(message):
        yield from parts_of(stored)


def parts_of(stored: Stored) -> tuple[TensorProto, ...]:
    """Return a tensor, or the values and the indices that make up a sparse one."""
    return (stored.values, stored.indices) if isinstance(stored, SparseTensorProto) else (stored,)


_BEYOND = 2**128
"""A product of dims that is beyond every limit: it is not multiplied further."""


def element_count(tensor: Stored) -> int:
    """Return how many elements the dims declare; of more than 2**128 only that they are more.

    >>> element_count(TensorProto(dims=[3, 0])), element_count(TensorProto(dims=[2**62] * 9)) == 2**186
    (0, True)
    """
    if 0 in tensor.dims:
        return 0
    count = 1
    for dim in tensor.dims:
        count *= dim
        if count > _BEYOND:
            break
    return count


def domain_of(node: NodeProto) -> str:
    """Return a node's domain, "" for ONNX's own operations, which have two names for it."""
    return "" if node.domain == "ai.onnx" else node.domain


def op_of(node: NodeProto) -> tuple[str, str]:
    """Return what tables know an operation by: domain, "" for ONNX's own, and op_type."""
    return domain_of(node), node.op_type


def is_constant(node: NodeProto) -> bool:
    """Tell whether a node is a Constant of ONNX."""
    return op_of(node) == ("", "Constant")


VALUES = {
    "value": "t",
    "sparse_value": "sparse_tensor",
    "value_float": "f",
    "value_floats": "floats",
    "value_int": "i",
    "value_ints": "ints",
    "value_string": "s",
    "value_strings": "strings",
}
"""The attributes of a Constant that may be its value, and the field in which each should stand."""


def constant_value(node: NodeProto) -> Stored | None:
    """Return the value of a Constant, None of another node, and of one without a value or with bodies."""
    return value_and_others(node)[0]


def value_and_others(node: NodeProto) -> tuple[Stored | None, list[tuple[str, Stored]]]:
    """Return the value of a Constant, None as `constant_value`, and what else it holds.

    Of several values, which only a damaged file has, the first is it.
    """
    if not is_constant(node) or any(True for _ in bodies_in(node)):
        return None, []
    held = held_by(node)
    place = next((place for place, (name, _) in enumerate(held) if name in VALUES), None)
    return (None, held) if place is None else (held.pop(place)[1], held)


def held_by(node: NodeProto) -> list[tuple[str, Stored]]:
    """Return the tensors that a node's attributes hold, by the attribute's name, which more of one number.

    Lists of numbers are tensors where they are a Constant's value or an operation's weights. What a
    ConstantOfShape repeats is none: it counts as what is made of it.
    """
    found = []
    for attribute in node.attribute:
        held = list(stored_in(attribute, bodies=False))
        if is_constant(node):
            held = _of_constant(attribute, held, "".join(node.output[:1]))
        elif attribute.floats and _are_weights(node, attribute.name):
            held.insert(0, _listed(attribute, "floats", ""))
        fills = op_of(node) == ("", "ConstantOfShape")
        for place, stored in enumerate(held):
            if not (fills and attribute.name == "value" and element_count(stored) == 1):
                found.append((f"{attribute.name}.{place}" if place else attribute.name, stored))
    return found


def floats_in(node: NodeProto) -> dict[str, NDArray[np.float64]]:
    """Return the floats that a node's attributes hold, by their names, but for those that are tensors.

    What a ConstantOfShape repeats is among them.
    """
    held = {name for name, _ in held_by(node)}
    found = {each.name: _floats(each) for each in node.attribute if each.name not in held}
    return {name: floats for name, floats in found.items() if floats.size}


def _floats(attribute: AttributeProto) -> NDArray[np.float64]:
    match attribute.type:
        case AttributeProto.FLOAT:
            return np.array([attribute.f], np.float64)
        case AttributeProto.FLOATS:
            return np.array(attribute.floats, np.float64)
        case AttributeProto.TENSOR if attribute.t.data_type in _FLOATS:
            with contextlib.suppress(ValueError):  # no data, as in a damaged file
                return onnx.numpy_helper.to_array(attribute.t).astype(np.float64)
    return np.zeros(0)


_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)

_WEIGHTS = frozenset(
    ("ai.onnx.ml", op, name)
    for op, names in {
        "LinearClassifier": ("coefficients", "intercepts"),
        "LinearRegressor": ("coefficients", "intercepts"),
        "SVMClassifier": ("coefficients", "support_vectors"),
        "SVMRegressor": ("coefficients", "support_vectors"),
    }.items()
    for name in names
) | {("", "TfIdfVectorizer", "weights")}
_STANDARD = ("", "ai.onnx.ml")


def _are_weights(node: NodeProto, name: str) -> bool:
    """Tell whether a list of numbers is weights: of an operation that nobody knows it may be."""
    return domain_of(node) not in _STANDARD or (*op_of(node), name) in _WEIGHTS


_NUMBERS = {
    "f": TensorProto.FLOAT,
    "i": TensorProto.INT64,
    "s": TensorProto.STRING,
    "floats": TensorProto.FLOAT,
    "ints": TensorProto.INT64,
    "strings": TensorProto.STRING,
}
"""The fields of a Constant's values that hold no tensor, and the type of the one that they stand for."""


def _of_constant(attribute: AttributeProto, held: list[Stored], name: str) -> list[Stored]:
    """Return what a Constant's attribute holds, its lists too: first what its name says, if that is there."""
    lists = [field for field in ("floats", "ints", "strings") if getattr(attribute, field)]
    own = VALUES.get(attribute.name, "")
    first = []
    if own in _NUMBERS and (own in lists or not (held or lists) or _is_given(attribute, own)):
        first = [own]
    elif own and not held and not lists:
        held = [getattr(attribute, own)]
    others = [field for field in lists if field != own]
    numbers = [_listed(attribute, field, name) for field in (*first, *others)]
    return [*numbers[: len(first)], *held, *numbers[len(first) :]]


def _is_given(attribute: AttributeProto, field: str) -> bool:
    """Tell whether an attribute has a number or a text in the field for one."""
    return field in ("f", "i", "s") and attribute.HasField(field)


def _listed(attribute: AttributeProto, field: str, name: str) -> TensorProto:
    value = getattr(attribute, field)
    values = [value] if len(field) == 1 else list(value)
    return onnx.helper.make_tensor(name, _NUMBERS[field], [] if len(field) == 1 else [len(values)], values)


@cache
def _ways_to_tensors(kind: Any) -> tuple[tuple[str, bool, bool], ...]:
    """Return the fields of a kind of message in which tensors may stand: name, is a list, holds graphs."""
    fields = [each for each in kind.fields if each.message_type is not None]
    leading = [each for each in fields if _leads_to_tensors(each.message_type, frozenset())]
    graph = GraphProto.DESCRIPTOR.full_name
    return tuple((each.name, _is_list(each), each.message_type.full_name == graph) for each in leading)


def _leads_to_tensors(kind: Any, passed: frozenset[str]) -> bool:
    """Tell whether tensors may stand in a kind of message, or in what is in it."""
    if kind.full_name in passed:
        return False
    inner = [each.message_type for each in kind.fields if each.message_type is not None]
    further = passed | {kind.full_name}
    return kind.full_name == TensorProto.DESCRIPTOR.full_name or any(
        _leads_to_tensors(each, further) for each in inner
    )


def _is_list(field: Any) -> bool:
    """Tell whether a field may stand several times, in every version of protobuf."""
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)
