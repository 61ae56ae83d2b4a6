"""Two models as terms of one table."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto

from onnxtop.reader.declared import Declared, Shape, inputs_of, outputs_of
from onnxtop.reader.model import Model, Node, Scope, Subgraph, Value
from onnxtop.reader.protos import tensors_in
from onnxtop.reader.schemas import schema
from onnxtop.reader.terms import arithmetic, blocks, lossy, movement, products, written
from onnxtop.reader.terms.builder import Builder, Results, Rule
from onnxtop.reader.terms.call import MARK, attribute_value
from onnxtop.reader.terms.constant import Constant, constant_of, is_float, marks_of, stored
from onnxtop.reader.terms.folding import Folding
from onnxtop.reader.terms.interface import Ports, fits, ports
from onnxtop.reader.terms.sizes import OpenSizes, Pins
from onnxtop.reader.terms.table import INPUT, Inferred, Origin, Table, Type

_DEFAULT, _INNER, UNKNOWN = "default", "body input", "unreadable"
"""Terms of our own: an input's default, an input of a body, a constant without content."""

_IDENTITY: dict[str, tuple[Rule, ...]] = {"Identity": (arithmetic.identity,)}


def _joined(*tables: Mapping[str, Sequence[Rule]]) -> dict[str, tuple[Rule, ...]]:
    names = [name for table in tables for name in table]
    return {name: tuple(rule for table in tables for rule in table.get(name, ())) for name in names}


_FUNCTIONS = {name: movement.RULES[name] for name in movement.FUNCTIONS}
_EXACT = _joined(
    _IDENTITY,
    _FUNCTIONS,
    written.RULES,
    blocks.RULES,
    arithmetic.RULES,
    products.RULES,
    movement.RULES,
)
_RULES = (_IDENTITY, _EXACT, _joined(lossy.RULES, _EXACT))


@dataclass(frozen=True, eq=False)
class Whole:
    """Two models in one table: the terms of their outputs, and what was assumed to make them.

    ``sizes`` are the shapes at which open sizes were pinned, ``joined`` whether some of these had to be one,
    ``defaults`` inputs whose defaults were taken for constants.
    """

    builder: Builder
    outputs: tuple[tuple[int | None, ...], tuple[int | None, ...]]
    sizes: Mapping[str, Shape] = field(default_factory=dict)
    defaults: tuple[str, ...] = ()
    joined: bool = False

    @property
    def table(self) -> Table:
        """The terms."""
        return self.builder.table

    @property
    def is_equal(self) -> bool:
        """Whether every output is the same term."""
        return self.outputs[0] == self.outputs[1] and None not in self.outputs[0]


class Graphs:
    """Makes the terms of two models, level by level; constants are hashed once. One alone is given twice.

    Without ``hashed``, for one model as it stands, no large constant is hashed that differs from all others.
    """

    def __init__(self, old: Model, new: Model, *, hashed: bool = True) -> None:
        self.models = (old, new)
        self.inputs: Ports = ports("input", inputs_of(old), inputs_of(new))
        self.outputs: Ports = ports("output", outputs_of(old), outputs_of(new))
        self._inferred: Inferred = {}
        self._open = OpenSizes()
        self._folding = Folding(new.limits.with_room(max(old.byte_count, new.byte_count)))
        self.constants: dict[tuple[int, Value], Constant | None] = {}
        """Those that were read, by the place of their model; None for one without content."""
        self._marks = {} if hashed else marks_of(old.files, old.tensors.values())

    @property
    def is_open(self) -> bool:
        """Whether some size of an input is not declared by either model."""
        return any(shape is not None and None in shape for shape in self._shapes().values())

    def terms(self, level: int, pinned: Pins | None = None) -> Whole:
        """Return both models as terms; ``pinned`` are the sizes that stand for open ones."""
        whole = self._written(level, pinned)
        ends = (*whole.outputs[0], *whole.outputs[1])
        while pinned and self._open.refit(whole.table, ends):
            whole = self._written(level, pinned)
            ends = (*whole.outputs[0], *whole.outputs[1])
        return whole

    def _written(self, level: int, pinned: Pins | None) -> Whole:
        builder = Builder(level, _RULES[level], self._folding, Table(self._inferred))
        shapes = self._shapes()
        sizes = self._open.pin(shapes, self.inputs.old, pinned) if pinned else {}
        shapes.update(
            {place: sizes.get(self.inputs.old[place].name, shape) for place, shape in shapes.items()}
        )
        outputs: list[list[int | None]] = []
        defaults: list[str] = []
        for side, model in enumerate(self.models):
            if side and model is self.models[0]:
                outputs.append(outputs[0])
                continue
            builder.table.side = side
            walk = _Walk(builder, model, side, self.constants, self._marks)
            walk.give(self._given(side, shapes))
            outputs.append(walk.outputs())
            defaults += walk.defaults if level else []
        paired = tuple(tuple(outputs[side][pair[side]] for pair in self.outputs.pairs) for side in (0, 1))
        joined = bool(pinned) and self._open.joined
        return Whole(builder, (paired[0], paired[1]), sizes, tuple(sorted(set(defaults))), joined)

    def _shapes(self) -> dict[int, Shape | None]:
        """Return the shapes of the old inputs, as far as both models declare them."""
        shapes: dict[int, Shape | None] = {
            place: None if item.data_type == 0 else item.shape for place, item in enumerate(self.inputs.old)
        }
        for old, new in self.inputs.pairs:
            shapes[old] = agreed(shapes[old], self.inputs.new[new].shape)
        return shapes

    def _given(
        self, side: int, shapes: Mapping[int, Shape | None]
    ) -> dict[str, tuple[str, Declared, Shape | None]]:
        """Return, by its name in one model, an input's own key, and its type and shape."""
        mine = (self.inputs.old, self.inputs.new)[side]
        old = {pair[side]: pair[0] for pair in self.inputs.pairs}
        return {
            item.name: (
                f"{old[place]}",
                item,
                shapes[old[place]] if fits(item.shape, shapes[old[place]]) else item.shape,
            )
            if place in old
            else (f"{side}:{item.name}", item, item.shape)
            for place, item in enumerate(mine)
        }


