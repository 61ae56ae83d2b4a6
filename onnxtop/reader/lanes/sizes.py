"""The size of every value, and the numbers of the small ones that no data reaches (shapes, axes, indices).

ONNX's own inference is asked node by node, each with the sizes and numbers found before it, so that a shape
that the model computes (Shape, Gather, Concat, Reshape) is known where it is used.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onnxtop.reader.bounds import EvaluationBudget, infer
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.evaluate import is_computed, run
from onnxtop.reader.lanes.open_axes import expected_rank
from onnxtop.reader.lanes.stand_ins import stand_in
from onnxtop.reader.limits import GIB, Limits
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.search import reached
from onnxtop.reader.tensors import MOST_AXES

Array = NDArray[Any]

_SMALL = 1 << 14
"""Elements up to which a value's numbers are kept."""
_BUDGET = Limits(constants=64 * _SMALL / GIB)


@dataclass(frozen=True, eq=False)
class Size:
    """What is known of a value before it runs: shape (None if not), element type, numbers if they are few."""

    shape: tuple[int, ...] | None = None
    dtype: int = TensorProto.FLOAT
    array: Array | None = None

    def __post_init__(self) -> None:
        """Take a shape of more axes than an array can have, and what are no real numbers, for not known."""
        if self.shape is not None and len(self.shape) > MOST_AXES:
            object.__setattr__(self, "shape", None)
        if self.array is not None and self.array.dtype.kind in "OSUc":
            object.__setattr__(self, "array", None)


UNKNOWN = Size()
_Told = tuple[tuple[int, ...] | None, int, Array | None]
_Inferred = Mapping[int, tuple[tuple[int, ...] | None, int]]


@dataclass(frozen=True, eq=False)
class Input:
    """An input of the model: its value, its axes (None where they are open), their names, its element type.

    ``dtype`` is 0 for a sequence or a map, ``shape`` None where the model does not say it.
    """

    value: Value
    shape: tuple[int | None, ...] | None
    names: tuple[str, ...]
    dtype: int

    def told(self, name: str, axis: int, size: int, shared: str) -> "Input":
        """Return the input with the size of an open axis of the input ``name``, or of that name."""
        shape = tuple(
            size
            if known is None and ((self.value.name, place) == (name, axis) or (shared and own == shared))
            else known
            for place, (known, own) in enumerate(zip(self.shape or (), self.names, strict=True))
        )
        return replace(self, shape=None if self.shape is None else shape)


def graph_inputs(
    model: Model,
    shapes: Mapping[str, Sequence[int | None]],
    input_shapes: Mapping[str, Sequence[int]],
    dims: Mapping[str, int],
) -> list[Input]:
    """Return the model's inputs; for the parameters see `onnxtop.reader.connectivity.connect`."""
    declared = {item.name: item.type.tensor_type for item in model.proto.graph.input}
    found = []
    for value in model.inputs:
        kind = declared[value.name]
        shape: Sequence[int | None] | None = shapes.get(value.name)
        if kind.HasField("shape"):
            shape = [dims.get(dim.dim_param, dim.dim_value or None) for dim in kind.shape.dim]
            shape = [None if size is None or size < 0 else size for size in shape]
        given = input_shapes.get(value.name)
        if given is not None and (shape is None or len(given) == len(shape)):
            shape = given
        if shape is None:
            shape = _guessed(model, value)
        names = [dim.dim_param for dim in kind.shape.dim] or [""] * len(shape or ())
        found.append(Input(value, None if shape is None else tuple(shape), tuple(names), kind.elem_type))
    return found


def _guessed(model: Model, value: Value) -> tuple[None, ...] | None:
    """Return as many open axes as the nearest operation that tells wants to see; None if none does."""

    def passed_on(here: Value) -> list[Value]:
        users = [use.node for use in model.users.get(here, ())]
        like = [
            node for node in users if len(node.inputs) == 1 or node.op_type in ("Add", "Sub", "Mul", "Div")
        ]
        return [output for node in like for output in node.outputs[:1]]

    for here in reached([value], passed_on):
        for use in model.users.get(here, ()):
            rank = expected_rank(use.node, model.tensors) if use.position == 0 else None
            if rank is not None:
                return (None,) * rank
    return None


