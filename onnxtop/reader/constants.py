"""Values that do not depend on the model's inputs: found by their ancestors, computed on demand.

A weight often stands behind a few constant nodes (a Transpose, a Cast, a Slice of a larger tensor). Only a
fixed list of operations of the ONNX standard is ever computed: no loop, no function, no custom domain. What
one value may cost is bounded before it is computed.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnxtop.reader.evaluate import bound, is_computed, is_decoder, keeps_elements, run
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.tensors import dtype_name

Array = NDArray[Any]

_KEPT_BYTES = 2**26  # computed results kept for reuse; a chain of aliases or one table used by many nodes


class UnreadableConstantError(Exception):
    """A constant cannot be computed; the message is the reason, written for the report."""


class Constants:
    """Tells which values of a model are constant, and computes them.

    Initializers are read anew each time (the operating system keeps the file's pages); computed results are
    kept up to 64 MiB in all.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._limit = max(2**28, 4 * model.byte_count)
        self._kept: OrderedDict[Value, Array] = OrderedDict()
        self._traces: dict[Value, tuple[Value, Node | None]] = {}
        self._shapes: dict[Value, tuple[int, ...]] = {}
        self._keys: dict[Any, Value] = {}
        self._derived: dict[Value, tuple[Value, Mapping[Value, Array]]] = {}
        self._constant = self._find()

    def _find(self) -> frozenset[Value]:
        known = set(self._model.tensors)
        carried: dict[Value, list[Value]] = {}
        for inner, initial in self._model.carried.items():
            carried.setdefault(initial, []).append(inner)
        stack = [value for value in known if value in carried]
        for node in self._model.nodes:
            inputs = [value for value in node.inputs if value is not None]
            if inputs and is_computed(node) and known.issuperset(inputs):
                made = [value for value in node.outputs if self._model.producers[value] is node]
                known.update(made)
                stack += [value for value in made if value in carried]
            while stack:  # what a body carries unchanged is as constant as what it starts with
                inner_values = carried[stack.pop()]
                known.update(inner_values)
                stack += [value for value in inner_values if value in carried]
        return frozenset(known)

    def __contains__(self, value: Value | None) -> bool:
        return value in self._constant or value in self._derived

    def derive(self, value: Value, given: Mapping[Value, Array]) -> Value:
        """Return a new constant: what a value is where others are as given."""
        key = value, tuple((item.index, array.shape, array.tobytes()) for item, array in given.items())
        if key not in self._keys:
            derived = Value(-1 - len(self._keys), value.name)
            self._keys[key] = derived
            self._derived[derived] = value, given
            origin, decoder = self._trace(value)
            self._traces[derived] = (origin if origin in self._constant else derived), decoder
        return self._keys[key]

    def base(self, value: Value) -> Value:
        """Return the value of the graph that a constant is, or is derived from."""
        return self._derived[value][0] if value in self._derived else value

    def origin(self, value: Value) -> Value:
        """Return the value that holds the same elements before any movement: what a weight is known by."""
        return self._trace(value)[0]

    def decoder(self, value: Value) -> Node | None:
        """Return the operation that decodes a constant from codes, None if it is stored as it is."""
        return self._trace(value)[1]

    def _trace(self, value: Value) -> tuple[Value, Node | None]:
        """Return the origin of a value, and the decoder that is nearest to it on the way there."""
        passed = []
        source: Value | None = value
        while source is not None and source not in self._traces:
            passed.append(source)
            source = self._model.carried.get(source) or self._moved_from(source)
        origin, decoder = (passed[-1], None) if source is None else self._traces[source]
        for here in reversed(passed):
            node = self._model.producers.get(here)
            decoder = node if node is not None and is_decoder(node) else decoder
            self._traces[here] = origin, decoder
        return self._traces[value]

    def _moved_from(self, value: Value) -> Value | None:
        node = self._model.producers.get(value)
        return node.inputs[0] if node is not None and keeps_elements(node) else None

    def fills(self) -> list[Value]:
        """Return the constants that a ConstantOfShape makes."""
        return [
            node.outputs[0]
            for node in self._model.nodes
            if node.outputs and node.outputs[0] in self and self.is_fill(node.outputs[0])
        ]

    def is_fill(self, value: Value) -> bool:
        """Tell whether a ConstantOfShape makes the value."""
        node = self._model.producers.get(value)
        return node is not None and node.op_type == "ConstantOfShape"

    def size(self, value: Value) -> int:
        """Return how many elements a constant has, 0 if it cannot be computed."""
        try:
            return math.prod(self.shape(value))
        except UnreadableConstantError:
            return 0

    def stored_as(self, value: Value) -> str:
        """Return the type in which a constant is stored, or computed to where it is not stored."""
        tensor = self._model.tensors.get(value)
        if tensor is not None:
            return dtype_name(tensor.data_type)
        try:
            return str(self.read(value).dtype.name)
        except UnreadableConstantError:
            return "float32"  # reading it again gives the reason

    def shape(self, value: Value) -> tuple[int, ...]:
        """Return the shape of a constant, without its data where its ancestors tell.

        Raises
        ------
        UnreadableConstantError
            It has to be computed, and cannot be.
        """
        passed: list[tuple[Value, Sequence[int] | None, bool]] = []
        while value not in self._shapes:
            node = self._model.producers.get(value)
            source = self._model.carried.get(value)
            moved = node is not None and (
                node.op_type in ("Cast", "Identity", "Transpose") or is_decoder(node)
            )
            if source is None and node is not None and moved and value not in self._model.tensors:
                source = node.inputs[0]
            if source is None:
                self._shapes[value] = self._own_shape(value)
                break
            transposed = node is not None and node.op_type == "Transpose"
            passed.append((value, node.attributes().get("perm") if node and transposed else None, transposed))
            value = source
        shape = self._shapes[value]
        for value, order, transposed in reversed(passed):
            if order is not None and sorted(order) != list(range(len(shape))):
                raise UnreadableConstantError(
                    f"a Transpose has the order {list(order)} for {len(shape)} axes"
                )
            if transposed:
                shape = shape[::-1] if order is None else tuple(shape[axis] for axis in order)
            self._shapes[value] = shape
        return shape

    def _own_shape(self, value: Value) -> tuple[int, ...]:
        tensor = self._model.tensors.get(value)
        if tensor is not None:
            return tuple(tensor.dims)
        if value in self._derived:
            return self.read(value).shape
        node = self._model.producers[value]
        if self.is_fill(value) and node.inputs[0] is not None:
            return tuple(int(size) for size in np.ravel(self.read(node.inputs[0])))
        return self.read(value).shape

    def require_data(self, value: Value) -> None:
        """Raise UnreadableConstantError if the value is a tensor that holds no data."""
        tensor = self._model.tensors.get(value)
        if tensor is not None and not self._model.files.has_data(tensor):
            raise UnreadableConstantError("its tensor declares dims but holds no data")

    def read(self, value: Value) -> Array:
        """Compute a constant.

        Raises
        ------
        UnreadableConstantError
            Its data is missing, it needs more memory than the limit, or the operation fails.
        """
        value, given = self._derived.get(value, (value, {}))
        return self.compute(value, given)

    def compute(self, value: Value, given: Mapping[Value, Array]) -> Array:
        """Compute a value where others are as given; see `read`."""
        done = dict(given)
        spent = 0
        for node in self._ancestors(value, done):
            inputs = [None if item is None else self._have(item, done) for item in node.inputs]
            spent += bound(node, inputs)
            if spent > self._limit:
                raise UnreadableConstantError(
                    f"computing it needs {spent} bytes or more, over the limit of {self._limit}"
                )
            done.update(zip(node.outputs, self._compute(node, inputs), strict=False))
        return self._have(value, done)

    def _ancestors(self, value: Value, done: dict[Value, Array]) -> list[Node]:
        """Return the nodes that must run for the value, in order; kept results go into ``done``."""
        needed: dict[int, Node] = {}
        stack = [value]
        while stack:
            item = self.outside(stack.pop())
            if item in self._model.tensors or item in done:
                continue
            if item in self._kept:
                self._kept.move_to_end(item)
                done[item] = self._kept[item]
                continue
            node = self._model.producers.get(item)
            if node is None:
                raise UnreadableConstantError(f"it depends on {item.name!r}")
            if node.index not in needed:
                needed[node.index] = node
                stack += [source for source in node.inputs if source is not None]
        return [needed[index] for index in sorted(needed)]

    def outside(self, value: Value) -> Value:
        """Return what a loop's body sees unchanged as the value outside that it is."""
        while value in self._model.carried:
            value = self._model.carried[value]
        return value

    def _have(self, value: Value, done: dict[Value, Array]) -> Array:
        value = self.outside(value)
        if value in done:
            return done[value]
        self.require_data(value)
        try:
            return self._model.files.read(self._model.tensors[value])
        except (ValueError, TypeError, KeyError, NotImplementedError) as error:
            raise UnreadableConstantError(f"tensor {value.name!r} cannot be read: {error}") from None

    def _compute(self, node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
        try:
            results = run(node, inputs, self._model.opset.get("ai.onnx", onnx.defs.onnx_opset_version()))
        except Exception as error:  # onnx's reference operations raise whatever NumPy does
            raise UnreadableConstantError(
                f"the constant node {node.op} {node.name!r} fails: {error}"
            ) from None
        if len(self._model.users.get(node.outputs[0], ())) > 1 and node.outputs[0] in self._constant:
            self._keep(zip(node.outputs, results, strict=False))
        return results

    def _keep(self, results: Iterable[tuple[Value, Array]]) -> None:
        self._kept.update(results)
        while sum(array.nbytes for array in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)
