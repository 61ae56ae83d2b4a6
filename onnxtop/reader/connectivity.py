"""From a model to its network graph: who can reach whom, and which weights lie between (see `lanes`).

>>> from onnxtop.reader.model import load  # doctest: +SKIP
>>> model = load("model.onnx")  # doctest: +SKIP
>>> constants = Constants(model)  # doctest: +SKIP
>>> connect(model, constants, find_layers(model, constants)).exact  # doctest: +SKIP
True
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
import onnx
from onnx import TensorProto

from onnxtop.errors import UsageError
from onnxtop.network import NetworkGraph
from onnxtop.reader.constants import Constants
from onnxtop.reader.lanes.arrays import Ids, Unclear, distinct, filled
from onnxtop.reader.lanes.builder import Builder, Vertices
from onnxtop.reader.lanes.finish import layer_graph, reach, skip_edges
from onnxtop.reader.lanes.open_axes import OpenError
from onnxtop.reader.lanes.scopes import Scope, top_scope
from onnxtop.reader.lanes.sizes import Input, Sizes, graph_inputs, measure
from onnxtop.reader.lanes.states import paired_states
from onnxtop.reader.lanes.uniting import United, find_united
from onnxtop.reader.lanes.walk import Walk
from onnxtop.reader.lanes.weights import LayerTable
from onnxtop.reader.layers import Layer, Skipped
from onnxtop.reader.model import Model, Value

__all__ = ["Connectivity", "Vertices", "connect"]

_CODES = frozenset({TensorProto.INT8, TensorProto.UINT8})
_FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.COMPLEX64}
)
_NUMBERS = _FLOATS | _CODES
"""Element types of activations; those of eight bits are their codes. All others are indices or labels."""

_ASSUMED = ((2, 64), (1, 64), (64, 64), (1, 224), (64, 224), (1, 48), (2, 7), (1, 16000))
"""Sizes tried for open axes, the first axis and the others, until nothing has to be a hub."""
_PATIENCE = 4.0
"""Seconds after which no further sizes are tried."""


@dataclass(frozen=True, eq=False)
class Connectivity:
    """The network graph of a model, and what is known about it.

    Attributes
    ----------
    graph
        Vertices, blocks and structural edges. ``graph.layers`` starts with the model's layers in order; a
        weight that is also used transposed stands once more behind them, under the same name.
    exact
        Whether no hub lies between an input and an output.
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
    """

    graph: NetworkGraph
    exact: bool
    hubs: tuple[str, ...]
    notes: tuple[str, ...]
    vertices: tuple[Vertices, ...]
    lanes: Mapping[str, Ids]
    layer_graph: "nx.DiGraph[str]"
    assumed: Mapping[str, tuple[int, ...]]


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
) -> Connectivity:
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

    Raises
    ------
    UsageError
        A name is that of no input, or of no value.
    """
    given: dict[str, Sequence[int | None]] = dict(_named_dims(model, dims or {}))
    for name in {value.name for value in model.inputs} & set(shapes or {}):
        given.setdefault(name, (shapes or {})[name])
    given.update(input_shapes or {})
    chosen = _Chosen(None if inputs is None else tuple(inputs), None if outputs is None else tuple(outputs))
    plan = _Plan(model, constants, layers, top_scope(model), graph_inputs(model, given), chosen)
    best: Connectivity | None = None
    begin = time.monotonic()
    for measured in plan.measured():
        made = plan.build(measured)
        if best is None or len(made.hubs) < len(best.hubs):
            best = made
        if best.exact or time.monotonic() - begin > _PATIENCE:
            break
    assert best is not None
    return best


def _named_dims(model: Model, dims: Mapping[str, int]) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    for declared in model.proto.graph.input:
        kind = declared.type.tensor_type
        if kind.HasField("shape"):
            yield (
                declared.name,
                tuple(
                    dims.get(dim.dim_param, dim.dim_value if dim.dim_value > 0 else None)
                    for dim in kind.shape.dim
                ),
            )


@dataclass(frozen=True)
class _Chosen:
    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class _Terminals:
    """What enters and leaves the network: outputs by name, and the input and output of each state."""

    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    states: Mapping[Value, Value]


@dataclass(frozen=True, eq=False)
class _Measured:
    """Sizes of all tensors, the open axes that a weight tells, and whether any size is an assumption."""

    sizes: Sizes
    bound: frozenset[tuple[str, int]]
    is_assumed: bool


