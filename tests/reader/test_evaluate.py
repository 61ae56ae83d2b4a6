"""Operations that are computed here, against onnx's reference operations on the same arrays."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from onnxtop.reader.evaluate import run
from onnxtop.reader.model import Node

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7
FEW, MORE = np.array([[7, -7, 3]]), np.array([[2], [-2]])


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


CASES: dict[str, tuple[str, list[np.ndarray[Any, Any] | None], dict[str, Any]]] = {
    "add": ("Add", [X, X[0]], {}),
    "cast": ("Cast", [X], {"to": TensorProto.INT32}),
    "cast to half": ("Cast", [X], {"to": TensorProto.BFLOAT16}),
    "compress": ("Compress", [X, np.array([True, False, True])], {"axis": 1}),
    "concat": ("Concat", [X, X], {"axis": -2}),
    "constant": ("ConstantOfShape", [ints(2, 3)], {}),
    "constant of a kind": (
        "ConstantOfShape",
        [ints(2)],
        {"value": helper.make_tensor("v", TensorProto.INT64, [1], [5])},
    ),
    "div": ("Div", [X, X + 0.5], {}),
    "div of integers": ("Div", [FEW, MORE], {}),
    "equal": ("Equal", [FEW, MORE], {}),
    "flatten": ("Flatten", [X], {"axis": 2}),
    "gather": ("Gather", [X, ints(2, 0, -1)], {"axis": 1}),
    "gather elements": ("GatherElements", [X[0], np.array([[3, 0], [1, 1], [-1, 2]])], {"axis": 1}),
    "gather nd": ("GatherND", [X, np.array([[1, 2], [0, -1]])], {}),
    "identity": ("Identity", [X], {}),
    "mul": ("Mul", [X, X], {}),
    "range": ("Range", [np.array(1), np.array(9), np.array(3)], {}),
    "reshape": ("Reshape", [X, ints(0, -1)], {}),
    "scatter elements": ("ScatterElements", [X[0], np.array([[3, 0]]), X[1, :1, :2]], {"axis": 1}),
    "scatter nd": ("ScatterND", [X, np.array([[1, 2], [0, 0]]), X[0, :2]], {}),
    "slice": ("Slice", [X, ints(-1, 0), ints(-(2**62), 2), ints(2, 1), ints(-2, 1)], {}),
    "slice of the first axes": ("Slice", [X, ints(1), ints(9)], {}),
    "slice without axes": ("Slice", [X, ints(1), ints(9), None, ints(2)], {}),
    "squeeze": ("Squeeze", [X[:, :1], ints(1)], {}),
    "squeeze all": ("Squeeze", [X[:1, :1]], {}),
    "sub": ("Sub", [X, X[0]], {}),
    "transpose": ("Transpose", [X], {"perm": [2, 0, 1]}),
    "transpose all": ("Transpose", [X], {}),
    "unsqueeze": ("Unsqueeze", [X, ints(0, -1)], {}),
    "where": ("Where", [X > 0, X, -X], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_as_the_reference_does(case: str) -> None:
    op_type, arrays, attributes = CASES[case]
    names = [f"i{place}" if array is not None else "" for place, array in enumerate(arrays)]
    proto = helper.make_node(op_type, names, ["y"], **attributes)
    graph = helper.make_graph(
        [proto],
        "one",
        [helper.make_value_info(name, helper.make_tensor_type_proto(1, None)) for name in names if name],
        [helper.make_value_info("y", helper.make_tensor_type_proto(1, None))],
    )
    feeds = {name: array for name, array in zip(names, arrays, strict=True) if name}
    (wanted,) = ReferenceEvaluator(graph, opsets={"": 21}).run(None, feeds)
    (found,) = run(Node(0, 0, "", op_type, "", (), (), proto, proto), arrays, 21)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_movement_costs_no_memory() -> None:
    proto = helper.make_node("Slice", ["x", "b", "e"], ["y"])
    (found,) = run(Node(0, 0, "", "Slice", "", (), (), proto, proto), [X, ints(1), ints(2)], 21)
    assert np.shares_memory(found, X)