def agreed(old: Shape | None, new: Shape | None) -> Shape | None:
    """Return a shape with the sizes that either of two tells."""
    if old is None or new is None or len(old) != len(new):
        return new if old is None else old
    return tuple(b if a is None else a for a, b in zip(old, new, strict=True))


class _Walk:
    """Makes the terms of one model."""

    def __init__(
        self,
        builder: Builder,
        model: Model,
        side: int,
        constants: dict[tuple[int, Value], Constant | None],
        marks: Mapping[int, str],
    ) -> None:
        self._builder = builder
        self._model = model
        self._side = side
        self._constants, self._marks = constants, marks
        self._terms: dict[Value, int | None] = {}
        self._times: dict[Any, int] = {}
        self._closed = _outlines(model) if model.closed else ""
        declared = {item.name for item in model.proto.graph.input}
        self._overridable = declared if model.proto.ir_version >= 4 else set()
        self.defaults: list[str] = []

    def give(self, inputs: Mapping[str, tuple[str, Declared, Shape | None]]) -> None:
        """Make the terms of the inputs."""
        for value in self._model.inputs:
            key, item, shape = inputs[value.name]
            dtype = item.dtype
            if self._builder.level > 1 and dtype is not None and is_float(dtype):
                dtype = np.dtype(np.float32)
            kind = None if dtype is None else Type(dtype, shape)
            self._builder.table.origin = Origin(value.name, "Input")
            attributes = [("key", key), ("type", f"{dtype}{item.kind}"), ("shape", shape)]
            self._terms[value] = self._builder.table.term(INPUT, attributes, [], kind)

    def outputs(self) -> list[int | None]:
        """Make the terms of all nodes, and return those of the outputs."""
        self._scope(self._model.scope, "")
        self._builder.table.origin = None
        return [None if value is None else self._term(value) for value in self._model.outputs]

    def _scope(self, scope: Scope, place: str) -> None:
        for node in scope.nodes:
            self._node(node, scope.bodies.get(node.index, ()), place)

    def _term(self, value: Value) -> int | None:
        if value not in self._terms:
            self._terms[value] = self._held(value) if value in self._model.tensors else None
        return self._terms[value]

    def _held(self, value: Value) -> int:
        """Return the term of a stored constant."""
        constant = self._constant(value)
        table = self._builder.table
        if constant is None:  # no data, or a type that cannot be read: like nothing else
            return table.term(UNKNOWN, [("name", value.name), ("side", self._side)], [])
        item = self._builder.constant(constant)
        if value.name not in self._overridable:
            return item
        self.defaults.append(value.name)
        return item if self._builder.level else table.term(_DEFAULT, [("name", value.name)], [item])

    def _constant(self, value: Value) -> Constant | None:
        key = self._side, value
        if key not in self._constants:
            tensor, files = self._model.tensors[value], self._model.files
            mark = self._marks.get(id(tensor), "")
            try:
                self._constants[key] = stored(files, tensor, mark) if files.has_data(tensor) else None
            except ValueError:
                self._constants[key] = None
        return self._constants[key]

    def _node(self, node: Node, bodies: Sequence[Subgraph], place: str) -> None:
        builder = self._builder
        origin = Origin(node.name or node.outputs[0].name, node.op)
        builder.table.origin = origin
        operands = [None if item is None else self._term(item) for item in node.inputs]
        operands = [
            builder.table.term(UNKNOWN, [("name", name), ("side", self._side)], [])
            if item is None and name
            else item
            for item, name in zip(operands, node.proto.input, strict=True)
        ]
        named = max((at + 1 for at, name in enumerate(node.proto.output) if name), default=1)
        results = max(1, len(node.proto.output)) if _is_told_by_results(node) else named
        taken = self._branch(node, operands, bodies, place)
        if taken is None:
            attributes = self._attributes(node, operands, place)
            for body in sorted(bodies, key=lambda body: body.name):
                started = _started(builder.table, operands) if node.op_type == "Loop" else ()
                inner = self._body(
                    body, f"{place}/{node.op_type}" if node.op_type != "If" else place, started
                )
                attributes[f"{MARK}{body.name}"] = len(inner)
                operands += inner
                builder.table.origin = origin
            taken = builder.make(_named(node), operands, attributes, self._opset(node), results)
        values = iter(node.outputs)
        for name, item in zip(node.proto.output, taken, strict=False):
            if name:
                self._terms[next(values)] = item

    def _branch(
        self, node: Node, operands: Sequence[int | None], bodies: Sequence[Subgraph], place: str
    ) -> Results | None:
        """Return the results of the branch that an If always takes."""
        held = self._builder.table.held(operands[0]) if node.op_type == "If" and operands else None
        if held is None or not self._builder.level or node.domain or held.size != 1:
            return None
        wanted = "then_branch" if held.read().any() else "else_branch"
        return next((self._body(body, place) for body in bodies if body.name == wanted), None)

    def _body(self, body: Subgraph, place: str, started: Sequence[Type | None] = ()) -> Results:
        """Make the terms of a body, whose inputs are of the types that it is ``started`` with."""
        for number, value in enumerate(body.inputs):
            kind = started[number] if number < len(started) else None
            said = "" if kind is None else str(kind.dtype)
            attributes = [("body", body.name), ("place", place), ("number", number), ("type", said)]
            self._terms[value] = self._builder.table.term(_INNER, attributes, [], kind)
        self._scope(body.scope, place)
        return [None if value is None else self._term(value) for value in body.outputs]

    def _attributes(self, node: Node, operands: Sequence[int | None], place: str) -> dict[str, Any]:
        kinds = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
        found: dict[str, Any] = {
            item.name: attribute_value(item, self._model.files)
            for item in node.proto.attribute
            if item.type not in kinds
        }
        if not self._builder.level or node.domain:
            found[MARK + "opset"] = self._opset(node, since=True)
        if _is_told_by_results(node):
            found[f"{MARK}results"] = len(node.proto.output)
        if (node.domain, node.op_type) in self._model.closed:
            found[MARK + "functions"] = self._closed
        if is_random(node):  # no two are one; which is which says their count
            key = repr((_named(node), sorted(found.items()), operands, place))
            self._times[key] = self._times.get(key, -1) + 1
            found[MARK + "random"] = f"{place} {self._times[key]}"
        return found

    def _opset(self, node: Node, since: bool = False) -> int:
        opset = int(self._model.opset.get(node.domain or "ai.onnx", 1))
        if not since or not onnx.defs.has(node.op_type, node.domain):
            return opset
        return _since(node.op_type, opset, node.domain)


