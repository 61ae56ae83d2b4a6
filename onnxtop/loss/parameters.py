"""Which tensors of a model are its parameters: what training moved, and so what the loss is a function of.

Parameters are the operands and biases of weighted operations, the gain and shift of normalisation, the slopes
of PRelu and embeddings, found by the reader. An exporter that writes normalisation out in plain arithmetic
leaves gain, shift and learned positions as constants that are multiplied with or added to an activation;
such a table counts if the activation depends on a parameter already (which leaves out the scaling of the
input) and its values look trained: finite, below 1000, and no mask of two values.

Running statistics of BatchNormalization, shapes, axes, quantisation scales, integers and tables that were
probably never trained (filter banks) are no parameters.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from onnxtop.errors import ModelError
from onnxtop.reader.carriers import Carriers
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.encoding import is_weight_type
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.names import layer_name
from onnxtop.reader.ops import NORMALISATION, bias_positions
from onnxtop.statistics.fixed import probably_fixed

_STATISTICS = ("BatchNormalization", (3, 4))
_LARGEST = 1e3


@dataclass(frozen=True)
class Parameter:
    """A tensor of theta.

    Attributes
    ----------
    name
        Of the tensor in the model; an untied copy has ``#2``, ``#3`` behind it.
    role
        ``weight``, ``bias``, ``normalisation`` or ``table`` (a constant added to or multiplied with
        activations).
    layer
        Name of the layer or node that uses it first.
    shape
        As it is stored.
    start, stop
        Its place in theta.
    output_axis
        The axis along which a weight's entries belong to different outputs, None where there is no such.
    """

    name: str
    role: str
    layer: str
    shape: tuple[int, ...]
    start: int
    stop: int
    output_axis: int | None = None

    @property
    def slice(self) -> slice:
        """Its place in theta."""
        return slice(self.start, self.stop)

    @property
    def size(self) -> int:
        """How many elements it has."""
        return self.stop - self.start


@dataclass(frozen=True)
class Parameters:
    """The parameters of a model in graph order, tensors with several uses, and tables that are left out.

    ``quantised`` counts the weights that are stored in codes, and so are no parameters.
    """

    parameters: tuple[Parameter, ...]
    fixed: tuple[str, ...]
    quantised: int


@dataclass(frozen=True)
class _Candidate:
    value: Value
    role: str
    layer: str
    order: tuple[int, int]
    source: Layer | None = None


def find_parameters(model: Model) -> Parameters:
    """Find the parameters of a model.

    Raises
    ------
    onnxtop.errors.ModelError
        A weight's data is missing.
    """
    constants = Constants(model)
    carriers = Carriers(model, constants)
    layers = find_layers(model, constants)
    fixed = {layer.weight for layer in layers if isinstance(layer, Layer) and _is_fixed(layer)}
    chosen: dict[Value, _Candidate] = {}
    for candidate in _named(model, constants, layers):
        _take(candidate, chosen, carriers, fixed)
    for candidate in _tables(model, carriers, set(chosen)):
        _take(candidate, chosen, carriers, fixed)
    ordered = sorted(chosen.values(), key=lambda found: found.order)
    return Parameters(tuple(_placed(ordered, constants)), tuple(sorted(fixed)), _quantised(layers))


def _is_fixed(layer: Layer) -> bool:
    return layer.encoding.is_float and probably_fixed(layer.blocks()) is not None


def _quantised(layers: Iterable[Layer | Skipped]) -> int:
    return sum(
        layer.parameters for layer in layers if isinstance(layer, Layer) and not layer.encoding.is_plain
    )


def _take(
    candidate: _Candidate, chosen: dict[Value, _Candidate], carriers: Carriers, fixed: set[str]
) -> None:
    """Choose the tensors that a constant's elements come from, if they are floats."""
    constants = carriers.constants
    filled = constants.fills()  # a ConstantOfShape was never trained
    for source in carriers.leaves(candidate.value):
        if (
            source in chosen
            or source.name in fixed
            or source in filled
            or not _is_stored_float(source, constants)
        ):
            continue
        chosen[source] = replace(candidate, value=source)


