"""OT6: what quantisation left of the weights."""

from collections.abc import Iterator

from onnxtop.results.report import LayerReport
from onnxtop.rules import needs
from onnxtop.rules.matching import similarity
from onnxtop.rules.rule import Policy, layer_rule, pair_rule

_ENOUGH = 16
"""So many weights a code are needed before an unused code says anything."""

_SPREAD = 50.0
_NOISY = 0.98


@layer_rule(
    "OT601",
    "warning",
    needs=(needs.statistics,),
    what="A quantised layer uses a smaller share of its codes than `codes.used` asks for.",
    why="A scale that is too coarse throws bits away: an outlier or a wrong calibration set it.",
    how="Different codes that occur over those there are; layers with at least 16 weights a code.",
    false_alarms="Weights that were binary or ternary before; per-tensor scales beside one outlier.",
    source="Nagel et al., A White Paper on Neural Network Quantization, 2021",
)
def unused_codes(layer: LayerReport, policy: Policy) -> Iterator[str]:
    codes = layer.statistics.codes if layer.statistics else None
    if codes is None or layer.parameters < _ENOUGH * 2**codes.bits or not layer.largest:
        return
    if policy.band("codes.used").excludes(codes.distinct / 2**codes.bits):
        yield f"it uses {codes.distinct} of {2**codes.bits} codes: its scale is too coarse"


@layer_rule(
    "OT602",
    "warning",
    needs=(needs.statistics,),
    what="More codes than `codes.clipped` allows are the largest or the smallest there is.",
    why="A scale that is too fine cuts the largest weights off.",
    how="Share of codes at either end, less two a scale; at least 5 bits and 17 different codes.",
    false_alarms="Scales chosen to minimise the error rather than to cover the range clip on purpose.",
    source="Nagel et al., A White Paper on Neural Network Quantization, 2021",
)
def clipped_codes(layer: LayerReport, policy: Policy) -> Iterator[str]:
    codes = layer.statistics.codes if layer.statistics else None
    beyond = codes and codes.bits > 4 and codes.distinct > 16
    if codes and beyond and policy.band("codes.clipped").excludes(codes.clipped):
        yield f"{codes.clipped:.1%} of its codes are the largest or smallest: its scale is too fine"


@layer_rule(
    "OT603",
    "note",
    needs=(needs.statistics,),
    what="One scale of a quantised layer is far larger than most.",
    why="One channel is multiplied by a factor of its own: an outlier, or a scale gone wrong.",
    how="Largest scale over the median scale, above 50.",
    false_alarms="Channels that are really that different, common behind a folded normalisation.",
)
def stray_scale(layer: LayerReport, policy: Policy) -> Iterator[str]:
    codes = layer.statistics.codes if layer.statistics else None
    if codes and codes.scale_spread is not None and codes.scale_spread > _SPREAD:
        yield f"its largest scale is {codes.scale_spread:.0f} times the median scale"


@pair_rule(
    "OT604",
    "warning",
    needs=(needs.baseline, needs.statistics),
    what="Quantised weights differ much from those of the baseline.",
    why="Below a cosine of 0.98 the noise has a fifth of the signal's length: the layer is another one.",
    how="Cosine of the layer's sketch with the baseline's, where the encoding changed.",
    false_alarms="Baselines of another training run.",
    source="onnxtop; `onnxtop diff` measures the whole arrays",
)
def quantisation_noise(now: LayerReport, then: LayerReport, policy: Policy) -> Iterator[str]:
    if now.encoding == then.encoding or not (now.statistics and now.statistics.codes):
        return
    likeness = similarity(now, then)
    if likeness is not None and 0.5 < likeness < _NOISY:
        yield f"cosine with its {then.encoding} baseline is {likeness:.2f}: quantised too coarsely"