@dataclass(frozen=True, eq=False)
class _Plan:
    """Everything that does not depend on the sizes of open axes."""

    model: Model
    constants: Constants
    layers: Sequence[Layer | Skipped]
    scope: Scope
    inputs: Sequence[Input]
    chosen: _Chosen

    def measured(self) -> list["_Measured"]:
        """Return the sizes of all tensors under several assumptions about open axes, the best first."""
        begin = time.monotonic()
        found: list[tuple[int, _Measured]] = []
        for first, others in _ASSUMED:
            made = self._measured(first, others)
            found.append((made.sizes.doubts(), made))
            if not found[-1][0] or not made.is_assumed or time.monotonic() - begin > _PATIENCE:
                break
        fewest = min(doubts for doubts, _ in found)
        return [made for doubts, made in found if doubts == fewest][:2]

    def _measured(self, first: int, others: int) -> "_Measured":
        """Measure all tensors, again for every open axis that a weight tells the size of."""
        axes = {
            (item.value.name, axis): others if axis else first
            for item in self.inputs
            for axis in range(len(item.shape or ()))
        }
        bound: set[tuple[str, int]] = set()
        while True:
            try:
                sizes = measure(self.model, self.constants, self.scope, self.inputs, axes, others)
            except OpenError as found:
                axes |= dict.fromkeys(self._same_dim(found.key), found.size)
                bound.update(self._same_dim(found.key))
                continue
            opened = any(None in (item.shape or ()) for item in self.inputs)
            return _Measured(sizes, frozenset(bound), opened)

    def build(self, measured: "_Measured") -> Connectivity:
        """Build the graph with the given sizes."""
        table = LayerTable(self.model, self.constants, self.layers)
        sizes = measured.sizes
        united = find_united(self.scope, sizes, table, [item.value for item in self.inputs])
        builder = Builder()
        lanes = self._input_lanes(builder, sizes, united, measured.bound)
        walk = Walk(sizes, table, lanes, builder)
        walk.scope(self.scope)
        return self._finished(walk, table, lanes, sizes)

    def _same_dim(self, key: tuple[str, int]) -> list[tuple[str, int]]:
        """Return the axes that share the name of an open axis, itself included."""
        names = {
            (declared.name, axis): dim.dim_param
            for declared in self.model.proto.graph.input
            for axis, dim in enumerate(declared.type.tensor_type.shape.dim)
        }
        name = names.get(key)
        return [key, *(other for other, own in names.items() if name and own == name and other != key)]

    def _input_lanes(
        self, builder: Builder, sizes: Sizes, united: United, bound: frozenset[tuple[str, int]]
    ) -> dict[Value, Ids]:
        lanes: dict[Value, Ids] = {}
        for item in self.inputs:
            if item.dtype and item.dtype not in _NUMBERS and item.value not in united.data:
                continue
            if item.dtype == TensorProto.STRING:
                continue
            shape = sizes.of(item.value).shape
            if shape is None or item.shape is None:
                one = builder.new(1, "input", item.value.name)
                lanes[item.value] = filled(int(one[0]), 1 if shape is None else len(shape))
                continue
            maps = [
                np.zeros(1, np.intp)
                if item.shape[axis] is None and (item.value.name, axis) not in bound
                else united.lanes(item.value, axis, size)
                for axis, size in enumerate(shape)
            ]
            lanes[item.value] = _numbered(builder, item.value.name, maps)
        return lanes

    # What the walk left, as a graph.

    def _finished(
        self, walk: Walk, table: LayerTable, lanes: Mapping[Value, Ids], sizes: Sizes
    ) -> Connectivity:
        builder = walk.builder
        terminals = self._terminals(walk, lanes)
        for before, after in terminals.states.items():
            _close(walk, before, after)
        inputs = [lanes[value] for value in terminals.inputs]
        inputs += [item.ids for item in builder.vocabularies if self._is_chosen(item.index)]
        entering = distinct(np.concatenate([np.ravel(ids) for ids in inputs])) if inputs else _nothing()
        leaving_by_name = {
            name: distinct(walk.env[value].ids)
            for name, value in terminals.outputs.items()
            if value in walk.env
        }
        leaving = distinct(np.concatenate(list(leaving_by_name.values()))) if leaving_by_name else _nothing()
        forward, backward = reach(builder, entering, leaving)
        live = forward & backward
        hubs = tuple(dict.fromkeys(text for text, ids in walk.remarks.hubs if live[ids].any()))
        structural = _pairs(builder)
        kept = backward[structural[:, 1]]
        skips = skip_edges(builder)
        graph = NetworkGraph(
            n_vertices=builder.count,
            inputs=entering,
            outputs=leaving,
            layers=tuple(table.weights),
            blocks=tuple(builder.blocks),
            structural=structural[kept],
            skips=np.unique(skips[backward[skips[:, 1]]], axis=0) if len(skips) else skips,
        )
        return Connectivity(
            graph=graph,
            exact=not hubs,
            hubs=hubs,
            notes=self._notes(walk, terminals),
            vertices=tuple(builder.runs),
            lanes={value.name: ids for value, ids in lanes.items()}
            | {name: walk.env[value].ids for name, value in terminals.outputs.items() if value in walk.env},
            layer_graph=layer_graph(
                builder,
                builder.blocks,
                graph.structural,
                [weights.name for weights in table.weights],
                [layer.name for layer in self.layers if isinstance(layer, Skipped)],
                leaving_by_name,
            ),
            assumed=self._assumed(sizes),
        )

    def _terminals(self, walk: Walk, lanes: Mapping[Value, Ids]) -> _Terminals:
        """Sort inputs and outputs: states are neither, labels are no outputs unless there is nothing else."""
        named = self._named_values()
        declared = {item.name: item.type for item in self.model.proto.graph.output}
        wanted = self.chosen.outputs if self.chosen.outputs is not None else tuple(declared)
        missing = [name for name in wanted if name not in named and name not in declared]
        own = [value.name for value in self.model.inputs]
        missing += [name for name in self.chosen.inputs or () if name not in own]
        if missing:
            raise UsageError(f"wanted the name of an input or a value of the model, found {missing[0]!r}")
        outputs = {name: named[name] for name in wanted if name in named}
        if self.chosen.outputs is None:
            outputs = _without_labels(outputs, declared, walk)
        inputs = [value for value in lanes if self.chosen.inputs is None or value.name in self.chosen.inputs]
        shapes = {item.value: item.shape for item in self.inputs}
        shapes |= {value: _declared(declared[name]) for name, value in outputs.items() if name in declared}
        pairs = paired_states(self.model, self.scope, inputs, list(outputs.values()), shapes)
        free_inputs = tuple(value for value in inputs if value not in pairs)
        free_outputs = {name: value for name, value in outputs.items() if value not in pairs.values()}
        if not free_outputs or not (free_inputs or walk.builder.vocabularies):
            return _Terminals(tuple(inputs), outputs, {})
        return _Terminals(free_inputs, free_outputs, pairs)

    def _named_values(self) -> dict[str, Value]:
        named = {value.name: value for value in self.model.inputs}
        named.update((value.name, value) for node in self.scope.nodes for value in node.outputs)
        return named

    def _is_chosen(self, index: Value) -> bool:
        """Tell whether a vocabulary's index comes from an input that is taken."""
        if self.chosen.inputs is None:
            return True
        stack, seen = [index], {index}
        while stack:
            value = stack.pop()
            if value in self.model.inputs and value.name in self.chosen.inputs:
                return True
            node = self.model.producers.get(value)
            for source in node.inputs if node is not None else ():
                if source is not None and source not in seen:
                    seen.add(source)
                    stack.append(source)
        return False

    def _notes(self, walk: Walk, terminals: _Terminals) -> tuple[str, ...]:
        notes = [f"{text} ({count} times)" for text, count in sorted(walk.remarks.notes.items())]
        notes += [f"state {a.name} and {b.name}, read as recurrence" for a, b in terminals.states.items()]
        known = self._named_values()
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