def _is_stored_float(source: Value, constants: Constants) -> bool:
    return is_weight_type(constants.stored_as(source)) and not constants.stored_as(source).startswith(
        "float8"
    )


def _named(model: Model, constants: Constants, layers: Iterable[Layer | Skipped]) -> Iterator[_Candidate]:
    """Yield what the reader knows as weights, biases and normalisation parameters."""
    for layer in layers:
        if isinstance(layer, Skipped):
            continue
        index = layer.source.node.index
        position = layer.source.node.inputs.index(layer.source.reading.operands[0])
        if layer.source.reading.operands[0] is not None:
            yield _Candidate(layer.source.reading.operands[0], "weight", layer.name, (index, position), layer)
        if layer.source.bias is not None:
            yield _Candidate(layer.source.bias.value, "bias", layer.name, (index, 100))
    for node in model.nodes:
        op = (node.domain, node.op_type)
        yield from _at(node, bias_positions(node), "bias", constants)
        positions = [
            p
            for p in NORMALISATION.get(op, ())
            if not (node.op_type == _STATISTICS[0] and p in _STATISTICS[1])
        ]
        yield from _at(node, positions, "normalisation", constants)


def _at(node: Node, positions: Iterable[int], role: str, constants: Constants) -> Iterator[_Candidate]:
    for position in positions:
        value = node.inputs[position] if position < len(node.inputs) else None
        if value is not None and value in constants:
            yield _Candidate(value, role, layer_name(node, value.name), (node.index, position))


def _tables(model: Model, carriers: Carriers, parameters: set[Value]) -> Iterator[_Candidate]:
    """Yield constants that look trained and meet, in plain arithmetic, what depends on a parameter."""
    constants = carriers.constants
    depends = set(parameters)
    for node in model.nodes:
        if not any(value in depends for value in node.inputs):
            continue
        depends.update(node.outputs)
        if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.domain:
            continue
        for position, value in enumerate(node.inputs):
            other = node.inputs[1 - position]
            if (
                value in constants
                and other not in constants
                and value is not None
                and _looks_trained(value, carriers)
            ):
                yield _Candidate(value, "table", layer_name(node, value.name), (node.index, position))


def _looks_trained(value: Value, carriers: Carriers) -> bool:
    sources, constants = carriers.leaves(value), carriers.constants
    if len(sources) != 1 or not _is_stored_float(sources[0], constants):
        return False
    try:
        array = np.asarray(constants.read(sources[0]), np.float64)
    except UnreadableConstantError:
        return False
    if array.size < 2 or not np.isfinite(array).all() or np.abs(array).max() >= _LARGEST:
        return False
    return sum(size > 1 for size in array.shape) < 2 or len(np.unique(array)) > 2


def _placed(candidates: Iterable[_Candidate], constants: Constants) -> Iterator[Parameter]:
    start = 0
    for found in candidates:
        try:
            constants.require_data(found.value)
        except UnreadableConstantError as error:
            raise ModelError(f"wanted the weights {found.value.name!r}, but {error}") from None
        shape = constants.shape(found.value)
        stop = start + math.prod(shape)
        axis = None if found.source is None else _output_axis(found.source, shape, found.value, constants)
        yield Parameter(found.value.name, found.role, found.layer, shape, start, stop, axis)
        start = stop


def _output_axis(layer: Layer, shape: tuple[int, ...], value: Value, constants: Constants) -> int | None:
    """Return the axis of a stored weight that its outputs stand along."""
    if layer.is_convolution:
        return 1 if layer.op_type.endswith("ConvTranspose") else 0
    if len(shape) == 3 and layer.op_type in ("GRU", "LSTM", "RNN"):
        return 1
    if len(shape) != 2 or shape not in ((layer.n_in, layer.n_out), (layer.n_out, layer.n_in)):
        return None
    if layer.n_in != layer.n_out:
        return 1 if shape == (layer.n_in, layer.n_out) else 0
    blocks = layer.blocks()
    return 1 if len(blocks) == 1 and np.array_equal(blocks[0], constants.read(value)) else 0
