"""The walk before the walk: the size of every value, and which entries of the inputs share a neuron.

Every axis of an input sends its indices through the graph, by the same rules as neurons, as far as no
weight is met. An operation with weights uses the same ones all along the axes that it does not sum over: the
indices that it reads alike are united, and so are the entries of the inputs. Where a model leaves the size of
an axis open, the weight that its indices meet tells it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from onnx import TensorProto

from onnxtop.reader.lanes.arrays import NONE, Ids, Unclear, compressed
from onnxtop.reader.lanes.builder import GraphBuilder
from onnxtop.reader.lanes.open_axes import OpenError, expected_sizes
from onnxtop.reader.lanes.sizes import UNKNOWN, Input, Size, Sizes
from onnxtop.reader.lanes.step import Lanes, Remarks, Step
from onnxtop.reader.lanes.tables import RULES, SILENT
from onnxtop.reader.lanes.walk import MISFITS, Cycle, ModelWalk, Slices, answers, results_of
from onnxtop.reader.lanes.weights import LayersOfNodes
from onnxtop.reader.limits import Limits
from onnxtop.reader.model import Node, Value
from onnxtop.reader.terms.table import COMMUTATIVE

_WAYS = 8
"""Arrays of indices that a value may have: each is one way from an input's axis to it."""


