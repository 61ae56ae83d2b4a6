"""Every way to ruin a small model, and what leaves it as it is: for the verdicts of `diff`."""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper, parser, shape_inference

Array = NDArray[Any]

CONVOLUTIONAL = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[2, 2, 8, 8] x) => (float[2, 5] y)
<float[3, 2, 3, 3] kernel, float[3] bias, float[3] scale, float[3] shift, float[3] mean, float[3] variance,
 float[5, 48] weight, float[5] last>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, kernel, bias)
  b = BatchNormalization <epsilon = 0.01> (a, scale, shift, mean, variance)
  c = Relu (b)
  d = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (c)
  e = Flatten <axis = 1> (d)
  f = Gemm <alpha = 0.5, transB = 1> (e, weight, last)
  y = Softmax <axis = 1> (f)
}
"""

ATTENTION = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[2, 6, 8] x) => (float[2, 6, 8] y)
<float[8, 8] query, float[8, 8] key, float[8, 8] value, float[8] gain, float[8] offset, float half = {0.353},
 int64[4] heads = {0, 0, 2, 4}, int64[3] flat = {0, 0, 8}, float[8] slope, float low = {-1.0},
 float high = {1.5},
 int64[1] one = {1}, int64[1] four = {4}, int64[1] axis = {2}>
{
  n = LayerNormalization <axis = -1, epsilon = 0.001> (x, gain, offset)
  q1 = MatMul (n, query)
  k1 = MatMul (n, key)
  v1 = MatMul (n, value)
  q2 = Reshape (q1, heads)
  k2 = Reshape (k1, heads)
  v2 = Reshape (v1, heads)
  q3 = Transpose <perm = [0, 2, 1, 3]> (q2)
  k3 = Transpose <perm = [0, 2, 3, 1]> (k2)
  v3 = Transpose <perm = [0, 2, 1, 3]> (v2)
  s = MatMul (q3, k3)
  t = Mul (s, half)
  p = Softmax <axis = -1> (t)
  o1 = MatMul (p, v3)
  o2 = Transpose <perm = [0, 2, 1, 3]> (o1)
  o3 = Reshape (o2, flat)
  r = Add (o3, x)
  g = PRelu (r, slope)
  h = Clip (g, low, high)
  i = Slice (h, one, four, axis)
  m = ReduceMean <axes = [2], keepdims = 1> (i)
  y = Sub (h, m)
}
"""

BRANCHES = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[3, 4] x, float[3, 4] z, bool flag) => (float[3, 4] y, float[3, 4] w)
<float[4, 4] weight, float[4] bias, int64 trips = {3}, bool go = {1}>
{
  a = MatMul (x, weight)
  b = If (flag) <
    then_branch = plus () => (float[3, 4] t1) { t0 = Tanh (a)  t1 = Add (t0, bias) },
    else_branch = minus () => (float[3, 4] e1) { e0 = Sigmoid (a)  e1 = Sub (e0, z) }
  >
  c = Loop (trips, go, b) <
    body = turn (int64 i, bool more, float[3, 4] state) => (bool more2, float[3, 4] state2) {
      more2 = Identity (more)
      s1 = MatMul (state, weight)
      s2 = Mul (s1, z)
      state2 = Tanh (s2)
    }
  >
  d = Max (c, z)
  y = Div (d, c)
  w = Where (flag, a, z)
}
"""

QUANTISED = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[2, 6] x) => (float[2, 4] y)
<float xs = {0.02}, uint8 xz = {128}, int8[6, 4] codes, float[4] ws, int8[4] wz, float[4] bias>
{
  q = QuantizeLinear (x, xs, xz)
  d = DequantizeLinear (q, xs, xz)
  w = DequantizeLinear <axis = 1> (codes, ws, wz)
  m = MatMul (d, w)
  y = Add (m, bias)
}
"""

RECURRENT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[5, 2, 3] x, int64[2] ids) => (float[5, 1, 2, 4] y, float[2, 3] e)
<float[1, 16, 3] w, float[1, 16, 4] r, float[1, 32] b, float[7, 3] table, float[3] c>
{
  y = LSTM <hidden_size = 4> (x, w, r, b)
  g = Gather <axis = 0> (table, ids)
  l = LeakyRelu <alpha = 0.2> (g)
  n = Neg (l)
  k = Concat <axis = 0> (n, g)
  s = ReduceSum <keepdims = 0> (k)
  t = Pow (g, c)
  e = Add (t, s)
}
"""

SOURCES = {
    "convolutional": CONVOLUTIONAL,
    "attention": ATTENTION,
    "branches": BRANCHES,
    "quantised": QUANTISED,
    "recurrent": RECURRENT,
}


def small(name: str) -> ModelProto:
    """Return a small model, its constants without values filled from a seed."""
    text = SOURCES[name]
    model = parser.parse_model(text)
    rng = np.random.default_rng(len(text))
    for item in model.graph.value_info:
        tensor = item.type.tensor_type
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        values = rng.uniform(0.25, 1.5, shape) * rng.choice([-1, 1], shape)
        if item.name in ("variance", "ws", "table", "scale"):
            values = np.abs(values)
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if dtype.kind in "iu":
            values = np.zeros_like(values) if item.name == "wz" else values * 60
        model.graph.initializer.append(numpy_helper.from_array(values.astype(dtype), item.name))
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model


def outputs(model: ModelProto, draws: int = 3) -> list[Array] | None:
    """Return what onnxruntime makes of seeded inputs, None if it refuses the model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    found = []
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for seed in range(draws):
            found += session.run(None, _feeds(session, seed))
    except Exception:  # onnxruntime raises a class of its own for each code
        return None
    return found


