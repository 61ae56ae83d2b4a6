"""A weighted layer, read or skipped: what the reader gives."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import ModelError, UsageError
from onnxtop.network import Blocks, Kernel, Matrix, RawCodes
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.dequantize import unpack
from onnxtop.reader.encoding import Encoding, is_weight_type
from onnxtop.reader.model import Node, Value
from onnxtop.reader.names import node_name
from onnxtop.reader.reading import Array, Bias, Reading
from onnxtop.reader.schemas import RECURRENT
from onnxtop.shown import Shown

INSIDE = "inside"
"""Marks what is of the reader alone, in a class that everybody may use."""

WITH_STATE = RECURRENT | {"DynamicQuantizeLSTM"}


@dataclass(frozen=True, eq=False)
class WeightUse:
    """A weight as one node uses it: ``reading`` is None where ``reason`` says why it is not read there."""

    node: Node
    operand: Value
    reading: Reading | None = None
    reason: str = ""

    @property
    def part(self) -> str:
        """The part of a packed operand, "" for all of it."""
        return self.reading.part if self.reading else ""


@dataclass(frozen=True, eq=False, repr=False)
class Layer(Shown):
    """A weighted layer whose weights can be read.

    Attributes
    ----------
    name
        The module's path, the node's name or the weight's name, and the part of a packed operand; unique in
        the model.
    op_type
        The operation of the first node that uses the weight, with its domain if it is not ONNX's own.
    n_in, n_out
        Rows and columns of the layer's matrices, over all its blocks.
    weight
        Name of the tensor that holds the weights.
    encoding
        How the tensor is stored; it prints as ``float32``, ``int8 per-channel``, ``uint4 block 32``.
    shape
        Shape of the weights as the operation sees them, of the matrix for a part of a packed operand.
    used_by
        The nodes that use the weight and how each reads it, in graph order.
    source
        What the arrays are read from.
    """

    name: str
    op_type: str
    n_in: int
    n_out: int
    weight: str
    encoding: Encoding
    shape: tuple[int, ...]
    used_by: Annotated[tuple[WeightUse, ...], INSIDE]
    source: Annotated["Source", INSIDE]

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of the nodes that use the weight, in graph order."""
        return _names(self.used_by)

    @property
    def parameters(self) -> int:
        """How many weights the layer has, biases left out."""
        return math.prod(self.shape)

    @property
    def is_convolution(self) -> bool:
        """Whether the weights are a kernel that moves over positions."""
        return self.source.reading.kernel is not None

    @property
    def is_recurrent(self) -> bool:
        """Whether the weights are a gate's of recurrent units."""
        return self.op_type in WITH_STATE

    def blocks(self, *, aligned: bool = True) -> list[Matrix]:
        """Read the weights: one matrix (n_in, n_out) for each group or batch entry, read-only views mostly.

        The matrices share no neuron: rows and columns of a later block follow those of the earlier ones. A
        convolution's rows are its channels in times its taps. Quantised weights are decoded; others have the
        stored float type (bfloat16 becomes float32). Where weights do not lie ``aligned`` in the file, they
        are copied; who goes over them in tiles can do without.

        Raises
        ------
        onnxtop.errors.ModelError
            The weights cannot be decoded: a scale does not fit them, or the file changed.
        """
        reading = self.source.reading
        return _scaled(reading.blocks(self.source.weight(self.name, aligned=aligned)), reading.scale)

    def matrix(self) -> Matrix:
        """Read the weights as one matrix, shape (n_in, n_out): rows are inputs, columns are outputs.

        Raises
        ------
        UsageError
            The layer has several blocks.
        """
        blocks = self.blocks()
        if len(blocks) != 1:
            raise UsageError(
                f"layer {self.name!r} has {len(blocks)} matrices that share no neuron; use blocks()"
            )
        return blocks[0]

    def kernel(self) -> Kernel | None:
        """Read a convolution's weights before they are flattened; None for any other operation.

        Input and output sizes are not known here (see `onnxtop.reader.skeleton`).
        """
        make = self.source.reading.kernel
        return None if make is None else make(self.source.weight(self.name))

    def bias(self) -> NDArray[np.float64] | None:
        """Read the bias, shape (n_out,), as float64; None if the layer has none that is constant."""
        return self.source.bias_vector(self.n_out)

    def codes(self) -> RawCodes | None:
        """Read the codes of quantised weights and their scales; None if they are not codes of 8 bits or less.

        Of a packed operand these are the codes of all its parts.
        """
        bits = self.encoding.bits
        return self.source.raw_codes(bits) if 0 < bits <= 8 else None


