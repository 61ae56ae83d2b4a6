"""Which rule reads which operation. The key is (domain, op_type), as in `onnxtop.reader.ops`."""

from collections.abc import Callable, Mapping
from functools import partial

from onnxtop.reader.lanes import (
    attention,
    convolutions,
    lookups,
    movement,
    pointwise,
    products,
    recurrent,
    sequences,
    signals,
)
from onnxtop.reader.lanes.step import Result

__all__ = ["RULES", "SILENT", "STARTING", "WITHOUT"]

Rule = Callable[..., Result]
_MICROSOFT, _ML = "com.microsoft", "ai.onnx.ml"
_LAST = "qonnx.custom_op.channels_last"


def _rows(domain: str, names: str, rule: Rule) -> dict[tuple[str, str], Rule]:
    return {(domain, name): rule for name in names.split()}


def _modules(domain: str, *rules: Rule) -> dict[tuple[str, str], Rule]:
    return {(domain, rule.__name__): rule for rule in rules}


_ELEMENTWISE = """
    Abs Acos Acosh Affine And Asin Asinh Atan Atanh Bernoulli BitCast BitShift BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Cos Cosh DequantizeLinear Div Dropout Elu Erf Exp
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
    **_rows("", _ELEMENTWISE, pointwise.elementwise),
    **_rows("", "Add Sum Mean", pointwise.add),
    **_rows("", "Where", pointwise.Where),
    **_rows("", _NORMALISED, pointwise.normalised),
    **_rows("", "BatchNormalization", partial(pointwise.normalised, noted=False)),
    **_rows("", _REDUCED, pointwise.reduced),
    **_rows("", "AveragePool LpPool MaxPool", pointwise.pooled),
    **_rows(
        "",
        "GlobalAveragePool GlobalLpPool GlobalMaxPool MaxUnpool",
        partial(pointwise.pooled, everywhere=True),
    ),
    **_rows("", "Resize Upsample", pointwise.resized),
    **_rows("", "GridSample RoiAlign MaxRoiPool", pointwise.sampled),
    **_rows("", "ArgMax ArgMin", pointwise.mixed),
    **_rows("", "TopK", partial(pointwise.mixed, axis=-1)),
    **_rows("", "ReverseSequence", sequences.ReverseSequence),
    **_rows("", "CumSum CumProd", pointwise.cumulative),
    **_rows("", "DynamicQuantizeLinear", pointwise.dynamic_quantize),
    **_modules("", *(getattr(movement, name) for name in movement.__all__)),
    **_rows("", "Flatten", movement.Reshape),
    **_rows("", "CenterCropPad", pointwise.resized),
    **_rows("", "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss", signals.loss),
    **_modules(
        "",
        signals.Col2Im,
        signals.Compress,
        signals.DFT,
        signals.Det,
        signals.Multinomial,
        signals.STFT,
        signals.TensorScatter,
    ),
    **_modules("", *(getattr(sequences, name) for name in sequences.__all__)),
    **_rows("", "MatMul MatMulInteger", products.product),
    **_modules("", products.Gemm, products.Einsum),
    **_rows("", "Conv ConvInteger ConvTranspose", convolutions.convolution),
    **_rows("", "DeformConv", convolutions.deformed),
    **_rows("", "GRU LSTM RNN", recurrent.recurrent),
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
    **_rows("", "Scatter", lookups.ScatterElements),
    **_rows("", "Attention", attention.attention),
    **_rows("", "RotaryEmbedding", attention.rotary),
    **_rows(_MICROSOFT, "BiasAdd", pointwise.add),
    **_rows(_MICROSOFT, "BiasSoftmax GroupNorm", pointwise.normalised),
    **_rows(_MICROSOFT, "MatMulNBits", products.straight),
    **_rows(_MICROSOFT, "DynamicQuantizeLSTM", recurrent.recurrent),
    **_rows(_MICROSOFT, "Attention QAttention PackedAttention", attention.packed),
    **_rows(_MICROSOFT, "LongformerAttention", attention.longformer),
    **_rows(_MICROSOFT, "GroupQueryAttention MultiHeadAttention", attention.attention),
    **_rows(_MICROSOFT, "GatherBlockQuantized", lookups.Gather),
    **_rows(_MICROSOFT, "RotaryEmbedding", attention.rotary),
    **_rows(_LAST, "BatchNormalization", partial(pointwise.normalised, noted=False)),
    **{
        (domain, name): partial(pointwise.elementwise, positions=(0,))
        for domain in ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
        for name in ("Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold")
    },
    **_rows(_ML, "Binarizer CastMap Imputer LabelEncoder Scaler ZipMap", pointwise.elementwise),
    **_rows(_ML, "Normalizer", pointwise.normalised),
    **_rows(_ML, "LinearClassifier", products.LinearClassifier),
    **_rows(_ML, "LinearRegressor", products.straight),
    **_rows(_ML, "SVMClassifier", signals.SVMClassifier),
    **_rows(_ML, "SVMRegressor", products.SVMRegressor),
    **_rows(_ML, "FeatureVectorizer", partial(movement.Concat, axis=1)),
}
"""The rule of every operation that is known; any other is a hub."""

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
    _rows(
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
