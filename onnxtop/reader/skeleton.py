"""The model as ONNX's own tools take it: checker and shape inference, without the large tensors.

Both tools serialise the whole model and want the data of every tensor. Here each tensor whose bytes were
left out becomes an input of the same name, type and shape. The checker sees others, in
attributes and in the bodies of functions, as empty ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx
from google.protobuf.message import Message
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

from onnxtop.errors import UsageError
from onnxtop.network import Kernel
from onnxtop.reader.bounds import refuse_deadly
from onnxtop.reader.declared import Shape, shape_of
from onnxtop.reader.layer import Layer
from onnxtop.reader.model import Model
from onnxtop.reader.protos import Stored, bodies_in, constant_value, parts_of, stored_in
from onnxtop.windows import windows

_LONGEST = 2**31
_FREE = 4
"""The IR version since which initializers need not be inputs; as runtimes do, it is taken for granted."""


def checker_note(model: Model) -> str | None:
    """Return what onnx.checker has against the model, first line only; None if it is content."""
    return _complaint(lambda: onnx.checker.check_model(_checked(model.proto)))


def types_note(model: Model) -> str | None:
    """Return what ONNX's inference has against the types of the operations' inputs, None if it is content."""
    return _complaint(lambda: _inference(_skeleton(model.proto), check_type=True))


def _complaint(check: Callable[[], object]) -> str | None:
    try:
        check()
    except Exception as error:  # bare C++ errors beside ONNX's own
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None


def infer_shapes(
    model: Model,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> dict[str, Shape]:
    """Return the shapes of the model's activations by name, None for a size that is not known.

    Parameters
    ----------
    model
        The model.
    input_shapes
        Shapes of inputs, where the model leaves them open.
    dims
        Sizes of named dimensions, for example ``{"batch": 1}``.

    Raises
    ------
    UsageError
        A name is not an input's or a dimension's, or a shape contradicts the model's.
    """
    proto = _skeleton(model.written)
    inputs = {value.name: value for value in proto.graph.input}
    _set_sizes(inputs, [value.name for value in model.inputs], input_shapes or {}, dims or {})
    shapes: dict[str, Shape] = {}
    _collect(_inferred(proto).graph, shapes)
    return shapes


def _inferred(proto: ModelProto) -> ModelProto:
    try:
        return _inference(proto, data_prop=True)
    except Exception:  # bare C++ errors again; what is declared still holds
        return proto


def _inference(proto: ModelProto, **how: bool) -> ModelProto:
    """Return a model with the shapes that ONNX infers, which gets nothing that it would not come back from.

    Raises
    ------
    ValueError
        It would not come back from an operation.
    """
    for graph in _graphs(proto.graph):
        for node in graph.node:
            refuse_deadly(node)
        for value in (*graph.input, *graph.value_info, *graph.output):
            for dim in value.type.tensor_type.shape.dim if value.type.HasField("tensor_type") else ():
                if dim.dim_value < 0:  # not known, as some exporters say it
                    dim.ClearField("dim_value")
    for function in proto.functions:
        for node in function.node:
            refuse_deadly(node)
    proto.ir_version = max(proto.ir_version, _FREE)
    return onnx.shape_inference.infer_shapes(proto, **how)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for body in bodies_in(node):
            yield from _graphs(body)


def check_sizes(model: Model, input_shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> None:
    """Raise UsageError if a shape or a size is not one of the model's inputs, or contradicts it."""
    inputs = {
        value.name: ValueInfoProto.FromString(value.SerializeToString()) for value in model.proto.graph.input
    }
    _set_sizes(inputs, [value.name for value in model.inputs], input_shapes, dims)


def placed(layer: Layer, shapes: Mapping[str, Shape]) -> Kernel | None:
    """Return a convolution's kernel with its input and output sizes, None where they are not known."""
    kernel = layer.kernel()
    node = layer.source.node.proto
    in_size = shapes.get(node.input[0], ())[2:]
    if kernel is None or not in_size or len(in_size) != len(kernel.strides):
        return None
    known = tuple(size for size in in_size if size is not None)
    if len(known) != len(in_size):
        return None
    try:
        along = windows(layer.source.node.attributes(), kernel.weights.shape[3:])
        sizes = list(zip(along, known, strict=True))
        if kernel.transposed:
            out_size = tuple(window.turned_result(size) for window, size in sizes)
            starts = [w.turned_start(size, out) for (w, size), out in zip(sizes, out_size, strict=True)]
        else:
            out_size = tuple(window.result(size) for window, size in sizes)
            starts = [w.start(size, out) for (w, size), out in zip(sizes, out_size, strict=True)]
    except (ValueError, TypeError):
        return None  # attributes that contradict each other
    return replace(kernel, in_size=known, out_size=out_size, pads=tuple(starts))


