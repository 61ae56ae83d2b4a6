"""Whatever stands around a weight, each of its elements is somewhere, once: analysed, or skipped.

And wherever a tensor stands in a file, be it damaged, its elements are counted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings, strategies as st
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    TrainingInfoProto,
    helper,
    numpy_helper,
)

from onnxtop.reader import wire
from onnxtop.reader.account import Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.loading import load
from tests.fuzz.odd import odd_model
from tests.models import graph, model, node, save, weights
from tests.reader.counting import count
from tests.reader.extraction import run

Array = np.ndarray[Any, Any]

ROWS, COLUMNS = 4, 6


@dataclass
class Chain:
    """A weight of shape (ROWS, COLUMNS) on its way to where it is used.

    ``carried`` are the constants that make it up, ``still`` those that must not count as weights.
    """

    value: str = "w0"
    nodes: list[NodeProto] = field(default_factory=list)
    held: dict[str, Array] = field(default_factory=lambda: {"w0": weights(ROWS, COLUMNS)})
    carried: list[str] = field(default_factory=lambda: ["w0"])
    still: list[str] = field(default_factory=list)
    functions: list[FunctionProto] = field(default_factory=list)
    moves: bool = False

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def hold(self, array: Any, *, still: bool = True) -> str:
        name = f"c{len(self.held)}"
        self.held[name] = np.asarray(array)
        if still:
            self.still.append(name)
        return name

    def then(self, op: str, inputs: str = "", **attributes: Any) -> str:
        made = self.name("v")
        self.nodes.append(node(op, inputs or self.value, made, **attributes))
        return made


def _scaled(chain: Chain) -> None:
    chain.value = chain.then("Mul", f"{chain.value} {chain.hold(weights(1, COLUMNS, seed=3))}")


def _masked(chain: Chain) -> None:
    mask = chain.hold((weights(ROWS, COLUMNS, seed=4) > 0).astype(np.float32), still=False)
    chain.value = chain.then("Mul", f"{chain.value} {mask}")


def _chosen(chain: Chain) -> None:
    other = chain.hold(weights(ROWS, COLUMNS, seed=5), still=False)
    chain.carried.append(other)
    chain.value = chain.then("Where", f"{chain.hold(weights(ROWS, COLUMNS) > 0)} {chain.value} {other}")


def _reshaped(chain: Chain) -> None:
    flat = chain.then("Reshape", f"{chain.value} {chain.hold([-1])}")
    chain.value = chain.then("Reshape", f"{flat} {chain.hold([ROWS, COLUMNS])}")


def _turned(chain: Chain) -> None:
    chain.value = chain.then("Transpose", chain.then("Transpose"))


def _joined(chain: Chain) -> None:
    """Join it with another and take a part that holds rows of both."""
    other = chain.hold(weights(ROWS, COLUMNS, seed=6), still=False)
    chain.carried.append(other)
    both = chain.then("Concat", f"{chain.value} {other}", axis=0)
    start, stop = chain.hold([ROWS // 2]), chain.hold([ROWS // 2 + ROWS])
    chain.value = chain.then("Slice", f"{both} {start} {stop}")


def _cut_by_a_size(chain: Chain) -> None:
    """Keep all rows: their number is a size of the input that is known."""
    size = chain.then("Shape", "x", start=1, end=2)
    stop = chain.then("Min", f"{size} {chain.hold([ROWS])}")
    chain.value = chain.then("Slice", f"{chain.value} {chain.hold([0])} {stop}")


def _cut_by_an_open_size(chain: Chain) -> None:
    count_, rows = chain.then("Shape", "x", start=0, end=1), chain.hold([ROWS])
    stop = chain.then("Add", f"{chain.then('Min', f'{count_} {chain.hold([0])}')} {rows}")
    chain.value = chain.then("Slice", f"{chain.value} {chain.hold([0])} {stop}")


def _low_rank(chain: Chain) -> None:
    left = chain.hold(weights(ROWS, 2, seed=7), still=False)
    right = chain.hold(weights(2, COLUMNS, seed=8), still=False)
    chain.carried += [left, right]
    product = chain.then("MatMul", f"{left} {right}")
    chain.value = chain.then("Add", f"{chain.value} {product}")


def _weight_norm(chain: Chain) -> None:
    norm = chain.then("ReduceL2", f"{chain.value} {chain.hold([0])}", keepdims=1)
    unit = chain.then("Div", f"{chain.value} {chain.then('Add', f'{norm} {chain.hold(np.float32(1e-3))}')}")
    chain.value = chain.then("Mul", f"{unit} {chain.hold(weights(1, COLUMNS, seed=9))}")


def _standardised(chain: Chain) -> None:
    mean = chain.then("ReduceMean", f"{chain.value} {chain.hold([1])}", keepdims=1)
    centred = chain.then("Sub", f"{chain.value} {mean}")
    squares = chain.then("Mul", f"{centred} {centred}")
    variance = chain.then("ReduceMean", f"{squares} {chain.hold([1])}", keepdims=1)
    deviation = chain.then("Sqrt", chain.then("Add", f"{variance} {chain.hold(np.float32(1e-3))}"))
    chain.value = chain.then("Div", f"{centred} {deviation}")


def _bent(chain: Chain) -> None:
    chain.value = chain.then("Softplus", chain.then("Tanh"))


def _rounded(chain: Chain) -> None:
    scale, zero = chain.hold(np.float32(0.125)), chain.hold(np.int8(0))
    codes = chain.then("QuantizeLinear", f"{chain.value} {scale} {zero}")
    chain.value = chain.then("DequantizeLinear", f"{codes} {scale} {zero}")


def _in_a_function(chain: Chain) -> None:
    name = chain.name("Wrap")
    body = [node("Neg", "a", "n"), node("Identity", "n", "r")]
    opsets = [helper.make_opsetid("", 21)]
    chain.functions.append(helper.make_function("local", name, ["a"], ["r"], body, opsets))
    chain.value = chain.then(f"local.{name}")


def _in_a_branch(chain: Chain) -> None:
    branches = [
        graph([node(op, chain.value, made := chain.name(op))], {}, {}, [made]) for op in ("Neg", "Identity")
    ]
    yes = chain.hold(np.array(True))
    chain.value = chain.then("If", yes, then_branch=branches[0], else_branch=branches[1])


def _chosen_by_the_input(chain: Chain) -> None:
    """Take one of two branches by what x holds: no weight of either is known."""
    chain.moves = True
    branches = [
        graph([node(op, chain.value, made := chain.name(op))], {}, {}, [made]) for op in ("Neg", "Abs")
    ]
    mean = chain.then("ReduceMean", "x", keepdims=0)
    yes = chain.then("Greater", f"{mean} {chain.hold(np.float32(0))}")
    chain.value = chain.then("If", yes, then_branch=branches[0], else_branch=branches[1])


def _scaled_by_the_input(chain: Chain) -> None:
    chain.moves = True
    factor = chain.then("ReduceMean", "x", keepdims=0)
    chain.value = chain.then("Mul", f"{chain.value} {factor}")


def _typed_like_the_input(chain: Chain) -> None:
    """Cast once: of two CastLikes in a row onnxruntime loses the second where a branch takes its result."""
    if chain.nodes and chain.nodes[-1].op_type == "CastLike":
        return
    chain.value = chain.then("CastLike", f"{chain.value} x")


STEPS: list[Callable[[Chain], None]] = [
    _scaled,
    _masked,
    _chosen,
    _reshaped,
    _turned,
    _joined,
    _cut_by_a_size,
    _cut_by_an_open_size,
    _low_rank,
    _weight_norm,
    _standardised,
    _bent,
    _rounded,
    _in_a_function,
    _in_a_branch,
    _chosen_by_the_input,
    _scaled_by_the_input,
    _typed_like_the_input,
]
USES = {"MatMul": "MatMul", "Gemm": "Gemm", "Conv": "Conv", "Gather": "Gather"}
STORED = ("initializer", "Constant", "sparse", "codes", "branch")


def _stored(chain: Chain, how: str) -> None:
    """Store the first weight in another way."""
    array = chain.held.pop("w0")
    if how == "Constant":
        chain.nodes.append(node("Constant", "", "w0", value=numpy_helper.from_array(array, "w0")))
    elif how == "sparse":
        values = numpy_helper.from_array(array.ravel(), "values")
        places = numpy_helper.from_array(np.arange(array.size))
        sparse = helper.make_sparse_tensor(values, places, list(array.shape))
        chain.nodes.append(node("Constant", "", "w0", sparse_value=sparse))
    elif how == "codes":
        codes, scale = chain.hold((array * 8).astype(np.int8), still=False), chain.hold(np.float32(0.125))
        chain.nodes.append(node("DequantizeLinear", f"{codes} {scale}", "w0"))
        chain.carried[0] = codes
    elif how == "branch":
        yes = chain.hold(np.array(True))
        branch = graph([node("Identity", "inner", "w9")], {"inner": array}, {}, ["w9"])
        other = graph([node("Identity", "unused", "w9")], {"unused": -array}, {}, ["w9"])
        chain.nodes.append(node("If", yes, "w0", then_branch=branch, else_branch=other))
        chain.carried[0] = "inner"
    else:
        chain.held["w0"] = array


def _model(chain: Chain, use: str) -> Any:
    shape: Sequence[Any] = ["N", ROWS, 5] if use == "Conv" else ["N", ROWS]
    if use == "Conv":
        turned = chain.then("Transpose")
        chain.value = chain.then("Unsqueeze", f"{turned} {chain.hold([2])}")
    made = "y" if use != "Gather" else "e"
    chain.nodes.append(
        node("Gather", f"{chain.value} ids", made) if use == "Gather" else node(use, f"x {chain.value}")
    )
    inputs: dict[str, Sequence[Any] | None] = {"x": shape}
    if use == "Gather":
        chain.nodes.append(node("MatMul", f"e {chain.hold(weights(COLUMNS, 2, seed=11), still=False)}"))
        inputs["ids"] = [3]
    proto = model(chain.nodes, chain.held, inputs, functions=chain.functions)
    if use == "Gather":
        proto.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    return proto


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.sampled_from(STEPS), max_size=4),
    use=st.sampled_from(sorted(USES)),
    how=st.sampled_from(STORED),
)
def test_nothing_is_forgotten(
    steps: list[Callable[[Chain], None]], use: str, how: str, tmp_path: Path
) -> None:
    chain = Chain()
    _stored(chain, how)
    for step in steps:
        step(chain)
    proto = _model(chain, use)
    x = np.ones((3, ROWS, 5) if use == "Conv" else (3, ROWS), np.float32)
    feeds = {"x": x, "ids": np.array([0, 1, 1])}
    run(proto, {item.name: feeds[item.name] for item in proto.graph.input})  # the model is one that runs
    path = save(proto, tmp_path)
    loaded = load(path)
    layers = find_layers(loaded, constants := Constants(loaded))
    entries = account(loaded, constants, layers).entries
    assert sum(entry.elements for entry in entries) == count(path)
    roles = {entry.value.name: entry.role for entry in entries}
    carried = [roles[name] for name in chain.carried]
    assert set(carried) <= {Role.ANALYSED, Role.SKIPPED}
    assert all(roles[name] not in (Role.ANALYSED, Role.SKIPPED) for name in chain.still)
    assert chain.moves <= (Role.SKIPPED in carried)
    assert all(layer.reason for layer in layers if isinstance(layer, Skipped))


def _elements(message: Message) -> int:
    """Return the elements of all tensors of a message, found by nothing but their kind.

    The one that a ConstantOfShape repeats is none: what it makes is counted.
    """
    if isinstance(message, TensorProto | SparseTensorProto):
        return math.prod(message.dims)
    if isinstance(message, NodeProto) and message.op_type == "ConstantOfShape":
        held = [sum(map(_elements, _messages(item))) for item in message.attribute]
        names = [item.name for item in message.attribute]
        return sum(count for name, count in zip(names, held, strict=True) if (name, count) != ("value", 1))
    return sum(map(_elements, _messages(message)))


def _messages(message: Message) -> list[Message]:
    fields = [value for field, value in message.ListFields() if field.type == field.TYPE_MESSAGE]
    return [item for value in fields for item in ([value] if isinstance(value, Message) else value)]


def _counted(path: Path) -> tuple[int, int]:
    """Return how many elements the account has of what a file stores, and how many tensors these are.

    Codes count as they are stored: several may share a byte, and blocks of them may be filled up.
    """
    loaded = load(path)
    entries = account(loaded, constants := Constants(loaded), find_layers(loaded, constants)).entries
    stored = [loaded.tensors[entry.value] for entry in entries if entry.value in loaded.tensors]
    return sum(math.prod(tensor.dims) for tensor in stored), len(stored)


HELD = numpy_helper.from_array(weights(7, 11), "t")
PART, REST = numpy_helper.from_array(weights(1, 11), "p"), numpy_helper.from_array(weights(5, 11), "r")
SPARSE = helper.make_sparse_tensor(
    numpy_helper.from_array(weights(7, 11).ravel(), "s"), numpy_helper.from_array(np.arange(77)), [77]
)
BODY = graph([node("Identity", "t", "o")], {"t": HELD}, {}, ["o"])
KIND = AttributeProto


def _odd(op: str, inputs: str, *attributes: dict[str, Any]) -> ModelProto:
    """Return a product beside an operation with attributes as they are given."""
    odd = node(op, inputs, "z")
    for attribute in attributes:
        odd.attribute.add(**attribute)
    return model([node("MatMul", "x w"), odd], {"w": weights(4, 4), "n": np.int64([2])})


def _in_training() -> ModelProto:
    proto = _odd("Relu", "x")
    proto.training_info.add().algorithm.CopyFrom(BODY)
    return proto


def _in_a_function(
    attribute: dict[str, Any], *, default: bool = False, given: dict[str, Any] | None = None, calls: int = 0
) -> ModelProto:
    """Return a product beside a function with such an attribute of a node in it, or of its own."""
    proto = _odd("Relu", "x")
    inner = node("q.Foo", "X", "Y")
    function = helper.make_function("q", "F", ["X"], ["Y"], [inner], [helper.make_opsetid("", 21)])
    (function.attribute_proto if default else function.node[0].attribute).add(**attribute)
    proto.functions.append(function)
    for number in range(calls):
        proto.graph.node.append(node("q.F", "x", f"f{number}"))
        if given is not None:
            proto.graph.node[-1].attribute.add(**given)
    proto.opset_import.append(helper.make_opsetid("q", 1))
    return proto


def _beside_an_equal(proto: ModelProto) -> ModelProto:
    """Return a model with 66 elements more, eleven of which are equal to what it holds."""
    proto.graph.node.append(helper.make_node("Constant", [], ["k"], value=PART))
    proto.graph.node.append(helper.make_node("Constant", [], ["l"], value=REST))
    return proto


MESSAGES: dict[str, Any] = {
    "model": ModelProto,
    "training": TrainingInfoProto,
    "graph": GraphProto,
    "function": FunctionProto,
    "node": NodeProto,
    "attribute": AttributeProto,
    "sparse": SparseTensorProto,
    "tensor": TensorProto,
}


SAMPLES = Path(__file__).resolve().parents[2] / "sample_models"

_other = partial(_odd, "q.Foo", "x")
_constant = partial(_odd, "Constant", "")
_fill = partial(_odd, "ConstantOfShape", "n")
PLACES: dict[str, Callable[[], ModelProto]] = {
    "tensor": lambda: _other({"name": "v", "type": KIND.TENSOR, "t": HELD}),
    "tensors": lambda: _other({"name": "v", "type": KIND.TENSORS, "tensors": [HELD]}),
    "sparse": lambda: _other({"name": "v", "type": KIND.SPARSE_TENSOR, "sparse_tensor": SPARSE}),
    "sparse list": lambda: _other({"name": "v", "type": KIND.SPARSE_TENSORS, "sparse_tensors": [SPARSE]}),
    "no type": lambda: _other({"name": "v", "t": HELD}),
    "another type": lambda: _other({"name": "v", "type": KIND.INT, "t": HELD}),
    "body": lambda: _other({"name": "v", "type": KIND.GRAPH, "g": BODY}),
    "body without type": lambda: _other({"name": "v", "g": BODY}),
    "body of another type": lambda: _other({"name": "v", "type": KIND.TENSOR, "g": BODY}),
    "bodies": lambda: _other({"name": "v", "type": KIND.GRAPHS, "graphs": [BODY]}),
    "training": _in_training,
    "Constant": lambda: _constant({"name": "value", "type": KIND.TENSOR, "t": HELD}),
    "Constant of another field": lambda: _constant({"name": "value_floats", "type": KIND.TENSOR, "t": HELD}),
    "Constant of another name": lambda: _constant({"name": "valu", "type": KIND.TENSOR, "t": HELD}),
    "Constant and a body": lambda: _constant(
        {"name": "value_ints", "type": KIND.INTS, "ints": []}, {"name": "v", "type": KIND.GRAPH, "g": BODY}
    ),
    "function": lambda: _in_a_function({"name": "v", "type": KIND.TENSOR, "t": HELD}),
    "function, list": lambda: _in_a_function({"name": "v", "type": KIND.TENSORS, "tensors": [HELD]}),
    "function, sparse": lambda: _in_a_function({"name": "v", "sparse_tensor": SPARSE}),
    "function, sparse list": lambda: _in_a_function({"name": "v", "sparse_tensors": [SPARSE]}),
    "function, body": lambda: _in_a_function({"name": "v", "graphs": [BODY]}),
    "function, default": lambda: _in_a_function({"name": "v", "t": HELD}, default=True),
    "default that no body takes": lambda: _in_a_function({"name": "v", "t": HELD}, default=True, calls=1),
    "default that no call needs": lambda: _in_a_function(
        {"name": "v", "t": HELD}, default=True, calls=1, given={"name": "v", "type": KIND.INT, "i": 1}
    ),
    "call of what takes no such": lambda: _in_a_function(
        {"name": "u", "type": KIND.INT, "i": 1}, calls=1, given={"name": "w", "type": KIND.TENSOR, "t": HELD}
    ),
    "call, beside an equal constant": lambda: _beside_an_equal(
        _in_a_function(
            {"name": "u", "type": KIND.INT, "i": 1},
            calls=1,
            given={"name": "w", "type": KIND.TENSOR, "t": PART},
        )
    ),
    "beside a reference": lambda: _in_a_function(
        {"name": "v", "type": KIND.TENSOR, "t": HELD, "ref_attr_name": "w"}, calls=1
    ),
    "beside a reference to what is given": lambda: _in_a_function(
        {"name": "v", "type": KIND.TENSOR, "t": HELD, "ref_attr_name": "w"},
        calls=1,
        given={"name": "w", "type": KIND.INT, "i": 1},
    ),
    "function that is called": lambda: _in_a_function(
        {"name": "v", "type": KIND.TENSORS, "tensors": [HELD]}, calls=1
    ),
    "fill": lambda: _fill({"name": "value", "type": KIND.TENSOR, "t": HELD}),
    "fill of another name": lambda: _fill({"name": "other", "type": KIND.TENSOR, "t": HELD}),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_counts_wherever_it_stands(place: str, tmp_path: Path) -> None:
    proto = PLACES[place]()
    path = save(proto, tmp_path)
    assert _elements(proto) == 77 + 16 + 1
    assert _counted(path)[0] == 77 + 16 + 1


def test_the_outline_goes_wherever_tensors_may_stand() -> None:
    """What leaves large tensors out knows every way that ONNX's description of its messages has."""
    kinds = {message.DESCRIPTOR.full_name: kind for kind, message in MESSAGES.items()}
    for kind, message in MESSAGES.items():
        ways = {
            field.number: kinds[field.message_type.full_name]
            for field in message.DESCRIPTOR.fields
            if field.message_type is not None and field.message_type.full_name in kinds
        }
        assert wire._CHILDREN.get(kind, {}) == ways


