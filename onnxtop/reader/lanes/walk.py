"""The walk over the graph: one rule a node, and a hub wherever a rule has no answer."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Unclear, compressed, filled
from onnxtop.reader.lanes.builder import Builder
from onnxtop.reader.lanes.sizes import Sizes
from onnxtop.reader.lanes.step import Lanes, Remarks, Result, Step
from onnxtop.reader.lanes.tables import RULES, SILENT, STARTING
from onnxtop.reader.lanes.weights import LayerTable
from onnxtop.reader.model import Body, Node, Scope, Value
from onnxtop.reader.names import node_name

__all__ = ["Walk"]

_ROUNDS = 4
"""Rounds in which the lanes of a loop's state may grow before they are joined to one."""


class Walk:
    """Carries lanes through a model; ``env`` holds those of every value that has some."""

    def __init__(
        self, sizes: Sizes, table: LayerTable, inputs: Mapping[Value, Ids], builder: Builder
    ) -> None:
        self._sizes = sizes
        self._model = sizes.model
        self._table = table
        self.builder = builder
        self.remarks = Remarks([])
        self.env = {value: Lanes(ids) for value, ids in inputs.items()}
        self._done: set[int] = set()
        self._awaited: dict[Value, Ids] = {}

    def scope(self, scope: Scope) -> None:
        """Walk over the nodes of a scope, and over the bodies that they hold."""
        for node in scope.nodes:
            bodies = scope.bodies.get(node.index, ())
            self._await_cycles(node)
            try:
                self._visit(node, bodies)
            except Unclear as reason:
                self._hub(node, bodies, str(reason))
            except (ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
                self._hub(node, bodies, f"its operands do not fit it ({type(error).__name__}: {error})")
            self._done.add(node.index)
            self._close_cycles(node)

    def _visit(self, node: Node, bodies: Sequence[Body]) -> None:
        if bodies and not node.domain and node.op_type in ("If", "Loop", "Scan"):
            match node.op_type:
                case "If":
                    self._if(node, bodies)
                case "Loop":
                    self._loop(node, bodies[0])
                case _:
                    self._scan(node, bodies[0])
            return
        step = self._step(node)
        missing = [
            name for name, value in zip(node.proto.input, node.inputs, strict=True) if name and value is None
        ]
        if missing:
            raise Unclear(f"its input {missing[0]!r} is made by no node")
        key = node.domain, node.op_type
        if key in SILENT or (not step.with_lanes() and not (key in STARTING and self._starts(step))):
            return
        rule = RULES.get(key)
        if rule is None:
            raise Unclear("it is no operation that can be followed")
        self._store(step, rule(step, **node.attributes()))

    def _starts(self, step: Step) -> bool:
        """Tell whether a table is looked up by indices that are not constant."""
        if step.node.op_type in ("OneHot", "Equal"):
            known = [step.array(place) is not None for place in range(len(step.node.inputs))]
            return not known[0] if step.node.op_type == "OneHot" else known.count(True) == 1
        return bool(step.uses) or (
            step.skipped is not None and step.node.inputs[1] not in self._sizes.constants
        )

    def _step(self, node: Node) -> Step:
        values = iter(node.outputs)
        results = tuple(next(values) if name else None for name in node.proto.output)
        return Step(node, results, self.env, self._sizes, self.builder, self._table, self.remarks)

    def _store(self, step: Step, result: Result) -> None:
        """Take a rule's answer, after a look at whether it fits the sizes that are known."""
        made = result if isinstance(result, Sequence) else [result]
        for value, item in zip(step.results, made, strict=False):
            if value is None or item is None:
                continue
            lanes = item if isinstance(item, Lanes) else Lanes(item)
            shape = self._sizes.of(value).shape
            if shape is not None:
                if len(shape) != lanes.ids.ndim:
                    raise Unclear(f"its result has {lanes.ids.ndim} axes where {len(shape)} are declared")
                if any(have not in (1, want) for have, want in zip(lanes.ids.shape, shape, strict=True)):
                    raise Unclear(f"neurons {lanes.ids.shape} do not fit its result of shape {shape}")
            if (lanes.ids >= 0).any():
                self.env[value] = lanes

    # Hubs: one vertex between all that enters and all that leaves.

    def _hub(self, node: Node, bodies: Sequence[Body], reason: str) -> None:
        entering = [lanes.ids for value in self._entering(node, bodies) if (lanes := self.env.get(value))]
        made = self.builder.gather(entering, "hub", node_name(node))
        self.remarks.hubs.append((f"{node.op} {node_name(node)}: {reason}", made))
        guess = max((ids.ndim for ids in entering), default=1)
        for value in node.outputs:
            shape = self._sizes.of(value).shape
            self.env[value] = Lanes(filled(int(made[0]), guess if shape is None else len(shape)))

    def _entering(self, node: Node, bodies: Sequence[Body]) -> set[Value]:
        inner = [item for body in bodies for item in body.scope.all_nodes()]
        return {value for item in (node, *inner) for value in item.inputs if value is not None}

    # Cycles that no loop makes: a value that is used before it is made is a hub.

    def _await_cycles(self, node: Node) -> None:
        for value in node.inputs:
            if value is None or value in self.env or value in self._awaited:
                continue
            producer = self._model.producers.get(value)
            if producer is not None and producer.index >= node.index and producer.index not in self._done:
                made = self.builder.new(1, "hub", node_name(node))
                reason = "it stands on a cycle without a state"
                self.remarks.hubs.append((f"{node.op} {node_name(node)}: {reason}", made))
                shape = self._sizes.of(value).shape
                self._awaited[value] = made
                self.env[value] = Lanes(filled(int(made[0]), 1 if shape is None else len(shape)))

    def _close_cycles(self, node: Node) -> None:
        for value in node.outputs:
            hub = self._awaited.get(value)
            if hub is not None:
                self.builder.connect(self.env[value].ids.ravel(), hub)

    # Control flow.

    def _if(self, node: Node, bodies: Sequence[Body]) -> None:
        alive = [body for body in bodies if (node.index, body.name) not in self._sizes.dead]
        if len(alive) < len(bodies) and node.inputs[0] not in self._sizes.constants:
            self.remarks.notes["branches of If left out, as sizes decide which one runs"] += 1
        for body in alive:
            self.scope(body.scope)
        for place, value in enumerate(node.outputs):
            found = [self._lanes(body.outputs[place]) for body in alive if place < len(body.outputs)]
            lanes = [item for item in found if item is not None]
            if len(lanes) == 1:
                self.env[value] = lanes[0]
            elif lanes:
                if len({item.ids.ndim for item in lanes}) > 1:
                    raise Unclear("its branches differ in rank")
                self.env[value] = Lanes(self.builder.join([item.ids for item in lanes], node_name(node)))

    def _lanes(self, value: Value | None) -> Lanes | None:
        return None if value is None else self.env.get(value)

    def _loop(self, node: Node, body: Body) -> None:
        states = list(range(len(node.inputs) - 2))
        made = self._carried(
            node,
            body,
            [node.inputs[2 + place] for place in states],
            [body.inputs[2 + place] for place in states],
            [1 + place for place in states],
        )
        self._leave(node, body, made, 1, [0] * len(node.proto.output))

    def _scan(self, node: Node, body: Body) -> None:
        attributes = node.attributes()
        count = len(node.inputs) - attributes["num_scan_inputs"]
        axes = attributes.get("scan_input_axes") or [0] * (len(node.inputs) - count)
        for value, inner, axis in zip(node.inputs[count:], body.inputs[count:], axes, strict=True):
            lanes = self._lanes(value)
            if lanes is not None and inner in self._model.users:
                one = self.builder.reduce(lanes.ids, [axis], node_name(node))
                self.env[inner] = Lanes(one.squeeze(axis))
        made = self._carried(node, body, node.inputs[:count], body.inputs[:count], list(range(count)))
        results = len(node.proto.output)
        out_axes = [0] * count + list(attributes.get("scan_output_axes") or [0] * (results - count))
        self._leave(node, body, made, 0, out_axes)

    def _carried(
        self,
        node: Node,
        body: Body,
        outside: Sequence[Value | None],
        inside: Sequence[Value | None],
        exits: Sequence[int],
    ) -> list[Ids | None]:
        """Walk over a loop's body with vertices for its state, which the end of the body feeds.

        The state's lanes are those it starts with; where the body tells more of them apart, it is walked
        again with that many.
        """
        fixed = [
            inner in self._model.carried or body.unchanged.get(exit_) is not None
            for inner, exit_ in zip(inside, exits, strict=True)
        ]
        begins = [self._lanes(value) for value in outside]
        for begin, inner, same in zip(begins, inside, fixed, strict=True):
            if same and begin is not None and inner is not None:
                self.env[inner] = begin
        forms: list[tuple[int, ...] | None] = [
            None if begin is None or same else begin.ids.shape
            for begin, same in zip(begins, fixed, strict=True)
        ]
        for last in [False] * _ROUNDS + [True]:
            mark, hubs = self.builder.mark(), len(self.remarks.hubs)
            states = self._enter(node, inside, begins, forms)
            self.scope(body.scope)
            ends = [self._lanes(body.outputs[place]) for place in exits]
            grown = [
                form if same else _wider(form, end)
                for form, end, same in zip(forms, ends, fixed, strict=True)
            ]
            if grown == forms or last:
                break
            forms = grown
            self.builder.back_to(mark)
            del self.remarks.hubs[hubs:]
        for state, end in zip(states, ends, strict=True):
            self._feed(node, state, end)
        return [
            begin.ids if same and begin is not None else state
            for begin, same, state in zip(begins, fixed, states, strict=True)
        ]

    def _enter(
        self,
        node: Node,
        inside: Sequence[Value | None],
        begins: Sequence[Lanes | None],
        forms: Sequence[tuple[int, ...] | None],
    ) -> list[Ids | None]:
        states: list[Ids | None] = []
        for inner, begin, form in zip(inside, begins, forms, strict=True):
            if form is None:
                states.append(None)
                continue
            state = self.builder.new(math.prod(form), "state", node_name(node)).reshape(form)
            if begin is not None:
                self._feed(node, state, begin)
            if inner is not None:
                self.env[inner] = Lanes(state)
            states.append(state)
        return states

    def _feed(self, node: Node, state: Ids | None, lanes: Lanes | None) -> None:
        """Connect lanes to a state: entry by entry where they fit, all to all where not."""
        if state is None or lanes is None:
            return
        if lanes.ids.ndim == state.ndim and np.broadcast_shapes(lanes.ids.shape, state.shape) == state.shape:
            self.builder.connect(lanes.ids, state)
            return
        one = self.builder.gather([lanes.ids], "hub", node_name(node))
        self.remarks.hubs.append((f"{node.op} {node_name(node)}: its state changes its form", one))
        self.builder.connect(one, state)

    def _leave(
        self, node: Node, body: Body, states: Sequence[Ids | None], skip: int, axes: Sequence[int]
    ) -> None:
        step = self._step(node)
        for place, value in enumerate(step.results):
            if value is None:
                continue
            if place < len(states):
                ids = states[place]
            else:
                exit_ = self._lanes(body.outputs[place + skip])
                ids = None if exit_ is None else np.expand_dims(exit_.ids, axes[place])
            if ids is not None:
                self.env[value] = Lanes(compressed(ids))


def _wider(form: tuple[int, ...] | None, end: Lanes | None) -> tuple[int, ...] | None:
    if end is None:
        return form
    if form is None:
        return end.ids.shape
    if len(form) != end.ids.ndim:
        return (1,) * len(form)
    return tuple(max(a, b) if 1 in (a, b) or a == b else 1 for a, b in zip(form, end.ids.shape, strict=True))
