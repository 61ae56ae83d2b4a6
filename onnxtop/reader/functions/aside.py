"""Nodes that call nothing, kept out of the graph while onnx inlines what the others call."""

import itertools
from collections.abc import Collection, Mapping

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from onnxtop.reader.functions.calls import Key, all_nodes, called
from onnxtop.reader.protos import all_names, with_inner

_SUFFIX = "__"
"""What names have in them that onnx gives."""


class Aside:
    """Keeps nodes that call nothing out of the graph, so that a round of inlining goes through calls alone.

    One node stands for each run of them, and names what onnx must not call anything else by.
    """

    def __init__(self, proto: ModelProto, functions: Mapping[Key, FunctionProto]) -> None:
        nodes = all_nodes(proto, functions)
        taken = {*(node.domain for node in with_inner(nodes)), *(domain for domain, _, _ in functions)}
        self._domain = next(
            name for name in map("onnxtop.run{}".format, itertools.count()) if name not in taken
        )
        self._runs: list[list[GraphProto]] = []

    def take(self, graph: GraphProto, calls: Collection[Key]) -> None:
        """Take the nodes that neither are calls nor hold any."""
        left = GraphProto()
        for is_called, nodes in itertools.groupby(graph.node, lambda node: bool(called([node], calls))):
            if is_called:
                left.node.extend(nodes)
            else:
                left.node.append(self._run([*nodes]))
        del graph.node[:]
        graph.node.extend(left.node)

    def give_back(self, graph: GraphProto) -> None:
        """Put all nodes back to their places."""
        if not self._runs:
            return
        whole = GraphProto()
        for node in graph.node:
            if node.domain == self._domain:
                for run in self._runs[int(node.op_type)]:
                    whole.node.extend(run.node)
            else:
                whole.node.append(node)
        del graph.node[:]
        graph.node.extend(whole.node)
        self._runs.clear()

    def _run(self, nodes: list[NodeProto]) -> NodeProto:
        kept: list[GraphProto] = []
        run = NodeProto(domain=self._domain, op_type=str(len(self._runs)))
        for earlier, some in itertools.groupby(nodes, lambda node: node.domain == self._domain):
            if earlier:
                for node in some:
                    kept += self._runs[int(node.op_type)]
                    run.input.extend(node.input)
            else:
                kept.append(GraphProto(node=some))
                run.input.extend(name for name in all_names(kept[-1]) if _SUFFIX in name)
        self._runs.append(kept)
        return run