def _is_told_by_results(node: Node) -> bool:
    """Tell whether what an operation computes depends on how many results it declares."""
    return not node.domain and node.op_type in ("BatchNormalization", "Split")


def _started(table: Table, operands: Sequence[int | None]) -> list[Type | None]:
    """Return the types of a Loop's iteration, condition and states, whose shapes may change."""
    kinds = [table.dtype(item) for item in operands[2:]]
    states = [None if kind is None else Type(kind, None) for kind in kinds]
    return [Type(np.dtype(np.int64), ()), Type(np.dtype(np.bool_), ()), *states]


def _named(node: Node) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def is_random(node: Node) -> bool:
    """Tell whether results may differ from run to run: it has a seed, or nobody knows the operation."""
    if not onnx.defs.has(node.op_type, node.domain):
        return True
    if node.op_type == "Dropout" and len(node.inputs) < 3:
        return False
    return _takes_seed(node.op_type, node.domain)


@functools.cache
def _takes_seed(op_type: str, domain: str) -> bool:
    return "seed" in onnx.defs.get_schema(op_type, domain).attributes


@functools.cache
def _since(op_type: str, opset: int, domain: str) -> int:
    return int(schema(op_type, opset, domain).since_version)


def _outlines(model: Model) -> str:
    """Return a digest of the functions that stay calls, without the constants, which are operands."""
    functions = [FunctionProto.FromString(item.SerializeToString()) for item in model.proto.functions]
    for tensor in (tensor for function in functions for tensor in tensors_in(function)):
        tensor.CopyFrom(onnx.TensorProto(data_type=tensor.data_type, dims=tensor.dims))
    said = b"".join(item.SerializeToString(deterministic=True) for item in functions)
    return constant_of(np.frombuffer(said, np.uint8)).digest
