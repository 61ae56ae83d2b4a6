"""A model as one message that holds all of its bytes, for whoever is not to read its files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from onnxtop.errors import ModelError
from onnxtop.loss.prepare.unpack import make_plain
from onnxtop.reader.limits import UNCHANGED
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model
from onnxtop.reader.protos import bodies_in, constant_value, tensors_in


def whole(
    path: str,
    allow_external: Sequence[str] = (),
    outputs: Sequence[str] = (),
    limits: Mapping[str, float] = UNCHANGED,
) -> ModelProto:
    """Return a model with all its bytes, its functions inlined, that gives some more of its values."""
    proto = completed(load(path, allow_external=allow_external, limits=limits))
    there = {value.name for value in proto.graph.output}
    proto.graph.output.extend(ValueInfoProto(name=name) for name in outputs if name not in there)
    return proto


def with_weights(model: Model, weights: Mapping[str, NDArray[Any]]) -> ModelProto:
    """Return a model with other values in some of its tensors, each stored in the type that it had.

    Raises
    ------
    onnxtop.errors.ModelError
        The model holds no tensor of that name.
    """
    proto = completed(model)
    make_plain(proto.graph, model.files, weights)
    held = dict(_tensors(proto.graph))
    if missing := [name for name in weights if name not in held]:
        raise ModelError(
            f"wanted a tensor {missing[0]!r} to put weights into, found none in {model.file.short}"
        )
    _part_statistics(proto.graph, held, weights)
    for name, array in weights.items():
        stored = array.astype(helper.tensor_dtype_to_np_dtype(held[name].data_type))
        held[name].CopyFrom(numpy_helper.from_array(stored, held[name].name))
    return proto


def _tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield the tensors of a graph by the name of their value, those of bodies first."""
    for node in graph.node:
        for body in bodies_in(node):
            yield from _tensors(body)
        value = constant_value(node)
        if isinstance(value, TensorProto):
            yield node.output[0], value
    yield from ((tensor.name, tensor) for tensor in graph.initializer)


def _part_statistics(
    graph: GraphProto, held: Mapping[str, TensorProto], weights: Mapping[str, NDArray[Any]]
) -> None:
    """Leave running statistics as they are where they share a tensor with a weight."""
    for node in graph.node:
        for position in (3, 4) if node.op_type == "BatchNormalization" else ():
            if (name := node.input[position]) in weights:
                own = TensorProto()
                own.CopyFrom(held[name])
                own.name = node.input[position] = f"{name}/statistics{node.output[0]}{position}"
                graph.initializer.append(own)


def completed(model: Model) -> ModelProto:
    """Return a model with all its bytes, its functions inlined."""
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    for tensor in tensors_in(proto.graph):
        model.files.bring_in(tensor)
    return proto
