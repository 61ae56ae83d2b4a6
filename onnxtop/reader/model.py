"""An ONNX file as a graph of nodes and values, with weights read on demand.

Functions are inlined. Subgraphs (the bodies of If, Loop and Scan) are laid out after the node that holds
them, and a name used in a body means the nearest value of that name outward, so one walk over `Model.nodes`
sees everything; `Model.scope` tells which of them stand in which body. Constant nodes are no nodes here: what
they hold is a tensor, like an initializer.
"""

import heapq
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import onnx
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
)

from onnxtop.errors import named
from onnxtop.options import MOST_DOWNLOAD, asked
from onnxtop.reader.file import parse
from onnxtop.reader.functions.outside import with_constants_outside
from onnxtop.reader.functions.writing import inlined
from onnxtop.reader.fused import Mark, mark_of, write_out
from onnxtop.reader.limits import GIB, UNCHANGED, Limits
from onnxtop.reader.model_file import Given, ModelFile, opened
from onnxtop.reader.protos import (
    Stored,
    bodies_in,
    domain_of,
    element_count,
    held_by,
    is_constant,
    named_bodies,
    nodes_in,
    op_of,
    parts_of,
    stored_in,
    value_and_others,
)
from onnxtop.reader.schemas import first_and_newest
from onnxtop.reader.search import mutual
from onnxtop.reader.tensors import TensorFiles, stored_bytes


@dataclass(frozen=True)
class Value:
    """One tensor of the graph: a name in one scope (two branches may hold the same name)."""

    index: int
    name: str = field(compare=False)

    def __hash__(self) -> int:
        """Return the index: values are asked for millions of times."""
        return self.index


@dataclass(frozen=True, eq=False)
class Node:
    """One operation; an input that is left out is None. ``domain`` is "" for ONNX's own operations.

    ``origin`` is the node as it stands in the file: ``proto`` itself, or the fused operation of which this
    is a part, written out (see `fused`). What people read (``name``, ``op``, ``number``: the place among the
    file's nodes) is the origin's. ``part`` says what a node of a fused operation is for: a table's name,
    ``bias``; ``factor`` is what that multiplies the node's weight by.
    """

    index: int
    number: int
    name: str
    op_type: str
    domain: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    proto: NodeProto
    origin: NodeProto
    part: str = ""
    factor: float = 1.0

    @property
    def op(self) -> str:
        """The operation as messages write it: ``Gemm``, ``com.microsoft.FusedGemm``."""
        domain, op_type = op_of(self.origin)
        return f"{domain}.{op_type}" if domain else op_type

    def placed(self) -> list[tuple[int, Value]]:
        """Return its outputs with their places among all that it names: one may be left out."""
        places = (place for place, name in enumerate(self.proto.output) if name)
        return [*zip(places, self.outputs, strict=False)]

    def attributes(self) -> dict[str, Any]:
        """Return the attributes' values by name; subgraphs are left out, and what is `misread`."""
        kinds, odd = AttributeProto, self.misread()
        return {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in self.proto.attribute
            if attribute.type not in (kinds.GRAPH, kinds.GRAPHS, kinds.UNDEFINED)
            and attribute.name not in odd
        }

    def misread(self) -> list[str]:
        """Return the attributes of one of ONNX's operations that have another type than it says.

        Only a damaged file has any; whoever asks what they are is told that they are not there.
        """
        kinds = {} if self.domain else _attribute_kinds(self.op_type)
        return [
            attribute.name
            for attribute in self.proto.attribute
            if attribute.type not in kinds.get(attribute.name, (attribute.type,))
        ]


@cache
def _attribute_kinds(op_type: str) -> Mapping[str, set[int]]:
    """Return the types of an operation's attributes, in its newest version and in the first of all."""
    kinds: dict[str, set[int]] = {}
    for schema in first_and_newest(op_type):
        for name, attribute in schema.attributes.items():
            kinds.setdefault(name, set()).add(int(attribute.type.value))  # type: ignore[attr-defined]  # its stub lacks it
    return kinds


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


