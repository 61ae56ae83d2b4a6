r"""Convolutions: kernels that move over positions."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from onnxtop.network import Blocks, Kernel
from onnxtop.reader.reading import Array, Bias, OpCall, Reading


def Conv(call: OpCall, **attributes: Any) -> Iterator[Reading]:
    r"""Read weights (channels out, channels in / group, \*taps)."""
    yield from _convolution(call, 2, **attributes)


def ConvTranspose(call: OpCall, **attributes: Any) -> Iterator[Reading]:
    r"""Read weights (channels in, channels out / group, \*taps)."""
    yield from _convolution(call, 2, transposed=True, **attributes)


def DeformConv(call: OpCall, **attributes: Any) -> Iterator[Reading]:
    """Read the weights of a convolution whose taps are moved by the data; see `Conv`."""
    yield from _convolution(call, 3, **attributes)


def _convolution(call: OpCall, bias: int, **attributes: Any) -> Iterator[Reading]:
    kernel = kernel_form(**attributes)
    yield Reading(
        (call.operand(1),),
        partial(flattened, kernel),
        kernel=kernel,
        bias=Bias.of(call.constant(bias)),
        output_axis=1 - len(call.shape(1)),
    )


def flattened(kernel: Callable[[Array], Kernel], array: Array) -> Blocks:
    """Return the kernel's matrices, one a group."""
    return kernel(array).matrices()


def kernel_form(
    *,
    transposed: bool = False,
    group: int = 1,
    strides: Sequence[int] = (),
    pads: Sequence[int] = (),
    dilations: Sequence[int] = (),
    **_: Any,
) -> Callable[[Array], Kernel]:
    """Return what turns the weights into a kernel, from the node's attributes."""

    def kernel(array: Array) -> Kernel:
        axes = array.ndim - 2
        if axes < 1:
            raise ValueError(f"{array.ndim} axes are no kernel")
        for given in (strides, dilations):
            if given and (len(given) != axes or min(given) < 1):
                raise ValueError(f"strides or dilations {list(given)} for {axes} axes")
        if len(pads) not in (0, 2 * axes):
            raise ValueError(f"pads {list(pads)} for {axes} axes")
        weights = array.reshape(group, array.shape[0] // group, *array.shape[1:])
        return Kernel(
            weights=weights.swapaxes(1, 2) if transposed else weights,
            strides=tuple(strides) or (1,) * axes,
            pads=tuple(pads[:axes]) or (0,) * axes,
            dilations=tuple(dilations) or (1,) * axes,
            transposed=transposed,
        )

    return kernel
