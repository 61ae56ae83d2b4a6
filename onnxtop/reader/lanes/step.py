"""What a rule sees of its node: the lanes of its operands, their sizes, and the graph being made."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.evaluate import run
from onnxtop.reader.lanes.arrays import NONE, Ids, Misfit, Unclear, aligned, compressed, distinct
from onnxtop.reader.lanes.builder import GraphBuilder
from onnxtop.reader.lanes.sizes import Sizes
from onnxtop.reader.lanes.weights import LayersOfNodes, WeightOfNode
from onnxtop.reader.model import Node, Value
from onnxtop.reader.names import node_name


@dataclass(frozen=True, eq=False)
class Lanes:
    """The lanes of one tensor; ``of`` are the vertices that it is a statistic of, None if it is none.

    A statistic is what a reduction over neurons left (a mean, a maximum, a norm) and what was computed from
    that alone. Subtracting it from the neurons it was taken over, or dividing by it, is a normalisation; so
    is adding it where it is ``negative`` already.
    """

    ids: Ids
    of: Ids | None = None
    negative: bool = False


Result = Lanes | Ids | None | Sequence[Lanes | Ids | None]
"""What a rule returns: lanes of the first output, or of each by place; None for an output without lanes."""

Rule = Callable[..., Result]


def rows(domain: str, names: str, rule: Rule) -> dict[tuple[str, str], Rule]:
    """Return one rule for several operations of a domain."""
    return {(domain, name): rule for name in names.split()}


class Hub(NamedTuple):
    """Why there is a hub, its vertices, and whether that is sizes that do not fit or weights not read."""

    why: str
    ids: Ids
    misfit: bool = False
    unread: bool = False


@dataclass(frozen=True, eq=False)
class Remarks:
    """What the walk has to say beside the graph.

    Attributes
    ----------
    hubs
        All hubs.
    notes
        What was read in a way that should be known, with how often.
    mixed
        Groups of vertices that a normalisation mixes, though its lanes do not say so.
    beside
        Numbers of layers that a node uses without a block, with the vertices that the node ends with.
    """

    hubs: list[Hub] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    mixed: list[Ids] = field(default_factory=list)
    beside: list[tuple[int, Ids]] = field(default_factory=list)

    def mark(self) -> tuple[int, int, int]:
        """Return what `back_to` needs to forget everything about vertices made from here on."""
        return len(self.hubs), len(self.mixed), len(self.beside)

    def back_to(self, mark: tuple[int, int, int]) -> None:
        """Forget what was said of vertices since the mark."""
        del self.hubs[mark[0] :], self.mixed[mark[1] :], self.beside[mark[2] :]


@dataclass(frozen=True, eq=False)
class Step:
    """A node as its rule sees it. Operands are asked for by position; errors are `Unclear`.

    ``asked`` are the positions whose lanes the rule has looked at.
    """

    node: Node
    results: tuple[Value | None, ...]
    env: Mapping[Value, Lanes]
    sizes: Sizes
    builder: GraphBuilder
    table: LayersOfNodes
    remarks: Remarks
    expert: tuple[WeightOfNode, ...] = ()
    asked: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The node's name."""
        return node_name(self.node)

    @property
    def operation(self) -> str:
        """The node as hubs and notes name it."""
        return f"{self.node.op} {self.name}"

    @property
    def most(self) -> int:
        """How many entries lanes may have."""
        return self.builder.limits.neurons

    @property
    def uses(self) -> tuple[WeightOfNode, ...]:
        """The layers that the node uses, those of one expert if it chooses between several."""
        return self.expert or self.table.uses(self.node)

    def value(self, position: int) -> Value | None:
        """Return the value at an input position, None where it is left out."""
        return self.node.inputs[position] if position < len(self.node.inputs) else None

    def lanes(self, position: int) -> Lanes | None:
        """Return an operand's lanes, None if it has none: a constant, a shape, indices."""
        self.asked.add(position)
        value = self.value(position)
        return None if value is None else self.env.get(value)

    def required(self, position: int) -> Lanes:
        """Return an operand's lanes; it must have some."""
        lanes = self.lanes(position)
        if lanes is None:
            raise Unclear(f"input {position} carries no neurons")
        return lanes

    def ids(self, position: int) -> Ids:
        """Return an operand's lanes as an array; it must have some."""
        return self.required(position).ids

    def with_lanes(self) -> list[int]:
        """Return the positions of the operands that have lanes."""
        return [place for place, value in enumerate(self.node.inputs) if value in self.env]

    def shape(self, position: int) -> tuple[int, ...]:
        """Return an operand's shape."""
        shape = self.sizes.of(self.value(position)).shape
        if shape is None:
            raise Unclear(f"the shape of input {position} is not known")
        return shape

    def array(self, position: int) -> NDArray[Any] | None:
        """Return an operand's numbers, None if they are not known or it is left out."""
        return self.sizes.of(self.value(position)).array

    def numbers(self, position: int) -> list[int] | None:
        """Return a small operand as integers, None if it is left out."""
        if self.value(position) is None:
            return None
        array = self.array(position)
        if array is None:
            raise Unclear(f"input {position} is computed from the data")
        return [int(number) for number in array.ravel()]

    def result_shape(self, place: int = 0) -> tuple[int, ...]:
        """Return an output's shape."""
        shape = self.sizes.of(self.results[place] if place < len(self.results) else None).shape
        if shape is None:
            raise Unclear("the shape of its result is not known")
        return shape

    def result_rank(self, default: int, place: int = 0) -> int:
        """Return an output's rank, or the default if it is not known."""
        shape = self.sizes.of(self.results[place] if place < len(self.results) else None).shape
        return default if shape is None else len(shape)

    def run(self, *arrays: NDArray[Any] | None) -> Ids:
        """Run the operation itself, which only moves entries, on lanes in the place of its operands."""
        return compressed(run(self.node, arrays, self.sizes.opset)[0])

    def join(self, operands: Sequence[Ids], *, sum_: bool = False) -> Ids:
        """Return lanes that hold all operands, which broadcast; see `GraphBuilder.join`."""
        rank = max(ids.ndim for ids in operands)
        return self.builder.join([aligned(ids, rank) for ids in operands], self.name, sum_=sum_)

    def reduce(self, ids: Ids, axes: Sequence[int]) -> Ids:
        """Return lanes of size 1 along the axes; see `GraphBuilder.reduce`."""
        return self.builder.reduce(ids, axes, self.name)

    def all_in_one(self, ids: Ids, rank: int) -> Ids:
        """Return one vertex that holds all of the lanes, of size 1 along as many axes."""
        return self.reduce(ids, range(ids.ndim)).reshape((1,) * rank)

    def new(self, count: int, kind: str = "layer", name: str | None = None) -> Ids:
        """Make vertices, a layer's unless told otherwise."""
        if name is None:
            name = self.table.weights[self.uses[0].layer].name if kind == "layer" and self.uses else self.name
        return self.builder.new(count, kind, name)

    def note(self, text: str, *mixed: Ids) -> None:
        """Count a note; the lanes that come with it are mixed where the graph does not say so."""
        self.remarks.notes[text] += 1
        if mixed:
            self.remarks.mixed.append(distinct(*mixed))

    def coarse(self, ids: Ids, axes: Sequence[int], reason: str) -> Ids:
        """Return lanes of size 1 along the axes where the truth is finer, with the reason as a hub."""
        mixed = self.reduce(ids, axes)
        if mixed is not ids:
            self.remarks.hubs.append(Hub(f"{self.operation}: {reason}", distinct(mixed)))
        return mixed

    def masked(self, ids: Ids, kept: NDArray[np.bool_], shared: Sequence[int]) -> Ids:
        """Return the lanes of the entries that are kept; along the ``shared`` axes, if any of them is."""
        somewhere = kept.any(tuple(shared), keepdims=True)
        if not np.array_equal(somewhere, kept.all(tuple(shared), keepdims=True)):
            self.note(f"{self.node.op} that drops a neuron at some of its positions, read as keeping it")
        return np.where(somewhere, ids, NONE).astype(np.intp)

    def along(self, position: int, axis: int) -> int:
        """Return an axis of an operand counted from the front."""
        rank = self.ids(position).ndim
        if not -rank <= axis < max(rank, 1):
            raise Misfit(f"axis {axis} does not fit a tensor of {rank} axes")
        return axis % max(rank, 1)


def of_all(lanes: Sequence[Lanes]) -> Ids:
    """Return the vertices that several statistics were taken over."""
    return distinct(*(item.of for item in lanes if item.of is not None))
