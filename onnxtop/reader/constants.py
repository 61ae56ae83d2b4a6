"""Values that do not depend on the model's inputs: found by their ancestors, computed on demand.

A weight often stands behind a few constant nodes (a Transpose, a Cast, a Slice of a larger tensor). Any
operation of the ONNX standard is computed: nothing random, no loop, no custom domain. The result of an If
whose condition is constant is that of the branch it takes. What one value may cost is bounded beforehand.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import shorten
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnxtop.reader.bounds import EvaluationBudget, OverBudgetError
from onnxtop.reader.element_types import ElementTypes
from onnxtop.reader.encoding import is_code_type, is_weight_type
from onnxtop.reader.evaluate import decoded_type, is_computed, is_decoder, keeps_elements, run
from onnxtop.reader.model import Model, Node, Subgraph, Value
from onnxtop.reader.tensors import dtype_name, stored_bytes

Array = NDArray[Any]

_SMALL_BYTES = 2**10  # results that are kept whoever uses them
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
        self._one_at_a_time = threading.RLock()  # layers may be measured in several threads
        self._limits = model.limits.with_room(max(model.byte_count, _largest_tensor(model)))
        self.opset = model.opset.get("ai.onnx", onnx.defs.onnx_opset_version())
        self._kept: OrderedDict[Value, Array] = OrderedDict()
        self._kept_bytes = 0
        self._failed: dict[Value, str] = {}
        self._traces: dict[Value, tuple[Value, Node | None]] = {}
        self._shapes: dict[Value, tuple[int, ...]] = {}
        self._keys: dict[Any, Value] = {}
        self._firsts: dict[Any, Value] = {}
        self._derived: dict[Value, tuple[Value, Mapping[Value, Array]]] = {}
        self._same = dict(model.carried)  # what a body carries, or an If hands on, and the value that it is
        self._branches = {
            node.index: bodies
            for node, bodies in model.bodies.items()
            if (node.domain, node.op_type) == ("", "If")
        }
        self._places: dict[int, dict[Value, int]] = {}  # of the results of an If, among all that it names
        self._types = ElementTypes(model)
        self._constant: set[Value] = set()
        self._find()

    def _find(self) -> None:
        """Find what follows from constants: each node once, when the last of its inputs is known."""
        missing = {
            node.index: sum(value is not None and tells(node, at) for at, value in enumerate(node.inputs))
            for node in self._model.nodes
        }
        others: dict[Value, list[Value]] = {}  # what a value is called in a body, or outside of one
        for inner, outside in self._model.carried.items():
            others.setdefault(outside, []).append(inner)
        waiting: dict[Value, list[_Outcome]] = {}
        stack = list(self._model.tensors)
        while stack:
            value = stack.pop()
            if value in self:
                continue
            self._constant.add(value)
            stack += others.get(value, ())
            for outcome in waiting.pop(value, ()):
                outcome.missing.discard(value)
                stack += self._settle(outcome)
            for node in self._completed(value, missing):
                if self._is_computed(node):
                    stack += [made for made in node.outputs if self._model.producers[made] is node]
                for outcome in self._outcomes(node):
                    for inner in outcome.missing:
                        waiting.setdefault(inner, []).append(outcome)
                    stack += self._settle(outcome)

    def _completed(self, value: Value, missing: dict[int, int]) -> list[Node]:
        """Return the nodes whose last missing input a value is."""
        uses = [use for use in self._model.users.get(value, ()) if tells(use.node, use.position)]
        for use in uses:
            missing[use.node.index] -= 1
        return list(dict.fromkeys(use.node for use in uses if not missing[use.node.index]))

    def _is_computed(self, node: Node) -> bool:
        """Tell whether a node with constant inputs is computed: Dropout is not if one says that it trains."""
        training = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
        try:
            return is_computed(node) and (training is None or not self.read(training).any())
        except UnreadableConstantError:
            return False

    def _outcomes(self, node: Node) -> Iterator["_Outcome"]:
        """Yield what the results of an If are whose condition is constant, if it is one."""
        bodies: Sequence[Subgraph] = self._branches.get(node.index, ())
        reason = ""
        if bodies and node.inputs[0] is not None:
            try:
                taken = "then_branch" if _truth(self.read(node.inputs[0])) else "else_branch"
                bodies = [body for body in bodies if body.name == taken]
            except UnreadableConstantError as error:
                reason = f"the condition of {node.op} {node.name!r} cannot be computed: {error}"
        for place, value in node.placed() if bodies else ():
            inner = [body.outputs[place] for body in bodies if place < len(body.outputs)]
            if self._model.producers[value] is node and inner and None not in inner:
                held = [item for item in inner if item is not None]
                yield _Outcome(value, held, reason, {item for item in held if item not in self})

    def _settle(self, outcome: "_Outcome") -> list[Value]:
        """Return the value of an outcome that has become constant, noting what it is."""
        if outcome.missing:
            return []
        if outcome.reason:
            self._failed[outcome.value] = outcome.reason
        else:
            self._same[outcome.value] = outcome.inner[0]
        return [outcome.value]

    def __contains__(self, value: Value | None) -> bool:
        return value in self._constant or value in self._derived

    def derive(self, value: Value, given: Mapping[Value, Array], form: Hashable = None) -> Value:
        """Return a new constant: what a value is where others are as given.

        Constants of the same ``form``, where the same is given, hold the same elements: their origin is the
        first of them.
        """
        numbers = tuple((array.shape, array.tobytes()) for array in given.values())
        key = value, tuple(item.index for item in given), numbers
        if key not in self._keys:
            derived = Value(-1 - len(self._keys), value.name)
            self._keys[key] = derived
            self._derived[derived] = value, given
            first = self._firsts.setdefault((form or value, numbers), derived)
            origin, decoder = self._trace(value)
            self._traces[derived] = (origin if origin in self._constant else first), decoder
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
            source = self.before(source)
        origin, decoder = (passed[-1], None) if source is None else self._traces[source]
        for here in reversed(passed):
            node = self._model.producers.get(here)
            decoder = node if node is not None and is_decoder(node) else decoder
            self._traces[here] = origin, decoder
        return self._traces[value]

    def before(self, value: Value) -> Value | None:
        """Return what a value was one step before: handed on by a body or an If, moved, or decoded.

        None where its elements begin.
        """
        if value in self._same:
            return self._same[value]
        node = self._model.producers.get(value)
        return node.inputs[0] if node is not None and keeps_elements(node) and self._holds(node) else None

    def _holds(self, node: Node) -> bool:
        """Tell whether a cast is to a type that holds what it is given; floats are rounded, not cut."""
        given, like = (*node.inputs, None)[:2]
        if node.domain or node.op_type not in ("Cast", "CastLike") or given is None:
            return True
        told = self._types.of(like) if like is not None else node.attributes().get("to", 0)
        name = dtype_name(told)
        if not told or (is_weight_type(name) and not is_code_type(name)):
            return True
        try:
            before, after = map(helper.tensor_dtype_to_np_dtype, (self._types.of(given), told))
            return np.can_cast(before, after)
        except (KeyError, TypeError):  # no type that there is
            return False

    def fills(self) -> list[Value]:
        """Return the constants that a ConstantOfShape makes."""
        made = (node.outputs[0] for node in self._model.nodes)
        return [value for value in made if value in self and self.is_fill(value)]

    def is_fill(self, value: Value) -> bool:
        """Tell whether a ConstantOfShape makes the value."""
        node = self._model.producers.get(value)
        return node is not None and node.op_type == "ConstantOfShape"

    def exits(self, value: Value) -> list[Value]:
        """Return what the branches end with of the If that makes a value; nothing for other values."""
        node = self._model.producers.get(value)
        if node is None or node.index not in self._branches:
            return []
        if node.index not in self._places:
            pairs = ((value, place) for place, value in reversed(node.placed()))
            self._places[node.index] = dict(pairs)  # of two of one name the first
        place = self._places[node.index][value]
        exits = (body.outputs[place] for body in self._branches[node.index] if place < len(body.outputs))
        return [item for item in exits if item is not None]

    @cached_property
    def lookups_of_codes(self) -> Mapping[Value, Sequence[Node]]:
        """The Gathers that look up stored codes, by their index; nothing is computed to find them."""
        found: dict[Value, list[Node]] = {}
        for node in self._model.nodes:
            table, index = (*node.inputs[:2], None, None)[:2]
            if node.op_type != "Gather" or table is None or index is None or table not in self:
                continue
            stored = self._model.tensors.get(self.origin(table))
            if stored is not None and is_code_type(dtype_name(stored.data_type)):
                found.setdefault(index, []).append(node)
        return found

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
        node = self._model.producers.get(value)
        decodes = node is not None and node.op_type == "DequantizeLinear"
        scale = (*node.inputs, None, None)[1] if node is not None and decodes else None
        if node is not None and scale is not None and value not in self._derived:
            told = node.attributes().get("output_dtype")
            return dtype_name(told) if told else self.stored_as(scale)
        try:
            decoded = self.decoded_type(value)
            kind = self.read(value).dtype if decoded is None else decoded
            return dtype_name(helper.np_dtype_to_tensor_dtype(kind))
        except UnreadableConstantError:
            return "float32"  # reading it again gives the reason

    def decoded_type(self, value: Value) -> np.dtype[Any] | None:
        """Return the type of a constant that is certainly decoded from stored codes, without reading one.

        None where it has to be computed to see whether it can be.
        """
        node = self._model.producers.get(value)
        tensors = {item: self._model.tensors.get(item) for item in node.inputs if item} if node else {}
        if node is None or not is_decoder(node) or value not in self._constant or None in tensors.values():
            return None
        try:
            outlines = {item: self.outline(item) for item in tensors}
            given = [None if item is None else outlines[item] for item in node.inputs]
            return decoded_type(node, given, self.opset, EvaluationBudget(self._limits))
        except (UnreadableConstantError, ValueError, TypeError, LookupError):
            return None

    def outline(self, value: Value) -> Array:
        """Return an array with the shape and the type of a stored tensor, and nothing in it.

        Raises
        ------
        UnreadableConstantError, ValueError, LookupError
            It holds no data, is sparse, or is computed.
        """
        tensor = self._model.tensors[value]
        self.require_data(value)
        if self._model.files.is_sparse(tensor):
            raise ValueError("its zeros may be too many to be written out")
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.broadcast_to(np.zeros((), kind), tuple(tensor.dims))

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
            source = self._same.get(value)
            moved = node is not None and (
                node.op_type in ("Cast", "CastLike", "Identity", "Transpose") or is_decoder(node)
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
            return self._filled_shape(self.read(node.inputs[0]))
        return self.read(value).shape

    def _filled_shape(self, given: Array) -> tuple[int, ...]:
        """Return the shape that a ConstantOfShape is given, if it is one."""
        sizes = np.ravel(given)
        if sizes.dtype.kind not in "iu" or (sizes < 0).any():
            what = "negative sizes" if sizes.dtype.kind in "iu" else f"sizes of type {sizes.dtype}"
            raise UnreadableConstantError(f"{what} are given to a ConstantOfShape")
        shape = tuple(sizes.tolist())
        if (count := math.prod(shape)) > self._limits.elements:
            raise UnreadableConstantError(f"a ConstantOfShape wants {self._limits.most('elements', count)}")
        return shape

    def require_data(self, value: Value) -> None:
        """Raise UnreadableConstantError if the value is a tensor that holds no data."""
        tensor = self._model.tensors.get(value)
        if tensor is not None and not self._model.files.has_data(tensor):
            raise UnreadableConstantError("its tensor declares dims but holds no data")

    def read(self, value: Value, *, aligned: bool = True) -> Array:
        """Compute a constant; if not ``aligned``, one that is stored lies in memory as it does in the file.

        Raises
        ------
        UnreadableConstantError
            Its data is missing, it needs more memory than the limit, or the operation fails.
        """
        try:
            return self.compute(*self._derived.get(value, (value, {})), aligned=aligned)
        except UnreadableConstantError as error:
            self._failed[value] = str(error)  # it is asked for again: by its size, its type, each of its uses
            raise

    def digest_of(self, array: Array) -> str:
        """Return the digest of an array's elements; the bytes of what is stored are hashed once."""
        return self._model.files.digest_of(array)

    def compute(self, value: Value, given: Mapping[Value, Array], *, aligned: bool = True) -> Array:
        """Compute a value where others are as given; see `read`."""
        done = dict(given)
        budget = EvaluationBudget(self._limits)
        with self._one_at_a_time:
            for node in self._ancestors(value, done):
                inputs = [self._operand(item, done) for item in node.inputs]
                results = dict(zip(node.outputs, self._compute(node, inputs, budget), strict=False))
                done.update(results)
                if not given:  # so that who asks for the shapes on a long way goes it once
                    self._shapes.update((item, array.shape) for item, array in results.items())
            return self._have(value, done, aligned=aligned)

    def _ancestors(self, value: Value, done: dict[Value, Array]) -> list[Node]:
        """Return the nodes that must run for the value, in order; kept results go into ``done``."""
        needed: dict[int, Node] = {}
        stack = [value]
        while stack:
            item = self.outside(stack.pop())
            if item in self._failed and item in self._constant:
                raise UnreadableConstantError(self._failed[item])
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
                stack += [item for at, item in enumerate(node.inputs) if item is not None and tells(node, at)]
        return [needed[index] for index in sorted(needed)]

    def outside(self, value: Value) -> Value:
        """Return what a loop's body sees unchanged, or an If hands on, as the value that it is."""
        while value in self._same:
            value = self._same[value]
        return value

    def _operand(self, value: Value | None, done: dict[Value, Array]) -> Array | None:
        """Return an operand, None where it is left out; CastLike wants the type alone of another."""
        if value is None or value in self or value in done:
            return None if value is None else self._have(value, done)
        kind = self._types.of(value)
        if not kind:
            raise UnreadableConstantError(f"the type of {value.name!r}, which it is cast to, is not known")
        return np.empty(0, helper.tensor_dtype_to_np_dtype(kind))

    def _have(self, value: Value, done: dict[Value, Array], *, aligned: bool = True) -> Array:
        value = self.outside(value)
        if value in done:
            return done[value]
        if value not in self._model.tensors:
            raise UnreadableConstantError(f"the node that makes {value.name!r} gives no such result")
        self.require_data(value)
        try:
            return self._model.files.read(self._model.tensors[value], aligned=aligned)
        except ValueError as error:
            raise UnreadableConstantError(f"tensor {value.name!r} cannot be read: {error}") from None

    def _compute(
        self, node: Node, inputs: Sequence[Array | None], budget: EvaluationBudget
    ) -> Sequence[Array]:
        try:
            results = run(node, inputs, self.opset, budget)
        except OverBudgetError as error:
            raise UnreadableConstantError(str(error)) from None
        except Exception as error:  # onnx's reference operations raise whatever NumPy does
            reason = shorten(str(error) or type(error).__name__, 240)
            name = f"{node.op} {node.name!r}" if node.name else node.op
            raise UnreadableConstantError(f"the constant node {name} fails: {reason}") from None
        small = sum(array.nbytes for array in results) <= _SMALL_BYTES
        uses = sum(len(self._model.users.get(value, ())) for value in node.outputs)
        if node.outputs[0] in self._constant and (small or uses > 1):
            self._keep(zip(node.outputs, results, strict=False))
        return results

    def _keep(self, results: Iterable[tuple[Value, Array]]) -> None:
        for value, array in results:
            if value not in self._kept:
                self._kept[value] = array
                self._kept_bytes += array.nbytes + _SMALL_BYTES
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes + _SMALL_BYTES


@dataclass(frozen=True, eq=False)
class _Outcome:
    """A result of an If: what it is in the branch that is taken, or in each where a reason forbids to tell.

    ``missing`` are those that are not known to be constant yet.
    """

    value: Value
    inner: Sequence[Value]
    reason: str
    missing: set[Value]


def tells(node: Node, position: int) -> bool:
    """Tell whether a node's results depend on an input: CastLike wants no more than the type of another."""
    return (node.domain, node.op_type, position) != ("", "CastLike", 1)


def _largest_tensor(model: Model) -> int:
    """Return the bytes of the largest tensor that is stored, in the file or beside it."""
    held = (tensor for tensor in model.tensors.values() if not model.files.is_sparse(tensor))
    return max((stored_bytes(tensor) or 0 for tensor in held if model.files.has_data(tensor)), default=0)


def _truth(condition: Array) -> bool:
    if condition.size != 1:
        raise UnreadableConstantError(f"it has the shape {condition.shape}")
    return bool(condition.ravel()[0])
