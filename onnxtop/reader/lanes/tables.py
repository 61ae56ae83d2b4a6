"""Which rule reads which operation. The key is (domain, op_type), as in `onnxtop.reader.ops`."""

from collections.abc import Mapping
from functools import partial

from onnxtop.reader.evaluate import QONNX
from onnxtop.reader.lanes import (
    attention,
    convolutions,
    fused,
    lookups,
    movement,
    pointwise,
    products,
    recurrent,
    sequences,
    signals,
)
from onnxtop.reader.lanes.step import Rule, rows

_MICROSOFT, _ML = "com.microsoft", "ai.onnx.ml"
_LAST = "qonnx.custom_op.channels_last"


def _modules(domain: str, *rules: Rule) -> dict[tuple[str, str], Rule]:
    return {(domain, rule.__name__): rule for rule in rules}


_ELEMENTWISE = """
    Abs Acos Acosh Affine And Asin Asinh Atan Atanh Bernoulli BitCast BitShift BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor Cast Ceil Celu Clip Cos Cosh DequantizeLinear Div Dropout Elu Erf Exp
    Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity ImageScaler IsInf IsNaN LeakyRelu
    Less LessOrEqual Log Max Min Mish Mod Mul Neg Not Optional OptionalGetElement Or PRelu
    ParametricSoftplus Pow QuantizeLinear Reciprocal RegexFullMatch Relu Round Scale ScaledTanh Selu
    Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt StringConcat StringNormalizer Sub Swish Tan Tanh
    ThresholdedRelu Xor
"""
_NORMALISED = """
    GroupNormalization Hardmax InstanceNormalization LRN LayerNormalization LogSoftmax
    LpNormalization MeanVarianceNormalization RMSNormalization SimplifiedLayerNormalization Softmax
"""
_REDUCED = """
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare
"""

RULES: Mapping[tuple[str, str], Rule] = {
    **rows("", _ELEMENTWISE, pointwise.elementwise),
    **rows("", "CastLike", partial(pointwise.elementwise, positions=(0,))),
    **rows("", "Add Sum Mean", pointwise.add),
    **rows("", "Where", pointwise.Where),
    **rows("", _NORMALISED, pointwise.normalised),
    **rows("", "BatchNormalization", partial(pointwise.normalised, noted=False)),
    **rows("", _REDUCED, pointwise.reduced),
    **rows("", "AveragePool LpPool MaxPool", pointwise.pooled),
    **rows(
        "",
        "GlobalAveragePool GlobalLpPool GlobalMaxPool MaxUnpool",
        partial(pointwise.pooled, everywhere=True),
    ),
    **rows("", "Resize Upsample", pointwise.resized),
    **rows("", "GridSample RoiAlign MaxRoiPool", pointwise.sampled),
    **rows("", "ArgMax ArgMin", pointwise.mixed),
    **rows("", "TopK", partial(pointwise.mixed, axis=-1)),
    **rows("", "Multinomial", partial(pointwise.mixed, axis=1)),
    **rows("", "CumSum CumProd", pointwise.cumulative),
    **rows("", "DynamicQuantizeLinear", pointwise.dynamic_quantize),
    **_modules("", *(getattr(movement, name) for name in movement.__all__)),
    **rows("", "Flatten", movement.Reshape),
    **rows("", "CenterCropPad", pointwise.resized),
    **rows("", "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss", signals.loss),
    **_modules(
        "",
        signals.Col2Im,
        signals.Compress,
        signals.DFT,
        signals.Det,
        signals.STFT,
        signals.TensorScatter,
    ),
    **rows("", "SequenceErase", partial(pointwise.elementwise, positions=(0,))),
    **rows("", "SequenceInsert", partial(sequences.SequenceConstruct, count=2)),
    **_modules("", *(getattr(sequences, name) for name in sequences.__all__)),
    **rows("", "MatMul MatMulInteger", products.product),
    **_modules("", products.Gemm, products.Einsum),
    **rows("", "Conv ConvInteger ConvTranspose", convolutions.convolution),
    **rows("", "DeformConv", convolutions.deformed),
    **rows("", "GRU LSTM RNN", recurrent.recurrent),
    **_modules(
        "",
        lookups.Gather,
        lookups.GatherElements,
        lookups.GatherND,
        lookups.OneHot,
        lookups.Equal,
        lookups.ScatterElements,
        lookups.ScatterND,
    ),
    **rows("", "Scatter", lookups.ScatterElements),
    **rows("", "Attention", attention.attention),
    **rows("", "RotaryEmbedding", attention.rotary),
    **fused.RULES,
    **rows(_LAST, "BatchNormalization", partial(pointwise.normalised, noted=False)),
    **{
        (domain, name): partial(pointwise.elementwise, positions=(0,))
        for domain in QONNX
        for name in ("Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold")
    },
    **rows(_ML, "Binarizer CastMap Imputer LabelEncoder Scaler ZipMap", pointwise.elementwise),
    **rows(_ML, "Normalizer", pointwise.normalised),
    **rows(_ML, "LinearClassifier", products.LinearClassifier),
    **rows(_ML, "LinearRegressor", products.straight),
    **rows(_ML, "SVMClassifier", signals.SVMClassifier),
    **rows(_ML, "SVMRegressor", products.SVMRegressor),
    **rows(_ML, "FeatureVectorizer", partial(movement.Concat, axis=1)),
}
"""The rule of every operation that is known; any other is a hub."""

ELEMENTWISE = frozenset(
    op for op, rule in RULES.items() if rule in (pointwise.elementwise, pointwise.add, pointwise.Where)
) - {("", "CastLike")}
"""Operations whose results hold, in each place, what their operands hold there."""

MOVING = frozenset(_modules("", *(getattr(movement, name) for name in movement.__all__)))
"""Operations whose results hold what their operands hold, in other places."""

WITHOUT: Mapping[tuple[str, str], str] = {
    (_MICROSOFT, "DecoderAttention"): "which of its operands are caches depends on flags that are computed",
}
"""Operations with weights that have no rule, and why: each is a hub."""

STARTING = frozenset(
    {
        ("", "Equal"),
        ("", "Gather"),
        ("", "OneHot"),
        (_MICROSOFT, "GatherBlockQuantized"),
    }
)
"""Operations that make neurons of operands without lanes: indices choose among the entries of a table."""

SILENT = frozenset(
    rows(
        "",
        """
        BlackmanWindow ConstantOfShape EyeLike HammingWindow HannWindow MelWeightMatrix
        OptionalHasElement RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range
        SequenceEmpty SequenceLength Shape Size
        """,
        pointwise.elementwise,
    )
)
"""Operations whose results carry no neurons: of their operands they take the sizes, or counts."""
