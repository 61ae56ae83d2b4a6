"""What was computed before, remembered in a folder: values by a key that says all they depend on.

An entry is a file of its own, written beside its place and moved there, so that it is whole or not there, and
any number of processes may share the folder. Its first line is a digest of the rest and of its key: what was
cut off, changed or put elsewhere is not there either. Nothing in it is ever run or unpickled.

A cache never fails a run. A folder that cannot be made, read or written remembers nothing.
"""

import contextlib
import hashlib
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from onnxtop.errors import UsageError
from onnxtop.work.about import about
from onnxtop.work.files import replacing, unfinished
from onnxtop.work.options import WorkOptions

LIMIT = 2**30
"""Bytes that the entries of a folder may have; of more, those that were used least recently are dropped."""

OFF = "off"
"""What stands for no cache in the place of a folder."""

_SHARE = 16
"""An entry is at most this part of it, and processes write as much between two looks at the size."""

_ABANDONED = 3600.0  # seconds after which nobody writes a file any more that is not finished

_TAG = "CACHEDIR.TAG"
_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# What onnxtop has measured. It may be deleted: https://bford.info/cachedir/\n"
)


@dataclass(frozen=True)
class StoredFile:
    """A file of the folder: its bytes, and when it was last used, in nanoseconds."""

    path: Path
    size: int
    used: int


class Store:
    """A folder of entries; without one nothing is remembered.

    Examples
    --------
    >>> Store(None).get(key_of("a question")) is None
    True
    """

    def __init__(self, folder: str | os.PathLike[str] | None, *, limit: int = LIMIT) -> None:
        self.folder = None if folder is None else Path(folder)
        self.limit = limit
        self._room = secrets.randbelow(limit // _SHARE)  # else whoever writes little would look each time

    def __bool__(self) -> bool:
        """Tell whether anything can be remembered."""
        return self.folder is not None

    def get(self, key: str) -> Any | None:
        """Return the JSON value of a key, a new one each time; None if nothing whole is known."""
        data = self.read(key)
        with contextlib.suppress(ValueError):
            return None if data is None else json.loads(data)
        return None

    def put(self, key: str, value: Any) -> None:
        """Remember a JSON value, unless it is too large or cannot be written."""
        if self.folder is not None:
            self.write(key, json.dumps(value, separators=(",", ":")).encode())

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a key; None if nothing whole is known."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > self.limit:  # it may have no end
                return None
            digest, _, data = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if digest != _digest(key, data):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return data

    def write(self, key: str, data: bytes) -> None:
        """Remember bytes, unless there are too many or they cannot be written."""
        if self.folder is None or len(data) > self.limit // _SHARE:
            return
        with contextlib.suppress(OSError):
            self._write(self._path(key), _digest(key, data) + b"\n" + data)
            self._room -= len(data)
            if self._room < 0:
                self.trim()

    def trouble(self) -> str | None:
        """Say why nothing can be written, if so; the folder is made."""
        if self.folder is None:
            return None
        try:
            _made(self.folder)
            os.close(os.open(probe := unfinished(self.folder / _TAG), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            probe.unlink()
        except OSError as error:
            return error.strerror or str(error)
        return None

    def entries(self) -> Iterator[StoredFile]:
        """Yield what is in the folder, in no order; files that are no entries are not looked at."""
        for path in self._files():
            if path.suffix == ".entry":
                with contextlib.suppress(OSError):
                    status = path.stat()
                    yield StoredFile(path, status.st_size, status.st_mtime_ns)

    def clear(self) -> int:
        """Delete all entries, and what was left behind unfinished; return how many entries there were.

        Raises
        ------
        OSError
            One cannot be deleted; all others are.
        """
        count = 0
        errors = []
        for path in list(self._files()):
            try:
                path.unlink(missing_ok=True)
                count += path.suffix == ".entry"
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return count

    def trim(self) -> None:
        """Drop what was used least recently until the rest fits, and what nobody finishes."""
        held = sorted(self.entries(), key=lambda entry: (entry.used, entry.path))
        left = sum(entry.size for entry in held)
        for entry in held:
            if left <= self.limit:
                break
            left -= entry.size
            with contextlib.suppress(OSError):
                entry.path.unlink()
        for path in self._files():
            with contextlib.suppress(OSError):
                if path.suffix != ".entry" and path.stat().st_mtime < time.time() - _ABANDONED:
                    path.unlink()
        self._room = self.limit // _SHARE

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.entry"

    def _files(self) -> Iterator[Path]:
        """Yield entries and unfinished ones: what this class has named, no folder, and nothing else.

        Raises
        ------
        OSError
            There is something else than a folder.
        """
        if self.folder is None:
            return
        try:
            next(self.folder.iterdir(), None)  # unlike glob, says what is wrong
        except FileNotFoundError:
            return
        named = [self.folder.glob(".onnxtop-*.tmp")]
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            named += folder.glob(f"{folder.name}*.entry"), folder.glob(".onnxtop-*.tmp")
        for path in chain.from_iterable(named):
            if not os.path.isdir(path):
                yield path

    def _write(self, path: Path, data: bytes) -> None:
        assert self.folder is not None
        _made(self.folder)
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:  # also a pipe, which nobody might read: it is no place of an entry
            file.write_bytes(data)


def key_of(*parts: object) -> str:
    """Return the key of what a question and all that the answer depends on have as their ``repr``.

    What computes it is among that, so that no version of onnxtop or of a library answers for another.
    """
    return repr((tuple(about().items()), *parts))


def user_folder() -> Path | None:
    """Return where the user's cache is: what ONNXTOP_CACHE says, else where the platform keeps caches.

    None if that says "off", or nobody knows where the user's home is: no place but one that is whole.
    """
    named = os.environ.get("ONNXTOP_CACHE")
    if named:
        return folder_of(named, "ONNXTOP_CACHE")
    try:
        folder = _platform_folder()
    except RuntimeError:  # no home
        return None
    return folder if folder.is_absolute() else None


def store_of(work: WorkOptions) -> Store:
    """Return the store that is asked for."""
    return Store(user_folder() if work.cache is None else folder_of(work.cache))


def folder_of(named: str | os.PathLike[str], option: str = "cache") -> Path | None:
    """Return the folder that a user names by an option, None for "off".

    Raises
    ------
    UsageError
        It begins with the home of somebody whose home nobody knows: it would be a folder of that very name.
    """
    if os.fspath(named) == OFF:
        return None
    try:
        return Path(named).expanduser()
    except RuntimeError:
        whose = Path(named).parts[0]
        raise UsageError(
            f"{option}: wanted a folder, found {os.fspath(named)!r}: there is no home {whose}; "
            "write out where it is"
        ) from None


def _platform_folder() -> Path:
    """Return the folder by the conventions of Windows, of macOS, and elsewhere of freedesktop.org."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "onnxtop" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "onnxtop"
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the convention: one that is relative is ignored
    return (named if named.is_absolute() else Path.home() / ".cache") / "onnxtop"


def _made(folder: Path) -> None:
    """Make the folder of a cache, for the user alone, and say to backups that it is one."""
    if os.path.isdir(folder):
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _TAG).write_text(_TAG_TEXT, encoding="ascii")


def _digest(key: str, data: bytes) -> bytes:
    state = hashlib.sha256(key.encode() + b"\n")
    state.update(data)
    return state.hexdigest().encode()
