"""Shapes, and what sizes alone make: settings that come out the same whatever sizes stay open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.constants import Constants, UnreadableConstantError, tells
from onnxtop.reader.declared import Shape
from onnxtop.reader.evaluate import is_computed
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.ops.tables import SIZES
from onnxtop.reader.search import reached
from onnxtop.reader.skeleton import infer_shapes

_STAND_INS = (7919, 104729)
"""Two sizes for every one that is not known: what comes out the same with both does not depend on it."""

_SMALL_BYTES = 2**10
"""Settings that are kept for those that are made of them."""

Setting = NDArray[Any]


@dataclass(eq=False)
class Shapes:
    """Knows the shapes of a model, and computes what is made of these and of constants."""

    model: Model
    constants: Constants
    _settings: dict[Value, Setting | None] = field(default_factory=dict)
    _with: dict[int, dict[Value, Setting]] = field(default_factory=dict)

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        """Return the shapes that are inferred; of an axis of one entry, a Slice of any bounds leaves one."""
        shapes = infer_shapes(self.model)
        for node in self.model.nodes:
            if (node.domain, node.op_type) == ("", "Slice") and node.inputs[0] is not None:
                before, name = self._known(node.inputs[0], shapes), node.outputs[0].name
                after = shapes.get(name, ())
                if before and len(before) == len(after):
                    shapes[name] = tuple(
                        1 if own == 1 else size for own, size in zip(before, after, strict=True)
                    )
        return shapes

    def dims(self, value: Value) -> Shape | None:
        """Return the shape of a value, None for an open size; None where not even the rank is known."""
        return self._known(value, None)

    def _known(self, value: Value, shapes: Mapping[str, Shape] | None) -> Shape | None:
        if value not in self.constants:
            return (self._shapes if shapes is None else shapes).get(value.name)
        try:
            return self.constants.shape(value)
        except UnreadableConstantError:
            return None

    def setting(self, value: Value) -> Setting | None:
        """Return a setting that comes out the same for two stand-ins of every size that is not known."""
        if value not in self._sized:
            return None
        if value not in self._settings:
            try:
                one, other = (self.with_sizes(value, size) for size in _STAND_INS)
                same = one.shape == other.shape and bool(np.array_equal(one, other))
            except (UnreadableConstantError, ValueError, IndexError, KeyError):
                same = False
            self._settings[value] = one if same else None
        return self._settings[value]

    @cached_property
    def longest_axis(self) -> int:
        """The longest axis of any stored tensor that has more than one of several entries."""
        stored = (tensor.dims for tensor in self.model.tensors.values())
        return max((max(dims) for dims in stored if sum(size > 1 for size in dims) > 1), default=1)

    @cached_property
    def _sized(self) -> set[Value]:
        """The values that are made of sizes and constants alone."""
        found: set[Value] = set()
        for node in self.model.nodes:
            inputs = [value for at, value in enumerate(node.inputs) if value is not None and tells(node, at)]
            made = is_computed(node) and all(
                value in self.constants or self.constants.outside(value) in found for value in inputs
            )
            if is_size(node) or made:
                found.update(value for value in node.outputs if value not in self.constants)
        return found

    def with_sizes(self, value: Value, stand_in: int) -> Setting:
        """Return a value that sizes make, with one size in place of every one that is not known."""
        known = self._with.setdefault(stand_in, {})
        given = {}
        for here in reached([value], lambda here: () if here in known else self._behind(here)):
            node = self.model.producers.get(here)
            if here in known:
                given[here] = known[here]
            if here in known or here in self.constants or here in self.model.carried:
                continue
            if node is not None and is_size(node) and node.inputs[0] is not None:
                dims = self.dims(node.inputs[0])
                if dims is None:
                    raise UnreadableConstantError("its rank is not known")
                sizes = np.array([stand_in if size is None else size for size in dims], np.int64)
                part = slice(node.attributes().get("start", 0), node.attributes().get("end"))
                given[here] = sizes[part] if node.op_type == "Shape" else np.asarray(sizes.prod())
        result = self.constants.compute(value, given)
        if result.nbytes <= _SMALL_BYTES:
            known[value] = result
        return result

    def _behind(self, value: Value) -> list[Value]:
        node = self.model.producers.get(value)
        if value in self.constants or value in self.model.carried or node is None or is_size(node):
            return []
        return [item for item in node.inputs if item is not None]


def is_size(node: Node) -> bool:
    """Tell whether a node gives the sizes of its input."""
    return (node.domain, node.op_type) in SIZES


def wide_axes(dims: Shape) -> set[int]:
    """Return the axes of more than one entry, counted from the end."""
    return {place - len(dims) for place, size in enumerate(dims) if size != 1}
