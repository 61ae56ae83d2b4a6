"""The layer graph: layers, inputs, outputs and what joins them, where neurons of one feed those of another.

Every report asks it who reaches whom, which `reader.search` answers. What is drawn of it needs more of a
graph, and hands it over to networkx.
"""

from collections.abc import Collection, Iterator


class Flow:
    """Nodes by their keys, ``kind:name``, with edges between them; both stay in the order in which they came.

    Examples
    --------
    >>> flow = Flow()
    >>> flow.join(flow.add("input", "x"), flow.add("layer", "fc"))
    >>> flow.join("layer:fc", flow.add("output", "y"))
    >>> list(flow.edges), list(flow.behind("output:y")), list(flow.of("layer"))
    ([('input:x', 'layer:fc'), ('layer:fc', 'output:y')], ['layer:fc'], ['layer:fc'])
    >>> list(flow.without("layer").nodes)
    ['input:x', 'output:y']
    """

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[str, str]] = {}
        self._ahead: dict[str, dict[str, None]] = {}
        self._behind: dict[str, dict[str, None]] = {}

    def add(self, kind: str, name: str) -> str:
        """Add a node, if it is not there, and return its key."""
        key = f"{kind}:{name}"
        if key not in self.nodes:
            self.nodes[key], self._ahead[key], self._behind[key] = (kind, name), {}, {}
        return key

    def join(self, tail: str, head: str) -> None:
        """Add an edge between two nodes, if it is not there."""
        self._ahead[tail][head] = self._behind[head][tail] = None

    @property
    def edges(self) -> Iterator[tuple[str, str]]:
        """All edges, those of the first node first."""
        return ((tail, head) for tail, heads in self._ahead.items() for head in heads)

    def ahead(self, key: str) -> Collection[str]:
        """Return the nodes that a node feeds."""
        return self._ahead[key]

    def behind(self, key: str) -> Collection[str]:
        """Return the nodes that feed a node."""
        return self._behind[key]

    def of(self, *kinds: str) -> Iterator[str]:
        """Yield the nodes of some kinds."""
        return (key for key, (kind, _) in self.nodes.items() if kind in kinds)

    def without(self, kind: str) -> "Flow":
        """Return the graph without the nodes of a kind, and without the edges at these."""
        rest = Flow()
        for node in self.nodes.values():
            if node[0] != kind:
                rest.add(*node)
        for tail, head in self.edges:
            if tail in rest.nodes and head in rest.nodes:
                rest.join(tail, head)
        return rest
