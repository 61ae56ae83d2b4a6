"""Faults that are planted in an ONNX file: layers as they were drawn, moved weights, bad quantisation."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LAWS = ("torch", "glorot", "he")
"""How weights are drawn: PyTorch's default with its bias, Glorot's and He's with biases of zero."""
RESETS = ("fresh", "normal", "shuffled")
"""A layer drawn anew, with its bias; normal weights of its own mean and variance; its own weights moved."""


def bound(law: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the standard deviation that a law gives weights of a shape, outputs first, and biases."""
    field = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * field, shape[0] * field
    if law == "torch":
        return 1 / math.sqrt(3 * fan_in), 1 / math.sqrt(3 * fan_in)
    return math.sqrt(2 / (fan_in + fan_out)) if law == "glorot" else math.sqrt(2 / fan_in), 0.0


def drawn(law: str, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
    """Return weights of a shape, outputs first, and their bias, as a law draws them."""
    weights, biases = bound(law, shape)
    if law == "he":
        values = rng.normal(0, weights, shape)
    else:
        values = rng.uniform(-1, 1, shape) * weights * math.sqrt(3)
    bias = rng.uniform(-1, 1, shape[0]) * biases * math.sqrt(3)
    return values.astype(np.float32), bias.astype(np.float32)


def reset(how: str, law: str, weight: Array, bias: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return weights and bias of a layer in place of the trained ones."""
    if how == "fresh":
        return drawn(law, weight.shape, rng)
    if how == "normal":
        return rng.normal(weight.mean(), weight.std(), weight.shape).astype(np.float32), bias
    return rng.permutation(weight.ravel()).reshape(weight.shape), bias


def quantised(weight: NDArray[Any], bits: int, axis: int | None = None, stretch: float = 1.0) -> NDArray[Any]:
    """Return weights on a symmetric grid: one step for all of them, or one for each place along an axis.

    The step takes ``stretch`` of the largest to the largest code; what is beyond is clipped.
    """
    others = None if axis is None else tuple(each for each in range(weight.ndim) if each != axis)
    codes = 2 ** (bits - 1) - 1
    largest = np.abs(weight).max(axis=others, keepdims=True)
    step = np.maximum(largest * stretch / codes, np.finfo(np.float32).tiny)
    found: NDArray[Any] = np.clip(np.round(weight / step), -codes, codes) * step
    return found


@dataclass(frozen=True)
class Quantisation:
    """How all weights of a network are quantised, symmetrically, and written as floats again.

    The scale takes ``stretch`` of the largest weight, of the layer or of each output (``by_output``), to the
    largest code: below 1 large weights are clipped, above 1 codes are wasted. Only ``layers`` of them are
    stretched or have ``few`` bits, all if it is None; others are as ``bits`` says.
    """

    bits: int
    by_output: bool = False
    stretch: float = 1.0
    few: int | None = None
    alone: bool = False

    @property
    def name(self) -> str:
        where = " in one layer" if self.alone else " by output" if self.by_output else ""
        if self.few:
            return f"int{self.bits}, int{self.few}{where}"
        if self.stretch != 1:
            return f"int{self.bits}, scale x {self.stretch:g}{where}"
        return f"int{self.bits}{where}"

    def quantised(self, weight: Array, chosen: bool) -> Array:
        """Return the weights of a layer, which may be the one that is worse than the others."""
        worse = chosen or not self.alone
        bits = self.few if self.few and worse else self.bits
        return quantised(weight, bits, 0 if self.by_output else None, self.stretch if worse else 1.0)


TWINS = (
    *(Quantisation(bits, by_output) for bits in (8, 6, 4, 3) for by_output in (False, True)),
    Quantisation(8, stretch=0.5),
    Quantisation(8, stretch=0.2),
    Quantisation(8, stretch=16, alone=True),
    Quantisation(8, stretch=64, alone=True),
    Quantisation(8, few=3, alone=True),
    Quantisation(8, few=2, alone=True),
)
