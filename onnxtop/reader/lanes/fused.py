"""Operations of onnxruntime that do at once what several of the standard do."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from onnxtop.reader.lanes import attention, convolutions, lookups, movement, pointwise, products, recurrent
from onnxtop.reader.lanes.arrays import Unclear
from onnxtop.reader.lanes.step import Result, Rule, Step, rows

__all__ = ["RULES"]

_MICROSOFT = "com.microsoft"


def packed(step: Step, *, num_heads: int, **_: Any) -> Result:
    """Attention and QAttention of com.microsoft: the projections are packed into one weight."""
    parts = {use.part: use for use in step.uses}
    if set(parts) != {"q", "k", "v"}:
        raise Unclear(step.skipped or "its weight is no constant")
    if len(step.with_lanes()) > 1:
        raise Unclear("it takes past keys, or a mask that is computed")
    ids = step.ids(0)
    query, key, value = (products.linear(step, ids, parts[name]) for name in "qkv")
    result, kept_key, kept_value = attention.attend(step, query, key, value, (num_heads, num_heads))
    return [result, np.stack(np.broadcast_arrays(kept_key, kept_value))]


def longformer(step: Step, *, num_heads: int, **_: Any) -> Result:
    """LongformerAttention: local and global attention, each with its own projections."""
    parts = {use.part: use for use in step.uses}
    if len(parts) != 6 or step.with_lanes() != [0]:
        raise Unclear(step.skipped or "its weights are no constants, or a mask is computed")
    results = []
    for prefix in ("", "global."):
        query, key, value = (products.linear(step, step.ids(0), parts[prefix + name]) for name in "qkv")
        results.append(attention.attend(step, query, key, value, (num_heads, num_heads))[0])
    return step.join(results)


def skip_norm(step: Step, **_: Any) -> Result:
    """Join input and skip; outputs 0 and 3 are the normalised sum and the sum."""
    joined = pointwise.elementwise(step, sum_=True, positions=(0, 1))
    step.note(f"{step.node.op}, read as elementwise")
    return [joined, None, None, joined]  # type: ignore[list-item]


def embedding(step: Step, **_: Any) -> Result:
    """EmbedLayerNormalization: words, positions and segments, summed."""
    index = {"word": 0, "position": 8, "segment": 1}
    parts = [lookups.table(step, use, index[use.part]) for use in step.uses]
    if not parts:
        raise Unclear(step.skipped or "its tables are no constants")
    joined = step.join(parts, sum_=True).reshape(1, 1, -1)
    step.note(f"{step.node.op}, read as elementwise")
    return [joined, None, joined]


def QLinearConcat(step: Step, *, axis: int, **_: Any) -> Result:
    """Concatenate codes; each operand brings its scale and zero point."""
    return movement.Concat(step, axis=axis, positions=range(2, len(step.node.inputs), 3))


RULES: Mapping[tuple[str, str], Rule] = {
    **rows(
        _MICROSOFT,
        "BiasGelu DequantizeLinear FastGelu Gelu QLinearLeakyRelu QLinearSigmoid QuantizeLinear QuickGelu",
        partial(pointwise.elementwise, positions=(0,)),
    ),
    **rows(_MICROSOFT, "BiasAdd", pointwise.add),
    **rows(_MICROSOFT, "QLinearAdd", partial(pointwise.elementwise, sum_=True, positions=(0, 3))),
    **rows(_MICROSOFT, "QLinearMul", partial(pointwise.elementwise, positions=(0, 3))),
    **rows(_MICROSOFT, "BiasSoftmax GroupNorm QLinearSoftmax", pointwise.normalised),
    **rows(_MICROSOFT, "SkipLayerNormalization SkipSimplifiedLayerNormalization", skip_norm),
    **rows(_MICROSOFT, "QLinearAveragePool", pointwise.pooled),
    **rows(_MICROSOFT, "QLinearGlobalAveragePool", partial(pointwise.pooled, everywhere=True)),
    **rows(_MICROSOFT, "QLinearConcat", QLinearConcat),
    **rows(_MICROSOFT, "FusedConv", partial(convolutions.convolution, extra=3)),
    **rows(_MICROSOFT, "FusedGemm", products.Gemm),
    **rows(_MICROSOFT, "FusedMatMul", products.product),
    **rows(_MICROSOFT, "DynamicQuantizeMatMul MatMulIntegerToFloat MatMulNBits", products.straight),
    **rows(_MICROSOFT, "QGemm", partial(products.straight, bias=6)),
    **rows(_MICROSOFT, "DynamicQuantizeLSTM", recurrent.recurrent),
    **rows(_MICROSOFT, "Attention QAttention PackedAttention", packed),
    **rows(_MICROSOFT, "LongformerAttention", longformer),
    **rows(_MICROSOFT, "GroupQueryAttention MultiHeadAttention", attention.attention),
    **rows(_MICROSOFT, "GatherBlockQuantized", lookups.Gather),
    **rows(_MICROSOFT, "EmbedLayerNormalization QEmbedLayerNormalization", embedding),
    **rows(_MICROSOFT, "RotaryEmbedding", attention.rotary),
}
"""The rules of these operations."""
