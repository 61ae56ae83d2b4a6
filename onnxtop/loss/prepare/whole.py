"""A model as one message that holds all of its bytes, for whoever is not to read its files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from onnxtop.errors import ModelError
from onnxtop.loss.prepare.unpack import complete
from onnxtop.reader.limits import UNCHANGED
from onnxtop.reader.model import Model, load
from onnxtop.reader.protos import bodies_in


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
    for sparse in [each for each in proto.graph.sparse_initializer if each.values.name in weights]:
        dense = TensorProto(name=sparse.values.name, data_type=sparse.values.data_type)
        proto.graph.sparse_initializer.remove(sparse)
        proto.graph.initializer.append(dense)
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
        if node.op_type == "Constant":
            yield from ((node.output[0], _as_tensor(each)) for each in node.attribute)
    yield from ((tensor.name, tensor) for tensor in graph.initializer)


def _as_tensor(attribute: Any) -> TensorProto:
    """Return the tensor of a Constant, made of its numbers if it holds these."""
    if attribute.name in ("value_float", "value_floats"):
        array = np.array(helper.get_attribute_value(attribute), np.float32)
        attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(array)))
    tensor: TensorProto = attribute.t
    return tensor


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
    tensors: list[TensorProto] = []
    for tensor in proto.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor = numpy_helper.from_array(np.array(model.files.wanted(tensor)), tensor.name)
        tensors.append(tensor)
    nodes = [complete(node, model.files) for node in proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(tensors)
    proto.graph.node.extend(nodes)
    return proto
