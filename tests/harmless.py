"""What exporters, converters and optimisers do: outputs stay as they are, or are rounded."""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.ruins import graphs

Array = NDArray[Any]
Change = Callable[[ModelProto], ModelProto]


def _copied(change: Callable[[ModelProto], None]) -> Change:
    @functools.wraps(change)
    def changed(model: ModelProto) -> ModelProto:
        made = copy.deepcopy(model)
        change(made)
        return made

    return changed


# The same terms


@_copied
def renamed(model: ModelProto) -> None:
    """Give every value and node another name."""
    for graph in graphs(model):
        for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.name = f"other_{item.name}"
        for number, node in enumerate(graph.node):
            node.name = f"node_{number}"
            for names in (node.input, node.output):
                names[:] = [name and f"other_{name}" for name in names]


@_copied
def reordered(model: ModelProto) -> None:
    """Put each node as late as its users let it."""
    left, placed = list(model.graph.node), []
    while left:
        wanted = {name for node in left for name in _reads(node)}
        node = next(node for node in reversed(left) if not wanted & set(node.output))
        left.remove(node)
        placed.append(node)
    del model.graph.node[:]
    model.graph.node.extend(placed[::-1])
    initializers = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    model.graph.initializer.extend(initializers)


def _reads(node: NodeProto) -> set[str]:
    inner = (attribute.g for attribute in node.attribute if attribute.HasField("g"))
    return {*node.input, *(name for graph in inner for each in graph.node for name in _reads(each))}


@_copied
def with_identities(model: ModelProto) -> None:
    """Put an Identity before every first operand."""
    for graph in graphs(model):
        made: list[NodeProto] = []
        for number, node in enumerate(graph.node):
            if node.input and node.input[0]:
                made.append(
                    helper.make_node("Identity", [node.input[0]], [f"same_{number}_{node.output[0]}"])
                )
                node.input[0] = made[-1].output[0]
            made.append(copy.deepcopy(node))
        del graph.node[:]
        graph.node.extend(made)


