"""A model on its way to being run, and what its passes share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnx import NodeProto, TensorProto, numpy_helper

from onnxtop.gradient.graph import Array, Graph, copied
from onnxtop.reader.declared import Declared
from onnxtop.reader.protos import constant_value, rename

if TYPE_CHECKING:
    from onnxtop.loss.parameters import Parameter  # loads half of the reader: not for what only runs models


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model as a graph of this package.

    Attributes
    ----------
    graph
        Nodes, and all constants but the parameters.
    inputs, outputs
        As the model declares them.
    parameters, values
        The parameters that were taken out, and their arrays as float32.
    ties
        Parameters that are used several times, with how often.
    """

    graph: Graph
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    parameters: tuple["Parameter", ...] = ()
    values: tuple[Array, ...] = ()
    ties: Mapping[str, int] = field(default_factory=dict)


def take_in(graph: Graph, node: NodeProto) -> None:
    """Add a node to a graph; what a Constant node holds, and no sparse one any more, becomes a constant."""
    held = constant_value(node)
    if isinstance(held, TensorProto):
        graph.hold(node.output[0], numpy_helper.to_array(held))
    else:
        graph.nodes.append(node)


def renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """Return a copy of a node with other names for some values, in its bodies too."""
    copy = copied(node)
    rename(copy, names)
    return copy
