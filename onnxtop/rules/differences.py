"""OT5: what is another than in the baseline; without a baseline these rules are silent."""

from collections.abc import Callable, Iterator

from onnxtop.results.report import LayerReport, Report
from onnxtop.rules import needs
from onnxtop.rules.matching import holders, layer_pairs, partners, similarity
from onnxtop.rules.rule import Found, Policy, pair_rule, rule

_RETRAINED = "A model that was trained anew or further on purpose: take a new baseline."

_SAME, _OTHER, _UNCHANGED = 0.9, 0.4, 0.99
"""Cosines of sketches: above the first they are the same weights, below the second others."""


@rule(
    "OT500",
    "error",
    needs=(needs.some_baseline,),
    what="There is a baseline, and it cannot be compared with this model.",
    why="A comparison of what is not comparable would find regressions that are none, or none where "
    "there are.",
    how="Algorithm versions, settings and names of layers of both reports; the exit code is 3.",
)
def incomparable(report: Report, policy: Policy) -> Found:
    if policy.incomparable:
        yield None, policy.incomparable


@rule(
    "OT501",
    "error",
    needs=(needs.values, needs.topology),
    what="Normalized neural persistence of a layer is not that of the baseline.",
    why="The strong weights of the layer are placed otherwise, or the network's largest weight changed.",
    how="Relative change above the tolerance `np.normalized`, 0.1 by default.",
    false_alarms=_RETRAINED,
)
def np_changed(report: Report, policy: Policy) -> Found:
    yield from _changes(report, policy, "np.normalized", lambda layer: layer.neural_persistence.normalized)


@rule(
    "OT502",
    "error",
    needs=(needs.values, needs.topology),
    what="The variance of a layer's scaled weights is not that of the baseline.",
    why="The distribution of |w| over the network's largest changed, wherever the weights are placed.",
    how="Relative change above the tolerance `variance`, 0.1 by default.",
    false_alarms=_RETRAINED,
)
def variance_changed(report: Report, policy: Policy) -> Found:
    yield from _changes(report, policy, "variance", lambda layer: layer.variance)


def _changes(
    report: Report, policy: Policy, figure: str, value: Callable[[LayerReport], float | None]
) -> Found:
    """Yield the layers whose figure changed; those that only follow the network's scale are told as one."""
    scale = _scale_change(report, policy.baseline)
    followers = 0
    for now, then in layer_pairs(report, policy.baseline):
        if bool(now.apart) != bool(then.apart):
            continue  # the two have no scale in common
        new, old = value(now), value(then)
        if old is not None and new is None:
            yield now.name, f"{figure} was {old:.4g} and is not defined now"
        if new is None or old is None or not (text := change(new, old, policy.tolerance(figure))):
            continue
        if scale and _is_unchanged(now, then):
            followers += 1
        else:
            yield now.name, f"{figure} {text}"
    if followers:
        layers = "a layer" if followers == 1 else f"{followers} layers"
        yield None, f"{figure} changed in {layers} with the same weights as before: {scale}"


def _is_unchanged(now: LayerReport, then: LayerReport) -> bool:
    """Tell whether the weights are those of the baseline, as far as sketch and size tell."""
    likeness = similarity(now, then)
    if likeness is None or likeness < _UNCHANGED or now.statistics is None or then.statistics is None:
        return False
    return abs(now.statistics.rms - then.statistics.rms) <= 0.01 * then.statistics.rms


def change(new: float, old: float, tolerance: float) -> str:
    """Describe a change beyond a relative tolerance, empty if it is within.

    >>> change(0.5, 0.4, 0.1), change(0.5, 0.5001, 0.1)
    ('changed from 0.4 to 0.5 (+25%)', '')
    """
    if abs(new - old) <= tolerance * abs(old):
        return ""
    relative = f" ({(new - old) / abs(old):+.0%})" if old else ""
    return f"changed from {old:.4g} to {new:.4g}{relative}"


