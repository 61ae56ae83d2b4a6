"""An ONNX file as a graph of nodes and values, with weights read on demand.

Functions are inlined. Subgraphs (the bodies of If, Loop and Scan) are laid out after the node that holds
them, and a name used in a body means the nearest value of that name outward, so one walk over `Model.nodes`
sees everything; `Model.scope` tells which of them stand in which body. Constant nodes are no nodes here: what
they hold is a tensor, like an initializer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, TypeAlias

import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from onnxtop.reader.limits import Limits
from onnxtop.reader.model_file import Given, ModelFile
from onnxtop.reader.protos import op_of
from onnxtop.reader.schemas import first_and_newest
from onnxtop.reader.tensors import TensorFiles


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
