"""The walk from the loss back to the parameters. Names no operation: that is what the rules are for."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from onnx import AttributeProto, NodeProto, helper

from onnxtop.errors import ModelError
from onnxtop.gradient.graph import Array, Graph, Tensor, ancestors, descendants

Adjoints: TypeAlias = "Sequence[Tensor | None]"
"""What a rule returns: d loss / d input for each input; None where there is none (indices, shapes)."""

Rule: TypeAlias = Callable[..., Adjoints]
"""A rule takes its `RuleCall`, the node's inputs, and the node's attributes as keywords."""

Key: TypeAlias = tuple[str, str]
"""Domain ("" for ONNX's own) and op_type."""

Table: TypeAlias = Mapping[Key, Rule]


@dataclass(frozen=True, eq=False)
class RuleCall:
    """A node as its rule sees it.

    Attributes
    ----------
    graph
        The graph that grows.
    node
        The node; a rule that needs an optional output asks ``output`` for it.
    adjoints
        d loss / d output for each output, None where the loss does not depend on it.
    """

    graph: Graph
    node: NodeProto
    adjoints: tuple[Tensor | None, ...]

    @property
    def dy(self) -> Tensor:
        """The adjoint of the first output."""
        first = self.adjoints[0]
        return self.y.zeros() if first is None else first

    @property
    def y(self) -> Tensor:
        """The first output."""
        return self.graph.tensor(self.node.output[0])

    def output(self, position: int, shape: Iterable[int], dtype: Any) -> Tensor:
        """Return an output that the model may have left unused, of this shape and type."""
        while len(self.node.output) <= position:
            self.node.output.append("")
        if not self.node.output[position]:
            self.node.output[position] = self.graph.fresh("output")
        return self.graph.declare(self.node.output[position], shape, dtype)


def key_of(node: NodeProto) -> Key:
    """Return what a node's rule is found by."""
    return ("" if node.domain == "ai.onnx" else node.domain), node.op_type


def attributes_of(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes, texts as str; subgraphs are left out."""
    found = {}
    for attribute in node.attribute:
        if attribute.type not in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            value = helper.get_attribute_value(attribute)
            found[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return found


def differentiate(graph: Graph, loss: str, parameters: Sequence[str], rules: Table) -> dict[str, Tensor]:
    """Add to a graph the nodes that compute d loss / d parameter; return those by parameter.

    Parameters
    ----------
    graph
        Grows by the nodes of the gradient.
    loss
        Name of a scalar.
    parameters
        Names of values that no node makes. One that the loss does not depend on has gradient zero.
    rules
        By domain and op_type.

    Raises
    ------
    ModelError
        An operation between a parameter and the loss has no rule; names all of them, before any work.
    """
    varying = descendants(graph.nodes, parameters)
    path, _ = ancestors(graph.nodes, [loss], lambda name: name in varying and _is_float(graph, name))
    if problems := _problems(path, rules):
        raise ModelError(problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else ""))
    adjoints: dict[str, list[Tensor]] = {loss: [graph.constant(1.0, graph.dtypes[loss])]}
    for node in reversed(path):
        call = RuleCall(graph, node, tuple(_total(adjoints.get(name)) for name in node.output))
        inputs = [graph.tensor(name) if name else None for name in node.input]
        found = rules[key_of(node)](call, *inputs, **attributes_of(node))
        for position, (name, adjoint) in enumerate(zip(node.input, found, strict=False)):
            if name in varying and adjoint is not None:
                adjoints.setdefault(name, []).append(_checked(adjoint, graph.tensor(name), node))
            elif name in varying and _is_float(graph, name):
                raise ModelError(
                    f"wanted the gradient of {described(node)} for its input {position} ({name!r}), which "
                    "the rule of this operation does not give; try finite differences"
                )
    totals = {name: _total(adjoints.get(name)) for name in parameters}
    return {name: graph.tensor(name).zeros() if t is None else t for name, t in totals.items()}


def _problems(path: Iterable[NodeProto], rules: Table) -> list[str]:
    found = []
    for node in path:
        rule = rules.get(key_of(node))
        if rule is None:
            found.append(
                f"wanted a gradient, but {described(node)} has no gradient rule; the loss can still be "
                "computed"
            )
        elif unknown := set(attributes_of(node)) - _known_attributes(rule):
            found.append(
                f"wanted a gradient, but the rule of {described(node)} does not know its attribute "
                f"{sorted(unknown)[0]!r}"
            )
    return found


def _known_attributes(rule: Rule) -> set[str]:
    parameters = inspect.signature(rule).parameters.values()
    return {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _total(parts: Sequence[Tensor] | None) -> Tensor | None:
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _checked(adjoint: Tensor, value: Tensor, node: NodeProto) -> Tensor:
    """Return an adjoint that fits its value; that one does not is a bug of its rule."""
    if (adjoint.shape, adjoint.dtype) != (value.shape, value.dtype):
        raise AssertionError(
            f"rule of {node.op_type}: adjoint {adjoint.shape} {adjoint.dtype} of {value.shape} {value.dtype}"
        )
    return adjoint


def _is_float(graph: Graph, name: str) -> bool:
    return name in graph.dtypes and graph.dtypes[name].kind in "fV"


def described(node: NodeProto) -> str:
    """Name a node in a message, whether it has a name or not."""
    op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"{op} {node.name or (node.output[0] if node.output else '')!r}"


def constant_of(tensor: Tensor | None) -> Array | None:
    """Return the value of an operand that must be constant, None if it is left out.

    Raises
    ------
    ModelError
        It depends on the data or on a parameter.
    """
    if tensor is None:
        return None
    if tensor.value is None:
        raise ModelError(
            f"wanted a constant where a gradient needs one, found {tensor.name!r}, which depends on the data"
        )
    return tensor.value
