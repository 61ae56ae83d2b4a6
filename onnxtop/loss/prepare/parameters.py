"""The pass that takes the parameters out of the constants, since only the inputs of a graph can be fed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from onnx import NodeProto, helper

from onnxtop.errors import ModelError
from onnxtop.gradient.graph import Array, Graph, onnx_type
from onnxtop.loss.parameters import Parameter
from onnxtop.loss.prepare.prepared import Prepared, renamed
from onnxtop.reader.protos import tensors_in


def taken_out(model: Prepared, parameters: Iterable[Parameter], *, untie: bool = False) -> Prepared:
    """Take the parameters out of a graph's constants; those of branches that never run are left out.

    ``untie`` gives every use of a tensor a parameter of its own.

    Raises
    ------
    ModelError
        A parameter stands in the body of a Loop, a Scan, or an If whose condition depends on the data.
    """
    graph = model.graph.copy()
    inner = {tensor.name for node in graph.nodes for tensor in tensors_in(node)}
    chosen = [parameter for parameter in parameters if parameter.name in graph.constants]
    if hidden := [parameter.name for parameter in parameters if parameter.name in inner]:
        raise ModelError(
            f"wanted every parameter in the main graph, found {hidden[0]!r} in the body of a Loop, a Scan, "
            "or an If whose condition depends on the data; export the model without control flow"
        )
    _part_statistics(graph, {parameter.name for parameter in chosen})
    ties = {p.name: count for p in chosen if (count := len(_uses(graph, p.name))) > 1}
    if untie:
        chosen = [copy for parameter in chosen for copy in _untied(graph, parameter)]
    arrays = {parameter.name: graph.constants.pop(parameter.name) for parameter in chosen}
    _feed(graph, arrays)
    return replace(
        model,
        graph=graph,
        parameters=tuple(_in_place(chosen)),
        values=tuple(np.asarray(array, np.float32) for array in arrays.values()),
        ties={} if untie else ties,
    )


def _part_statistics(graph: Graph, parameters: set[str]) -> None:
    """Give running statistics tensors of their own: exporters store equal ones (all 0, all 1) once."""
    for node in graph.nodes:
        if node.op_type == "BatchNormalization":
            for position in (3, 4):
                name = node.input[position]
                if name in parameters:
                    node.input[position] = f"{name}/statistics"
                    graph.hold(node.input[position], graph.constants[name])


def _uses(graph: Graph, name: str) -> list[tuple[NodeProto, int]]:
    return [(node, i) for node in graph.nodes for i, used in enumerate(node.input) if used == name]


def _untied(graph: Graph, parameter: Parameter) -> Iterator[Parameter]:
    """Give every use but the first a copy of the tensor."""
    yield parameter
    for number, (node, position) in enumerate(_uses(graph, parameter.name)[1:], start=2):
        name = f"{parameter.name}#{number}"
        graph.hold(name, graph.constants[parameter.name])
        node.input[position] = name
        yield replace(parameter, name=name, layer=node.name or parameter.layer)


def _in_place(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    start = 0
    for parameter in parameters:
        yield replace(parameter, start=start, stop=start + parameter.size)
        start += parameter.size


def _feed(graph: Graph, arrays: Mapping[str, Array]) -> None:
    """Declare parameters as float32 that are fed; other types are made from them inside the graph."""
    casts, names = [], {}
    for name, array in arrays.items():
        graph.declare(name, array.shape, np.float32)
        if array.dtype != np.float32:
            names[name] = graph.declare(graph.fresh("stored"), array.shape, array.dtype).name
            casts.append(helper.make_node("Cast", [name], [names[name]], to=onnx_type(array.dtype)))
    if names:
        graph.nodes = [*casts, *(renamed(node, names) for node in graph.nodes)]
