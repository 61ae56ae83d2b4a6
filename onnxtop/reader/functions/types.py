"""Types for values that have none declared: what converts operations wants one of each, whatever it is."""

from onnx import GraphProto, TensorProto, ValueInfoProto, helper

from onnxtop.reader.protos import bodies_in

_GUESS = "onnxtop.guess"


def guess_types(graph: GraphProto) -> None:
    """Declare what the graph leaves undeclared: the converter wants a type, whatever it is, of all values."""
    declared = {item.name for item in (*graph.input, *graph.output, *graph.value_info)}
    kinds = {sparse.values.name: sparse.values.data_type for sparse in graph.sparse_initializer}
    kinds.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    kinds.update({name: TensorProto.FLOAT for node in graph.node for name in node.output if name})
    missing = sorted(kinds.keys() - declared)
    graph.value_info.extend(guessed(name, kinds[name]) for name in missing)
    for node in graph.node:
        for body in bodies_in(node):
            guess_types(body)


def guessed(name: str, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    """Return a value with a type that was guessed."""
    return helper.make_tensor_value_info(name, kind, None, _GUESS)


def forget_guesses(graph: GraphProto) -> None:
    """Take back what was guessed."""
    kept = [item for item in graph.value_info if item.doc_string != _GUESS]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for node in graph.node:
        for body in bodies_in(node):
            forget_guesses(body)
