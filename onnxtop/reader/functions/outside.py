"""Functions that stay calls: their constants become operands of the calls, to be counted like others."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    helper,
)

from onnxtop.reader.functions.calls import Key, by_key, called, imports_of, key_of
from onnxtop.reader.functions.extent import COPIES
from onnxtop.reader.limits import GIB, Limits
from onnxtop.reader.protos import VALUES, Stored, all_names, bodies_in, held_by, is_constant, nodes_in
from onnxtop.reader.search import reached


def with_constants_outside(proto: ModelProto) -> tuple[ModelProto, Mapping[tuple[str, str], str]]:
    """Return a model without functions, and by domain and name why calls of them remain.

    Every constant of a body is a Constant node of the graph, named after its function, and an input of every
    call; a function that nobody calls leaves constants that nobody uses.
    """
    if not proto.functions:
        return proto, {}
    functions = by_key(proto)
    inner = {key: called(function.node, functions) for key, function in functions.items()}
    result = ModelProto()
    result.CopyFrom(proto)
    del result.functions[:]
    names = _Names(all_names(proto.graph))
    outside = {
        key: list(_constants(_prefix(key), function.node, names)) for key, function in functions.items()
    }
    for node in nodes_in(result.graph):
        for key in sorted(reached({key_of(node)} & set(functions), inner.__getitem__)):
            node.input.extend(constant.output[0] for constant in outside[key])
    own = [NodeProto.FromString(node.SerializeToString()) for node in result.graph.node]
    del result.graph.node[:]
    result.graph.node.extend([*(constant for nodes in outside.values() for constant in nodes), *own])
    ours = imports_of(proto).get("", 0)
    return result, {key[:2]: _why(function, ours) for key, function in functions.items()}


def check_outside(
    graph: GraphProto, functions: Mapping[Key, FunctionProto], inner: Mapping[Key, set[Key]], limits: Limits
) -> None:
    """Refuse what `with_constants_outside` would write to more operands, or bytes, than allowed."""
    names = {
        key: [len(_prefix(key)) + len(name) for name, _ in _held_in(function.node)]
        for key, function in functions.items()
    }
    operands, byte_count = 0, sum(map(sum, names.values()))
    for key, calls in Counter(key_of(node) for node in nodes_in(graph) if key_of(node) in functions).items():
        given = [names[each] for each in reached([key], inner.__getitem__)]
        operands += calls * sum(map(len, given))
        byte_count += calls * sum(map(sum, given))
    limits.check("tensors", operands)
    limits.check("structure", COPIES * byte_count / GIB)


def holder_of(function: FunctionProto, attributes: Iterable[AttributeProto]) -> FunctionProto:
    """Return a function of the same name that nobody calls, whose body holds what some attributes do."""
    holder = FunctionProto(domain=function.domain, name=function.name, opset_import=function.opset_import)
    node = NodeProto(domain=_ANY, attribute=attributes)
    holder.node.extend(_constants("", [node], _Names()))
    return holder


def _constants(prefix: str, nodes: Iterable[NodeProto], names: "_Names") -> Iterator[NodeProto]:
    """Yield what nodes and their bodies hold as Constant nodes, of names that nothing else has."""
    for number, (name, stored) in enumerate(_held_in(nodes)):
        constant = helper.make_node("Constant", [], [names.free(f"{prefix}{name or number}")])
        kind = "sparse_value" if isinstance(stored, SparseTensorProto) else "value"
        constant.attribute.append(helper.make_attribute(kind, stored))
        yield constant


class _Names:
    """Names that are taken; ``free`` gives another, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._times: Counter[str] = Counter()

    def free(self, wanted: str) -> str:
        """Return a name, with a number behind it where it is taken."""
        name = wanted
        while name in self._taken:
            self._times[wanted] += 1
            name = f"{wanted}#{self._times[wanted]}"
        self._taken.add(name)
        return name


def _held_in(nodes: Iterable[NodeProto]) -> Iterator[tuple[str, Stored]]:
    """Yield names and tensors: a Constant's has its result's name, another the attribute's."""
    for node in nodes:
        first = node.output[0] if is_constant(node) and node.output else ""
        for name, stored in held_by(node):
            yield (f"{first}.{name}" if first and name not in VALUES else first or name), stored
        for body in bodies_in(node):
            yield from ((tensor.name, tensor) for tensor in body.initializer)
            yield from ((sparse.values.name, sparse) for sparse in body.sparse_initializer)
            yield from _held_in(body.node)


_ANY = "onnxtop.any"
"""A domain of operations that nobody knows."""


def _prefix(key: Key) -> str:
    return "".join(f"{part}." for part in key if part)


def _why(function: FunctionProto, ours: int) -> str:
    theirs = imports_of(function).get("", 0)
    name = f"the function {function.domain}.{function.name}"
    if theirs == ours:
        return f"{name} cannot be written out by onnx"
    return f"{name} is written in opset {theirs}, the model in {ours}, and onnx cannot convert it"
