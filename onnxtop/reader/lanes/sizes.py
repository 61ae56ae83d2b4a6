"""The size of every value, and the numbers of the small ones that no data reaches (shapes, axes, indices).

ONNX's own inference is asked node by node, each with the sizes and numbers found before it, so that a shape
that the model computes (Shape, Gather, Concat, Reshape) is known where it is used. Dimensions that the model
leaves open take a value; `OpenError` asks for another where a weight tells it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference

from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.evaluate import bound, is_computed, run
from onnxtop.reader.lanes.folding import quick
from onnxtop.reader.lanes.open_axes import OpenError, expected_sizes
from onnxtop.reader.lanes.own_shapes import OWN_SHAPES
from onnxtop.reader.lanes.stand_ins import stand_in
from onnxtop.reader.model import Body, Model, Node, Scope, Value

__all__ = ["Input", "Size", "Sizes", "graph_inputs", "measure"]

Array = NDArray[Any]

_SMALL = 1 << 14
"""Elements up to which a value's numbers are kept."""


@dataclass(frozen=True, eq=False)
class Size:
    """What is known of a value before it runs: shape (None if not), element type, numbers if they are few."""

    shape: tuple[int, ...] | None = None
    dtype: int = TensorProto.FLOAT
    array: Array | None = None


UNKNOWN = Size()


@dataclass(frozen=True, eq=False)
class Input:
    """An input of the model: its value, its axes (None where they are open) and its element type.

    ``dtype`` is 0 for a sequence or a map, ``shape`` None where the model does not say it.
    """

    value: Value
    shape: tuple[int | None, ...] | None
    dtype: int


def graph_inputs(model: Model, given: Mapping[str, Sequence[int | None]]) -> list[Input]:
    """Return the model's inputs with the shapes that are given, or else declared."""
    declared = {item.name: item.type for item in model.proto.graph.input}
    found = []
    for value in model.inputs:
        kind = declared[value.name].tensor_type
        shape: tuple[int | None, ...] | None = None
        if kind.HasField("shape"):
            shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
        if value.name in given and (shape is None or len(given[value.name]) == len(shape)):
            shape = tuple(given[value.name])
        if shape is None:
            shape = _guessed(model, value)
        found.append(Input(value, shape, kind.elem_type))
    return found


_RANKS = {"Gemm": 2, "LSTM": 3, "GRU": 3, "RNN": 3, "LinearClassifier": 2, "LinearRegressor": 2, "Scaler": 2}