@_copied
def with_constant_nodes(model: ModelProto) -> None:
    """Make Constant nodes of all initializers."""
    made = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    rest = [copy.deepcopy(node) for node in model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend([*made, *rest])


@_copied
def with_dead_nodes(model: ModelProto) -> None:
    """Add an operation and a constant that no output needs."""
    name = model.graph.input[0].name
    model.graph.initializer.append(numpy_helper.from_array(np.ones(7, np.float32), "dead"))
    model.graph.node.append(helper.make_node("Tanh", [name], ["dead_end"]))
    model.graph.node.append(helper.make_node("Exp", ["dead"], ["dead_too"]))


@_copied
def with_lists(model: ModelProto) -> None:
    """Store constants as lists of numbers."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.CopyFrom(
            helper.make_tensor(tensor.name, tensor.data_type, array.shape, array.ravel().tolist())
        )


@_copied
def in_functions(model: ModelProto) -> None:
    """Make a function of every activation and sum."""
    opsets = [item for item in model.opset_import if not item.domain]
    for node in model.graph.node:
        if node.op_type in ("Add", "Relu", "Neg", "Tanh", "Softmax", "Mul", "MatMul"):
            names = [f"i{place}" for place in range(len(node.input))]
            inner = helper.make_node(node.op_type, names, ["o"])
            inner.attribute.extend(node.attribute)
            name = f"{node.op_type}{len(model.functions)}"
            model.functions.append(helper.make_function("own", name, names, ["o"], [inner], opsets))
            node.domain, node.op_type = "own", name
            del node.attribute[:]
    model.opset_import.append(helper.make_opsetid("own", 1))


SAME: Sequence[Change] = (
    renamed,
    reordered,
    with_identities,
    with_constant_nodes,
    with_dead_nodes,
    with_lists,
    in_functions,
)


# Equal in real arithmetic


def converted(opset: int) -> Change:
    """Return what converts a model to another opset."""

    def changed(model: ModelProto) -> ModelProto:
        return onnx.version_converter.convert_version(model, opset)

    changed.__name__ = f"in opset {opset}"
    return changed


@_copied
def with_defaults(model: ModelProto) -> None:
    """Write every default of an attribute out."""
    opset = model.opset_import[0].version
    for graph in graphs(model):
        for node in graph.node:
            given = {attribute.name for attribute in node.attribute}
            for name, item in onnx.defs.get_schema(node.op_type, opset).attributes.items():
                if name not in given and item.default_value.name:
                    node.attribute.append(AttributeProto.FromString(item.default_value.SerializeToString()))


def _rewritten(
    model: ModelProto, rewrite: Callable[[GraphProto, NodeProto, int], list[NodeProto] | None]
) -> None:
    made: list[NodeProto] = []
    for number, node in enumerate(model.graph.node):
        made += rewrite(model.graph, node, number) or [copy.deepcopy(node)]
    del model.graph.node[:]
    model.graph.node.extend(made)


def _array(graph: GraphProto, name: str) -> Array | None:
    return next((numpy_helper.to_array(item) for item in graph.initializer if item.name == name), None)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


@_copied
def transposed(model: ModelProto) -> None:
    """Store the weights of products the other way round."""

    def rewrite(graph: GraphProto, node: NodeProto, number: int) -> list[NodeProto] | None:
        array = _array(graph, node.input[1]) if node.op_type == "MatMul" else None
        if array is None or array.ndim != 2:
            return None
        graph.initializer.append(numpy_helper.from_array(array.T.copy(), f"turned_{number}"))
        turn = helper.make_node("Transpose", [f"turned_{number}"], [f"back_{number}"], perm=[1, 0])
        return [turn, helper.make_node("MatMul", [node.input[0], f"back_{number}"], node.output)]

    _rewritten(model, rewrite)


@_copied
def without_gemm(model: ModelProto) -> None:
    """Write Gemm as its parts."""

    def rewrite(graph: GraphProto, node: NodeProto, number: int) -> list[NodeProto] | None:
        if node.op_type != "Gemm":
            return None
        found = _attributes(node)
        weight, bias = (_array(graph, name) for name in node.input[1:])
        assert weight is not None
        assert bias is not None
        turned = weight.T.copy() if found.get("transB") else weight
        graph.initializer.append(numpy_helper.from_array(turned, f"w_{number}"))
        graph.initializer.append(numpy_helper.from_array(np.float32(found.get("alpha", 1.0)), f"f_{number}"))
        return [
            helper.make_node("MatMul", [node.input[0], f"w_{number}"], [f"p_{number}"]),
            helper.make_node("Mul", [f"f_{number}", f"p_{number}"], [f"s_{number}"]),
            helper.make_node("Add", [node.input[2], f"s_{number}"], node.output),
        ]

    _rewritten(model, rewrite)


@_copied
def with_sums(model: ModelProto) -> None:
    """Write constants as sums of two."""
    extra = []
    for tensor in list(model.graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32:
            continue
        half = (array / 2).astype(np.float32)
        extra.append(helper.make_node("Add", [f"half_{tensor.name}", f"half_{tensor.name}"], [tensor.name]))
        tensor.CopyFrom(numpy_helper.from_array(half, f"half_{tensor.name}"))
    rest = [copy.deepcopy(node) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*extra, *rest])


@_copied
def written_out(model: ModelProto) -> None:
    """Write LayerNormalization as its parts, as exporters do."""

    def rewrite(graph: GraphProto, node: NodeProto, number: int) -> list[NodeProto] | None:
        if node.op_type != "LayerNormalization":
            return None
        epsilon = np.float32(_attributes(node)["epsilon"])
        graph.initializer.append(numpy_helper.from_array(epsilon, "epsilon"))
        graph.initializer.append(numpy_helper.from_array(np.float32(2), "two"))
        steps = (
            ("ReduceMean", ["x"], "m", {"axes": [-1]}),
            ("Sub", ["x", "m"], "d", {}),
            ("Pow", ["d", "two"], "p", {}),
            ("ReduceMean", ["p"], "v", {"axes": [-1]}),
            ("Add", ["v", "epsilon"], "e", {}),
            ("Sqrt", ["e"], "s", {}),
            ("Div", ["d", "s"], "n", {}),
            ("Mul", ["n", node.input[1]], "g", {}),
        )
        kept = {"x": node.input[0], "epsilon": "epsilon", "two": "two", node.input[1]: node.input[1]}
        made = [
            helper.make_node(
                op, [kept.get(name, f"{name}_{number}") for name in names], [f"{out}_{number}"], **given
            )
            for op, names, out, given in steps
        ]
        return [*made, helper.make_node("Add", [f"g_{number}", node.input[2]], node.output)]

    _rewritten(model, rewrite)


EQUIVALENT: Sequence[Change] = (
    converted(18),
    converted(20),
    converted(21),
    with_defaults,
    transposed,
    without_gemm,
    with_sums,
    written_out,
)


# Rounded


@_copied
def in_half_precision(model: ModelProto) -> None:
    """Make floats of two bytes of all floats, inputs and outputs included."""
    for graph in graphs(model):
        for tensor in graph.initializer:
            if tensor.data_type == TensorProto.FLOAT:
                half = numpy_helper.to_array(tensor).astype(np.float16)
                tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
        for item in (*graph.input, *graph.output, *graph.value_info):
            if item.type.tensor_type.elem_type == TensorProto.FLOAT:
                item.type.tensor_type.elem_type = TensorProto.FLOAT16


@_copied
def in_half_precision_inside(model: ModelProto) -> None:
    """Make floats of two bytes of all floats, but for the inputs and outputs, which are cast."""
    half = in_half_precision(model)
    before, behind = [], []
    for items, nodes in ((half.graph.input, before), (half.graph.output, behind)):
        for item in items:
            if item.type.tensor_type.elem_type != TensorProto.FLOAT16:
                continue
            inner = f"half_{item.name}"
            for node in half.graph.node:
                for names in (node.input, node.output):
                    names[:] = [inner if name == item.name else name for name in names]
            item.type.tensor_type.elem_type = TensorProto.FLOAT
            ends = (
                (item.name, inner, TensorProto.FLOAT16)
                if nodes is before
                else (inner, item.name, TensorProto.FLOAT)
            )
            nodes.append(helper.make_node("Cast", [ends[0]], [ends[1]], to=ends[2]))
    made = [*before, *half.graph.node, *behind]
    del half.graph.node[:]
    half.graph.node.extend(made)
    model.CopyFrom(half)


@_copied
def with_folded_normalisation(model: ModelProto) -> None:
    """Fold a BatchNormalization into the convolution before it."""
    graph = model.graph
    convolution, normalisation = graph.node[0], graph.node[1]
    scale, shift, mean, variance = (_array(graph, name) for name in normalisation.input[1:])
    kernel, bias = (_array(graph, name) for name in convolution.input[1:])
    factor = scale / np.sqrt(variance + _attributes(normalisation)["epsilon"])  # type: ignore[operator]
    arrays = {
        "folded_kernel": kernel * factor[:, None, None, None],
        "folded_bias": (bias - mean) * factor + shift,
    }
    for place, (name, array) in enumerate(arrays.items()):
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        convolution.input[place + 1] = name
    convolution.output[0] = normalisation.output[0]
    del graph.node[1]


@_copied
def with_codes(model: ModelProto) -> None:
    """Store the weights of products in 8 bits, decoded where they are used."""
    before = []
    for tensor in list(model.graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.ndim != 2:
            continue
        step = np.float32(np.abs(array).max() / 127)
        codes = np.round(array / step).astype(np.int8)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(codes, f"codes_{name}"))
        model.graph.initializer.append(numpy_helper.from_array(step, f"step_{name}"))
        before.append(helper.make_node("DequantizeLinear", [f"codes_{name}", f"step_{name}"], [name]))
    rest = [copy.deepcopy(node) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend([*before, *rest])


ROUNDED: Sequence[Change] = (in_half_precision, in_half_precision_inside, with_codes)
