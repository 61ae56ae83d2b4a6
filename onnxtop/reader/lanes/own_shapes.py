"""Shapes that we count ourselves, where ONNX's inference is too strict, or ends the process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.reader.model import Node

__all__ = ["OWN_SHAPES"]

Shape = tuple[int, ...] | None
Arrays = Sequence[NDArray[Any] | None]


def _squeeze(node: Node, shape: Shape, arrays: Arrays) -> Shape:
    """Drop the given axes whatever their sizes: one that is not 1 is the assumed size of an open axis."""
    axes = node.attributes().get("axes")
    if axes is None and len(arrays) > 1:
        axes = None if arrays[1] is None else arrays[1].ravel().tolist()
    if axes is None or not shape:
        return None
    gone = {axis % len(shape) for axis in axes}
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _slice(node: Node, shape: Shape, arrays: Arrays) -> Shape:
    """Count the entries of each stretch (onnx 1.23 fails an assertion in C++ where an axis is empty)."""
    attributes = node.attributes()
    if "starts" in attributes:
        given = [attributes.get(name) for name in ("starts", "ends", "axes")]
    elif any(array is None and node.inputs[place] for place, array in enumerate(arrays) if place):
        return shape  # cut at a place that the data tells: the size stays as good as any
    else:
        given = [None if array is None else array.ravel().tolist() for array in arrays[1:]]
    starts, ends, axes, steps = (*given, None, None)[:4]
    if shape is None or starts is None or ends is None:
        return None
    sizes = list(shape)
    axes = list(range(len(starts))) if axes is None else axes
    for begin, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=False):
        stop = None if step < 0 and end < -shape[axis] else end
        sizes[axis] = len(range(*slice(begin, stop, step).indices(max(shape[axis], 0))))
    return tuple(sizes)


def _compress(node: Node, shape: Shape, arrays: Arrays) -> Shape:
    """Count the entries that are kept; all of them where the data tells which."""
    axis, kept = node.attributes().get("axis"), arrays[1]
    if shape is None:
        return None
    count = None if kept is None else int(np.count_nonzero(kept))
    if axis is None:
        return None if count is None else (count,)
    place = axis % len(shape)
    return (*shape[:place], shape[place] if count is None else count, *shape[place + 1 :])


OWN_SHAPES: Mapping[str, Callable[[Node, Shape, Arrays], Shape]] = {
    "Compress": _compress,
    "Slice": _slice,
    "Squeeze": _squeeze,
}
"""Operations of the standard whose shape is counted here; None leaves it to ONNX."""
