"""Values of Python as bytes and back, whole: frozen classes, tuples, arrays, floats to the last bit.

First comes a line of JSON, then the numbers of all arrays. JSON has no tuples, classes or arrays: what is one
becomes a list that begins with a letter for its kind. Nothing is made on the way back but values of these
kinds and of the classes that the caller names: no code is looked up by what a file says.
"""

import base64
import dataclasses
import functools
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

_PLAIN = (type(None), bool, int, float, str)
_NUMBERS = "biuf"
"""Kinds of NumPy's types that are numbers and nothing else."""


def dumps(value: Any) -> bytes:
    r"""Return a value of plain, frozen or array types as bytes.

    Raises
    ------
    TypeError
        It holds something else.

    Examples
    --------
    >>> dumps((1.5, {"a": (2, None)}))
    b'["t",1.5,["m",["a",["t",2,null]]]]\n'
    """
    numbers = bytearray()
    text = json.dumps(_packed(value, numbers), separators=(",", ":"))
    return text.encode() + b"\n" + numbers


def loads(data: bytes | bytearray, classes: Mapping[str, type]) -> Any:
    """Return the value that `dumps` made bytes of, with the classes in it by their names (see `classes_of`).

    Raises
    ------
    ValueError
        It was made of something else, or with other classes.

    Examples
    --------
    >>> loads(dumps((1.5, {"a": (2, None)})), {})
    (1.5, {'a': (2, None)})
    """
    end = data.find(b"\n")
    text, numbers = (data, b"") if end < 0 else (data[:end], memoryview(data)[end + 1 :])
    try:
        return _Reader(classes, memoryview(numbers)).read(json.loads(text))
    except (TypeError, LookupError, ArithmeticError, RecursionError, AttributeError) as error:
        raise ValueError(f"wanted a value that was remembered, found another: {error}") from None


def _packed(value: Any, numbers: bytearray) -> Any:
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if kind in _LETTERS:
        return [_LETTERS[kind], *(_packed(item, numbers) for item in value)]
    if isinstance(value, Enum):
        return ["e", kind.__name__, value.name]
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return ["c", kind.__name__, *(_packed(getattr(value, name), numbers) for name in _fields(kind))]
    if isinstance(value, Mapping):
        return ["m", *([_packed(key, numbers), _packed(item, numbers)] for key, item in value.items())]
    if kind is frozenset:
        return ["s", *sorted((_packed(item, numbers) for item in value), key=repr)]
    if kind is bytes:
        return ["b", base64.b64encode(value).decode()]
    return _packed_array(value, numbers)


_LETTERS = {tuple: "t", list: "l"}


def _packed_array(value: Any, numbers: bytearray) -> Any:
    import numpy as np  # not for what was remembered without arrays

    if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS:
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in _NUMBERS:
        raise TypeError(f"wanted a value that can be written, found {type(value).__name__}")
    start, held = len(numbers), value
    if value.size and value.dtype.kind in "iu":  # places of cells and vertices are small
        held = value.astype(np.result_type(*map(np.min_scalar_type, (value.min(), value.max()))))
    numbers += held.tobytes()
    return ["a", value.dtype.str, list(value.shape), held.dtype.str, start]


class _Reader:
    """Makes values of parsed JSON, given the classes and the numbers of the arrays."""

    def __init__(self, classes: Mapping[str, type], numbers: memoryview) -> None:
        self.classes: Mapping[str, Any] = classes
        self.numbers = numbers

    def read(self, text: Any) -> Any:
        return _KINDS[text[0]](self, *text[1:]) if isinstance(text, list) else text

    def all(self, items: tuple[Any, ...]) -> Iterator[Any]:
        return map(self.read, items)

    def array(self, kind: str, shape: list[int], held: str, start: int) -> Any:
        import numpy as np

        if {np.dtype(kind).kind, np.dtype(held).kind} - set(_NUMBERS):
            raise ValueError(f"wanted an array of numbers, found {kind}")
        size = int(np.prod(shape, dtype=np.intp))
        return np.frombuffer(self.numbers, held, size, start).reshape(shape).astype(kind)


_KINDS: Mapping[str, Callable[..., Any]] = {
    "t": lambda reader, *items: tuple(reader.all(items)),
    "l": lambda reader, *items: list(reader.all(items)),
    "s": lambda reader, *items: frozenset(reader.all(items)),
    "m": lambda reader, *pairs: {reader.read(key): reader.read(item) for key, item in pairs},
    "c": lambda reader, name, *items: reader.classes[name](*reader.all(items)),
    "e": lambda reader, name, member: reader.classes[name][member],
    "b": lambda _, text: base64.b64decode(text),
    "a": _Reader.array,
}
"""By its letter, how a value is made: by a reader, of what stands behind the letter."""


@functools.cache
def _fields(kind: Any) -> tuple[str, ...]:
    """Return the names of what a dataclass or a named tuple is made from, in order."""
    if dataclasses.is_dataclass(kind):
        return tuple(each.name for each in dataclasses.fields(kind) if each.init)
    return tuple(kind._fields)


@functools.cache
def classes_of(*roots: type) -> Mapping[str, type]:
    """Return by name the classes that values of some classes are made of, as their annotations say."""
    known: dict[str, type] = {}
    waiting: list[Any] = list(roots)
    while waiting:
        hint = waiting.pop()
        waiting += typing.get_args(hint)
        if typing.get_origin(hint) is not None or not isinstance(hint, type) or not _is_made(hint):
            continue
        if hint.__name__ not in known and not issubclass(hint, Enum):
            waiting += typing.get_type_hints(hint).values()
        if known.setdefault(hint.__name__, hint) is not hint:
            raise TypeError(f"wanted classes of different names, found two that are called {hint.__name__}")
    return known


def _is_made(kind: type) -> bool:
    """Tell whether values of a class are written as its name and what it is made from."""
    return dataclasses.is_dataclass(kind) or hasattr(kind, "_fields") or issubclass(kind, Enum)
