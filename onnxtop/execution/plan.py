"""What the inputs of a model are given where nothing else is: shapes, and ranges of what picks entries."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import numpy as np

from onnxtop.errors import FormatError, ModelError
from onnxtop.execution.job import Given
from onnxtop.reader.declared import Declared, Shape
from onnxtop.reader.model import Model, Node, Value
from onnxtop.reader.ops.tables import LOOKUPS, SIZES
from onnxtop.reader.skeleton import infer_shapes
from onnxtop.results.run import RunInput

_GUESSES = (
    *((1, 64, 8), (1, 224, 16), (1, 32, 1), (1, 256, 128)),
    *((1, 512, 512), (1, 64, 4000), (1, 8, 4), (1, 28, 28), (64, 64, 64), (128, 128, 128)),
)
"""Sizes tried for what is open: along the first axis, mostly the batch, along images, along anything else."""
_LONG = 100
"""Of the first axis where the others fit the weights, as in a network over time without a batch."""
_CHANNELS = 3
_RANKS = (
    *((1, 3, 64, 64), (1, 8), (8,), (1, 8, 8), (), (1, 512)),
    *((1, 1, 28, 28), (1, 28, 28), (64, 64), (128, 128)),
)
"""Shapes tried where not even the rank is declared."""
_MOST_HINTS = 12
_DIGITS = 18
"""Of a size within a dimension's name, at most: an int64 holds all of these."""
_UNKNOWN = 2
"""Entries that are taken to be there where nobody knows how many are."""


def ranges(model: Model) -> dict[str, int]:
    """Return, by input, how many entries what it picks from has: the fewest, if it picks from several."""
    shapes = infer_shapes(model)
    found = {}
    for start in model.inputs:
        least = min(_picked_from(model, start, shapes), default=None)
        if least is not None:
            found[start.name] = least
    return found


def spans(model: Model) -> dict[str, tuple[float, float]]:
    """Return, by input, what the codes that it is rounded to can hold: what lies outside is cut off."""
    found = {}
    for value in model.inputs:
        for use in model.users.get(value, ()):
            span = None
            with contextlib.suppress(FormatError):  # onnxruntime says what it makes of such codes
                span = _span(model, use.node) if use.position == 0 else None
            if span is not None:
                found[value.name] = span
    return found


def _span(model: Model, node: Node) -> tuple[float, float] | None:
    if node.op_type != "QuantizeLinear" or len(node.inputs) < 3:
        return None
    held = [None if value is None else model.tensors.get(value) for value in node.inputs[1:3]]
    if held[0] is None or held[1] is None or any(model.files.is_beside(each) for each in held if each):
        return None
    scale, zero = (model.files.wanted(each) for each in held if each is not None)
    if scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu" or zero.dtype.itemsize > 2:
        return None
    limits = np.iinfo(zero.dtype)
    low, high = ((limit - int(zero.item())) * float(scale.item()) for limit in (limits.min, limits.max))
    return (low, high) if np.isfinite([low, high]).all() and low < high else None


def hints(model: Model) -> tuple[int, ...]:
    """Return sizes that open axes may have to fit: those of the first weights."""
    operands = dict.fromkeys(value for node in model.nodes for value in node.inputs)
    held = (model.tensors.get(value) for value in operands if value is not None)
    shapes = (tensor.dims for tensor in held if tensor is not None)
    sizes = dict.fromkeys(size for shape in shapes if len(shape) > 1 for size in shape if size > 1)
    return tuple(sizes)[:_MOST_HINTS]


def _picked_from(model: Model, start: Value, shapes: Mapping[str, Shape]) -> Iterator[int]:
    """Yield the length of every axis that an input, or what is made of it, picks entries of."""
    reached = {start}
    for node in model.nodes:
        if (node.domain, node.op_type) in LOOKUPS:
            if len(node.inputs) > 1 and node.inputs[1] in reached:
                yield _length(model, node, shapes) or _UNKNOWN
            if node.inputs and node.inputs[0] in reached:
                reached.update(node.outputs)
        elif (node.domain, node.op_type) not in SIZES and any(value in reached for value in node.inputs):
            reached.update(node.outputs)