def _guessed(model: Model, value: Value) -> tuple[None, ...] | None:
    """Return as many open axes as the first operation that tells wants to see; None if none does."""
    values, seen = [value], {value}
    for here in values:
        for use in model.users.get(here, ()):
            node = use.node
            kernel = model.tensors.get(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
            if use.position == 0 and node.op_type in ("Conv", "ConvTranspose") and kernel is not None:
                return (None,) * len(kernel.dims)
            if use.position == 0 and node.op_type in _RANKS:
                return (None,) * _RANKS[node.op_type]
            if use.position == 0 and node.op_type == "MatMul" and kernel is not None:
                return (None,) * max(2, len(kernel.dims))
            if len(node.inputs) == 1 or node.op_type in ("Add", "Sub", "Mul", "Div"):
                values += [output for output in node.outputs[:1] if output not in seen]
                seen.update(node.outputs)
    return None


@dataclass(frozen=True, eq=False)
class Sizes:
    """What is known of every value of a model.

    ``dead`` are the bodies of If nodes that never run, ``contradictions`` the nodes whose weight wants
    another size than their operand has.
    """

    model: Model
    constants: Constants
    known: dict[Value, Size] = field(default_factory=dict)
    dead: set[tuple[int, str]] = field(default_factory=set)
    contradictions: list[Node] = field(default_factory=list)

    def of(self, value: Value | None) -> Size:
        """Return what is known of a value."""
        if value is None:
            return UNKNOWN
        found = self.known.get(value)
        if found is None:
            outside = self.model.carried.get(value)
            found = self.of(outside) if outside is not None else self._stored(value)
            self.known[value] = found
        return found

    def doubts(self) -> int:
        """Return how many sizes are unknown, empty or contradicted: signs that open axes have others."""
        found = (self.of(value).shape for node in self.model.nodes for value in node.outputs)
        return sum(shape is None or min(shape, default=1) < 1 for shape in found) + len(self.contradictions)

    def _stored(self, value: Value) -> Size:
        tensor = self.model.tensors.get(value)
        if tensor is None:
            return UNKNOWN
        shape = tuple(tensor.dims)
        array = None
        if math.prod(shape) <= _SMALL:
            try:
                array = self.constants.read(value)
            except UnreadableConstantError:
                array = None
        return Size(shape, tensor.data_type, array)


def measure(
    model: Model,
    constants: Constants,
    scope: Scope,
    inputs: Sequence[Input],
    assumed: tuple[int, int],
) -> Sizes:
    """Return the sizes of all values, with the sizes assumed for open first axes, and for all others.

    Sizes that only the data tells (how many entries are not zero) are taken like the latter.

    Raises
    ------
    OpenError
        A weight shows that an open axis has another size.
    """
    sizes = Sizes(model, constants)
    for item in inputs:
        shape = None
        if item.shape is not None:
            shape = tuple(
                assumed[min(axis, 1)] if size is None else size for axis, size in enumerate(item.shape)
            )
        sizes.known[item.value] = Size(shape, item.dtype or TensorProto.FLOAT)
    _Measurer(sizes, {item.value: item for item in inputs}, assumed[1]).scope(scope)
    return sizes


def _declared_shapes(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the shapes that the main graph declares in full."""
    for item in (*model.proto.graph.value_info, *model.proto.graph.output):
        kind = item.type.tensor_type
        if kind.HasField("shape") and all(dim.dim_value > 0 for dim in kind.shape.dim):
            yield item.name, tuple(dim.dim_value for dim in kind.shape.dim)


class _Measurer:
    def __init__(self, sizes: Sizes, inputs: Mapping[Value, Input], spare: int) -> None:
        self._sizes = sizes
        self._spare = spare
        self._inputs = inputs
        model = sizes.model
        self._opset = model.opset.get("ai.onnx", onnx.defs.onnx_opset_version())
        self._imports = [helper.make_opsetid("", self._opset)]
        self._ir_version = model.proto.ir_version
        self._declared = dict(_declared_shapes(model))

    def scope(self, scope: Scope) -> None:
        for node in scope.nodes:
            bodies = scope.bodies.get(node.index, ())
            visit = _CONTROL.get(node.op_type) if bodies and not node.domain else None
            try:
                if visit is not None:
                    visit(self, node, bodies)
                else:
                    self._node(node)
            except (ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError):
                continue  # operands that do not fit the operation: the sizes of its results stay unknown

    def _node(self, node: Node) -> None:
        before = [self._sizes.of(value) for value in node.inputs]
        self._check_open(node, before)
        found = self._folded(node, before)
        if found is None:
            found = self._inferred(node, before)
        for value, size in zip(node.outputs, found, strict=False):
            self._sizes.known[value] = size

    def _check_open(self, node: Node, before: Sequence[Size]) -> None:
        for position, axis, size in expected_sizes(node, [item.shape for item in before]):
            value = node.inputs[position]
            if value is not None:
                raise_if_open = OpenError.where(value, axis, size, self._sizes, self._inputs)
                if raise_if_open is not None:
                    raise raise_if_open
                self._sizes.contradictions.append(node)

    def _folded(self, node: Node, before: Sequence[Size]) -> list[Size] | None:
        """Compute a node whose inputs are all known numbers; None if they are not."""
        if node.op_type == "Shape" and not node.domain and before[0].shape is not None:
            attributes = node.attributes()
            shape = before[0].shape[attributes.get("start", 0) : attributes.get("end")]
            return [_of_array(np.array(shape, np.int64))]
        if not is_computed(node):
            return None
        arrays = [item.array for item in before]
        if any(array is None and value is not None for array, value in zip(arrays, node.inputs, strict=True)):
            return None
        try:
            if bound(node, arrays) > 8 * _SMALL:
                return None
            results = quick(node, arrays) or run(node, arrays, self._opset)
        except Exception:  # whatever NumPy and onnx raise: then only the shape is asked for
            return None
        return [_of_array(np.asarray(result)) for result in results]

    def _inferred(self, node: Node, before: Sequence[Size]) -> list[Size]:
        """Ask ONNX, or the table of operations that it does not know."""
        if not node.domain and node.op_type in OWN_SHAPES:
            shape = OWN_SHAPES[node.op_type](node, before[0].shape, [item.array for item in before])
            if shape is not None or node.op_type == "Slice":
                return [Size(shape, before[0].dtype)]
        answers = stand_in(node, [item.shape for item in before])
        if answers is None:
            answers = self._ask(node.proto, [(item.shape, item.dtype, item.array) for item in before])
        names = [name for name in node.proto.output if name]
        places = {name: place for place, name in enumerate(node.proto.output)}
        sizes = []
        for name in names:
            shape, dtype = answers.get(places[name], (None, TensorProto.FLOAT))
            sizes.append(Size(self._declared.get(name) if shape is None else shape, dtype))
        return sizes

    def _ask(
        self, proto: onnx.NodeProto, before: Sequence[tuple[tuple[int, ...] | None, int, Array | None]]
    ) -> dict[int, tuple[tuple[int, ...] | None, int]]:
        """Return shape and element type of a node's outputs by place, as ONNX infers them."""
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        try:
            schema = _schema(proto.op_type, self._opset, domain)
            types = {
                name: helper.make_tensor_type_proto(dtype, shape)
                for name, (shape, dtype, _) in zip(proto.input, before, strict=True)
                if name
            }
            data = {
                name: numpy_helper.from_array(np.ascontiguousarray(array), name)
                for name, (_, _, array) in zip(proto.input, before, strict=True)
                if name and array is not None and array.dtype.kind in "iufb"
            }
            answers = shape_inference.infer_node_outputs(
                schema, proto, types, data, opset_imports=self._imports, ir_version=self._ir_version
            )
        except Exception:  # bare C++ errors: the operands contradict each other, or the operation is unknown
            return {}
        return {
            place: _answer(answers[name], self._spare)
            for place, name in enumerate(proto.output)
            if name and name in answers
        }

    # Bodies: an If runs one branch if its condition is known; a loop is measured in its first iteration.

    def _if(self, node: Node, bodies: Sequence[Body]) -> None:
        condition = self._sizes.of(node.inputs[0]).array
        alive = list(bodies)
        if condition is not None and condition.size == 1:
            wanted = "then_branch" if bool(condition.ravel()[0]) else "else_branch"
            alive = [body for body in bodies if body.name == wanted]
            self._sizes.dead.update((node.index, body.name) for body in bodies if body.name != wanted)
        for body in alive:
            self.scope(body.scope)
        for place, value in enumerate(node.outputs):
            options = [self._sizes.of(body.outputs[place]) for body in alive if place < len(body.outputs)]
            self._sizes.known[value] = _agreed(options)

    def _loop(self, node: Node, bodies: Sequence[Body]) -> None:
        body = bodies[0]
        trips = self._sizes.of(node.inputs[0] if node.inputs else None).array
        self._set(body.inputs[0:1], Size((), TensorProto.INT64))
        self._set(body.inputs[1:2], Size((), TensorProto.BOOL))
        states = len(node.inputs) - 2
        self._states(node.inputs[2:], body.inputs[2:])
        self.scope(body.scope)
        length = (
            int(trips.ravel()[0])
            if trips is not None and trips.size and 0 < trips.ravel()[0] < 1 << 30
            else 2
        )
        self._results(node, body, states, 1, [length] * len(node.outputs), [0] * len(node.outputs))

    def _scan(self, node: Node, bodies: Sequence[Body]) -> None:
        body, attributes = bodies[0], node.attributes()
        scanned = attributes["num_scan_inputs"]
        states = len(node.inputs) - scanned
        axes = attributes.get("scan_input_axes") or [0] * scanned
        self._states(node.inputs[:states], body.inputs)
        length = 2
        for value, inner, axis in zip(node.inputs[states:], body.inputs[states:], axes, strict=False):
            size = self._sizes.of(value)
            if size.shape is not None:
                length = size.shape[axis]
                rest = tuple(np.delete(size.shape, axis).tolist())
                size = Size(rest, size.dtype)
            self._set([inner], size)
        self.scope(body.scope)
        results = len(node.outputs) - states
        out_axes = attributes.get("scan_output_axes") or [0] * results
        self._results(node, body, states, 0, [length] * results, out_axes)

    def _states(self, outside: Sequence[Value | None], inside: Sequence[Value | None]) -> None:
        for value, inner in zip(outside, inside, strict=False):
            if inner is not None and inner not in self._sizes.model.carried:
                size = self._sizes.of(value)
                self._set([inner], Size(size.shape, size.dtype))

    def _set(self, values: Sequence[Value | None], size: Size) -> None:
        for value in values:
            if value is not None:
                self._sizes.known[value] = size

    def _results(
        self, node: Node, body: Body, states: int, skip: int, lengths: Sequence[int], axes: Sequence[int]
    ) -> None:
        places = {name: place for place, name in enumerate(node.proto.output)}
        for value in node.outputs:
            place = places[value.name]
            exit_ = body.outputs[place + skip] if place + skip < len(body.outputs) else None
            size = self._sizes.of(exit_)
            if place < states and size.shape is None:
                outside = node.inputs[place + 2 * skip]
                size = self._sizes.of(outside)
            if place >= states and size.shape is not None:
                axis = axes[place - states] % (len(size.shape) + 1)
                size = Size((*size.shape[:axis], lengths[place - states], *size.shape[axis:]), size.dtype)
            self._sizes.known[value] = Size(size.shape, size.dtype)


_CONTROL = {"If": _Measurer._if, "Loop": _Measurer._loop, "Scan": _Measurer._scan}


def _schema(op_type: str, opset: int, domain: str) -> onnx.defs.OpSchema:
    """Return an operation as the opset has it, or the newest where the opset is older than the operation."""
    try:
        return onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return onnx.defs.get_schema(op_type, domain)


def _of_array(array: Array) -> Size:
    try:
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
    except (KeyError, ValueError):
        dtype = TensorProto.FLOAT
    return Size(array.shape, dtype, array if array.size <= _SMALL else None)


def _answer(answer: onnx.TypeProto, spare: int) -> tuple[tuple[int, ...] | None, int]:
    kind = answer.tensor_type
    if not answer.HasField("tensor_type") or not kind.HasField("shape"):
        return None, kind.elem_type or TensorProto.FLOAT
    dims = (dim.dim_value if dim.HasField("dim_value") else spare for dim in kind.shape.dim)
    return tuple(dims), kind.elem_type


def _agreed(options: Sequence[Size]) -> Size:
    """Return what the branches of an If agree on; never numbers, the shape of the first if ranks agree."""
    known = [option for option in options if option.shape is not None]
    if len(options) == 1:
        return options[0]
    if not known:
        return UNKNOWN
    ranks = {len(option.shape or ()) for option in known}
    return Size(known[0].shape if len(ranks) == 1 else None, known[0].dtype)
