"""Which tensors of a model are its parameters: what training moved, and so what the loss is a function of.

Parameters are the operands and biases of weighted operations, the gain and shift of normalisation, the slopes
of PRelu and embeddings, found by the reader. An exporter that writes normalisation out in plain arithmetic
leaves gain, shift and learned positions as constants that are multiplied with or added to an activation, or
to a weight (the gain of weight norm); such a table counts if what it meets depends on a parameter already
(which leaves out the scaling of the input) and its values look trained: finite, below 1000, and no mask.

Running statistics of BatchNormalization, shapes, axes, quantisation scales, integers and tables that were
probably never trained (filter banks) are no parameters.
"""

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onnxtop.errors import ModelError
from onnxtop.gradient.expansions import EXPANSIONS
from onnxtop.gradient.rules import RULES
from onnxtop.reader.account import Entry, Role, account
from onnxtop.reader.carriers.chains import Chains, chains_of
from onnxtop.reader.constants import Constants, UnreadableConstantError
from onnxtop.reader.encoding import is_weight_type
from onnxtop.reader.layer import Layer, Skipped
from onnxtop.reader.layers import find_layers
from onnxtop.reader.model import Model, Value
from onnxtop.reader.names import layer_name
from onnxtop.reader.schemas import RECURRENT
from onnxtop.statistics.fixed import probably_fixed

_STATISTICS = (("BatchNormalization", 3), ("BatchNormalization", 4))
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
    """The parameters of a model in graph order.

    ``left_out`` holds the other tensors of floats that may have been trained, by why they are no parameters;
    ``quantised`` counts the weights that are stored in codes, and so are none.
    """

    parameters: tuple[Parameter, ...]
    left_out: Mapping[str, tuple[str, ...]]
    quantised: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What is no parameter, and why."""
        codes = [f"{self.quantised} weights are stored in codes"] if self.quantised else []
        others = [f"{_few(names)}: {reason}" for reason, names in self.left_out.items()]
        return tuple(f"not among the parameters: {what}" for what in (*codes, *others))


@dataclass(frozen=True)
class _Candidate:
    entry: Entry
    role: str
    layer: str

    @property
    def order(self) -> tuple[int, int]:
        """Where the tensor is used first."""
        node = self.entry.node
        return (node.index if node else 0), self.entry.position


def find_parameters(model: Model) -> Parameters:
    """Find the parameters of a model.

    Raises
    ------
    onnxtop.errors.ModelError
        A weight's data is missing.
    """
    constants = Constants(model)
    chains = chains_of(model, constants)["certain"]
    layers = find_layers(model, constants)
    fixed = {layer.weight for layer in layers if isinstance(layer, Layer) and _is_fixed(layer)}
    entries = [
        entry for entry in account(model, constants, layers).entries if _is_stored_float(entry, constants)
    ]
    left_out: dict[str, list[str]] = {}
    chosen: list[_Candidate] = []
    for entry in entries:
        if entry.role in _ROLES and not _is_statistic(entry):
            reason = _why_not(entry, fixed, chains)
            if reason:
                left_out.setdefault(reason, []).append(entry.value.name)
            else:
                chosen.append(_Candidate(entry, _ROLES[entry.role], _layer_of(entry)))
    known = {candidate.entry.value for candidate in chosen}
    others = {entry.value: entry for entry in entries if entry.role is Role.OTHER}
    chosen += _tables(model, chains, known, others)
    ordered = sorted(chosen, key=lambda candidate: candidate.order)
    return Parameters(
        tuple(_placed(ordered, constants)),
        {reason: tuple(names) for reason, names in sorted(left_out.items())},
        _quantised(layers),
    )


def _few(names: Sequence[str]) -> str:
    """Return up to three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


_ROLES = {
    Role.ANALYSED: "weight",
    Role.SKIPPED: "weight",
    Role.BIAS: "bias",
    Role.NORMALISATION: "normalisation",
}
"""What the bins of the account that hold parameters are called."""


def _is_fixed(layer: Layer) -> bool:
    return layer.encoding.is_float and probably_fixed(layer.blocks()) is not None


def _quantised(layers: Iterable[Layer | Skipped]) -> int:
    return sum(
        layer.parameters for layer in layers if isinstance(layer, Layer) and not layer.encoding.is_plain
    )


def _is_statistic(entry: Entry) -> bool:
    """Tell whether a tensor holds a running mean or variance, which no gradient moves."""
    return entry.node is not None and (entry.node.op_type, entry.position) in _STATISTICS


