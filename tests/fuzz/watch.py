"""Which files are opened, whoever opens them: what libraries in C++ read passes by the hooks of Python."""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

_OPENED, _FOLDER = 0x20, 0x40000000  # IN_OPEN, IN_ISDIR
_EVENT = struct.Struct("iIII")
_MOST_BYTES = 2**16

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Watches files and the files of folders, with inotify, in a ``with``."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._queue = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._queue < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._paths = {
            _libc.inotify_add_watch(self._queue, os.fsencode(path), _OPENED): path for path in paths
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._queue)

    def opened(self) -> list[str]:
        """Return the names of the files that were opened since this was last asked."""
        try:
            events = os.read(self._queue, _MOST_BYTES)
        except BlockingIOError:
            return []
        names, place = [], 0
        while place < len(events):
            number, kinds, _, length = _EVENT.unpack_from(events, place)
            place += _EVENT.size
            own = os.fsdecode(events[place : place + length].rstrip(b"\0"))
            place += length
            if not kinds & _FOLDER:
                names.append(own or self._paths[number].name)
        return sorted(set(names))
