"""From a model to its network graph: who can reach whom, and which weights lie between (see `lanes`).

::

    model = load("model.onnx")
    constants = Constants(model)
    connect(model, constants, find_layers(model, constants)).exact
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from onnxtop.network import NetworkGraph
from onnxtop.reader.constants import Constants
from onnxtop.reader.flow import Flow
from onnxtop.reader.lanes.arrays import Ids, NotUnrolledError, distinct
from onnxtop.reader.lanes.builder import GraphBuilder, Vertices
from onnxtop.reader.lanes.finish import Runs, reach
from onnxtop.reader.lanes.neurons import Neurons
from onnxtop.reader.lanes.open_axes import OpenError
from onnxtop.reader.lanes.sizes import Input, Sizes, graph_inputs
from onnxtop.reader.lanes.survey import Survey
from onnxtop.reader.lanes.terminals import (
    Chosen,
    Terminals,
    check_names,
    close_state,
    find_terminals,
    input_lanes,
    named_values,
)
from onnxtop.reader.lanes.weights import LayersOfNodes
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model, Scope, Value
from onnxtop.reader.search import reached

_ASSUMED = ((2, 64), (1, 64), (64, 64), (1, 224), (64, 224), (1, 48), (2, 7), (1, 16000))
"""Sizes tried for open axes, the first axis and the others, until nothing has to be a hub."""
_COMMON = (
    *(28, 32, 40, 80, 96, 100, 112, 128, 144, 160, 192, 227, 229, 240, 256, 288, 299, 300, 320, 384),
    *(400, 416, 448, 480, 512, 640),
)
"""Sizes of images and spectrograms, tried in the end: a net that flattens them has weights for just one."""
_EFFORT = 4000
"""Nodes that may be measured to try common sizes; no clock, so that a model always gets the same graph."""


_OTHERWISE = (3, 72)
"""Sizes that only tell whether others depend on those of open axes."""


@dataclass(frozen=True, eq=False)
class Connected:
    """The network graph of a model, and what is known about it.

    Attributes
    ----------
    graph
        Vertices, blocks and structural edges. ``graph.layers`` starts with the model's layers in order; a
        weight that is also used transposed stands once more behind them, under the same name.
    whole
        The same with labels among the outputs, for what is cut off: a layer that only makes a label is not.
    exact
        Whether no hub lies between an input and an output, and no weight that is not read beside that way.
    hubs
        The hubs that do, "op node: why".
    notes
        What was read in a way that should be known: normalisations as elementwise, states as recurrence.
    vertices
        Where the vertices come from, in runs that cover 0 to ``graph.n_vertices - 1`` in order.
    lanes
        For each input and output, by name, the vertex of every entry: arrays with the tensor's rank, of size
        1 along axes that share their neurons; -1 where there is none.
    layer_graph
        Inputs, layers, joins and outputs, an edge where neurons of one feed the other.
    assumed
        Shapes of the inputs with open axes, as they were assumed.
    misfit
        Whether sizes that were assumed do not fit.
    late
        Numbers of layers that other sizes than the assumed ones may bring into the graph.
    mixed
        Groups of vertices that a normalisation mixes, which the graph reads as elementwise.
    beside
        Numbers of layers of the graph whose weights are used without a block (by a hub, or along positions),
        with the vertices behind them.
    """

    graph: NetworkGraph
    whole: NetworkGraph
    exact: bool
    hubs: tuple[str, ...]
    notes: tuple[str, ...]
    vertices: tuple[Vertices, ...]
    lanes: Mapping[str, Ids]
    layer_graph: Flow
    assumed: Mapping[str, tuple[int, ...]]
    misfit: bool
    late: frozenset[int]
    mixed: tuple[Ids, ...]
    beside: tuple[tuple[int, Ids], ...]

    @property
    def used(self) -> frozenset[int]:
        """Numbers of the layers that neurons go through, on a way or not."""
        return frozenset(
            (*(block.layer for block in self.graph.blocks), *(layer for layer, _ in self.beside))
        )

    @property
    def in_words(self) -> str:
        """Whether it is exact, as reports say it."""
        return "exact" if self.exact else f"conservative ({'; '.join(self.hubs)})"

    @property
    def doubt(self) -> str | None:
        """What to say if the graph rests on sizes that were assumed, and not rightly."""
        if not (self.misfit or self.late):
            return None
        shapes = [f"{name}={','.join(map(str, shape))}" for name, shape in self.assumed.items()]
        return (
            f"it rests on sizes of open axes that were assumed ({' '.join(shapes)}) and may be wrong: "
            f"give them, --input-shape {next(iter(self.assumed))}=..."
        )


def connect(
    model: Model,
    constants: Constants,
    layers: Sequence[Layer | Skipped],
    *,
    shapes: Mapping[str, Sequence[int | None]] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    unrolled: bool = False,
) -> Connected:
    """Build the network graph of a model.

    Parameters
    ----------
    model, constants, layers
        The model, its constants and its layers, as `onnxtop.reader.layers.find_layers` gives them.
    shapes
        What is known of the inputs' shapes beyond the model's own declaration, None where an axis is open.
    input_shapes, dims
        Shapes of inputs and sizes of named dimensions where the model leaves them open.
    inputs, outputs
        Names of the inputs and outputs to take; all of them if not given. An output may be any value.
    unrolled
        Whether each position of a convolution is a neuron of its own. Where that is not possible (sizes are
        not known, or the graph would be too large) positions share them all the same, and a note says why.

    Raises
    ------
    UsageError
        A name is that of no input, or of no value.
    """
    own = graph_inputs(model, shapes or {}, input_shapes or {}, dims or {})
    chosen = Chosen(None if inputs is None else tuple(inputs), None if outputs is None else tuple(outputs))
    check_names(model, chosen)
    table = LayersOfNodes(model, constants, layers)
    plan = _Plan(model, constants, layers, table, model.scope, own, chosen)
    if not unrolled:
        return _best(plan)
    try:
        found = _best(replace(plan, table=LayersOfNodes(model, constants, layers, unrolled=True)))
    except NotUnrolledError as error:
        return _with_note(_best(plan), str(error))
    if not found.hubs:
        return found
    shared = _best(plan)
    return found if len(shared.hubs) >= len(found.hubs) else _with_note(shared, found.hubs[0])


def _with_note(found: Connected, why: str) -> Connected:
    return replace(found, notes=(*found.notes, f"unrolled not possible: {why}"))


def _best(plan: "_Plan") -> Connected:
    """Build the graph with the sizes that leave the fewest hubs."""
    best: tuple[Connected, Survey] | None = None
    for survey in plan.surveys():
        made = plan.build(survey)
        if best is None or len(made.hubs) < len(best[0].hubs):
            best = made, survey
        if best[0].exact and not survey.sizes.contradictions:
            break
    assert best is not None
    found = replace(best[0], late=plan.late(*best))
    return found if found.doubt is None else replace(found, notes=(*found.notes, found.doubt))


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything that does not depend on the sizes of open axes."""

    model: Model
    constants: Constants
    layers: Sequence[Layer | Skipped]
    table: LayersOfNodes
    scope: Scope
    inputs: Sequence[Input]
    chosen: Chosen

    def surveys(self) -> Iterator[Survey]:
        """Yield surveys of the model under several assumptions about open axes.

        The first comes at once; who is not content with it gets the ones that leave the fewest doubts.
        """
        first = self._survey(*_ASSUMED[0])
        yield first
        found = [(first.sizes.doubts(), first)]
        common = _COMMON[: _EFFORT // max(len(self.model.nodes), 1)]
        for assumed in (*_ASSUMED[1:], *((64, size) for size in common)) if first.sizes.are_assumed else ():
            made = self._survey(*assumed)
            found.append((made.sizes.doubts(), made))
            if not found[-1][0]:
                break
        fewest = min(doubts for doubts, _ in found)
        yield from [made for doubts, made in found[1:] if doubts == fewest][:2]

    def late(self, found: Connected, survey: Survey) -> frozenset[int]:
        """Return the layers out of use where assumed sizes leave tensors empty, or branches out."""
        if not survey.sizes.are_guessed or not (survey.left_out or survey.sizes.any_empty()):
            return frozenset()
        return frozenset(range(len(self.table.layers))) - found.used

    def _survey(self, first: int, others: int) -> Survey:
        """Survey the model, again for every open axis that a weight tells the size of."""
        inputs = self.inputs
        while True:
            survey = Survey(Sizes(self.model, self.constants, inputs, (first, others)), self.table)
            try:
                survey.scope(self.scope)
            except OpenError as found:
                shared = next(item.names[found.axis] for item in inputs if item.value.name == found.name)
                inputs = [item.told(found.name, found.axis, found.size, shared) for item in inputs]
            else:
                return survey

    def build(self, survey: Survey) -> Connected:
        """Build the graph with the sizes of a survey."""
        if self.table.unrolled and survey.sizes.are_assumed:
            self._check_known(survey.sizes)
        builder = GraphBuilder(self.model.limits, bounded=self.table.unrolled)
        lanes = input_lanes(builder, survey)
        walk = Neurons(survey.sizes, self.table, lanes, builder)
        walk.scope(self.scope)
        return self._finished(walk, lanes)

    def _check_known(self, sizes: Sizes) -> None:
        """Look whether the size of any convolution's operand changes with what is assumed of open axes."""
        other = self._survey(*_OTHERWISE).sizes
        for node in self.model.nodes:
            data = node.inputs[0] if "Conv" in node.op_type and node.inputs else None
            if data is None or data in self.constants:
                continue
            here, there = sizes.of(data).shape, other.of(data).shape
            if here is None or there is None or here[1:] != there[1:]:
                raise NotUnrolledError(f"the size of {data.name!r} is not known")

    # What the walk left, as a graph.

    def _finished(self, walk: Neurons, lanes: Mapping[Value, Ids]) -> Connected:
        builder = walk.builder
        terminals = find_terminals(self.model, self.scope, self.inputs, self.chosen, walk, lanes)
        for before, after in terminals.states.items():
            close_state(walk, before, after)
        chosen = self.chosen.inputs is None
        vocabularies = [
            item.ids for item in builder.vocabularies.values() if chosen or item.index in self._from_inputs
        ]
        entering = distinct(*(lanes[value] for value in terminals.inputs), *vocabularies)
        made = {name: walk.env[value].ids for name, value in terminals.outputs.items() if value in walk.env}
        leaving = distinct(*made.values())
        forward, backward = reach(builder, entering, leaving)
        live = forward & backward
        hubs = [hub for hub in walk.remarks.hubs if (backward if hub.unread else live)[hub.ids].any()]
        structural = builder.structural()
        kept = backward[structural[:, 1]]
        runs = Runs(builder)
        skips = runs.skip_edges()
        graph = NetworkGraph(
            n_vertices=builder.count,
            inputs=entering,
            outputs=leaving,
            layers=tuple(self.table.weights),
            blocks=tuple(builder.blocks),
            structural=structural[kept],
            skips=np.unique(skips[backward[skips[:, 1]]], axis=0) if len(skips) else skips,
        )
        return Connected(
            graph=graph,
            whole=self._whole(graph, structural, walk, terminals),
            exact=not hubs,
            hubs=tuple(dict.fromkeys(hub.why for hub in hubs)),
            notes=self._notes(walk, terminals),
            vertices=tuple(builder.runs),
            lanes={value.name: ids for value, ids in lanes.items()} | made,
            layer_graph=runs.layer_graph(
                graph.structural,
                [weights.name for weights in self.table.weights],
                [layer.name for layer in self.layers if isinstance(layer, Skipped)],
                {name: distinct(ids) for name, ids in made.items()},
            ),
            assumed=self._assumed(walk.sizes),
            misfit=walk.sizes.are_guessed and any(hub.misfit for hub in hubs),
            late=frozenset(),
            mixed=tuple(walk.remarks.mixed),
            beside=tuple(walk.remarks.beside),
        )

    def _whole(
        self, graph: NetworkGraph, structural: Ids, walk: Neurons, terminals: Terminals
    ) -> NetworkGraph:
        known = named_values(self.model, self.scope)
        taken = {*terminals.outputs.values(), *terminals.states.values()}
        declared = [known.get(item.name) for item in self.model.proto.graph.output]
        labels = [walk.env[value].ids for value in declared if value in walk.env and value not in taken]
        if self.chosen.outputs is not None or not labels:
            return graph
        outputs = distinct(graph.outputs, *labels)
        useful = reach(walk.builder, graph.inputs, outputs)[1]
        return replace(graph, outputs=outputs, structural=structural[useful[structural[:, 1]]])

    @cached_property
    def _from_inputs(self) -> Container[Value]:
        """The values that are made of an input that is taken."""
        taken = (value for value in self.model.inputs if value.name in (self.chosen.inputs or ()))
        return set(reached(taken, self._made_of))

    def _made_of(self, value: Value) -> list[Value]:
        return [made for use in self.model.users.get(value, ()) for made in use.node.outputs]

    def _notes(self, walk: Neurons, terminals: Terminals) -> tuple[str, ...]:
        counts = dict(walk.remarks.notes)
        if walk.left_out:
            counts["branches of If left out, as sizes decide which one runs"] = walk.left_out
        notes = [f"{text} ({count} times)" for text, count in sorted(counts.items())]
        notes += [f"state {a.name} and {b.name}, read as recurrence" for a, b in terminals.states.items()]
        known = named_values(self.model, self.scope)
        notes += [
            f"output {item.name} is made by no node"
            for item in self.model.proto.graph.output
            if item.name not in known
        ]
        return tuple(notes)

    def _assumed(self, sizes: Sizes) -> dict[str, tuple[int, ...]]:
        return {
            item.value.name: sizes.of(item.value).shape or ()
            for item in self.inputs
            if item.shape is not None and None in item.shape
        }
