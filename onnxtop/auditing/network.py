"""Deep graph persistence of a model: the reader's graph of neurons, measured, in the report's words."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onnxtop.auditing.options import AuditOptions
from onnxtop.reader.connectivity import Connected, connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.flow import Flow
from onnxtop.reader.lanes.terminals import Chosen, check_names
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.model import Model
from onnxtop.reader.search import reached as walked
from onnxtop.results.plain import finite_or_none
from onnxtop.results.report import Connectivity, DeepGraphPersistence, SkipsCut
from onnxtop.topology import deep_graph_persistence as dgp
from onnxtop.topology.facts import LayerRole
from onnxtop.topology.layer_scan import LayerScan
from onnxtop.topology.persistence import NO_DIAGRAM, Diagram
from onnxtop.topology.reach import Filled, reach

_NO_WEIGHT = "no weight lies between an input and an output"


@dataclass(frozen=True)
class DeepGraph:
    """What is reported of the network as a graph; ``roles`` has an entry for each layer in it."""

    figures: DeepGraphPersistence
    cut_off: Connectivity
    roles: Mapping[str, LayerRole] = field(default_factory=dict)
    diagram: Diagram = NO_DIAGRAM


def neurons(
    model: Model, constants: Constants, layers: Sequence[Layer | Skipped], options: AuditOptions
) -> Connected | None:
    """Return the graph of a model's neurons, with each position of a convolution if it is to be unrolled.

    None if the model has no weights: then it is no network.

    Raises
    ------
    UsageError
        An input, output or dimension that is named is not the model's.
    """
    chosen = Chosen(options.inputs or None, options.outputs or None)
    check_names(model, chosen)
    if not layers:
        return None
    return connect(
        model,
        constants,
        layers,
        input_shapes=options.input_shapes,
        dims=options.dims,
        inputs=chosen.inputs,
        outputs=chosen.outputs,
        unrolled=options.conv == "unrolled",
    )


def measured_layers(connected: Connected | None, options: AuditOptions) -> set[int]:
    """Return the numbers of the layers whose weights make the figures; none if there are no figures."""
    if connected is None:
        return set()
    used = _between(connected.layer_graph, options.inputs)
    if _no_figure(connected, used, options.inputs) is not None:
        return set()
    return {block.layer for block in connected.graph.blocks}


def measure(
    connected: Connected | None,
    scans: Mapping[int, LayerScan],
    filled: Mapping[int, Sequence[Filled]],
    options: AuditOptions,
) -> DeepGraph:
    """Measure the deep graph persistence of a model, with its skip connections kept and cut.

    ``scans`` are those of the layers that were scanned when they were read, ``filled`` what was counted of
    them then. The option ``skips`` chooses which of the two figures the layers' roles belong to.
    """
    if connected is None:
        return DeepGraph(DeepGraphPersistence(reason=_NO_WEIGHT), Connectivity(reason=_NO_WEIGHT))
    cut_off = _cut_off(connected, filled)
    used = _between(connected.layer_graph, options.inputs)
    reason = _no_figure(connected, used, options.inputs)
    if reason is not None:
        figures = DeepGraphPersistence(connectivity=connected.in_words, notes=connected.notes, reason=reason)
        return DeepGraph(figures, cut_off)
    kept, cut = dgp.kept_and_cut(
        connected.graph,
        standardise=options.standardise,
        rescale=options.rescale,
        convention=options.convention,
        p=options.p,
        scans=scans,
    )
    chosen = cut if options.skips == "cut" else kept
    figures = DeepGraphPersistence(
        total=finite_or_none(chosen.total),
        normalized=finite_or_none(chosen.normalized),
        skips_cut=SkipsCut(finite_or_none(cut.total), finite_or_none(cut.normalized)),
        inputs=chosen.n_inputs,
        outputs=chosen.n_outputs,
        saturated=finite_or_none(chosen.saturated),
        connectivity=connected.in_words,
        notes=connected.notes,
        reason=chosen.reason,
        diagram=chosen.diagram if options.diagrams else None,
    )
    return DeepGraph(figures, cut_off, _roles(connected, chosen), chosen.diagram)


def _no_figure(connected: Connected, used: Container[str], inputs: Sequence[str]) -> str | None:
    """Say why there is nothing to measure: no weights on the way, or a hub that every way goes through."""
    graph = connected.layer_graph
    if not any(node in used for node in graph.of("layer")):
        return _NO_WEIGHT
    if connected.exact or _between(graph.without("hub"), inputs):
        return None
    return f"every way from an input to an output goes through what is not understood: {connected.hubs[0]}"


def _between(graph: Flow, inputs: Sequence[str]) -> set[str]:
    """Return the nodes on a way to an output from an input, or from one of those named."""
    named = {f"input:{name}" for name in inputs} & set(graph.nodes)
    sources = named or set(graph.of("input", "vocabulary"))
    behind: set[str] = set(walked(sources, graph.ahead))
    ahead: set[str] = set(walked(graph.of("output"), graph.behind))
    return behind & ahead


def _cut_off(connected: Connected, filled: Mapping[int, Sequence[Filled]]) -> Connectivity:
    """Name the layers that nothing passes through, and the inputs and outputs that only zeros lead to.

    A layer on the way may be all zeros itself: its weights would change a result.
    """
    graph = connected.graph
    found = reach(connected.whole, filled, connected.mixed)
    live = {block.layer for block in graph.blocks if found.passes(block)}
    on_a_way = found.forward & found.backward
    live |= connected.late | {layer for layer, ids in connected.beside if on_a_way[ids].any()}
    names = {graph.layers[number].name for number in live}
    unreachable = tuple(dict.fromkeys(layer.name for layer in graph.layers if layer.name not in names))
    if not (graph.inputs.size and graph.outputs.size):
        return Connectivity(unreachable, reason="the network has no inputs or no outputs with neurons")
    return Connectivity(
        unreachable,
        doubt=connected.doubt,
        inputs=_dead(connected, "input", graph.inputs[~found.backward[graph.inputs]]),
        outputs=_dead(connected, "output", graph.outputs[~found.forward[graph.outputs]]),
        dead=not found.forward[graph.outputs].any(),
    )


def _dead(connected: Connected, kind: str, vertices: NDArray[np.intp]) -> tuple[str, ...]:
    """Return the inputs or outputs all of whose neurons are among the vertices."""
    names = [connected.layer_graph.nodes[key][1] for key in connected.layer_graph.of(kind)]
    among = np.zeros(connected.graph.n_vertices, bool)
    among[vertices] = True
    lanes = {name: connected.lanes[name] for name in names if name in connected.lanes}
    held = {name: ids[ids >= 0] for name, ids in lanes.items()}
    return tuple(name for name, ids in held.items() if ids.size and among[ids].all())


def _roles(connected: Connected, measured: dgp.DeepPersistence) -> dict[str, LayerRole]:
    """Return the role of each layer, of the first use where a weight is used transposed as well."""
    pairs = zip(connected.graph.layers, measured.layers, strict=True)
    return {layer.name: role for layer, role in reversed(list(pairs)) if role is not None}