class Sizes:
    """What is known of every value of a model.

    ``inputs`` are its inputs, whose open axes take the sizes ``assumed``: the first axis, and the others.
    Sizes that only the data tells (how many entries are not zero) are taken like the latter.
    ``contradictions`` are the nodes whose weight wants another size than their operand has.
    """

    def __init__(
        self, model: Model, constants: Constants, inputs: Sequence[Input], assumed: tuple[int, int]
    ) -> None:
        self.model = model
        self.constants = constants
        self.inputs = inputs
        self.contradictions: list[Node] = []
        self._assumed = assumed
        self.opset = model.opset.get("ai.onnx", onnx.defs.onnx_opset_version())
        self._declared = dict(_declared_shapes(model))
        self._inferred_of: dict[object, _Inferred] = {}
        self._known = {item.value: self._of_input(item) for item in inputs}

    @property
    def are_assumed(self) -> bool:
        """Whether any size is an assumption."""
        return any(None in (item.shape or ()) for item in self.inputs)

    @property
    def are_guessed(self) -> bool:
        """Whether any size is an assumption that matters: not only that of a batch."""
        return any(None in (item.shape or ())[1:] for item in self.inputs)

    def _of_input(self, item: Input) -> Size:
        shape = None
        if item.shape is not None:
            shape = tuple(
                self._assumed[min(axis, 1)] if size is None else size for axis, size in enumerate(item.shape)
            )
        return Size(shape, item.dtype or TensorProto.FLOAT)

    def of(self, value: Value | None) -> Size:
        """Return what is known of a value."""
        if value is None:
            return UNKNOWN
        found = self._known.get(value)
        if found is None:
            outside = self.model.carried.get(value)
            found = self.of(outside) if outside is not None else self._stored(value)
            self._known[value] = found
        return found

    def put(self, value: Value | None, size: Size) -> None:
        """Note what is known of a value."""
        if value is not None:
            self._known[value] = size

    def any_empty(self) -> bool:
        """Tell whether a value that a node makes holds nothing."""
        made = (value for node in self.model.nodes for value in node.outputs)
        return any(0 in (self.of(value).shape or ()) for value in made)

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

    def measure(self, node: Node) -> None:
        """Find out what is known of a node's results from what is known of its operands."""
        before = [self.of(value) for value in node.inputs]
        found = self._folded(node, before)
        if found is None:
            found = self._inferred(node, before)
        self._known.update(zip(node.outputs, found, strict=False))

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
            results = run(node, arrays, self.opset, EvaluationBudget(_BUDGET))
        except Exception:  # whatever NumPy and onnx raise: then only the shape is asked for
            return None
        return [_of_array(np.asarray(result)) for result in results]

    def _inferred(self, node: Node, before: Sequence[Size]) -> list[Size]:
        """Ask ONNX, or the table of operations that it does not know."""
        if not node.domain and node.op_type in _OWN_SHAPES and before[0].shape is not None:
            shape = _OWN_SHAPES[node.op_type](node, before[0].shape, [item.array for item in before])
            if shape is not None:
                return [Size(shape, before[0].dtype)]
        answers: _Inferred | None = stand_in(node, [item.shape for item in before])
        if answers is None:
            answers = self._answers(node.proto, [(item.shape, item.dtype, _told(item)) for item in before])
        sizes = []
        for place, name in enumerate(node.proto.output):
            if name:
                shape, dtype = answers.get(place, (None, TensorProto.FLOAT))
                sizes.append(Size(self._declared.get(name) if shape is None else shape, dtype))
        return sizes

    def _answers(self, proto: onnx.NodeProto, before: Sequence[_Told]) -> _Inferred:
        """Return what ONNX infers, which is asked once about operations and operands that are alike."""
        numbers = [None if array is None else (array.dtype.str, array.tobytes()) for *_, array in before]
        key = (
            (
                proto.domain,
                proto.op_type,
                *map(bool, proto.input),
                len(proto.input),
                *map(bool, proto.output),
            ),
            tuple(attribute.SerializeToString(deterministic=True) for attribute in proto.attribute),
            tuple((shape, dtype) for shape, dtype, _ in before),
            tuple(numbers),
        )
        if key not in self._inferred_of:
            self._inferred_of[key] = self._ask(proto, before)
        return self._inferred_of[key]

    def _ask(self, proto: onnx.NodeProto, before: Sequence[_Told]) -> _Inferred:
        """Return shape and element type of a node's outputs by place, as ONNX infers them."""
        try:
            answers = infer(proto, before, self.opset, self.model.proto.ir_version)
        except Exception:  # bare C++ errors: the operands contradict each other, or the operation is unknown
            return {}
        return {
            place: _answer(answers[name], self._assumed[1])
            for place, name in enumerate(proto.output)
            if name and name in answers
        }


def _told(item: Size) -> Array | None:
    """Return the numbers that may tell a shape: not those of a weight, which has two axes or more."""
    return None if item.array is None or item.array.ndim > 1 else item.array


def _squeezed(node: Node, shape: Sequence[int], arrays: Sequence[Array | None]) -> tuple[int, ...] | None:
    """Drop the given axes whatever their sizes: one that is not 1 is the assumed size of an open axis."""
    axes = node.attributes().get("axes")
    if axes is None and len(arrays) > 1 and arrays[1] is not None:
        axes = arrays[1].ravel().tolist()
    if axes is None or not shape:
        return None
    gone = {axis % len(shape) for axis in axes}
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _cut(node: Node, shape: Sequence[int], arrays: Sequence[Array | None]) -> tuple[int, ...]:
    """Cut an array that holds nothing; where the data tells the place, the size stays as good as any."""
    if any(array is None and value for array, value in zip(arrays[1:], node.inputs[1:], strict=True)):
        return tuple(shape)
    return run(node, [np.broadcast_to(np.int8(0), shape), *arrays[1:]], 0)[0].shape


_OWN_SHAPES = {"Compress": _cut, "Slice": _cut, "Squeeze": _squeezed}
"""Operations whose shape is counted here: ONNX is too strict, or ends the process (Slice)."""


def _declared_shapes(model: Model) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the shapes that the main graph declares in full."""
    for item in (*model.proto.graph.value_info, *model.proto.graph.output):
        kind = item.type.tensor_type
        if kind.HasField("shape") and all(dim.dim_value > 0 for dim in kind.shape.dim):
            yield item.name, tuple(dim.dim_value for dim in kind.shape.dim)


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
