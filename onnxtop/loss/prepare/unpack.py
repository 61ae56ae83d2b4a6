"""The pass that comes first: a loaded model as a graph of this package, in the model's own opset."""

from collections.abc import Container

from onnx import GraphProto, NodeProto, helper

from onnxtop.gradient.graph import OPSET, Graph, copied
from onnxtop.loss.prepare.prepared import Prepared
from onnxtop.loss.prepare.sound import refuse_unsound
from onnxtop.reader.declared import inputs_of, outputs_of
from onnxtop.reader.model import Model
from onnxtop.reader.protos import bodies_in, constant_value, tensors_in
from onnxtop.reader.tensors import TensorFiles


def unpacked(model: Model) -> Prepared:
    """Return a model's nodes and constants; all tensors, those in bodies included, hold their bytes.

    Raises
    ------
    ModelError
        A node is no call of its operation.
    """
    proto = model.proto
    opsets = {"" if item.domain == "ai.onnx" else item.domain: item.version for item in proto.opset_import}
    refuse_unsound(proto.graph.node, opsets)
    graph = Graph(opsets={"": OPSET, **opsets})
    main = {value.name: tensor for value, tensor in reversed(list(model.tensors.items()))}  # bodies come last
    constants = [tensor.name for tensor in proto.graph.initializer]
    constants += [sparse.values.name for sparse in proto.graph.sparse_initializer]
    for node in proto.graph.node:
        if constant_value(node) is not None:
            constants.append(node.output[0])
        else:
            graph.nodes.append(_complete(node, model.files))
    for name in constants:
        graph.hold(name, model.files.wanted(main[name]))
    return Prepared(graph, inputs_of(model), outputs_of(model))


def make_plain(graph: GraphProto, files: TensorFiles, names: Container[str] | None = None) -> None:
    """Have a graph and its bodies hold tensors, of these names or all, where it has sparse ones or lists."""
    for node in graph.node:
        value = constant_value(node)
        if value is not None and (names is None or node.output[0] in names):
            plain = helper.make_attribute("value", files.plain(value))
            del node.attribute[:]
            node.attribute.append(plain)
        for body in bodies_in(node):
            make_plain(body, files, names)
    for sparse in list(graph.sparse_initializer):
        if names is None or sparse.values.name in names:
            graph.initializer.append(files.plain(sparse))
            graph.sparse_initializer.remove(sparse)


def _complete(node: NodeProto, files: TensorFiles) -> NodeProto:
    """Return a copy of a node whose tensors, those in its bodies included, hold their bytes.

    Those of bodies are written out where they are sparse.
    """
    whole = copied(node)
    for tensor in tensors_in(whole):
        files.bring_in(tensor)
    for body in bodies_in(whole):
        make_plain(body, files)
    return whole
