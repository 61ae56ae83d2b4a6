"""Which axes of the inputs share their neurons, found before a single vertex is made.

Every axis of an input sends a label through the graph, as far as no weight is met. An operation with weights
uses the same ones all along the axes that it does not sum over: their labels are united, and so are the
entries of the inputs along them. A Reshape splits and merges labels, so that of 3 * H * W entries in a row
that become an image only H and W are united.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onnxtop.reader.lanes.arrays import Ids
from onnxtop.reader.lanes.sizes import Sizes
from onnxtop.reader.lanes.weights import LayerTable, Use
from onnxtop.reader.model import Node, Scope, Value
from onnxtop.reader.ops.tables import NEUTRAL

__all__ = ["United", "covers_input", "find_united"]


@dataclass(frozen=True)
class Factor:
    """The part ``(index // stride) % size`` of an index along one axis of an input."""

    source: Value
    axis: int
    stride: int
    size: int


@dataclass(frozen=True)
class Label:
    """What an axis of a tensor is made of; ``exact`` if the index along it is just these factors in order."""

    factors: tuple[Factor, ...] = ()
    exact: bool = False


Labels = tuple[Label, ...]
FREE = Label()


@dataclass(frozen=True, eq=False)
class United:
    """The factors that are united, and the inputs whose values reach a weight alone, by way of movement.

    An integer input among those is data (an image in bytes, a row of counts), not indices.
    """

    factors: frozenset[Factor]
    data: frozenset[Value]

    def lanes(self, value: Value, axis: int, size: int) -> Ids:
        """Return, for each index along an axis of an input, the index of the lane that it belongs to."""
        own = {factor for factor in self.factors if factor.source == value and factor.axis == axis}
        if any(factor.stride == 1 and factor.size == size for factor in own):
            return np.zeros(1, np.intp)
        index: Ids = np.arange(size)
        for factor in own:
            index = index - (index // factor.stride % factor.size) * factor.stride
        return np.unique(index, return_inverse=True)[1]


def find_united(scope: Scope, sizes: Sizes, table: LayerTable, inputs: Sequence[Value]) -> United:
    """Return what the weights of a model unite."""
    finder = _Finder(sizes, table)
    for value in inputs:
        shape = sizes.of(value).shape
        if shape is not None:
            finder.labels[value] = tuple(
                Label((Factor(value, axis, 1, size),), exact=True) for axis, size in enumerate(shape)
            )
            finder.alone[value] = value
    finder.scope(scope)
    return United(frozenset(finder.united), frozenset(finder.data))


class _Finder:
    def __init__(self, sizes: Sizes, table: LayerTable) -> None:
        self._sizes = sizes
        self._table = table
        self.labels: dict[Value, Labels] = {}
        self.alone: dict[Value, Value] = {}
        self.united: set[Factor] = set()
        self.data: set[Value] = set()

    def scope(self, scope: Scope) -> None:
        for node in scope.nodes:
            for body in scope.bodies.get(node.index, ()):
                if node.op_type == "Scan":
                    self._unite_scanned(node)
                self.scope(body.scope)
            uses = self._table.uses(node)
            if uses:
                self._unite(node, uses)
            elif not scope.bodies.get(node.index):
                self._move(node)

    def _unite_scanned(self, node: Node) -> None:
        attributes = node.attributes()
        count = attributes["num_scan_inputs"]
        axes = attributes.get("scan_input_axes") or [0] * count
        for value, axis in zip(node.inputs[-count:], axes, strict=False):
            labels = self._of(value)
            if labels:
                self.united.update(labels[axis].factors)

    def _of(self, value: Value | None) -> Labels:
        return () if value is None else self.labels.get(value, ())

    def _unite(self, node: Node, uses: tuple[Use, ...]) -> None:
        held = {use.position for use in uses}
        for position, value in enumerate(node.inputs):
            labels = self._of(value)
            if not labels or position in held or value is None:
                continue
            shape = self._sizes.of(value).shape
            kept = _summed_axes(node, uses, position, shape, unrolled=self._table.unrolled)
            if kept is None:
                continue
            if value in self.alone:
                self.data.add(self.alone[value])
            kept = {axis % len(labels) for axis in kept}
            for axis, label in enumerate(labels):
                if axis not in kept:
                    self.united.update(label.factors)

    def _move(self, node: Node) -> None:
        present = [value for value in node.inputs if self._of(value)]
        if not present or node.op_type in ("Shape", "OneHot", "Equal"):
            return
        shapes = [self._sizes.of(value).shape for value in node.inputs]
        rule = _MOVES.get(node.op_type) if not node.domain else None
        single = len(present) == 1 and present[0] == node.inputs[0]
        for value in node.outputs:
            shape = self._sizes.of(value).shape
            if shape is None:
                continue
            labels = None
            if rule is not None and single and shapes[0] is not None:
                labels = rule(self, node, self._of(node.inputs[0]), shapes[0], shape)
            elif (node.domain, node.op_type) in NEUTRAL and rule is None:
                labels = _broadcast([self._of(item) for item in present], [*shapes], shape)
            if labels is not None and len(labels) == len(shape):
                self.labels[value] = labels
                if self._stays_alone(node, present):
                    self.alone[value] = self.alone[present[0]]  # type: ignore[index]

    def _stays_alone(self, node: Node, present: Sequence[Value | None]) -> bool:
        others = [value for value in node.inputs if value is not None and value != present[0]]
        return present[0] in self.alone and all(self.fixed(value) for value in others)

    def fixed(self, value: Value | None) -> bool:
        """Tell whether a value's numbers are known."""
        return self._sizes.of(value).array is not None or value in self._sizes.constants


def _merged(labels: Iterable[Label]) -> Label:
    found = list(labels)
    factors = tuple(dict.fromkeys(factor for label in found for factor in label.factors))
    return Label(factors, exact=len(found) == 1 and found[0].exact)


def _broadcast(
    operands: Sequence[Labels], shapes: Sequence[Sequence[int] | None], shape: Sequence[int]
) -> Labels:
    """Labels of axes that stay where they are, counted from the end; their index may have moved."""
    made = []
    for axis in range(-len(shape), 0):
        there = [labels[axis] for labels in operands if len(labels) >= -axis and labels[axis].factors]
        label = _merged(there)
        whole = math.prod(factor.size for factor in label.factors) == shape[axis]
        made.append(Label(label.factors, label.exact and whole))
    return tuple(made)


# Operations that move axes: (finder, node, labels, shape before, shape after) -> labels after.


def _transpose(_: _Finder, node: Node, labels: Labels, before: Sequence[int], after: Sequence[int]) -> Labels:
    order = node.attributes().get("perm") or range(len(labels))[::-1]
    return tuple(labels[axis] for axis in order)


def _reshape(
    _: _Finder, node: Node, labels: Labels, before: Sequence[int], after: Sequence[int]
) -> Labels | None:
    if math.prod(before) != math.prod(after) or 0 in after:
        return None
    atoms: list[tuple[Label, int]] = []
    for label, size in zip(labels, before, strict=True):
        if label.exact:
            atoms += [(Label((factor,), exact=True), factor.size) for factor in label.factors]
        else:
            atoms.append((label, size))
    made = []
    for size in after:
        label, atoms = _taken(atoms, size)
        made.append(label)
    return tuple(made)


def _taken(atoms: list[tuple[Label, int]], size: int) -> tuple[Label, list[tuple[Label, int]]]:
    """Take labels for an axis of a given size off the front, splitting the last one if need be."""
    found: list[Label] = []
    exact = True
    while size > 1 and atoms:
        (label, length), atoms = atoms[0], atoms[1:]
        if size % length == 0:
            found.append(label)
            size //= length
        elif length % size == 0 and label.exact:
            factor, rest = label.factors[0], length // size
            found.append(Label((Factor(factor.source, factor.axis, factor.stride * rest, size),), exact=True))
            inner = Factor(factor.source, factor.axis, factor.stride, rest)
            return Label(_merged(found).factors, exact), [(Label((inner,), exact=True), rest), *atoms]
        else:  # they do not nest: whatever unites one of the axes unites all of this label
            found.append(label)
            exact = False
            rest = -(-length // math.gcd(size, length))
            atoms = [(Label(label.factors), length // math.gcd(size, length)), *atoms]
            if length // math.gcd(size, length) == length:
                return Label(_merged(found).factors), atoms
            size //= math.gcd(size, length)
    exact = exact and all(label.exact for label in found)
    return Label(_merged(found).factors, exact), atoms


def _reduce(
    _: _Finder, node: Node, labels: Labels, before: Sequence[int], after: Sequence[int]
) -> Labels | None:
    if len(after) == len(before):
        return tuple(
            label if old == new else FREE for label, old, new in zip(labels, before, after, strict=True)
        )
    if not after:
        return ()
    kept = [label for label, size in zip(labels, before, strict=True) if size != 1]
    wide = [size for size in after if size != 1]
    axes = node.attributes().get("axes")
    if axes is not None:
        gone = {axis % len(before) for axis in axes}
        return tuple(label for axis, label in enumerate(labels) if axis not in gone)
    if len(kept) == len(wide):
        rest = iter(kept)
        return tuple(next(rest) if size != 1 else FREE for size in after)
    merged = _merged(labels)
    return tuple(Label(merged.factors) for _ in after)


def _gather(
    finder: _Finder, node: Node, labels: Labels, before: Sequence[int], after: Sequence[int]
) -> Labels | None:
    axis = node.attributes().get("axis", 0) % len(before)
    if not finder.fixed(node.inputs[1]):
        finder.united.update(labels[axis].factors)
    new = len(after) - len(before) + 1
    if new < 0:
        return None
    return (*labels[:axis], *[Label(labels[axis].factors)] * new, *labels[axis + 1 :])


_MOVES = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Gather": _gather,
    "ReduceL1": _reduce,
    "ReduceL2": _reduce,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceSum": _reduce,
    "ReduceSumSquare": _reduce,
}


# Operations with weights: the axes of an operand that are neurons, None for an operand that is none.


def _summed_axes(
    node: Node,
    uses: tuple[Use, ...],
    position: int,
    shape: tuple[int, ...] | None,
    *,
    unrolled: bool,
) -> set[int] | None:
    op = node.op_type
    if op in _INDEXED:
        return None
    if op in ("Conv", "ConvTranspose", "ConvInteger", "DeformConv"):
        if position != 0:
            return None
        if unrolled and shape is not None and op != "DeformConv":
            return set(range(1, len(shape)))
        whole = shape is not None and covers_input(node, uses[0], shape[2:])
        return {1, *range(2, len(shape))} if whole and shape is not None else {1}
    if op in ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"):
        return {2} if position == 0 else {-1}
    if op == "Gemm" and position < 2:
        turned = node.attributes().get("transB" if position else "transA", 0)
        return {-1 if bool(turned) == bool(position) else -2}
    if op == "Einsum":
        return _letters(node, position, uses[0].position)
    if op in ("MatMul", "MatMulInteger"):
        return _product_axes(uses[0], position, shape)
    return {-1} if position == 0 else None


_INDEXED = frozenset({"Gather", "GatherBlockQuantized"})


def _product_axes(use: Use, position: int, shape: tuple[int, ...] | None) -> set[int] | None:
    if position not in (0, 1):
        return None
    last = -1 if position == 0 or len(shape or ()) == 1 else -2
    batch = use.shape[:-2]
    return {last, *(axis - len(batch) - 2 for axis, size in enumerate(batch) if size > 1)} & set(
        range(-len(shape or ()), 0)
    )


def _letters(node: Node, position: int, held: int) -> set[int] | None:
    terms = node.attributes()["equation"].decode().replace(" ", "").split("->")[0].split(",")
    if "." in terms[position]:
        return {-1}
    return {place for place, letter in enumerate(terms[position]) if letter in terms[held]}


def covers_input(node: Node, use: Use, size: Sequence[int]) -> bool:
    """Tell whether a convolution's kernel sees its whole input at once, so that it is fully connected."""
    attributes: Mapping[str, Sequence[int]] = node.attributes()
    taps = use.taps[3:]
    return (
        node.op_type not in ("ConvTranspose", "DeformConv")
        and len(taps) == len(size)
        and tuple(taps) == tuple(size)
        and not any(attributes.get("pads", ()))
        and all(step == 1 for step in attributes.get("dilations", ()))
        and (attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") or math.prod(size) == 1)
    )
