"""Which uses of a constant are one layer: those of the same elements, decoded in the same way.

Codes that two nodes decode by different scales are two weights. Decodings are compared by what they compute
with: two nodes with equal scales and zero points decode alike, wherever a transposition stands. A use whose
scale is not known says nothing against any other.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.encoding import is_weight_type
from onnxtop.reader.evaluate import is_decoder
from onnxtop.reader.layer import WeightUse
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.reading import Array


@dataclass(frozen=True)
class _Step:
    """One decoding: what does it, the constants that it takes, the axis along which they run."""

    kind: str
    values: tuple[Value | None, ...]
    axis: int


_Decoding = tuple[_Step, ...]


def weights_of_uses(
    uses: Iterable[WeightUse], model: Model, constants: Constants
) -> list[tuple[Value, list[WeightUse]]]:
    """Return the origin of each weight and its uses, in the order of their first uses."""
    groups: list[tuple[Value, list[WeightUse]]] = []
    known: dict[tuple[Value, str], _Groups] = {}
    for use in uses:
        origin = constants.origin(use.operand)
        group = known.setdefault((origin, use.part), _Groups(constants)).of(_decoding(use, model, constants))
        if not group:
            groups.append((origin, group))
        group.append(use)
    return groups


@dataclass(frozen=True, eq=False)
class _Groups:
    """Uses of one weight, by how they decode it; what decodings compute with is read where there are several.

    A use whose scale is not known is of the first group, and so is any where that of the first is not.
    """

    constants: Constants
    _by_steps: dict[_Decoding | None, list[WeightUse]] = field(default_factory=dict)
    _by_content: dict[Hashable, list[WeightUse]] = field(default_factory=dict)
    _unread: list[_Decoding] = field(default_factory=list)

    def of(self, decoding: _Decoding | None) -> list[WeightUse]:
        """Return the uses that decode alike; an empty list, which is to be filled, if this is the first."""
        first = next(iter(self._by_steps.values()), None)
        if first is not None and (decoding is None or None in self._by_steps):
            return first
        if decoding not in self._by_steps:
            alike = self._alike(decoding) if first is not None and decoding is not None else None
            self._by_steps[decoding] = [] if alike is None else alike
            if decoding is not None:
                self._unread.append(decoding)
        return self._by_steps[decoding]

    def _alike(self, decoding: _Decoding) -> list[WeightUse] | None:
        while self._unread:
            other = self._unread.pop()
            if (content := _contents(other, self.constants)) is not None:
                self._by_content.setdefault(content, self._by_steps[other])
        return self._by_content.get(_contents(decoding, self.constants))


def _contents(decoding: _Decoding, constants: Constants) -> Hashable:
    """Return what a decoding computes with; None if that cannot be read: each use has its own reason."""
    try:
        return tuple(_content(step, constants) for step in decoding)
    except (UnreadableConstantError, ValueError):
        return None


def _decoding(use: WeightUse, model: Model, constants: Constants) -> _Decoding | None:
    """Return how a use decodes what is stored, None where that is not known."""
    reading = use.reading
    if reading is None or (reading.encoding is not None and not reading.encoding.has_known_scale):
        return None
    decoder = constants.decoder(use.operand)
    given = decoder is not None and constants.base(use.operand) is use.operand
    steps = list(_decoders(decoder.outputs[0], model, constants)) if decoder is not None and given else []
    if len(reading.operands) > 1:
        options: dict[str, Any] = getattr(reading.decode, "keywords", {})
        kind = f"affine, divided {options['inverse']}" if any(options.get("inverse", ())) else "affine"
        steps.insert(0, _Step(kind, reading.operands[1:], options.get("axis", 0)))
    return tuple(steps)


def _decoders(value: Value, model: Model, constants: Constants) -> Iterator[_Step]:
    """Yield the decodings between a value and its origin, the last one first; axes are the origin's."""
    passed: list[Node] = []
    while (source := constants.before(value)) is not None:
        if value in model.producers:
            passed.append(model.producers[value])
        value = source
    rank = _rank(value, constants)
    for place, node in enumerate(passed):
        if is_decoder(node):
            axis = node.attributes().get("axis", 1) if node.op_type == "DequantizeLinear" else 0
            where = _before(axis, passed[place + 1 :]) if isinstance(axis, int) else 0
            yield _Step(_kind(node), node.inputs[1:], where % rank if rank else where)


def _rank(origin: Value, constants: Constants) -> int:
    """Return how many axes a constant has, 0 where that is not known: axes are counted from either end."""
    try:
        return len(constants.shape(origin))
    except UnreadableConstantError:
        return 0


def _kind(node: Node) -> str:
    options = {name: value for name, value in node.attributes().items() if name != "axis"}
    plain = node.op_type == "DequantizeLinear" and not options.get("block_size")
    return "affine" if plain else f"{node.op} {sorted(options.items())}"


def _before(axis: int, nodes: Iterable[Node]) -> int:
    """Return which axis it was before the transpositions."""
    for node in nodes:
        order = node.attributes().get("perm") if node.op_type == "Transpose" else None
        if isinstance(order, list) and -len(order) <= axis < len(order):
            axis = int(order[axis])
        elif node.op_type == "Transpose":
            axis = -1 - axis
    return axis


def _content(step: _Step, constants: Constants) -> Hashable:
    """Return what a decoding computes with: scales multiplied, zero points unless all are zero."""
    arrays = [constants.read(value) for value in step.values if value is not None]
    scales = [array for array in arrays if is_weight_type(array.dtype.name)]
    others = [array for array in arrays if not is_weight_type(array.dtype.name) and np.any(array)]
    if step.kind == "affine":
        scales = [np.prod(np.broadcast_arrays(*map(np.ravel, scales)), axis=0)] if len(scales) > 1 else scales
    sizes = {array.size for array in map(_shortest, (*scales, *others))}
    axis = 0 if step.kind == "affine" and sizes <= {1} else step.axis
    return step.kind, axis, *(_shortest(array).tobytes() for array in (*scales, *others))


def _shortest(array: Array) -> Array:
    """Return the numbers of a scale or zero point, one number if all are equal."""
    wide = np.float64 if is_weight_type(array.dtype.name) else np.int64
    numbers = np.ravel(array).astype(wide)
    return numbers[:1] if numbers.size and (numbers == numbers[0]).all() else numbers