@dataclass(frozen=True, eq=False, repr=False)
class Skipped(Shown):
    """A weight tensor that is not read, and why."""

    name: str
    op_type: str
    reason: str
    weight: str
    parameters: int
    used_by: Annotated[tuple[WeightUse, ...], INSIDE]
    operand: Annotated[Value, INSIDE]

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of the nodes that use the weight, in graph order."""
        return _names(self.used_by)


def _names(uses: Iterable[WeightUse]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node_name(use.node) for use in uses))


@dataclass(frozen=True, eq=False)
class Source:
    """What a layer reads its arrays from: the first node that uses the weight."""

    constants: Constants
    node: Node
    reading: Reading
    bias: Bias | None

    def weight(self, name: str, *, aligned: bool = True) -> Array:
        """Read and decode the operand; types that NumPy does not know as floats become float32."""
        try:
            arrays = [
                None if value is None else self.constants.read(value, aligned=aligned)
                for value in self.reading.operands
            ]
            with np.errstate(all="ignore"):  # infinities and NaN are what the runtime makes of them, too
                return _as_floats(self.reading.decode(*arrays))
        except (UnreadableConstantError, ValueError, IndexError, TypeError, MemoryError) as error:
            raise ModelError(f"the weights of layer {name!r} cannot be read: {error}") from None

    def raw_codes(self, bits: int) -> RawCodes | None:
        """Read codes and scales as they stand before decoding, None if they cannot be read."""
        weight, *more = self.reading.operands
        decoder = None if weight is None else self.constants.decoder(weight)
        if weight is None or (decoder is not None and decoder.op_type != "DequantizeLinear"):
            return None
        try:
            behind = (weight, *more) if decoder is None else decoder.inputs
            codes, *others = [self.constants.read(value) for value in behind if value is not None]
            if self.constants.stored_as(weight) == "uint8" and bits < 8:
                codes = unpack(codes, bits, codes.shape[-1] * 8 // bits)
            if self.reading.decoded_shape is not None:  # the last block of a row may be filled up
                rows, columns = self.reading.decoded_shape
                codes = codes.reshape(rows, -1)[:, :columns]
        except (UnreadableConstantError, ValueError, IndexError, TypeError):
            return None
        scales = [np.ravel(array) for array in others if is_weight_type(array.dtype.name)]
        return RawCodes(codes, bits, np.concatenate(scales)) if scales else None

    def bias_vector(self, n_out: int) -> NDArray[np.float64] | None:
        """Read the bias of every output, None if there is none or it does not fit."""
        if self.bias is None:
            return None
        try:
            with np.errstate(all="ignore"):  # as of the weights
                vector = np.ravel(self.bias.form(self.constants.read(self.bias.value)))
                if vector.size not in (1, n_out) or vector.dtype.kind == "c":
                    return None
                return np.broadcast_to(vector.astype(np.float64), n_out)
        except (UnreadableConstantError, ValueError, IndexError, TypeError):
            return None


def _as_floats(array: Array) -> Array:
    return array if array.dtype.kind == "f" and array.dtype.itemsize >= 2 else array.astype(np.float32)


def _scaled(blocks: Blocks, scale: float) -> list[Matrix]:
    with np.errstate(all="ignore"):
        return [block if scale == 1 else block * block.dtype.type(scale) for block in blocks]