def _scale_change(report: Report, baseline: Report | None) -> str:
    """Describe a change of what all weights are divided by, empty if there is none."""
    new = report.network.neural_persistence.scale
    old = baseline.network.neural_persistence.scale if baseline else None
    if new and old and abs(new - old) > 0.01 * old:
        return f"the network's largest |w| changed from {old:.4g} to {new:.4g}"
    return ""


@pair_rule(
    "OT503",
    "error",
    needs=(needs.values, needs.statistics),
    what="A layer holds the baseline's weights times a factor.",
    why="A scale of a quantised layer is wrong, or a normalisation was folded twice or not at all.",
    how="Sketches agree (cosine above 0.9) and the root mean square differs by more than `weights.scale`.",
    false_alarms="Normalisations folded into a layer on purpose.",
)
def rescaled(now: LayerReport, then: LayerReport, policy: Policy) -> Iterator[str]:
    likeness = similarity(now, then)
    if likeness is None or abs(likeness) < _SAME or not (now.statistics and then.statistics):
        return
    if then.statistics.rms:
        factor = now.statistics.rms / then.statistics.rms * (1 if likeness > 0 else -1)
        if abs(factor - 1) > policy.tolerance("weights.scale"):
            yield f"its weights are about the baseline's times {factor:.4g} (cosine {likeness:.3f})"


@rule(
    "OT504",
    "error",
    needs=(needs.layers,),
    what="A layer of the baseline is not there any more.",
    why="It was dropped or renamed by another exporter, or can no longer be read.",
    how="Layers are matched by name, else by weight name and shape.",
    false_alarms="Another exporter gives other names; `onnxtop diff` also matches by content.",
)
def layer_vanished(report: Report, policy: Policy) -> Found:
    if policy.baseline is not None:
        found = {layer.name for layer in partners(report, policy.baseline).values()}
        for layer in policy.baseline.layers:
            if layer.name not in found:
                yield layer.name, f"{layer.op_type} with {layer.parameters} weights is gone"


@rule(
    "OT505",
    "warning",
    needs=(needs.layers,),
    what="A layer is new.",
    why="The architecture changed, a tie was undone, or an exporter renamed a layer.",
    how="Layers are matched by name, else by weight name and shape.",
    false_alarms="Another exporter gives other names; `onnxtop diff` also matches by content.",
)
def layer_appeared(report: Report, policy: Policy) -> Found:
    if policy.baseline is not None:
        found = partners(report, policy.baseline)
        for layer in report.layers:
            if layer.name not in found:
                yield layer.name, f"{layer.op_type} with {layer.parameters} weights is new"


@pair_rule(
    "OT506",
    "error",
    needs=(needs.layers,),
    what="A layer has other numbers of inputs or outputs than in the baseline.",
    why="The architecture changed.",
    how="Inputs and outputs of layers of the same name.",
    false_alarms="A class added on purpose.",
)
def layer_reshaped(now: LayerReport, then: LayerReport, policy: Policy) -> Iterator[str]:
    new, old = (f"{layer.n_in} x {layer.n_out}" for layer in (now, then))
    if new != old:
        yield f"it was {old} and is {new}"


@pair_rule(
    "OT507",
    "note",
    needs=(needs.baseline,),
    what="A layer is stored in another type than in the baseline.",
    why="It was quantised, or is no longer: expected after a conversion, a surprise otherwise.",
    how="Encodings of layers of the same name.",
    false_alarms="Conversions.",
)
def encoding_changed(now: LayerReport, then: LayerReport, policy: Policy) -> Iterator[str]:
    if now.encoding != then.encoding:
        yield f"it was {then.encoding} and is {now.encoding}"


