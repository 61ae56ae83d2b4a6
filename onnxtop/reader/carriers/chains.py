"""The whole way back: from a value through its carriers to the constants that they end in, if they all do.

What ties with others carries together with them. How an operand comes to be a weight, its claim, says when
constants win such a tie alone; the chains of one claim are made of each other, and share what was found.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal, get_args

from onnxtop.reader.carriers.choices import is_choice, is_lookup
from onnxtop.reader.carriers.shapes import wide_axes
from onnxtop.reader.carriers.spanning import Spanning
from onnxtop.reader.constants import Constants
from onnxtop.reader.encoding import is_code_type, is_weight_type
from onnxtop.reader.evaluate import is_computed
from onnxtop.reader.lanes.tables import ELEMENTWISE
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.search import folded, reached

_NOTED = 2**18
"""Constants that are noted for chains, each for itself, in all."""

Claim = Literal["wide", "known", "crossed", "certain"]
"""How an operand comes to be a weight: by its width alone, beside operands of open sizes, by axes that only
its constants have, by definition."""


@dataclass(frozen=True, eq=False)
class Chain:
    """The way from an operand back to the constants that carry it, gone where somebody asks what is on it."""

    _walk: Callable[[], Iterable[Value | Node]]

    @cached_property
    def _walked(self) -> dict[Value | Node, None]:
        return dict.fromkeys(self._walk())

    @property
    def leaves(self) -> tuple[Value, ...]:
        """The constants, the nearest first."""
        return tuple(each for each in self._walked if isinstance(each, Value))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What is between, the nearest first."""
        return tuple(each for each in self._walked if isinstance(each, Node))


