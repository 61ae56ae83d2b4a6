"""OT2: one layer whose units do no work, do the same work, or look untrained."""

from onnxtop.results.report import LayerReport, Report
from onnxtop.rules.rule import Found, Policy, rule
from onnxtop.statistics.facts import Units

_SHOWN = 8
_COLLAPSED = 0.5
_SMALLEST = 8


@rule(
    "OT201",
    "warning",
    what="More outputs of a layer than `dead.outputs` allows have nothing but zeros as weights.",
    why="They give their bias whatever the input: parameters and time for nothing, or a part that was lost.",
    how="Columns of the weight matrix that are all zero.",
    false_alarms="Networks pruned by whole units that were not made smaller afterwards.",
)
def dead_outputs(report: Report, policy: Policy) -> Found:
    for layer in report.layers:
        if layer.statistics and layer.largest and not layer.probably_fixed:
            yield from _too_many(
                layer, layer.statistics.dead_outputs, layer_outputs(layer), "outputs", policy
            )


@rule(
    "OT202",
    "warning",
    what="More inputs of a layer than `dead.inputs` allows have nothing but zeros as weights.",
    why="Whatever arrives there is not used: the units before it work for nothing.",
    how="Rows of the weight matrix that are all zero.",
    false_alarms="Inputs that are the same for all data, such as the dark corners of pictures.",
)
def dead_inputs(report: Report, policy: Policy) -> Found:
    for layer in report.layers:
        if layer.statistics and layer.largest and not layer.probably_fixed:
            yield from _too_many(layer, layer.statistics.dead_inputs, layer_inputs(layer), "inputs", policy)


def _too_many(layer: LayerReport, dead: Units, n_units: int, side: str, policy: Policy) -> Found:
    share = dead.count / max(n_units, 1)
    if dead.count > 1 and policy.band(f"dead.{side}").excludes(share):
        lost = dead.count * layer.parameters // max(n_units, 1)
        yield (
            layer.name,
            f"{dead.count} of {n_units} {side} have no weight but zeros ({listed(dead)}): "
            f"{lost} parameters, {share:.0%} of the layer",
        )


@rule(
    "OT203",
    "warning",
    what="More outputs than `duplicates.outputs` allows have exactly the weights of another one.",
    why="The units compute the same: a weight was copied over another, or training never told them apart.",
    how="Columns equal entry by entry; zero columns, and those with fewer than 8 weights, do not count.",
    false_alarms="Binary and ternary networks with few inputs; units widened by copying to be trained on.",
)
def duplicate_outputs(report: Report, policy: Policy) -> Found:
    yield from _repeated(report, policy, "outputs")


@rule(
    "OT204",
    "note",
    what="More inputs than `duplicates.inputs` allows have exactly the weights of another one.",
    why="The layer cannot tell these inputs apart: one would do, with the sum of the signals.",
    how="Rows equal entry by entry; zero rows, and those with fewer than 8 weights, do not count.",
    false_alarms="Embedding tables whose unused entries were never trained.",
)
def duplicate_inputs(report: Report, policy: Policy) -> Found:
    yield from _repeated(report, policy, "inputs")


def _repeated(report: Report, policy: Policy, side: str) -> Found:
    for layer in report.layers:
        if layer.statistics is None or layer.probably_fixed or is_constant(layer):
            continue
        outputs = side == "outputs"
        same = layer.statistics.duplicate_outputs if outputs else layer.statistics.duplicate_inputs
        n_units = layer_outputs(layer) if outputs else layer_inputs(layer)
        if same.count and policy.band(f"duplicates.{side}").excludes(same.count / max(n_units, 1)):
            yield (
                layer.name,
                f"{same.count} of {n_units} {side} have exactly the weights of an earlier one "
                f"({listed(same)})",
            )


@rule(
    "OT205",
    "warning",
    what="More outputs than `duplicates.outputs` allows hardly differ from another one.",
    why="Copies that were trained or rounded a little further do nearly the same work.",
    how="Columns apart by less than 0.1 % of their length, found by random projections; a few may be missed.",
    false_alarms="Units widened by copying.",
)
def near_duplicate_outputs(report: Report, policy: Policy) -> Found:
    for layer in report.layers:
        near = layer.statistics.near_duplicate_outputs if layer.statistics else Units()
        if layer.probably_fixed:
            continue
        n_units = layer_outputs(layer)
        if near.count and policy.band("duplicates.outputs").excludes(near.count / max(n_units, 1)):
            yield (
                layer.name,
                f"{near.count} of {n_units} outputs differ from an earlier one by less than 0.1 % "
                f"({listed(near)})",
            )


@rule(
    "OT206",
    "warning",
    what="A layer lets at most half as many directions through as it could, or fewer than 16 of many.",
    why="Its outputs all live in a small space: part of the network before it cannot matter.",
    how="Numerical rank of the weights on 32 random directions, singular values below 1e-5 of the "
    "largest counted as zero; dead units do not count.",
    false_alarms="Layers that were made by multiplying a narrow pair of layers together.",
    source="Halko, Martinsson, Tropp, SIAM Review 2011",
)
def rank_collapse(report: Report, policy: Policy) -> Found:
    for layer in report.layers:
        numbers = layer.statistics
        if numbers is None or numbers.rank is None or numbers.rank_limit is None or layer.probably_fixed:
            continue
        same = numbers.duplicate_inputs.count + numbers.duplicate_outputs.count
        if numbers.rank_limit >= _SMALLEST and not same and numbers.rank <= _COLLAPSED * numbers.rank_limit:
            yield (
                layer.name,
                f"its rank is {numbers.rank}, with {layer.n_in} inputs and {layer.n_out} outputs",
            )


def is_constant(layer: LayerReport) -> bool:
    """Tell whether all weights are one number: then every unit repeats every other."""
    return layer.statistics is not None and layer.statistics.minimum == layer.statistics.maximum


def layer_outputs(layer: LayerReport) -> int:
    """Return how many columns the weights have, whatever graph was measured."""
    return layer.statistics.n_out if layer.statistics else layer.n_out


def layer_inputs(layer: LayerReport) -> int:
    """Return how many rows the weights have, whatever graph was measured."""
    return layer.statistics.n_in if layer.statistics else layer.n_in


def listed(units: Units) -> str:
    """Name the first units by index, runs as first-last.

    >>> listed(Units(5, (0, 1, 2, 7, 9)))
    '0-2, 7, 9'
    """
    runs: list[list[int]] = []
    for index in units.indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [f"{first}-{last}" if last > first else f"{first}" for first, last in runs]
    more = len(words) > _SHOWN or units.count > len(units.indices)
    return ", ".join(words[:_SHOWN]) + (", ..." if more else "")
