"""Operations with weights: one function an operation, named as it, its attributes as keyword defaults.

Each function is given a `OpCall` and yields a `Reading` for every weight that it finds, none where the node
multiplies activations. Three sets divide all operations: `READ`, `REPORTED` (weights that this version does
not read) and `NEUTRAL` (no weights); what may be weights in any other operation is reported too.
The key is (domain, op_type), never op_type alone: the same word means other things in other domains.
"""

from collections.abc import Callable, Iterator, Mapping

from onnxtop.reader.lanes.tables import RULES, SILENT
from onnxtop.reader.model import Node
from onnxtop.reader.ops import attention, classical, convolutions, experts, products, quantised, recurrent
from onnxtop.reader.ops.tables import (
    BIASES,
    IN_BODIES,
    NORMALISATION,
    REPORTED_ATTRIBUTES,
    SIDES,
    UNRULED,
)
from onnxtop.reader.reading import Reading

__all__ = [
    "NEUTRAL",
    "NORMALISATION",
    "READ",
    "REPORTED",
    "REPORTED_ATTRIBUTES",
    "Op",
    "bias_positions",
]

Op = tuple[str, str]
"""Domain ("" for ONNX's own) and op_type."""

_MICROSOFT, _ML = "com.microsoft", "ai.onnx.ml"

READ: Mapping[Op, Callable[..., Iterator[Reading]]] = {
    ("", "Attention"): products.Attention,
    ("", "Conv"): convolutions.Conv,
    ("", "ConvInteger"): quantised.ConvInteger,
    ("", "ConvTranspose"): convolutions.ConvTranspose,
    ("", "DeformConv"): convolutions.DeformConv,
    ("", "Einsum"): products.Einsum,
    ("", "GRU"): recurrent.GRU,
    ("", "Gather"): products.Gather,
    ("", "Gemm"): products.Gemm,
    ("", "LSTM"): recurrent.LSTM,
    ("", "MatMul"): products.MatMul,
    ("", "MatMulInteger"): quantised.MatMulInteger,
    ("", "RNN"): recurrent.RNN,
    (_ML, "LinearClassifier"): classical.LinearClassifier,
    (_ML, "LinearRegressor"): classical.LinearRegressor,
    (_ML, "SVMClassifier"): classical.SVMClassifier,
    (_ML, "SVMRegressor"): classical.SVMRegressor,
    (_MICROSOFT, "Attention"): attention.Attention,
    (_MICROSOFT, "DecoderAttention"): attention.DecoderAttention,
    (_MICROSOFT, "DynamicQuantizeLSTM"): recurrent.DynamicQuantizeLSTM,
    (_MICROSOFT, "GatherBlockQuantized"): quantised.GatherBlockQuantized,
    (_MICROSOFT, "LongformerAttention"): attention.LongformerAttention,
    (_MICROSOFT, "MatMulNBits"): quantised.MatMulNBits,
    (_MICROSOFT, "MoE"): experts.MoE,
    (_MICROSOFT, "MultiHeadAttention"): products.MultiHeadAttention,
    (_MICROSOFT, "PackedAttention"): attention.Attention,
    (_MICROSOFT, "QAttention"): attention.QAttention,
    (_MICROSOFT, "QMoE"): experts.QMoE,
}
"""Operations whose weights are read."""

REPORTED: frozenset[Op] = frozenset({*SIDES, *IN_BODIES} - set(READ))
"""Operations with weights that this version does not read."""

NEUTRAL: frozenset[Op] = frozenset(
    op for op in {*RULES, *SILENT, *UNRULED} - {*READ, *REPORTED} if op[1] != "MultiThreshold"
)
"""Operations without weights, which are most that have a rule of their lanes: their constants are biases,
normalisation parameters or settings. Thresholds are numbers that training or conversion made."""


def bias_positions(node: Node) -> tuple[int, ...]:
    """Return where a node takes biases: what a fused operation adds as its bias is one too."""
    return (0, 1) if node.part == "bias" else BIASES.get((node.domain, node.op_type), ())