def _nothing() -> Ids:
    return np.empty(0, np.intp)


def _numbered(builder: Builder, name: str, maps: Sequence[Ids]) -> Ids:
    """Make the vertices of an input, given which lane each index belongs to, axis by axis."""
    counts = [int(index.max(initial=-1)) + 1 for index in maps]
    total = int(np.prod(counts, dtype=float))
    try:
        ids = builder.new(total, "input", name)
    except Unclear:  # beyond all bounds: then its entries share one vertex
        return filled(int(builder.new(1, "input", name)[0]), len(maps))
    if not maps:
        return ids.reshape(())
    wide = [np.zeros(1, np.intp) if count == 1 else index for index, count in zip(maps, counts, strict=True)]
    return ids.reshape(counts)[np.ix_(*wide)]


def _close(walk: Walk, before: Value, after: Value) -> None:
    """Feed a state's output back to its input."""
    start, end = walk.env[before].ids, walk.env.get(after)
    if end is None:
        return
    try:
        same = start.ndim == end.ids.ndim and np.broadcast_shapes(start.shape, end.ids.shape) is not None
    except ValueError:
        same = False
    if same:
        walk.builder.connect(end.ids, start)
    else:
        walk.builder.connect(walk.builder.gather([end.ids], "state", before.name), start)


def _pairs(builder: Builder) -> Ids:
    pairs = [np.column_stack([edges.source, edges.target]) for edges in builder.edges]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.intp)


def _declared(kind: onnx.TypeProto) -> tuple[int | None, ...] | None:
    if not kind.tensor_type.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in kind.tensor_type.shape.dim)


def _without_labels(
    outputs: Mapping[str, Value], declared: Mapping[str, onnx.TypeProto], walk: Walk
) -> dict[str, Value]:
    kept = {
        name: value
        for name, value in outputs.items()
        if not declared[name].HasField("tensor_type")
        or declared[name].tensor_type.elem_type in (*_NUMBERS, TensorProto.UNDEFINED)
    }
    if any(value in walk.env for value in kept.values()):
        return kept
    return dict(outputs)
