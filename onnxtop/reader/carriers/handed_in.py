"""What bodies are handed: what they hand on unchanged is a constant in them, and seen where it is used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from onnxtop.reader.carriers.bodies import Bodies
from onnxtop.reader.carriers.chains import Chains
from onnxtop.reader.carriers.shapes import wide_axes
from onnxtop.reader.carriers.spanning import is_weighted, mixes
from onnxtop.reader.carriers.written_out import WrittenOut
from onnxtop.reader.model import Node, Value
from onnxtop.reader.ops.tables import CARRY_NOTHING, IN_BODIES
from onnxtop.reader.search import reached


class _Becoming(NamedTuple):
    """Values that become data of a product whose weight is known, and those that become factors of others."""

    data: frozenset[Value]
    factors: frozenset[Value]


@dataclass(eq=False)
class HandedIn:
    """Tells which operands of nodes with bodies are weights there that nobody else has seen.

    ``chains`` are those of what is wide, ``found`` the places of the weights of all other nodes.
    """

    chains: Chains
    written_out: WrittenOut
    found: Mapping[int, Sequence[int]]

    def __post_init__(self) -> None:
        self.model, self.constants = self.chains.model, self.chains.constants
        self._bodies = Bodies(self.model)

    def places(self, node: Node) -> Iterator[int]:
        """Yield the places of what a body changes, or takes apart, but for data of the layers in it."""
        for place, value in enumerate(node.inputs):
            if value is None or place < IN_BODIES[node.domain, node.op_type]:
                continue
            begins = self._bodies.begins.get((node.index, place), [])
            if self._is_wide(value) and self.chains.hold_weights(value) and not self._is_seen(begins):
                yield place

    def _is_wide(self, value: Value) -> bool:
        dims = self.chains.spanning.shapes.dims(value)  # a sequence has none
        return (self.chains.spread(value) if dims is None else len(wide_axes(dims))) > 1

    def _is_seen(self, begins: Sequence[Value]) -> bool:
        """Tell whether what is handed in is constant in a body, or data there, and no factor besides."""
        known = (begin in self.constants or begin in self._becoming.data for begin in begins)
        return bool(begins) and all(known) and self._becoming.factors.isdisjoint(begins)

    @cached_property
    def _becoming(self) -> _Becoming:
        """What becomes the data of products whose weight was found, and a factor of any other."""
        data: list[Value] = []
        factors: list[Value] = []
        for node in filter(self._may_take, self.model.nodes):
            weights = self.found.get(node.index, ())
            others = (value for place, value in enumerate(node.inputs) if place not in weights)
            moving = [value for value in others if value is not None and value not in self.constants]
            (data if weights else factors).extend(moving)
        return _Becoming(*(frozenset(reached(ends, self._was)) for ends in (data, factors)))

    def _may_take(self, node: Node) -> bool:
        """Tell whether a node multiplies operands of which one changes, in whatever way."""
        if self._bodies.holds(node) or self.chains.spanning.is_made(node):
            return False
        return self.written_out.is_product(node) or mixes(node)

    def _was(self, value: Value) -> list[Value]:
        """Return what a value is made of, but for constants that others are combined with."""
        node = self.model.producers.get(value)
        if node is None or self._bodies.holds(node):
            return self._bodies.sources.get(value, [])
        if (node.domain, node.op_type) in CARRY_NOTHING or (
            is_weighted(node) and not self.chains.spanning.is_made(node)
        ):
            return []
        own = [item for item in node.inputs if item is not None]
        return own if value in self.constants else [item for item in own if item not in self.constants]
