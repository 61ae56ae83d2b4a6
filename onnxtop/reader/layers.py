"""The weighted layers of a model: each is read, or skipped with a reason.

One weight used several times is one layer with several uses; its first use in graph order decides what it
is called and which of its axes are inputs. An operand that packs several matrices is one layer a matrix.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from onnxtop.errors import ModelError
from onnxtop.network import Matrix
from onnxtop.reader.bias import added_bias
from onnxtop.reader.carriers.chains import Chains, chains_of
from onnxtop.reader.carriers.operands import Operands, find_operands
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.encoding import Encoding, is_code_type, is_weight_type
from onnxtop.reader.identity import weights_of_uses
from onnxtop.reader.layer import Layer, Skipped, Source, WeightUse
from onnxtop.reader.loading import load
from onnxtop.reader.model import Model, ModelSource, Node, Value
from onnxtop.reader.names import layer_name, numbered
from onnxtop.reader.ops import NEUTRAL, READ, REPORTED, REPORTED_ATTRIBUTES
from onnxtop.reader.ops.tables import LOOKUPS, SIDES
from onnxtop.reader.reading import (
    OpCall,
    Reading,
    checked_attributes,
    stored,
)


def read_layers(
    model: ModelSource, *, allow_external: Iterable[str | Path] = (), peepholes: bool = False
) -> list[Layer | Skipped]:
    """Find the weighted layers of an ONNX model, in the order in which the graph runs.

    Parameters
    ----------
    model
        Its path, its bytes, a binary file object, or a ModelProto.
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
    ::

        for layer in onnxtop.read_layers("model.onnx"):
            print(layer.name, layer.op_type)
    """
    loaded = load(model, allow_external=allow_external)
    return find_layers(loaded, Constants(loaded), peepholes=peepholes)


def matrices(
    model: ModelSource, *, allow_external: Iterable[str | Path] = (), peepholes: bool = False
) -> dict[str, Matrix | list[Matrix]]:
    """Read the weights of an ONNX model, by layer, as `onnxtop.neural_persistence` takes them.

    Parameters
    ----------
    model, allow_external, peepholes
        As for `read_layers`, which also tells what could not be read.

    Returns
    -------
    dict
        A matrix (n_in, n_out) for each layer, in the order in which the graph runs; rows are inputs. A layer
        in several pieces (a grouped convolution, a batched MatMul) has a list of them. Large ones of a file
        are views of it, not copies.

    Raises
    ------
    onnxtop.ModelError
        The model cannot be read, or weights in it cannot be decoded.

    Examples
    --------
    ::

        onnxtop.neural_persistence(onnxtop.matrices("model.onnx")).mean_normalized
    """
    found = read_layers(model, allow_external=allow_external, peepholes=peepholes)
    blocks = {layer.name: layer.blocks() for layer in found if isinstance(layer, Layer)}
    return {name: several[0] if len(several) == 1 else several for name, several in blocks.items()}


def find_layers(model: Model, constants: Constants, *, peepholes: bool = False) -> list[Layer | Skipped]:
    """Find the weighted layers of a loaded model, in graph order; see `read_layers`."""
    chains = chains_of(model, constants)
    operands, certain = find_operands(chains), chains["certain"]
    every = (use for node in model.nodes for use in _weights_of(node, operands, certain))
    uses = (use for use in every if peepholes or not use.part.startswith("P."))
    groups = weights_of_uses(uses, model, constants)
    layers = _unaccounted([_layer(origin, each, certain) for origin, each in groups], certain)
    names = numbered(layer.name for layer in layers)
    return [replace(layer, name=name) for layer, name in zip(layers, names, strict=True)]


def _unaccounted(layers: Sequence[Layer | Skipped], chains: Chains) -> list[Layer | Skipped]:
    """Leave out the skipped uses of tensors that others read whole, in parts, or as scales."""
    operands = (layer.source.reading.operands for layer in layers if isinstance(layer, Layer))
    read = chains.first_taken(value for each in operands for value in each if value is not None).keys()
    return [
        layer
        for layer in layers
        if isinstance(layer, Layer) or not read >= set(chains.leaves(layer.operand) or (layer.operand,))
    ]


def _layer(origin: Value, uses: Sequence[WeightUse], chains: Chains) -> Layer | Skipped:
    """Make one layer of all uses of a weight: the first that can be read, and scaled, decides what it is."""
    reason = ""
    for found in sorted(uses, key=_has_no_scale):
        made = _read(origin, found, found.reading, uses, chains) if found.reading else found.reason
        if isinstance(made, Layer):
            return made
        reason = reason or made
    weight = _weight_name(origin, chains)
    sizes = map(chains.constants.size, chains.leaves(origin) or (origin,))
    return Skipped(
        name=_name(uses[0], weight),
        op_type=uses[0].node.op,
        reason=reason,
        weight=weight,
        parameters=sum(sizes),
        used_by=tuple(uses),
        operand=origin,
    )


def _has_no_scale(found: WeightUse) -> bool:
    encoding = found.reading.encoding if found.reading else None
    return encoding is not None and not encoding.has_known_scale


def _read(
    origin: Value, found: WeightUse, reading: Reading, uses: Sequence[WeightUse], chains: Chains
) -> Layer | str:
    """Return the layer, or the reason why it cannot be read."""
    model, constants = chains.model, chains.constants
    encoding = reading.encoding or _encoding(found.operand, origin, chains)
    if reading.decode is stored and not is_weight_type(constants.stored_as(found.operand)):
        return f"its values are {encoding}, which are no weights by themselves"
    if reading.encoding is not None and reading.encoding.sharing is None:
        return f"its {encoding.dtype} codes have no scale that could be found"
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
    weight = _weight_name(origin, chains)
    layer = Layer(
        name=_name(found, weight),
        op_type=found.node.op,
        n_in=n_in,
        n_out=n_out,
        weight=weight,
        encoding=encoding,
        shape=shape if not found.part else (len(sizes), *sizes[0])[len(sizes) == 1 :],
        used_by=tuple(uses),
        source=Source(
            constants,
            found.node,
            reading,
            reading.bias or added_bias(found.node, reading, n_out, model, constants),
        ),
    )
    return layer if _is_certain(found.operand, reading, chains) else _tried(layer)


def _is_certain(operand: Value, reading: Reading, chains: Chains) -> bool:
    """Tell from shapes and types alone whether a weight can be decoded, as far as they tell."""
    constants, tensor = chains.constants, chains.model.tensors.get(operand)
    if reading.decode is stored:
        plain = tensor is not None and not chains.model.files.is_sparse(tensor)
        return plain or constants.decoded_type(operand) is not None
    try:
        outlines = [None if value is None else constants.outline(value) for value in reading.operands]
        return reading.fits is not None and reading.fits(*outlines)
    except (UnreadableConstantError, ValueError, LookupError):  # one is computed, or sparse
        return False


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


def _name(found: WeightUse, weight: str) -> str:
    name, part = layer_name(found.node, weight), found.part or found.node.part
    return f"{name}.{part}" if part else name


def _weight_name(origin: Value, chains: Chains) -> str:
    return (chains.leaf(origin) or origin).name


def _encoding(operand: Value, origin: Value, chains: Chains) -> Encoding:
    """Return how a weight is stored, and how its codes are scaled if it is stored in codes."""
    constants = chains.constants
    decoder = constants.decoder(operand)
    held = constants.stored_as(origin)
    below = constants.stored_as(chains.leaf(origin) or origin)
    if decoder is not None and is_code_type(below):
        held = below  # one expert of a table of codes
    if is_weight_type(below) and not is_weight_type(held):
        held = below  # it is rounded to integers on its way
    if decoder is None:
        scaled = is_weight_type(held) and not is_weight_type(below)
        return Encoding(below, "scaled") if scaled else Encoding(held)
    if decoder.op_type != "DequantizeLinear" or held in ("float64", "float32", "float16", "bfloat16"):
        return Encoding(held, rounded_by=decoder.op_type.replace("Dequantize", "Quantize"))
    block_size = decoder.attributes().get("block_size")
    scale = (*decoder.inputs, None)[1]
    one = scale is not None and constants.size(scale) == 1
    return Encoding(held, "block" if block_size else "per-tensor" if one else "per-channel", block_size)


def _weights_of(node: Node, operands: Operands, chains: Chains) -> Iterator[WeightUse]:
    """Yield every use of a weight by a node."""
    op = (node.domain, node.op_type)
    made = all(output in chains.constants for output in node.outputs)
    found = operands.found.get(node.index, ())
    for operand in found:
        if operand.reason or op not in READ:
            reason = operand.reason or f"{node.op} is not read by this version"
            yield WeightUse(node, operand.value, reason=reason)
    if op in READ:
        parts: dict[str, dict[int, Value]] = {} if op in SIDES or op in LOOKUPS else {"": {}}
        for operand in found:
            if not operand.reason:
                parts.setdefault(operand.part, {})[operand.position] = operand.value
        for part, weights in parts.items():
            yield from _readings(OpCall(node, chains.model, chains.constants, weights), part)
    elif op in REPORTED_ATTRIBUTES:
        name, reason = REPORTED_ATTRIBUTES[op]
        value = chains.model.attribute_values.get((node.index, name))
        if value is not None:
            yield WeightUse(node, value, reason=reason)
    elif op not in NEUTRAL and op not in REPORTED and node.index not in operands.passed and not made:
        reason = chains.model.closed.get(op, f"unknown operation {node.op}")
        yield from (WeightUse(node, value, reason=reason) for value in _unknown(node, chains))


def _readings(call: OpCall, part: str) -> Iterator[WeightUse]:
    node = call.node
    read = READ[node.domain, node.op_type]
    try:
        readings = list(read(call, **checked_attributes(node)))
        reason = f"this form of {node.op} is not read"
    except UnreadableConstantError as error:
        readings, reason = [], str(error)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        readings, reason = [], f"{node.op} has operands that do not fit: {error}"
    for reading in readings:
        operand = reading.operands[0]
        if operand is not None:
            whole = ".".join(filter(None, (part, reading.part)))
            yield WeightUse(node, operand, replace(reading, part=whole))
    if not readings:
        yield from (WeightUse(node, value, reason=reason) for value in call.weights.values())


def _unknown(node: Node, chains: Chains) -> Iterator[Value]:
    """Yield the constants of an operation that nobody knows, operands and attributes, that may be weights.

    These are floats or narrow codes along two axes, and flat ones that are longer than any axis of what the
    operation joins: neither one number for each entry there, as a bias is, nor a setting. An operand whose
    shape is not known may be as long as any tensor of the file.
    """
    constants, sizes = chains.constants, chains.spanning.shapes
    given = [value for value in node.inputs if value is not None]
    held = [*(value for value in given if value in constants), *chains.model.held.get(node.index, ())]
    shapes = {value: sizes.dims(value) for value in (*given, *node.outputs, *held)}
    flat = {value for value in held if (shape := shapes[value]) is not None and sum(map(_is_long, shape)) < 2}
    joined = (shape for value, shape in shapes.items() if value not in flat)
    unknown = sizes.longest_axis if None in map(shapes.get, given) else 1
    longest = max((size or 1 for shape in joined for size in shape or ()), default=1)
    for value in held:
        kind = constants.stored_as(constants.origin(value))
        may_be = value not in flat or constants.size(value) > max(longest, unknown)
        if may_be and (is_weight_type(kind) or is_code_type(kind)):
            yield value


def _is_long(size: int | None) -> bool:
    return size is None or size > 1
