"""Nodes that are no call of their operation are refused by name before anything else reads them."""

from pathlib import Path

import onnx
import pytest
from onnx import NodeProto, helper

from onnxtop.errors import ModelError
from onnxtop.loss.prepare.sound import refuse_unsound

OPSETS = {"": 17}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Add", ["x"], ["y"]), r"wanted Add 'y' with 2 to 2 operands, found 1"),
        (helper.make_node("Relu", ["x", "x"], ["y"]), "with 1 to 1 operands, found 2"),
        (helper.make_node("Relu", ["x"], [], name="lost"), "wanted Relu 'lost' with 1 to 1 results, found 0"),
        (helper.make_node("Split", ["x"], [], name="split"), "results, found 0"),
        (helper.make_node("BatchNormalization", ["x", "s"], ["y"]), "with 5 to 5 operands, found 2"),
        (helper.make_node("MatMul", ["", "w"], ["y"]), r"with its operand 0 \(A\), found none"),
        (helper.make_node("If", ["c"], ["y"]), "with an attribute else_branch of the type GRAPH, found none"),
        (helper.make_node("Gemm", ["a", "b"], ["y"], transB=1.5), "transB of the type INT, found FLOAT"),
        (helper.make_node("Cast", ["x"], ["y"]), "with an attribute to of the type INT, found none"),
    ],
)
def test_a_node_that_is_no_call(node: NodeProto, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        refuse_unsound([node], OPSETS)
    body = helper.make_graph([node], "body", [], [])
    outer = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    with pytest.raises(ModelError, match=message):
        refuse_unsound([outer], OPSETS)


def test_what_is_sound_or_unknown_passes() -> None:
    nodes = [
        helper.make_node("Clip", ["x", "", "high"], ["y"]),
        helper.make_node("Sum", ["x"] * 9, ["y"]),
        helper.make_node("Anything", [], [], domain="somebody.elses"),
        helper.make_node("Unheard", [], []),
    ]
    refuse_unsound(nodes, OPSETS)
    refuse_unsound(nodes, {"": 2**62})


def test_all_sample_models_pass(samples: Path) -> None:
    for path in samples.rglob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        opsets = {item.domain: item.version for item in model.opset_import}
        refuse_unsound(model.graph.node, opsets)
