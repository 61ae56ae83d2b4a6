"""Sequences of tensors, read as one tensor that joins them all.

A stretch that is taken from an axis that was cut is that stretch, as if a Slice had made it.
"""

from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import Ids, Unclear, compressed
from onnxtop.reader.lanes.pointwise import elementwise
from onnxtop.reader.lanes.step import Result, Step
from onnxtop.reader.model import Node

__all__ = [
    "ConcatFromSequence",
    "SequenceAt",
    "SequenceConstruct",
    "SplitToSequence",
]


def SequenceConstruct(step: Step, *, count: int | None = None, **_: Any) -> Result:
    """Join tensors, which may differ in size along an axis: its entries are then not told apart.

    ``count`` is how many of the operands are tensors, all if it is None.
    """
    parts = [step.ids(place) for place in step.with_lanes() if count is None or place < count]
    if len({ids.ndim for ids in parts}) > 1:
        raise Unclear("its tensors differ in rank")
    sizes = [
        {size for size in along if size > 1} for along in zip(*(ids.shape for ids in parts), strict=True)
    ]
    odd = [axis for axis, different in enumerate(sizes) if len(different) > 1]
    return step.join([step.coarse(ids, odd, "its tensors differ in size") for ids in parts])


def ConcatFromSequence(step: Step, *, axis: int, new_axis: int = 0, **_: Any) -> Result:
    """Put the tensors of the sequence behind each other: an axis that shares its neurons."""
    ids = step.ids(0)
    if new_axis:
        return np.expand_dims(ids, axis)
    return step.coarse(ids, [axis], "it concatenates an axis of neurons")


def SplitToSequence(step: Step, *, axis: int = 0, keepdims: int = 1, **_: Any) -> Result:
    """Cut an axis into tensors that are read as the join of all."""
    ids = step.coarse(step.ids(0), [axis], "it cuts an axis of neurons into a sequence")
    if not keepdims and step.value(1) is None:
        return ids.squeeze(axis)
    return ids


def SequenceAt(step: Step, **_: Any) -> Result:
    """Take one tensor of a sequence: the stretch that it is, or what all tensors are joined to."""
    sequence = step.value(0)
    cut = step.sizes.model.producers.get(sequence) if sequence is not None else None
    if cut is not None and (cut.domain, cut.op_type) == ("", "SplitToSequence"):
        stretch = _stretch(step, cut)
        if stretch is not None:
            step.asked.add(0)  # not the join, but what the stretch is cut from
            return stretch
    return elementwise(step, positions=(0,))


def _stretch(step: Step, cut: Node) -> Ids | None:
    """Return a tensor that a SplitToSequence cuts off, None if it is not known which."""
    whole, given, *_ = (*cut.inputs, None)
    chosen, shape, parts = step.array(1), step.sizes.of(whole).shape, step.sizes.of(given).array
    data = None if whole is None else step.env.get(whole)
    if data is None or shape is None or chosen is None or (parts is None and given is not None):
        return None
    attributes = cut.attributes()
    axis = attributes.get("axis", 0) % len(shape)
    each = 1 if parts is None else parts
    lengths = np.ravel(each) if np.ndim(each) else np.full(-(-shape[axis] // int(each)), each)
    starts = np.cumsum(lengths) - lengths
    place = int(chosen)
    ids = data.ids
    if ids.shape[axis] > 1:
        ids = compressed(ids[(slice(None),) * axis + (slice(starts[place], starts[place] + lengths[place]),)])
    return ids.squeeze(axis) if given is None and not attributes.get("keepdims", 1) else ids
