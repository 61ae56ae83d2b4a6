"""One way to write an operation: attributes that say the same in another way, or in another opset.

Defaults are filled in, attributes that became operands are operands, axes count from the front, padding is
explicit. An operation whose meaning moved with the opset keeps its version (see `earlier.meaning`).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from onnxtop.reader.earlier import meaning
from onnxtop.reader.forms import equal_pieces
from onnxtop.reader.schemas import has_default_activations, history, schema
from onnxtop.reader.terms.call import MARK, NEWEST, Call
from onnxtop.reader.terms.table import Table
from onnxtop.reader.terms.types import types_of
from onnxtop.windows import SAME, Window

VERSION = MARK + "version"

_CALLED = {("Pad", "value"): "constant_value", ("Pad", "paddings"): "pads"}
"""Operands that were attributes of another name."""
_NOT_ALONG = frozenset({"ConcatFromSequence", "OneHot"})
"""Operations whose ``axis`` is not one of their first operand."""


def was_attribute(op: str, place: int) -> bool:
    """Tell whether an operand was an attribute in an earlier opset: a setting, as the bounds of Clip.

    >>> was_attribute("Clip", 1), was_attribute("Add", 1)
    (True, False)
    """
    if not onnx.defs.has(op) or place >= len(inputs := schema(op, NEWEST).inputs):
        return False
    return any(_CALLED.get((op, name), name) == inputs[place].name for name in _attributes_ever(op))


@functools.cache
def _attributes_ever(op: str) -> frozenset[str]:
    """Return the attributes that an operation has or had."""
    return frozenset(name for each in history(op) for name in each.attributes)


def canonical(table: Table, call: Call) -> Call:
    """Return an operation of the standard in its one form; others as they are."""
    if not call.is_standard or not onnx.defs.has(call.op):
        return call
    call = _without(call, "consumed_inputs")
    version = _version(table, call)
    call = with_defaults(call, call.opset)
    if version:
        return replace(call, attributes={**call.attributes, VERSION: version})
    call = _without(call, "broadcast")
    call = with_defaults(_with_operands(table, call), NEWEST)
    call = call if call.opset == NEWEST else replace(call, opset=NEWEST)
    call = _with_axis(table, call)
    for change in _own(call.op):
        call = change(table, call)
    return call


def _version(table: Table, call: Call) -> int:
    """Return what tells an operation apart from today's, 0 if nothing does."""
    if call.get("broadcast") and "axis" in call.attributes:
        return 6
    version = meaning(call.op, call.opset)
    if call.op in ("Softmax", "LogSoftmax", "Hardmax") and version:
        shape = table.shape(call.operand(0))
        last = (-1,) if shape is None else (-1, len(shape) - 1)
        return 0 if call.get("axis", 1) in last else version
    if call.op == "BatchNormalization" and version:
        plain = call.results == 1 and call.get("spatial", 1) and (call.opset >= 7 or call.get("is_test"))
        return 0 if plain else version
    if call.op == "AveragePool" and call.opset < 19 and _may_round_up(table, call):
        return 10
    return 0 if call.op == "Split" else version


def with_defaults(call: Call, opset: int) -> Call:
    """Return a call with the attributes that go without saying in an opset."""
    defaults = _defaults(call.op, opset)
    if defaults.keys() <= call.attributes.keys():
        return call
    return replace(call, attributes={**defaults, **call.attributes})


@functools.cache
def _defaults(op: str, opset: int) -> Mapping[str, Any]:
    defaults = {
        name: onnx.helper.get_attribute_value(item.default_value)
        for name, item in schema(op, opset).attributes.items()
        if item.default_value.name
    }
    return {name: tuple(value) if isinstance(value, list) else value for name, value in defaults.items()}


@functools.cache
def _places(op: str) -> tuple[Mapping[str, int], frozenset[str]]:
    """Return the operands of today's operation by their names, and its attributes."""
    newest = schema(op, NEWEST)
    places = {item.name.lower(): place for place, item in enumerate(newest.inputs)}
    return places, frozenset(newest.attributes)


def _with_operands(table: Table, call: Call) -> Call:
    """Make operands of the attributes that are operands today."""
    places, kept = _places(call.op)
    if kept.issuperset(call.attributes):
        return call
    attributes, operands = dict(call.attributes), list(call.operands)
    for name in sorted(call.attributes):
        place = places.get(_CALLED.get((call.op, name), name).lower())
        if name in kept or place is None:
            continue
        value = attributes.pop(name)
        operands += [None] * (place + 1 - len(operands))
        operands[place] = table.constant(_number(table, call, value))
    return replace(call, attributes=attributes, operands=tuple(operands))


