"""Operations that are known but not read as layers, and where their parameters stand."""

import sys
from collections.abc import Mapping, Sequence

from onnxtop.reader.lanes.tables import SILENT

_MICROSOFT = "com.microsoft"


def _positions(domain: str, table: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Read lines of an operation and positions among its inputs."""
    rows = (line.split() for line in table.strip().splitlines())
    return {(domain, op): tuple(map(int, positions)) for op, *positions in rows}


def _names(domain: str, table: str) -> frozenset[tuple[str, str]]:
    return frozenset((domain, op) for op in table.split())


def _sides(domain: str, table: str) -> dict[tuple[str, str], tuple[Sequence[int], ...]]:
    """Read lines of an operation and its sides, each a position or several of which any may be the weight."""
    rows = (line.split() for line in table.strip().splitlines())
    return {(domain, op): tuple(map(_side, sides)) for op, *sides in rows}


def _side(side: str) -> Sequence[int]:
    """Read the positions of a side: ``1``, ``0|1``, or ``0..``, all from there on."""
    first, open_, _ = side.partition("..")
    return range(int(first), sys.maxsize) if open_ else tuple(map(int, side.split("|")))


SIDES: Mapping[tuple[str, str], tuple[Sequence[int], ...]] = {
    **_sides(
        "",
        """
        Attention 0|0 1|1 2|2
        Conv 1
        ConvInteger 1
        ConvTranspose 1
        DeformConv 1
        Einsum 0..
        GRU 1 2
        Gemm 0|1
        LSTM 1 2
        MatMul 0|1
        MatMulInteger 0|1
        RNN 1 2
        """,
    ),
    **_sides(
        _MICROSOFT,
        """
        Attention 1
        DecoderAttention 2 3
        DynamicQuantizeLSTM 1 2
        GroupQueryAttention 0|0 1|1 2|2
        LongformerAttention 1 4
        MatMulBnb4 1
        MatMulFpQ4 1
        MatMulNBits 1
        MoE 2 4 6
        MultiHeadAttention 0|0 1|1 2|2
        PackedAttention 1
        PackedMultiHeadAttention 0|0 1|1 2|2
        QAttention 1
        QMoE 2 5 8
        QOrderedMatMul 3
        WordConvEmbedding 1 3
        """,
    ),
    **_sides("com.microsoft.nchwc", "Conv 1"),
}
"""Operations with weights, and where they take them: one of a side's positions.

A side of one position is a weight by definition. One that names its position twice is a factor of a product
whose other factor the operation makes: it is a weight where either operand of a MatMul would be.
"""

LOOKUPS = _names("", "Gather GatherElements GatherND") | _names(_MICROSOFT, "GatherBlockQuantized")
"""Operations that take entries of their first operand by their second."""

SIZES = _names("", "Shape Size")
"""Operations that say how large their operand is, and nothing of what it holds."""

SUMS = _names("", "ReduceMean ReduceSum")
"""Operations that add up their first operand along axes that are named."""

IN_BODIES: Mapping[tuple[str, str], int] = {("", "Loop"): 2, ("", "Scan"): 0, ("", "SequenceMap"): 0}
"""Operations whose bodies may use their operands as weights, and the position of the first of these."""

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
        SkipGroupNorm 4
        """,
    ),
    **_positions("com.microsoft.nchwc", "Conv 2"),
}
"""Operations with biases (peepholes among them: one number a neuron), and their positions."""

UNRULED: frozenset[tuple[str, str]] = (
    _names(
        "",
        "AffineGrid Constant If ImageDecoder NonMaxSuppression NonZero StringSplit Unique",
    )
    | _names(
        _MICROSOFT,
        """
        BiasDropout BiasSplitGelu GridSample Inverse NGramRepeatBlock Pad QLinearReduceMean
        RemovePadding RestorePadding SkipGroupNorm Unique
        """,
    )
    | _names(
        "ai.onnx.ml",
        """
        ArrayFeatureExtractor CategoryMapper DictVectorizer OneHotEncoder TreeEnsemble TreeEnsembleClassifier
        TreeEnsembleRegressor
        """,
    )
)
"""Operations without weights that have no rule of their lanes either."""

CARRY_NOTHING: frozenset[tuple[str, str]] = (
    SILENT
    | frozenset(IN_BODIES)
    | _names(
        "",
        """
        ArgMax ArgMin Bernoulli Multinomial NonMaxSuppression NonZero OneHot StringNormalizer
        TfIdfVectorizer
        """,
    )
)
"""Operations whose results hold none of what their operands hold."""
