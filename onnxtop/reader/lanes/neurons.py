"""The walk that carries lanes: one rule a node, and a hub wherever a rule has no answer."""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Misfit, Unclear, Unread, compressed, distinct, filled
from onnxtop.reader.lanes.builder import GraphBuilder
from onnxtop.reader.lanes.sizes import Sizes
from onnxtop.reader.lanes.step import Hub, Lanes, Remarks, Rule, Step
from onnxtop.reader.lanes.tables import RULES, SILENT, STARTING
from onnxtop.reader.lanes.walk import Cycle, LoopState, ModelWalk, answers, results_of
from onnxtop.reader.lanes.weights import LayersOfNodes
from onnxtop.reader.model import Node, Subgraph, Value
from onnxtop.reader.names import node_name

_ROUNDS = 4
"""Rounds in which the lanes of a loop's state may grow before they are joined to one."""

_Form = tuple[int, ...] | None


class Neurons(ModelWalk):
    """Carries lanes through a model; ``env`` holds those of every value that has some."""

    def __init__(
        self, sizes: Sizes, table: LayersOfNodes, inputs: Mapping[Value, Ids], builder: GraphBuilder
    ) -> None:
        super().__init__(sizes)
        self._table = table
        self.builder = builder
        self.remarks = Remarks()
        self.env = {value: Lanes(ids) for value, ids in inputs.items()}
        self._awaited: dict[Value, list[Ids]] = {}

    def node(self, node: Node) -> None:
        """Ask the node's rule."""
        step = Step(node, results_of(node), self.env, self.sizes, self.builder, self._table, self.remarks)
        for name, value in zip(node.proto.input, node.inputs, strict=True):
            if name and value is None:
                raise Unclear(f"its input {name!r} is made by no node")
        key = node.domain, node.op_type
        if key in SILENT:
            return
        if not step.with_lanes() and not (key in STARTING and self._starts(step)):
            if not all(value in self.sizes.constants for value in node.outputs):
                self._check_read(node)
            return
        rule = RULES.get(key)
        if rule is None:
            raise Unclear("it is no operation that can be followed")
        self._check_read(node)
        blocks = len(self.builder.blocks)
        made = dict(self._made(step, rule))
        ignored = [place for place in step.with_lanes() if place not in step.asked]
        if ignored:
            raise Unclear(f"its input {ignored[0]} is computed, which is not followed")
        self.env.update(made)
        with_blocks = {block.layer for block in self.builder.blocks[blocks:]}
        self._beside(node, [lanes.ids for lanes in made.values()], with_blocks)

    def _made(self, step: Step, rule: Rule) -> Iterator[tuple[Value, Lanes]]:
        """Yield what a node makes; where it chooses between experts, what all of them may."""
        attributes = step.node.attributes()
        experts = self._table.experts(step.node)
        if not experts:
            yield from answers(step, rule(step, **attributes))
            return
        steps = [replace(step, expert=uses) for uses in experts]
        made = [dict(answers(one, rule(one, **attributes))) for one in steps]
        chosen = [step.ids(use.position) for use in step.uses[:1] if step.lanes(use.position) is not None]
        for value in made[0]:
            operands = [lanes[value].ids for lanes in made]
            operands += [step.all_in_one(ids, operands[0].ndim) for ids in chosen]
            yield value, Lanes(step.join(operands, sum_=True))

    def _check_read(self, node: Node) -> None:
        unread = self._table.skipped(node)
        if unread is not None:
            raise Unread(unread)

    def _beside(self, node: Node, made: Sequence[Ids], with_blocks: Container[int] = ()) -> None:
        """Remember the layers that a node uses without a block: what it makes goes through their weights."""
        for layer in dict.fromkeys(use.layer for use in self._table.uses(node)):
            if layer not in with_blocks:
                self.remarks.beside.append((layer, distinct(*made)))

    def _starts(self, step: Step) -> bool:
        """Tell whether a table is looked up by indices that are not constant."""
        if step.node.op_type in ("OneHot", "Equal"):
            known = [step.array(place) is not None for place in range(len(step.node.inputs))]
            return not known[0] if step.node.op_type == "OneHot" else known.count(True) == 1
        return bool(step.uses) or (
            self._table.skipped(step.node) is not None and step.node.inputs[1] not in self.sizes.constants
        )

    # Hubs: one vertex between all that enters and all that leaves.

    def lost(self, node: Node, bodies: Sequence[Subgraph], reason: Unclear) -> None:
        """Make a hub of a node."""
        entering = [lanes.ids for value in _entering(node, bodies) if (lanes := self.env.get(value))]
        made = self._hub(node, entering, reason)
        self._beside(node, [made])
        guess = max((ids.ndim for ids in entering), default=1)
        for value in node.outputs:
            shape = self.sizes.of(value).shape
            self.env[value] = Lanes(filled(int(made[0]), guess if shape is None else len(shape)))

    def _hub(self, node: Node, entering: Sequence[Ids], reason: Unclear) -> Ids:
        made = self.builder.gather(entering, "hub", node_name(node))
        misfit, unread = isinstance(reason, Misfit), isinstance(reason, Unread)
        self.remarks.hubs.append(Hub(f"{node.op} {node_name(node)}: {reason}", made, misfit, unread))
        return made

    # Cycles that no loop makes: a value that is used before it is made is a hub.

    def before(self, node: Node) -> None:
        """Make hubs of the operands that are made later."""
        early = self.sizes.model.early
        for value in filter(None, node.inputs):
            later = early.get(value)
            if later is not None and value not in self.env:
                made = self._hub(node, [], Unclear("it stands on a cycle without a state"))
                shape = self.sizes.of(later).shape
                self._awaited.setdefault(later, []).append(made)
                self.env[value] = Lanes(filled(int(made[0]), 1 if shape is None else len(shape)))

    def after(self, node: Node) -> None:
        """Feed what was awaited."""
        for value in node.outputs:
            lanes = self.env.get(value)
            if lanes is not None:  # nothing feeds what waited for a size
                for hub in self._awaited.get(value, ()):
                    self.builder.connect(lanes.ids.ravel(), hub)

    # Control flow.

    def branches(self, node: Node, value: Value, exits: Sequence[Value | None]) -> None:
        """Join what the branches of an If end with."""
        lanes = [item for exit_ in exits if (item := self._lanes(exit_)) is not None]
        condition = self._lanes(node.inputs[0]) if len(exits) > 1 else None
        if condition is not None:
            shape = self.sizes.of(value).shape
            rank = max((item.ids.ndim for item in lanes), default=0 if shape is None else len(shape))
            one = self.builder.reduce(condition.ids, range(condition.ids.ndim), node_name(node))
            lanes.append(Lanes(one.reshape((1,) * rank)))
        if len({item.ids.ndim for item in lanes}) > 1:
            raise Unclear("its branches differ in rank")
        if len(lanes) == 1:
            self.env[value] = lanes[0]
        elif lanes:
            self.env[value] = Lanes(self.builder.join([item.ids for item in lanes], node_name(node)))

    def _lanes(self, value: Value | None) -> Lanes | None:
        return None if value is None else self.env.get(value)

    def cycle(self, node: Node, cycle: Cycle) -> None:
        """Walk over a loop's body with vertices for its state, which the end of the body feeds.

        The state's lanes are those it starts with; where the body tells more of them apart, it is walked
        again with that many.
        """
        self._check_read(node)
        for part in cycle.taken:
            lanes = self._lanes(part.whole)
            if lanes is not None and part.one is not None:
                one = self.builder.reduce(lanes.ids, [part.axis], node_name(node))
                self.env[part.one] = Lanes(one.squeeze(part.axis))
        begins = [self._lanes(state.before) for state in cycle.states]
        for state, begin in zip(cycle.states, begins, strict=True):
            if state.unchanged and begin is not None and state.begin is not None:
                self.env[state.begin] = begin
        forms: list[_Form] = [
            None if begin is None or state.unchanged else begin.ids.shape
            for state, begin in zip(cycle.states, begins, strict=True)
        ]
        for last in [False] * _ROUNDS + [True]:
            mark, remarks = self.builder.mark(), self.remarks.mark()
            carried = [self._enter(node, *item) for item in zip(cycle.states, begins, forms, strict=True)]
            self.scope(cycle.body.scope)
            ends = [self._lanes(state.end) for state in cycle.states]
            grown = [
                form if state.unchanged else _wider(form, end)
                for state, form, end in zip(cycle.states, forms, ends, strict=True)
            ]
            if grown == forms or last:
                break
            forms = grown
            self.builder.back_to(mark)
            self.remarks.back_to(remarks)
        for ids, end in zip(carried, ends, strict=True):
            self._feed(node, ids, end)
        self._leave(cycle, begins, carried)

    def _enter(self, node: Node, state: LoopState, begin: Lanes | None, form: _Form) -> Ids | None:
        """Make the vertices of a state, which what it begins with feeds."""
        if form is None:
            return None
        ids = self.builder.new(math.prod(form), "state", node_name(node)).reshape(form)
        self._feed(node, ids, begin)
        if state.begin is not None:
            self.env[state.begin] = Lanes(ids)
        return ids

    def _feed(self, node: Node, state: Ids | None, lanes: Lanes | None) -> None:
        """Connect lanes to a state: entry by entry where they fit, all to all where not."""
        if state is None or lanes is None:
            return
        if lanes.ids.ndim == state.ndim and np.broadcast_shapes(lanes.ids.shape, state.shape) == state.shape:
            self.builder.connect(lanes.ids, state)
            return
        self.builder.connect(self._hub(node, [lanes.ids], Unclear("its state changes its form")), state)

    def _leave(self, cycle: Cycle, begins: Sequence[Lanes | None], carried: Sequence[Ids | None]) -> None:
        for state, begin, ids in zip(cycle.states, begins, carried, strict=True):
            made = begin.ids if state.unchanged and begin is not None else ids
            if state.after is not None and made is not None:
                self.env[state.after] = Lanes(compressed(made))
        for part in cycle.stacked:
            lanes = self._lanes(part.one)
            if part.whole is not None and lanes is not None:
                self.env[part.whole] = Lanes(compressed(np.expand_dims(lanes.ids, part.axis)))


def _entering(node: Node, bodies: Sequence[Subgraph]) -> set[Value]:
    inner = [item for body in bodies for item in body.scope.all_nodes()]
    return {value for item in (node, *inner) for value in item.inputs if value is not None}


def _wider(form: _Form, end: Lanes | None) -> _Form:
    if end is None:
        return form
    if form is None:
        return end.ids.shape
    if len(form) != end.ids.ndim:
        return (1,) * len(form)
    return tuple(max(a, b) if 1 in (a, b) or a == b else 1 for a, b in zip(form, end.ids.shape, strict=True))