def test_every_part_of_an_attribute_counts(tmp_path: Path) -> None:
    """A damaged file may set all of its fields, and have several of one name."""
    full = {"name": "v", "t": HELD, "tensors": [HELD], "sparse_tensor": SPARSE, "sparse_tensors": [SPARSE]}
    path = save(_other({**full, "g": BODY, "graphs": [BODY]}, full), tmp_path)
    assert _counted(path) == (10 * 77 + 16 + 1, 12)


@pytest.mark.parametrize("calls", [0, 1])
@pytest.mark.parametrize(
    "proto",
    [
        lambda values, calls: _other(values),
        lambda values, calls: _in_a_function(values, calls=calls),
        lambda values, calls: _in_a_function(values, default=True, calls=calls),
    ],
)
def test_numbers_of_an_operation_that_nobody_knows_count(
    proto: Callable[..., ModelProto], calls: int, tmp_path: Path
) -> None:
    values = {"name": "v", "type": KIND.FLOATS, "floats": [1.0] * 77}
    assert _counted(save(proto(values, calls), tmp_path))[0] == 77 + 16 + 1


def test_settings_of_standard_operations_are_no_constants(tmp_path: Path) -> None:
    odd = _odd("Upsample", "x", {"name": "scales", "type": KIND.FLOATS, "floats": [1, 2]})
    assert _counted(save(odd, tmp_path))[0] == 16 + 1


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([{"name": "value", "type": KIND.FLOATS, "floats": [1] * 77}], 77),
        ([{"name": "value_float", "f": 1}, {"name": "value", "t": HELD}], 78),
        ([{"name": "value", "t": HELD}, {"name": "value_ints", "ints": [1, 2]}], 79),
        ([{"name": "value_floats", "type": KIND.FLOATS}], 0),
        ([{"name": "value_int", "type": KIND.INT}], 1),
    ],
)
def test_every_value_of_a_constant_counts(
    attributes: list[dict[str, Any]], expected: int, tmp_path: Path
) -> None:
    assert _counted(save(_constant(*attributes), tmp_path))[0] == expected + 16 + 1


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.glob("*.onnx")))
def test_every_tensor_of_a_real_file_counts(name: str) -> None:
    proto = ModelProto.FromString((SAMPLES / name).read_bytes())
    assert _counted(SAMPLES / name)[0] >= _elements(proto)


@pytest.mark.parametrize("seed", range(40))
def test_every_tensor_of_an_odd_file_counts(seed: int, tmp_path: Path) -> None:
    proto = odd_model(Random(seed))
    assert _counted(save(proto, tmp_path))[0] >= _elements(proto)
