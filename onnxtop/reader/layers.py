"""The weighted layers of a model: each is read, or skipped with a reason.

One weight used several times is one layer with several uses; its first use in graph order decides what it
is called and which of its axes are inputs. An operand that packs several matrices is one layer a matrix.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxtop.errors import ModelError, UsageError
from onnxtop.network import Blocks, Kernel, Matrix, RawCodes
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.dequantize import unpack
from onnxtop.reader.evaluate import MOVEMENT, is_decoder
from onnxtop.reader.model import Model, Node, Value, load
from onnxtop.reader.names import layer_name, node_name, numbered
from onnxtop.reader.ops import NEUTRAL, READ, REPORTED, REPORTED_ATTRIBUTES
from onnxtop.reader.reading import (
    Array,
    Bias,
    Call,
    Reading,
    checked_attributes,
    is_weight_type,
    runs_along,
    stored,
)

__all__ = ["Layer", "Skipped", "find_layers", "read_layers"]


@dataclass(frozen=True, eq=False)
class Layer:
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
        How the tensor is stored: ``float32``, ``int8 per-channel``, ``uint4 block 32``.
    shape
        Shape of the weights as the operation sees them, of the matrix for a part of a packed operand.
    uses
        The nodes that use the weight, in graph order.
    """

    name: str
    op_type: str
    n_in: int
    n_out: int
    weight: str
    encoding: str
    shape: tuple[int, ...]
    uses: tuple[str, ...]
    source: "Source"

    @property
    def parameters(self) -> int:
        """How many weights the layer has, biases left out."""
        return math.prod(self.shape)

    @property
    def is_convolution(self) -> bool:
        """Whether the weights are a kernel that moves over positions."""
        return self.source.reading.kernel is not None

    def blocks(self) -> list[Matrix]:
        """Read the weights: one matrix (n_in, n_out) for each group or batch entry, read-only views mostly.

        The matrices share no neuron: rows and columns of a later block follow those of the earlier ones. A
        convolution's rows are its channels in times its taps. Quantised weights are decoded; others have the
        stored float type (bfloat16 becomes float32).

        Raises
        ------
        onnxtop.errors.ModelError
            The weights cannot be decoded: a scale does not fit them, or the file changed.
        """
        reading = self.source.reading
        return _scaled(reading.blocks(self.source.weight(self.name)), reading.scale)

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
        held = re.match(r"u?int(\d+) (?:per-|block)", self.encoding)
        bits = int(held[1]) if held else 0
        return self.source.raw_codes(bits) if 0 < bits <= 8 else None


@dataclass(frozen=True, eq=False)
class Skipped:
    """A weight tensor that is not read, and why."""

    name: str
    op_type: str
    reason: str
    weight: str
    parameters: int
    uses: tuple[str, ...]
    operand: Value


@dataclass(frozen=True, eq=False)
class Source:
    """What a layer reads its arrays from: the first node that uses the weight."""

    constants: Constants
    node: Node
    reading: Reading
    bias: Bias | None

    def weight(self, name: str) -> Array:
        """Read and decode the operand; types that NumPy does not know as floats become float32."""
        try:
            arrays = [
                None if value is None else self.constants.read(value) for value in self.reading.operands
            ]
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
        except (UnreadableConstantError, ValueError, IndexError, TypeError):
            return None
        scales = [np.ravel(array) for array in others if is_weight_type(array.dtype.name)]
        return RawCodes(codes, bits, np.concatenate(scales)) if scales else None

    def bias_vector(self, n_out: int) -> NDArray[np.float64] | None:
        """Read the bias of every output, None if there is none or it does not fit."""
        if self.bias is None:
            return None
        try:
            arrays = [None if value is None else self.constants.read(value) for value in self.bias.operands]
            vector = np.ravel(self.bias.form(*arrays)).astype(np.float64)
        except (UnreadableConstantError, ValueError, IndexError, TypeError):
            return None
        return np.broadcast_to(vector, n_out) if vector.size in (1, n_out) else None