def _number(table: Table, call: Call, value: Any) -> Any:
    if isinstance(value, float):
        return np.array(value, table.dtype(call.operand(0)) or np.float32)
    return np.array([value] if call.op == "TopK" else value, np.int64)


def _with_axis(table: Table, call: Call) -> Call:
    """Count the axis from the front."""
    shape, axis = table.shape(call.operand(0)), call.get("axis")
    if shape is None or not isinstance(axis, int) or axis >= 0 or call.op in _NOT_ALONG:
        return call
    return replace(call, attributes={**call.attributes, "axis": axis + len(shape)})


def _without(call: Call, *names: str) -> Call:
    if not any(name in call.attributes for name in names):
        return call
    return replace(call, attributes={k: v for k, v in call.attributes.items() if k not in names})


def _normalised(table: Table, call: Call) -> Call:
    if call.results > 1 or call.get("training_mode"):
        return call
    return _without(call, "momentum", "spatial", "is_test")


def _reduced(table: Table, call: Call) -> Call:
    """Name the axes, in order."""
    shape, held = table.shape(call.operand(0)), table.held(call.operand(1))
    named = call.operand(1) is not None and (held is None or held.size > 0)
    if shape is None or (named and held is None) or (not named and call.get("noop_with_empty_axes")):
        return call
    axes = sorted(int(axis) % len(shape) for axis in held.read()) if held and named else range(len(shape))
    operands = (call.operands[0], table.constant(np.array(list(axes), np.int64)))
    return replace(call, operands=operands, attributes={**call.attributes, "noop_with_empty_axes": 0})


def _operands(call: Call, changed: Mapping[int, int | None]) -> Call:
    """Return a call with some operands changed, and none that are left out at its end."""
    operands = [changed.get(place, item) for place, item in enumerate(call.operands)]
    while operands and operands[-1] is None:
        operands.pop()
    return replace(call, operands=tuple(operands))


def _clipped(table: Table, call: Call) -> Call:
    """Leave out bounds that no number exceeds."""
    free: dict[int, int | None] = {}
    for place in (1, 2):
        held = table.held(call.operand(place))
        if held is not None and held.is_number and held.dtype == np.float32:
            limit = float(np.finfo(np.float32).max)
            if held.number == (-limit if place == 1 else limit):
                free[place] = None
    return _operands(call, free)


def _padded(table: Table, call: Call) -> Call:
    """Leave out a value of 0, and any where none is added."""
    held = table.held(call.operand(2))
    idle = call.get("mode") != b"constant" or (held is not None and held.is_number and held.number == 0)
    return _operands(call, {2: None} if idle else {})


def _sliced(table: Table, call: Call) -> Call:
    """Name the axes, from the front where the rank is known; steps of 1 go without saying."""
    shape = table.shape(call.operand(0))
    starts, axes, steps = (table.held(call.operand(place)) for place in (1, 3, 4))
    if call.operand(3) is not None and axes is None:
        return call
    kinds = {table.dtype(item) for item in call.operands[1:]} - {None}
    if len(kinds) > 1:  # which is no Slice, and must not become one
        return call
    count = starts.size if starts is not None else 0
    named = axes.read().ravel() if axes is not None else np.arange(count)
    if shape is not None and len(shape):
        named = named % len(shape)
    operands = list(call.operands) + [None] * (5 - len(call.operands))
    kind = next(iter(kinds), np.dtype(np.int64))
    operands[3] = table.constant(named.astype(kind)) if named.size else operands[3]
    if steps is not None and (steps.read() == 1).all():
        operands[4] = None
    return _operands(replace(call, operands=tuple(_in_one_type(table, operands))), {})


def _in_one_type(table: Table, operands: Sequence[int | None]) -> list[int | None]:
    """Return a Slice's operands with its places in int64, where all of them are known int32."""
    held = {item: table.held(item) for item in operands[1:] if item is not None}
    numbers = {item: each.read() for item, each in held.items() if each is not None}
    if len(numbers) < len(held) or any(array.dtype != np.int32 for array in numbers.values()):
        return list(operands)
    wide = {item: table.constant(array.astype(np.int64)) for item, array in numbers.items()}
    return [operands[0], *(None if item is None else wide[item] for item in operands[1:])]


_FLOATS_OF_8_BITS = [kind for name, kind in onnx.TensorProto.DataType.items() if name.startswith("FLOAT8")]


def _cast(table: Table, call: Call) -> Call:
    """Leave out what is said of 8-bit floats alone."""
    to = call.get("to")
    return call if to in _FLOATS_OF_8_BITS else _without(call, "saturate", "round_mode")


