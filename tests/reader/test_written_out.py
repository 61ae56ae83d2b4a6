"""Products written out as a Mul and a sum: in every form the weights are skipped, with a reason, and counted.

Each form is run, and its answer compared with that of the product, up to one factor.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto

from onnxtop.auditing.story import audit
from onnxtop.reader.layer import Layer, Skipped
from tests.models import check_consistent, layers_of, model, node, only_skipped, run, save, weights

W = weights(6, 4)
HELD: dict[str, Any] = {
    "w": W,
    "one": np.array([1]),
    "last": np.array([-1]),
    "first": np.array([0]),
    "sizes": np.array([6, 4]),
    "two": np.float32(2),
    "rows": np.full((6, 1), 4, np.float32),
}
MUL = node("Mul", "u w", "p")


def _sum(value: str, made: str = "y", op: str = "ReduceSum") -> NodeProto:
    return node(op, f"{value} last", made, keepdims=0)


FORMS: dict[str, tuple[list[NodeProto], float]] = {
    "a sum": ([MUL, _sum("p")], 1),
    "the weights first": ([node("Mul", "w u", "p"), _sum("p")], 1),
    "a mean": ([MUL, _sum("p", op="ReduceMean")], 1 / 4),
    "an Einsum of one operand": ([MUL, node("Einsum", "p", equation="boi->bo")], 1),
    "an Einsum whose axes have no letters": ([MUL, node("Einsum", "p", equation="...i->...")], 1),
    "something between": ([MUL, node("Identity", "p", "q"), node("Neg", "q", "r"), _sum("r")], -1),
    "scales between": ([MUL, node("Mul", "p two", "q"), node("Div", "q rows", "r"), _sum("r")], 1 / 2),
    "two sums": ([MUL, _sum("p", "s"), _sum("p", "t", "ReduceMean"), node("Add", "s t", "y")], 5 / 4),
    "a copy of the weights a sample": (
        [
            node("Shape", "x", "batch", start=0, end=1),
            node("Concat", "batch sizes", "all", axis=0),
            node("Expand", "w all", "copies"),
            node("Mul", "u copies", "p"),
            _sum("p"),
        ],
        1,
    ),
    "weights that are computed": (
        [node("Reshape", "flat sizes", "v"), node("Neg", "v", "n"), node("Mul", "u n", "p"), _sum("p")],
        -1,
    ),
}


def _model(nodes: Sequence[NodeProto], outputs: Sequence[str] = ("y",), batch: Any = "n") -> ModelProto:
    nodes = [node("Unsqueeze", "x one", "u"), *nodes]
    used = {name for item in nodes for name in item.input}
    held = {name: array for name, array in {**HELD, "flat": W.ravel()}.items() if name in used}
    return model(nodes, held, {"x": (batch, 4)}, outputs)


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_a_product_in_any_form_is_skipped_and_counted(form: str, batch: Any, tmp_path: Path) -> None:
    nodes, factor = FORMS[form]
    proto = _model(nodes, batch=batch)
    x = weights(batch if isinstance(batch, int) else 3, 4, seed=1)
    np.testing.assert_allclose(run(proto, x=x), factor * x @ W.T, rtol=1e-5)
    path = save(proto, tmp_path)
    found = only_skipped(path)
    known = "Einsum" in form and batch == 1  # all that is not 1 in the product is the weights'
    reason = (
        "changes with the input in Mul" if known else "a product written out as Mul and a sum is not read"
    )
    assert (found.parameters, found.reason) == (W.size, reason)
    report = audit(path)
    check_consistent(report)
    assert (report.coverage.parameters_total, report.coverage.parameters_analysed) == (W.size, 0)


def test_a_layer_of_one_output(tmp_path: Path) -> None:
    nodes = [node("Mul", "x v", "p"), node("Abs", "p", "q"), _sum("q", op="ReduceMean")]
    found = only_skipped(
        save(model(nodes, {"v": weights(4), "last": HELD["last"]}, {"x": ("n", 4)}), tmp_path)
    )
    assert found.parameters == 4


NO_PRODUCTS: dict[str, tuple[list[NodeProto], list[str]]] = {
    "the factors are given out as well": ([MUL, _sum("p", "y")], ["y", "p"]),
    "a normalisation follows": (
        [MUL, node("ReduceMean", "p last", "m"), node("Sub", "p m", "y")],
        ["y"],
    ),
    "another axis is summed": ([MUL, node("ReduceSum", "p first", "y", keepdims=0)], ["y"]),
    "an axis that one factor does not have is summed": (
        [MUL, node("ReduceMean", "p one", "y", keepdims=0)],
        ["y"],
    ),
    "the greatest is taken": ([MUL, _sum("p", op="ReduceMax")], ["y"]),
    "the axes are not known": ([MUL, node("ReduceSum", "p where", "y", keepdims=0)], ["y"]),
    "nothing is summed": ([MUL, node("Einsum", "p", equation="boi->bio")], ["y"]),
    "a diagonal is taken": (
        [MUL, node("MatMul", "p square", "r"), node("Einsum", "r", equation="bii->b")],
        ["y"],
    ),
}


@pytest.mark.parametrize("what", NO_PRODUCTS)
def test_what_is_multiplied_and_not_summed_away_is_none(what: str, tmp_path: Path) -> None:
    nodes, outputs = NO_PRODUCTS[what]
    proto = _model(nodes, outputs)
    if "where" in (name for item in nodes for name in item.input):
        proto.graph.input.extend(model([], inputs={"where": (1,)}).graph.input)
        proto.graph.input[-1].type.tensor_type.elem_type = 7
    if any("square" in item.input for item in nodes):
        proto.graph.initializer.extend(model([], {"square": weights(4, 6)}).graph.initializer)
    found = layers_of(save(proto, tmp_path))
    assert [item.weight for item in found if isinstance(item, Layer)] == ["square"] * ("diagonal" in what)
    assert not [item for item in found if isinstance(item, Skipped)]


@pytest.mark.parametrize("equation", ["", "boi->b o", "b->b", "abcd->a", "bo...i"])
def test_an_equation_that_does_not_fit_is_no_error(equation: str, tmp_path: Path) -> None:
    """It is told by its axes alone: whatever stands there, the file is read."""
    found = layers_of(save(_model([MUL, node("Einsum", "p", equation=equation)]), tmp_path))
    assert all(isinstance(item, Skipped) for item in found)
