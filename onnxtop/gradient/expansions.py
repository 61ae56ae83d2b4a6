"""Operations written out in others before the walk: what has no rule of its own gets the rules of its parts.

An expansion takes its `RuleCall` and the node's inputs, like a rule, and returns the outputs as tensors
(None for an output that it does not make).
"""

from collections.abc import Iterable

from onnx import NodeProto

from onnxtop.gradient import attention, recurrent
from onnxtop.gradient.engine import RuleCall, Table, attributes_of, key_of
from onnxtop.gradient.graph import Graph, reads


def expand(graph: Graph, table: Table, parameters: Iterable[str] | None = None) -> Graph:
    """Return the graph with some operations written out.

    ``parameters`` limits it to nodes that depend on one of them; None expands every node of the table.
    """
    varying = set(graph.shapes) if parameters is None else set(parameters)
    grown = graph.copy()
    grown.nodes = []
    for node in graph.nodes:
        depends = any(name in varying for name in reads(node))
        if parameters is not None and depends:
            varying.update(node.output)
        if key_of(node) in table and depends:
            _write_out(grown, node, table)
        else:
            kept = NodeProto()
            kept.CopyFrom(node)
            grown.nodes.append(kept)
    return grown


def _write_out(graph: Graph, node: NodeProto, table: Table) -> None:
    inputs = [graph.tensor(name) if name else None for name in node.input]
    call = RuleCall(graph, node, ())
    outputs = table[key_of(node)](call, *inputs, **attributes_of(node))
    for name, tensor in zip(node.output, outputs, strict=False):
        if name and tensor is not None:
            graph.nodes.append(NodeProto(op_type="Identity", input=[tensor.name], output=[name]))


EXPANSIONS: Table = {
    ("", "Attention"): attention.Attention,
    **{("", name): getattr(recurrent, name) for name in recurrent.__all__},
}
"""What is written out before a graph is differentiated."""