@dataclass(frozen=True)
class Use:
    """Where a value is used: the node and the position among its inputs."""

    node: Node
    position: int


@dataclass(frozen=True, eq=False)
class Scope:
    """The nodes of one graph, in the order in which it runs, and the bodies that some hold, by node index."""

    nodes: tuple[Node, ...]
    bodies: Mapping[int, tuple["Subgraph", ...]]

    def all_nodes(self) -> Iterator[Node]:
        """Yield the nodes, each with those of its bodies behind it."""
        for node in self.nodes:
            yield node
            for body in self.bodies.get(node.index, ()):
                yield from body.scope.all_nodes()

    def all_bodies(self) -> Iterator[tuple[int, tuple["Subgraph", ...]]]:
        """Yield what nodes hold, by their index, each with what its bodies hold behind it."""
        for index, bodies in self.bodies.items():
            yield index, bodies
            for body in bodies:
                yield from body.scope.all_bodies()


@dataclass(frozen=True, eq=False)
class Subgraph:
    """One subgraph of a node: ``name`` is the attribute that holds it.

    ``inputs`` and ``outputs`` are as the subgraph declares them, an output that nothing makes is None;
    ``rounds`` maps the place of an output that the next round begins with to the place of the input that it
    is there.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value | None, ...]
    rounds: Mapping[int, int]
    scope: Scope


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model; nothing in it changes, and no weight is in memory until `files` reads it.

    ``nodes`` stand in the order in which the graph runs, ``scope`` holds them as a tree. ``tensors`` holds
    every initializer and Constant, large ones without their bytes. ``inputs`` are the graph's inputs that are
    no initializers, ``outputs`` its outputs (None: nothing makes it), ``results`` the values that leave the
    graph or a body. ``carried`` maps a body's input that no iteration changes to its value outside, ``early``
    what a node on a cycle reads before it is made to the value that is made. ``attribute_values`` are weights
    that stand in attributes, by node and name, which are tensors like any other. ``proto`` is the
    outline of the file (see `wire`). ``closed`` says why functions could not be inlined, by domain and name.
    """

    file: ModelFile
    proto: ModelProto
    written: ModelProto
    files: TensorFiles
    limits: Limits
    opset: Mapping[str, int]
    closed: Mapping[tuple[str, str], str]
    nodes: tuple[Node, ...]
    scope: Scope
    inputs: tuple[Value, ...]
    outputs: tuple[Value | None, ...]
    results: frozenset[Value]
    tensors: Mapping[Value, TensorProto]
    producers: Mapping[Value, Node]
    users: Mapping[Value, tuple[Use, ...]]
    carried: Mapping[Value, Value]
    early: Mapping[Value, Value]
    attribute_values: Mapping[tuple[int, str], Value]
    added: frozenset[Value]

    @cached_property
    def held(self) -> Mapping[int, Sequence[Value]]:
        """What nodes hold in their attributes, by the index of the node."""
        held: dict[int, list[Value]] = {}
        for (index, _), value in self.attribute_values.items():
            held.setdefault(index, []).append(value)
        return held

    @cached_property
    def bodies(self) -> Mapping[Node, tuple[Subgraph, ...]]:
        """What nodes hold, those that stand in bodies themselves included."""
        return {self.nodes[index]: bodies for index, bodies in self.scope.all_bodies()}

    @property
    def producer(self) -> str:
        """What wrote the file, name and version."""
        return f"{self.proto.producer_name} {self.proto.producer_version}".strip()

    @property
    def byte_count(self) -> int:
        """How many bytes the file has."""
        return self.file.byte_count

    @property
    def has_files_beside(self) -> bool:
        """Whether some of its weights stand in other files."""
        return any(self.files.is_beside(tensor) for tensor in self.tensors.values())


