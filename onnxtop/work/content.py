"""What files hold: digests of their bytes, never their names or times."""

import errno
import functools
import hashlib
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

State: TypeAlias = tuple[int, int, int, int, int]
"""Device, number, bytes and times of the last changes of a file."""

_SETTLED = 2 * 10**9
"""Nanoseconds after which a change of a file has certainly changed its times as well."""


def digest_of(path: Path) -> str:
    """Return the sha256 of a file's bytes; a file that has long been as it is is read once in a process.

    Raises
    ------
    OSError
        It cannot be read, or is a pipe or a device, which may have no end.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "no regular file", os.fspath(path))
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if max(state[3:]) > time.time_ns() - _SETTLED:
        return _read(path)
    return _known(os.fspath(path), state)


def combined(digests: Iterable[str]) -> str:
    """Return one digest for several texts, in their order."""
    return hashlib.sha256(repr(tuple(digests)).encode()).hexdigest()


@functools.lru_cache(maxsize=1 << 16)
def _known(path: str, state: State) -> str:
    return _read(Path(path))


def _read(path: Path) -> str:
    with path.open("rb") as file:  # read, not mapped: memory stays near nothing
        return hashlib.file_digest(file, "sha256").hexdigest()
