"""The bodies of If, Loop and Scan again: which nodes belong to which, what enters and what leaves.

`Model` lays all nodes out in one row, a body after the node that holds it. A value that a body's nodes never
name is None here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, GraphProto, NodeProto

from onnxtop.reader.model import Model, Node, Value

__all__ = ["Body", "Scope", "top_scope"]


@dataclass(frozen=True, eq=False)
class Scope:
    """The nodes of one graph, in order, and the bodies that some of them hold, by node index."""

    nodes: tuple[Node, ...]
    bodies: Mapping[int, tuple["Body", ...]]


@dataclass(frozen=True, eq=False)
class Body:
    """One subgraph: ``name`` is the attribute that holds it; ``unchanged`` are outputs that are inputs."""

    name: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    unchanged: Mapping[int, int]
    scope: Scope

    def all_nodes(self) -> Iterator[Node]:
        """Yield the body's nodes and those of the bodies inside it."""
        yield from _inside(self.scope)


def _inside(scope: Scope) -> Iterator[Node]:
    for node in scope.nodes:
        yield node
        for body in scope.bodies.get(node.index, ()):
            yield from _inside(body.scope)


def top_scope(model: Model) -> Scope:
    """Return the nodes of the model as a tree of scopes."""
    return _Reader(model).scope(model.written.graph, [])[0]


_HELD = frozenset({"value", "value_float", "value_floats", "value_int", "value_ints"})


def _is_tensor(node: NodeProto) -> bool:
    """Tell whether a node is a Constant that the model holds as a tensor, not as a node."""
    return (
        node.op_type == "Constant"
        and node.domain in ("", "ai.onnx")
        and bool(node.output)
        and any(attribute.name in _HELD for attribute in node.attribute)
    )


class _Reader:
    """Walks the protos and the model's row of nodes in step."""

    def __init__(self, model: Model) -> None:
        self._rest = iter(model.nodes)
        self._tensors: dict[str, list[Value]] = {}
        for value in model.tensors:
            self._tensors.setdefault(value.name, []).append(value)

    def scope(self, graph: GraphProto, outer: list[dict[str, Value]]) -> tuple[Scope, dict[str, Value]]:
        """Return a graph's scope, and the values that its nodes name."""
        names: dict[str, Value] = {}
        nodes: list[Node] = []
        bodies: dict[int, tuple[Body, ...]] = {}
        for _ in range(sum(not _is_tensor(proto) for proto in graph.node)):
            node = next(self._rest)
            nodes.append(node)
            names.update(_named(node))
            held = [self._body(name, body, [*outer, names], node) for name, body in _graphs(node.proto)]
            if held:
                bodies[node.index] = tuple(held)
        return Scope(tuple(nodes), bodies), names

    def _body(self, name: str, graph: GraphProto, outer: list[dict[str, Value]], holder: Node) -> Body:
        scope, names = self.scope(graph, outer)
        entries = [declared.name for declared in graph.input]
        exits = [declared.name for declared in graph.output]
        own = {*entries, *(tensor.name for tensor in graph.initializer)}
        own.update(output for node in graph.node for output in node.output)
        for inner, value in names.items():
            if inner not in own:
                outer[-1].setdefault(inner, value)
        return Body(
            name=name,
            inputs=tuple(names.get(entry) for entry in entries),
            outputs=tuple(self._find(exit_, [*outer, names], own, holder) for exit_ in exits),
            unchanged={place: entries.index(exit_) for place, exit_ in enumerate(exits) if exit_ in entries},
            scope=scope,
        )

    def _find(self, name: str, scopes: list[dict[str, Value]], own: set[str], holder: Node) -> Value | None:
        if name in own:
            scopes = scopes[-1:]
        for names in reversed(scopes):
            if name in names:
                return names[name]
        first = max((value.index for value in holder.outputs), default=0)
        later = [value for value in self._tensors.get(name, ()) if value.index > first or name not in own]
        return min(later, key=lambda value: value.index, default=None)


def _named(node: Node) -> Iterator[tuple[str, Value]]:
    for name, value in zip(node.proto.input, node.inputs, strict=True):
        if value is not None:
            yield name, value
    yield from zip((name for name in node.proto.output if name), node.outputs, strict=True)


def _graphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            for body in attribute.graphs:
                yield attribute.name, body