def _as_floats(array: Array) -> Array:
    return array if array.dtype.kind == "f" and array.dtype.itemsize >= 2 else array.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Found:
    """A use of a weight: ``reading`` is None where ``reason`` says why it is not read."""

    node: Node
    operand: Value
    reading: Reading | None = None
    reason: str = ""

    @property
    def part(self) -> str:
        return self.reading.part if self.reading else ""


def read_layers(
    path: str | Path, *, allow_external: Iterable[str | Path] = (), peepholes: bool = False
) -> list[Layer | Skipped]:
    """Find the weighted layers of an ONNX file, in the order in which the graph runs.

    Parameters
    ----------
    path
        The file.
    allow_external
        Folders beside the model's own from which external weights may be read.
    peepholes
        Whether the peephole weights of an LSTM are layers; they count as biases if not.

    Returns
    -------
    list
        A `Layer` for each weight tensor that can be read, a `Skipped` with its reason for each other; empty
        for a model without weights.

    Raises
    ------
    onnxtop.errors.ModelError
        The file cannot be read, is not an ONNX model, or its external data is missing or unsafe.

    Examples
    --------
    >>> for layer in onnxtop.read_layers("model.onnx"):  # doctest: +SKIP
    ...     print(layer.name, layer.op_type)
    """
    model = load(path, allow_external=allow_external)
    return find_layers(model, Constants(model), peepholes=peepholes)


def find_layers(model: Model, constants: Constants, *, peepholes: bool = False) -> list[Layer | Skipped]:
    """Find the weighted layers of a loaded model, in graph order; see `read_layers`."""
    groups: dict[tuple[Value, str], list[_Found]] = {}
    for node in model.nodes:
        for found in _weights_of(Call(node, model, constants)):
            if found.part.startswith("P.") and not peepholes:
                continue
            groups.setdefault((constants.origin(found.operand), found.part), []).append(found)
    layers = _unaccounted(
        [_layer(origin, uses, model, constants) for (origin, _), uses in groups.items()], constants
    )
    names = numbered(layer.name for layer in layers)
    return [replace(layer, name=name) for layer, name in zip(layers, names, strict=True)]


def _unaccounted(layers: Sequence[Layer | Skipped], constants: Constants) -> list[Layer | Skipped]:
    """Leave out the skipped uses of tensors that other uses read whole, in parts, or slice by slice."""
    read = {
        source
        for layer in layers
        if isinstance(layer, Layer) and layer.source.reading.operands[0] is not None
        for source in constants.sources(layer.source.reading.operands[0])
    }
    return [
        layer
        for layer in layers
        if isinstance(layer, Layer) or not read.issuperset(constants.sources(layer.operand))
    ]


def _layer(origin: Value, uses: Sequence[_Found], model: Model, constants: Constants) -> Layer | Skipped:
    """Make one layer of all uses of a weight: the first use that can be read decides what it is."""
    reason = ""
    for found in uses:
        made = _read(origin, found, found.reading, uses, model, constants) if found.reading else found.reason
        if isinstance(made, Layer):
            return made
        reason = reason or made
    node = uses[0].node
    return Skipped(
        name=_name(uses[0], _weight_name(origin, constants)),
        op_type=node.op,
        reason=reason,
        weight=_weight_name(origin, constants),
        parameters=constants.size(origin),
        uses=_use_names(uses),
        operand=origin,
    )


