"""A model as one message that holds all of its bytes, for whoever is not to read its files."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, numpy_helper

from onnxtop.loss.prepare.unpack import complete
from onnxtop.reader.model import load


def whole(path: str, allow_external: Sequence[str] = (), outputs: Sequence[str] = ()) -> ModelProto:
    """Return a model with all its bytes, its functions inlined, that gives some more of its values."""
    model = load(path, allow_external=allow_external)
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
    there = {value.name for value in proto.graph.output}
    proto.graph.output.extend(ValueInfoProto(name=name) for name in outputs if name not in there)
    return proto
