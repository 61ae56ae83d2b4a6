"""Files are written whole or not at all: what does not fit leaves what was there before."""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import IO

UNFINISHED: set[Path] = set()
"""Files that are being written, and would be left behind half-written."""


def unfinished(target: Path) -> Path:
    """Return a name beside a file under which it is written."""
    return target.with_name(f".onnxtop-{secrets.token_hex(8)}.tmp")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Make a file beside the target, with the target's permissions or a new file's, that takes its place.

    It does when this ends well; otherwise nothing has happened.
    """
    temporary = unfinished(target)
    UNFINISHED.add(temporary)
    try:
        temporary.touch(exist_ok=False)
        with contextlib.suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        UNFINISHED.discard(temporary)


def write_file(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> None:
    """Replace a file in one step: it is never seen half-written; a device is written to as it is."""
    target = Path(os.path.realpath(path))
    place = contextlib.nullcontext(target) if is_special(target) else replacing(target)
    with place as file, file.open("wb") as stream:
        write(stream)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a file by these bytes."""
    write_file(path, lambda stream: stream.write(data))


def why_unwritable(path: str | os.PathLike[str]) -> str:
    """Say why `write_file` could not write a file, empty where it could; nothing is made or touched."""
    target = Path(os.path.realpath(path))
    if os.path.isdir(target):
        return "it is a folder"
    if not os.path.isdir(target.parent):
        return f"there is no folder {str(target.parent)!r}"
    if os.path.exists(target) and not os.access(target, os.W_OK):
        return "the file is write-protected"
    if not is_special(target) and not os.access(target.parent, os.W_OK | os.X_OK):
        return f"the folder {str(target.parent)!r} is write-protected"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(target)
    except OSError as error:  # how long a name may be is known to its file system alone
        return error.strerror or str(error)
    return ""


def is_special(target: Path) -> bool:
    """Tell a device or a pipe, which is written to and must not be replaced."""
    return os.path.exists(target) and not os.path.isfile(target)


class GrowingFile:
    """A file that grows by whole parts, of which the first takes the place of what was there before."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))
        self._stream: FileIO | None = None

    def begin(self, data: bytes) -> None:
        """Write the first part, or what takes the place of all parts so far."""
        if is_special(self.path):
            self.add(data)
            return
        self.close()
        write_bytes(self.path, data)

    def add(self, data: bytes) -> None:
        """Write one more part, all of it or nothing: what did not fit is taken back from a file."""
        if self._stream is None:
            self._stream = FileIO(self.path, "wb" if is_special(self.path) else "ab")
        start = self._stream.tell() if self._stream.seekable() else None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError:
            if start is not None:
                with contextlib.suppress(OSError):  # a device takes nothing back
                    self._stream.truncate(start)
            raise

    def close(self) -> None:
        """End the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