def _read(
    origin: Value, found: _Found, reading: Reading, uses: Sequence[_Found], model: Model, constants: Constants
) -> Layer | str:
    """Return the layer, or the reason why it cannot be read."""
    encoding = reading.encoding or _encoding(found.operand, origin, constants)
    if reading.decode is stored and not is_weight_type(constants.stored_as(found.operand)):
        return f"its values are {encoding}, which are no weights by themselves"
    if encoding.endswith("without scale"):
        return f"its {encoding.split()[0]} codes have no scale that could be found"
    shape = reading.decoded_shape
    try:
        shape = shape or constants.shape(found.operand)
        for value in filter(None, reading.operands):
            constants.require_data(constants.origin(value))
        if 0 in shape:
            return f"one side is empty: its shape is {shape}"
        sizes = [block.shape for block in reading.blocks(np.broadcast_to(np.float32(0), shape))]
    except UnreadableConstantError as error:
        return str(error)
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        return f"a weight of shape {shape} does not fit the operation {found.node.op}: {error}"
    n_in, n_out = sum(rows for rows, _ in sizes), sum(columns for _, columns in sizes)
    weight = _weight_name(origin, constants)
    layer = Layer(
        name=_name(found, weight),
        op_type=found.node.op,
        n_in=n_in,
        n_out=n_out,
        weight=weight,
        encoding=encoding,
        shape=shape if not found.part else (len(sizes), *sizes[0])[len(sizes) == 1 :],
        uses=_use_names(uses),
        source=Source(
            constants,
            found.node,
            reading,
            reading.bias or _added_bias(found.node, reading, n_out, model, constants),
        ),
    )
    tensor = model.tensors.get(found.operand)
    plain = tensor is not None and not model.files.is_sparse(tensor) and reading.decode is stored
    return layer if plain else _tried(layer)


def _tried(layer: Layer) -> Layer | str:
    """Return a layer whose weights are decoded or computed if that works, else the reason why it does not."""
    try:
        blocks = layer.blocks()
    except ModelError as error:
        return str(error)
    n_in, n_out = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    if (n_in, n_out) != (layer.n_in, layer.n_out):
        return f"its weights decode to {n_in} x {n_out}, not to {layer.n_in} x {layer.n_out}"
    return layer


def _name(found: _Found, weight: str) -> str:
    name = layer_name(found.node, weight)
    return f"{name}.{found.part}" if found.part else name


def _weight_name(origin: Value, constants: Constants) -> str:
    sources = constants.sources(origin)
    return sources[0].name if len(sources) == 1 else origin.name


def _scaled(blocks: Blocks, scale: float) -> list[Matrix]:
    return [block if scale == 1 else block * block.dtype.type(scale) for block in blocks]


def _use_names(uses: Iterable[_Found]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node_name(found.node) for found in uses))


def _encoding(operand: Value, origin: Value, constants: Constants) -> str:
    """Return how a weight is stored, and how its codes are scaled if it is stored in codes."""
    decoder = constants.decoder(operand)
    held = constants.stored_as(origin)
    if decoder is None:
        sources = constants.sources(origin)
        below = constants.stored_as(sources[0]) if len(sources) == 1 else held
        return held if is_weight_type(below) or not is_weight_type(held) else f"{below} scaled"
    if decoder.op_type != "DequantizeLinear" or held in ("float64", "float32", "float16", "bfloat16"):
        return f"{held} rounded by {decoder.op_type.replace('Dequantize', 'Quantize')}"
    block_size = decoder.attributes().get("block_size")
    scale = decoder.inputs[1]
    one = scale is not None and constants.size(scale) == 1
    return f"{held} block {block_size}" if block_size else f"{held} {'per-tensor' if one else 'per-channel'}"


def _weights_of(call: Call) -> Iterator[_Found]:
    """Yield every use of a weight by a node."""
    node = call.node
    op = (node.domain, node.op_type)
    if op in READ:
        yield from _readings(call)
    elif op in REPORTED_ATTRIBUTES:
        name, reason = REPORTED_ATTRIBUTES[op]
        value = call.attribute(name)
        if value is not None:
            yield _Found(node, value, reason=reason)
    elif op in REPORTED:
        yield from _reported(call, REPORTED[op], f"{node.op} is not read by this version")
    elif op not in NEUTRAL and not all(output in call.constants for output in node.outputs):
        yield from _reported(call, range(len(node.inputs)), f"unknown operation {node.op}")


def _readings(call: Call) -> Iterator[_Found]:
    node = call.node
    if node.outputs and all(output in call.constants for output in node.outputs):
        return  # a constant computed from constants
    read = READ[node.domain, node.op_type]
    try:
        readings = list(read(call, **checked_attributes(node.attributes())))
    except (UnreadableConstantError, ValueError, IndexError, ZeroDivisionError) as error:
        unfit = f"{node.op} has operands that do not fit: {error}"
        yield from _largest(_reported(call, range(len(node.inputs)), unfit), call)
        return
    for reading in readings:
        if reading.operands[0] is not None:
            yield _Found(node, reading.operands[0], reading)
    if not readings:
        unread = f"this form of {node.op} is not read"
        yield from _largest(_reported(call, range(len(node.inputs)), unread), call)
        yield from filter(None, (_behind_decoder(call, value) for value in node.inputs))


