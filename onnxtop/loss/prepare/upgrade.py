"""The pass to the opset of this package, with fused operations written out.

onnx's converter sees the structure and small constants only.
"""

from dataclasses import replace

import numpy as np
from onnx import ModelProto, helper, numpy_helper, version_converter

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import key_of
from onnxtop.gradient.graph import OPSET, Graph, onnx_type
from onnxtop.loss.prepare.prepared import Prepared, take_in
from onnxtop.reader.fused import FUSED, write_out
from onnxtop.reader.limits import Limits

_SMALL = 1024  # elements up to which a constant is shown to the version converter, which may need its value

_COUNTED = Limits(nodes=2**62)  # the file's operations were counted when it was read


def upgraded(model: Prepared) -> Prepared:
    """Return the model in the opset of this package, if its own is older, without fused operations.

    Raises
    ------
    ModelError
        The version converter cannot convert it.
    """
    old = model.graph
    if old.opsets[""] >= OPSET and not any(key_of(node) in FUSED for node in old.nodes):
        return model
    shapes = {name: array.shape for name, array in old.constants.items()}
    converted, _ = write_out(_converted(_header(model), old.opsets[""]), shapes, _COUNTED)
    graph = Graph(opsets={**old.opsets, "": max(OPSET, old.opsets[""])})
    for name, array in old.constants.items():
        graph.hold(name, array)
    for tensor in converted.graph.initializer:
        if tensor.name not in old.constants:
            graph.hold(tensor.name, numpy_helper.to_array(tensor))
    for node in converted.graph.node:
        take_in(graph, node)
    return replace(model, graph=graph)


def _converted(header: ModelProto, opset: int) -> ModelProto:
    if opset >= OPSET:
        return header
    try:
        converted: ModelProto = version_converter.convert_version(header, OPSET)
    except Exception as error:  # bare C++ errors, one for each thing it cannot do
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"wanted a model of opset {OPSET} or one that onnx can convert to it, found opset {opset}: "
            f"{reason[0] if reason else type(error).__name__}; export the model in a newer opset"
        ) from None
    return converted


def _header(model: Prepared) -> ModelProto:
    """Return a model with its small constants; large ones are inputs, so that nothing copies them."""
    info, old = helper.make_tensor_value_info, model.graph
    large = {name: array for name, array in old.constants.items() if array.size > _SMALL}
    inputs = [info(value.name, onnx_type(value.array_type), value.shape) for value in model.inputs]
    inputs += [info(name, onnx_type(array.dtype), array.shape) for name, array in large.items()]
    outputs = [
        info(value.name, onnx_type(value.array_type), value.shape)
        for value in model.outputs
        if not value.array_type.hasobject
    ]
    small = [
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in old.constants.items()
        if name not in large
    ]
    graph = helper.make_graph(old.nodes, "model", inputs, outputs, small)
    return helper.make_model(graph, opset_imports=old.opset_imports(), ir_version=10)