class Survey(ModelWalk):
    """Measures a model, and finds what its weights unite.

    ``data`` are the inputs whose values reach a weight alone, by way of movement: an integer input among
    those is data (an image in bytes, a row of counts), not indices.

    Raises
    ------
    OpenError
        A weight shows that an open axis has another size.
    """

    def __init__(self, sizes: Sizes, table: LayersOfNodes) -> None:
        super().__init__(sizes)
        self._table = table
        self._scout = _Scout(sizes.model.limits)
        self._axes: dict[tuple[Value, int], Ids] = {}
        self._open: dict[int, tuple[Input, int]] = {}
        self._indices: dict[Value, list[Ids]] = {}
        self._alone: dict[Value, Value] = {}
        self.data: set[Value] = set()
        for item in sizes.inputs:
            self._start(item)

    def _start(self, item: Input) -> None:
        shape, limits = self.sizes.of(item.value).shape, self.sizes.model.limits
        if shape is None:
            return
        self._alone[item.value] = item.value
        self._indices[item.value] = []
        if all(size == 1 for size in shape):
            self._indices[item.value].append(self._scout.take(1).reshape(shape))
        for axis, size in enumerate(shape):
            if size > 1 and self._scout.count + size <= limits.neurons:
                ids = self._scout.take(size)
                self._axes[item.value, axis] = ids
                if item.shape is not None and item.shape[axis] is None:
                    self._open[int(ids[0])] = item, axis
                ids = ids.reshape([size if place == axis else 1 for place in range(len(shape))])
                self._indices[item.value].append(ids)

    def united(self, value: Value, axis: int, size: int) -> Ids:
        """Return, for each index along an axis of an input, the index of the lane that it belongs to."""
        ids = self._axes.get((value, axis))
        return np.zeros(min(size, 1), np.intp) if ids is None else self._scout.classes(ids)

    # Sizes.

    def node(self, node: Node) -> None:
        """Measure a node's results, and follow the indices through it."""
        self._check_open(node)
        self.sizes.measure(node)
        if any(value in self._indices for value in node.inputs):
            self._follow(node)

    def _check_open(self, node: Node) -> None:
        for position, axis, size in expected_sizes(
            node, [self.sizes.of(value).shape for value in node.inputs]
        ):
            value = node.inputs[position]
            if value is not None:
                for item, place in self._open_axes(value, axis):
                    raise OpenError(item.value.name, place, size)
                self.sizes.contradictions.append(node)

    def _open_axes(self, value: Value, axis: int) -> Iterator[tuple[Input, int]]:
        """Yield the open axis of an input that an axis of a value, counted from the end, simply is."""
        ways = (ids for ids in self._indices.get(value, ()) if ids.size and int(ids.flat[0]) in self._open)
        for ids in sorted(ways, key=lambda ids: int(ids.flat[0])):
            item, place = self._open[int(ids.flat[0])]
            own = self._axes[item.value, place]
            if ids.shape[axis] == len(own) and np.array_equal(ids.ravel(), own):
                yield item, place

    def branches(self, node: Node, value: Value, exits: Sequence[Value | None]) -> None:
        """Take what the branches of an If agree on: the shape of the first if ranks agree, no numbers."""
        options = [self.sizes.of(exit_) for exit_ in exits]
        known = [option for option in options if option.shape is not None]
        if len(options) == 1 or not known:
            self.sizes.put(value, options[0] if len(options) == 1 else UNKNOWN)
            return
        agreed = len({len(option.shape or ()) for option in known}) == 1
        self.sizes.put(value, Size(known[0].shape if agreed else None, known[0].dtype))

    def cycle(self, node: Node, cycle: Cycle) -> None:
        """Measure a loop in its first round."""
        trips = self.sizes.of(cycle.trips).array
        counted = trips is not None and trips.size > 0 and trips.dtype.kind in "iub"
        length = int(trips.ravel()[0]) if trips is not None and counted else 0
        length = length if 0 < length < 1 << 30 else 2
        for value, dtype in zip(cycle.counters, (TensorProto.INT64, TensorProto.BOOL), strict=False):
            self.sizes.put(value, Size((), dtype))
        for state in cycle.states:
            if state.begin not in self.sizes.model.carried:
                self.sizes.put(state.begin, _without_numbers(self.sizes.of(state.before)))
        for part in cycle.taken:
            length = self._take(part, length)
        self.scope(cycle.body.scope)
        for state in cycle.states:
            end = self.sizes.of(state.end)
            self.sizes.put(
                state.after, _without_numbers(self.sizes.of(state.before) if end.shape is None else end)
            )
        for part in cycle.stacked:
            self._stack(part, length)

    def _take(self, part: Slices, length: int) -> int:
        """Measure a slice, and unite along what it is taken from; return how many there are."""
        size = self.sizes.of(part.whole)
        if size.shape is not None:
            length = size.shape[part.axis]
            size = Size(tuple(np.delete(size.shape, part.axis).tolist()), size.dtype)
        self.sizes.put(part.one, size)
        for ids in self._indices.get(part.whole, ()) if part.whole is not None else ():
            self._scout.unite(ids, [part.axis])
        return length

    def _stack(self, part: Slices, length: int) -> None:
        size = self.sizes.of(part.one)
        if size.shape is not None:
            axis = part.axis % (len(size.shape) + 1)
            size = Size((*size.shape[:axis], length, *size.shape[axis:]), size.dtype)
        self.sizes.put(part.whole, _without_numbers(size))

    # Indices.

    def _follow(self, node: Node) -> None:
        """Send every array of indices through the node's rule, each as if the others were not there."""
        rule = RULES.get((node.domain, node.op_type))
        if rule is None or (node.domain, node.op_type) in SILENT or node.op_type in ("OneHot", "Equal"):
            return
        if self._table.skipped(node) is not None:
            return
        results, attributes = results_of(node), node.attributes()
        sources = [v for v in dict.fromkeys(node.inputs) if v is not None and v in self._indices]
        for source, ids in self._ways(node, sources):
            step = Step(node, results, {source: Lanes(ids)}, self.sizes, self._scout, self._table, Remarks())
            try:
                for value, lanes in answers(step, rule(step, **attributes)):
                    made = compressed(lanes.ids)
                    if made.size > 1 or ids.size == 1:
                        self._add(value, made)
            except _ArrivedError:
                if source in self._alone:
                    self.data.add(self._alone[source])
            except (Unclear, *MISFITS):
                continue
        if sources[0] in self._alone and self._is_alone(node, sources[0]):
            self._alone.update(
                (value, self._alone[sources[0]]) for value in node.outputs if value in self._indices
            )

    def _ways(self, node: Node, sources: Sequence[Value]) -> Iterator[tuple[Value, Ids]]:
        """Yield the arrays to send through a node, with the operands that have them.

        Where thousands of operands meet, most of them would change nothing: a result has as many arrays as it
        may have, or an operation that heeds no order has had the same.
        """
        sent: set[tuple[tuple[int, ...], bytes]] = set()
        wide = len(sources) > _WAYS and not self._table.uses(node)
        for source in sources:
            for ids in self._indices[source]:
                if wide and all(len(self._indices.get(value, ())) >= _WAYS for value in node.outputs):
                    return
                key = ids.shape, ids.tobytes() if wide and node.op_type in COMMUTATIVE else b""
                if key not in sent or not key[1]:
                    sent.add(key)
                    yield source, ids

    def _add(self, value: Value, ids: Ids) -> None:
        known = self._indices.setdefault(value, [])
        if len(known) < _WAYS and not any(np.array_equal(ids, other) for other in known):
            known.append(ids)

    def _is_alone(self, node: Node, source: Value | None) -> bool:
        others = [value for value in node.inputs if value is not None and value != source]
        return all(
            self.sizes.of(value).array is not None or value in self.sizes.constants for value in others
        )


