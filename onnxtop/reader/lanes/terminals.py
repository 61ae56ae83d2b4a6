"""What enters and leaves the network: which inputs carry neurons, and which outputs count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from onnxtop.errors import UsageError
from onnxtop.options import did_you_mean
from onnxtop.reader.declared import shape_of
from onnxtop.reader.lanes.arrays import Ids, Unclear, filled
from onnxtop.reader.lanes.builder import GraphBuilder
from onnxtop.reader.lanes.neurons import Neurons
from onnxtop.reader.lanes.sizes import Input
from onnxtop.reader.lanes.states import paired_states
from onnxtop.reader.lanes.survey import Survey
from onnxtop.reader.model import Model, Scope, Value

_CODES = (TensorProto.INT8, TensorProto.UINT8)
_FLOATS = (
    *(TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16),
    *(TensorProto.COMPLEX64, TensorProto.COMPLEX128),
)
_NUMBERS = frozenset((*_CODES, *_FLOATS, TensorProto.UNDEFINED))
"""Element types of activations; those of eight bits are their codes. All others are indices or labels."""


@dataclass(frozen=True)
class Chosen:
    """Names of the inputs and outputs that are asked for, None for all."""

    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class Terminals:
    """Inputs, outputs by name, and the input and output of each state, which are neither."""

    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    states: Mapping[Value, Value]


def input_lanes(builder: GraphBuilder, survey: Survey) -> dict[Value, Ids]:
    """Make the vertices of every input that carries neurons: open axes share them, and so do united ones."""
    lanes: dict[Value, Ids] = {}
    for item in survey.sizes.inputs:
        if item.dtype not in _NUMBERS and (item.value not in survey.data or item.dtype == TensorProto.STRING):
            continue
        shape = survey.sizes.of(item.value).shape
        if shape is None or item.shape is None:
            one = builder.new(1, "input", item.value.name)
            lanes[item.value] = filled(int(one[0]), 1 if shape is None else len(shape))
            continue
        maps = [
            np.zeros(1, np.intp) if declared is None else survey.united(item.value, axis, size)
            for axis, (declared, size) in enumerate(zip(item.shape, shape, strict=True))
        ]
        lanes[item.value] = _numbered(builder, item.value.name, maps)
    return lanes


def _numbered(builder: GraphBuilder, name: str, maps: Sequence[Ids]) -> Ids:
    """Make the vertices of an input, given which lane each index belongs to, axis by axis."""
    counts = [int(index.max(initial=-1)) + 1 for index in maps]
    try:
        ids = builder.new(int(np.prod(counts, dtype=float)), "input", name)
    except Unclear:  # beyond all bounds: then its entries share one vertex
        return filled(int(builder.new(1, "input", name)[0]), len(maps))
    if not maps:
        return ids.reshape(())
    wide = [np.zeros(1, np.intp) if count == 1 else index for index, count in zip(maps, counts, strict=True)]
    return ids.reshape(counts)[np.ix_(*wide)]


def named_values(model: Model, scope: Scope) -> dict[str, Value]:
    """Return the values of the main graph by name."""
    named = {value.name: value for value in model.inputs}
    named.update((value.name, value) for node in scope.nodes for value in node.outputs)
    return named


def check_names(model: Model, chosen: Chosen) -> None:
    """Raise UsageError if a chosen name is that of no input, or of no value."""
    values = {*named_values(model, model.scope), *(item.name for item in model.proto.graph.output)}
    own = {value.name for value in model.inputs}
    for name in chosen.inputs or ():
        if name not in own:
            hint = (
                ", a value inside it or an output, which --to-output takes"
                if name in values
                else did_you_mean(name, sorted(own)) or f"; it has {', '.join(sorted(own)[:_FEW])}"
            )
            raise UsageError(f"--from-input: wanted the name of an input of the model, found {name!r}{hint}")
    for name in chosen.outputs or ():
        if name not in values:
            hint = did_you_mean(name, sorted(values)) or "; onnxtop graph shows some"
            raise UsageError(f"--to-output: wanted the name of a value of the model, found {name!r}{hint}")


_FEW = 5
"""Names that are told where another was given."""


def find_terminals(
    model: Model,
    scope: Scope,
    inputs: Sequence[Input],
    chosen: Chosen,
    walk: Neurons,
    lanes: Mapping[Value, Ids],
) -> Terminals:
    """Sort inputs and outputs: states are neither, labels are no outputs unless there is nothing else."""
    named = named_values(model, scope)
    declared = {item.name: item.type for item in model.proto.graph.output}
    wanted = tuple(declared) if chosen.outputs is None else chosen.outputs
    outputs = {name: named[name] for name in wanted if name in named}
    if chosen.outputs is None:
        outputs = _without_labels(outputs, declared, walk)
    taken = [value for value in lanes if chosen.inputs is None or value.name in chosen.inputs]
    shapes = {item.value: item.shape for item in inputs}
    shapes |= {value: shape_of(declared[name]) for name, value in outputs.items() if name in declared}
    pairs = paired_states(model, scope, taken, list(outputs.values()), shapes)
    free_inputs = tuple(value for value in taken if value not in pairs)
    states = set(pairs.values())
    free_outputs = {name: value for name, value in outputs.items() if value not in states}
    if not free_outputs or not (free_inputs or walk.builder.vocabularies):
        return Terminals(tuple(taken), outputs, {})
    return Terminals(free_inputs, free_outputs, pairs)


def _without_labels(
    outputs: Mapping[str, Value], declared: Mapping[str, onnx.TypeProto], walk: Neurons
) -> dict[str, Value]:
    kept = {
        name: value
        for name, value in outputs.items()
        if not declared[name].HasField("tensor_type") or declared[name].tensor_type.elem_type in _NUMBERS
    }
    if any(value in walk.env for value in kept.values()):
        return kept
    return dict(outputs)


def close_state(walk: Neurons, before: Value, after: Value) -> None:
    """Feed a state's output back to its input: entry by entry where they fit, all to all where not."""
    start, end = walk.env[before].ids, walk.env.get(after)
    if end is None:
        return
    if start.ndim == end.ids.ndim and all(
        1 in (a, b) or a == b for a, b in zip(start.shape, end.ids.shape, strict=True)
    ):
        walk.builder.connect(end.ids, start)
    else:
        walk.builder.connect(walk.builder.gather([end.ids], "state", before.name), start)
