"""What ONNX's inference would not come back from never gets there, in a model or by itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from onnxtop.reader.bounds import infer
from onnxtop.reader.loading import load
from onnxtop.reader.skeleton import infer_shapes, types_note
from tests.models import model, node, save

DEADLY: dict[str, tuple[str, dict[str, Any]]] = {
    "batch before the first": ("GatherND", {"batch_dims": -5}),
    "a NUL": ("Einsum", {"equation": "ij\0->ij"}),
    "dots twice": ("Einsum", {"equation": "...ij...->ij"}),
    "a single dot": ("Einsum", {"equation": "ij.->ij"}),
    "a dash": ("Einsum", {"equation": "ij-"}),
    "many terms, and no end": ("Einsum", {"equation": ",".join(["aa"] * 100) + "!"}),  # not in 2^100 ways
    "one term, and no end": ("Einsum", {"equation": "a" * 10**6 + "!"}),
    "many parts": ("Split", {"num_outputs": 2**62}),
}


OPERANDS = [((2, 4), TensorProto.FLOAT, None), ((1, 2), TensorProto.INT64, None)]


def inputs(op_type: str) -> str:
    return "x i" if op_type == "GatherND" else "x"


@pytest.mark.parametrize(("op_type", "attributes"), DEADLY.values(), ids=DEADLY)
def test_one_that_is_deadly(op_type: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    deadly = node(op_type, inputs(op_type), "h", **attributes)
    nodes = [node("Relu", "x", "r"), deadly, node("Identity", "h", "y")]
    loaded = load(save(model(nodes, {"i": np.array([[0, 1]])}, {"x": [2, 4]}), tmp_path))
    assert infer_shapes(loaded)["x"] == (2, 4)
    assert (types_note(loaded) or "").startswith(f"{op_type} with attributes")
    with pytest.raises(ValueError, match=f"{op_type} with attributes"):
        infer(deadly, OPERANDS[: len(deadly.input)], 18)


@pytest.mark.parametrize(
    ("equation", "shape"),
    [("ij->ij", (2, 4)), ("ij", (2, 4)), ("i j -> j i", (4, 2)), ("...j->...", (2,)), ("i...->...", (4,))],
)
def test_an_equation_as_it_should_be(equation: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = [node("Einsum", "x", "h", equation=equation), node("Identity", "h", "y")]
    assert infer_shapes(load(save(model(nodes, None, {"x": [2, 4]}), tmp_path)))["h"] == shape


@pytest.mark.parametrize("last", [-1, -3, -(2**40)])
def test_places_of_a_negative_number_of_axes(last: int, tmp_path: Path) -> None:
    proto = model([node("GatherND", "x i", "h"), node("Identity", "h", "y")], None, {"x": [2, 4]})
    proto.graph.input.add(name="i").type.tensor_type.elem_type = TensorProto.INT64
    for size in (1, last):
        proto.graph.input[-1].type.tensor_type.shape.dim.add(dim_value=size)
    assert infer_shapes(load(save(proto, tmp_path)))["i"] == (1, None)
    gather = [((2, 4), TensorProto.FLOAT, None), ((1, last), TensorProto.INT64, None)]
    assert set(infer(proto.graph.node[0], gather, 18)) == {"h"}