def _skeleton(proto: ModelProto) -> ModelProto:
    skeleton = ModelProto()
    skeleton.CopyFrom(proto)
    declared = {value.name for value in skeleton.graph.input}
    for tensor in _take_external(skeleton.graph):
        if tensor.name not in declared:
            declared.add(tensor.name)
            skeleton.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return skeleton


def _take_external(graph: GraphProto) -> list[TensorProto]:
    """Remove the tensors without bytes from a graph and its subgraphs, and return them."""
    taken = [tensor for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    _keep(graph.initializer, [t for t in graph.initializer if t.data_location != TensorProto.EXTERNAL])
    kept = []
    for node in graph.node:
        value = constant_value(node)
        if value is not None and node.output and _is_beside(value):
            kind = parts_of(value)[0].data_type
            taken.append(TensorProto(name=node.output[0], data_type=kind, dims=value.dims))
            continue
        kept.append(node)
        for body in bodies_in(node):
            taken += _take_external(body)
    if len(kept) != len(graph.node):
        _keep(graph.node, kept)
    return taken


def _checked(proto: ModelProto) -> ModelProto:
    """Return a model for the checker, which would look for tensors beside it from where it is run.

    Inference keeps their dims and never opens a file.
    """
    skeleton = _skeleton(proto)
    _without_external(skeleton)
    return skeleton


def _without_external(message: Message) -> None:
    """Empty every tensor of a message whose bytes were left out, wherever it stands.

    The values and indices of a sparse tensor are emptied together: the checker wants as many of both.
    """
    for stored in stored_in(message):
        if _is_beside(stored):
            for part in parts_of(stored):
                part.CopyFrom(TensorProto(name=part.name, data_type=part.data_type, dims=[0]))


def _is_beside(stored: Stored) -> bool:
    """Tell whether bytes of a tensor were left out of the message."""
    return any(part.data_location == TensorProto.EXTERNAL for part in parts_of(stored))


def _keep(field: Any, items: Sequence[Any]) -> None:
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)


def _set_sizes(
    inputs: Mapping[str, ValueInfoProto],
    own: Sequence[str],
    input_shapes: Mapping[str, Sequence[int]],
    dims: Mapping[str, int],
) -> None:
    for name, shape in input_shapes.items():
        if name not in own:
            raise UsageError(f"--input-shape wants the name of an input ({', '.join(own)}), found {name!r}")
        _set_shape(inputs[name], shape)
    _set_dims([inputs[name] for name in own], dims)


def _set_shape(value: ValueInfoProto, shape: Sequence[int]) -> None:
    declared = value.type.tensor_type.shape.dim
    if declared and len(declared) != len(shape):
        raise UsageError(f"input {value.name!r} has {len(declared)} axes, --input-shape gives {len(shape)}")
    while len(declared) < len(shape):
        declared.add()
    if any(not 0 < size < _LONGEST for size in shape):
        raise UsageError(f"--input-shape wants sizes from 1 to {_LONGEST - 1}, found {tuple(shape)}")
    for dim, size in zip(declared, shape, strict=True):
        if dim.HasField("dim_value") and dim.dim_value > 0 and dim.dim_value != size:
            raise UsageError(f"input {value.name!r} is {dim.dim_value} long where --input-shape says {size}")
        dim.dim_value = size


def _set_dims(inputs: Iterable[ValueInfoProto], dims: Mapping[str, int]) -> None:
    known = set()
    if any(not 0 < size < _LONGEST for size in dims.values()):
        raise UsageError(f"--dim wants sizes from 1 to {_LONGEST - 1}, found {dict(dims)}")
    for value in inputs:
        for dim in value.type.tensor_type.shape.dim:
            known.add(dim.dim_param)
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
    wrong = next((name for name in dims if name not in known), None)
    if wrong is not None:
        names = ", ".join(sorted(known - {""})) or "it has none"
        raise UsageError(f"--dim wants the name of an open dimension of an input ({names}), found {wrong!r}")


def _agreed(one: Shape, other: Shape) -> Shape:
    if len(one) != len(other):
        return ()
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))


def _collect(graph: GraphProto, shapes: dict[str, Shape]) -> None:
    for value in (
        value for each in _graphs(graph) for value in (*each.input, *each.value_info, *each.output)
    ):
        shape = shape_of(value.type)
        if shape is not None:
            known = shapes.get(value.name, shape)  # two branches may use one name: keep where they agree
            shapes[value.name] = _agreed(known, shape)
