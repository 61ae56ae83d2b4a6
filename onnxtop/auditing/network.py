"""Deep graph persistence of a model: the reader's graph of neurons, measured, in the report's words."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.connectivity import Connectivity, connect
from onnxtop.reader.constants import Constants
from onnxtop.reader.layers import Layer, Skipped
from onnxtop.reader.model import Model
from onnxtop.results.report import Connectivity as CutOff
from onnxtop.results.report import DeepGraphPersistence, LayerRole, SkipsCut
from onnxtop.topology import deep_graph_persistence as dgp
from onnxtop.topology.persistence import Convention

__all__ = ["DeepGraph", "measure"]


@dataclass(frozen=True)
class DeepGraph:
    """What is reported of the network as a graph; ``roles`` has an entry for each layer in it."""

    figures: DeepGraphPersistence
    cut_off: CutOff
    roles: Mapping[str, LayerRole] = field(default_factory=dict)


def measure(
    model: Model,
    constants: Constants,
    layers: Sequence[Layer | Skipped],
    *,
    convention: Convention,
    p: float,
    skips: dgp.Skips,
    input_shapes: Mapping[str, tuple[int, ...]],
    dims: Mapping[str, int],
    inputs: Sequence[str],
    outputs: Sequence[str],
    conv: str = "flattened",
) -> DeepGraph:
    """Measure the deep graph persistence of a model, with its skip connections kept and cut.

    ``skips`` chooses which of the two the layers' roles belong to; all other arguments are the audit's. If
    ``conv`` is 'unrolled', each position of a convolution is a neuron; by any other choice they share it.

    Raises
    ------
    UsageError
        An input, output or dimension that is named is not the model's.
    """
    connected = connect(
        model,
        constants,
        layers,
        input_shapes=input_shapes,
        dims=dims,
        inputs=inputs or None,
        outputs=outputs or None,
        unrolled=conv == "unrolled",
    )
    used = _between(connected.layer_graph, inputs)
    reason = _no_figure(connected, used, inputs)
    if reason is not None:
        figures = DeepGraphPersistence(connectivity=_connectivity(connected), reason=reason)
        return DeepGraph(figures, _cut_off(connected, used, None))
    kept, cut = dgp.kept_and_cut(connected.graph, convention=convention, p=p)
    chosen = cut if skips == "cut" else kept
    figures = DeepGraphPersistence(
        total=_defined(chosen.total),
        normalized=_defined(chosen.normalized),
        skips_cut=SkipsCut(_defined(cut.total), _defined(cut.normalized)),
        inputs=chosen.n_inputs,
        outputs=chosen.n_outputs,
        saturated=_defined(chosen.saturated),
        connectivity=_connectivity(connected),
        notes=connected.notes,
        reason=chosen.reason,
    )
    return DeepGraph(figures, _cut_off(connected, used, chosen), _roles(connected, chosen))


def _no_figure(connected: Connectivity, used: Container[str], inputs: Sequence[str]) -> str | None:
    """Say why there is nothing to measure: no weights on the way, or a hub that every way goes through."""
    kinds = _kinds(connected.layer_graph)
    if not any(kind == "layer" and node in used for node, kind in kinds.items()):
        return "no weight lies between an input and an output"
    if connected.exact:
        return None
    graph = connected.layer_graph
    open_ways = graph.subgraph(node for node, kind in kinds.items() if kind != "hub")
    if _between(open_ways, inputs):
        return None
    return f"every way from an input to an output goes through what is not understood: {connected.hubs[0]}"


def _between(graph: "nx.DiGraph[str]", inputs: Sequence[str]) -> set[str]:
    """Return the nodes on a way to an output from an input, or from one of those named."""
    kinds = _kinds(graph)
    named = {f"input:{name}" for name in inputs} & set(kinds)
    sources = named or {node for node, kind in kinds.items() if kind in ("input", "vocabulary")}
    targets = {node for node, kind in kinds.items() if kind == "output"}
    behind = sources.union(*(nx.descendants(graph, node) for node in sources))
    ahead = targets.union(*(nx.ancestors(graph, node) for node in targets))
    return behind & ahead


def _kinds(graph: "nx.DiGraph[str]") -> dict[str, str]:
    return {node: str(data["kind"]) for node, data in graph.nodes(data=True)}


def _connectivity(connected: Connectivity) -> str:
    return "exact" if connected.exact else f"conservative ({'; '.join(connected.hubs)})"


def _cut_off(
    connected: Connectivity, used: Container[str], measured: dgp.DeepGraphPersistence | None
) -> CutOff:
    """Name the layers that nothing passes through, and the inputs and outputs that only zeros lead to."""
    graph = connected.layer_graph
    unreachable = [
        str(name)
        for node, name in graph.nodes(data="name")
        if graph.nodes[node]["kind"] == "layer" and node not in used
    ]
    if measured is None or measured.reason is not None:
        return CutOff(tuple(unreachable), reason="the network's figure is not defined")
    return CutOff(
        tuple(unreachable),
        inputs=_dead(connected, "input", connected.graph.inputs[measured.beta == 0]),
        outputs=_dead(connected, "output", connected.graph.outputs[measured.alpha == 0]),
    )


def _dead(connected: Connectivity, kind: str, vertices: NDArray[np.intp]) -> tuple[str, ...]:
    """Return the inputs or outputs all of whose neurons are among the vertices."""
    graph = connected.layer_graph
    names = [str(name) for node, name in graph.nodes(data="name") if graph.nodes[node]["kind"] == kind]
    lanes = {name: connected.lanes[name] for name in names if name in connected.lanes}
    found = {name: ids[ids >= 0] for name, ids in lanes.items()}
    return tuple(name for name, ids in found.items() if ids.size and np.isin(ids, vertices).all())


def _roles(connected: Connectivity, measured: dgp.DeepGraphPersistence) -> dict[str, LayerRole]:
    roles: dict[str, LayerRole] = {}
    each = measured.layers
    for number, layer in enumerate(connected.graph.layers):
        if layer.name not in roles and not math.isnan(each.active[number]):
            roles[layer.name] = LayerRole(
                bars=int(each.bars[number]),
                active=_defined(float(each.active[number])),
                alpha=_range(each.alpha_min[number], each.alpha_max[number]),
                beta=_range(each.beta_min[number], each.beta_max[number]),
            )
    return roles


def _range(low: float, high: float) -> tuple[float, ...] | None:
    return (float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else None


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