@rule(
    "OT508",
    "error",
    needs=(needs.values, needs.statistics),
    what="A layer holds the baseline's weights transposed, or those of another layer.",
    why="Two layers were swapped, or a square matrix was loaded the wrong way round; sums such as the norm "
    "and neural persistence cannot tell.",
    how="Sketches, which depend on where weights are: cosine above 0.9 with the other, below with its own.",
)
def weights_moved(report: Report, policy: Policy) -> Found:
    lost, transposed = [], set()
    for now, then in layer_pairs(report, policy.baseline):
        likeness = similarity(now, then)
        if likeness is not None and abs(likeness) < _SAME and not now.copy_of:
            lost.append(now)
            if (similarity(now, then, transposed=True) or 0) > _SAME:
                transposed.add(now.name)
    baseline = policy.baseline.layers if policy.baseline and lost else ()
    others = holders([now for now in lost if now.name not in transposed], baseline, _SAME)
    for now in lost:
        if now.name in transposed:
            yield now.name, "its weights are those of the baseline, transposed"
        elif now.name in others:
            yield now.name, f"its weights are those of the baseline's {others[now.name]}"


@rule(
    "OT509",
    "warning",
    needs=(needs.values, needs.statistics),
    what="A layer has new weights while most layers kept theirs.",
    why="It was not loaded, was initialised anew, or was trained from another start.",
    how="Cosine of sketches below 0.4 for it and above 0.9 for at least half of the layers.",
    false_alarms="A new head for a new task.",
)
def weights_replaced(report: Report, policy: Policy) -> Found:
    likenesses = [
        (now, found)
        for now, then in layer_pairs(report, policy.baseline)
        if (found := similarity(now, then)) is not None
    ]
    kept = sum(found > _SAME for _, found in likenesses)
    elsewhere = {name for name, _ in weights_moved.find(report, policy)}
    if 2 * kept >= len(likenesses):
        for now, found in likenesses:
            if abs(found) < _OTHER and now.name not in elsewhere:
                yield (
                    now.name,
                    "its weights have nothing in common with the baseline's; most layers kept theirs",
                )


@pair_rule(
    "OT510",
    "warning",
    needs=(needs.baseline,),
    what="Weights that were shared are not shared any more.",
    why="The copies drift apart in training, and the file grows.",
    how="Fewer nodes use the weight than in the baseline, or a copy is no copy now.",
    false_alarms="Exporters that fold a transposed use into a copy.",
)
def tie_undone(now: LayerReport, then: LayerReport, policy: Policy) -> Iterator[str]:
    if len(now.uses) < len(then.uses):
        yield f"{len(then.uses)} nodes shared its weights, now {len(now.uses)}: a tie was undone"
    elif then.copy_of is not None and now.copy_of is None and then.encoding == now.encoding:
        yield f"it was a copy of {then.copy_of} and is no longer: a tie was undone"


@rule(
    "OT511",
    "error",
    needs=(needs.baseline,),
    what="Less of the model can be read than of the baseline.",
    why="What is not read is not checked.",
    how="Share of weights analysed, relative loss above the tolerance `coverage.fraction`.",
)
def less_coverage(report: Report, policy: Policy) -> Found:
    new, old = report.coverage.fraction, policy.baseline.coverage.fraction if policy.baseline else None
    if new is not None and old is not None and new < old * (1 - policy.tolerance("coverage.fraction")):
        yield None, f"{old:.1%} of the weights could be read, now {new:.1%}"


@rule(
    "OT512",
    "error",
    needs=(needs.values, needs.topology),
    what="Deep graph persistence of the network is not that of the baseline.",
    why="The strongest ways through the network changed.",
    how="Relative change above the tolerance `dgp.normalized`, 0.1 by default.",
    false_alarms=_RETRAINED,
)
def dgp_changed(report: Report, policy: Policy) -> Found:
    new = report.network.deep_graph_persistence.normalized
    old = policy.baseline.network.deep_graph_persistence.normalized if policy.baseline else None
    if new is not None and old is not None and (text := change(new, old, policy.tolerance("dgp.normalized"))):
        yield None, f"dgp.normalized {text}"


@rule(
    "OT513",
    "note",
    needs=(needs.some_baseline,),
    what="There is a baseline, and it does not know this model.",
    why="The model is judged by itself: nothing is compared.",
    how="Models are found by path, else by file name.",
    false_alarms="A model that was added.",
)
def not_in_baseline(report: Report, policy: Policy) -> Found:
    if policy.unknown:
        yield None, f"{policy.unknown}: it is judged by itself"
