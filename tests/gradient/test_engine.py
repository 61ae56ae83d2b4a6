"""The walk: sums over uses, what the loss does not depend on, and errors before any work."""

import numpy as np
import pytest
from onnx import helper

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import differentiate
from onnxtop.gradient.graph import Graph, Tensor
from onnxtop.gradient.oracle import directional_derivative, gradient_by_differences
from onnxtop.gradient.rules import RULES
from tests.gradient.rules import opened


def fed(graph: Graph, name: str, *shape: int) -> Tensor:
    return graph.declare(name, shape, np.float32)


def gradients(graph: Graph, loss: Tensor, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    found = differentiate(graph, loss.name, list(feeds), RULES)
    names = [tensor.name for tensor in found.values()]
    return dict(zip(found, opened(graph.to_proto(feeds, names)).run(names, feeds), strict=True))


def test_uses_of_a_value_add_up() -> None:
    graph = Graph()
    x = fed(graph, "x", 3)
    loss = (x * x + x * 3.0 + x).sum([0])
    value = np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(gradients(graph, loss, x=value)["x"], 2 * value + 4)


def test_what_the_loss_does_not_depend_on_has_gradient_zero() -> None:
    graph = Graph()
    x, y = fed(graph, "x", 2), fed(graph, "y", 2)
    unused = y * 2.0
    assert unused.shape == (2,)
    found = gradients(graph, x.sum([0]), x=np.ones(2, np.float32), y=np.ones(2, np.float32))
    np.testing.assert_array_equal(found["x"], [1, 1])
    np.testing.assert_array_equal(found["y"], [0, 0])


def odd(graph: Graph, x: Tensor, op: str = "Acosh", **attributes: object) -> Tensor:
    return graph.emit(op, x, shape=x.shape, **attributes)


def test_missing_rules_are_counted() -> None:
    graph = Graph()
    x = fed(graph, "x", 2)
    loss = odd(graph, odd(graph, x)).sum([0])
    with pytest.raises(ModelError, match=r"Acosh '.*' has no gradient rule; .* \(and 1 more\)"):
        differentiate(graph, loss.name, ["x"], RULES)


def test_rules_of_what_does_not_depend_on_a_parameter_are_not_needed() -> None:
    graph = Graph()
    x, y = fed(graph, "x", 2), fed(graph, "y", 2)
    loss = (odd(graph, y) * x).sum([0])
    assert set(differentiate(graph, loss.name, ["x"], RULES)) == {"x"}


def test_unknown_attribute_is_named() -> None:
    graph = Graph()
    x = fed(graph, "x", 2)
    graph.nodes.append(helper.make_node("Relu", ["x"], ["y"], "act", leak=0.1))
    loss = graph.declare("y", x.shape, x.dtype).sum([0])
    with pytest.raises(ModelError, match="rule of Relu 'act' does not know its attribute 'leak'"):
        differentiate(graph, loss.name, ["x"], RULES)


def test_input_without_adjoint_is_named() -> None:
    graph = Graph()
    x, low = fed(graph, "x", 2), fed(graph, "low")
    loss = graph.emit("Clip", x, low, shape=(2,)).sum([0])
    with pytest.raises(ModelError, match=r"gradient of Clip '.*' for its input 1 \('low'\)"):
        differentiate(graph, loss.name, ["low"], RULES)


def test_constants_are_shared_and_idle_steps_leave_no_node() -> None:
    graph = Graph()
    x = fed(graph, "x", 2, 3)
    assert graph.constant(1.0).name == graph.constant(1.0).name
    same = x.reshape((2, 3)).transpose((0, 1)).expand((2, 3)).sum([]).slice(1, 0, 3).pad([0, 0], [0, 0])
    assert same.name == "x"
    assert graph.nodes == []


def test_stencil_is_exact_for_cubics() -> None:
    def cubic(x: np.ndarray) -> float:
        return float(x[0] ** 3 + 2 * x[1] ** 2)

    point, direction = np.array([2.0, 3.0]), np.array([1.0, -1.0])
    assert directional_derivative(cubic, point, direction, 0.5) == pytest.approx(0)
    np.testing.assert_allclose(gradient_by_differences(cubic, point), [12, 12])