ModelSource: TypeAlias = Given | ModelFile | Model
"""What a model can be given as: a path, an address, bytes, a file, a ModelProto, or one that is loaded."""


def load(
    model: ModelSource,
    *,
    allow_external: Iterable[str | Path] = (),
    max_download: float = MOST_DOWNLOAD,
    limits: Mapping[str, float] = UNCHANGED,
) -> Model:
    """Load an ONNX model; one that is loaded already is returned as it is.

    Parameters
    ----------
    model
        Its path or address, its bytes, a binary file object, or a ModelProto.
    allow_external
        Folders beside the model's own from which external weights may be read.
    max_download
        GiB that may be fetched of a model at an address.
    limits
        What it may ask for, by name, where that is not the default of `Limits`.

    Raises
    ------
    LimitError
        It asks for more than a limit allows.
    FormatError
        The file is not an ONNX model, is cut off, or a tensor does not fit its dims.
    ExternalDataError
        External weights are missing, cut off or outside the allowed folders.
    UnreadableError
        The file cannot be read.
    UsageError
        A model can be given as nothing of this kind.
    """
    if isinstance(model, Model):
        return model
    file = opened(model, max_download=max_download, limits=limits)
    with named(file.name):
        return _loaded(file, allow_external, asked(Limits, None, limits))


def file_of(
    model: ModelSource, *, max_download: float = MOST_DOWNLOAD, limits: Mapping[str, float] = UNCHANGED
) -> ModelFile:
    """Return the file of a model: what is given as a file object is read this once."""
    if isinstance(model, Model):
        return model.file
    return opened(model, max_download=max_download, limits=limits)


def _loaded(file: ModelFile, allow_external: Iterable[str | Path], limits: Limits) -> Model:
    files = TensorFiles(file, allow_external, limits)
    proto = inlined(parse(file.content, limits), limits)
    _bring_in(proto.graph, files, limits)
    whole, closed = with_constants_outside(proto)
    written, calls = write_out(whole, limits=limits)
    graph = _Linker(written, calls, files, limits).link()
    opset = {opset.domain or "ai.onnx": opset.version for opset in sorted(proto.opset_import, key=_by_domain)}
    return Model(
        file=file,
        proto=proto,
        written=written,
        files=files,
        limits=limits,
        opset=opset,
        closed=closed,
        **graph,
    )


def _bring_in(graph: GraphProto, files: TensorFiles, limits: Limits) -> None:
    """Have ONNX's operations hold the tensors of their attributes themselves: onnx computes with them.

    It would look for them from where the program was started, and not from the model's folder. What Constant
    nodes hold is read like any other constant, and other operations' are not computed with. Many may name the
    same bytes: all together they may be no more than one constant.
    """
    brought = 0
    for node in nodes_in(graph):
        is_computed = not domain_of(node) and not is_constant(node)
        held = (stored for attribute in node.attribute for stored in stored_in(attribute, bodies=False))
        for tensor in (part for stored in held for part in parts_of(stored)):
            if is_computed:
                wanted = stored_bytes(tensor) or 0
                brought += wanted if tensor.data_location == TensorProto.EXTERNAL else 0
                limits.check("constants", max(brought, wanted) / GIB)
                files.bring_in(tensor)
            elif tensor.data_location == TensorProto.EXTERNAL:
                files.check(tensor)


def _by_domain(opset: onnx.OperatorSetIdProto) -> tuple[str, int]:
    return opset.domain.replace("ai.onnx", ""), opset.version


_Names: TypeAlias = ChainMap[str, Value]
"""What the names of a graph mean, and of those around it: a body looks these up, it has no copy of them."""


class _Linker:
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
        self._needs = _Needs()
        self._early: dict[Value, Value] = {}
        self._attribute_values: dict[tuple[int, str], Value] = {}
        self._added: set[Value] = set()
        self._numbers: dict[str, int] = {}
        self._count = self._seen = 0

    def link(self) -> dict[str, Any]:
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
        for node in _in_order(nodes, produced, self._needs):
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


