"""Whatever stands around a weight, each of its elements is somewhere, once: analysed, or skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings, strategies as st
from onnx import FunctionProto, NodeProto, TensorProto, helper, numpy_helper

from onnxtop.reader.account import Role, account
from onnxtop.reader.constants import Constants
from onnxtop.reader.layer import Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.model import load
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
