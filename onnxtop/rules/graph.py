"""OT3: weights that are used by nobody or held twice, layers that nothing passes through."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from onnxtop.results.report import Connectivity, LayerReport, Report
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, layer_rule, rule
from onnxtop.statistics.sketch import close, unpack

_ALIKE = 0.98
_SMALLEST = 256
_STRIP = 256
"""Sketches that are compared with all earlier ones at once."""


@rule(
    "OT301",
    "note",
    what="Some tensors are stored and used by no node.",
    why="They make the file larger; or a node that should use them was lost.",
    how="Elements of tensors that are no operand and no result.",
    false_alarms="Leftovers of optimisers that fold constants.",
    source="onnxtop's coverage account",
)
def unused_weights(report: Report, policy: Policy) -> Found:
    if report.coverage.unused:
        yield None, f"{report.coverage.unused:,} numbers are stored in tensors that nothing uses"


@layer_rule(
    "OT302",
    "note",
    what="Two layers hold the same weights, transposed or not.",
    why="They were one tensor once (a tied embedding, say) and drift apart if the model is trained on.",
    how="Fingerprints of some entries find the pairs, the whole arrays decide.",
    false_alarms="Exporters fold a transposed use of a tied weight into a tensor of its own: common.",
)
def duplicated_weights(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.copy_of is not None:
        yield f"its {layer.parameters} weights are those of {layer.copy_of}, stored twice"


@rule(
    "OT303",
    "note",
    needs=(needs.statistics,),
    what="Two layers hold almost the same weights.",
    why="A tie came undone, or one of the two copies was quantised, rounded or trained a little further.",
    how="Cosine of the layers' sketches above 0.98, same sides, not equal.",
    false_alarms="Layers that stayed near one common start; all-positive layers of little variance.",
)
def nearly_tied(report: Report, policy: Policy) -> Found:
    alike: dict[tuple[int, ...], list[tuple[LayerReport, NDArray[np.float64]]]] = {}
    for layer in report.layers:
        large = layer.parameters >= _SMALLEST and layer.copy_of is None and layer.probably_fixed is None
        if layer.statistics and layer.statistics.sketch and layer.statistics.varied and large:
            sides = tuple(sorted((layer.statistics.n_in, layer.statistics.n_out)))
            alike.setdefault(sides, []).append((layer, unpack(layer.statistics.sketch)))
    for group in (each for each in alike.values() if len(each) > 1):
        for two, one, more in _close_to_earlier(np.stack([sketch for _, sketch in group])):
            others = f" and {more} more before it" if more else ""
            what = f"its weights are almost those of {group[one][0].name}{others}"
            yield group[two][0].name, f"{what}: a tie that came undone?"


def _close_to_earlier(sketches: NDArray[np.float64]) -> Iterator[tuple[int, int, int]]:
    """Yield each sketch that is almost an earlier one or its turn, by number, the first, and how many more.

    All are compared, a strip at a time.
    """
    for begin in range(0, len(sketches), _STRIP):
        strip, before = sketches[begin : begin + _STRIP], sketches[: begin + _STRIP]
        near = close(strip, before, _ALIKE) | close(strip.transpose(0, 2, 1), before, _ALIKE)
        near = np.tril(near, begin - 1)
        for row in np.flatnonzero(near.any(1)).tolist():
            yield begin + row, int(near[row].argmax()), int(near[row].sum()) - 1


@rule(
    "OT304",
    "note",
    needs=(needs.topology,),
    what="A layer is on no way from an input to an output.",
    why="What it makes reaches no result, or no input changes what it makes.",
    how="Search from the inputs and from the outputs in the graph of neurons, zeros left out.",
    false_alarms="Layers fed by constants: positions, learned queries, tables of an initial state.",
)
def unreachable_layer(report: Report, policy: Policy) -> Found:
    for name in _connectivity(report).unreachable:
        yield name, "no way from an input to an output leads through it"


@rule(
    "OT305",
    "note",
    needs=(needs.connectivity,),
    what="No output depends on an input through weights that are not zero.",
    why="The network ignores what it is told there.",
    how="Search in the graph of neurons, zeros left out.",
    false_alarms="Inputs that are kept for an interface, masks and sizes among them.",
)
def disconnected_input(report: Report, policy: Policy) -> Found:
    for name in _connectivity(report).inputs:
        yield None, f"input {name!r} reaches no output through weights that are not zero"


@rule(
    "OT306",
    "warning",
    needs=(needs.connectivity,),
    what="An output depends on no input.",
    why="It is the same for all data.",
    how="Search in the graph of neurons, zeros left out; if none does, OT308 says so.",
    false_alarms="Outputs that return a constant or a state on purpose.",
)
def disconnected_output(report: Report, policy: Policy) -> Found:
    for name in () if _is_dead(report) else _connectivity(report).outputs:
        yield None, f"output {name!r} depends on no input through weights that are not zero"


@rule(
    "OT307",
    "warning",
    needs=(needs.connectivity,),
    what="The graph of the network rests on sizes that were assumed, and these do not fit the model.",
    why="Where the model leaves sizes open and nothing tells them, what is connected is not known exactly.",
    how="Shapes of tensors and weights contradict each other, or only other sizes reach a layer.",
    false_alarms="Models that contradict themselves whatever the sizes.",
)
def assumed_sizes(report: Report, policy: Policy) -> Found:
    doubt = _connectivity(report).doubt
    if doubt:
        yield None, f"what is connected is not sure: {doubt}"


@rule(
    "OT308",
    "error",
    needs=(needs.connectivity,),
    what="No output depends on any input.",
    why="Layers of zeros, or a lost connection, cut the network in two: it says the same of everything.",
    how="Search in the graph of neurons, zeros left out; silent where assumed sizes are in doubt.",
    false_alarms="Networks saved before the last layer, set to zero at the start, was trained.",
)
def dead_network(report: Report, policy: Policy) -> Found:
    if _is_dead(report):
        yield None, "no output depends on any input through weights that are not zero"


def _is_dead(report: Report) -> bool:
    connectivity = _connectivity(report)
    return connectivity.dead and connectivity.doubt is None


def _connectivity(report: Report) -> Connectivity:
    return report.network.connectivity or Connectivity()
