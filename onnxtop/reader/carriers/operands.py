"""Which operands of a model carry weights, and the constants that these are, given or derived."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from onnxtop.reader.carriers.beginnings import Beginnings
from onnxtop.reader.carriers.chains import Chains, Claim
from onnxtop.reader.carriers.deriving import Deriving
from onnxtop.reader.carriers.handed_in import HandedIn
from onnxtop.reader.carriers.lookups import Lookups
from onnxtop.reader.carriers.shapes import wide_axes
from onnxtop.reader.carriers.spanning import factors, is_weighted
from onnxtop.reader.carriers.written_out import WrittenOut
from onnxtop.reader.model import Node, Value
from onnxtop.reader.ops.tables import IN_BODIES, SIDES


@dataclass(frozen=True, eq=False)
class Operand:
    """An operand that carries weights: a constant, given or derived, or why it cannot be computed.

    ``part`` names a matrix of a table of several.
    """

    position: int
    value: Value
    reason: str = ""
    part: str = ""


@dataclass(frozen=True)
class Operands:
    """The operands of a model that carry weights.

    ``found`` has them by the index of the node that uses them; ``passed`` are the nodes between them and the
    constants that they are made of.
    """

    found: Mapping[int, Sequence[Operand]]
    passed: Set[int]


def find_operands(chains: Mapping[Claim, Chains]) -> Operands:
    """Find the operands that carry weights, by the chains of a model."""
    search = _Search(chains)
    return Operands(search.found(), search.passed)


@dataclass(eq=False)
class _Search:
    chains: Mapping[Claim, Chains]
    passed: set[int] = field(default_factory=set)
    _taken: set[Value] = field(default_factory=set)
    _seen: defaultdict[Claim, set[Value]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        self._wide = self.chains["wide"]
        self._spanning = self._wide.spanning
        self._deriving = {claim: Deriving(chains) for claim, chains in self.chains.items()}
        self._written_out = WrittenOut(self._spanning)
        self._beginnings = Beginnings(self._wide.model, self._wide.constants)
        self._lookups = Lookups(self._wide, self._beginnings, self._written_out)

    def found(self) -> dict[int, list[Operand]]:
        found: dict[int, list[Operand]] = {}
        nodes, made = self._wide.model.nodes, self._spanning.is_made
        for node in nodes:
            if is_weighted(node) and not made(node):
                found[node.index] = list(self._of_sides(node))
        for node in nodes:
            if node.index not in self.passed and self._lookups.is_of_weights(node):
                found[node.index] = list(self._looked_up(node))
        places = {index: [operand.position for operand in each] for index, each in found.items()}
        handed = HandedIn(self._wide, self._written_out, places)
        for node in nodes:
            if (node.domain, node.op_type) in IN_BODIES:
                found[node.index] = list(self._handed_in(node, handed))
        for node in nodes:
            if is_weighted(node) and made(node) and node.index not in self.passed:
                found[node.index] = list(self._modulating(node))
            if self._written_out.is_product(node) and node.index not in self.passed:
                found[node.index] = list(self._multiplied(node))
        return found

    # Sides: which of them, and by which claim.

    def _of_sides(self, node: Node) -> Iterator[Operand]:
        for side in SIDES[node.domain, node.op_type]:
            claim: Claim = "certain" if len(side) == 1 else "wide"
            given = [place for place, value in enumerate(node.inputs) if place in side and value is not None]
            for place, how in self._weights(node, given, claim):
                if len(side) == 1 or not self._are_frequencies(node, place):
                    yield from self._settled(place, node, how)

    def _are_frequencies(self, node: Node, place: int) -> bool:
        """Tell whether a vector is spread over positions, each entry times each, as in rotary embeddings.

        The same on the right of a MatMul is a layer of one input.
        """
        value, other = node.inputs[place], node.inputs[1 - place] if len(node.inputs) == 2 else None
        if value is None or other is None or (place and node.op_type != "Einsum"):
            return False
        dims = self._spanning.shapes.dims(value) or (2, 2)
        across = node.op_type == "Einsum" or dims[-1:] == (1,)
        return across and len(wide_axes(dims)) < 2 and self._beginnings.numbers_positions(other)

    def _weights(self, node: Node, places: Sequence[int], claim: Claim) -> list[tuple[int, Claim]]:
        """Return which of some operands, of which any may be the weight, carry weights."""
        constants, dims = self._wide.constants, self._spanning.shapes.dims
        values = {place: value for place in places if (value := node.inputs[place]) is not None}
        held = [place for place, value in values.items() if value in constants and self._wide.end(value)]
        if not held:
            moving = [
                place
                for place, value in values.items()
                if value not in constants and self.chains[claim].carry(value)
            ]
            held = [place for place in moving if not self._deriving[claim].reason(values[place])] or moving
        if not held and any(None in (dims(value) or ()) for value in values.values()):
            claim = "known"
            fixed = (place for place, value in values.items() if (own := dims(value)) and None not in own)
            held = [place for place in fixed if self.chains[claim].carry(values[place])]
        if not held and len(values) > 1:
            claim = "crossed"
            held = [place for place, value in values.items() if self.chains[claim].carry(value)]
        return [(place, claim) for place in (held[-1:] if len(places) == 2 else held)]

    def _settled(self, position: int, node: Node, claim: Claim) -> list[Operand]:
        """Return the operand as what can be read of it, a matrix of a table each for itself."""
        value, chains, deriving = node.inputs[position], self.chains[claim], self._deriving[claim]
        assert value is not None
        if value in chains.constants:
            if not chains.end(value):
                return []
            self._pass(value, "wide")
            return [Operand(position, value)]
        if chains.chain(value) is None:
            return []
        self._pass(value, claim)
        reason = deriving.reason(value)
        if reason:
            return [Operand(position, value, reason)]
        return [Operand(position, each, part=part) for part, each in deriving.derived(value).items()]

    def _pass(self, value: Value, claim: Claim) -> None:
        """Remember what an operand is made of, each value once: thousands may be aliases of each other."""
        for each in self.chains[claim].unseen(value, self._seen[claim]):
            if isinstance(each, Value):
                self._taken.add(each)
            else:
                self.passed.add(each.index)

    # What else takes weights.

    def _looked_up(self, node: Node) -> Iterator[Operand]:
        """Yield the table of an embedding, or of what multiplies an activation in one place alone."""
        table = node.inputs[0]
        if self._lookups.is_embedding(node):
            yield from self._settled(0, node, "certain")
        elif table is not None and self._lookups.is_gate(node):
            yield Operand(0, table, "what is looked up only multiplies an activation")

    def _handed_in(self, node: Node, handed: HandedIn) -> Iterator[Operand]:
        """Yield the operands that are weights in the bodies of a node."""
        for place in handed.places(node):
            value = node.inputs[place]
            assert value is not None
            self._pass(value, "wide")
            yield Operand(place, value)

    def _modulating(self, node: Node) -> Iterator[Operand]:
        """Yield the factors behind the first of a product of constants that no weight is made of."""
        if len(wide_axes(self._spanning.shapes.dims(node.outputs[0]) or ())) < 2:
            return
        for position, value in factors(node):
            chain = self._wide.chain(value) if position else None
            if chain is None or self._taken.intersection(chain.leaves):
                continue
            if self._wide.spread(value) > 1:
                yield Operand(position, value, "multiplies a constant, and the result only modulates")

    def _multiplied(self, node: Node) -> Iterator[Operand]:
        """Yield the factors, carried by constants, of a product that is written out."""
        for position, value in enumerate(node.inputs):
            if value is not None and self._wide.chain(value):
                yield Operand(position, value, "a product written out as Mul and a sum is not read")