def _length(model: Model, node: Node, shapes: Mapping[str, Shape]) -> int | None:
    data = node.inputs[0]
    if data is None:
        return None
    shape = tuple(model.tensors[data].dims) if data in model.tensors else shapes.get(data.name, ())
    axis = next((each.i for each in node.proto.attribute if each.name in ("axis", "gather_axis")), 0)
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def given(
    inputs: Sequence[tuple[Declared | None, ...]],
    shapes: Sequence[Shape | None],
    bounds: Mapping[str, int],
    spans: Mapping[str, tuple[float, float]],
    sizes: Sequence[int],
    input_shapes: Mapping[str, tuple[int, ...]],
    dims: Mapping[str, int],
) -> tuple[Given, ...]:
    """Return what to give each input, declared by one or two models, in one of several sets of shapes.

    ``sizes`` are tried where axes are open, behind those that are tried always.

    Raises
    ------
    ModelError
        An input is no tensor, or of a type that is not known.
    """
    firsts = [next(each for each in pair if each is not None) for pair in inputs]
    fitting = [(first, size) for first in (1, _LONG) for size in sizes]
    guesses = [*_GUESSES, *((first, size, size) for first, size in fitting)]
    ranks = [*_RANKS, *fitting]
    tries = [
        _sized(firsts, shapes, guess, input_shapes, dims, rank)
        for guess, rank in zip(guesses, ranks, strict=True)
    ]
    different = list(dict.fromkeys(tuple(each) for each in tries))
    if any(each.dtype is not None and each.dtype.kind in "iu" for each in firsts):
        different += different[:1] * 2  # once more with integers of 0 and 1, and of 0
    return tuple(
        Given(
            names=tuple(None if each is None else each.name for each in pair),
            types=tuple(_type(each or firsts[place]) for each in pair),
            shape=shapes[place],
            tries=tuple(each[place] for each in different),
            bound=bounds.get(firsts[place].name),
            span=next((spans[each.name] for each in pair if each and each.name in spans), None),
        )
        for place, pair in enumerate(inputs)
    )


def _type(declared: Declared) -> str:
    if declared.dtype is None:
        raise ModelError(f"input {declared.name!r} is {declared}: only tensors are made for a run")
    return "object" if declared.dtype.hasobject or declared.dtype.kind in "US" else declared.dtype.name


def _sized(
    declared: Sequence[Declared],
    shapes: Sequence[Shape | None],
    guess: tuple[int, int, int],
    input_shapes: Mapping[str, tuple[int, ...]],
    dims: Mapping[str, int],
    rank: tuple[int, ...],
) -> list[tuple[int, ...]]:
    """Return a shape for every input; a name stands for one size in all of them."""
    named = dict(dims)
    found = []
    for each, shape in zip(declared, shapes, strict=True):
        if each.name in input_shapes:
            found.append(tuple(input_shapes[each.name]))
        elif shape is None:
            found.append(rank)
        else:
            names = each.names or ("",) * len(shape)
            sizes = zip(count(), shape, names, strict=False)
            found.append(
                tuple(
                    _size(name, _guessed(each, shape, axis, guess), named) if size is None else size
                    for axis, size, name in sizes
                )
            )
    return found


def _guessed(declared: Declared, shape: Shape, axis: int, guess: tuple[int, int, int]) -> int:
    first, along, other = guess
    if axis == 0:
        return first
    if (
        len(shape) < 4
        or declared.dtype is None
        or (declared.dtype.kind in "iu" and declared.dtype.itemsize > 1)
    ):
        return other
    return _CHANNELS if axis == 1 and shape[2] is None and shape[3] is None else along


def _size(name: str, guessed: int, named: dict[str, int]) -> int:
    """Return the size of a named dimension: known, the sum that its name says, or guessed now."""
    if not name:
        return guessed
    if name not in named:
        parts = [part.strip() for part in name.split("+")]
        known = [int(part) if _is_size(part) else named.get(part) for part in parts]
        named[name] = sum(size for size in known if size is not None) if None not in known else guessed
    return named[name]


def _is_size(part: str) -> bool:
    """Tell whether a part of a dimension's name is a number; what no size can be is a name."""
    return part.isdecimal() and len(part) <= _DIGITS


def told(inputs: Sequence[Given], declared: Sequence[Declared], chosen: int, data: bool) -> list[RunInput]:
    """Say what each input was given."""
    return [
        RunInput(
            each.name,
            each.types[0],
            each.tries[min(chosen, len(each.tries) - 1)],
            "samples" if data else _drawn(each, chosen),
            () if data else tuple(_assumed(each, own, chosen)),
            not data and _is_guess(each),
        )
        for each, own in zip(inputs, declared, strict=True)
    ]


def _is_guess(each: Given) -> bool:
    """Tell whether the values may be others than the model wants: integers of which nothing is known."""
    dtype = np.dtype(each.types[0])
    return dtype.kind in "iu" and dtype.itemsize > 1 and each.bound is None


def _assumed(each: Given, declared: Declared, chosen: int) -> Iterator[str]:
    taken = each.tries[chosen]
    if each.shape is None:
        yield "shape"
        return
    for axis, (size, is_open) in enumerate(zip(taken, each.shape, strict=False)):
        if is_open is None:
            name = declared.names[axis] if axis < len(declared.names) else ""
            if name != "0":
                yield f"{name or f'axis {axis}'}={size}"


def _drawn(each: Given, chosen: int) -> str:
    dtype = np.dtype(each.types[0])
    if dtype.kind == "b":
        return "true, and both"
    if dtype.hasobject:
        return "words"
    if dtype.kind in "iu" or "int" in dtype.name:
        if chosen:
            return "0" if chosen == len(each.tries) - 1 else "0 and 1"
        if each.bound is not None:
            return f"whole numbers below {each.bound}"
        return "every number of the type" if dtype.itemsize == 1 else "small whole numbers"
    if each.span is not None:
        return f"from {each.span[0]:.4g} to {each.span[1]:.4g}, what its codes hold"
    return "normal, 0 to 1, and wide"
