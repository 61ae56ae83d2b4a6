"""If with a condition that does not depend on the data: the branch that runs, in the node's place.

Exporters write such for choices that were settled when the model was made: a squeeze of an axis that may have
length 1, a sampling rate.
"""

from collections.abc import Mapping
from dataclasses import replace

from onnx import GraphProto, NodeProto, helper, numpy_helper

from onnxtop.errors import ModelError
from onnxtop.gradient.graph import Array, Graph
from onnxtop.loss.lift import Lifted, constant_array
from onnxtop.loss.look import feeds_of, sizes_to_try
from onnxtop.loss.samples import Samples
from onnxtop.loss.trace import Runtime, fold
from onnxtop.reader.model import bodies

__all__ = ["without_branches"]


def without_branches(lifted: Lifted, samples: Samples, runtime: Runtime) -> Lifted:
    """Return the model with every If whose condition is the same for all data replaced by its branch."""
    while any(node.op_type == "If" for node in lifted.graph.nodes):
        conditions = _conditions(lifted, samples, runtime)
        if not conditions:
            break
        lifted = replace(lifted, graph=_inlined(lifted.graph, conditions))
    return lifted


def _conditions(lifted: Lifted, samples: Samples, runtime: Runtime) -> dict[str, bool]:
    """Return the conditions that are known, by the name of their value; found by one run."""
    for size in sizes_to_try(lifted, samples, None)[0]:
        try:
            folded = fold(lifted.graph, feeds_of(lifted, samples, size), runtime, tuple(samples.still))
        except ModelError:
            continue
        names = [node.input[0] for node in lifted.graph.nodes if node.op_type == "If"]
        return {name: bool(folded.constants[name].all()) for name in names if name in folded.constants}
    return {}


def _inlined(graph: Graph, conditions: dict[str, bool]) -> Graph:
    plain = graph.copy()
    plain.nodes = []
    for node in graph.nodes:
        if node.op_type == "If" and node.input[0] in conditions:
            wanted = "then_branch" if conditions[node.input[0]] else "else_branch"
            branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
            _write_out(plain, node, branch)
        else:
            plain.nodes.append(node)
    return plain


def _write_out(graph: Graph, node: NodeProto, branch: GraphProto) -> None:
    """Add a branch's nodes and constants; names that are taken get new ones."""
    taken = {name for made in graph.nodes for name in made.output} | set(graph.constants)
    own = [name for item in branch.node for name in item.output if name]
    own += [tensor.name for tensor in branch.initializer]
    names = {name: graph.fresh(name) for name in own if name in taken}
    for tensor in branch.initializer:
        _keep(graph, names.get(tensor.name, tensor.name), numpy_helper.to_array(tensor))
    for item in branch.node:
        held = constant_array(item)
        if held is not None:
            _keep(graph, names.get(item.output[0], item.output[0]), held)
            continue
        copy = NodeProto()
        copy.CopyFrom(item)
        _rename(copy, names)
        graph.nodes.append(copy)
    for outer, inner in zip(node.output, branch.output, strict=True):
        graph.nodes.append(helper.make_node("Identity", [names.get(inner.name, inner.name)], [outer]))


def _keep(graph: Graph, name: str, array: Array) -> None:
    graph.constants[name] = array
    graph.declare(name, array.shape, array.dtype)


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    for side in (node.input, node.output):
        for index, name in enumerate(side):
            side[index] = names.get(name, name)
    for body in bodies(node):
        for item in body.node:
            _rename(item, names)
        for result in body.output:
            result.name = names.get(result.name, result.name)
