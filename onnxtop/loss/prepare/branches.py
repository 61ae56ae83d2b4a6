"""The pass that puts the branch that runs in the place of an If whose condition does not depend on the data.

Exporters write such for choices that were settled when the model was made: a squeeze of an axis that may have
length 1, a sampling rate.
"""

from dataclasses import replace

from onnx import GraphProto, NodeProto, helper, numpy_helper

from onnxtop.errors import ModelError
from onnxtop.gradient.graph import Graph
from onnxtop.loss.prepare.prepared import Prepared, renamed, take_in
from onnxtop.loss.prepare.sizes import numbers_to_try, sized
from onnxtop.loss.runtime import Runtime
from onnxtop.loss.samples import Samples


def without_branches(model: Prepared, samples: Samples, runtime: Runtime) -> Prepared:
    """Return the model with every If whose condition is the same for all data replaced by its branch."""
    while any(node.op_type == "If" for node in model.graph.nodes):
        conditions = _conditions(model, samples, runtime)
        if not conditions:
            break
        model = replace(model, graph=_inlined(model.graph, conditions))
    return model


def _conditions(model: Prepared, samples: Samples, runtime: Runtime) -> dict[str, bool]:
    """Return the conditions that are known, by the name of their value; found by one run."""
    for number in numbers_to_try(model, samples, None)[0]:
        try:
            constants = sized(model, samples, runtime, number).graph.constants
        except ModelError:
            continue
        names = [node.input[0] for node in model.graph.nodes if node.op_type == "If"]
        return {name: bool(constants[name].all()) for name in names if name in constants}
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
        graph.hold(names.get(tensor.name, tensor.name), numpy_helper.to_array(tensor))
    for item in branch.node:
        take_in(graph, renamed(item, names))
    for outer, inner in zip(node.output, branch.output, strict=True):
        graph.nodes.append(helper.make_node("Identity", [names.get(inner.name, inner.name)], [outer]))
