"""Which layers a node uses, as the network graph wants to know them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxtop.network import Weights
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.evaluate import keeps_elements
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.reading import Reading


@dataclass(frozen=True, eq=False)
class WeightOfNode:
    """One weight as one node uses it.

    ``layer`` counts the network graph's layers; ``position`` is that of the operand, -1 for an attribute;
    ``matrices`` are the sizes (n_in, n_out) of its matrices; ``shape`` is the decoded operand's, and ``taps``
    that of the kernel.
    """

    layer: int
    position: int
    part: str
    matrices: tuple[tuple[int, int], ...]
    shape: tuple[int, ...]
    taps: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Route:
    """The value that holds a weight's elements, and the operations that move them, with what they read."""

    origin: Value
    steps: tuple[tuple[str, dict[str, Any], tuple[Value | None, ...]], ...] = ()


class LayersOfNodes:
    """Finds the layers that a node uses.

    A layer's matrices are turned as its first use wants them. A use that wants them otherwise (an embedding
    that is also the head, transposed) gets an entry of its own at the end of ``weights``, under the same name
    and with the same numbers. ``unrolled`` says whether positions of convolutions are neurons of their own.
    """

    def __init__(
        self,
        model: Model,
        constants: Constants,
        layers: Sequence[Layer | Skipped],
        *,
        unrolled: bool = False,
    ) -> None:
        self.unrolled = unrolled
        self._model = model
        self._constants = constants
        self.layers = [layer for layer in layers if isinstance(layer, Layer)]
        self.weights = [Weights(layer.name, layer.blocks) for layer in self.layers]
        self._readings: dict[int, list[tuple[int, Reading]]] = {}
        for place, layer in enumerate(self.layers):
            for use in layer.used_by:
                if use.reading is not None:
                    self._readings.setdefault(use.node.index, []).append((place, use.reading))
        uses = [(layer, use) for layer in layers for use in layer.used_by]
        self._unread = {
            use.node.index: use.reason or layer.reason for layer, use in uses if isinstance(layer, Skipped)
        }
        self._unread_here = {use.node.index: use.reason for _, use in uses if use.reading is None}
        self._routes: dict[Value, _Route] = {}
        self._views: dict[tuple[int, int], int] = {}
        self._found: dict[int, tuple[WeightOfNode, ...]] = {}

    def uses(self, node: Node) -> tuple[WeightOfNode, ...]:
        """Return the node's uses of layers, none if it has no weights or none that is read."""
        if node.index not in self._found:
            self._found[node.index] = tuple(self._uses(node))
        return self._found[node.index]

    def experts(self, node: Node) -> list[tuple[WeightOfNode, ...]]:
        """Return the uses of each expert that the node chooses between, with the parts' own names."""
        experts: dict[str, list[WeightOfNode]] = {}
        for use in self.uses(node):
            if use.part.startswith("expert"):
                name, _, part = use.part.partition(".")
                experts.setdefault(name, []).append(replace(use, part=part))
        return [tuple(uses) for uses in experts.values()]

    def skipped(self, node: Node) -> str | None:
        """Return why a weight that reaches the node is not read; None if there is none."""
        if node.index in self._unread or self.uses(node):
            return self._unread.get(node.index)
        return self._unread_here.get(node.index)

    def _uses(self, node: Node) -> list[WeightOfNode]:
        found = []
        for place, reading in self._readings.get(node.index, ()):
            try:
                found.append(self._use(place, node, reading))
            except (UnreadableConstantError, ValueError, IndexError, ZeroDivisionError, TypeError):
                return []
        return found

    def _use(self, place: int, node: Node, reading: Reading) -> WeightOfNode:
        operand = reading.operands[0]
        assert operand is not None
        shape = reading.decoded_shape or self._constants.shape(operand)
        nothing = np.broadcast_to(np.float32(0), shape)
        sizes = tuple((block.shape[0], block.shape[1]) for block in reading.blocks(nothing))
        taps = reading.kernel(nothing).weights.shape if reading.kernel is not None else ()
        base = self._constants.base(operand)
        position = node.inputs.index(base) if base in node.inputs else -1
        return WeightOfNode(
            self._turned(place, node, reading, sizes), position, reading.part, sizes, shape, taps
        )

    def _turned(self, place: int, node: Node, reading: Reading, sizes: tuple[tuple[int, int], ...]) -> int:
        """Return the layer, or a view of it for a use that wants its matrices turned."""
        layer = self.layers[place]
        source = layer.source
        if source.node is node or (
            source.node.op_type == node.op_type
            and source.node.attributes() == node.attributes()
            and self._route(source.reading) == self._route(reading)
        ):
            return place
        key = place, node.index
        if key not in self._views:
            view = Layer(**{**vars(layer), "source": type(source)(source.constants, node, reading, None)})
            self._views[key] = place if _same(layer, view, sizes) else self._add(view)
        return self._views[key]

    def _route(self, reading: Reading) -> "_Route":
        """Return where the stored weight is and what moves it to its use, found once for every value."""
        value = reading.operands[0]
        assert value is not None
        passed: list[Value] = []
        while value not in self._routes:
            source = self._constants.before(value)
            if source is None:
                self._routes[value] = _Route(value)
            else:
                passed.append(value)
                value = source
        route = self._routes[value]
        for here in reversed(passed):
            node = self._model.producers.get(here)
            if node is not None and keeps_elements(node) and node.op_type != "Identity":
                step = node.op_type, node.attributes(), node.inputs[1:]
                route = _Route(route.origin, (*route.steps, step))
            self._routes[here] = route
        return route

    def _add(self, view: Layer) -> int:
        self.weights.append(Weights(view.name, view.blocks))
        return len(self.weights) - 1


def _same(layer: Layer, view: Layer, sizes: tuple[tuple[int, int], ...]) -> bool:
    """Compare two readings of one weight by sizes, then by samples, which a scale leaves proportional."""
    nothing = np.broadcast_to(np.float32(0), layer.source.reading.decoded_shape or _shape(layer))
    if tuple(block.shape for block in layer.source.reading.blocks(nothing)) != sizes:
        return False
    rng = np.random.default_rng(0)
    ours = theirs = 0.0
    pairs = []
    for one, other in zip(layer.blocks(), view.blocks(), strict=True):
        rows, columns = (rng.integers(0, size, 4096) for size in one.shape)
        pairs.append((one[rows, columns].astype(np.float64), other[rows, columns].astype(np.float64)))
        ours, theirs = ours + float(np.abs(pairs[-1][0]).sum()), theirs + float(np.abs(pairs[-1][1]).sum())
    ratio = ours / theirs if theirs else 1.0
    return all(np.allclose(one, other * ratio, rtol=1e-4, equal_nan=True) for one, other in pairs)


def _shape(layer: Layer) -> tuple[int, ...]:
    operand = layer.source.reading.operands[0]
    assert operand is not None
    return layer.source.constants.shape(operand)
