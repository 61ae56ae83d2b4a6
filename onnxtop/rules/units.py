"""OT2: one layer whose units do no work, do the same work, or look untrained."""

from collections.abc import Iterator

from onnxtop.results.report import LayerReport
from onnxtop.rules import needs
from onnxtop.rules.rule import Policy, layer_rule
from onnxtop.statistics.facts import Units

_SHOWN = 8
_COLLAPSED = 0.5
_SMALLEST = 8


@layer_rule(
    "OT201",
    "warning",
    needs=(needs.statistics,),
    what="More outputs of a layer than `dead.outputs` allows have nothing but zeros as weights.",
    why="They give their bias whatever the input: parameters and time for nothing, or a part that was lost.",
    how="Columns of the weight matrix that are all zero.",
    false_alarms="Networks pruned by whole units that were not made smaller afterwards.",
)
def dead_outputs(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.statistics:
        yield from _dead(layer, layer.statistics.dead_outputs, layer.statistics.n_out, "outputs", policy)


@layer_rule(
    "OT202",
    "warning",
    needs=(needs.statistics,),
    what="More inputs of a layer than `dead.inputs` allows have nothing but zeros as weights.",
    why="Whatever arrives there is not used: the units before it work for nothing.",
    how="Rows of the weight matrix that are all zero.",
    false_alarms="Inputs that are the same for all data, such as the dark corners of pictures.",
)
def dead_inputs(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.statistics:
        yield from _dead(layer, layer.statistics.dead_inputs, layer.statistics.n_in, "inputs", policy)


def _dead(layer: LayerReport, dead: Units, n_units: int, side: str, policy: Policy) -> Iterator[str]:
    share = dead.count / max(n_units, 1)
    if not layer.largest or layer.probably_fixed:
        return
    if dead.count > 1 and policy.band(f"dead.{side}").excludes(share):
        lost = dead.count * layer.parameters // max(n_units, 1)
        yield (
            f"{dead.count} of {n_units} {side} have no weight but zeros ({listed(dead)}): "
            f"{lost} parameters, {share:.0%} of the layer"
        )


@layer_rule(
    "OT203",
    "warning",
    needs=(needs.statistics,),
    what="More outputs than `duplicates.outputs` allows have exactly the weights of another one.",
    why="The units compute the same: a weight was copied over another, or training never told them apart.",
    how="Columns equal entry by entry; zero columns, and those with fewer than 8 weights, do not count.",
    false_alarms="Binary and ternary networks with few inputs; units widened by copying to be trained on.",
)
def duplicate_outputs(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.statistics and layer.statistics.minimum != layer.statistics.maximum:
        same = layer.statistics.duplicate_outputs
        yield from _alike(layer, same, layer.statistics.n_out, "outputs have exactly the weights of", policy)


@layer_rule(
    "OT204",
    "note",
    needs=(needs.statistics,),
    what="More inputs than `duplicates.inputs` allows have exactly the weights of another one.",
    why="The layer cannot tell these inputs apart: one would do, with the sum of the signals.",
    how="Rows equal entry by entry; zero rows, and those with fewer than 8 weights, do not count.",
    false_alarms="Embedding tables whose unused entries were never trained.",
)
def duplicate_inputs(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.statistics and layer.statistics.minimum != layer.statistics.maximum:
        same = layer.statistics.duplicate_inputs
        yield from _alike(layer, same, layer.statistics.n_in, "inputs have exactly the weights of", policy)


@layer_rule(
    "OT205",
    "warning",
    needs=(needs.statistics,),
    what="More outputs than `duplicates.outputs` allows hardly differ from another one.",
    why="Copies that were trained or rounded a little further do nearly the same work.",
    how="Columns apart by less than 0.1 % of their length, found by random projections; a few may be missed.",
    false_alarms="Units widened by copying.",
)
def near_duplicate_outputs(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.statistics:
        near = layer.statistics.near_duplicate_outputs
        yield from _alike(
            layer, near, layer.statistics.n_out, "outputs differ from", policy, " by less than 0.1 %"
        )


def _alike(
    layer: LayerReport, same: Units, n_units: int, how: str, policy: Policy, by: str = ""
) -> Iterator[str]:
    side = how.split()[0]
    enough = same.count and policy.band(f"duplicates.{side}").excludes(same.count / max(n_units, 1))
    if enough and not layer.probably_fixed:
        yield f"{same.count} of {n_units} {how} an earlier one{by} ({listed(same)})"


@layer_rule(
    "OT206",
    "warning",
    needs=(needs.statistics,),
    what="A layer lets at most half as many directions through as it could, or fewer than 16 of many.",
    why="Its outputs all live in a small space: part of the network before it cannot matter.",
    how="Numerical rank of the weights on 32 random directions, singular values below 1e-5 of the "
    "largest counted as zero; dead units do not count.",
    false_alarms="Layers that were made by multiplying a narrow pair of layers together.",
    source="Halko, Martinsson, Tropp, SIAM Review 2011",
)
def rank_collapse(layer: LayerReport, policy: Policy) -> Iterator[str]:
    numbers = layer.statistics
    if numbers is None or numbers.rank is None or numbers.rank_limit is None or layer.probably_fixed:
        return
    same = numbers.duplicate_inputs.count + numbers.duplicate_outputs.count
    if numbers.rank_limit >= _SMALLEST and not same and numbers.rank <= _COLLAPSED * numbers.rank_limit:
        yield f"its rank is {numbers.rank}, with {layer.n_in} inputs and {layer.n_out} outputs"


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
