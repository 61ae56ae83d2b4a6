"""Sequences of tensors, read as one tensor that joins them all."""

from typing import Any

import numpy as np

from onnxtop.reader.lanes.arrays import Unclear
from onnxtop.reader.lanes.step import Result, Step

__all__ = [
    "ConcatFromSequence",
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
    ids = step.reduce(step.ids(0), [axis])
    if not keepdims and step.value(1) is None:
        return ids.squeeze(axis)
    return ids
