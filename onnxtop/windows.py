"""How a kernel goes over an axis: what Conv, ConvTranspose and the pools of ONNX mean by their attributes.

A convolution reads position ``y * stride - start + tap * dilation`` for position ``y`` of its result; a
transposed one writes position ``x`` to ``x * stride - start + tap * dilation``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What pads until the result is as large as the operand over the stride.
SAME = (b"SAME_UPPER", b"SAME_LOWER")


@dataclass(frozen=True)
class Window:
    """A kernel along one axis; ``more`` is output_padding, ``wanted`` output_shape where it is given."""

    taps: int
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int] = (0, 0)
    auto_pad: bytes = b"NOTSET"
    more: int = 0
    wanted: int | None = None

    @property
    def span(self) -> int:
        """How many positions the kernel covers."""
        return (self.taps - 1) * self.dilation + 1

    @property
    def is_same(self) -> bool:
        """Whether the padding is computed."""
        return self.auto_pad in SAME

    def result(self, size: int) -> int:
        """Return the size of a convolution's result."""
        if self.is_same:
            return -(-size // self.stride)
        return max((size + sum(self._given()) - self.span) // self.stride + 1, 0)

    def sides(self, size: int, result: int) -> tuple[int, int]:
        """Return the padding before and behind a convolution's operand."""
        return self._split(self.whole(result) - size) if self.is_same else self._given()

    def start(self, size: int, result: int) -> int:
        """Return the padding before the first position of a convolution's operand."""
        return self.sides(size, result)[0]

    def whole(self, size: int) -> int:
        """Return how many positions this many kernels cover: a transposed result of which nothing is cut."""
        return (size - 1) * self.stride + self.span

    def turned_result(self, size: int) -> int:
        """Return the size of a transposed convolution's result."""
        if self.wanted is not None:
            return self.wanted
        return size * self.stride if self.is_same else self.whole(size) + self.more - sum(self._given())

    def turned_start(self, size: int, result: int) -> int:
        """Return what is cut off before the first position of a transposed convolution's result."""
        if self.is_same or self.wanted is not None:
            return self._split(self.whole(size) + self.more - result)[0]
        return self._given()[0]

    def read(self, size: int, result: int) -> NDArray[np.intp]:
        """Return the position that each tap reads for each of the result, (result, taps), -1 for padding."""
        first = np.arange(result)[:, None] * self.stride - self.start(size, result)
        index = first + np.arange(self.taps) * self.dilation
        return np.where((index >= 0) & (index < size), index, -1)

    def turned_read(self, size: int, result: int) -> NDArray[np.intp]:
        """Return the same for a transposed convolution: the position whose tap writes there, -1 for none."""
        first = np.arange(result)[:, None] + self.turned_start(size, result)
        index, rest = np.divmod(first - np.arange(self.taps) * self.dilation, self.stride)
        return np.where((rest == 0) & (index >= 0) & (index < size), index, -1)

    def covers(self, size: int) -> bool:
        """Tell whether a convolution sees an axis of this size once, and all of it."""
        result = self.result(size)
        return self.taps == self.span == size and result == 1 and self.start(size, result) == 0

    def _given(self) -> tuple[int, int]:
        return (0, 0) if self.auto_pad == b"VALID" else self.pads

    def _split(self, total: int) -> tuple[int, int]:
        """Split computed padding; the odd cell goes to the end for SAME_UPPER, to the beginning otherwise."""
        less, more = max(total, 0) // 2, (max(total, 0) + 1) // 2
        return (less, more) if self.auto_pad == b"SAME_UPPER" else (more, less)


def windows(attributes: Mapping[str, Any], taps: Sequence[int]) -> list[Window]:
    """Return the window along each axis, from a node's attributes and its kernel's sizes."""
    axes = len(taps)

    def given(name: str, default: int) -> Sequence[int]:
        return attributes.get(name) or [default] * axes

    pads = attributes.get("pads") or [0] * (2 * axes)
    mode = attributes.get("auto_pad", b"NOTSET")
    wanted = (attributes.get("output_shape") or [None] * axes)[-axes:]
    return [
        Window(count, stride, dilation, (before, after), mode, more, size)
        for count, stride, dilation, before, after, more, size in zip(
            taps,
            given("strides", 1),
            given("dilations", 1),
            pads[:axes],
            pads[axes:],
            given("output_padding", 0),
            wanted,
            strict=True,
        )
    ]
