"""OT1: numbers that are no weights, or no longer the weights they were."""

from collections.abc import Iterator
from statistics import median

from onnxtop.results.report import SCALE_OF_ZERO, BadConstant, LayerReport, Report
from onnxtop.rules import needs
from onnxtop.rules.rule import Found, Policy, layer_rule, rule

_FEW = 16
"""A layer with fewer weights may be constant, or reach its limits, by chance."""

_OUTLYING = 20.0
_TIED = 0.001
_FLOATS = ("float64", "float32", "float16", "bfloat16")


@layer_rule(
    "OT101",
    "error",
    needs=(needs.topology,),
    what="A weight is NaN or infinite.",
    why="Everything computed from it is NaN or infinite too: training diverged or the export went wrong.",
    how="Every analysed weight is looked at.",
    false_alarms="None known; a constant mask is no layer.",
    source="IEEE 754",
)
def not_finite(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.nonfinite:
        yield f"{layer.neural_persistence.reason}; the layer is left out of the network's figures"


@layer_rule(
    "OT102",
    "warning",
    needs=(needs.topology,),
    what="Every weight of a layer is zero.",
    why="The layer passes nothing on but its bias: it was never filled, or was zeroed on purpose.",
    how="The largest |w| of the layer is 0.",
    false_alarms="Last layers of residual branches and of diffusion models start at zero on purpose.",
)
def all_zero(layer: LayerReport, policy: Policy) -> Iterator[str]:
    if layer.largest == 0:
        yield f"all {layer.parameters} weights are zero: no input reaches an output through it"


@layer_rule(
    "OT103",
    "warning",
    needs=(needs.statistics,),
    what="All weights of a layer are one number other than zero.",
    why="Every output is the same sum of the inputs: the layer was filled and never trained.",
    how="Smallest and largest weight are equal, at least 16 weights.",
    false_alarms="Averages written as a product or convolution with ones.",
)
def constant_layer(layer: LayerReport, policy: Policy) -> Iterator[str]:
    numbers = layer.statistics
    if numbers and layer.parameters >= _FEW and numbers.minimum == numbers.maximum != 0:
        yield f"all {layer.parameters} weights are {numbers.minimum:.6g}"


@layer_rule(
    "OT104",
    "warning",
    needs=(needs.statistics,),
    what="Many float16 weights are too small for the type's full precision.",
    why="Below 6.1e-5 float16 loses a binary digit at every halving, and below 3e-8 everything.",
    how="Share of subnormal numbers among the weights that are not zero, against `float16.subnormal`.",
    false_alarms="Layers that were pushed towards zero by weight decay.",
    source="IEEE 754-2008, binary16",
)
def subnormal(layer: LayerReport, policy: Policy) -> Iterator[str]:
    numbers = layer.statistics
    filled = layer.parameters - numbers.zeros if numbers else 0
    share = numbers.subnormal / filled if numbers and filled else 0.0
    if filled and policy.band("float16.subnormal").excludes(share):
        yield f"{share:.1%} of its weights are below 6.1e-5, where float16 loses digits"


@layer_rule(
    "OT105",
    "warning",
    needs=(needs.statistics,),
    what="Weights pile up at exactly the largest magnitude: they were cut off.",
    why="A cast to float16 saturates at 65504, and converters cut at a limit: the largest weights are lost.",
    how="65504 in float16; or at least 3 weights and 0.1 % equal the largest |w| of a layer that "
    "otherwise has many different values. Copies of whole lines, channels or kernels count once. A largest "
    "of exactly 1 does not count: so have tables of sinusoids.",
    false_alarms="Networks trained with weight clipping.",
    source="onnxconverter-common, float16.py: `max_finite_val`",
)
def clipped_weights(layer: LayerReport, policy: Policy) -> Iterator[str]:
    numbers = layer.statistics
    if numbers is None or layer.encoding not in _FLOATS or layer.probably_fixed:
        return
    limit = max(numbers.maximum, -numbers.minimum)
    share = numbers.at_limit / max(layer.parameters, 1)
    piled_up = numbers.varied and numbers.at_limit >= 3 and share >= _TIED and limit != 1
    if numbers.saturated or piled_up:
        yield f"{numbers.at_limit} weights are exactly ±{limit:.6g}: cut off there"


@rule(
    "OT106",
    "error",
    needs=(needs.statistics, needs.constants),
    what="A scale of a quantised layer is zero or not finite, or that of a quantiser is zero.",
    why="Its codes all decode to zero, or to nothing: the calibration went wrong. Below zero is as good as "
    "above: onnxruntime's symmetric quantisers of 4 and 8 bits write such scales.",
    how="Every scale is looked at, of weights and of what flows; zero means below 1e-30. Where a quantiser's "
    "is not finite, OT109 says so.",
    false_alarms="A channel of nothing but zeros needs no scale; some tools write 0 there.",
    source="ONNX DequantizeLinear",
)
def bad_scale(report: Report, policy: Policy) -> Found:
    for layer in report.layers:
        codes = layer.statistics.codes if layer.statistics else None
        if codes and (codes.zero_scales or codes.odd_scales):
            kinds = ((codes.zero_scales, "zero"), (codes.odd_scales, "not finite"))
            yield layer.name, "scales: " + ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    for bad in report.constants:
        if bad.problem == SCALE_OF_ZERO:
            yield bad.layer, f"{bad.problem} ({_entries(bad)}): {_place(bad)}"


@rule(
    "OT107",
    "note",
    needs=(needs.one_scale,),
    what="The largest weight of the network is far above that of most layers.",
    why="Neural persistence divides by it, so one weight moves the figures of all layers.",
    how="More than 20 times the median of the layers' largest |w|.",
    false_alarms="Common in networks whose normalisation was folded into convolutions.",
    source="Rieck et al. 2019, section 3: the scale is global",
)
def outlier_sets_scale(report: Report, policy: Policy) -> Found:
    scale = report.network.neural_persistence.scale
    counted = [x for x in report.layers if x.largest and not (x.copy_of or x.probably_fixed or x.apart)]
    if scale is None or len(counted) < 3:
        return
    top = max(counted, key=lambda layer: layer.largest or 0.0)
    middle = median(layer.largest or 0.0 for layer in counted)
    if top.largest == scale and scale > _OUTLYING * middle:
        yield (
            top.name,
            f"its largest |w| {scale:.4g} is {scale / middle:.1f} times that of the median layer: "
            "it raises the NP of all others (--scale layer shows theirs)",
        )


@rule(
    "OT108",
    "note",
    needs=(needs.statistics,),
    what="A float32 layer holds only float16 or bfloat16 numbers, unlike most layers.",
    why="It went through a narrower type that the others did not: a stray cast.",
    how="The low bits of 4096 of its weights are all zero.",
    false_alarms="Layers loaded from a half-precision checkpoint on purpose.",
)
def fewer_digits(report: Report, policy: Policy) -> Found:
    floats = [x for x in report.layers if x.statistics and x.encoding == "float32" and x.statistics.varied]
    narrow = [x for x in floats if x.statistics and x.statistics.precision]
    if 0 < len(narrow) < len(floats) / 2:
        for layer in narrow:
            kind = layer.statistics.precision if layer.statistics else ""
            yield layer.name, f"its float32 weights all fit into {kind}, those of most layers do not"


@rule(
    "OT109",
    "error",
    what="A bias, a parameter of a normalisation or another constant is NaN or infinite.",
    why="One such number on the way makes every output NaN or infinite.",
    how="Every constant operand that reaches an output, as it is taken, stored or computed, and every number "
    "of an attribute. Infinite bounds and masks are healthy: what operations choose from or compare with, "
    "and -inf that is added; what is only moved counts where it arrives.",
    false_alarms="None known.",
    source="IEEE 754",
    needs=(needs.constants,),
)
def constant_not_finite(report: Report, policy: Policy) -> Found:
    for bad in report.constants:
        if bad.problem in _NOT_FINITE:
            yield bad.layer, f"{_entries(bad)} of {_place(bad)}: {bad.problem}"


@rule(
    "OT110",
    "error",
    what="A normalisation divides by nothing, or multiplies by it.",
    why="A variance that is negative, or zero without an epsilon, gives NaN or infinity; a scale of nothing "
    "but zeros hides all that stands before it.",
    how="Running variance plus epsilon of BatchNormalization is 0 or less; all entries of the scale of "
    "another normalisation are 0.",
    false_alarms="None known in trained models.",
    source="ONNX BatchNormalization, LayerNormalization",
    needs=(needs.constants,),
)
def broken_normalisation(report: Report, policy: Policy) -> Found:
    for bad in report.constants:
        if bad.problem not in (*_NOT_FINITE, SCALE_OF_ZERO):
            yield bad.layer, f"{bad.problem} ({_entries(bad)}): {_place(bad)}"


_NOT_FINITE = ("NaN", "infinite")


def _entries(bad: BadConstant) -> str:
    return f"{bad.count} entr{'y' if bad.count == 1 else 'ies'}"


def _place(bad: BadConstant) -> str:
    """Say what the constant is and what takes it."""
    kind = {"bias": "bias ", "normalisation": "normalisation parameter "}.get(bad.role, "constant ")
    return f"{kind}{bad.name}, taken by {bad.op_type} {bad.node}"
