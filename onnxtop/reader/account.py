"""Where every element of every constant goes: none forgotten, none counted twice.

Weights, biases and normalisation parameters are followed from the operand back to the tensors that carry
them (see `carriers`). A tensor with several roles has the first of: analysed weight, skipped weight, bias,
normalisation parameter; all else is other, named after the operation that takes it, or unused.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

from onnxtop.reader.carriers.chains import Chains, chains_of
from onnxtop.reader.constants import Constants
from onnxtop.reader.evaluate import is_decoder
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.ops import NORMALISATION, bias_positions

QUANTISATION = "quantisation"
"""The kind of scales and zero points."""


class Role(IntEnum):
    """What a constant is to the network; of several, the first counts."""

    ANALYSED, SKIPPED, BIAS, NORMALISATION, OTHER, UNUSED = range(6)


@dataclass(frozen=True, eq=False)
class Entry:
    """What became of one tensor.

    Attributes
    ----------
    value
        The tensor, or what a ConstantOfShape makes.
    role
        Its bin.
    node, position
        The first node that takes it in this role, and where; a bias that is added behind a node is that
        node's.
    layer
        The layer that it is a weight or the bias of, if it is one.
    kind
        What an other constant is called: the operation that takes it, or "quantisation".
    elements
        How many it has; codes that share a byte count each.
    """

    value: Value
    role: Role
    node: Node | None = None
    position: int = 0
    layer: Layer | Skipped | None = None
    kind: str = ""
    elements: int = 0


@dataclass(frozen=True)
class Account:
    """Every constant of a model; the bins add up to the elements of all of them."""

    entries: tuple[Entry, ...]

    def total(self, role: Role) -> int:
        """Return the elements in one bin."""
        return sum(entry.elements for entry in self.entries if entry.role is role)

    def skipped(self, layer: Skipped) -> int:
        """Return the elements that a skipped weight accounts for."""
        return self._skipped[id(layer)]

    @cached_property
    def _skipped(self) -> Counter[int]:
        """The elements of every skipped weight, by its identity."""
        elements: Counter[int] = Counter()
        for entry in self.entries:
            if entry.role is Role.SKIPPED:
                elements[id(entry.layer)] += entry.elements
        return elements

    @property
    def other(self) -> Mapping[str, int]:
        """The constants that are no parameters, by kind."""
        kinds: Counter[str] = Counter()
        for entry in self.entries:
            if entry.role is Role.OTHER:
                kinds[entry.kind] += entry.elements
        return dict(sorted(kinds.items()))


def account(model: Model, constants: Constants, layers: Sequence[Layer | Skipped]) -> Account:
    """Say what became of every constant of a model."""
    chains = chains_of(model, constants)
    firsts: dict[Value, Entry] = {}
    for mark in sorted(_marks(chains["wide"], layers), key=lambda mark: mark.role):
        firsts.setdefault(mark.value, mark)
    marks = {source: firsts[value] for source, value in chains["certain"].first_taken(firsts).items()}
    decoded = _decoded_sizes(layers)
    holders = {value: model.nodes[index] for (index, _), value in model.attribute_values.items()}
    entries = []
    for source in (*model.tensors, *constants.fills()):
        if source not in model.added:
            mark = marks.get(source) or _unmarked(source, model, holders.get(source))
            elements = decoded.get(source, constants.size(source))
            entries.append(replace(mark, value=source, elements=elements))
    return Account(tuple(entries))


def _marks(chains: Chains, layers: Iterable[Layer | Skipped]) -> Iterator[Entry]:
    """Yield an entry for every operand that is known to have a role: one for the tensors that carry it."""
    model, constants = chains.model, chains.constants
    for layer in layers:
        if isinstance(layer, Skipped):
            yield Entry(layer.operand, Role.SKIPPED, layer.used_by[0].node, 0, layer)
            continue
        node, (weight, *more) = layer.source.node, layer.source.reading.operands
        if weight is not None:
            base = constants.base(weight)
            position = node.inputs.index(base) if base in node.inputs else 0
            yield Entry(weight, Role.ANALYSED, node, position, layer)
        yield from (Entry(value, Role.OTHER, kind=QUANTISATION) for value in more if value is not None)
        if layer.source.bias is not None:
            yield Entry(layer.source.bias.value, Role.BIAS, node, len(node.inputs), layer)
    for node in model.nodes:
        normalisation = NORMALISATION.get((node.domain, node.op_type), ())
        yield from _at(node, bias_positions(node), Role.BIAS, chains)
        yield from _at(node, normalisation, Role.NORMALISATION, chains)
        if is_decoder(node) and node.outputs:
            for position, value in enumerate(node.inputs):
                if value is not None and value in constants:
                    kind = QUANTISATION if position else _use(node.outputs[0], model)
                    yield Entry(value, Role.OTHER, node, position, kind=kind)


def _at(node: Node, positions: Iterable[int], role: Role, chains: Chains) -> Iterator[Entry]:
    """Yield the operands that constants carry, be it that sizes decide how these are cut or copied."""
    for position in positions:
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is not None and chains.chain(value) is not None:
            yield Entry(value, role, node, position)


def _unmarked(source: Value, model: Model, holder: Node | None) -> Entry:
    if holder is not None:
        return Entry(source, Role.OTHER, holder, kind=holder.op)
    users = model.users.get(source, ())
    if not users and source not in model.results:
        return Entry(source, Role.UNUSED)
    node, position = (users[0].node, users[0].position) if users else (None, 0)
    return Entry(source, Role.OTHER, node, position, kind=_use(source, model))


def _use(value: Value, model: Model) -> str:
    """Return what uses a constant: the first operation in graph order, or that it is a result."""
    users = model.users.get(value, ())
    if not users:
        return "result"
    quantises = users[0].node.op_type in ("QuantizeLinear", "DequantizeLinear") or is_decoder(users[0].node)
    return QUANTISATION if quantises and users[0].position else users[0].node.op


def _decoded_sizes(layers: Iterable[Layer | Skipped]) -> dict[Value, int]:
    """Return how many weights stand in operands that pack several into a byte."""
    return {
        layer.source.reading.operands[0]: math.prod(layer.source.reading.decoded_shape)
        for layer in layers
        if isinstance(layer, Layer)
        and layer.source.reading.decoded_shape
        and layer.source.reading.operands[0]
    }