def _split(table: Table, call: Call) -> Call:
    """Name the sizes of the pieces, where they are known."""
    attributes = {**_without(call, "num_outputs").attributes, MARK + "results": call.results}
    call = replace(call, attributes=attributes)
    shape, axis = table.shape(call.operand(0)), call.get("axis", 0)
    size = shape[axis] if shape is not None and 0 <= axis < len(shape) else None
    if call.operand(1) is not None or not size:
        return call
    sizes = equal_pieces(size, call.results)
    if sizes[-1] < 0:
        return call
    return replace(call, operands=(call.operands[0], table.constant(np.array(sizes, np.int64))))


def _scaled(table: Table, call: Call) -> Call:
    """Leave out the axis of one scale for all."""
    return _without(call, "axis") if table.shape(call.operand(1)) == () else call


def _window(table: Table, call: Call) -> Call:
    """Write strides, dilations and padding out."""
    weight = table.shape(call.operand(1)) if call.op not in _POOLS else None
    kernel = call.get("kernel_shape") if weight is None else weight[2:]
    if not kernel or None in kernel:
        return call
    ones = (1,) * len(kernel)
    attributes = {"strides": ones, "dilations": ones, **call.attributes}
    pads = _pads(table.shape(call.operand(0)), kernel, attributes, call.op)
    if pads is not None:
        attributes.update(auto_pad=b"NOTSET", pads=pads)
    if weight is not None and attributes.get("kernel_shape", kernel) == kernel:
        attributes.pop("kernel_shape", None)
    return replace(call, attributes=attributes)


_POOLS = frozenset({"AveragePool", "MaxPool"})


def _pads(shape: Any, kernel: Any, attributes: Mapping[str, Any], op: str) -> tuple[int, ...] | None:
    """Return the padding as numbers, None where the sizes that tell it are not known."""
    rule = attributes.get("auto_pad", b"NOTSET")
    if rule in (b"NOTSET", b""):
        return tuple(attributes.get("pads", (0,) * 2 * len(kernel)))
    if rule == b"VALID":
        return (0,) * 2 * len(kernel)
    if rule not in SAME or op == "ConvTranspose":
        return None
    if shape is None or None in shape[2:] or len(shape) != len(kernel) + 2:
        return None
    steps = zip(shape[2:], kernel, attributes["strides"], attributes["dilations"], strict=True)
    along = [(size, Window(taps, stride, gap, auto_pad=rule)) for size, taps, stride, gap in steps]
    sides = [window.sides(size, window.result(size)) for size, window in along]
    before, behind = zip(*sides, strict=True)
    return (*before, *behind)


def _pooled(table: Table, call: Call) -> Call:
    """Leave out what makes no difference: an order of places that no result tells, a border that is empty."""
    if not _may_round_up(table, call):
        call = replace(call, attributes={**call.attributes, "ceil_mode": 0})
    explicit = call.get("auto_pad", b"NOTSET") == b"NOTSET" and not call.get("ceil_mode")
    if call.op == "AveragePool" and explicit and not any(call.get("pads", (1,))):
        return replace(call, attributes={**call.attributes, "count_include_pad": 0})
    return call if call.results > 1 else _without(call, "storage_order")


def _may_round_up(table: Table, call: Call) -> bool:
    """Tell whether ``ceil_mode`` may make a pool's result larger."""
    if not call.get("ceil_mode"):
        return False
    floor = replace(call, attributes={**call.attributes, "ceil_mode": 0})
    one, other = (types_of(table, each)[0] for each in (call, floor))
    return one is None or one.shape is None or None in one.shape or one != other


_STATES = (5, 6)
"""Where a recurrent operation takes what it starts with."""


def _recurrent(table: Table, call: Call) -> Call:
    """Leave out activations that go without saying, and states, biases and peepholes of zeros."""
    if has_default_activations(call.op, call.attributes):
        call = _without(call, "activations")
    held = {place: table.held(call.operand(place)) for place in (3, *_STATES, 7)}
    zeros = [place for place, item in held.items() if item is not None and not item.read().any()]
    return _operands(call, dict.fromkeys(zeros))


_Change = Callable[[Table, Call], Call]
_OWN: dict[str, tuple[_Change, ...]] = {
    "AveragePool": (_window, _pooled),
    "BatchNormalization": (_normalised,),
    "Cast": (_cast,),
    "Clip": (_clipped,),
    "Conv": (_window,),
    "ConvInteger": (_window,),
    "ConvTranspose": (_window,),
    "DequantizeLinear": (_scaled,),
    "GRU": (_recurrent,),
    "LSTM": (_recurrent,),
    "MaxPool": (_window, _pooled),
    "QuantizeLinear": (_scaled,),
    "RNN": (_recurrent,),
    "Pad": (_padded,),
    "Slice": (_sliced,),
    "Split": (_split,),
}


def _own(op: str) -> tuple[_Change, ...]:
    return (_reduced,) if op.startswith("Reduce") else _OWN.get(op, ())
