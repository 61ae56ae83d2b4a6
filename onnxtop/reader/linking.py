"""A graph of nodes and values laid out from its proto: what a name means, scope by scope."""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

from onnxtop.reader.fused import Mark, mark_of
from onnxtop.reader.limits import Limits
from onnxtop.reader.model import Node, Scope, Subgraph, Use, Value
from onnxtop.reader.order import Needs, in_order
from onnxtop.reader.protos import (
    Stored,
    bodies_in,
    domain_of,
    element_count,
    held_by,
    named_bodies,
    value_and_others,
)
from onnxtop.reader.schemas import first_and_newest
from onnxtop.reader.tensors import TensorFiles

_Names: TypeAlias = ChainMap[str, Value]
"""What the names of a graph mean, and of those around it: a body looks these up, it has no copy of them."""


class Linker:
    """Lays out the graph and its subgraphs, resolving names scope by scope."""

    def __init__(
        self, proto: ModelProto, calls: Mapping[str, NodeProto], files: TensorFiles, limits: Limits
    ) -> None:
        self._proto = proto
        self._calls = calls
        self._files = files
        self._limits = limits
        self._elements = 0
        self._nodes: list[Node] = []
        self._tensors: dict[Value, TensorProto] = {}
        self._producers: dict[Value, Node] = {}
        self._users: dict[Value, list[Use]] = {}
        self._results: set[Value] = set()
        self._carried: dict[Value, Value] = {}
        self._starts: dict[Value, Value | None] = {}
        self._needs = Needs()
        self._early: dict[Value, Value] = {}
        self._attribute_values: dict[tuple[int, str], Value] = {}
        self._added: set[Value] = set()
        self._numbers: dict[str, int] = {}
        self._count = self._seen = 0

    def link(self) -> dict[str, Any]:
        """Return the fields of a `Model` that its graph fills."""
        graph = self._proto.graph
        scope, names, inputs = self._graph(graph, ChainMap())
        for training in self._proto.training_info:
            self._unused(training.initialization)
            self._unused(training.algorithm)
        initialized = {tensor.name for tensor in graph.initializer}
        return {
            "nodes": tuple(self._nodes),
            "scope": scope,
            "inputs": tuple(value for value in inputs if value.name not in initialized),
            "outputs": tuple(names.get(value.name) for value in graph.output),
            "results": frozenset(self._results),
            "tensors": self._tensors,
            "producers": self._producers,
            "users": {value: tuple(uses) for value, uses in self._users.items()},
            "carried": self._carried,
            "early": self._early,
            "attribute_values": self._attribute_values,
            "added": frozenset(self._added),
        }

    def _graph(self, graph: GraphProto, outer: _Names) -> tuple[Scope, _Names, Sequence[Value]]:
        """Return the nodes of a graph, what names mean behind them, and its inputs."""
        names = outer.new_child()
        for declared in graph.input:
            names[declared.name] = self._value(declared.name)
        for tensor in graph.initializer:
            self._tensor(names, tensor.name, tensor)
        for sparse in graph.sparse_initializer:
            self._tensor(names, sparse.values.name, self._dense(sparse))
        inputs = [names[declared.name] for declared in graph.input]
        whole = map(self._whole, graph.node)
        nodes = [node for node in whole if not self._constant(names, node)]
        produced = {name for node in nodes for name in node.output if name}
        made = {name: self._value(name) for name in sorted(produced)}
        held = []
        for node in in_order(nodes, produced, self._needs):
            early = {name: self._value(name) for name in self._needs.of(node) if name in produced}
            self._early.update((value, made[name]) for name, value in early.items())
            held.append(self._node(node, names.new_child(early) if early else names, made))
            names.update((name, made[name]) for name in node.output if name)
            produced.difference_update(node.output)
        self._results.update(names[result.name] for result in graph.output if result.name in names)
        inner = {node.index: tuple(bodies) for node, bodies in held if bodies}
        return Scope(tuple(node for node, _ in held), inner), names, inputs

    def _whole(self, node: NodeProto) -> NodeProto:
        """Return a node with the ends that it lacks: operands that are left out, a result that nobody uses.

        So whoever knows the operation may take the ends that it has in every version of ONNX.
        """
        self._seen += 1
        missing = 0 if domain_of(node) else _operands(node.op_type) - len(node.input)
        if missing <= 0 and any(node.output):
            return node
        whole = NodeProto()
        whole.CopyFrom(node)
        whole.input.extend([""] * missing)
        if not any(node.output):
            whole.output[:] = [f"{node.op_type}#{self._seen}"]
        return whole

    def _node(
        self, proto: NodeProto, names: _Names, made: Mapping[str, Value]
    ) -> tuple[Node, list[Subgraph]]:
        domain = domain_of(proto)
        inputs = tuple(names.get(name) if name else None for name in proto.input)
        outputs = tuple(made[name] for name in proto.output if name)
        mark = mark_of(proto) if self._calls else Mark()
        origin = self._calls.get(mark.call, proto)
        number = self._numbers.setdefault(mark.call or f"#{len(self._nodes)}", len(self._numbers))
        node = Node(
            *(len(self._nodes), number, origin.name, proto.op_type, domain, inputs, outputs, proto, origin),
            *(mark.part, mark.factor),
        )
        self._nodes.append(node)
        self._producers.update(dict.fromkeys(outputs, node))
        for position, value in enumerate(inputs):
            if value is not None:
                self._users.setdefault(value, []).append(Use(node, position))
        for name, stored in held_by(proto):
            self._attribute(node, name, self._dense(stored))
        rounds = _rounds(node)
        held = [self._body(name, graph, names, rounds) for name, graph in named_bodies(proto)]
        for body in held:
            self._carry(node, body)
        return node, held

    def _body(self, name: str, graph: GraphProto, outer: _Names, rounds: Mapping[int, int]) -> Subgraph:
        scope, names, inputs = self._graph(graph, outer)
        outputs = tuple(names.get(declared.name) for declared in graph.output)
        there = {
            exit_: entry for exit_, entry in rounds.items() if exit_ < len(outputs) and entry < len(inputs)
        }
        return Subgraph(name=name, inputs=tuple(inputs), outputs=outputs, rounds=there, scope=scope)

    def _attribute(self, node: Node, name: str, tensor: TensorProto) -> None:
        """Take what an attribute holds as a tensor."""
        names: _Names = ChainMap()
        if (node.index, name) in self._attribute_values:  # only a damaged file has two of one name
            name = f"{name}#{len(self._attribute_values)}"
        whole = f"{node.name or node.outputs[0].name}.{name}"
        self._tensor(names, whole, tensor)
        self._attribute_values[node.index, name] = names[whole]

    def _carry(self, node: Node, body: Subgraph) -> None:
        """Note the state that a body hands on as it came: every iteration sees what it starts with.

        A SequenceMap hands the same tensor to each iteration, and what is a sequence entry by entry.
        """
        for exit_, entry in body.rounds.items():
            initial, value = node.inputs[entry], body.outputs[exit_]
            if initial is not None and value is not None and self._start(value) == body.inputs[entry]:
                self._carried[body.inputs[entry]] = initial
        if (node.domain, node.op_type) == ("", "SequenceMap"):
            for begin, initial in zip(body.inputs[1:], node.inputs[1:], strict=False):
                if initial is not None and self._is_tensor(initial):
                    self._carried[begin] = initial

    def _is_tensor(self, value: Value) -> bool:
        """Tell whether a value is certainly no sequence."""
        maker = self._producers.get(value)
        return value in self._tensors or (
            maker is not None and not maker.domain and _makes_tensors(maker.op_type)
        )

    def _start(self, value: Value) -> Value | None:
        """Return what a value is that only Identities hand on; None if another operation makes it."""
        passed: list[Value] = []
        here: Value | None = value
        while here is not None and here in self._producers and here not in self._starts:
            passed.append(here)
            self._starts[here] = None  # a damaged body may hand on what it never makes
            here = self._handed_on(self._producers[here])
        start = self._starts.get(here, here) if here is not None else None
        self._starts.update(dict.fromkeys(passed, start))
        return start

    def _handed_on(self, node: Node) -> Value | None:
        return node.inputs[0] if (node.domain, node.op_type) == ("", "Identity") else None

    def _constant(self, names: _Names, node: NodeProto) -> bool:
        """Take a Constant node's value as a tensor, and whatever else it holds, which nobody uses.

        False if the node is another or holds none.
        """
        value, others = value_and_others(node)
        if value is None:
            return False
        self._tensor(names, node.output[0], self._dense(value))
        if mark_of(node)[0] in self._calls:
            self._added.add(names[node.output[0]])
        for name, stored in others:
            self._tensor(ChainMap(), f"{node.output[0]}.{name}", self._dense(stored))
        return True

    def _unused(self, graph: GraphProto) -> None:
        """Take the tensors of a graph that is no part of the network: nobody uses them."""
        for tensor in graph.initializer:
            self._tensor(ChainMap(), tensor.name, tensor)
        for sparse in graph.sparse_initializer:
            self._tensor(ChainMap(), sparse.values.name, self._dense(sparse))
        for node in graph.node:
            for name, stored in held_by(node):
                whole = f"{node.name or ''.join(node.output[:1])}.{name}"
                self._tensor(ChainMap(), whole, self._dense(stored))
            for body in bodies_in(node):
                self._unused(body)

    def _dense(self, stored: Stored) -> TensorProto:
        return self._files.register_sparse(stored) if isinstance(stored, SparseTensorProto) else stored

    def _tensor(self, names: _Names, name: str, tensor: TensorProto) -> None:
        self._files.check(tensor)
        names[name] = self._value(name)
        self._tensors[names[name]] = tensor
        self._elements += element_count(tensor)
        self._limits.check("tensors", len(self._tensors))
        self._limits.check("elements", self._elements)

    def _value(self, name: str) -> Value:
        self._count += 1
        return Value(self._count, name)


def _rounds(node: Node) -> dict[int, int]:
    """Return where a Loop or Scan takes its states, by the places where its body ends with them."""
    if (node.domain, node.op_type) == ("", "Loop"):  # a trip count and a condition come first
        return {place - 1: place for place in range(2, len(node.inputs))}
    taken = next((each.i for each in node.proto.attribute if each.name == "num_scan_inputs"), None)
    if (node.domain, node.op_type) != ("", "Scan") or taken is None:  # it says of nothing that it is a state
        return {}
    return {place: place for place in range(len(node.inputs) - max(taken, 0))}


@cache
def _makes_tensors(op_type: str) -> bool:
    """Tell whether all that an operation of ONNX makes is tensors, in its newest version and in the first."""
    kinds = [
        kind for schema in first_and_newest(op_type) for output in schema.outputs for kind in output.types
    ]
    return bool(kinds) and all(kind.startswith("tensor(") for kind in kinds)


@cache
def _operands(op_type: str) -> int:
    """Return how many operands an operation of ONNX has at least, in every version."""
    return min((schema.min_input for schema in first_and_newest(op_type)), default=0)
