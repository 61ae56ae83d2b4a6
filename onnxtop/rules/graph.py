"""OT3: weights that are used by nobody or held twice, layers that nothing passes through."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from onnxtop.results.report import Connectivity, LayerReport, Report
from onnxtop.rules.rule import Found, Policy, Rule
from onnxtop.statistics.sketch import cosine, unpack

__all__ = ["RULES"]

_ALIKE = 0.98
_SMALLEST = 256


def unused_weights(report: Report, policy: Policy) -> Found:
    """Find a model that carries tensors which no node uses."""
    if report.coverage.unused:
        yield None, f"{report.coverage.unused:,} numbers are stored in tensors that nothing uses"


def duplicated_weights(report: Report, policy: Policy) -> Found:
    """Find layers that hold the weights of another one a second time."""
    for layer in report.layers:
        if layer.copy_of is not None:
            yield layer.name, f"its {layer.parameters} weights are those of {layer.copy_of}, stored twice"


def nearly_tied(report: Report, policy: Policy) -> Found:
    """Find pairs of layers that are almost, but not quite, the same."""
    alike: dict[tuple[int, ...], list[tuple[LayerReport, NDArray[np.float64]]]] = {}
    for layer in report.layers:
        large = layer.parameters >= _SMALLEST and layer.copy_of is None and layer.probably_fixed is None
        if layer.statistics and layer.statistics.sketch and layer.statistics.varied and large:
            sides = tuple(sorted((layer.statistics.n_in, layer.statistics.n_out)))
            alike.setdefault(sides, []).append((layer, unpack(layer.statistics.sketch)))
    for group in alike.values():
        for (one, left), (two, right) in combinations(group, 2):
            if max(cosine(left, right), cosine(left, right.T)) > _ALIKE:
                yield two.name, f"its weights are almost those of {one.name}: a tie that came undone?"


def unreachable_layers(report: Report, policy: Policy) -> Found:
    """Find layers that lie on no way from an input to an output."""
    for name in _connectivity(report).unreachable:
        yield name, "no way from an input to an output leads through it"


def disconnected_inputs(report: Report, policy: Policy) -> Found:
    """Find inputs that cannot matter."""
    for name in _connectivity(report).inputs:
        yield None, f"input {name!r} reaches no output through weights that are not zero"


def disconnected_outputs(report: Report, policy: Policy) -> Found:
    """Find outputs that do not depend on any input."""
    for name in _connectivity(report).outputs:
        yield None, f"output {name!r} depends on no input: every way is cut by zeros"


def _connectivity(report: Report) -> Connectivity:
    return report.network.connectivity or Connectivity()


RULES = (
    Rule(
        code="OT301",
        name="unused-weights",
        severity="note",
        what="Some tensors are stored and used by no node.",
        why="They make the file larger; or a node that should use them was lost.",
        how="Elements of float tensors that are no operand and no result.",
        source="onnxtop's coverage account",
        false_alarms="Leftovers of optimisers that fold constants.",
        find=unused_weights,
    ),
    Rule(
        code="OT302",
        name="duplicated-weights",
        severity="note",
        what="Two layers hold the same weights, transposed or not.",
        why="They were one tensor once (a tied embedding, say) and drift apart if the model is trained on.",
        how="Fingerprints of some entries find the pairs, the whole arrays decide.",
        source="onnxtop",
        false_alarms="Exporters fold a transposed use of a tied weight into a tensor of its own: common.",
        find=duplicated_weights,
    ),
    Rule(
        code="OT303",
        name="nearly-tied",
        severity="note",
        what="Two layers hold almost the same weights.",
        why="A tie came undone, or one of the two copies was quantised, rounded or trained a little further.",
        how="Cosine of the layers' sketches above 0.98, same sides, not equal.",
        source="onnxtop",
        false_alarms="Layers that stayed near one common start; all-positive layers of little variance.",
        find=nearly_tied,
    ),
    Rule(
        code="OT304",
        name="unreachable-layer",
        severity="note",
        what="A layer is on no way from an input to an output.",
        why="Its weights cannot change any result.",
        how="Search from the inputs and from the outputs in the graph of layers.",
        source="onnxtop",
        false_alarms="Layers fed by constants: positions, tables of an initial state.",
        find=unreachable_layers,
    ),
    Rule(
        code="OT305",
        name="disconnected-input",
        severity="note",
        what="No output depends on an input through weights that are not zero.",
        why="The network ignores what it is told there.",
        how="Search in the graph of neurons, zeros left out.",
        source="onnxtop",
        false_alarms="Inputs that are kept for an interface, masks and sizes among them.",
        find=disconnected_inputs,
    ),
    Rule(
        code="OT306",
        name="disconnected-output",
        severity="warning",
        what="An output depends on no input.",
        why="It is the same for all data.",
        how="Search in the graph of neurons, zeros left out.",
        source="onnxtop",
        false_alarms="Outputs that return a constant or a state on purpose.",
        find=disconnected_outputs,
    ),
)
"""The family."""