@dataclass(eq=False)
class Chains:
    """The chains of a model that one claim makes."""

    spanning: Spanning
    claim: Claim
    _ends: dict[Value, bool] = field(default_factory=dict)
    _spreads: dict[Value, int] = field(default_factory=dict)
    _held: dict[Value, frozenset[Value] | None] = field(default_factory=dict)
    _noted: int = 0
    _alone: dict[Value, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The model that they run through."""
        return self.spanning.model

    @property
    def constants(self) -> Constants:
        """What they end in."""
        return self.spanning.constants

    def chain(self, value: Value) -> Chain | None:
        """Follow the carriers of a value to constants; None if any of them ends in an activation.

        Where a side is a weight by definition, a constant that ties with what the input makes carries alone.
        """
        carried = self.end(value) and (value in self.constants or self.spread(value) >= 0)
        return Chain(partial(self.unseen, value, set())) if carried else None

    def carry(self, value: Value) -> bool:
        """Tell whether a value is one that they carry, and wide enough where its width makes it a weight."""
        return self.chain(value) is not None and (self.claim == "certain" or self.spread(value) > 1)

    def unseen(self, value: Value, seen: set[Value]) -> Iterator[Value | Node]:
        """Yield the constants behind a value, and the nodes between, but what was ``seen``, which grows."""
        if value in seen:
            return
        for here in reached([value], lambda here: [each for each in self.followed(here) if each not in seen]):
            seen.add(here)
            here = self.constants.outside(here)
            node = self.model.producers.get(here)
            if self.spanning.is_leaf(here):
                yield here
            elif node is not None:
                yield node

    def followed(self, value: Value) -> list[Value]:
        """Return the carriers one step behind a value, none behind a leaf."""
        node = self.between(value)
        if node is None:
            return []
        carriers = self._carriers(value, node)
        if self.claim != "wide" and len(carriers) > 1 and _joins(node):
            return [item for item in carriers if self.end(item)]
        return carriers

    def between(self, value: Value) -> Node | None:
        """Return the node that makes a value of a chain, None for a leaf."""
        value = self.constants.outside(value)
        return None if self.spanning.is_leaf(value) else self.model.producers.get(value)

    def _carriers(self, value: Value, node: Node) -> list[Value]:
        return self.constants.exits(self.constants.outside(value)) or self.spanning.carriers(node)

    # Whether all ways end.

    def end(self, value: Value) -> bool:
        """Tell whether all carriers of a value end in constants; what stands on a cycle does not."""
        ends, stack, open_ = self._ends, [value], set()
        while stack:
            item = stack[-1]
            if item in ends:
                stack.pop()
                continue
            carriers = self._ways(item)
            missing = [carrier for carrier in carriers or () if carrier not in ends]
            if missing and item not in open_:
                open_.add(item)
                stack += missing
                continue
            reach = {carrier: ends.get(carrier, False) for carrier in carriers or ()}
            tie = self._is_won(reach) if self._is_tie(item) else False
            ends[item] = carriers is not None and (tie or all(reach.values()))
        return ends[value]

    def _ways(self, value: Value) -> list[Value] | None:
        """Return the carriers to follow from a value, none at a constant's end; None from an activation."""
        value = self.constants.outside(value)
        node = self.model.producers.get(value)
        if self.spanning.is_leaf(value):
            return []
        if node is None or (self.claim != "certain" and self._is_row(node)):
            return None
        carriers = self._carriers(value, node)
        return carriers if carriers or value in self.constants else None

    def _is_row(self, node: Node) -> bool:
        """Tell whether a node looks up rows of a table, or entries, not whole matrices."""
        return is_lookup(node, self.spanning.shapes) and not is_choice(node, self.spanning.shapes)

    def _is_tie(self, value: Value) -> bool:
        node = self.model.producers.get(self.constants.outside(value))
        return node is not None and _joins(node)

    def _is_won(self, reach: Mapping[Value, bool]) -> bool:
        """Tell whether constants win a tie, by whether each operand ends in some."""
        if self.claim != "crossed" or not any(reach.values()):
            return self.claim != "wide" and any(reach.values())
        held, moving = (
            [self.spanning.shapes.dims(value) for value, ends in reach.items() if ends is which]
            for which in (True, False)
        )
        if None in moving:
            return False
        others = set[int]().union(*(wide_axes(dims) for dims in moving if dims is not None))
        return any(dims is not None and not wide_axes(dims) <= others for dims in held)

    # What they end in.

    def spread(self, value: Value) -> int:
        """Return how many axes of more than one entry the widest constant of a chain has, -1 without one.

        One that is flat has those that it is arranged in, or unpacked to; copies add none.
        """
        return folded(value, self.followed, self._widest_constant, self._spreads)

    def _widest_constant(self, value: Value, beyond: list[int]) -> int:
        value = self.constants.outside(value)
        widest = max(beyond, default=-1)
        if self.spanning.is_leaf(value) or (widest >= 0 and self._is_laid_out(value)):
            return max(widest, len(wide_axes(self.spanning.shapes.dims(value) or (2, 2))))
        return widest

    def _is_laid_out(self, value: Value) -> bool:
        """Tell whether a value has axes that are no copies: it arranges a constant anew, or unpacks one."""
        node = self.model.producers.get(value)
        unpacked = node is not None and node.op_type != "If" and not is_computed(node)
        return unpacked or self.constants.origin(value) in self.constants

    def hold_weights(self, value: Value) -> bool:
        """Tell whether floats or codes end up in a value that they carry."""
        chain = self.chain(value)
        held = (self.constants.stored_as(leaf) for leaf in chain.leaves) if chain is not None else ()
        return any(is_weight_type(each) or is_code_type(each) for each in held)

    def leaves(self, value: Value) -> tuple[Value, ...]:
        """Return the tensors and fills whose elements end up in an operand, constant or not, in any order."""
        value = self.constants.base(value)
        chain = self.chain(value)
        if chain is None:
            return ()
        held = folded(value, self.followed, self._all_leaves, self._held)
        return chain.leaves if held is None else tuple(sorted(held, key=lambda leaf: leaf.index))

    def _all_leaves(self, value: Value, beyond: list[frozenset[Value] | None]) -> frozenset[Value] | None:
        """Return the leaves behind a value, None where to note them once more for each would be too much."""
        value = self.constants.outside(value)
        if self.spanning.is_leaf(value):
            return frozenset((value,))
        known = [leaves for leaves in beyond if leaves is not None]
        most = max(known, key=len, default=frozenset[Value]())
        if len(known) < len(beyond) or all(leaves <= most for leaves in known):
            return most if len(known) == len(beyond) else None
        leaves = most.union(*known)
        self._noted += len(leaves)
        return leaves if self._noted <= _NOTED else None

    def leaf(self, value: Value) -> Value | None:
        """Return the one tensor or fill whose elements end up in an operand, None if it is not one."""
        value = self.constants.base(value)
        if not self.end(value):
            return None
        first = folded(value, self.followed, self._first_leaves, self._alone)
        return first[0] if len(first) == 1 else None

    def _first_leaves(self, value: Value, beyond: list[tuple[Value, ...]]) -> tuple[Value, ...]:
        """Return up to two leaves behind a value: whether there are more makes no difference."""
        value = self.constants.outside(value)
        if self.spanning.is_leaf(value):
            return (value,)
        if len(beyond) == 1:
            return beyond[0]
        return tuple(dict.fromkeys(leaf for leaves in beyond for leaf in leaves))[:2]

    def first_taken(self, values: Iterable[Value]) -> dict[Value, Value]:
        """Return every tensor and fill whose elements end up in any of the operands, with the first of those.

        What several operands are made of is walked over once.
        """
        firsts: dict[Value, Value] = {}
        seen: set[Value] = set()
        for value in values:
            base = self.constants.base(value)
            if self.end(base):
                for each in self.unseen(base, seen):
                    if isinstance(each, Value):
                        firsts.setdefault(each, value)
        return firsts


def _joins(node: Node) -> bool:
    return (node.domain, node.op_type) in ELEMENTWISE


def chains_of(model: Model, constants: Constants) -> Mapping[Claim, Chains]:
    """Return the chains of a model, by claim; nothing is followed yet."""
    spanning = Spanning(model, constants)
    claims: tuple[Claim, ...] = get_args(Claim)
    return {claim: Chains(spanning, claim) for claim in claims}