def _reported(call: Call, positions: Iterable[int], reason: str) -> Iterator[_Found]:
    for position in positions:
        value = call.constant(position)
        if value is not None and _looks_like_weights(value, call.constants):
            yield _Found(call.node, value, reason=reason)


def _behind_decoder(call: Call, value: Value | None) -> _Found | None:
    """Find constant codes whose scale is computed as the model runs."""
    node = call.model.producers.get(value) if value is not None else None
    seen: set[int] = set()
    while node is not None and (is_decoder(node) or node.op_type in MOVEMENT) and node.inputs:
        if node.index in seen:
            return None
        seen.add(node.index)
        codes = node.inputs[0]
        if codes is not None and codes in call.constants and is_decoder(node):
            return _Found(
                call.node, codes, reason=f"its codes are scaled by what the model computes ({node.op})"
            )
        node = call.model.producers.get(codes) if codes is not None else None
    return None


def _largest(found: Iterable[_Found], call: Call) -> list[_Found]:
    """Return the largest of a node's operands: the weight, not what decodes it."""
    return sorted(found, key=lambda item: -call.constants.size(item.operand))[:1]


def _looks_like_weights(value: Value, constants: Constants) -> bool:
    """Tell a weight from a setting: floats or narrow codes along at least two axes."""
    stored_as = constants.stored_as(constants.origin(value))
    if not (is_weight_type(stored_as) or stored_as.lstrip("u") in ("int8", "int4", "int2")):
        return False
    try:
        return sum(size > 1 for size in constants.shape(value)) >= 2
    except UnreadableConstantError:
        return True


def _added_bias(node: Node, reading: Reading, n_out: int, model: Model, constants: Constants) -> Bias | None:
    """Find the constant vector that is added to the node's result next, along its outputs."""
    value = node.outputs[0] if node.outputs else None
    axis: int | None = reading.output_axis
    while value is not None and axis is not None:
        uses = model.users.get(value, ())
        if len(uses) != 1 or value in model.results:
            return None
        user, position = uses[0].node, uses[0].position
        if (user.domain, user.op_type) == ("", "Add") and len(user.inputs) == 2:
            return _vector(user.inputs[1 - position], n_out, axis, constants)
        if (user.domain, user.op_type) in (("com.microsoft", "BiasGelu"), ("com.microsoft", "FastGelu")):
            return _vector(user.inputs[1] if len(user.inputs) > 1 else None, n_out, axis, constants)
        integer = node.op_type in ("MatMulInteger", "ConvInteger")
        axis = _axis_behind(user, position, axis, through_scales=integer)
        value = user.outputs[0] if user.outputs else None
    return None


def _axis_behind(node: Node, position: int, axis: int, *, through_scales: bool) -> int | None:
    """Return where an axis of a node's input is in its result, both from the end; None if that is unknown."""
    if node.domain or (position and node.op_type != "Mul"):
        return None
    if node.op_type in ("Identity", "Cast") or (node.op_type == "Mul" and through_scales):
        return axis
    if node.op_type == "Transpose":
        order = node.attributes().get("perm")
        return None if not order or -axis > len(order) else order.index(len(order) + axis) - len(order)
    return axis if node.op_type in MOVEMENT and axis == -1 else None


def _vector(value: Value | None, n_out: int, axis: int, constants: Constants) -> Bias | None:
    """Return the bias if it holds one number an output, along that axis."""
    if value is None or value not in constants:
        return None
    try:
        shape = constants.shape(value)
    except UnreadableConstantError:
        return None
    fits = runs_along(shape, axis) and len(shape) >= -axis and shape[axis] == n_out
    return Bias.of(value) if fits or (n_out == 1 and set(shape) <= {1}) else None