def _why_not(entry: Entry, fixed: Container[str], chains: Chains) -> str:
    """Return why a weight, bias or normalisation parameter is none of theta, "" if it is one."""
    if chains.constants.is_fill(entry.value):
        return "filled with one number"
    if entry.value.name in fixed:
        return "probably never trained"
    operand = _operand(entry)
    chain = chains.chain(chains.constants.base(operand)) if operand else None
    if chain and len(chain.leaves) > 1 and _is_mask(entry.value, chains.constants):
        return "a mask of zeros and ones"
    for node in chain.nodes if chain else ():
        if not {(node.domain, node.op_type)} & {*RULES, *EXPANSIONS}:
            return f"no gradient goes through {node.op}, which changes it"
    return ""


def _is_mask(value: Value, constants: Constants) -> bool:
    """Tell whether a tensor says which entries of another are kept; zeros alone may be a low-rank factor."""
    try:
        array = constants.read(value)
    except UnreadableConstantError:
        return False
    return bool(array.any() and ((array == 0) | (array == 1)).all())


def _operand(entry: Entry) -> Value | None:
    """Return the operand that a weight carries."""
    if isinstance(entry.layer, Skipped):
        return entry.layer.operand
    if entry.role is Role.ANALYSED and entry.layer is not None:
        return entry.layer.source.reading.operands[0]
    return None


def _layer_of(entry: Entry) -> str:
    if entry.layer is not None:
        return entry.layer.name
    assert entry.node is not None
    return layer_name(entry.node, entry.value.name)


def _is_stored_float(entry: Entry, constants: Constants) -> bool:
    held = constants.stored_as(entry.value)
    return is_weight_type(held) and not held.startswith("float8")


def _tables(
    model: Model, chains: Chains, parameters: Iterable[Value], others: Mapping[Value, Entry]
) -> Iterator[_Candidate]:
    """Yield constants that look trained and meet, in plain arithmetic, what depends on a parameter."""
    depends = set(parameters)
    seen: set[Value] = set()
    for node in model.nodes:
        if not any(value in depends for value in node.inputs):
            continue
        depends.update(node.outputs)
        if node.op_type not in ("Add", "Sub", "Mul", "Div") or node.domain or len(node.inputs) != 2:
            continue
        for position, value in enumerate(node.inputs):
            other = node.inputs[1 - position]
            if value is None or value not in chains.constants or value in depends:
                continue
            if other in chains.constants and other not in depends:
                continue
            sources = [source for source in chains.leaves(value) if source in others]
            if len(sources) == 1 and sources[0] not in seen and _looks_trained(sources[0], chains.constants):
                seen.add(sources[0])
                entry = replace(others[sources[0]], node=node, position=position)
                yield _Candidate(entry, "table", layer_name(node, value.name))


def _looks_trained(source: Value, constants: Constants) -> bool:
    if constants.is_fill(source):
        return False
    try:
        array = np.asarray(constants.read(source), np.float64)
    except UnreadableConstantError:
        return False
    if array.size < 2 or not np.isfinite(array).all() or np.abs(array).max() >= _LARGEST:
        return False
    if _is_mask(source, constants) and not array.all():
        return False
    return sum(size > 1 for size in array.shape) < 2 or len(np.unique(array)) > 2


def _placed(candidates: Iterable[_Candidate], constants: Constants) -> Iterator[Parameter]:
    start = 0
    for found in candidates:
        value, layer = found.entry.value, found.entry.layer
        try:
            constants.require_data(value)
        except UnreadableConstantError as error:
            raise ModelError(f"wanted the weights {value.name!r}, but {error}") from None
        shape = constants.shape(value)
        stop = start + math.prod(shape)
        weight = isinstance(layer, Layer) and found.entry.role is Role.ANALYSED
        axis = _output_axis(layer, shape, value, constants) if isinstance(layer, Layer) and weight else None
        yield Parameter(value.name, found.role, found.layer, shape, start, stop, axis)
        start = stop


def _output_axis(layer: Layer, shape: tuple[int, ...], value: Value, constants: Constants) -> int | None:
    """Return the axis of a stored weight that its outputs stand along."""
    if layer.is_convolution:
        return 1 if layer.op_type.endswith("ConvTranspose") else 0
    if len(shape) == 3 and layer.op_type in RECURRENT:
        return 1
    if len(shape) != 2 or shape not in ((layer.n_in, layer.n_out), (layer.n_out, layer.n_in)):
        return None
    if layer.n_in != layer.n_out:
        return 1 if shape == (layer.n_in, layer.n_out) else 0
    blocks = layer.blocks()
    return 1 if len(blocks) == 1 and np.array_equal(blocks[0], constants.read(value)) else 0
