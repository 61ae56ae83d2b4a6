"""The way through a model: its nodes in order, and what If, Loop and Scan hand to their bodies and back.

It is gone twice: by `survey`, which measures every value and follows the entries of the inputs to the first
weights, and by `neurons`, which carries the lanes.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxtop.reader.lanes.arrays import Misfit, Unclear
from onnxtop.reader.lanes.sizes import Sizes
from onnxtop.reader.lanes.step import Lanes, Result, Step
from onnxtop.reader.model import Node, Scope, Subgraph, Value

MISFITS = (ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError, RuntimeError)
"""What NumPy and Python raise where operands do not fit the operation."""


@dataclass(frozen=True, eq=False)
class LoopState:
    """What a loop carries: before it, as a round begins, as a round ends, and after the last."""

    before: Value | None
    begin: Value | None
    end: Value | None
    after: Value | None
    unchanged: bool


@dataclass(frozen=True, eq=False)
class Slices:
    """A tensor of which each round takes, or makes, one slice along ``axis``."""

    whole: Value | None
    one: Value | None
    axis: int


@dataclass(frozen=True, eq=False)
class Cycle:
    """What enters and leaves the body of a Loop or a Scan."""

    body: Subgraph
    states: tuple[LoopState, ...]
    taken: tuple[Slices, ...]
    stacked: tuple[Slices, ...]
    trips: Value | None = None
    counters: tuple[Value | None, ...] = ()


class ModelWalk(ABC):
    """Goes through a model; what it does there is its children's.

    ``left_out`` counts the If of which a branch is left out, as sizes tell which one runs.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.left_out = 0

    def scope(self, scope: Scope) -> None:
        """Visit the nodes of a scope, and the bodies that they hold."""
        for node in scope.nodes:
            bodies = scope.bodies.get(node.index, ())
            self.before(node)
            try:
                self._visit(node, bodies)
            except Unclear as reason:
                self.lost(node, bodies, reason)
            except MISFITS as error:
                self.lost(
                    node, bodies, Misfit(f"its operands do not fit it ({type(error).__name__}: {error})")
                )
            self.after(node)

    def _visit(self, node: Node, bodies: Sequence[Subgraph]) -> None:
        if not bodies or node.domain or node.op_type not in ("If", "Loop", "Scan"):
            self.node(node)
        elif node.op_type == "If":
            alive = self._alive(node, bodies)
            for body in alive:
                self.scope(body.scope)
            for place, value in enumerate(node.outputs):
                exits = [body.outputs[place] for body in alive if place < len(body.outputs)]
                self.branches(node, value, exits)
        else:
            self.cycle(node, (self._loop if node.op_type == "Loop" else self._scan)(node, bodies[0]))

    def _alive(self, node: Node, bodies: Sequence[Subgraph]) -> list[Subgraph]:
        """Return the branches of an If that may run: one where its condition is known."""
        condition = self.sizes.of(node.inputs[0]).array
        if condition is None or condition.size != 1:
            return list(bodies)
        wanted = "then_branch" if bool(condition.ravel()[0]) else "else_branch"
        self.left_out += node.inputs[0] not in self.sizes.constants
        return [body for body in bodies if body.name == wanted]

    def _loop(self, node: Node, body: Subgraph) -> Cycle:
        states = self._states(node, body, range(2, len(node.inputs)), first_exit=1)
        results = results_of(node)[len(states) :]
        stacked = [Slices(*pair, 0) for pair in zip(results, body.outputs[1 + len(states) :], strict=False)]
        trips = node.inputs[0]
        return Cycle(body, states, (), tuple(stacked), trips, body.inputs[:2])

    def _scan(self, node: Node, body: Subgraph) -> Cycle:
        attributes = node.attributes()
        count = len(node.inputs) - attributes["num_scan_inputs"]
        states = self._states(node, body, range(count), first_exit=0)
        results = results_of(node)[count:]
        into = attributes.get("scan_input_axes") or [0] * len(node.inputs[count:])
        out = attributes.get("scan_output_axes") or [0] * len(results)
        taken = zip(node.inputs[count:], body.inputs[count:], into, strict=True)
        stacked = zip(results, body.outputs[count:], out, strict=False)
        return Cycle(body, states, tuple(Slices(*x) for x in taken), tuple(Slices(*x) for x in stacked))

    def _states(self, node: Node, body: Subgraph, places: range, first_exit: int) -> tuple[LoopState, ...]:
        results = results_of(node)
        made = []
        for count, place in enumerate(places):
            begin, exit_ = body.inputs[place], first_exit + count
            same = begin in self.sizes.model.carried
            made.append(LoopState(node.inputs[place], begin, body.outputs[exit_], results[count], same))
        return tuple(made)

    # What a child does: the first, and the last two, only if it needs to.

    def before(self, node: Node) -> None:  # noqa: B027 - a child may need none
        """Get ready for a node."""

    @abstractmethod
    def node(self, node: Node) -> None:
        """Visit a node without bodies."""

    @abstractmethod
    def branches(self, node: Node, value: Value, exits: Sequence[Value | None]) -> None:
        """Make an output of an If of what its branches end with."""

    @abstractmethod
    def cycle(self, node: Node, cycle: Cycle) -> None:
        """Visit the body of a Loop or a Scan."""

    def lost(self, node: Node, bodies: Sequence[Subgraph], reason: Unclear) -> None:  # noqa: B027 - a child may need none
        """Give up on a node."""

    def after(self, node: Node) -> None:  # noqa: B027 - a child may need none
        """Finish a node."""


def results_of(node: Node) -> tuple[Value | None, ...]:
    """Return a node's outputs by place, None where one is left out."""
    values = iter(node.outputs)
    return tuple(next(values) if name else None for name in node.proto.output)


def answers(step: Step, result: Result) -> Iterator[tuple[Value, Lanes]]:
    """Yield what a rule made for each output, after a look at whether it fits the sizes that are known."""
    made = result if isinstance(result, Sequence) else [result]
    for value, item in zip(step.results, made, strict=False):
        if value is None or item is None:
            continue
        lanes = item if isinstance(item, Lanes) else Lanes(item)
        shape = step.sizes.of(value).shape
        if shape is not None:
            if len(shape) != lanes.ids.ndim:
                raise Misfit(f"its result has {lanes.ids.ndim} axes where {len(shape)} are declared")
            if any(have not in (1, want) for have, want in zip(lanes.ids.shape, shape, strict=True)):
                raise Misfit(f"neurons {lanes.ids.shape} do not fit its result of shape {shape}")
        if (lanes.ids >= 0).any():
            yield value, lanes
