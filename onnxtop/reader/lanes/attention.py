"""Attention in one operation, and its rotary positions."""

from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Misfit, Unclear, check_room
from onnxtop.reader.lanes.step import Result, Step


def attention(
    step: Step,
    *,
    num_heads: int = 0,
    q_num_heads: int = 0,
    kv_num_heads: int = 0,
    **_: Any,
) -> Result:
    """Query, key and value are operands: Attention (ONNX), MultiHeadAttention, GroupQueryAttention."""
    past = {"Attention": (4, 5), "MultiHeadAttention": (6, 7), "GroupQueryAttention": (3, 4)}[
        step.node.op_type
    ]
    if any(step.lanes(place) is None for place in (0, 1, 2)):
        raise Unclear("query, key and value are packed")
    if any(place > 2 and place not in past for place in step.with_lanes()):
        raise Unclear("it takes a bias or a mask that is computed")
    query, key, value = (step.ids(place) for place in (0, 1, 2))
    heads = q_num_heads or num_heads, kv_num_heads or num_heads
    if query.ndim == 4:
        heads = step.shape(0)[1], step.shape(1)[1]
    old_key, old_value = (None if step.lanes(place) is None else step.ids(place) for place in past)
    result, kept_key, kept_value = attend(step, query, key, value, heads, old_key, old_value)
    return [result, kept_key, kept_value]


def attend(
    step: Step,
    query: Ids,
    key: Ids,
    value: Ids,
    heads: tuple[int, int],
    old_key: Ids | None = None,
    old_value: Ids | None = None,
) -> tuple[Ids, Ids, Ids]:
    """Return the result, and keys and values (1, heads, 1, depth) as a cache holds them."""
    flat = query.ndim == 3
    q, k, v = (
        _by_head(step, ids, number, place)
        for place, (ids, number) in enumerate(((query, heads[0]), (key, heads[1]), (value, heads[1])))
    )
    k = k if old_key is None else step.join([k, step.reduce(old_key, [0, 2])])
    v = v if old_value is None else step.join([v, step.reduce(old_value, [0, 2])])
    scores = step.join([step.reduce(q, [3]), _repeated(step, step.reduce(k, [3]), heads)])
    made = step.join([scores, _repeated(step, v, heads)])
    made = np.broadcast_to(made, (1, heads[0], 1, made.shape[3]))
    return made.reshape(1, 1, -1) if flat else made, k, v


def _by_head(step: Step, ids: Ids, heads: int, place: int) -> Ids:
    """Return lanes (1, heads, 1, depth): positions share them."""
    if ids.ndim == 4:
        return step.reduce(ids, [0, 2])
    if ids.ndim != 3 or not heads:
        raise Unclear("its operands have a form that is not known")
    ids = step.reduce(ids, [0, 1])
    width = ids.shape[2]
    if width == 1:
        return ids.reshape(1, 1, 1, 1)
    if width % heads:
        raise Misfit(f"{width} neurons do not divide among {heads} heads")
    return ids.reshape(1, heads, 1, -1)


def _repeated(step: Step, ids: Ids, heads: tuple[int, int]) -> Ids:
    """Return the lanes of key or value for every head of the query that uses them."""
    if heads[0] == heads[1] or ids.shape[1] == 1:
        return ids
    times = heads[0] // heads[1]
    check_room(step.most, *ids.shape, times)
    return np.repeat(ids, times, axis=1)


def rotary(
    step: Step, *, interleaved: int = 0, num_heads: int = 0, rotary_embedding_dim: int = 0, **_: Any
) -> Result:
    """Join the two entries of each pair that is turned."""
    ids = step.ids(0)
    if step.with_lanes() != [0]:
        raise Unclear("its positions are computed from activations")
    width = ids.shape[-1]
    if width == 1:
        return ids
    depth = step.shape(0)[-1] // num_heads if ids.ndim == 3 and num_heads else width
    turned = rotary_embedding_dim or depth
    swap = np.arange(width).reshape(-1, depth)
    swap[:, :turned] = _partners(swap[:, :turned], bool(interleaved))
    return step.join([ids, ids[..., swap.ravel()]])


def _partners(index: Ids, interleaved: bool) -> Ids:
    half = index.shape[1] // 2
    order: Ids = np.arange(index.shape[1])
    return index[:, order ^ 1] if interleaved else index[:, np.roll(order, half)]
