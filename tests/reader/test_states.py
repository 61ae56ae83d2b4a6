"""States that a model hands to itself: inputs and outputs that belong together."""

import pytest
from onnx import TensorProto, helper

from onnxtop.reader.lanes.states import paired_states
from onnxtop.reader.loading import load


def cache(outputs):
    """Return a model whose If gives something else and a cache that grew, under these names."""
    info, float_ = helper.make_tensor_value_info, TensorProto.FLOAT

    def branch(name):
        nodes = [
            helper.make_node("Neg", ["x"], [f"{name}.other"]),
            helper.make_node("Concat", ["a", "x"], [f"{name}.grown"], axis=0),
        ]
        ends = [info(f"{name}.{what}", float_, None) for what in ("other", "grown")]
        return helper.make_graph(nodes, name, [], ends)

    choice = helper.make_node("If", ["c"], outputs, then_branch=branch("then"), else_branch=branch("else"))
    inputs = [info("a", float_, ["n", 4]), info("x", float_, [1, 4]), info("c", TensorProto.BOOL, [])]
    graph = helper.make_graph([choice], "g", inputs, [info("b", float_, ["m", 4])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("outputs", [["y", "b"], ["", "b"]], ids=["named", "left out"])
def test_a_cache_that_an_if_hands_on_whatever_stands_before_it(outputs):
    model = load(cache(outputs))
    ends = [value for value in model.outputs if value is not None]
    pairs = paired_states(model, model.scope, model.inputs, ends, {})
    assert {before.name: after.name for before, after in pairs.items()} == {"a": "b"}
