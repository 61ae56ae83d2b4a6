"""What files and arrays hold: digests of their bytes, never their names or times."""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from onnxtop.work.store import Store, key_of

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of a file, and how many of its bytes are read and to be read."""

State: TypeAlias = tuple[int, int, int, int, int]
"""Device, number, bytes and times of the last changes of a file."""

_SETTLED = 2 * 10**9
"""Nanoseconds after which a change of a file has certainly changed its times as well."""
_AT_REST = 60 * 10**9
"""The same for what is written through a map: the system may take half a minute to notice another change."""
_CHUNK = 2**20
"""Bytes of an array that are put into their order at a time."""
_LENGTH = 32
"""Digits of the digest of an array: 128 bits."""


def digest_of(path: Path, store: Store | None = None, progress: Progress | None = None) -> str:
    """Return the sha256 of a file's bytes; a file that has long been as it is is read once in a process.

    Of a file that has been so for longer still, the store remembers it for other processes: by device,
    number, size and times, which no change leaves as they were. ``progress`` is called while it is read.

    Raises
    ------
    OSError
        It cannot be read, or is a pipe or a device, which may have no end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    age = time.time_ns() - max(state[3:])
    if age < _SETTLED:
        return _read(path, progress)
    if (os.fspath(path), state) not in _known:
        at_rest = store if age >= _AT_REST else None
        digest = _remembered(path, state, at_rest, progress) if at_rest else _read(path, progress)
        _known[os.fspath(path), state] = digest
    return _known[os.fspath(path), state]


def _remembered(path: Path, state: State, store: Store, progress: Progress | None) -> str:
    key = key_of("content", *state)
    digest = store.get(key)
    if not isinstance(digest, str):
        digest = _read(path, progress)
        store.put(key, digest)
    return digest


def digest_of_elements(array: NDArray[Any], dtype: DTypeLike | None = None) -> str:
    """Return a digest of an array's elements in their order, whatever the strides; in another type if given.

    It is the sha256, which processors have instructions for, cut to 32 digits. Type and shape are no part.
    """
    if array.dtype.kind in "OSU":
        return hashlib.sha256(repr(array.tolist()).encode()).hexdigest()[:_LENGTH]
    state = hashlib.sha256()
    for part in _parts(array) if not array.flags.c_contiguous or dtype is not None else (array,):
        state.update(np.ascontiguousarray(part, dtype).reshape(-1).view(np.uint8).data)
    return state.hexdigest()[:_LENGTH]


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array a few rows at a time."""
    if array.ndim < 2 or array.nbytes <= _CHUNK:
        yield array
        return
    rows = max(1, _CHUNK * len(array) // array.nbytes)
    yield from (array[start : start + rows] for start in range(0, len(array), rows))


def combined(digests: Iterable[str]) -> str:
    """Return one digest for several texts, in their order."""
    return hashlib.sha256(repr(tuple(digests)).encode()).hexdigest()


_known: dict[tuple[str, State], str] = {}
"""The digests of files that were read in this process."""


def _read(path: Path, progress: Progress | None) -> str:
    digest, done, room = hashlib.sha256(), 0, memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:  # read, not mapped: memory stays near nothing
        size = os.fstat(file.fileno()).st_size
        while count := file.readinto(room):
            digest.update(room[:count])
            done += count
            if progress is not None:
                progress(path.name, done, size)
    return digest.hexdigest()
