"""Values that wait until all are there: in memory while there is room, then in a file without a name."""

import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from typing import Any, Generic, NamedTuple, TypeVar, overload

from onnxtop.work.values import classes_of, dumps, loads

Value = TypeVar("Value")
Key = TypeVar("Key")
Part = TypeVar("Part")

ROOM = 2**26
"""Bytes of values that are held in memory."""


class _Away(NamedTuple):
    """Where a value is in the file."""

    start: int
    length: int


class Shelf(Sequence[Value], Generic[Value]):
    """A list of frozen values; those that there is no room for are read anew whenever one is asked for.

    The file is the process's own and goes with it. Where it cannot be written, on a full disk, values are
    held in memory all the same. Not for several threads.

    Parameters
    ----------
    kind
        The class of the values (see `onnxtop.work.values`).
    room
        How many bytes of them are held in memory, as they are told to `append`.

    Examples
    --------
    >>> shelf = Shelf(tuple, room=100)
    >>> for number in range(3):
    ...     shelf.append((number, "on the shelf"), byte_count=80)
    >>> shelf[2], shelf.away
    ((2, 'on the shelf'), 2)
    """

    def __init__(self, kind: type, *, room: int = ROOM) -> None:
        self._kind = kind
        self._room = room
        self._places: list[Value | _Away] = []
        self._file: FileIO | None = None
        self._end = 0
        self._last: tuple[int, Value] | None = None

    def append(self, value: Value, byte_count: int) -> None:
        """Put a value at the end; ``byte_count`` is about what it takes in memory."""
        self._room -= byte_count
        self._places.append(value if self._room >= 0 else self._put_away(value))

    @property
    def away(self) -> int:
        """How many values are not in memory."""
        return sum(isinstance(each, _Away) for each in self._places)

    def _put_away(self, value: Value) -> Value | _Away:
        data = dumps(value)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="onnxtop-", buffering=0)  # noqa: SIM115 - see below
                weakref.finalize(self, self._file.close)
            self._file.seek(self._end)
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            return value
        place = _Away(self._end, len(data))
        self._end += len(data)
        return place

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> Value: ...

    @overload
    def __getitem__(self, number: slice) -> list[Value]: ...

    def __getitem__(self, number: int | slice) -> Value | list[Value]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        place = self._places[number]
        return self._read(number, place) if isinstance(place, _Away) else place

    def _read(self, number: int, place: _Away) -> Value:
        """Read a value, unless it was the last that was asked for."""
        if self._last is None or self._last[0] != number:
            assert self._file is not None
            self._file.seek(place.start)
            data = bytearray(place.length)
            into = memoryview(data)
            while into:
                into = into[self._file.readinto(into) :]
            value: Value = loads(data, classes_of(self._kind))
            self._last = number, value
        return self._last[1]

    def view(self, numbers: Mapping[Key, int], part: Callable[[Value], Part]) -> Mapping[Key, Part]:
        """Return a part of some values under keys, made whenever one is asked for."""
        return _View(self, numbers, part)


class _View(Mapping[Key, Part]):
    def __init__(
        self, values: Sequence[Any], numbers: Mapping[Key, int], part: Callable[[Any], Part]
    ) -> None:
        self._values, self._numbers, self._part = values, numbers, part

    def __getitem__(self, key: Key) -> Part:
        return self._part(self._values[self._numbers[key]])

    def __iter__(self) -> Iterator[Key]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
