"""Where every element of every constant goes: none forgotten, none counted twice.

Weights, biases and normalisation parameters are followed from the operand back to the tensors that carry
them (see `carriers`). A tensor with several roles has the first of: analysed weight, skipped weight, bias,
normalisation parameter; all else is other, named after the operation that takes it, or unused.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from onnxtop.reader.carriers import Carriers
from onnxtop.reader.constants import Constants
from onnxtop.reader.evaluate import is_decoder
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.ops import NORMALISATION, bias_positions

_QUANTISATION = "quantisation"


class _Role(IntEnum):
    ANALYSED, SKIPPED, BIAS, NORMALISATION, OTHER, UNUSED = range(6)


@dataclass(frozen=True)
class Account:
    """Counts of elements; ``skipped`` holds, in order, how many each skipped weight accounts for.

    ``other`` counts constants that are no parameters by what uses them, scales and zero points as
    "quantisation". The bins add up to the elements of all constants of the file, codes that share a byte
    counted each.
    """

    analysed: int
    skipped: tuple[int, ...]
    biases: int
    normalisation: int
    other: Mapping[str, int]
    unused: int


@dataclass(frozen=True)
class _Mark:
    """The role of one operand; ``owner`` numbers the skipped weight, ``kind`` names an other constant."""

    role: _Role
    value: Value
    owner: int = 0
    kind: str = ""


def account(model: Model, constants: Constants, layers: Sequence[Layer | Skipped]) -> Account:
    """Count the elements of all constants by role."""
    carriers = Carriers(model, constants)
    marks: dict[Value, _Mark] = {}
    for mark in _marks(model, constants, layers):
        for source in carriers.leaves(mark.value):
            if source not in marks or mark.role < marks[source].role:
                marks[source] = mark
    decoded = _decoded_sizes(layers)
    sums: Counter[_Role] = Counter()
    other: Counter[str] = Counter()
    shares = [0] * sum(isinstance(layer, Skipped) for layer in layers)
    for source in (*model.tensors, *constants.fills()):
        if source in model.added:
            continue
        mark = marks.get(source) or _unmarked(source, model)
        count = decoded.get(source, constants.size(source))
        sums[mark.role] += count
        if mark.role is _Role.SKIPPED:
            shares[mark.owner] += count
        if mark.role is _Role.OTHER:
            other[mark.kind] += count
    return Account(
        analysed=sums[_Role.ANALYSED],
        skipped=tuple(shares),
        biases=sums[_Role.BIAS],
        normalisation=sums[_Role.NORMALISATION],
        other=dict(sorted(other.items())),
        unused=sums[_Role.UNUSED],
    )


def _marks(model: Model, constants: Constants, layers: Iterable[Layer | Skipped]) -> Iterator[_Mark]:
    """Yield the role of every constant operand that is known to have one."""
    number = 0
    for layer in layers:
        if isinstance(layer, Skipped):
            yield _Mark(_Role.SKIPPED, layer.operand, owner=number)
            number += 1
            continue
        weight, *more = layer.source.reading.operands
        if weight is not None:
            yield _Mark(_Role.ANALYSED, weight)
        yield from (_Mark(_Role.OTHER, value, kind=_QUANTISATION) for value in more if value is not None)
        if layer.source.bias is not None:
            yield _Mark(_Role.BIAS, layer.source.bias.value)
    for node in model.nodes:
        normalisation = NORMALISATION.get((node.domain, node.op_type), ())
        yield from _at(node, bias_positions(node), _Role.BIAS, constants)
        yield from _at(node, normalisation, _Role.NORMALISATION, constants)
        if is_decoder(node):
            for position, value in enumerate(node.inputs):
                if value is not None and value in constants:
                    kind = _QUANTISATION if position else _use(node.outputs[0], model)
                    yield _Mark(_Role.OTHER, value, kind=kind)


def _at(node: Node, positions: Iterable[int], role: _Role, constants: Constants) -> Iterator[_Mark]:
    for position in positions:
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is not None and value in constants:
            yield _Mark(role, value)


def _unmarked(source: Value, model: Model) -> _Mark:
    holder = next((index for (index, _), value in model.attribute_values.items() if value == source), None)
    if holder is not None:
        return _Mark(_Role.OTHER, source, kind=model.nodes[holder].op)
    if source not in model.users and source not in model.results:
        return _Mark(_Role.UNUSED, source)
    return _Mark(_Role.OTHER, source, kind=_use(source, model))


def _use(value: Value, model: Model) -> str:
    """Return what uses a constant: the first operation in graph order, or that it is a result."""
    users = model.users.get(value, ())
    if not users:
        return "result"
    quantises = users[0].node.op_type in ("QuantizeLinear", "DequantizeLinear") or is_decoder(users[0].node)
    return _QUANTISATION if quantises and users[0].position else users[0].node.op


def _decoded_sizes(layers: Iterable[Layer | Skipped]) -> dict[Value, int]:
    """Return how many weights stand in operands that pack several into a byte."""
    return {
        layer.source.reading.operands[0]: math.prod(layer.source.reading.decoded_shape)
        for layer in layers
        if isinstance(layer, Layer)
        and layer.source.reading.decoded_shape
        and layer.source.reading.operands[0]
    }
