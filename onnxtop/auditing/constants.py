"""Constants beside the weights that ruin what a model computes: not finite, or a normalisation of nothing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.auditing.infinities import Infinities, is_scale
from onnxtop.reader.account import Account, Role
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.encoding import is_weight_type
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.names import node_name
from onnxtop.reader.ops import NORMALISATION
from onnxtop.reader.protos import floats_in
from onnxtop.reader.search import folded, reached
from onnxtop.results.report import SCALE_OF_ZERO, BadConstant
from onnxtop.statistics.quantisation import VANISHING

Array = NDArray[Any]

_COMPARED = ("cats_", "default_", "keys_", "nodes_", "replaced_value_")
"""Beginnings of attributes that are compared with, or stand for what is missing: NaN is healthy there."""

_BATCH = ("", "BatchNormalization")
_VARIANCE = 4
_SCALE = 1
_EPSILON = 1e-5


def bad_constants(
    model: Model, constants: Constants, layers: Sequence[Layer | Skipped], counts: Account
) -> tuple[BadConstant, ...]:
    """Look at every constant that reaches an output, but for the analysed weights, which have figures.

    What is looked at is what an operation takes: a constant that is computed (folded by the exporter or not)
    may overflow where its tensors do not. Infinite bounds and masks are healthy (see `infinities`). Numbers
    in attributes count as well.
    """
    return tuple(_Look(model, constants, layers, counts).all())


def moved_normalisation(constants: Constants, counts: Account) -> str | None:
    """Return the name of a parameter of normalisation with entries that differ; None if there is none."""
    for entry in counts.entries:
        if entry.role is Role.NORMALISATION and entry.elements > 1:
            try:
                array = constants.read(entry.value).ravel()
            except UnreadableConstantError:
                continue
            if (array != array[0]).any():
                return entry.value.name
    return None


class _Look:
    def __init__(
        self, model: Model, constants: Constants, layers: Sequence[Layer | Skipped], counts: Account
    ) -> None:
        self._model, self._constants = model, constants
        self._roles = {entry.value: entry.role for entry in counts.entries}
        uses = [(use, layer) for layer in layers for use in layer.used_by]
        self._layers = {use.node.index: layer.name for use, layer in reversed(uses)}
        self._weights = {
            (use.node.index, use.operand) for use, layer in uses if isinstance(layer, Layer) and use.reading
        }
        self._infinities = Infinities(model, constants)
        self._near: dict[Node, tuple[float, str | None]] = {}

    def all(self) -> Iterator[BadConstant]:
        for node in self._model.nodes:
            if not any(value in self._living for value in node.outputs):
                continue
            if node.outputs[0] in self._constants:
                continue
            for position, value in enumerate((*node.inputs, *self._model.held.get(node.index, ()))):
                if value is not None and value in self._constants and not self._is_weight(node, value):
                    yield from self._faults(node, position, value)
            yield from self._in_attributes(node)

    def _is_weight(self, node: Node, value: Value) -> bool:
        return (node.index, value) in self._weights

    @cached_property
    def _living(self) -> frozenset[Value]:
        """Values that reach an output of the model."""
        ends = {output.name for output in self._model.proto.graph.output}
        starts = [value for value in self._model.results if value.name in ends]
        return frozenset(reached(starts, partial(self._behind, set())))

    def _behind(self, passed: set[int], value: Value) -> list[Value]:
        """Return what a value is made of; of a node with many results, once for all of them."""
        node = self._model.producers.get(value)
        if node is None:
            return [self._model.carried[value]] if value in self._model.carried else []
        if node.index in passed:
            return []
        passed.add(node.index)
        return [item for item in node.inputs if item is not None] + self._inside.get(node.index, [])

    @cached_property
    def _inside(self) -> Mapping[int, list[Value]]:
        """What the bodies of a node end with, by its index."""
        return {
            index: [value for body in bodies for value in body.outputs if value is not None]
            for index, bodies in self._model.scope.all_bodies()
        }

    def _faults(self, node: Node, position: int, value: Value) -> Iterator[BadConstant]:
        if not is_weight_type(self._constants.stored_as(value)):
            return
        try:
            array = self._constants.read(value)
        except UnreadableConstantError:
            return  # the account says what could not be read
        role = self._roles.get(self._constants.origin(value), Role.OTHER)
        for problem, bad in (
            *_problems(node, position, array),
            ("infinite", self._infinite(node, position, array, role)),
        ):
            yield from self._bad(node, value.name, role, problem, bad)

    def _infinite(self, node: Node, position: int, array: Array, role: Role) -> Array:
        """Tell which entries are infinite where that is no bound and no mask."""
        if role is not Role.OTHER:
            return np.isinf(array)
        if position >= len(node.inputs):  # held by an attribute
            return np.zeros(array.shape, bool)
        return self._infinities.ruined_by(node, position, array)

    def _in_attributes(self, node: Node) -> Iterator[BadConstant]:
        """Look at the numbers of a node's attributes, but for those that are operands like any other."""
        for name, numbers in floats_in(node.proto).items():
            if name.startswith(_COMPARED):
                continue
            whole = f"{node.name or node.outputs[0].name}.{name}"
            yield from self._bad(node, whole, Role.OTHER, "NaN", np.isnan(numbers))
            if np.isinf(numbers).any() and self._infinities.ruins_all(node):
                yield from self._bad(node, whole, Role.OTHER, "infinite", np.isinf(numbers))

    def _bad(self, node: Node, name: str, role: Role, problem: str, bad: Array) -> Iterator[BadConstant]:
        if count := int(np.count_nonzero(bad)):
            yield BadConstant(
                name=name,
                role=role.name.lower(),
                op_type=node.op,
                node=node_name(node),
                layer=self._layer_behind(node),
                problem=problem,
                count=count,
            )

    def _layer_behind(self, node: Node) -> str | None:
        """Return the layer of a node, else the nearest one that it takes results of."""
        return folded(node, self._before, self._nearer, self._near)[1]

    def _before(self, node: Node) -> list[Node]:
        if node.index in self._layers:
            return []
        values = (value for value in node.inputs if value is not None)
        made = (self._model.producers.get(value) for value in values if value not in self._constants)
        return [producer for producer in made if producer is not None]

    def _nearer(self, node: Node, before: Sequence[tuple[float, str | None]]) -> tuple[float, str | None]:
        """Return how far the nearest layer is, and its name: the node's own, or that of an operand."""
        own = self._layers.get(node.index)
        steps, name = min(before, key=itemgetter(0), default=(math.inf, None))
        return (0, own) if own is not None else (steps + 1, name)


def _problems(node: Node, position: int, array: Array) -> Iterator[tuple[str, Any]]:
    """Yield what may be wrong with a constant operand but for infinities, and with which of its entries."""
    op = node.domain, node.op_type
    yield "NaN", np.isnan(array)
    if is_scale(node, position):
        yield SCALE_OF_ZERO, np.abs(array.astype(np.float64)) < VANISHING
    attributes = node.attributes()
    if op == _BATCH and position == _VARIANCE and not attributes.get("training_mode"):
        yield "a variance that is not positive", array + attributes.get("epsilon", _EPSILON) <= 0
    scaled = op != _BATCH and position == _SCALE and node.op_type.endswith("Normalization")
    if scaled and op in NORMALISATION and array.size and not array.any():
        yield "a scale of nothing but zeros", array == 0
