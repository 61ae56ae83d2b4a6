"""Models of so many nodes, in the forms in which networks grow: chains, branches, one weight used by all.

Weights are tiny, so that what takes time is the work a node. ``FORMS`` has them by name; each takes about how
many nodes there are to be and gives a model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

WIDTH = 4


class Drawn:
    """A model in the making: nodes, random weights, the values that go in and come out."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.held: list[TensorProto] = []
        self.outputs: list[str] = []
        self.inputs: list[str] = ["x"]
        self.functions: list[Any] = []
        self.rng = np.random.default_rng(0)

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return its first result."""
        number = len(self.nodes)
        results = [f"v{number}" + f".{place}" * (place > 0) for place in range(outputs)]
        attributes = {"name": f"/block.{number}/{op}"} | attributes
        self.nodes.append(helper.make_node(op, inputs, results, **attributes))
        return results[0]

    def weight(self, *shape: int) -> str:
        return self.hold(self.rng.standard_normal(shape or (WIDTH, WIDTH), dtype=np.float32))

    def hold(self, array: NDArray[Any]) -> str:
        self.held.append(numpy_helper.from_array(array, f"w{len(self.held)}"))
        return self.held[-1].name

    def layer(self, x: str) -> str:
        return self.node("MatMul", x, self.weight())

    def model(self, *outputs: str, shape: Sequence[int] = (1, WIDTH)) -> ModelProto:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in self.inputs]
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "growth", ends, results, self.held)
        opset = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
        return helper.make_model(graph, ir_version=10, opset_imports=opset, functions=self.functions)


def chain(n: int) -> ModelProto:
    """One layer behind the other."""
    net, x = Drawn(), "x"
    for _ in range(n // 2):
        x = net.node("Relu", net.layer(x))
    return net.model(x)


def matrices(n: int) -> ModelProto:
    """One matrix behind the other, without anything between."""
    net, x = Drawn(), "x"
    for _ in range(n):
        x = net.layer(x)
    return net.model(x)


def shared(n: int) -> ModelProto:
    """One weight, used by all."""
    net, x = Drawn(), "x"
    w = net.weight()
    for _ in range(n):
        x = net.node("MatMul", x, w)
    return net.model(x)


def turned(n: int) -> ModelProto:
    """One weight, used both ways round by all."""
    net, x = Drawn(), "x"
    w = net.weight()
    for place in range(n):
        x = net.node("Gemm", x, w, transB=place % 2)
    return net.model(x)


def beside(n: int) -> ModelProto:
    """One weight, used by all on the same input."""
    net = Drawn()
    w = net.weight()
    return net.model(net.node("Sum", *[net.node("MatMul", "x", w) for _ in range(n)]))


def residual(n: int) -> ModelProto:
    """Blocks with a way around each."""
    net, x = Drawn(), "x"
    for _ in range(n):
        x = net.node("Add", x, net.node("Relu", net.layer(x)))
    return net.model(x)


def fanned(n: int) -> ModelProto:
    """One result that all take."""
    net = Drawn()
    x = net.layer("x")
    return net.model(net.node("Sum", *[net.node("Relu", x) for _ in range(n)]))


def around(n: int) -> ModelProto:
    """Operations behind one another, with a way around all that are before each."""
    net = Drawn()
    x = y = net.layer("x")
    for _ in range(n // 2):
        y = net.node("Add", x, net.node("Relu", y))
    return net.model(net.layer(y))


def concat(n: int) -> ModelProto:
    """Layers beside each other, their results one after the other."""
    net = Drawn()
    return net.model(net.node("Concat", *[net.layer("x") for _ in range(n)], axis=1))


def added(n: int) -> ModelProto:
    """Layers beside each other, their results in one sum."""
    net = Drawn()
    return net.model(net.node("Sum", *[net.layer("x") for _ in range(n)]))


def summed(n: int) -> ModelProto:
    """Layers beside each other, their results added up one by one."""
    net, y = Drawn(), "x"
    for _ in range(n // 2):
        y = net.node("Add", y, net.layer("x"))
    return net.model(y)


def grown(n: int) -> ModelProto:
    """Channels that each layer adds to, and that one in a hundred layers takes all of."""
    net, held = Drawn(), ["x"]
    for place in range(n):
        held.append(net.layer(held[-1]))
        if place % (n // 4) == 0:
            held = [net.layer(net.node("Slice", net.node("Concat", *held, axis=1), *map(net.hold, _FIRST)))]
    return net.model(held[-1])


_FIRST = (np.array([0]), np.array([WIDTH]), np.array([1]))


def results(n: int) -> ModelProto:
    """Layers beside each other, each with a result of its own."""
    net = Drawn()
    return net.model(*[net.layer("x") for _ in range(n)])


def inputs(n: int) -> ModelProto:
    """Layers beside each other, each with an input of its own."""
    net = Drawn()
    net.inputs = [f"x{place}" for place in range(n)]
    return net.model(net.node("Sum", *[net.layer(x) for x in net.inputs]))


def apart(n: int) -> ModelProto:
    """Layers with inputs and results of their own: a network each."""
    net = Drawn()
    net.inputs = [f"x{place}" for place in range(n)]
    return net.model(*[net.layer(x) for x in net.inputs])


def states(n: int) -> ModelProto:
    """Layers with a state each, from one call to the next."""
    net = Drawn()
    net.inputs = ["x", *(f"past_{place}" for place in range(n // 2))]
    made, x = [], "x"
    for place in range(n // 2):
        x = net.layer(net.node("Add", x, f"past_{place}"))
        net.nodes[-1].output[0] = x = f"present_{place}"
        made.append(x)
    return net.model(*made)


def turning(n: int) -> ModelProto:
    """Layers, each of which takes the state that the next made in the call before."""
    net = Drawn()
    net.inputs = ["x", *(f"past_{place}" for place in range(n))]
    made = []
    for place in range(n):
        net.layer(f"past_{(place + 1) % n}")
        net.nodes[-1].output[0] = f"present_{place}"
        made.append(f"present_{place}")
    return net.model(net.node("Sum", "x", *made), *made)


def split(n: int) -> ModelProto:
    """One weight, cut into those of all layers."""
    net, x = Drawn(), "x"
    net.node("Split", net.weight(n * WIDTH, WIDTH), outputs=n, num_outputs=n, axis=0)
    for name in net.nodes[0].output:
        x = net.node("MatMul", x, name)
    return net.model(x)


def pieces(n: int) -> ModelProto:
    """The input, cut into those of all layers, and their results put together again."""
    net = Drawn()
    net.node("Split", "x", outputs=n, num_outputs=n, axis=1)
    parts = [net.node("MatMul", name, net.weight()) for name in net.nodes[0].output]
    return net.model(net.node("Concat", *parts, axis=1), shape=(1, n * WIDTH))


def moved(n: int) -> ModelProto:
    """A weight that is turned round so often before it is used."""
    net, w = Drawn(), ""
    w = net.weight()
    for _ in range(n):
        w = net.node("Transpose", w, perm=[1, 0])
    return net.model(net.node("MatMul", "x", w))


def computed(n: int) -> ModelProto:
    """Weights that are computed, each of its own constants."""
    net, x = Drawn(), "x"
    for _ in range(n // 3):
        x = net.node(
            "MatMul", x, net.node("Transpose", net.node("Mul", net.weight(), net.weight(1)), perm=[1, 0])
        )
    return net.model(x)


def adapted(n: int) -> ModelProto:
    """Weights that share what they are computed from: an operation behind the other, each used."""
    net, x = Drawn(), "x"
    w, scale = net.weight(), net.weight(1)
    for _ in range(n // 2):
        w = net.node("Mul", w, scale)
        x = net.node("MatMul", x, w)
    return net.model(x)


def quantised(n: int) -> ModelProto:
    """Weights in codes."""
    net, x = Drawn(), "x"
    scale, zero = net.hold(np.float32(0.1)), net.hold(np.int8(0))
    for _ in range(n // 2):
        codes = net.hold(net.rng.integers(-128, 128, (WIDTH, WIDTH)).astype(np.int8))
        x = net.node("MatMul", x, net.node("DequantizeLinear", codes, scale, zero))
    return net.model(x)


def decoded(n: int) -> ModelProto:
    """One weight in codes, which all decode, each by a scale of its own."""
    net, x = Drawn(), "x"
    codes = net.hold(net.rng.integers(-128, 128, (WIDTH, WIDTH)).astype(np.int8))
    for place in range(n // 2):
        scale, zero = net.hold(np.float32(0.1 + place / 1e5)), net.hold(np.int8(0))
        x = net.node("MatMul", x, net.node("DequantizeLinear", codes, scale, zero))
    return net.model(x)


def pointwise(n: int) -> ModelProto:
    """Operations without weights, behind one layer."""
    net = Drawn()
    x = net.layer("x")
    for _ in range(n):
        x = net.node("Relu", x)
    return net.model(x)


def moving(n: int) -> ModelProto:
    """Operations that move entries, behind one layer."""
    net = Drawn()
    x = net.layer("x")
    sizes = net.hold(np.array([WIDTH, 1])), net.hold(np.array([1, WIDTH]))
    for place in range(n):
        x = net.node("Reshape", x, sizes[place % 2])
    return net.model(x)


def unknown(n: int) -> ModelProto:
    """Operations that nobody knows, with a weight each."""
    net = Drawn()
    x = net.layer("x")
    for _ in range(n):
        x = net.node("Mystery", x, net.weight(), domain="local")
    return net.model(x)


def unknown_beside(n: int) -> ModelProto:
    """Layers, each behind an operation that nobody knows."""
    net, x = Drawn(), "x"
    for _ in range(n // 2):
        x = net.layer(net.node("Mystery", x, domain="local"))
    return net.model(x)


def convolutions(n: int) -> ModelProto:
    """Convolutions, each with a normalisation."""
    net, x = Drawn(), "x"
    for _ in range(n // 3):
        x = net.node("Conv", x, net.weight(WIDTH, WIDTH, 3, 3), net.weight(WIDTH), pads=[1] * 4)
        x = net.node("Relu", net.node("BatchNormalization", x, *[net.weight(WIDTH) for _ in range(4)]))
    return net.model(x, shape=(1, WIDTH, 8, 8))


def normalised(n: int) -> ModelProto:
    """Layers, each with a normalisation that is written out, or one of ONNX's."""
    net, x = Drawn(), "x"
    for _ in range(n // 2):
        x = net.node("LayerNormalization", net.layer(x), net.weight(WIDTH), net.weight(WIDTH))
    return net.model(x)


def lookups(n: int) -> ModelProto:
    """Tables that are looked into."""
    net = Drawn()
    index = net.node("Cast", "x", to=TensorProto.INT64)
    return net.model(net.node("Sum", *[net.node("Gather", net.weight(), index) for _ in range(n)]))


def recurrent(n: int) -> ModelProto:
    """Recurrent layers, one behind the other."""
    net, x = Drawn(), "x"
    for _ in range(n // 2):
        held = net.weight(1, 4 * WIDTH, WIDTH), net.weight(1, 4 * WIDTH, WIDTH)
        x = net.node("Squeeze", net.node("LSTM", x, *held, hidden_size=WIDTH), net.hold(np.array([1])))
    return net.model(x, shape=(1, 1, WIDTH))


def attention(n: int) -> ModelProto:
    """Attention, written out, in blocks with a way around each."""
    net, x = Drawn(), "x"
    for _ in range(n // 8):
        q, k, v = (net.layer(x) for _ in range(3))
        scores = net.node("Softmax", net.node("MatMul", q, net.node("Transpose", k, perm=[0, 2, 1])))
        x = net.node("Add", x, net.layer(net.node("MatMul", scores, v)))
    return net.model(x, shape=(1, 2, WIDTH))


def constants(n: int) -> ModelProto:
    """Nodes that hold constants, each added."""
    net = Drawn()
    x = net.layer("x")
    for _ in range(n // 2):
        value = numpy_helper.from_array(net.rng.standard_normal(WIDTH, dtype=np.float32))
        x = net.node("Add", x, net.node("Constant", value=value))
    return net.model(x)


def unused(n: int) -> ModelProto:
    """Weights that nobody uses."""
    net = Drawn()
    for _ in range(n):
        net.weight()
    return net.model(net.layer("x"))


def copies(n: int) -> ModelProto:
    """The same weights, stored by each layer."""
    net, x = Drawn(), "x"
    array = net.rng.standard_normal((WIDTH, WIDTH), dtype=np.float32)
    for _ in range(n):
        x = net.node("MatMul", x, net.hold(array))
    return net.model(x)


def tied(n: int) -> ModelProto:
    """Almost the same weights, stored by each of a quarter as many layers, large enough to be compared."""
    net, x = Drawn(), "x"
    array = net.rng.standard_normal((16, 16), dtype=np.float32)
    for _ in range(n // 4):
        x = net.node("MatMul", x, net.hold(array + net.rng.standard_normal((16, 16), dtype=np.float32) / 50))
    return net.model(x, shape=(1, 16))


def faulty(n: int) -> ModelProto:
    """Layers with a NaN each: a finding each."""
    net, x = Drawn(), "x"
    for _ in range(n):
        array = net.rng.standard_normal((WIDTH, WIDTH), dtype=np.float32)
        array[0, 0] = np.nan
        x = net.node("MatMul", x, net.hold(array))
    return net.model(x)


def cut(n: int) -> ModelProto:
    """Layers whose results nobody takes."""
    net = Drawn()
    for _ in range(n):
        net.layer("x")
    return net.model(net.layer("x"))


def nameless(n: int) -> ModelProto:
    """Layers without a name."""
    net, x = Drawn(), "x"
    for _ in range(n):
        x = net.node("MatMul", x, net.weight(), name="")
    return net.model(x)


def namesakes(n: int) -> ModelProto:
    """Layers of one name, with weights of their own."""
    net, x = Drawn(), "x"
    for _ in range(n):
        x = net.node("MatMul", x, net.weight(), name="/layer/MatMul")
    return net.model(x)


def scopes(n: int) -> ModelProto:
    """Layers in scopes within scopes, a hundred deep."""
    net, x = Drawn(), "x"
    for place in range(n):
        name = "/".join(f"part.{place % (2 + depth)}" for depth in range(100))
        x = net.node("MatMul", x, net.weight(), name=f"/{name}/layer.{place}/MatMul")
    return net.model(x)


def branches(n: int) -> ModelProto:
    """Choices between two layers."""
    net, x = Drawn(), "x"
    net.held.append(numpy_helper.from_array(np.array(True), "yes"))
    net.inputs = ["x"]
    condition = net.node("ReduceSum", "x", keepdims=0)
    condition = net.node("Cast", condition, to=TensorProto.BOOL)
    for place in range(n // 3):
        bodies = [_body(net, x, f"b{place}.{side}") for side in range(2)]
        x = net.node("If", condition, then_branch=bodies[0], else_branch=bodies[1])
    return net.model(x)


def handed_on(n: int) -> ModelProto:
    """Choices that end with the one before, or with its own weight; each is multiplied by and is a bias."""
    net, x = Drawn(), "x"
    condition = net.node("Cast", net.node("ReduceSum", "x", keepdims=0), to=TensorProto.BOOL)
    held = first = net.weight()
    for _ in range(n // 2):
        held = _choice(net, condition, held, first)
        x = net.node("Gemm", x, held, held)
    return net.model(net.layer(x))


def handed_far(n: int) -> ModelProto:
    """A choice that is handed on by one operation after the other; each is multiplied by."""
    net, x = Drawn(), "x"
    condition = net.node("Cast", net.node("ReduceSum", "x", keepdims=0), to=TensorProto.BOOL)
    held = _choice(net, condition, net.weight(), net.weight())
    for _ in range(n // 2):
        held = net.node("Transpose", held)
        x = net.node("MatMul", x, held)
    return net.model(net.layer(x))


def outcomes(n: int) -> ModelProto:
    """A choice with many results, each multiplied by."""
    net, x = Drawn(), "x"
    condition = net.node("Cast", net.node("ReduceSum", "x", keepdims=0), to=TensorProto.BOOL)
    held = _choice(net, condition, net.weight(), net.weight(), n)
    for place in range(n):
        x = net.node("MatMul", x, held + f".{place}" * (place > 0))
    return net.model(net.layer(x))


def nested(n: int) -> ModelProto:
    """Choices between two layers, each twenty choices deep."""
    net, x = Drawn(), "x"
    condition = net.node("Cast", net.node("ReduceSum", "x", keepdims=0), to=TensorProto.BOOL)
    for place in range(max(1, n // 60)):
        body = _body(net, x, f"b{place}")
        for depth in range(20):
            other = _body(net, x, f"b{place}.{depth}")
            inner = helper.make_node(
                "If",
                [condition],
                [f"i{place}.{depth}"],
                then_branch=body,
                else_branch=other,
                name=f"if{depth}",
            )
            body = helper.make_graph([inner], "body", [], [_loose(inner.output[0])])
        x = net.node("If", condition, then_branch=body, else_branch=_body(net, x, f"e{place}"))
    return net.model(x)


def loops(n: int) -> ModelProto:
    """Loops around a layer each."""
    net, x = Drawn(), "x"
    trips, going = net.hold(np.array(3)), net.hold(np.array(True))
    for place in range(n // 3):
        inner = helper.make_node("MatMul", [f"s{place}", net.weight()], [f"t{place}"], name="inner")
        going_on = helper.make_node("Identity", [f"c{place}"], [f"d{place}"])
        ends = [
            helper.make_tensor_value_info(f"i{place}", TensorProto.INT64, []),
            helper.make_tensor_value_info(f"c{place}", TensorProto.BOOL, []),
            helper.make_tensor_value_info(f"s{place}", TensorProto.FLOAT, (1, WIDTH)),
        ]
        leaves = [helper.make_tensor_value_info(f"d{place}", TensorProto.BOOL, []), _loose(f"t{place}")]
        body = helper.make_graph([going_on, inner], "body", ends, leaves)
        x = net.node("Loop", trips, going, x, body=body)
    return net.model(x)


def functions(n: int) -> ModelProto:
    """Calls of a function with a layer in it."""
    net, x = Drawn(), "x"
    inner = helper.make_node("MatMul", ["a", "w"], ["b"], name="inner")
    then = helper.make_node("Relu", ["b"], ["c"], name="then")
    opset = [helper.make_opsetid("", 21)]
    net.functions = [helper.make_function("local", "Layer", ["a", "w"], ["c"], [inner, then], opset)]
    for _ in range(n // 2):
        x = net.node("Layer", x, net.weight(), domain="local")
    return net.model(x)


def _body(net: Drawn, x: str, result: str) -> GraphProto:
    node = helper.make_node("MatMul", [x, net.weight()], [result], name="inner")
    return helper.make_graph([node], "body", [], [_loose(result)])


def _choice(net: Drawn, condition: str, then: str, other: str, outputs: int = 1) -> str:
    bodies = (helper.make_graph([], "body", [], [_loose(name)] * outputs) for name in (then, other))
    return net.node("If", condition, outputs=outputs, **dict(zip(_SIDES, bodies, strict=True)))


_SIDES = "then_branch", "else_branch"


def _loose(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


FORMS: dict[str, Callable[[int], ModelProto]] = {
    form.__name__: form
    for form in (
        *(
            chain,
            matrices,
            shared,
            turned,
            beside,
            residual,
            fanned,
            around,
            concat,
            added,
            summed,
            grown,
            results,
            inputs,
        ),
        *(
            apart,
            states,
            turning,
            split,
            pieces,
            moved,
            computed,
            adapted,
            quantised,
            decoded,
            pointwise,
            moving,
            unknown,
        ),
        *(unknown_beside, convolutions, normalised, lookups, recurrent, attention, constants, unused),
        *(copies, tied, faulty, cut, nameless, namesakes, scopes, branches, nested, loops, functions),
        *(handed_on, handed_far, outcomes),
    )
}
