"""Pooling: the adjoint goes to the element that was chosen, or in shares to all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from onnxtop.gradient.engine import Adjoints, RuleCall
from onnxtop.gradient.graph import Array, Tensor
from onnxtop.gradient.rules.convolution import Frame, framed, transposed

__all__ = ["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"]


def MaxPool(
    call: RuleCall,
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    kernel_shape: Sequence[int],
    pads: Sequence[int] = (),
    storage_order: int = 0,
    strides: Sequence[int] = (),
) -> Adjoints:
    """Give a window's adjoint to its largest element: the first of equal ones, shared where windows tile."""
    step, gap = tuple(strides) or (1,) * len(kernel_shape), tuple(dilations) or (1,) * len(kernel_shape)
    tiles = all(
        size == out * k for size, out, k in zip(x.shape[2:], call.y.shape[2:], kernel_shape, strict=True)
    )
    if x.rank == 4 and tiles and tuple(kernel_shape) == step and set(gap) == {1}:
        return (_of_tiles(call, x, list(kernel_shape)),)
    if storage_order:
        return (None,)
    places = call.output(1, call.y.shape, np.int64)
    graph = call.graph
    flat = graph.constant(np.zeros(x.size, x.dtype))
    overlap = any(k > s for k, s in zip(kernel_shape, step, strict=True)) or set(gap) != {1}
    dx = graph.emit(
        "ScatterElements", flat, places.reshape((-1,)), call.dy.reshape((-1,)), shape=flat.shape, axis=0,
        **({"reduction": "add"} if overlap else {}),
    )  # fmt: skip
    return (dx.reshape(x.shape),)


def _of_tiles(call: RuleCall, x: Tensor, kernel: list[int]) -> Tensor:
    """Give each tile's adjoint to its largest element, equal ones share it.

    Twice as fast as by indices, which also slow down the pool that writes them.
    """
    chosen = x.equals(_repeated(call.y, x, kernel)).cast(x.dtype)
    shape = call.y.shape
    share = call.graph.emit("AveragePool", chosen, shape=shape, kernel_shape=kernel, strides=kernel)
    dy = call.dy / (share * float(np.prod(kernel)))
    return chosen * _repeated(dy, x, kernel)


def _repeated(y: Tensor, x: Tensor, kernel: list[int]) -> Tensor:
    """Repeat every position of a pool's output over its tile."""
    scales = y.graph.constant(np.array([1, 1, *kernel], np.float32))
    return y.graph.emit(
        "Resize", y, None, scales, shape=x.shape, mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip


def AveragePool(
    call: RuleCall,
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] = (),
    kernel_shape: Sequence[int],
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Adjoints:
    """Give every element of a window an equal share."""
    frame = framed(
        kernel_shape, x.shape[2:], call.y.shape[2:], auto_pad=auto_pad, strides=strides, pads=pads,
        dilations=dilations,
    )  # fmt: skip
    share = call.dy / call.graph.constant(_counts(x, call.y, frame, bool(count_include_pad)), x.dtype)
    return (_spread_windows(share, x, frame),)


def _spread_windows(share: Tensor, x: Tensor, frame: Frame) -> Tensor:
    """Add each window's share to all of its elements; channels are images of their own."""
    images = share.reshape((-1, 1, *share.shape[2:]))
    ones = share.graph.constant(np.ones((1, 1, *frame.kernel)), x.dtype)
    shape = (images.shape[0], 1, *x.shape[2:])
    return transposed(images, ones, frame, shape, 1).reshape(x.shape)


def _counts(x: Tensor, y: Tensor, frame: Frame, with_pads: bool) -> Array:
    """Return how many elements each window's mean is over, shape (1, 1, spatial)."""
    counts = np.ones(())
    for window, n_in, n_out in zip(frame.along, x.shape[2:], y.shape[2:], strict=True):
        if with_pads:
            read = replace(window, pads=(0, 0)).read(n_in + sum(window.pads), n_out)
        else:
            read = window.read(n_in, n_out)
        counts = np.multiply.outer(counts, np.sum(read >= 0, axis=1))
    return counts[None, None]


def LpPool(
    call: RuleCall,
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    kernel_shape: Sequence[int],
    p: int = 2,
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Adjoints:
    """Of the norm of a window: sign(x) (|x| / y)^(p - 1)."""
    frame = framed(
        kernel_shape, x.shape[2:], call.y.shape[2:], auto_pad=auto_pad, strides=strides, pads=pads,
        dilations=dilations,
    )  # fmt: skip
    share = _spread_windows(call.dy / call.y.with_("Pow", float(p - 1)), x, frame)
    return (share * x.apply("Sign") * x.apply("Abs").with_("Pow", float(p - 1)),)


def GlobalAveragePool(call: RuleCall, x: Tensor) -> Adjoints:
    """Give every position its share."""
    share = call.dy * (1 / int(np.prod(x.shape[2:], dtype=int)))
    return (share.expand(x.shape),)


def GlobalMaxPool(call: RuleCall, x: Tensor) -> Adjoints:
    """Give the adjoint to the largest position; equal ones share it."""
    mask = x.equals(call.y).cast(x.dtype)
    return (mask * (call.dy / mask.sum(range(2, x.rank), keepdims=True)),)
