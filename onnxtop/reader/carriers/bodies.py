"""What the bodies of If, Loop, Scan and SequenceMap are handed, and hand on: to the next round, and out."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property

from onnxtop.reader.model import Model, Node, Subgraph, Value
from onnxtop.reader.ops.tables import IN_BODIES


class Bodies:
    """The bodies that ONNX's own operations run."""

    def __init__(self, model: Model) -> None:
        self._held = [
            (node, body)
            for node, bodies in model.bodies.items()
            if (node.domain, node.op_type) in {*IN_BODIES, ("", "If")}
            for body in bodies
        ]
        self._holders = frozenset(node.index for node, _ in self._held)

    def holds(self, node: Node) -> bool:
        """Tell whether a node runs bodies."""
        return node.index in self._holders

    @cached_property
    def begins(self) -> Mapping[tuple[int, int], list[Value]]:
        """What an operand is called in a body, by the node's index and the operand's place."""
        begins: defaultdict[tuple[int, int], list[Value]] = defaultdict(list)
        for node, body in self._held:
            for place, begin in enumerate(body.inputs):
                begins[node.index, place].append(begin)
        return begins

    @cached_property
    def sources(self) -> Mapping[Value, list[Value]]:
        """What a value is that a body begins with, or a node with bodies makes, by what it is called."""
        sources: defaultdict[Value, list[Value]] = defaultdict(list)
        for value, source in (pair for node, body in self._held for pair in _handed_on(node, body)):
            if source is not None:
                sources[value].append(source)
        return sources


def _handed_on(node: Node, body: Subgraph) -> Iterator[tuple[Value, Value | None]]:
    """Yield what a body and its node hand on: what it is called there, and what it was."""
    yield from zip(body.inputs, node.inputs, strict=False)
    yield from ((body.inputs[entry], body.outputs[exit_]) for exit_, entry in body.rounds.items())
    first = 1 if node.op_type == "Loop" else 0  # that it goes on is no result
    for place, value in node.placed():
        if first + place < len(body.outputs):
            yield value, body.outputs[first + place]
