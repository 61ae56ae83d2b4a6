"""What all pictures of a layer graph say of its nodes, and which of these share an entry."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable

from onnxtop.render.text import TIMES
from onnxtop.results.graph import GraphNode, LayerGraph
from onnxtop.results.words import counted

_NOUNS = {
    "layer": "layer",
    "skipped": "skipped layer",
    "join": "join",
    "hub": "hub",
    "state": "state",
    "vocabulary": "table",
    "input": "input",
    "output": "output",
}
"""What the nodes of a kind are called, in the order in which they are counted."""


def what(node: GraphNode) -> str:
    """Say in two or three words what the node is; holds an operator's name as it is in the file."""
    if node.kind == "layer":
        return f"{node.op_type} {node.n_in} {TIMES} {node.n_out}"
    if node.kind == "skipped":
        return f"{node.op_type}, skipped"
    return node.kind if node.neurons is None else f"{node.kind}, {node.neurons:,}"


def lines(node: GraphNode) -> list[str]:
    """Return what a label says of a node: its name, what it is, and why it is cut off, if it is."""
    return [node.name, what(node), *([node.remark] if node.remark else [])]


def counts(graph: LayerGraph) -> str:
    """Count the nodes by kind.

    >>> counts(LayerGraph("m", "exact", (), {"layer:a": GraphNode("layer", "a")}, ()))
    '1 layer'
    """
    many = Counter(node.kind for node in graph.nodes.values())
    return ", ".join(counted(many[kind], noun) for kind, noun in _NOUNS.items() if many[kind])


def groups(graph: LayerGraph, mark: Callable[[GraphNode], Hashable], many: int) -> list[list[str]]:
    """Put nodes together that have one mark, are one thing, and have the same before and after them.

    The experts of a layer, the gates of a cell: where there are not so many of them, each is alone. Groups
    and their members stand in the order of the flow.
    """
    tails, heads = defaultdict(set), defaultdict(set)
    for tail, head in graph.edges:
        heads[tail].add(head)
        tails[head].add(tail)
    alike = defaultdict(list)
    for key, node in graph.nodes.items():
        around = frozenset(tails[key]), frozenset(heads[key])
        alike[mark(node), what(node), node.remark, around].append(key)
    parts = (keys if len(keys) >= many else [key] for keys in alike.values() for key in keys)
    return list({part[0]: part for part in parts}.values())
