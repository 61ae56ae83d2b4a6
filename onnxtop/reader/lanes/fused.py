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
    result, *kept = attention.attend(step, query, key, value, (num_heads, num_heads))[:3]
    return [result, np.stack(np.broadcast_arrays(*kept))]


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


def experts(step: Step, *, swiglu_fusion: int = 0, **_: Any) -> Result:
    """One expert of a MoE: up, the activation, down; all that routes may choose it or not."""
    parts = {use.part: use for use in step.uses}
    if not {"fc1", "fc2"} <= set(parts):
        raise Unclear("its weights are no constants")
    ids = step.ids(0)
    hidden = products.linear(step, ids, parts["fc1"])
    if "fc3" in parts:
        hidden = step.join([hidden, products.linear(step, ids, parts["fc3"])])
    if swiglu_fusion:  # gate and linear part stand side by side, one by one or half by half
        pairs = (-1, 2) if swiglu_fusion == 1 else (2, -1)
        hidden = hidden.reshape(*hidden.shape[:-1], *pairs)
        hidden = step.reduce(hidden, [pairs.index(2) - 2]).reshape(*hidden.shape[:-2], -1)
    result = products.linear(step, hidden, parts["fc2"])
    routes = [step.ids(place) for place in step.with_lanes() if place]
    routed = [step.all_in_one(ids, result.ndim) for ids in routes]
    return step.join([result, *routed])


RULES: Mapping[tuple[str, str], Rule] = {
    **rows(_MICROSOFT, "BiasAdd", pointwise.add),
    **rows(_MICROSOFT, "BiasSoftmax GroupNorm", pointwise.normalised),
    **rows(_MICROSOFT, "MatMulNBits", products.straight),
    **rows(_MICROSOFT, "DynamicQuantizeLSTM", recurrent.recurrent),
    **rows(_MICROSOFT, "Attention QAttention PackedAttention", packed),
    **rows(_MICROSOFT, "LongformerAttention", longformer),
    **rows(_MICROSOFT, "MoE QMoE", experts),
    **rows(_MICROSOFT, "GroupQueryAttention MultiHeadAttention", attention.attention),
    **rows(_MICROSOFT, "GatherBlockQuantized", lookups.Gather),
    **rows(_MICROSOFT, "RotaryEmbedding", attention.rotary),
}
"""The rules of these operations."""
