"""Operations of onnxruntime that are not written out in those of the standard."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxtop.reader.lanes import attention, lookups, pointwise, products, recurrent
from onnxtop.reader.lanes.arrays import Unclear
from onnxtop.reader.lanes.step import Result, Rule, Step, rows

_MICROSOFT = "com.microsoft"


def packed(step: Step, *, num_heads: int, **_: Any) -> Result:
    """Attention and QAttention of com.microsoft: the projections are packed into one weight."""
    parts = {use.part: use for use in step.uses}
    if set(parts) != {"q", "k", "v"}:
        raise Unclear("its weight is no constant")
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
        raise Unclear("its weights are no constants, or a mask is computed")
    results = []
    for prefix in ("", "global."):
        query, key, value = (products.linear(step, step.ids(0), parts[prefix + name]) for name in "qkv")
        results.append(attention.attend(step, query, key, value, (num_heads, num_heads))[0])
    return step.join(results)


RULES: Mapping[tuple[str, str], Rule] = {
    **rows(_MICROSOFT, "BiasAdd", pointwise.add),
    **rows(_MICROSOFT, "BiasSoftmax GroupNorm", pointwise.normalised),
    **rows(_MICROSOFT, "MatMulNBits", products.straight),
    **rows(_MICROSOFT, "DynamicQuantizeLSTM", recurrent.recurrent),
    **rows(_MICROSOFT, "Attention QAttention PackedAttention", packed),
    **rows(_MICROSOFT, "LongformerAttention", longformer),
    **rows(_MICROSOFT, "GroupQueryAttention MultiHeadAttention", attention.attention),
    **rows(_MICROSOFT, "GatherBlockQuantized", lookups.Gather),
    **rows(_MICROSOFT, "RotaryEmbedding", attention.rotary),
}
"""The rules of these operations."""
