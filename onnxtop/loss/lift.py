"""From a loaded model to a graph of this package: one opset, every parameter a value that is fed.

In three steps: the model's nodes and constants as they are (`unpacked`); in the opset of this package
(`upgraded`), by onnx's version converter, which sees the structure and the small constants only, with fused
operations written out; and without the parameters (`taken_out`), since only the inputs of a graph can be fed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import key_of
from onnxtop.gradient.graph import OPSET, Array, Graph
from onnxtop.loss.parameters import Parameter
from onnxtop.reader.fused import FUSED, write_out
from onnxtop.reader.model import Model, bodies
from onnxtop.reader.tensors import TensorFiles

__all__ = ["Declared", "Lifted", "constant_array", "refuse_training", "taken_out", "unpacked", "upgraded"]

_SMALL = 1024  # elements up to which a constant is shown to the version converter, which may need its value


@dataclass(frozen=True)
class Declared:
    """An input or output as the model declares it; None for a size that is open, or for all if unknown."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, eq=False)
class Lifted:
    """A model as a graph whose activations' shapes are not known yet.

    Attributes
    ----------
    graph
        Nodes, and all constants but the parameters.
    inputs, outputs
        As the model declares them.
    parameters, values
        The parameters that were taken out, and their arrays as float32.
    ties
        Parameters that are used several times, with how often.
    """

    graph: Graph
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    parameters: tuple[Parameter, ...] = ()
    values: tuple[Array, ...] = ()
    ties: Mapping[str, int] = field(default_factory=dict)


def unpacked(model: Model) -> Lifted:
    """Return a model's nodes and constants, in its own opset."""
    graph = Graph(
        opsets={"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.proto.opset_import}
    )
    graph.opsets.setdefault("", OPSET)
    arrays, graph.nodes = _constants(model.proto.graph, model.files)
    for name, array in arrays.items():
        graph.constants[name] = array
        graph.declare(name, array.shape, array.dtype)
    declared = {value.name: value for value in model.proto.graph.input}
    return Lifted(
        graph,
        tuple(_declared(declared[value.name]) for value in model.inputs if value.name in declared),
        tuple(_declared(value) for value in model.proto.graph.output),
    )


def taken_out(lifted: Lifted, parameters: Iterable[Parameter], *, untie: bool = False) -> Lifted:
    """Take the parameters out of a graph's constants; those of branches that never run are left out.

    ``untie`` gives every use of a tensor a parameter of its own.

    Raises
    ------
    ModelError
        A parameter stands in the body of a Loop, a Scan, or an If whose condition depends on the data.
    """
    graph = lifted.graph.copy()
    inner = {tensor.name for node in graph.nodes for tensor in _tensors(node)}
    chosen = [parameter for parameter in parameters if parameter.name in graph.constants]
    if hidden := [parameter.name for parameter in parameters if parameter.name in inner]:
        raise ModelError(
            f"wanted every parameter in the main graph, found {hidden[0]!r} in the body of a Loop, a Scan, "
            "or an If "
            "whose condition depends on the data; export the model without control flow"
        )
    _part_statistics(graph, {parameter.name for parameter in chosen})
    ties = {p.name: count for p in chosen if (count := len(_uses(graph, p.name))) > 1}
    if untie:
        chosen = [copy for parameter in chosen for copy in _untied(graph, parameter)]
    values = []
    for parameter in chosen:
        array = graph.constants.pop(parameter.name)
        values.append(np.asarray(array, np.float32))
        _feed(graph, parameter.name, array)
    return replace(
        lifted,
        graph=graph,
        parameters=tuple(_in_place(chosen)),
        values=tuple(values),
        ties={} if untie else ties,
    )


def _part_statistics(graph: Graph, parameters: set[str]) -> None:
    """Give running statistics tensors of their own: exporters store equal ones (all 0, all 1) once."""
    for node in graph.nodes:
        if node.op_type == "BatchNormalization":
            for position in (3, 4):
                name = node.input[position]
                if name in parameters:
                    own = f"{name}/statistics"
                    graph.constants[own] = graph.constants[name]
                    graph.declare(own, graph.shapes[name], graph.dtypes[name])
                    node.input[position] = own


def _uses(graph: Graph, name: str) -> list[tuple[NodeProto, int]]:
    return [(node, i) for node in graph.nodes for i, used in enumerate(node.input) if used == name]


def _untied(graph: Graph, parameter: Parameter) -> Iterator[Parameter]:
    """Give every use but the first a copy of the tensor."""
    yield parameter
    for number, (node, position) in enumerate(_uses(graph, parameter.name)[1:], start=2):
        name = f"{parameter.name}#{number}"
        graph.constants[name] = graph.constants[parameter.name]
        graph.declare(name, graph.shapes[parameter.name], graph.dtypes[parameter.name])
        node.input[position] = name
        yield replace(parameter, name=name, layer=node.name or parameter.layer)


def _in_place(parameters: Iterable[Parameter]) -> Iterator[Parameter]:
    start = 0
    for parameter in parameters:
        yield replace(parameter, start=start, stop=start + parameter.size)
        start += parameter.size


def _feed(graph: Graph, name: str, array: Array) -> None:
    """Declare a parameter as float32 that is fed; another type is made from it inside the graph."""
    if array.dtype == np.float32:
        graph.declare(name, array.shape, np.float32)
        return
    inner = graph.declare(graph.fresh("stored"), array.shape, array.dtype)
    for node in graph.nodes:
        _rename(node, {name: inner.name})
    graph.declare(name, array.shape, np.float32)
    cast = helper.make_node("Cast", [name], [inner.name], to=helper.np_dtype_to_tensor_dtype(array.dtype))
    graph.nodes.insert(0, cast)


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    for index, name in enumerate(node.input):
        if name in names:
            node.input[index] = names[name]
    for body in bodies(node):
        for inner in body.node:
            _rename(inner, names)


def _declared(value: onnx.ValueInfoProto) -> Declared:
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.shape.dim)
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, TypeError, ValueError):
        dtype = np.dtype(object)  # a sequence or a map
    return Declared(value.name, dtype, shape)


