"""How a node uses a constant operand as its weight: what every function in `onnxtop.reader.ops` returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxtop.network import Blocks, Kernel
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.encoding import Encoding, Sharing
from onnxtop.reader.model import Model, Node, Value

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class OpCall:
    """A node as its function sees it: its operands, and which of them are constant.

    ``weights`` are the operands that carry weights, by position, as what can be read of them.
    """

    node: Node
    model: Model
    constants: Constants
    weights: Mapping[int, Value] = field(default_factory=dict)

    def operand(self, position: int) -> Value | None:
        """Return the value at an input position, None where it is left out."""
        if position in self.weights:
            return self.weights[position]
        return self.node.inputs[position] if position < len(self.node.inputs) else None

    def is_constant(self, position: int) -> bool:
        """Tell whether an operand is there and does not depend on the model's inputs."""
        return self.operand(position) in self.constants

    def constant(self, position: int) -> Value | None:
        """Return the operand if it is constant, else None."""
        return self.operand(position) if self.is_constant(position) else None

    def needed(self, position: int) -> Value | None:
        """Return an operand that decoding needs, None where it is left out.

        Raises
        ------
        UnreadableConstantError
            It depends on the model's inputs: nobody can know the weights.
        """
        value = self.operand(position)
        if value is not None and value not in self.constants:
            raise UnreadableConstantError(f"its codes are decoded by {value.name!r}, which is not constant")
        return value

    def shape(self, position: int) -> tuple[int, ...]:
        """Return the shape of a constant operand, () where it is left out."""
        value = self.constant(position)
        return () if value is None else self.constants.shape(value)

    def dtype(self, position: int) -> str:
        """Return how a constant operand is stored: ``int8``."""
        value = self.constant(position)
        return "" if value is None else self.constants.stored_as(value)

    def granularity(self, scale: int) -> Sharing:
        """Return what shares one entry of a scale."""
        return "per-tensor" if np.prod(self.shape(scale), dtype=int) == 1 else "per-channel"

    def attribute(self, name: str) -> Value | None:
        """Return an attribute that holds weights, as a value."""
        return self.model.attribute_values.get((self.node.index, name))

    def weight_side(self) -> int:
        """Return which of the first two operands is the weight."""
        return max(position for position in self.weights if position < 2)

    def vector(self, position: int, axis: int) -> Value | None:
        """Return the operand if it is constant and holds one number an entry of ``axis`` of the result."""
        value = self.constant(position)
        return value if value is not None and runs_along(self.shape(position), axis) else None


def runs_along(shape: tuple[int, ...], axis: int) -> bool:
    """Tell whether an array broadcasts along every axis of a result but one, counted from the end."""
    return all(size == 1 or place == axis for place, size in zip(range(-len(shape), 0), shape, strict=True))


@dataclass(frozen=True, eq=False)
class Bias:
    """A bias: the constant that holds it, and what turns its array into one number an output."""

    value: Value
    form: Callable[[Array], Array] = np.ravel

    @classmethod
    def of(cls, value: Value | None, form: Callable[[Array], Array] = np.ravel) -> "Bias | None":
        """Return the bias held by a constant, None if there is none."""
        return None if value is None else cls(value, form)


def stored(array: Array, *_: Array) -> Array:
    """Return the weight as it is stored."""
    return array


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
    fits
        Tells from arrays of the operands' shapes and types, with nothing in them, that decoding is certain to
        work; None where only decoding tells.
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
    output_axis
        Axis of the result that runs along the outputs, counted from the end; None where there is no one axis.
    """

    operands: tuple[Value | None, ...]
    blocks: Callable[[Array], Blocks]
    decode: Callable[..., Array] = stored
    fits: Callable[..., bool] | None = None
    decoded_shape: tuple[int, ...] | None = None
    encoding: Encoding | None = None
    scale: float = 1.0
    part: str = ""
    kernel: Callable[[Array], Kernel] | None = None
    bias: Bias | None = None
    output_axis: int | None = -1


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("alpha", "beta"), (float, int)),
    **dict.fromkeys(("group", "transA", "transB", "axis", "targets"), (int,)),
    **dict.fromkeys(("num_heads", "q_num_heads", "kv_num_heads"), (int,)),
    **dict.fromkeys(("K", "N", "bits", "block_size", "gather_axis", "quantize_axis", "n_supports"), (int,)),
    **dict.fromkeys(("strides", "pads", "dilations", "qkv_hidden_sizes", "vectors_per_class"), (list,)),
    "equation": (bytes,),
}


def checked_attributes(node: Node) -> dict[str, Any]:
    """Return a node's attributes as keywords; raises ValueError where one that matters is of another kind."""
    attributes, odd = node.attributes(), node.misread()
    if odd:
        raise ValueError(f"its attribute {odd[0]} has another type than ONNX says")
    attributes.pop("call", None)  # the name of the functions' own first argument
    for name, kinds in _KINDS.items():
        value = attributes.get(name)
        if value is not None and not isinstance(value, kinds):
            raise ValueError(f"its attribute {name} is {value!r}")
    return attributes


def matrices(array: Array, *, transposed: bool = False) -> Blocks:
    """Return the operand of a product as one matrix a batch entry; its last two axes are the matrix."""
    if array.ndim < 2:
        raise ValueError(f"{array.ndim} axes make no matrix")
    batch = array.reshape(-1, *array.shape[-2:])
    return [matrix.T if transposed else matrix for matrix in batch]


def one_matrix(array: Array, *, transposed: bool = False) -> Blocks:
    """Return the array as the one matrix of its layer."""
    if array.ndim != 2:
        raise ValueError(f"{array.ndim} axes are no matrix")
    return [array.T if transposed else array]