class _Needs:
    """Tells which names a node reads, those that its bodies read from outside included."""

    def __init__(self) -> None:
        self._free: dict[int, tuple[GraphProto, Sequence[str]]] = {}  # by id

    def of(self, node: NodeProto) -> Sequence[str]:
        """Return the names, each once, in the order in which they are read first."""
        read = dict.fromkeys(node.input)
        for body in bodies_in(node):
            read.update(dict.fromkeys(self._outside(body)))
        return tuple(read)

    def _outside(self, body: GraphProto) -> Sequence[str]:
        """Return the names that a body reads and does not make; each body is gone through once."""
        if id(body) not in self._free:
            own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
            own.update(name for inner in body.node for name in inner.output)
            read = dict.fromkeys(name for inner in body.node for name in self.of(inner) if name not in own)
            self._free[id(body)] = body, tuple(read)
        return self._free[id(body)][1]


def _in_order(nodes: list[NodeProto], produced: set[str], needs: _Needs) -> list[NodeProto]:
    """Return the nodes in the order in which they can run, in file order where that leaves a choice.

    ONNX demands such an order and some writers do not keep it. Where nodes wait for one another, and for
    nobody else, they go in file order; what one of them reads too early is a value that nobody makes.
    """
    ready: set[str] = set()
    for node in nodes:
        if any(name in produced and name not in ready for name in needs.of(node)):
            break
        ready.update(node.output)
    else:
        return nodes
    waiting = {
        index: {name for name in needs.of(node) if name in produced} for index, node in enumerate(nodes)
    }
    makers = {name: index for index, node in enumerate(nodes) for name in node.output}
    readers: dict[str, list[int]] = {}
    for index, names in waiting.items():
        for name in names:
            readers.setdefault(name, []).append(index)
    heap = [index for index, names in waiting.items() if not names]
    cycles: _Cycles | None = None
    order: list[int] = []
    while waiting:
        if not heap and cycles is None:
            cycles = _Cycles(waiting, makers)
        index = heapq.heappop(heap) if heap or cycles is None else cycles.first()
        if waiting.pop(index, None) is None:
            continue
        order.append(index)
        for name in nodes[index].output:
            for reader in readers.pop(name, ()):
                if reader in waiting:
                    waiting[reader].discard(name)
                    if cycles is not None:
                        cycles.made(reader, makers[name])
                    if not waiting[reader]:
                        heapq.heappush(heap, reader)
    return [nodes[index] for index in order]


class _Cycles:
    """Which nodes wait for one another, directly or not: found once, when nothing else is left."""

    def __init__(self, waiting: Mapping[int, set[str]], makers: Mapping[str, int]) -> None:
        self._groups = mutual({index: [makers[name] for name in names] for index, names in waiting.items()})
        self._members: dict[int, list[int]] = {}
        for index, group in self._groups.items():
            self._members.setdefault(group, []).append(index)
        self._outside = dict.fromkeys(self._members, 0)
        for index, names in waiting.items():
            for name in names:
                self._outside[self._groups[index]] += self._groups[makers[name]] != self._groups[index]
        free = [members for group, members in self._members.items() if not self._outside[group]]
        self._heap = [index for members in free for index in members]
        heapq.heapify(self._heap)

    def made(self, reader: int, maker: int) -> None:
        """Note that a node need not wait any more for what another makes."""
        group = self._groups[reader]
        if self._groups.get(maker) not in (None, group):
            self._outside[group] -= 1
            if not self._outside[group]:
                for index in self._members[group]:
                    heapq.heappush(self._heap, index)

    def first(self) -> int:
        """Return the first node, in file order, of those that wait for one another alone."""
        return heapq.heappop(self._heap)