def _constants(graph: GraphProto, files: TensorFiles) -> tuple[dict[str, Array], list[NodeProto]]:
    """Return the arrays of initializers and Constant nodes, and the other nodes with complete bodies."""
    arrays = {tensor.name: files.read(tensor) for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        arrays[sparse.values.name] = _dense(
            files.read(sparse.values), files.read(sparse.indices), tuple(sparse.dims)
        )
    nodes = []
    for node in graph.node:
        array = constant_array(node, files)
        if array is None:
            nodes.append(_complete(node, files))
        else:
            arrays[node.output[0]] = array
    return arrays, nodes


def _dense(values: Array, indices: Array, dims: tuple[int, ...]) -> Array:
    dense = np.zeros(dims, values.dtype)
    dense[np.unravel_index(indices, dims) if indices.ndim == 1 else tuple(indices.T)] = values
    return dense


def constant_array(node: NodeProto, files: TensorFiles | None = None) -> Array | None:
    """Return what a Constant node holds, None for any other node and for texts."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for attribute in node.attribute:
        if attribute.name == "value":
            return numpy_helper.to_array(attribute.t) if files is None else files.read(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(
                attribute.f if attribute.name == "value_float" else list(attribute.floats), np.float32
            )
        if attribute.name in ("value_int", "value_ints"):
            return np.array(attribute.i if attribute.name == "value_int" else list(attribute.ints), np.int64)
    return None


def _complete(node: NodeProto, files: TensorFiles) -> NodeProto:
    """Return a copy of a node whose tensors, those in its bodies included, hold their bytes."""
    whole = NodeProto()
    whole.CopyFrom(node)
    for tensor in _tensors(whole):
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(files.read(tensor)), tensor.name))
    return whole


def _tensors(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
    for body in bodies(node):
        yield from body.initializer
        for inner in body.node:
            yield from _tensors(inner)


def upgraded(lifted: Lifted) -> Lifted:
    """Return the model in the opset of this package, if its own is older, without fused operations.

    Raises
    ------
    ModelError
        The version converter cannot convert it.
    """
    old = lifted.graph
    fused = any(key_of(node) in FUSED for node in old.nodes)
    if old.opsets[""] >= OPSET and not fused:
        return lifted
    small = {name: array for name, array in old.constants.items() if array.size <= _SMALL}
    large = {name: array for name, array in old.constants.items() if array.size > _SMALL}
    header = _header(lifted, small, large)
    converted, _ = write_out(_converted(header, old.opsets[""]))
    graph = Graph(opsets={**old.opsets, "": max(OPSET, old.opsets[""])})
    arrays = dict(old.constants)
    arrays.update(
        (t.name, numpy_helper.to_array(t)) for t in converted.graph.initializer if t.name not in arrays
    )
    for node in converted.graph.node:
        held = constant_array(node)
        if held is None:
            graph.nodes.append(node)
        else:
            arrays[node.output[0]] = held
    for name, array in arrays.items():
        graph.constants[name] = array
        graph.declare(name, array.shape, array.dtype)
    return replace(lifted, graph=graph)


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


def _header(lifted: Lifted, small: Mapping[str, Array], large: Mapping[str, Array]) -> ModelProto:
    """Return a model with its small constants; large ones are inputs, so that nothing copies them."""
    kind = helper.np_dtype_to_tensor_dtype
    return helper.make_model(
        helper.make_graph(
            lifted.graph.nodes,
            "model",
            [
                *(helper.make_tensor_value_info(v.name, kind(v.dtype), v.shape) for v in lifted.inputs),
                *(helper.make_tensor_value_info(n, kind(a.dtype), a.shape) for n, a in large.items()),
            ],
            [
                helper.make_tensor_value_info(v.name, kind(v.dtype), v.shape)
                for v in lifted.outputs
                if v.dtype != object
            ],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in small.items()],
        ),
        opset_imports=[
            helper.make_opsetid(domain, version) for domain, version in lifted.graph.opsets.items()
        ],
        ir_version=10,
    )


def refuse_training(graph: Graph, *, batch_statistics: bool) -> None:
    """Raise if a node behaves as in training: a loss would depend on chance, or on who shares the batch.

    Raises
    ------
    ModelError
        A Dropout is in training mode, or a BatchNormalization is without ``batch_statistics``.
    """
    for node in graph.nodes:
        advice = ""
        if node.op_type == "Dropout" and len(node.input) > 2:
            training = graph.constants.get(node.input[2])
            advice = "" if training is None or not training.any() else "export the model in evaluation mode"
        elif node.op_type == "BatchNormalization" and not batch_statistics and not node.domain:
            training_mode = any(a.name == "training_mode" and a.i for a in node.attribute)
            if training_mode or sum(map(bool, node.output)) > 1:
                advice = "export the model in evaluation mode, or probe it with batchnorm 'batch'"
        if advice:
            name = node.name or node.output[0]
            raise ModelError(
                f"wanted a model for evaluation, found {node.op_type} {name!r} in training mode; {advice}"
            )
