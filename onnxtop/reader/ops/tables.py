"""Operations that are known but not read as layers, and where their parameters stand."""

from collections.abc import Mapping

_MICROSOFT = "com.microsoft"


def _positions(domain: str, table: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Read lines of an operation and positions among its inputs."""
    rows = (line.split() for line in table.strip().splitlines())
    return {(domain, op): tuple(map(int, positions)) for op, *positions in rows}


def _names(domain: str, table: str) -> frozenset[tuple[str, str]]:
    return frozenset((domain, op) for op in table.split())


REPORTED: Mapping[tuple[str, str], tuple[int, ...]] = {
    **_positions(
        "",
        """
        Loop 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20
        Scan 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20
        """,
    ),
    **_positions(
        _MICROSOFT,
        """
        MatMulBnb4 1
        MatMulFpQ4 1
        MoE 2 4 6
        QMoE 2 5 8
        QOrderedMatMul 3
        WordConvEmbedding 1 3
        """,
    ),
    **_positions("com.microsoft.nchwc", "Conv 1"),
}
"""Operations with weights that this version does not read, and the positions of their weights."""

REPORTED_ATTRIBUTES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("", "TfIdfVectorizer"): ("weights", "weights of terms are no layer"),
}
"""Operations with an attribute of weights that are no layer: its name, and why."""

NORMALISATION: Mapping[tuple[str, str], tuple[int, ...]] = {
    **_positions(
        "",
        """
        BatchNormalization 1 2 3 4
        GroupNormalization 1 2
        InstanceNormalization 1 2
        LayerNormalization 1 2
        PRelu 1
        RMSNormalization 1
        SimplifiedLayerNormalization 1
        """,
    ),
    **_positions("qonnx.custom_op.channels_last", "BatchNormalization 1 2 3 4"),
    **_positions(
        _MICROSOFT,
        """
        GroupNorm 1 2
        SkipGroupNorm 1 2
        """,
    ),
}
"""Operations with normalisation parameters (or slopes), and their positions."""

BIASES: Mapping[tuple[str, str], tuple[int, ...]] = {
    **_positions(
        "",
        """
        Conv 2
        ConvTranspose 2
        DeformConv 3
        GRU 3
        Gemm 2
        LSTM 3 7
        RNN 3
        """,
    ),
    **_positions(
        _MICROSOFT,
        """
        Attention 2
        BiasAdd 1
        BiasDropout 1
        BiasSoftmax 1
        BiasSplitGelu 1
        DecoderAttention 4
        DynamicQuantizeLSTM 3 7
        LongformerAttention 2 5
        MatMulNBits 5
        MultiHeadAttention 3
        PackedAttention 2
        QAttention 2
        """,
    ),
    **_positions("com.microsoft.nchwc", "Conv 2"),
}
"""Operations with biases (peepholes among them: one number a neuron), and their positions."""

NEUTRAL: frozenset[tuple[str, str]] = (
    _names(
        "",
        """
        Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
        BatchNormalization Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
        BlackmanWindow Cast CastLike Ceil Celu CenterCropPad Clip Col2Im Compress Concat
        ConcatFromSequence Constant ConstantOfShape Cos Cosh CumProd CumSum DFT DepthToSpace
        DequantizeLinear Det Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten
        Floor GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
        GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish
        Hardmax Identity If ImageDecoder InstanceNormalization IsInf IsNaN LRN LayerNormalization
        LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool MaxUnpool
        Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg
        NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement
        OptionalHasElement Or PRelu Pad Pow QuantizeLinear RMSNormalization RandomNormal RandomNormalLike
        RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
        ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape
        Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scatter ScatterElements ScatterND Selu
        SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap
        Shape Shrink Sigmoid Sign SimplifiedLayerNormalization Sin Sinh Size Slice Softmax
        SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze
        StringConcat StringNormalizer StringSplit Sub Sum Swish Tan Tanh TensorScatter ThresholdedRelu
        Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
        """,
    )
    | _names(
        _MICROSOFT,
        """
        BiasAdd BiasDropout BiasSoftmax BiasSplitGelu GridSample GroupNorm GroupQueryAttention Inverse
        MultiHeadAttention NGramRepeatBlock PackedMultiHeadAttention Pad QLinearReduceMean RemovePadding
        RestorePadding RotaryEmbedding SkipGroupNorm Unique
        """,
    )
    | _names("qonnx.custom_op.channels_last", "BatchNormalization")
    | _names("qonnx.custom_op.general", "BipolarQuant FloatQuant IntQuant Quant Trunc")
    | _names("onnx.brevitas", "BipolarQuant FloatQuant IntQuant Quant Trunc")
    | _names("finn.custom_op.general", "BipolarQuant Quant Trunc")
    | _names(
        "ai.onnx.ml",
        """
        ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer
        LabelEncoder Normalizer OneHotEncoder Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
        ZipMap
        """,
    )
)
"""Operations without weights: their constants are biases, normalisation parameters or settings."""
