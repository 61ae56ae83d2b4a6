"""Inputs and outputs that are one state: what a model hands to itself from one call to the next.

As inputs and outputs they would add paths without weights, so they are recurrence instead. A pair is known by
what becomes of it: an LSTM's initial state that movement alone brings from an input, with the final state
that movement alone brings to an output; a cache that only grows by a Concat; or by their names (``h0`` and
``hn``, ``state_in`` and ``state_out``).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxtop.reader.lanes import movement
from onnxtop.reader.lanes.tables import RULES
from onnxtop.reader.layer import WITH_STATE
from onnxtop.reader.model import Model, Node, Scope, Value
from onnxtop.reader.search import reached

Shapes = Mapping[Value, tuple[int | None, ...] | None]

_GROWN = frozenset({"Concat", "ScatterND", "ScatterElements", "TensorScatter"})
_WORDS = frozenset(
    """
    in out input output inputs outputs past present prev previous new next old cur current last first final
    initial init updated n t
    """.split()  # noqa: SIM905
)


def paired_states(
    model: Model, scope: Scope, inputs: Sequence[Value], outputs: Sequence[Value], shapes: Shapes
) -> dict[Value, Value]:
    """Return the input of each state and the output that belongs to it."""
    tracer = _Tracer(model, scope, frozenset(inputs))
    pairs: dict[Value, Value] = {}
    taken: set[Value] = set()
    found = [*_caches(tracer, outputs), *_recurrent(tracer, outputs), *_named(inputs, outputs)]
    for before, after in found:
        if before not in pairs and after not in taken and before != after and _fits(shapes, before, after):
            pairs[before] = after
            taken.add(after)
    return pairs


def _fits(shapes: Shapes, before: Value, after: Value) -> bool:
    """Tell whether two shapes can be the same; what neither says is no reason against it."""
    one, other = shapes.get(before), shapes.get(after)
    if one is None or other is None:
        return True
    return len(one) == len(other) and all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class _Trace:
    """Where a value comes from by movement: an input or a node, and whether anything joined it on the way."""

    origin: Value
    grown: bool


class _Tracer:
    def __init__(self, model: Model, scope: Scope, inputs: frozenset[Value]) -> None:
        self.model = model
        self.inputs = inputs
        self._exits: dict[Value, list[Value]] = {}
        self.nodes = model.nodes
        for index, bodies in scope.all_bodies():
            node = model.nodes[index]
            for body in bodies if (node.domain, node.op_type) == ("", "If") else ():
                for place, value in node.placed():
                    exit_ = body.outputs[place] if place < len(body.outputs) else None
                    if exit_ is not None:
                        self._exits.setdefault(value, []).append(exit_)

    def back(self, value: Value) -> Iterator[_Trace]:
        """Yield the inputs and the other operations' results that movement alone brings here."""
        traces = reached([_Trace(value, grown=False)], lambda here: self._sources(here) or ())
        return (here for here in traces if self._sources(here) is None)

    def _sources(self, here: _Trace) -> list[_Trace] | None:
        if here.origin in self._exits:
            return [_Trace(exit_, grown=True) for exit_ in self._exits[here.origin]]
        node = self.model.producers.get(here.origin)
        if node is None or not _is_moved(node):
            return None
        moved = node.inputs if node.op_type == "Concat" else node.inputs[:1]
        grown = here.grown or node.op_type in _GROWN
        return [_Trace(value, grown) for value in moved if value is not None]


def _is_moved(node: Node) -> bool:
    """Tell whether a node only moves entries: it has a rule of `movement`, or none is needed."""
    rule = RULES.get((node.domain, node.op_type))
    return (
        node.op_type in _GROWN | {"Cast", "Gather", "Identity"}
        or getattr(rule, "__module__", "") == movement.__name__
    )


def _caches(tracer: _Tracer, outputs: Sequence[Value]) -> Iterator[tuple[Value, Value]]:
    for after in outputs:
        for trace in tracer.back(after):
            if trace.origin in tracer.inputs and trace.grown:
                yield trace.origin, after


def _recurrent(tracer: _Tracer, outputs: Sequence[Value]) -> Iterator[tuple[Value, Value]]:
    ends: dict[tuple[int, int], Value] = {}
    for after in outputs:
        for trace in tracer.back(after):
            node = tracer.model.producers.get(trace.origin)
            if node is not None and node.op_type in WITH_STATE:
                ends[node.index, _place(node, trace.origin)] = after
    for node in tracer.nodes:
        for state in (1, 2) if node.op_type in WITH_STATE else ():
            begin = node.inputs[4 + state] if len(node.inputs) > 4 + state else None
            end = ends.get((node.index, state), ends.get((node.index, 0)))
            if begin is None or end is None:
                continue
            for trace in tracer.back(begin):
                if trace.origin in tracer.inputs:
                    yield trace.origin, end


def _place(node: Node, value: Value) -> int:
    return next(place for place, held in node.placed() if held == value)


def _named(inputs: Sequence[Value], outputs: Sequence[Value]) -> Iterator[tuple[Value, Value]]:
    by_stem: dict[str, list[Value]] = {}
    for value in outputs:
        by_stem.setdefault(_stem(value.name), []).append(value)
    if len(inputs) < 2 or len(outputs) < 2:
        return
    for value in inputs:
        same = by_stem.get(_stem(value.name), [])
        if len(same) == 1 and any(letter.isalpha() for letter in _stem(value.name)):
            yield value, same[0]


def _stem(name: str) -> str:
    """Return a name without the words that tell before from after: ``prev_attn_out`` is ``attn``."""
    name = name.replace("past_key_values", "past")
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)
    kept = [word.lower() for word in words if word.lower() not in _WORDS]
    stem = "_".join(kept)
    return re.sub(r"(?<=[a-z])_?(0|n)$", "", stem) if len(stem) <= 3 else stem