class _ArrivedError(Exception):
    """A weight is met: from here on there are other neurons."""


class _Scout(GraphBuilder):
    """Stands in for the graph while indices go through: it makes no vertices, but unites indices."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._begins: list[int] = []
        self._spans: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        self._pairs: defaultdict[int, list[tuple[Ids, Ids]]] = defaultdict(list)

    def take(self, count: int) -> Ids:
        """Return numbers for the indices along an axis."""
        ids: Ids = np.arange(self.count, self.count + count)
        self._begins.append(self.count)
        self.count += count
        return ids

    def _axis(self, index: int) -> int:
        """Return the number of the axis that an index is one of."""
        return bisect_right(self._begins, index)

    def new(self, count: int, kind: str, name: str) -> Ids:
        """Make no vertices: indices go no further."""
        raise Unclear("indices are mixed")

    def reduce(self, ids: Ids, axes: Sequence[int], name: str) -> Ids:
        """Let one index stand for all along the axes."""
        wide = tuple(axis for axis in axes if ids.shape[axis] > 1)
        return ids.max(wide, keepdims=True) if wide else ids

    def alike(self, ids: Ids, axes: Sequence[int]) -> None:
        """Unite what a weight reads alike; indices go no further."""
        self.unite(ids, axes)
        raise _ArrivedError

    def unite(self, ids: Ids, axes: Sequence[int]) -> None:
        """Unite the indices along the axes, and those that a stretch of one axis leaves out between them."""
        wide = tuple(axis for axis in axes if ids.shape[axis] > 1)
        first = ids.max(wide, keepdims=True) if wide else ids
        if first.size == 1:
            low = ids.min() if ids.min() != NONE else ids[ids != NONE].min()
            self._spans[self._axis(int(low))].append((int(low), int(ids.max()) + 1))
        elif wide:
            one, other = np.broadcast_arrays(first, ids)
            different = (one != other) & (other != NONE)
            if different.any():
                one, other = one[different], other[different]
                self._pairs[self._axis(int(one[0]))].append((one, other))

    def classes(self, ids: Ids) -> Ids:
        """Return, for each index along an axis, the number of the class that it is united to."""
        begin, end = int(ids[0]), int(ids[-1]) + 1
        spans = [(low - begin, high - begin) for low, high in self._spans[self._axis(begin)]]
        pairs = [(a - begin, b - begin) for a, b in self._pairs[self._axis(begin)]]
        if (0, end - begin) in spans:
            return np.zeros(1, np.intp)
        return np.unique(_smallest(end - begin, spans, pairs), return_inverse=True)[1]


def _smallest(count: int, spans: Sequence[tuple[int, int]], pairs: Sequence[tuple[Ids, Ids]]) -> Ids:
    """Return the smallest index that each index is united with, by spans from and to, and by pairs."""
    labels: Ids = np.arange(count)
    while spans or pairs:
        before = labels.copy()
        for one, other in pairs:
            low = np.minimum(labels[one], labels[other])
            np.minimum.at(labels, one, low)
            np.minimum.at(labels, other, low)
        for begin, end in spans:
            labels[begin:end] = labels[begin:end].min()
        labels = labels[labels]
        if np.array_equal(labels, before):
            break
    return labels


def _without_numbers(size: Size) -> Size:
    return Size(size.shape, size.dtype)
