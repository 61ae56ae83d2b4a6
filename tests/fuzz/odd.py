"""Odd but valid models: whatever ONNX allows that exporters seldom write, from one source of chance.

`odd_model` takes any ``random.Random``: a seeded one of the fuzzer, or hypothesis's own, which shrinks what
it drew. A model is a chain of blocks on a matrix of floats; each adds nodes, constants, bodies or functions.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.fuzz.values import TEXTS

Array = NDArray[Any]

OPSET = 23
MICROSOFT, LEARNING = "com.microsoft", "ai.onnx.ml"
_ROWS = 2


class Net:
    """A model that grows: its last value is ``here``, a matrix of ``width`` columns."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.sparse: list[onnx.SparseTensorProto] = []
        self.functions: list[FunctionProto] = []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [_ROWS, 4])]
        self.here, self.width = "x", 4
        self._numbers = itertools.count()

    def name(self) -> str:
        """Return a new name, an odd one at times."""
        text = self.rng.choice(TEXTS) if self.rng.random() < 0.2 else "v"
        return f"{text}{next(self._numbers)}"

    def values(self, *shape: int) -> Array:
        """Return floats, at times of a kind that training does not give."""
        size = math.prod(shape)
        kind = self.rng.randrange(12)
        if kind == 0:
            return np.full(shape, self.rng.choice((0.0, 1.0, np.nan, np.inf, 1e-45, 3e38)), np.float32)
        if kind == 1:
            return np.resize(np.float32([1, np.nan, -np.inf, 0, -0.0, 1e-45, 3e38]), shape)
        if kind == 2:
            return np.eye(*(shape if len(shape) == 2 else (1, size)), dtype=np.float32).reshape(shape)
        drawn = [self.rng.randrange(-64, 65) / 16 for _ in range(min(size, 97))] or [0.0]
        return np.resize(np.float32(drawn), shape)

    def constant(self, array: Array | TensorProto) -> str:
        """Hold an array as an initializer, a Constant or a sparse tensor; return its name."""
        name = self.name()
        tensor = array if isinstance(array, TensorProto) else numpy_helper.from_array(array, name)
        tensor.name = name
        how = self.rng.randrange(8)
        if how == 0:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        elif (
            how == 1
            and isinstance(array, np.ndarray)
            and array.dtype == np.float32
            and array.ndim
            and array.size
        ):
            self.sparse.append(sparse(name, array))
        else:
            self.tensors.append(tensor)
        return name

    def weight(self, *shape: int) -> str:
        """Return a weight that is stored, or computed from constants in one way or another."""
        return self.rng.choice(WEIGHTS)(self, self.values(*shape))

    def add(self, op: str, inputs: Sequence[str], count: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add a node; return its first output."""
        outputs = [self.name() for _ in range(count)]
        node = helper.make_node(op, inputs, outputs, domain=domain, **attributes)
        node.name = self.rng.choice(("", op, self.name()))
        self.nodes.append(node)
        return outputs[0]

    def shaped(self, *shape: int) -> str:
        """Return what is here in another shape."""
        return self.add("Reshape", [self.here, self.constant(np.int64(shape))])

    def go(self, name: str, width: int) -> None:
        self.here, self.width = name, width


def sparse(name: str, array: Array) -> onnx.SparseTensorProto:
    """Return an array as its elements that are not zero, by their places in the flat array."""
    places = np.flatnonzero(array.astype(np.float32))
    held = numpy_helper.from_array(array.ravel()[places], name)
    return helper.make_sparse_tensor(held, numpy_helper.from_array(places.astype(np.int64), "i"), array.shape)


# Weights: how an array may stand in a file


def stored(net: Net, array: Array) -> str:
    return net.constant(array)


def transposed(net: Net, array: Array) -> str:
    order = list(range(array.ndim))
    net.rng.shuffle(order)
    return net.add("Transpose", [net.constant(array.transpose(np.argsort(order)).copy())], perm=order)


def cast(net: Net, array: Array) -> str:
    kinds = (np.float16, np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.int8)
    with np.errstate(all="ignore"):
        low = np.nan_to_num(array, nan=0.0, posinf=1.0, neginf=-1.0).clip(-100, 100)
        held = low.astype(net.rng.choice(kinds))
    return net.add("Cast", [net.constant(held)], to=TensorProto.FLOAT)


def joined(net: Net, array: Array) -> str:
    axis = net.rng.randrange(array.ndim)
    at = net.rng.randrange(array.shape[axis] + 1)
    return net.add(
        "Concat", [net.constant(part) for part in np.split(array, [at], axis)], axis=axis - array.ndim
    )


def cut(net: Net, array: Array) -> str:
    wider = np.pad(array, [(1, 2)] + [(0, 0)] * (array.ndim - 1))
    edges = [net.constant(np.int64([edge])) for edge in (1, 1 + len(array), 0)]
    return net.add("Slice", [net.constant(wider), *edges])


def decoded(net: Net, array: Array) -> str:
    codes = np.resize(np.int8([net.rng.randrange(-128, 128) for _ in range(31)]), array.shape)
    if net.rng.random() < 0.5 or array.shape[0] == 0:
        return net.add("DequantizeLinear", [net.constant(codes), net.constant(np.float32(0.1))])
    block = net.rng.choice((1, 2, array.shape[0]))
    blocks = -(-array.shape[0] // block)
    packed = helper.make_tensor("", TensorProto.INT4, array.shape, np.clip(codes, -8, 7).ravel().tolist())
    scales = net.values(blocks, *array.shape[1:])
    return net.add("DequantizeLinear", [net.constant(packed), net.constant(scales)], axis=0, block_size=block)


def filled(net: Net, array: Array) -> str:
    value = helper.make_tensor("", TensorProto.FLOAT, [1], [net.rng.choice((0.0, 0.5, math.nan))])
    return net.add("ConstantOfShape", [net.constant(np.int64(array.shape))], value=value)


def expanded(net: Net, array: Array) -> str:
    one = array[:1] if array.shape[0] else array
    return net.add("Expand", [net.constant(one), net.constant(np.int64(array.shape))])


def summed(net: Net, array: Array) -> str:
    return net.add(net.rng.choice(("Add", "Mul", "Max", "Sub")), [net.constant(array), net.constant(array)])


def chosen(net: Net, array: Array) -> str:
    bodies = {}
    for name in ("then_branch", "else_branch"):
        inner = net.name()
        tensor = numpy_helper.from_array(array, f"{inner}w")
        node = helper.make_node("Identity", [tensor.name], [inner])
        bodies[name] = graph([node], [], [floats(inner, array.ndim)], [tensor])
    return net.add("If", [net.constant(np.bool_(net.rng.random() < 0.5))], **bodies)


WEIGHTS: Sequence[Callable[[Net, Array], str]] = (
    *(
        stored,
        stored,
        stored,
        stored,
        transposed,
        cast,
        joined,
        cut,
        decoded,
        filled,
        expanded,
        summed,
        chosen,
    ),
)


def graph(
    nodes: Sequence[NodeProto],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    tensors: Sequence[TensorProto] = (),
) -> GraphProto:
    return helper.make_graph(list(nodes), "body", list(inputs), list(outputs), list(tensors))


def floats(name: str, rank: int = 2) -> onnx.ValueInfoProto:
    """Declare floats of unknown sizes."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)


# Blocks: a matrix in, a matrix out


def dense(net: Net) -> None:
    width = net.rng.choice((0, 1, 3, 8)) if net.rng.random() < 0.3 else net.rng.randrange(1, 9)
    how = net.rng.randrange(5)
    if how == 0:
        made = net.add("MatMul", [net.here, net.weight(net.width, width)])
    elif how == 1:
        turned = net.rng.random() < 0.5
        weight = net.weight(*((width, net.width) if turned else (net.width, width)))
        alpha = net.rng.choice((1.0, 0.0, -2.0, math.inf))
        bias = [net.constant(net.values(*net.rng.choice(((width,), (1,), (), (1, width)))))]
        inputs = [net.here, weight, *(bias if net.rng.random() < 0.7 else [])]
        made = net.add("Gemm", inputs, alpha=alpha, transB=int(turned))
    elif how == 2:
        equation = net.rng.choice(("ij,jk->ik", "...j,jk->...k", " i j , j k -> i k ", "ij,jk"))
        made = net.add("Einsum", [net.here, net.weight(net.width, width)], equation=equation)
    elif how == 3:
        weight = net.weight(width, net.width)
        left = net.add("Transpose", [net.here], perm=[1, 0])
        made = net.add("Transpose", [net.add("MatMul", [weight, left])], perm=[1, 0])
    else:
        width = 1
        made = net.add("MatMul", [net.here, net.weight(net.width)])
        made = net.add("Unsqueeze", [made, net.constant(np.int64([-1]))])
    net.go(made, width)


def convolution(net: Net) -> None:
    axes, group, extra = (
        net.rng.randrange(1, 4),
        net.rng.choice((1, 1, net.width or 1)),
        net.rng.randrange(1, 3),
    )
    if not net.width:
        return
    images = net.shaped(_ROWS, net.width, *[1] * (axes - 1), 1)
    kernel = [net.rng.choice((1, 2, 3)) for _ in range(axes)]
    filters = group * extra
    attributes: dict[str, Any] = net.rng.choice(
        (
            {"pads": [k - 1 for k in kernel] * 2},
            {"auto_pad": "SAME_UPPER"},
            {"auto_pad": "SAME_LOWER", "strides": [2] * axes},
            {"pads": [2 * (k - 1) for k in kernel] * 2, "dilations": [2] * axes},
        )
    )
    if net.rng.random() < 0.2:
        weight = net.weight(net.width, extra, *[1] * axes)
        made, filters = net.add("ConvTranspose", [images, weight], group=group), group * extra
    else:
        made = net.add(
            "Conv", [images, net.weight(filters, net.width // group, *kernel)], group=group, **attributes
        )
    kind = net.rng.choice(("GlobalAveragePool", "GlobalMaxPool"))
    net.go(net.add("Flatten", [net.add(kind, [made])]), filters)


def recurrent(net: Net) -> None:
    op, gates = net.rng.choice((("LSTM", 4), ("GRU", 3), ("RNN", 1)))
    size, direction = net.rng.randrange(1, 4), net.rng.choice(("forward", "reverse", "bidirectional"))
    ways = 1 + (direction == "bidirectional")
    inputs = [net.shaped(1, _ROWS, net.width), net.weight(ways, gates * size, net.width)]
    inputs += [net.weight(ways, gates * size, size)]
    if net.rng.random() < 0.5:
        inputs += [net.constant(net.values(ways, 2 * gates * size))]
    if op == "LSTM" and net.rng.random() < 0.4:
        inputs += [*[""] * (7 - len(inputs)), net.constant(net.values(ways, 3 * size))]
    made = net.add(op, inputs, hidden_size=size, direction=direction)
    net.go(net.add("Reshape", [made, net.constant(np.int64([_ROWS, ways * size]))]), ways * size)


def lookup(net: Net) -> None:
    axis = net.rng.randrange(2)
    table = net.weight(5, 3) if axis == 0 else net.weight(3, 5)
    places = np.resize(np.int64([0, -1, 4, 2]), (_ROWS, 2)) if axis == 0 else np.int64([0, 0, -5])
    made = net.add("Gather", [table, net.constant(places)], axis=axis)
    width = 6 if axis == 0 else 9
    flat = net.add("Reshape", [made, net.constant(np.int64([-1, width]))])
    width += net.width
    flat = net.add("Expand", [flat, net.constant(np.int64([_ROWS, 1]))])
    net.go(net.add("Concat", [net.here, flat], axis=-1), width)


def normalised(net: Net) -> None:
    scale, shift = (net.constant(net.values(net.width)) for _ in range(2))
    if net.rng.random() < 0.5:
        more = [net.constant(net.values(net.width)) for _ in range(2)]
        net.go(net.add("BatchNormalization", [net.here, scale, shift, *more]), net.width)
    else:
        net.go(net.add("LayerNormalization", [net.here, scale, shift], axis=-1), net.width)


def moved(net: Net) -> None:
    """Pass elements on in one of many ways that keep the shape."""
    ops = (
        "Relu",
        "Identity",
        "Softmax",
        "Neg",
        "Abs",
        "Dropout",
        "Cast",
        "Pad",
        "Tile",
        "Where",
        "Trilu",
        "CumSum",
        "Clip",
    )
    op = net.rng.choice(ops)
    made = {
        "Cast": lambda: net.add(
            "Cast", [net.add("Cast", [net.here], to=TensorProto.INT32)], to=TensorProto.FLOAT
        ),
        "Pad": lambda: net.add("Pad", [net.here, net.constant(np.int64([0, 0, 0, 0]))]),
        "Tile": lambda: net.add("Tile", [net.here, net.constant(np.int64([1, 1]))]),
        "Where": lambda: net.add("Where", [net.constant(np.bool_([True] * net.width)), net.here, net.here]),
        "CumSum": lambda: net.add("CumSum", [net.here, net.constant(np.int64(1))]),
        "Clip": lambda: net.add("Clip", [net.here, "", net.constant(np.float32(math.inf))]),
    }.get(op, lambda: net.add(op, [net.here]))()
    net.go(made, net.width)


def halved(net: Net) -> None:
    left = net.width // 2
    sizes = net.constant(np.int64([left, net.width - left]))
    one = net.add("Split", [net.here, sizes], 2, axis=-1)
    other = net.nodes[-1].output[1]
    net.go(net.add("Concat", [other, one, net.here], axis=1), 2 * net.width)


def residual(net: Net) -> None:
    start, width = net.here, net.width
    made = net.add("MatMul", [start, net.weight(width, width)])
    net.go(net.add(net.rng.choice(("Add", "Mul", "Sum")), [start, made]), width)


def shared(net: Net) -> None:
    """Use one weight several times, as it is and turned."""
    weight = net.weight(net.width, net.width)
    for _ in range(net.rng.randrange(1, 4)):
        held = net.add("Transpose", [weight], perm=[1, 0]) if net.rng.random() < 0.5 else weight
        net.go(net.add("MatMul", [net.here, held]), net.width)


def branched(net: Net) -> None:
    """Decide by an input which of two layers runs; both bodies read values from outside."""
    flag = net.name()
    net.inputs.append(helper.make_tensor_value_info(flag, TensorProto.BOOL, []))
    outside = net.weight(net.width, net.width)
    bodies = {}
    for name in ("then_branch", "else_branch"):
        inner = net.name()
        own = numpy_helper.from_array(net.values(net.width, net.width), f"{inner}w")
        weight, tensors = (own.name, [own]) if net.rng.random() < 0.5 else (outside, [])
        node = helper.make_node("MatMul", [net.here, weight], [inner])
        bodies[name] = graph([node], [], [floats(inner)], tensors)
    net.go(net.add("If", [flag], **bodies), net.width)


def looped(net: Net) -> None:
    """Run a layer some times, its weight from outside or carried along as a state that stays."""
    weight, count = net.weight(net.width, net.width), net.rng.choice((0, 1, 3, 2**62))
    step, go_on, state, held = (net.name() for _ in range(4))
    more, after = net.name(), net.name()
    carried = net.rng.random() < 0.5
    entries = [
        helper.make_tensor_value_info(step, TensorProto.INT64, []),
        helper.make_tensor_value_info(go_on, TensorProto.BOOL, []),
        floats(state),
    ]
    nodes = [helper.make_node("Identity", [go_on], [more])]
    nodes += [helper.make_node("MatMul", [state, held if carried else weight], [after])]
    ends = [helper.make_tensor_value_info(more, TensorProto.BOOL, [])]
    ends += [floats(after)]
    if carried:
        entries.append(floats(held))
        handed = net.name()
        nodes.append(helper.make_node("Identity", [held], [handed]))
        ends.append(floats(handed))
    body = helper.make_graph(nodes, "body", entries, ends)
    states = [net.here, *([weight] if carried else [])]
    made = net.add("Loop", [net.constant(np.int64(count)), "", *states], len(states), body=body)
    net.go(made, net.width)


def scanned(net: Net) -> None:
    """Walk along the rows with a layer."""
    weight = net.weight(net.width, 3)
    entry, inner = net.name(), net.name()
    node = helper.make_node("MatMul", [entry, weight], [inner])
    body = graph([node], [floats(entry, 1)], [floats(inner, 1)])
    directions = [net.rng.randrange(2)]
    made = net.add("Scan", [net.here], body=body, num_scan_inputs=1, scan_input_directions=directions)
    net.go(net.add("Reshape", [made, net.constant(np.int64([_ROWS, 3]))]), 3)


def called(net: Net) -> None:
    """Call a function of the model, which may call another, once or twice."""
    number = len(net.functions)
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("local", 1)]
    inner = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    if number and net.rng.random() < 0.5:
        inner = [helper.make_node(net.functions[-1].name, ["a", "b"], ["c"], domain="local")]
    name = f"F{number}"
    net.functions.append(helper.make_function("local", name, ["a", "b"], ["c"], inner, imports))
    weight = net.weight(net.width, net.width)
    for _ in range(net.rng.randrange(1, 3)):
        net.go(net.add(name, [net.here, weight], domain="local"), net.width)


def listed(net: Net) -> None:
    """Put what is here into a sequence and take it out again."""
    several = net.add("SequenceConstruct", [net.here, net.here])
    net.go(net.add("SequenceAt", [several, net.constant(np.int64(-1))]), net.width)


def optional(net: Net) -> None:
    held = net.add("Optional", [net.here])
    net.go(net.add("OptionalGetElement", [held]), net.width)


def classical(net: Net) -> None:
    targets = net.rng.randrange(1, 4)
    numbers = net.values(targets, net.width).ravel().tolist()
    if numbers:
        more = {"coefficients": numbers, "intercepts": [0.5] * targets, "targets": targets}
        net.go(net.add("LinearRegressor", [net.here], domain=LEARNING, **more), targets)


def packed(net: Net) -> None:
    """Multiply by a weight in 4 bits of ONNX Runtime's own format."""
    width, blocks = net.rng.randrange(1, 5), -(-max(net.width, 1) // 16)
    codes = np.resize(np.uint8([net.rng.randrange(256) for _ in range(29)]), (width, blocks, 8))
    inputs = [net.here, net.constant(codes), net.constant(net.values(width * blocks))]
    more = {"K": net.width, "N": width, "bits": 4, "block_size": 16}
    if net.width:
        net.go(net.add("MatMulNBits", inputs, domain=MICROSOFT, **more), width)


def textual(net: Net) -> None:
    """Hold texts and numbers that nothing weighs, used or unused."""
    texts = helper.make_tensor("", TensorProto.STRING, [2], [net.rng.choice(TEXTS).encode(), b"\xff\xfe"])
    net.add("Identity", [net.constant(texts)])
    net.constant(
        net.rng.choice(
            (np.zeros((0, 5), np.float32), np.int64(3), np.complex64([1j]), np.uint64([2**64 - 1]))
        )
    )


BLOCKS: Sequence[Callable[[Net], None]] = (
    *(
        dense,
        dense,
        dense,
        dense,
        convolution,
        convolution,
        recurrent,
        lookup,
        normalised,
        moved,
        moved,
        halved,
    ),
    *(residual, shared, branched, looped, scanned, called, listed, optional, classical, packed, textual),
)


def odd_model(rng: Random) -> ModelProto:
    """Return a model that onnx's checker takes, of up to eight blocks."""
    net = Net(rng)
    for _ in range(rng.randrange(1, 8)):
        rng.choice(BLOCKS)(net)
    if rng.random() < 0.2:
        net.inputs += [
            _declared(net, tensor) for tensor in net.tensors[:2]
        ]  # a default, as up to ir_version 3
    outputs = [floats(net.here)]
    if rng.random() < 0.2 and net.tensors:
        outputs.append(_declared(net, rng.choice(net.tensors)))  # a constant that is a result
    domains = {"": OPSET, "local": 1, MICROSOFT: 1, LEARNING: 3}
    made = helper.make_model(
        helper.make_graph(net.nodes, rng.choice(TEXTS) or "g", net.inputs, outputs, net.tensors),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in domains.items()],
        functions=net.functions,
        producer_name=rng.choice(TEXTS),
        doc_string=rng.choice(TEXTS),
        ir_version=10,
    )
    made.graph.sparse_initializer.extend(net.sparse)
    return made


def _declared(net: Net, tensor: TensorProto) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
