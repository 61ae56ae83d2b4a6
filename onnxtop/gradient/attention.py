"""Attention written out in products of matrices and a softmax (ONNX operator Attention, since opset 23)."""

import math

import numpy as np

from onnxtop.errors import ModelError
from onnxtop.gradient.engine import RuleCall
from onnxtop.gradient.graph import Tensor

_LOWEST = float(np.finfo(np.float32).min)


def Attention(
    call: RuleCall,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    lengths: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int = 0,
    q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0,
    scale: float = 0.0,
    softcap: float = 0.0,
    softmax_precision: int = 1,
) -> list[Tensor | None]:
    """Softmax of scaled products of queries and keys, times the values; heads of keys may be shared."""
    further = sum(map(bool, call.node.output)) > 1
    if softcap or past_key is not None or lengths is not None or further:
        raise ModelError(
            f"wanted a gradient, but Attention {call.node.name!r} has a softcap, past keys or further "
            "outputs, which is not written out; the loss can still be computed"
        )
    queries, keys, values = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    n_heads, length, width = queries.shape[1:]
    keys, values = _shared(keys, n_heads), _shared(values, n_heads)
    scores = (queries @ keys.mT) * float(scale or 1 / math.sqrt(width))
    if is_causal:
        visible = np.tril(np.ones((length, keys.shape[2]), bool))
        scores = scores.where(call.graph.constant(visible), _LOWEST)
    if mask is not None:
        scores = scores.where(mask, _LOWEST) if mask.dtype == bool else scores + mask
    result = scores.apply("Softmax", axis=-1) @ values
    if q.rank == 4:
        return [result]
    return [result.transpose((0, 2, 1, 3)).reshape((q.shape[0], length, -1))]


def _heads(x: Tensor, count: int) -> Tensor:
    """Return (batch, heads, length, width) of a tensor that may have its heads side by side."""
    if x.rank == 4:
        return x
    batch, length, width = x.shape
    return x.reshape((batch, length, count, width // count)).transpose((0, 2, 1, 3))


def _shared(x: Tensor, heads: int) -> Tensor:
    """Repeat heads of keys or values, each for a run of heads of queries."""
    batch, own, length, width = x.shape
    if own == heads:
        return x
    wide = x.reshape((batch, own, 1, length, width)).expand((batch, own, heads // own, length, width))
    return wide.reshape((batch, heads, length, width))