def _feeds(session: onnxruntime.InferenceSession, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    feeds = {}
    for item in session.get_inputs():
        shape = [size if isinstance(size, int) else 3 for size in item.shape]
        if item.type == "tensor(bool)":
            feeds[item.name] = np.full(shape, seed % 2 == 0)
        elif "int" in item.type:
            feeds[item.name] = rng.integers(0, 4, shape).astype(item.type[7:-1])
        else:
            kind = {"float": "float32", "double": "float64"}.get(item.type[7:-1], item.type[7:-1])
            feeds[item.name] = rng.normal(size=shape).astype(kind)
    return feeds


def differ(old: list[Array], new: list[Array]) -> bool:
    """Tell whether outputs differ by more than rounding."""
    if len(old) != len(new):
        return True
    return any(
        a.shape != b.shape or a.dtype != b.dtype or not np.allclose(a, b, 1e-4, 1e-5, equal_nan=True)
        for a, b in zip(old, new, strict=True)
    )


# Ways to ruin


def changing(model: ModelProto, every: int = 1) -> Iterator[tuple[str, ModelProto]]:
    """Yield those of every so many ruined copies that run and give other outputs, and what was done."""
    before = outputs(model)
    assert before is not None
    for number, (told, made) in enumerate(ruins(model)):
        after = outputs(made) if number % every == 0 else None
        if after is not None and differ(before, after):
            yield told, made


@functools.cache
def changing_small(name: str) -> Sequence[tuple[str, ModelProto]]:
    """Return all of a small model, which several rooms look at; none of them changes a copy."""
    return tuple(changing(small(name)))


def ruins(model: ModelProto) -> Iterator[tuple[str, ModelProto]]:
    """Yield ruined copies of a model, each in one place, and what was done."""
    for change in (constants, operations, attributes, edges, nodes, ports):
        for told, ruin in change(model):
            yield told, ruined(model, ruin)


def ruined(model: ModelProto, ruin: Callable[[ModelProto], None]) -> ModelProto:
    """Return a ruined copy."""
    made = copy.deepcopy(model)
    ruin(made)
    return made


Ruin = tuple[str, Callable[[ModelProto], None]]


def graphs(model: ModelProto) -> list[GraphProto]:
    """Return the graph and all bodies in it."""
    found, stack = [], [model.graph]
    while stack:
        graph = stack.pop()
        found.append(graph)
        stack += [
            attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")
        ]
    return found


def all_nodes(model: ModelProto) -> list[NodeProto]:
    return [node for graph in graphs(model) for node in graph.node]


def constants(model: ModelProto) -> Iterator[Ruin]:
    for place, tensor in enumerate(model.graph.initializer):
        array = numpy_helper.to_array(tensor)
        for told, change in CHANGES.items():
            changed = change(array.copy())
            if changed is not None and changed.tobytes() != array.tobytes():
                yield f"{tensor.name} {told}", _put(place, changed)


def _put(place: int, array: Array) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        tensor = model.graph.initializer[place]
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return ruin


def _one_element(array: Array) -> Array:
    flat = array.reshape(-1)
    flat[flat.size // 2] += np.array(1, array.dtype) if array.dtype.kind != "b" else True
    return array


CHANGES: dict[str, Callable[[Array], Array | None]] = {
    "times 100": lambda array: array * np.array(100, array.dtype) if array.dtype.kind == "f" else None,
    "times 1.2": lambda array: array * np.array(1.2, array.dtype) if array.dtype.kind == "f" else None,
    "negative": lambda array: -array if array.dtype.kind == "f" else None,
    "one element": _one_element,
    "reversed": lambda array: array[::-1].copy() if array.ndim else None,
    "not finite": lambda array: array * np.array(np.nan, array.dtype) if array.dtype.kind == "f" else None,
}

OTHERS = {
    **dict.fromkeys(("Relu", "Tanh"), ("Sigmoid", "Neg")),
    **dict.fromkeys(("Sigmoid", "Neg", "Identity", "Softmax"), ("Tanh",)),
    "Add": ("Sub", "Mul"),
    "Sub": ("Add",),
    "Mul": ("Add", "Div"),
    "Div": ("Mul",),
    "Max": ("Min",),
    "ReduceMean": ("ReduceMax",),
    "ReduceSum": ("ReduceMean",),
    "Softmax": ("LogSoftmax",),
    "MaxPool": ("AveragePool",),
    "LeakyRelu": ("Elu",),
    "Pow": ("Mul",),
    "PRelu": ("Mul",),
}


def operations(model: ModelProto) -> Iterator[Ruin]:
    for place, node in enumerate(all_nodes(model)):
        for other in OTHERS.get(node.op_type, ()):
            yield f"{node.op_type} {node.output[0]} is {other}", _operation(place, other)


def _operation(place: int, other: str) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        all_nodes(model)[place].op_type = other

    return ruin


def attributes(model: ModelProto) -> Iterator[Ruin]:
    for place, node in enumerate(all_nodes(model)):
        for number, attribute in enumerate(node.attribute):
            value = helper.get_attribute_value(attribute)
            for other in _other_values(value):
                yield (
                    f"{node.op_type} {node.output[0]} {attribute.name} {other}",
                    _value(place, number, other),
                )


def _other_values(value: Any) -> list[Any]:
    if isinstance(value, float):
        return [value * 3]
    if isinstance(value, int):
        return [value + 1, value - 1, 0]
    if isinstance(value, list) and value and isinstance(value[0], int):
        return (
            [[value[0] + 1, *value[1:]], [*value[:-1], 0], value[::-1], [value[1], value[0], *value[2:]]]
            if (len(value) > 1)
            else [[value[0] - 1]]
        )
    return []


def _value(place: int, number: int, other: Any) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        attribute = all_nodes(model)[place].attribute[number]
        attribute.CopyFrom(helper.make_attribute(attribute.name, other))

    return ruin


def edges(model: ModelProto) -> Iterator[Ruin]:
    shapes = _shapes(model)
    for place, node in enumerate(all_nodes(model)):
        for number, name in enumerate(node.input):
            others = [other for other in shapes if other != name and shapes[other] == shapes.get(name)]
            for other in others[:3]:
                yield (
                    f"{node.op_type} {node.output[0]} takes {other} for {name}",
                    _input(place, number, other),
                )
        if len(node.input) > 1 and node.input[0] != node.input[1]:
            yield f"{node.op_type} {node.output[0]} operands swapped", swapped(place)


def _shapes(model: ModelProto) -> dict[str, Any]:
    graph = shape_inference.infer_shapes(model).graph
    items = (*graph.input, *graph.value_info, *graph.output)
    shapes = {
        item.name: (
            item.type.tensor_type.elem_type,
            *(dim.dim_value for dim in item.type.tensor_type.shape.dim),
        )
        for item in items
    }
    return {**shapes, **{t.name: (t.data_type, *t.dims) for t in graph.initializer}}


def _input(place: int, number: int, other: str) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        all_nodes(model)[place].input[number] = other

    return ruin


def swapped(place: int) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        names = all_nodes(model)[place].input
        names[0], names[1] = names[1], names[0]

    return ruin


def nodes(model: ModelProto) -> Iterator[Ruin]:
    for number, graph in enumerate(graphs(model)):
        for place, node in enumerate(graph.node):
            told = f"{node.op_type} {node.output[0]}"
            if not node.input:
                continue
            yield f"{told} left out", _without(number, place)
            for op in ("Neg", "Relu"):
                yield f"{op} before {told}", _before(number, place, op)


def _without(number: int, place: int) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        node = graphs(model)[number].node[place]
        node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]]))

    return ruin


def _before(number: int, place: int, op: str) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        graph = graphs(model)[number]
        node = graph.node[place]
        graph.node.insert(place, helper.make_node(op, [node.input[0]], ["put_before"]))
        graph.node[place + 1].input[0] = "put_before"

    return ruin


def ports(model: ModelProto) -> Iterator[Ruin]:
    for field in ("input", "output"):
        if len(getattr(model.graph, field)) > 1:
            yield f"{field}s swapped", _ports_swapped(field)

    def renamed_crosswise(ruined: ModelProto) -> None:
        """Give the outputs each other's names."""
        names = [item.name for item in ruined.graph.output]
        turned = dict(zip(names, names[::-1], strict=True))
        for node in all_nodes(ruined):
            for place, name in enumerate(node.output):
                node.output[place] = turned.get(name, name)

    if len(model.graph.output) > 1:
        yield "outputs under each other's names", renamed_crosswise


def _ports_swapped(field: str) -> Callable[[ModelProto], None]:
    def ruin(model: ModelProto) -> None:
        items = getattr(model.graph, field)
        first, second = copy.deepcopy(items[0]), copy.deepcopy(items[1])
        items[0].CopyFrom(second)
        items[1].CopyFrom(first)

    return ruin
