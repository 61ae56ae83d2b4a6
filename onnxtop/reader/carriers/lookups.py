"""Which tables of rows hold weights: an embedding does, and one that modulates in many places does not.

An embedding's rows are carried forward into a product, or are the result. Rotary embeddings turn queries and
keys by tables, biases of positions are added to scores: such a table modulates what it meets there.
"""

from dataclasses import dataclass, field
from itertools import islice

from onnxtop.reader.carriers.beginnings import Beginnings
from onnxtop.reader.carriers.chains import Chains
from onnxtop.reader.carriers.choices import is_lookup
from onnxtop.reader.carriers.spanning import is_weighted, mixes
from onnxtop.reader.carriers.written_out import WrittenOut
from onnxtop.reader.model import Node, Value
from onnxtop.reader.search import folded, gathered


@dataclass(eq=False)
class Lookups:
    """Tells what the tables of a model are; ``chains`` are those of what is wide."""

    chains: Chains
    beginnings: Beginnings
    written_out: WrittenOut
    _scored: dict[Value, frozenset[str]] = field(default_factory=dict)
    _ahead: dict[Value, frozenset[str]] = field(default_factory=dict)
    _moving: dict[Value, frozenset[str]] = field(default_factory=dict)
    _ranks: dict[int, tuple[set[Value], set[Value]]] = field(default_factory=dict)
    _outranking: dict[Value, frozenset[int]] = field(default_factory=dict)
    _gated: dict[Value, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model, self.constants, self.spanning = (
            self.chains.model,
            self.chains.constants,
            self.chains.spanning,
        )

    def is_of_weights(self, node: Node) -> bool:
        """Tell whether rows of floats or codes are looked up, by more than their number."""
        if not is_lookup(node, self.spanning.shapes):
            return False
        if node.part:
            return True  # the table of a fused operation
        table, index = node.inputs[0], node.inputs[1]
        if table is None or index is None or len(self.spanning.shapes.dims(table) or (0, 0)) < 2:
            return False
        return self.chains.hold_weights(table) and not self.beginnings.numbers_positions(index)

    def is_embedding(self, node: Node) -> bool:
        """Tell whether a table of rows is looked up to be carried into a product, or as the result itself."""
        index = node.inputs[1]
        ahead = frozenset[str]().union(
            *(gathered(made, self._carried_on, self._end, self._ahead) for made in node.outputs)
        )
        chosen = index is not None and "product" in self.beginnings.kinds(index)
        return bool(node.part) or "product" in ahead or ("result" in ahead and not chosen)

    def is_gate(self, node: Node) -> bool:
        """Tell whether all that an index looks up multiplies activations in one place alone.

        Rotary embeddings turn queries and keys, each by two tables or by two halves of one.
        """
        index = node.inputs[1]
        assert index is not None
        if index not in self._gated:
            users = (use.node for use in self.model.users[index])
            lookups = [user for user in users if is_lookup(user, self.spanning.shapes)]
            made = (value for lookup in lookups for value in lookup.outputs)
            places = (folded(value, self._carried_on, self._outranked, self._outranking) for value in made)
            self._gated[index] = frozenset[int]().union(*places)
        return len(self._gated[index]) == 1

    def _outranked(self, value: Value, beyond: list[frozenset[int]]) -> frozenset[int]:
        """Return up to two Muls by activations that a value is carried to: more make no difference."""
        uses = (use.node for use in self.model.users.get(value, ()) if use.node.op_type == "Mul")
        ranked = ((node, *self._ranked(node)) for node in uses)
        own = {node.index for node, carriers, above in ranked if value in carriers and above - {value}}
        return frozenset(islice(sorted(own.union(*beyond)), 2))

    # What lies ahead of a table.

    def _end(self, value: Value) -> frozenset[str]:
        """Return whether a value is a result, and whether it goes into what multiplies it, or may."""
        ends = {"result"} if value in self.model.results else set()
        for use in self.model.users.get(value, ()):
            if mixes(use.node) or self.written_out.is_product(use.node):
                ends.add("product")
        return frozenset(ends)

    def _carried_on(self, value: Value) -> list[Value]:
        """Return what a value carries, unless there it only modulates another or is multiplied."""
        outputs: list[Value] = []
        if "product" in self._end(value):
            return outputs
        for node in dict.fromkeys(use.node for use in self.model.users.get(value, ())):
            carriers, above = self._ranked(node)
            if value in carriers and not above - {value}:
                outputs += node.outputs
        return outputs

    def _ranked(self, node: Node) -> tuple[set[Value], set[Value]]:
        """Return a node's carriers, and one or two that outrank what they tie with, if any do."""
        if node.index not in self._ranks:
            each = dict.fromkeys(self.spanning.carriers(node))
            above = (value for value in each if len(each) > 1 and self._outranks(node, value))
            self._ranks[node.index] = set(each), set(islice(above, 2))
        return self._ranks[node.index]

    def _outranks(self, node: Node, other: Value) -> bool:
        """Tell whether a lookup only modulates what it ties with: an activation by Mul, scores by Add.

        What no product made of the input is a mask or a weighing of entries, and has nothing to carry on.
        """
        if node.op_type in ("Mul", "Div"):
            moves = self.chains.chain(other) is None and {"input", "mixed"} <= self.beginnings.kinds(other)
            return moves and not self._is_looked_up(other)
        return "scores" in gathered(other, self._first_carrier, self._scores, self._scored)

    # What lies behind what it meets.

    def _scores(self, value: Value) -> frozenset[str]:
        """Return whether a value is the product of two activations."""
        node = self.model.producers.get(value)
        if node is None or not is_weighted(node) or any(item in self.constants for item in node.inputs[:2]):
            return frozenset()
        return frozenset({"scores"})

    def _first_carrier(self, value: Value) -> list[Value]:
        node = self.model.producers.get(value)
        return [] if node is None or is_weighted(node) else self.spanning.carriers(node)[:1]

    def _is_looked_up(self, value: Value) -> bool:
        """Tell whether a value is carried by tables alone: two embeddings are multiplied as equals."""
        return not gathered(value, self._behind_carriers, self._moves, self._moving)

    def _moves(self, value: Value) -> frozenset[str]:
        """Return whether a value comes from what no constant carries."""
        ends = value in self.constants or self.spanning.is_leaf(value) or self._behind_carriers(value)
        return frozenset() if ends else frozenset({"moves"})

    def _behind_carriers(self, value: Value) -> list[Value]:
        node = None if value in self.constants else self.model.producers.get(value)
        return self.spanning.carriers(node) if node is not None else []
