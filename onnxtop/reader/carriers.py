"""What carries an operand back to constants: the rule that tells weights from what only modulates.

An operand of a weighted operation is a weight if every way from it back through its carriers ends in
constants, whatever operations lie between. A carrier of a node is an input that spans its result: the data of
a movement or an activation function, of an elementwise operation every operand whose axes another does not
contain. So a scale of each row carries nothing, W + B A is carried by all three, and a position table that is
added to an activation of its own shape is no weight.

If every other input on the way is constant, or comes out the same whatever the sizes that the model leaves
open, the weight can be computed: `Constants` holds it as a derived constant. A table of matrices that the
model chooses from (experts) is one derived constant a matrix. All else is skipped: it changes with the input.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from typing import Literal

import numpy as np

from onnxtop.reader.bodies import Bodies
from onnxtop.reader.constants import Constants, UnreadableConstantError, tells
from onnxtop.reader.declared import Shape
from onnxtop.reader.encoding import is_code_type, is_weight_type
from onnxtop.reader.evaluate import is_computed, is_decoder
from onnxtop.reader.lanes.tables import ELEMENTWISE
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.ops.tables import CARRY_NOTHING, IN_BODIES, LOOKUPS, SIDES
from onnxtop.reader.search import folded, gathered, reached
from onnxtop.reader.sizes import Setting, Sizes, is_size
from onnxtop.reader.written_out import WrittenOut, wide_axes

_EXPERTS = 4096
"""Matrices of one table that are read as layers of their own."""
_NOTED = 2**18
"""Constants that are noted for chains, each for itself, in all."""

Claim = Literal["wide", "known", "crossed", "certain"]
"""How an operand comes to be a weight: by its width alone, beside operands of open sizes, by axes that only
its constants have, by definition."""


@dataclass(frozen=True, eq=False)
class Chain:
    """The way from an operand back to the constants that carry it, gone where somebody asks what is on it."""

    _walk: Callable[[], tuple[dict[Value, None], dict[Node, None]]]

    @cached_property
    def _walked(self) -> tuple[dict[Value, None], dict[Node, None]]:
        return self._walk()

    @property
    def leaves(self) -> tuple[Value, ...]:
        """The constants, the nearest first."""
        return tuple(self._walked[0])

    @property
    def nodes(self) -> tuple[Node, ...]:
        """What is between, the nearest first."""
        return tuple(self._walked[1])


@dataclass(frozen=True, eq=False)
class Operand:
    """An operand that carries weights: a constant, given or derived, or why it cannot be computed.

    ``part`` names a matrix of a table of several.
    """

    position: int
    value: Value
    reason: str = ""
    part: str = ""


@dataclass(eq=False)
class Carriers:
    """Finds the operands of a model that carry weights.

    ``passed`` are the nodes between them and the constants that they are made of.
    """

    model: Model
    constants: Constants
    _ends: dict[tuple[Value, Claim], bool] = field(default_factory=dict)
    passed: set[int] = field(default_factory=set)
    _taken: set[Value] = field(default_factory=set)
    _seen: defaultdict[Claim, set[Value]] = field(default_factory=lambda: defaultdict(set))
    _spreads: defaultdict[Claim, dict[Value, int]] = field(default_factory=lambda: defaultdict(dict))
    _hindered: defaultdict[Claim, dict[Value, "_Hindrance"]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _hindering: dict[tuple[int, Claim], str] = field(default_factory=dict)
    _held: dict[Value, frozenset[Value] | None] = field(default_factory=dict)
    _noted: int = 0
    _before: dict[Value, frozenset[str]] = field(default_factory=dict)
    _scored: dict[Value, frozenset[str]] = field(default_factory=dict)
    _ahead: dict[Value, frozenset[str]] = field(default_factory=dict)
    _moving: dict[Value, frozenset[str]] = field(default_factory=dict)
    _spanning: dict[int, list[Value]] = field(default_factory=dict)
    _ranks: dict[int, tuple[set[Value], set[Value]]] = field(default_factory=dict)
    _alone: dict[Value, tuple[Value, ...]] = field(default_factory=dict)
    _outranking: dict[Value, frozenset[int]] = field(default_factory=dict)
    _gated: dict[Value, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sizes = Sizes(self.model, self.constants)
        self.written_out = WrittenOut(self.model, self.constants, self.sizes, self.carriers)
        self._bodies = Bodies(self.model)

    def find(self) -> dict[int, list[Operand]]:
        """Return the operands that carry weights, by the index of the node that uses them."""
        found: dict[int, list[Operand]] = {}
        nodes = self.model.nodes
        for node in nodes:
            if self._is_weighted(node) and not self._is_made(node):
                found[node.index] = list(self._operands(node))
        for node in nodes:
            if self._is_lookup(node) and node.index not in self.passed and self._is_of_weights(node):
                found[node.index] = list(self._looked_up(node))
        handing = [node for node in nodes if (node.domain, node.op_type) in IN_BODIES]
        becomes = self._becoming(found) if handing else _Becoming()
        for node in handing:
            found[node.index] = list(self._handed_in(node, becomes))
        for node in nodes:
            if self._is_weighted(node) and self._is_made(node) and node.index not in self.passed:
                found[node.index] = list(self._modulating(node))
            if self._is_written_out(node) and node.index not in self.passed:
                found[node.index] = list(self._multiplied(node))
        return found

    # Which operands.

    def _operands(self, node: Node) -> Iterator[Operand]:
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
        dims = self.sizes.dims(value) or (2, 2)
        across = node.op_type == "Einsum" or dims[-1:] == (1,)
        return across and _wide(dims) < 2 and self._numbers_positions(other)

    def _weights(self, node: Node, places: Sequence[int], claim: Claim) -> list[tuple[int, Claim]]:
        """Return which of some operands, of which any may be the weight, carry weights."""
        values = {place: value for place in places if (value := node.inputs[place]) is not None}
        held = [
            place
            for place, value in values.items()
            if value in self.constants and self._ends_in_constants(value, "wide")
        ]
        if not held:
            moving = [
                place
                for place, value in values.items()
                if value not in self.constants and self._carries(value, claim)
            ]
            held = [p for p in moving if not self._reason(values[p], claim)] or moving
        if not held and any(None in (self.sizes.dims(value) or ()) for value in values.values()):
            claim = "known"
            held = [
                place
                for place, value in values.items()
                if (dims := self.sizes.dims(value)) and None not in dims and self._carries(value, claim)
            ]
        if not held and len(values) > 1:
            claim = "crossed"
            held = [place for place, value in values.items() if self._carries(value, claim)]
        return [(place, claim) for place in (held[-1:] if len(places) == 2 else held)]

    def _carries(self, value: Value, claim: Claim) -> bool:
        chain = self.chain(value, claim)
        return chain is not None and (claim == "certain" or self._spread(value, claim) > 1)

    def _spread(self, value: Value, claim: Claim) -> int:
        """Return how many axes of more than one entry the widest constant of a chain has, -1 without one.

        One that is flat has those that it is arranged in, or unpacked to; copies add none.

        Chains that are made of each other share what was found, here and where they are looked through.
        """
        return folded(
            value, lambda here: self._followed(here, claim), self._widest_constant, self._spreads[claim]
        )

    def _widest_constant(self, value: Value, beyond: list[int]) -> int:
        value = self.constants.outside(value)
        widest = max(beyond, default=-1)
        if self._is_leaf(value) or (widest >= 0 and self._is_laid_out(value)):
            return max(widest, _wide(self.sizes.dims(value) or (2, 2)))
        return widest

    def _is_laid_out(self, value: Value) -> bool:
        """Tell whether a value has axes that are no copies: it arranges a constant anew, or unpacks one."""
        node = self.model.producers.get(value)
        unpacked = node is not None and node.op_type != "If" and not is_computed(node)
        return unpacked or self.constants.origin(value) in self.constants

    def _settled(self, position: int, node: Node, claim: Claim) -> list[Operand]:
        """Return the operand as what can be read of it, a matrix of a table each for itself."""
        value = node.inputs[position]
        assert value is not None
        if value in self.constants:
            if not self._ends_in_constants(value, claim):
                return []
            self._pass(value, "wide")
            return [Operand(position, value)]
        chain = self.chain(value, claim)
        if chain is None:
            return []
        self._pass(value, claim)
        reason = self._reason(value, claim)
        if reason:
            return [Operand(position, value, reason)]
        given = self._given(chain, claim)
        experts = self._experts(chain)
        if not experts:
            return [Operand(position, self.constants.derive(value, given))]
        (count,) = {self._count(expert) for expert in experts}
        return [
            Operand(
                position,
                self.constants.derive(value, given | self._chosen(experts, entry), self._form(chain)),
                part=f"expert{entry}",
            )
            for entry in range(count)
        ]

    def _form(self, chain: Chain) -> Hashable:
        """Return what makes a value of its leaves: two top experts are chosen from one table in one way."""
        return tuple(
            (
                node.op_type,
                str(node.attributes()),
                *(value in self.constants and value for value in node.inputs),
            )
            for node in chain.nodes
        )

    def _pass(self, value: Value, claim: Claim) -> None:
        """Remember what an operand is made of, each value once: thousands may be aliases of each other."""
        for here in reached([value], partial(self._not_passed, self._seen[claim], claim)):
            here = self.constants.outside(here)
            node = self.model.producers.get(here)
            if self._is_leaf(here):
                self._taken.add(here)
            elif node is not None:
                self.passed.add(node.index)

    def _not_passed(self, seen: set[Value], claim: Claim, value: Value) -> list[Value]:
        ahead = [item for item in self._followed(value, claim) if item not in seen]
        seen.update(ahead)
        return ahead

    # The chain.

    def chain(self, value: Value, claim: Claim = "wide") -> Chain | None:
        """Follow the carriers of a value to constants; None if any of them ends in an activation.

        Where a side is a weight by definition, a constant that ties with what the input makes carries alone.
        """
        carried = self._ends_in_constants(value, claim)
        carried = carried and (value in self.constants or self._spread(value, claim) >= 0)
        return Chain(partial(self._walk, value, claim)) if carried else None

    def _walk(self, value: Value, claim: Claim) -> tuple[dict[Value, None], dict[Node, None]]:
        """Return the constants behind a value, and the nodes between."""
        leaves: dict[Value, None] = {}
        nodes: dict[Node, None] = {}
        for here in reached([value], lambda here: self._followed(here, claim)):
            here = self.constants.outside(here)
            node = self.model.producers.get(here)
            if self._is_leaf(here):
                leaves[here] = None
            elif node is not None:
                nodes[node] = None
        return leaves, nodes

    def _followed(self, value: Value, claim: Claim) -> list[Value]:
        value = self.constants.outside(value)
        node = self.model.producers.get(value)
        if self._is_leaf(value) or node is None:
            return []
        carriers = self.constants.exits(value) or self.carriers(node)
        if claim != "wide" and len(carriers) > 1 and (node.domain, node.op_type) in ELEMENTWISE:
            return [item for item in carriers if self._ends_in_constants(item, claim)]
        return carriers

    def _ends_in_constants(self, value: Value, claim: Claim) -> bool:
        """Tell whether all carriers end in constants; what stands on a cycle does not."""
        ends, stack, open_ = self._ends, [value], set()
        while stack:
            item = stack[-1]
            key = item, claim
            if key in ends:
                stack.pop()
                continue
            carriers = self._ways(item, claim)
            missing = [carrier for carrier in carriers or () if (carrier, claim) not in ends]
            if missing and item not in open_:
                open_.add(item)
                stack += missing
                continue
            reach = {carrier: ends.get((carrier, claim), False) for carrier in carriers or ()}
            tie = self._is_won(reach, claim) if self._is_tie(item) else False
            ends[key] = carriers is not None and (tie or all(reach.values()))
        return ends[value, claim]

    def _is_tie(self, value: Value) -> bool:
        node = self.model.producers.get(self.constants.outside(value))
        return node is not None and (node.domain, node.op_type) in ELEMENTWISE

    def _is_won(self, reach: Mapping[Value, bool], claim: Claim) -> bool:
        """Tell whether constants win a tie, by whether each operand ends in some."""
        if claim != "crossed" or not any(reach.values()):
            return claim != "wide" and any(reach.values())
        held, moving = (
            [self.sizes.dims(value) for value, ends in reach.items() if ends is which]
            for which in (True, False)
        )
        if None in moving:
            return False
        others = set[int]().union(*(wide_axes(dims) for dims in moving if dims is not None))
        return any(dims is not None and not wide_axes(dims) <= others for dims in held)

    def _ways(self, value: Value, claim: Claim) -> list[Value] | None:
        """Return the carriers to follow from a value, none at a constant's end; None from an activation."""
        value = self.constants.outside(value)
        node = self.model.producers.get(value)
        if self._is_leaf(value):
            return []
        if node is None or (claim != "certain" and self._is_lookup(node) and not self._is_choice(node)):
            return None
        carriers = self.constants.exits(value) or self.carriers(node)
        return carriers if carriers or value in self.constants else None

    def _is_leaf(self, value: Value) -> bool:
        return value in self.model.tensors or self.constants.is_fill(value)

    def carriers(self, node: Node) -> list[Value]:
        """Return the inputs that span a node's result; none where it makes something new."""
        if node.index not in self._spanning:  # each of its inputs asks, thousands perhaps
            self._spanning[node.index] = self._spans(node)
        return self._spanning[node.index]

    def _spans(self, node: Node) -> list[Value]:
        key = node.domain, node.op_type
        given = [value for value in node.inputs if value is not None]
        if key in CARRY_NOTHING or (self._is_weighted(node) and not self._is_made(node)):
            return []
        if key in (("", "Concat"), ("", "SequenceConstruct")):
            return given
        if key == ("", "SequenceInsert"):
            return [value for value in given[:2] if not self._is_empty_sequence(value)]
        if self._is_weighted(node):
            return [value for _, value in self._factors(node)]
        if key[0] == "" and node.op_type.startswith("Scatter"):
            return given[::2]
        if key in ELEMENTWISE and not is_decoder(node) and len(given) > 1:
            widest = self._widest(given[node.op_type == "Where" :])
            return widest[:1] if node.op_type == "BitShift" else widest  # by how much is a setting
        return given[:1]

    def _factors(self, node: Node) -> list[tuple[int, Value]]:
        """Return what an operation with weights multiplies: its data, and what any of its sides takes."""
        sides = SIDES[node.domain, node.op_type]
        return [
            (place, value)
            for place, value in enumerate(node.inputs)
            if value is not None and (place == 0 or any(place in side for side in sides))
        ]

    def _is_empty_sequence(self, value: Value) -> bool:
        node = self.model.producers.get(value)
        return node is not None and (node.domain, node.op_type) == ("", "SequenceEmpty")

    def leaves(self, value: Value) -> tuple[Value, ...]:
        """Return the tensors and fills whose elements end up in an operand, constant or not, in any order."""
        value = self.constants.base(value)
        chain = self.chain(value, "certain")
        if chain is None:
            return ()
        held = folded(value, lambda here: self._followed(here, "certain"), self._all_leaves, self._held)
        return chain.leaves if held is None else tuple(sorted(held, key=lambda leaf: leaf.index))

    def _all_leaves(self, value: Value, beyond: list[frozenset[Value] | None]) -> frozenset[Value] | None:
        """Return the leaves behind a value, None where to note them once more for each would be too much."""
        value = self.constants.outside(value)
        if self._is_leaf(value):
            return frozenset((value,))
        known = [leaves for leaves in beyond if leaves is not None]
        most = max(known, key=len, default=frozenset[Value]())
        if len(known) < len(beyond) or all(leaves <= most for leaves in known):
            return most if len(known) == len(beyond) else None
        leaves = most.union(*known)
        self._noted += len(leaves)
        return leaves if self._noted <= _NOTED else None

    def leaf(self, value: Value) -> Value | None:
        """Return the one tensor or fill whose elements end up in an operand; None if there are more, or none.

        Operands that are made of each other share what was found.
        """
        value = self.constants.base(value)
        if not self._ends_in_constants(value, "certain"):
            return None
        first = folded(value, lambda here: self._followed(here, "certain"), self._first_leaves, self._alone)
        return first[0] if len(first) == 1 else None

    def _first_leaves(self, value: Value, beyond: list[tuple[Value, ...]]) -> tuple[Value, ...]:
        """Return up to two leaves behind a value: whether there are more makes no difference."""
        value = self.constants.outside(value)
        if self._is_leaf(value):
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
            if base in seen or not self._ends_in_constants(base, "certain"):
                continue
            for here in reached([base], partial(self._not_in, seen)):
                seen.add(here)
                here = self.constants.outside(here)
                if self._is_leaf(here):
                    firsts.setdefault(here, value)
        return firsts

    def _not_in(self, seen: Container[Value], value: Value) -> list[Value]:
        return [item for item in self._followed(value, "certain") if item not in seen]

    def _widest(self, values: Sequence[Value]) -> list[Value]:
        """Return the operands whose axes of more than one entry another one does not have too, and more."""
        shapes = [self.sizes.dims(value) for value in values]
        if any(dims is None for dims in shapes):  # what the input changes is taken to span all
            return [value for value in values if value not in self.constants] or list(values)
        axes = [frozenset(wide_axes(dims or ())) for dims in shapes]
        kinds = set(axes)
        narrow = {own for own in kinds if any(own < other for other in kinds)}
        return [value for value, own in zip(values, axes, strict=True) if own not in narrow]

    # What else is on the way.

    def _reason(self, value: Value, claim: Claim) -> str:
        """Return why a weight cannot be computed, "" if it can."""
        chain = self.chain(value, claim)
        if chain is None:
            return ""
        hindrance = folded(
            value,
            lambda here: [] if self._hinders(here, claim) else self._followed(here, claim),
            partial(self._nearest, claim),
            self._hindered[claim],
        )
        if hindrance.reason or not hindrance.varies:
            return hindrance.reason
        experts = self._experts(chain)
        copied = [node for node in chain.nodes if self._is_copied(node)]
        if copied and not experts and not self._is_repeated(value, chain, claim, copied):
            return f"changes with the input in {copied[0].op}"
        counts = {self._count(expert) for expert in experts}
        if len({expert.inputs[1] for expert in experts}) > 1 or len(counts) > 1 or not all(counts):
            return f"changes with the input in {experts[0].op}"
        if counts and max(counts) > _EXPERTS:
            return f"{experts[0].op} chooses from {max(counts)} matrices, more than {_EXPERTS}"
        return ""

    def _nearest(self, claim: Claim, value: Value, beyond: list["_Hindrance"]) -> "_Hindrance":
        """Return what is nearest that hinders a value from being computed, as if the chain were walked."""
        reason = self._hinders(value, claim)
        if reason:
            return _Hindrance(0, reason)
        node = self._between(value)
        varies = node is not None and (self._is_choice(node) or self._is_copied(node))
        nearest = min(beyond, key=lambda each: each.distance, default=_Hindrance())
        varies = varies or any(each.varies for each in beyond)
        return _Hindrance(nearest.distance + 1, nearest.reason, varies)

    def _hinders(self, value: Value, claim: Claim) -> str:
        """Return why what makes a value cannot be computed, "" if it can."""
        node = self._between(value)
        if node is None:
            return ""
        key = node.index, claim
        if key not in self._hindering:
            self._hindering[key] = self._hindrance(node, claim)
        return self._hindering[key]

    def _hindrance(self, node: Node, claim: Claim) -> str:
        if self._is_made(node):
            return ""
        if node.op_type != "If" and not is_computed(node):
            return f"goes through {node.op}, which is not computed"
        if node.op_type == "If" or self._changes(node, claim):
            return f"changes with the input in {node.op}"
        return ""

    def _changes(self, node: Node, claim: Claim) -> bool:
        return any(setting is None for setting in self._settings_of(node, claim).values())

    def _between(self, value: Value) -> Node | None:
        """Return the node that makes a value of a chain, None for a leaf."""
        value = self.constants.outside(value)
        return None if self._is_leaf(value) else self.model.producers.get(value)

    def _settings_of(self, node: Node, claim: Claim) -> dict[Value, Setting | None]:
        """Return the inputs that neither are constant nor carry the weight, None where they change."""
        if self._is_choice(node):
            return {}
        carriers = self._followed(node.outputs[0], claim)
        settings: dict[Value, Setting | None] = {}
        for place, value in enumerate(node.inputs):
            if value is None or not tells(node, place) or value in self.constants or value in carriers:
                continue
            settings[value] = self.sizes.setting(value)
            if settings[value] is None and _copies(node):
                settings[value] = np.ones(_length(self.sizes.dims(value)), np.int64)  # one copy
        return settings

    def _is_copied(self, node: Node) -> bool:
        """Tell whether how many copies a node makes depends on the input."""
        count = node.inputs[1] if _copies(node) and len(node.inputs) > 1 else None
        return count is not None and count not in self.constants and self.sizes.setting(count) is None

    def _is_repeated(self, value: Value, chain: Chain, claim: Claim, copied: Iterable[Node]) -> bool:
        """Tell whether several copies on the way give several copies of an operand, and nothing else."""
        given = self._given(chain, claim)
        try:
            one = self.constants.compute(value, given)
            several = self.constants.compute(value, given | dict(map(self._twice, copied)))
            times = [new // old for new, old in zip(several.shape, one.shape, strict=True)]
            return np.tile(one, times).tobytes() == several.tobytes()
        except (UnreadableConstantError, ValueError, ZeroDivisionError):
            return False

    def _twice(self, node: Node) -> tuple[Value, Setting]:
        """Return how many copies a node makes where every size that is not known is 2."""
        count = node.inputs[1]
        assert count is not None
        try:
            return count, self.sizes.with_sizes(count, 2)
        except (UnreadableConstantError, ValueError, IndexError, KeyError):
            length = _length(self.sizes.dims(count))
            dims = (self.sizes.dims(node.inputs[0]) if node.inputs[0] is not None else None) or ()
            own = (1,) * (length - len(dims)) + dims
            one = [size if node.op_type == "Expand" else 1 for size in own[:length]]
            return count, np.array([2 if size == 1 else 1 for size in one], np.int64)

    def _given(self, chain: Chain, claim: Claim) -> dict[Value, Setting]:
        """Return the settings on a chain, which no size of the input changes."""
        moving = [self._settings_of(node, claim) for node in chain.nodes if not self._is_made(node)]
        return {value: held for own in moving for value, held in own.items() if held is not None}

    # Lookups: a table of rows is an embedding or it modulates; a table of matrices holds experts.

    def _is_lookup(self, node: Node) -> bool:
        """Tell whether a node takes entries by an index that is not the same for all inputs."""
        if (node.domain, node.op_type) not in LOOKUPS or len(node.inputs) < 2:
            return False
        table, index = node.inputs[:2]
        if table is None or index is None or index in self.constants:
            return False
        return self.sizes.setting(index) is None

    def _is_choice(self, node: Node) -> bool:
        return self._is_lookup(node) and len(self._table(node)) >= 3

    def _table(self, node: Node) -> Shape:
        value = node.inputs[0]
        return (value is not None and self.sizes.dims(value)) or ()

    def _experts(self, chain: Chain) -> list[Node]:
        return [node for node in chain.nodes if self._is_choice(node)]

    def _count(self, node: Node) -> int:
        """Return how many matrices a lookup chooses from, 0 if that cannot be told."""
        table, index = self._table(node), self.sizes.dims(node.inputs[1]) if node.inputs[1] else None
        attributes = node.attributes()
        by_row = node.op_type == "GatherND"
        if index is None or attributes.get("batch_dims", 0) or (by_row and index[-1:] != (1,)):
            return 0
        if node.op_type == "GatherElements":
            return 0  # each entry is chosen for itself
        axis = 0 if by_row else attributes.get("axis", 0)
        return (table[axis] or 0) if -len(table) <= axis < len(table) else 0

    def _chosen(self, experts: Iterable[Node], entry: int) -> dict[Value, Setting]:
        """Return the index that chooses one matrix."""
        indices = {value: self.sizes.dims(value) for node in experts if (value := node.inputs[1])}
        return {value: np.full((1,) * len(dims or ()), entry, np.int64) for value, dims in indices.items()}

    def _looked_up(self, node: Node) -> Iterator[Operand]:
        """Yield the table of an embedding, or of what multiplies an activation in one place alone."""
        table = node.inputs[0]
        if self._is_embedding(node):
            yield from self._settled(0, node, "certain")
        elif table is not None and self._is_gate(node):
            yield Operand(0, table, "what is looked up only multiplies an activation")

    def _is_of_weights(self, node: Node) -> bool:
        """Tell whether rows of floats or codes are looked up, by more than their number."""
        if node.part:
            return True  # the table of a fused operation
        table, index = node.inputs[0], node.inputs[1]
        chain = self.chain(table) if table is not None else None
        if table is None or index is None or chain is None or len(self.sizes.dims(table) or (0, 0)) < 2:
            return False
        return self._holds_weights(chain) and not self._numbers_positions(index)

    def _is_embedding(self, node: Node) -> bool:
        """Tell whether a table of rows is looked up to be carried into a product, or as the result itself."""
        index = node.inputs[1]
        ahead = frozenset[str]().union(
            *(gathered(made, self._carried_on, self._end, self._ahead) for made in node.outputs)
        )
        chosen = index is not None and "product" in self._made_by(index)
        return bool(node.part) or "product" in ahead or ("result" in ahead and not chosen)

    def _is_gate(self, node: Node) -> bool:
        """Tell whether all that an index looks up multiplies activations in one place alone.

        Rotary embeddings turn queries and keys, each by two tables or by two halves of one.
        """
        index = node.inputs[1]
        assert index is not None
        if index not in self._gated:
            lookups = [use.node for use in self.model.users[index] if self._is_lookup(use.node)]
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

    def _holds_weights(self, chain: Chain) -> bool:
        """Tell whether floats or codes end up in an operand."""
        held = (self.constants.stored_as(leaf) for leaf in chain.leaves)
        return any(is_weight_type(each) or is_code_type(each) for each in held)

    def _end(self, value: Value) -> frozenset[str]:
        """Return whether a value is a result, and whether it goes into what multiplies it, or may."""
        ends = {"result"} if value in self.model.results else set()
        for use in self.model.users.get(value, ()):
            if self._mixes(use.node) or self._is_written_out(use.node):
                ends.add("product")
        return frozenset(ends)

    def _mixes(self, node: Node) -> bool:
        """Tell whether a node multiplies its operands with each other, or may."""
        return self._is_weighted(node) or bool(node.domain) or node.op_type in _MIXERS

    def _numbers_positions(self, value: Value) -> bool:
        """Tell whether sizes alone make a value, counting."""
        return self._made_by(value) - {"mixed"} == {"size", "counter"}

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
            each = dict.fromkeys(self.carriers(node))
            above = (value for value in each if len(each) > 1 and self._outranks(node, value))
            self._ranks[node.index] = set(each), set(islice(above, 2))
        return self._ranks[node.index]

    def _outranks(self, node: Node, other: Value) -> bool:
        """Tell whether a lookup only modulates what it ties with: an activation by Mul, scores by Add.

        What no product made of the input is a mask or a weighing of entries, and has nothing to carry on.
        """
        if node.op_type in ("Mul", "Div"):
            moves = self.chain(other) is None and {"input", "mixed"} <= self._made_by(other)
            return moves and not self._is_looked_up(other)
        return "scores" in gathered(other, self._first_carrier, self._scores, self._scored)

    def _scores(self, value: Value) -> frozenset[str]:
        """Return whether a value is the product of two activations."""
        node = self.model.producers.get(value)
        weighted = node is not None and self._is_weighted(node)
        held = any(item in self.constants for item in node.inputs[:2]) if node is not None else True
        return frozenset({"scores"} if weighted and not held else ())

    def _is_looked_up(self, value: Value) -> bool:
        """Tell whether a value is carried by tables alone: two embeddings are multiplied as equals."""
        return not gathered(value, self._behind_carriers, self._moves, self._moving)

    def _moves(self, value: Value) -> frozenset[str]:
        """Return whether a value comes from what no constant carries."""
        ends = value in self.constants or self._is_leaf(value) or self._behind_carriers(value)
        return frozenset() if ends else frozenset({"moves"})

    def _behind_carriers(self, value: Value) -> list[Value]:
        node = None if value in self.constants else self.model.producers.get(value)
        return self.carriers(node) if node is not None else []

    def _first_carrier(self, value: Value) -> list[Value]:
        node = self.model.producers.get(value)
        return [] if node is None or self._is_weighted(node) else self.carriers(node)[:1]

    def _made_by(self, value: Value) -> frozenset[str]:
        """Return what a value is made of and by: the input, sizes; products, what numbers positions."""
        return gathered(value, self._made_of, self._making, self._before)

    def _making(self, value: Value) -> frozenset[str]:
        node = self.model.producers.get(value)
        if value in self.constants:
            return frozenset()
        if node is None:
            return frozenset({"input"})
        kinds = {
            "size": is_size(node),
            "product": self._is_weighted(node),
            "counter": node.op_type in _COUNTERS,
            "mixed": self._mixes(node),
        }
        return frozenset(kind for kind, holds in kinds.items() if holds)

    def _made_of(self, value: Value) -> list[Value]:
        node = self.model.producers.get(value)
        if value in self.constants or node is None or is_size(node):
            return []
        return [item for item in (*node.inputs, *self.constants.exits(value)) if item is not None]

    # What bodies are handed. What they hand on unchanged is a constant in them, and seen where it is used.

    def _handed_in(self, node: Node, becomes: "_Becoming") -> Iterator[Operand]:
        """Yield the operands that a body changes, or takes apart, but for data of the layers in it."""
        for position, value in enumerate(node.inputs):
            chain = self.chain(value) if value is not None else None
            if value is None or chain is None or position < IN_BODIES[node.domain, node.op_type]:
                continue
            dims = self.sizes.dims(value)
            wide = self._spread(value, "wide") if dims is None else _wide(dims)  # a sequence has no dims
            begins = self._bodies.begins.get((node.index, position), [])
            if wide > 1 and self._holds_weights(chain) and not self._is_seen(begins, becomes):
                self._pass(value, "wide")
                yield Operand(position, value)

    def _is_seen(self, begins: Sequence[Value], becomes: "_Becoming") -> bool:
        """Tell whether what is handed in is constant in a body, or data there, and no factor besides."""
        known = (begin in self.constants or begin in becomes.data for begin in begins)
        return bool(begins) and all(known) and becomes.factors.isdisjoint(begins)

    def _becoming(self, found: Mapping[int, Sequence[Operand]]) -> "_Becoming":
        """Return what becomes the data of products whose weight was found, and a factor of any other."""
        data: list[Value] = []
        factors: list[Value] = []
        for node in filter(self._may_take, self.model.nodes):
            weights = {operand.position for operand in found.get(node.index, ())}
            others = (value for place, value in enumerate(node.inputs) if place not in weights)
            moving = [value for value in others if value is not None and value not in self.constants]
            (data if weights else factors).extend(moving)
        return _Becoming(*(frozenset(reached(ends, self._was)) for ends in (data, factors)))

    def _may_take(self, node: Node) -> bool:
        """Tell whether a node multiplies operands of which one changes, in whatever way."""
        if self._bodies.holds(node) or self._is_made(node):
            return False
        return self._is_written_out(node) or self._mixes(node)

    def _was(self, value: Value) -> list[Value]:
        """Return what a value is made of, but for constants that others are combined with."""
        node = self.model.producers.get(value)
        if node is None or self._bodies.holds(node):
            return self._bodies.sources.get(value, [])
        if (node.domain, node.op_type) in CARRY_NOTHING or (
            self._is_weighted(node) and not self._is_made(node)
        ):
            return []
        own = [item for item in node.inputs if item is not None]
        return own if value in self.constants else [item for item in own if item not in self.constants]

    @cached_property
    def longest_axis(self) -> int:
        """The longest axis of any stored tensor that has more than one of several entries."""
        stored = (tensor.dims for tensor in self.model.tensors.values())
        return max((max(dims) for dims in stored if sum(size > 1 for size in dims) > 1), default=1)

    # Constants that multiply constants, and products written out in ordinary arithmetic.

    def _modulating(self, node: Node) -> Iterator[Operand]:
        """Yield the factors behind the first of a product of constants that no weight is made of."""
        if _wide(self.sizes.dims(node.outputs[0]) or ()) < 2:
            return
        for position, value in self._factors(node):
            chain = self.chain(value) if position else None
            if chain is None or self._taken.intersection(chain.leaves):
                continue
            if self._spread(value, "wide") > 1:
                yield Operand(position, value, "multiplies a constant, and the result only modulates")

    def _multiplied(self, node: Node) -> Iterator[Operand]:
        """Yield the factors, carried by constants, of a product that is written out."""
        for position, value in enumerate(node.inputs):
            if value is not None and self.chain(value):
                yield Operand(position, value, "a product written out as Mul and a sum is not read")

    def _is_weighted(self, node: Node) -> bool:
        return (node.domain, node.op_type) in SIDES

    def _is_written_out(self, node: Node) -> bool:
        return self.written_out.is_product(node) and not self._is_made(node)

    def _is_made(self, node: Node) -> bool:
        """Tell whether a node is computed from constants alone."""
        return node.outputs[0] in self.constants


@dataclass(frozen=True)
class _Becoming:
    """Values that become data of a product whose weight is known, and those that become factors of others."""

    data: frozenset[Value] = frozenset()
    factors: frozenset[Value] = frozenset()


@dataclass(frozen=True)
class _Hindrance:
    """Why a value cannot be computed, and how far away that is; else whether it is chosen or copied."""

    distance: float = math.inf
    reason: str = ""
    varies: bool = False


_COUNTERS = frozenset({"CumSum", "NonZero", "Range"})
"""Operations that number positions."""

_MIXERS = frozenset(op for _, op in IN_BODIES)
"""Operations whose bodies may multiply their operands."""


def _copies(node: Node) -> bool:
    """Tell whether a node makes copies of its first input, as many as its second says."""
    return node.domain == "" and node.op_type in ("Expand", "Tile")


def _wide(dims: Shape) -> int:
    return len(wide_axes(dims))


def _length(dims: Shape | None) -> int:
    """Return how many entries a vector has, 0 if that is not known."""
    return (dims[0] or 0) if dims else 0
