"""A flat ONNX graph that grows, with tensors that know their shapes and have operators.

All nodes are in the opset `OPSET`; what depends on shapes alone has been folded into constants, so every
shape here is a tuple of numbers.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto, helper, numpy_helper

OPSET = 21
"""The opset of what is written here; older models are converted to it first."""

Array = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Operand: TypeAlias = "Tensor | Array | float"


def onnx_type(dtype: np.dtype[Any]) -> int:
    """Return ONNX's number of a type."""
    return int(helper.np_dtype_to_tensor_dtype(dtype))


@dataclass(eq=False)
class Graph:
    """Nodes in the order in which they run, the constants they use, and the shapes of all values.

    Grows by ``emit``; nothing in it is ever changed or taken out.

    Attributes
    ----------
    nodes
        In the order in which they run.
    constants
        Values by name: what is no parameter and does not depend on the data.
    shapes, dtypes
        Of every value, constants included.
    opsets
        Version by domain ("" for ONNX's own).
    """

    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, np.dtype[Any]] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=lambda: {"": OPSET})
    _count: int = 0
    _known: dict[tuple[str, Shape, bytes], str] = field(default_factory=dict)

    def copy(self) -> "Graph":
        """Return a graph that grows apart from this one; arrays are shared."""
        return Graph(
            [copied(node) for node in self.nodes],
            dict(self.constants),
            dict(self.shapes),
            dict(self.dtypes),
            dict(self.opsets),
            self._count,
            dict(self._known),
        )

    def fresh(self, hint: str) -> str:
        """Return a name that no value has."""
        while True:
            self._count += 1
            name = f"onnxtop/{hint}_{self._count}"
            if name not in self.shapes:
                return name

    def tensor(self, name: str) -> "Tensor":
        """Return a value of the graph."""
        return Tensor(self, name, self.shapes[name], self.dtypes[name])

    def declare(self, name: str, shape: Iterable[int], dtype: Any) -> "Tensor":
        """Note a value that is fed, or made by a node outside this class."""
        self.shapes[name] = tuple(shape)
        self.dtypes[name] = np.dtype(dtype)
        return self.tensor(name)

    def hold(self, name: str, array: Array) -> "Tensor":
        """Note a constant under a name of its own."""
        self.constants[name] = array
        return self.declare(name, array.shape, array.dtype)

    def constant(self, value: Any, dtype: Any = None) -> "Tensor":
        """Return a constant; equal constants are one."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self.fresh("constant")
            self.hold(self._known[key], array)
        return self.tensor(self._known[key])

    def name(self, tensor: "Tensor", name: str) -> "Tensor":
        """Give a value a name of its own beside the one it has."""
        self.nodes.append(NodeProto(op_type="Identity", input=[tensor.name], output=[name]))
        return self.declare(name, tensor.shape, tensor.dtype)

    def integers(self, values: Iterable[int]) -> "Tensor":
        """Return a constant vector of int64: axes, sizes, indices."""
        return self.constant(np.array(list(values), np.int64))

    def emit(
        self,
        op: str,
        *inputs: "Tensor | None",
        shape: Iterable[int],
        dtype: Any = None,
        domain: str = "",
        **attributes: Any,
    ) -> "Tensor":
        """Add a node with one output of this shape; its type is that of the first input unless told."""
        first = next((item.dtype for item in inputs if item is not None), np.dtype(np.float32))
        return self.emit_many(
            op, *inputs, outputs=[(tuple(shape), dtype or first)], domain=domain, **attributes
        )[0]

    def emit_many(
        self,
        op: str,
        *inputs: "Tensor | None",
        outputs: Sequence[tuple[Shape, Any]],
        domain: str = "",
        **attributes: Any,
    ) -> list["Tensor"]:
        """Add a node with several outputs, each a shape and a type."""
        names = [self.fresh(op) for _ in outputs]
        inputs_ = ["" if item is None else item.name for item in inputs]
        self.nodes.append(helper.make_node(op, inputs_, names, name=names[0], domain=domain, **attributes))
        return [self.declare(name, *kind) for name, kind in zip(names, outputs, strict=True)]

    def to_proto(self, inputs: Iterable[str], outputs: Iterable[str]) -> ModelProto:
        """Return the model that computes some values; what they do not need is left out."""
        outputs = list(outputs)
        nodes, used = ancestors(self.nodes, outputs)
        graph = helper.make_graph(
            nodes,
            "onnxtop",
            [
                helper.make_tensor_value_info(name, onnx_type(self.dtypes[name]), list(self.shapes[name]))
                for name in inputs
                if name in used
            ],
            [self._info(name) for name in outputs],
            [
                numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
                for name, array in self.constants.items()
                if name in used
            ],
        )
        return helper.make_model(
            graph, opset_imports=self.opset_imports(), ir_version=10, producer_name="onnxtop"
        )

    def opset_imports(self) -> list[OperatorSetIdProto]:
        """Return the opsets as a model lists them."""
        return [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]

    def _info(self, name: str) -> ValueInfoProto:
        if name not in self.dtypes:
            return ValueInfoProto(name=name)  # onnxruntime finds out by itself
        return helper.make_tensor_value_info(name, onnx_type(self.dtypes[name]), list(self.shapes[name]))


def copied(node: NodeProto) -> NodeProto:
    """Return a node that can be changed apart from this one."""
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def ancestors(
    nodes: Sequence[NodeProto], names: Iterable[str], through: Callable[[str], bool] = bool
) -> tuple[list[NodeProto], set[str]]:
    """Return the nodes that some values are made by, in order, and all values on the way.

    ``through`` says which values the way back may take.
    """
    reached = set(filter(through, names))
    kept = []
    for node in reversed(nodes):
        if any(name in reached for name in node.output if name):
            kept.append(node)
            reached.update(filter(through, reads(node)))
    return kept[::-1], reached


def descendants(nodes: Iterable[NodeProto], names: Iterable[str]) -> set[str]:
    """Return some values and all that depend on one of them; nodes come in the order in which they run."""
    reached = set(names)
    for node in nodes:
        if any(name in reached for name in reads(node)):
            reached.update(filter(None, node.output))
    return reached


def reads(node: NodeProto) -> Iterable[str]:
    """Yield the names that a node reads, those that its bodies take from outside included."""
    yield from node.input
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            inner = {value.name for value in body.input} | {item.name for item in body.initializer}
            inner |= {name for item in body.node for name in item.output}
            yield from (name for item in body.node for name in reads(item) if name not in inner)
            yield from (value.name for value in body.output if value.name not in inner)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of a graph. Operators add nodes; NumPy's rules of broadcasting hold.

    What changes nothing (adding 0, a reshape to the same shape) adds no node.
    """

    graph: Graph
    name: str
    shape: Shape
    dtype: np.dtype[Any]

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def value(self) -> Array | None:
        """Its value if it is a constant, else None."""
        return self.graph.constants.get(self.name)

    def apply(self, op: str, *others: "Tensor | None", dtype: Any = None, **attributes: Any) -> "Tensor":
        """Apply an operation that keeps the shape."""
        return self.graph.emit(op, self, *others, shape=self.shape, dtype=dtype, **attributes)

    def like(self, value: float) -> "Tensor":
        """Return a scalar constant of this type."""
        return self.graph.constant(np.array(value, self.dtype))

    def zeros(self) -> "Tensor":
        """Return zeros of the same shape and type."""
        return self.graph.constant(np.zeros(self.shape, self.dtype))

    def with_(self, op: str, other: Operand, dtype: Any = None, *, swapped: bool = False) -> "Tensor":
        """Apply an elementwise operation of two operands."""
        right = other if isinstance(other, Tensor) else self.graph.constant(np.asarray(other, self.dtype))
        pair = (right, self) if swapped else (self, right)
        shape = np.broadcast_shapes(self.shape, right.shape)
        return self.graph.emit(op, *pair, shape=shape, dtype=dtype or self.dtype)

    def __add__(self, other: Operand) -> "Tensor":
        return self.with_("Add", other)

    def __radd__(self, other: Operand) -> "Tensor":
        return self.with_("Add", other, swapped=True)

    def __sub__(self, other: Operand) -> "Tensor":
        return self.with_("Sub", other)

    def __rsub__(self, other: Operand) -> "Tensor":
        return self.with_("Sub", other, swapped=True)

    def __mul__(self, other: Operand) -> "Tensor":
        return self if isinstance(other, float) and other == 1.0 else self.with_("Mul", other)

    def __rmul__(self, other: Operand) -> "Tensor":
        return self * other

    def __truediv__(self, other: Operand) -> "Tensor":
        return self.with_("Div", other)

    def __rtruediv__(self, other: Operand) -> "Tensor":
        return self.with_("Div", other, swapped=True)

    def __neg__(self) -> "Tensor":
        return self.apply("Neg")

    def __gt__(self, other: Operand) -> "Tensor":  # type: ignore[misc]  # mypy expects a mirror of itself
        return self.with_("Greater", other, bool)

    def __lt__(self, other: Operand) -> "Tensor":  # type: ignore[misc]  # mypy expects a mirror of itself
        return self.with_("Less", other, bool)

    def __ge__(self, other: Operand) -> "Tensor":  # type: ignore[misc]  # mypy expects a mirror of itself
        return self.with_("GreaterOrEqual", other, bool)

    def __le__(self, other: Operand) -> "Tensor":  # type: ignore[misc]  # mypy expects a mirror of itself
        return self.with_("LessOrEqual", other, bool)

    def equals(self, other: Operand) -> "Tensor":
        """Compare element by element."""
        return self.with_("Equal", other, bool)

    def __matmul__(self, other: "Tensor") -> "Tensor":
        """Multiply matrices as MatMul does, stacks of them included; both have at least two axes."""
        stack = np.broadcast_shapes(self.shape[:-2], other.shape[:-2])
        shape = (*stack, self.shape[-2], other.shape[-1])
        return self.graph.emit("MatMul", self, other, shape=shape)

    def where(self, condition: "Tensor", other: Operand) -> "Tensor":
        """Keep elements where the condition holds, take the other's where it does not."""
        right = other if isinstance(other, Tensor) else self.graph.constant(np.asarray(other, self.dtype))
        shape = np.broadcast_shapes(condition.shape, self.shape, right.shape)
        return self.graph.emit("Where", condition, self, right, shape=shape, dtype=self.dtype)

    def cast(self, dtype: Any) -> "Tensor":
        """Convert to another type."""
        kind = np.dtype(dtype)
        return self if kind == self.dtype else self.apply("Cast", dtype=kind, to=onnx_type(kind))

    def exp(self) -> "Tensor":
        """E to the power of each element."""
        return self.apply("Exp")

    def log(self) -> "Tensor":
        """Natural logarithm of each element."""
        return self.apply("Log")

    def sqrt(self) -> "Tensor":
        """Square root of each element."""
        return self.apply("Sqrt")

    def sum(self, axes: Iterable[int], *, keepdims: bool = False) -> "Tensor":
        """Sum along some axes."""
        return self._reduced("ReduceSum", axes, keepdims)

    def mean(self, axes: Iterable[int], *, keepdims: bool = False) -> "Tensor":
        """Mean along some axes."""
        return self._reduced("ReduceMean", axes, keepdims)

    def _reduced(self, op: str, axes: Iterable[int], keepdims: bool) -> "Tensor":
        chosen = sorted(axis % self.rank for axis in axes)
        if not chosen:
            return self
        kept = tuple(1 if axis in chosen else size for axis, size in enumerate(self.shape))
        shape = kept if keepdims else tuple(size for a, size in enumerate(self.shape) if a not in chosen)
        return self.graph.emit(op, self, self.graph.integers(chosen), shape=shape, keepdims=int(keepdims))

    def sum_to(self, shape: Shape) -> "Tensor":
        """Undo broadcasting: sum along every axis that was repeated to get from ``shape`` to this one."""
        if shape == self.shape:
            return self
        extra = self.rank - len(shape)
        repeated = [
            axis
            for axis, size in enumerate(self.shape)
            if axis < extra or (shape[axis - extra] == 1 and size != 1)
        ]
        return self.sum(repeated).reshape(shape)

    def reshape(self, shape: Iterable[int]) -> "Tensor":
        """Give the same elements another shape; one size may be -1."""
        wanted = tuple(shape)
        if -1 in wanted:
            rest = math.prod(size for size in wanted if size != -1)
            wanted = tuple(self.size // rest if size == -1 else size for size in wanted)
        if wanted == self.shape:
            return self
        if math.prod(wanted) != self.size:
            raise ValueError(f"{self.shape} does not reshape to {wanted}")
        return self.graph.emit("Reshape", self, self.graph.integers(wanted), shape=wanted, allowzero=1)

    def expand(self, shape: Shape) -> "Tensor":
        """Repeat along axes of size 1."""
        if shape == self.shape:
            return self
        return self.graph.emit("Expand", self, self.graph.integers(shape), shape=shape)

    def transpose(self, order: Iterable[int]) -> "Tensor":
        """Put the axes into another order."""
        perm = [axis % self.rank for axis in order]
        if perm == list(range(self.rank)):
            return self
        shape = [self.shape[axis] for axis in perm]
        return self.graph.emit("Transpose", self, shape=shape, perm=perm)

    @property
    def mT(self) -> "Tensor":
        """The matrices of its last two axes, transposed."""
        return self.transpose([*range(self.rank - 2), self.rank - 1, self.rank - 2])

    def slice(self, axis: int, start: int, stop: int) -> "Tensor":
        """Take a run of positions along one axis."""
        axis %= self.rank
        if (start, stop) == (0, self.shape[axis]):
            return self
        numbers = [self.graph.integers([number]) for number in (start, stop, axis)]
        shape = [stop - start if a == axis else size for a, size in enumerate(self.shape)]
        return self.graph.emit("Slice", self, *numbers, shape=shape)

    def pad(self, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> "Tensor":
        """Put constant elements around; negative numbers cut off."""
        if not any(before) and not any(after):
            return self
        shape = [b + size + a for b, size, a in zip(before, self.shape, after, strict=True)]
        return self.graph.emit(
            "Pad", self, self.graph.integers([*before, *after]), self.like(value), shape=shape
        )
