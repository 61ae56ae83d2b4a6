"""Operations that pick elements by index: the adjoint is added where it was picked."""

import numpy as np

from onnxtop.gradient.engine import Adjoints, RuleCall
from onnxtop.gradient.graph import Tensor

__all__ = ["Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "TopK"]


def Gather(call: RuleCall, x: Tensor, indices: Tensor, *, axis: int = 0) -> Adjoints:
    """Sum, for each row of a table, over all its uses."""
    axis %= x.rank
    length = x.shape[axis]
    if indices.value is not None and indices.size == 1:
        place = int(indices.value.ravel()[0]) % length
        row = call.dy.reshape([1 if a == axis else size for a, size in enumerate(x.shape)])
        before = [place if a == axis else 0 for a in range(x.rank)]
        return row.pad(before, [length - 1 - place if a == axis else 0 for a in range(x.rank)]), None
    outer, inner = x.shape[:axis], x.shape[axis + 1 :]
    count, rows = int(np.prod(outer, dtype=int)), int(np.prod(inner, dtype=int))
    picked = call.dy.reshape((count, indices.size, rows)).transpose((1, 0, 2)).reshape((indices.size, -1))
    table = _scatter(picked, indices.reshape((-1, 1)), (length, count * rows))
    return table.reshape((length, count, rows)).transpose((1, 0, 2)).reshape(x.shape), None


def _scatter(picked: Tensor, rows: Tensor, shape: tuple[int, int]) -> Tensor:
    """Add rows (k, n) at numbers (k, 1) of a table."""
    graph = picked.graph
    zeros = graph.constant(np.zeros(shape, picked.dtype))
    if rows.value is not None and len(np.unique(rows.value % shape[0])) == rows.size:  # each row once
        return graph.emit("ScatterND", zeros, rows, picked, shape=shape)
    places = rows.expand(picked.shape)
    return graph.emit("ScatterElements", zeros, places, picked, shape=shape, axis=0, reduction="add")


def GatherElements(call: RuleCall, x: Tensor, indices: Tensor, *, axis: int = 0) -> Adjoints:
    """Add elements where they were along one axis."""
    dx = call.graph.emit(
        "ScatterElements", x.zeros(), indices, call.dy, shape=x.shape, axis=axis, reduction="add"
    )
    return dx, None


def GatherND(call: RuleCall, x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Adjoints:
    """Add elements or rows where their coordinates say."""
    if batch_dims:
        return None, None
    return call.graph.emit("ScatterND", x.zeros(), indices, call.dy, shape=x.shape, reduction="add"), None


def ScatterND(
    call: RuleCall, x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none"
) -> Adjoints:
    """Give what was put in its part of the adjoint, and what it replaced none."""
    if reduction not in ("none", "add"):
        return None, None, None
    put = call.graph.emit("GatherND", call.dy, indices, shape=updates.shape)
    if reduction == "add":
        return call.dy, None, put
    rest = call.graph.emit("ScatterND", call.dy, indices, updates.zeros(), shape=x.shape)
    return rest, None, put


def ScatterElements(
    call: RuleCall, x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Adjoints:
    """Give what was put in its part of the adjoint, and what it replaced none."""
    if reduction not in ("none", "add"):
        return None, None, None
    put = call.graph.emit("GatherElements", call.dy, indices, shape=updates.shape, axis=axis)
    if reduction == "add":
        return call.dy, None, put
    zeros = updates.zeros()
    rest = call.graph.emit("ScatterElements", call.dy, indices, zeros, shape=x.shape, axis=axis)
    return rest, None, put


def TopK(
    call: RuleCall, x: Tensor, k: Tensor, *, axis: int = -1, largest: int = 1, sorted: int = 1
) -> Adjoints:
    """Give the largest elements the adjoint where they stood."""
    places = call.output(1, call.y.shape, np.int64)
    dx = call.graph.emit("ScatterElements", x.zeros(), places, call.dy, shape=x.shape, axis=axis)
    return dx, None
