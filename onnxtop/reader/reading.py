"""How a node uses a constant operand as its weight: what every function in `onnxtop.reader.ops` returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Kernel
from onnxtop.reader.constants import Constants
from onnxtop.reader.model import Model, Node, Value

__all__ = ["Array", "Bias", "Call", "Reading", "is_weight_type", "matrices", "one_matrix", "stored"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Call:
    """A node as its function sees it: its operands, and which of them are constant."""

    node: Node
    model: Model
    constants: Constants

    def operand(self, position: int) -> Value | None:
        """Return the value at an input position, None where it is left out."""
        return self.node.inputs[position] if position < len(self.node.inputs) else None

    def is_constant(self, position: int) -> bool:
        """Tell whether an operand is there and does not depend on the model's inputs."""
        return self.operand(position) in self.constants

    def constant(self, position: int) -> Value | None:
        """Return the operand if it is constant, else None."""
        return self.operand(position) if self.is_constant(position) else None

    def shape(self, position: int) -> tuple[int, ...]:
        """Return the shape of a constant operand, () where it is left out."""
        value = self.constant(position)
        return () if value is None else self.constants.shape(value)

    def dtype(self, position: int) -> str:
        """Return how a constant operand is stored: ``int8``."""
        value = self.constant(position)
        return "" if value is None else self.constants.stored_as(value)

    def granularity(self, scale: int) -> str:
        """Return what shares one entry of a scale."""
        return "per-tensor" if np.prod(self.shape(scale), dtype=int) == 1 else "per-channel"

    def attribute(self, name: str) -> Value | None:
        """Return an attribute that holds weights, as a value."""
        return self.model.attribute_values.get((self.node.index, name))

    def one_constant(self, left: int = 0, right: int = 1) -> int | None:
        """Return which of two operands is the only constant one, None if both are or neither is."""
        constant = self.is_constant(left), self.is_constant(right)
        return None if constant[0] == constant[1] else (right if constant[1] else left)


@dataclass(frozen=True, eq=False)
class Bias:
    """A bias: its operands, and what turns their arrays into one number an output."""

    operands: tuple[Value | None, ...]
    form: Callable[..., Array] = np.ravel

    @classmethod
    def of(cls, value: Value | None, form: Callable[..., Array] = np.ravel) -> "Bias | None":
        """Return the bias held by one constant, None if there is none."""
        return None if value is None else cls((value,), form)


def stored(array: Array, *_: Array) -> Array:
    """Return the weight as it is stored."""
    return array


def is_weight_type(name: str) -> bool:
    """Tell whether values of this type are weights themselves, not codes or indices."""
    return name.startswith(("float", "bfloat"))


@dataclass(frozen=True, eq=False)
class Reading:
    """How a node uses a constant operand as its weight.

    Attributes
    ----------
    operands
        The weight first, then the constants that its decoding needs (None where one is left out).
    blocks
        Turns the weight, decoded, into matrices (n_in, n_out) that share no neuron.
    decode
        Turns the operands' arrays into the weight; the weight itself where it is stored as it is.
    decoded_shape
        Shape of the decoded weight, from the stored one's; None where they are the same.
    encoding
        How the weight is stored, where the operand's own type does not tell.
    scale
        What the matrices are multiplied by.
    part
        Name of the part, where one operand holds several matrices (the gates of an LSTM).
    kernel
        For convolutions: turns the weight into its kernel, before it is flattened.
    bias
        The operation's own bias.
    """

    operands: tuple[Value | None, ...]
    blocks: Callable[[Array], Blocks]
    decode: Callable[..., Array] = stored
    decoded_shape: tuple[int, ...] | None = None
    encoding: str | None = None
    scale: float = 1.0
    part: str = ""
    kernel: Callable[[Array], Kernel] | None = None
    bias: Bias | None = None


def matrices(array: Array, *, transposed: bool = False) -> Blocks:
    """Return the operand of a product as one matrix a batch entry; its last two axes are the matrix."""
    batch = array.reshape(-1, *array.shape[-2:])
    return [matrix.T if transposed else matrix for matrix in batch]


def one_matrix(array: Array) -> Blocks:
    """Return the array as the one matrix of its layer."""
    return [array]
