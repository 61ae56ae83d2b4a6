"""Attention in one operation, and its rotary positions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxtop.reader.lanes import products
from onnxtop.reader.lanes.arrays import NONE, Ids, Misfit, Unclear, check_room, compressed
from onnxtop.reader.lanes.step import Result, Step
from onnxtop.reader.lanes.weights import WeightOfNode


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
    held = {use.part: use for use in step.uses}
    for place, part in enumerate("qkv"):
        if step.lanes(place) is None and part not in held:
            packed = step.value(1) is None or step.value(2) is None
            raise Unclear(
                "query, key and value are packed" if packed else f"input {place} carries no neurons"
            )
    if any(place > 2 and place not in past for place in step.with_lanes()):
        raise Unclear("it takes a bias or a mask that is computed")
    if held:
        return _with_constants(step, held, (q_num_heads or num_heads, kv_num_heads or num_heads))
    query, key, value = (step.ids(place) for place in (0, 1, 2))
    heads = q_num_heads or num_heads, kv_num_heads or num_heads
    if query.ndim == 4:
        heads = step.shape(0)[1], step.shape(1)[1]
    old_key, old_value = (None if step.lanes(place) is None else step.ids(place) for place in past)
    return attend(step, query, key, value, heads, old_key, old_value)


def attend(
    step: Step,
    query: Ids,
    key: Ids,
    value: Ids,
    heads: tuple[int, int],
    old_key: Ids | None = None,
    old_value: Ids | None = None,
) -> tuple[Ids, Ids, Ids, Ids]:
    """Return the result, keys and values (1, heads, 1, depth) as a cache holds them, and the scores."""
    flat = query.ndim == 3
    q, k, v = (
        _by_head(step, ids, number) for ids, number in ((query, heads[0]), (key, heads[1]), (value, heads[1]))
    )
    k = k if old_key is None else step.join([k, step.reduce(old_key, [0, 2])])
    v = v if old_value is None else step.join([v, step.reduce(old_value, [0, 2])])
    scores = step.join([step.reduce(q, [3]), _repeated(step, step.reduce(k, [3]), heads)])
    made = step.join([scores, _repeated(step, v, heads)])
    made = np.broadcast_to(made, (1, heads[0], 1, made.shape[3]))
    return made.reshape(1, 1, -1) if flat else made, k, v, scores


@dataclass(frozen=True, eq=False)
class _Side:
    """Query, key or value by head: its letters, its lanes, and the weight and its sizes if it is constant.

    Heads are numbered by k, and g among those that share a key; i and j are positions, d and e entries.
    """

    letters: str
    ids: Ids
    use: WeightOfNode | None = None


_QUERY, _KEY, _VALUE = "bkgid", "bkjd", "bkje"


def _with_constants(step: Step, held: Mapping[str, WeightOfNode], heads: tuple[int, int]) -> Result:
    """Follow query, key and value of which some are constant: these are weights, and make neurons."""
    flat = len(step.shape(0)) == 3
    if not flat:
        heads = step.shape(0)[1], step.shape(1)[1]
    if min(heads) < 1 or heads[0] % heads[1]:
        raise Misfit(f"{heads[0]} heads do not share {heads[1]} keys")
    groups = heads[1], heads[0] // heads[1]
    query, key, value = (
        _side(step, place, held.get(part), letters, groups)
        for place, (part, letters) in enumerate(zip("qkv", (_QUERY, _KEY, _VALUE), strict=True))
    )
    scores = _product(step, query, key, "bkgij")
    step.note(f"the softmax of {step.node.op}, read as elementwise", scores)
    made = _one_axis(step, _product(step, _Side("bkgij", scores), value, "bkgie"), groups)
    if flat:
        entries = (*made.shape[:3], step.shape(2)[-1] // heads[1])
        check_room(step.most, *entries)
        made = np.broadcast_to(made, entries).swapaxes(1, 2).reshape(made.shape[0], made.shape[2], -1)
    kept = (_by_head(step, side.ids, heads[1]) if side.use is None else None for side in (key, value))
    return [compressed(made), *kept, _one_axis(step, scores, groups)]


def _one_axis(step: Step, ids: Ids, groups: tuple[int, int]) -> Ids:
    """Return lanes whose heads k and g are one axis."""
    sample, _, _, *rest = ids.shape
    check_room(step.most, sample, *groups, *rest)
    return np.broadcast_to(ids, (sample, *groups, *rest)).reshape(sample, -1, *rest)


def _side(step: Step, place: int, use: WeightOfNode | None, letters: str, groups: tuple[int, int]) -> _Side:
    """Return an operand by head; for a weight, an array of its sizes stands for the lanes."""
    ids = step.ids(place) if use is None else np.broadcast_to(np.intp(NONE), use.shape)
    heads = groups if "g" in letters else groups[:1]
    if ids.ndim == 3:
        width = ids.shape[2]
        if width % math.prod(heads) and width > 1:
            raise Misfit(f"{width} neurons do not divide among {math.prod(heads)} heads")
        split = ids.reshape(*ids.shape[:2], *(heads if width > 1 else (1,) * len(heads)), -1)
        ids = np.moveaxis(split, 1, -2)
    elif ids.ndim == 4:
        ids = ids.reshape(ids.shape[0], *(heads if ids.shape[1] > 1 else (1,) * len(heads)), *ids.shape[2:])
    else:
        raise Unclear("its operands have a form that is not known")
    return _Side(letters, ids, use)


def _product(step: Step, left: _Side, right: _Side, result: str) -> Ids:
    """Multiply two sides, of which one may be constant."""
    for one, other in ((left, right), (right, left)):
        if one.use is not None:
            sizes = dict(zip(one.letters, one.ids.shape, strict=True))
            return products.weighted(step, other.ids, other.letters, one.use, sizes, result, "bkg")
    return products.joined(step, [(left.ids, left.letters), (right.ids, right.letters)], result)


def _by_head(step: Step, ids: Ids, heads: int) -> Ids:
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
