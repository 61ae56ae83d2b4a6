"""Functions of another opset than the model's, brought into it."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, inliner

from onnxtop.reader.functions.calls import (
    Key,
    all_nodes,
    domain_of,
    imports_of,
    key_of,
    write_imports,
)
from onnxtop.reader.functions.types import guessed
from onnxtop.reader.protos import bodies_in, declared_in, nodes_in, rename, with_inner
from onnxtop.reader.schemas import since

_MOST_WAYS = 500
"""In which functions are called that are converted: each takes as long as inlining a thousand calls."""
_INLINED = "__1"
"""What onnx puts behind the names of a body that it inlines once."""


def aligned(function: FunctionProto, imports: Mapping[str, int]) -> FunctionProto:
    """Return a function whose imports differ from the model's in ONNX's own operations alone.

    Only those change with their version in a way that matters here, and only those can be converted.
    """
    result = FunctionProto()
    result.CopyFrom(function)
    own = imports_of(function)
    for domain, version in own.items():
        if domain or _is_unchanged(function, version, imports.get("", 0)):
            own[domain] = imports.get(domain, version)
    write_imports(result, own)
    return result


def _is_unchanged(function: FunctionProto, old: int, new: int) -> bool:
    """Tell whether all of ONNX's operations in a body are the same in two of its versions."""
    operations = {node.op_type for node in with_inner(function.node) if not domain_of(node.domain)}
    return old == new or all(since(each, old) == since(each, new) != 0 for each in operations)


class Converter:
    """Brings bodies into the model's opset, each once for each way in which it is called.

    That is with other attributes, or operands left out; the inliner would convert at every call, which takes
    longer than all else.

    Attributes
    ----------
    origins
        Of the functions that were made, by their keys, what they are made of.
    left
        Functions that were called in more ways than are converted.
    """

    def __init__(self, proto: ModelProto, functions: Mapping[Key, FunctionProto]) -> None:
        self.origins: dict[Key, Key] = {}
        self.left: set[Key] = set()
        self._proto = proto
        nodes = all_nodes(proto, functions)
        self._taken = {*(name for _, name, _ in functions), *(node.op_type for node in with_inner(nodes))}
        self._own = {item.version for item in proto.opset_import if not domain_of(item.domain)}
        self._made: dict[tuple[object, ...], FunctionProto | None] = {}

    def ready(self, graph: GraphProto, functions: Sequence[FunctionProto]) -> list[FunctionProto]:
        """Return what can be inlined; calls in the graph name bodies that were converted.

        What cannot be converted stays what it is.
        """
        odd = {key_of(function): function for function in functions if self._differs(function)}
        if not odd:
            return [*functions]
        used: dict[Key, FunctionProto] = {}
        for node in nodes_in(graph):
            key = key_of(node)
            if key in odd and not any(True for _ in bodies_in(node)):
                variant = self._variant(node, odd[key])
                if variant is not None:
                    used[key_of(variant)] = variant
                    node.op_type = variant.name
        return [*(each for each in functions if key_of(each) not in self.left), *used.values()]

    def give_back(self, graph: GraphProto) -> None:
        """Give calls that stay the names of what they call again."""
        for node in nodes_in(graph) if self.origins else ():
            node.op_type = self.origins.get(key_of(node), key_of(node))[1]

    def converts(self, functions: Iterable[FunctionProto]) -> bool:
        """Tell whether functions are of another opset, so that types matter, and what is called how."""
        return any(map(self._differs, functions))

    def _differs(self, function: FunctionProto) -> bool:
        return any(item.version not in self._own for item in function.opset_import if not item.domain)

    def _variant(self, node: NodeProto, function: FunctionProto) -> FunctionProto | None:
        """Return a function as a node calls it, in the model's opset; None if there is none."""
        key = key_of(function)
        attributes = sorted(item.SerializeToString(deterministic=True) for item in node.attribute)
        way = (key, *map(bool, node.input), *attributes)
        if way not in self._made:
            if len(self._made) >= _MOST_WAYS:
                self.left.add(key)
                return None
            names = (f"{function.name}#{number}" for number in itertools.count(len(self._made)))
            name = next(name for name in names if name not in self._taken)
            self._taken.add(name)
            self._made[way] = made = _converted(node, function, self._proto, name)
            if made is not None:
                self.origins[key_of(made)] = key
        return self._made[way]


def _converted(
    node: NodeProto, function: FunctionProto, proto: ModelProto, name: str
) -> FunctionProto | None:
    """Return a function as it is called by a node, in the model's opset; None if it cannot be."""
    if len(node.input) > len(function.input):
        return None
    call = NodeProto()
    call.CopyFrom(node)
    given = [own if outer else "" for own, outer in zip(function.input, node.input, strict=False)]
    call.input[:], call.output[:] = given, function.output
    trial = ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import, functions=[function])
    trial.graph.node.append(call)
    trial.graph.input.extend(map(guessed, filter(None, given)))
    trial.graph.output.extend(map(guessed, function.output))
    try:
        result = inliner.inline_local_functions(trial, convert_version=True)
    except Exception:  # the inliner raises bare C++ errors
        return None
    if result.functions or result.graph.initializer:
        return None
    names = {f"{name}{_INLINED}": name for name in _own_names(function)}
    for each in result.graph.node:
        rename(each, names)
    for each in with_inner(result.graph.node):
        each.name = names.get(each.name, each.name)
    return FunctionProto(
        domain=function.domain,
        name=name,
        overload=function.overload,
        input=function.input,
        output=function.output,
        node=result.graph.node,
        opset_import=result.opset_import,
    )


def _own_names(function: FunctionProto) -> Iterator[str]:
    """Yield the names in a body that nobody knows outside: of nodes, and of values."""
    outer = {*function.input, *function.output}
    for node in with_inner(function.node):
        inner = [name for body in bodies_in(node) for name in declared_in(body)]
        yield from (name for name in (node.name, *node.output, *inner) if name and name not in outer)
