"""What a model can be given as: a path, an address, bytes, a file object, a ModelProto; and its bytes.

A file is mapped, so that a model of any size is read without being held in memory. What is at an address is
fetched where it is read (see `onnxtop.reader.mirror`), and standard input, ``-``, lies in a file without a
name. What is in memory already has no folder: its external weights are looked for in the folders that the
caller allows.
"""

import contextlib
import functools
import hashlib
import mmap
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, TypeAlias
from weakref import WeakKeyDictionary

from google.protobuf.message import EncodeError
from onnx import ModelProto

from onnxtop.errors import FormatError, ModelError, UsageError, named, unreadable
from onnxtop.options import MOST_DOWNLOAD, asked
from onnxtop.reader.address import STDIN, called, is_address
from onnxtop.reader.file import refuse_foreign
from onnxtop.reader.foreign import HEAD
from onnxtop.reader.limits import GIB, UNCHANGED, Limits
from onnxtop.work.content import digest_of
from onnxtop.work.files import is_special

if TYPE_CHECKING:
    from onnxtop.reader.mirror import Fetched, Mirror

Given: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | ModelProto


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The file that a model is read from, or what is in memory in its place.

    ``name`` is what it is called: its path or address as it was given, or ``<bytes>``, ``<ModelProto>``,
    ``<stdin>``. ``path`` is None for one that is in memory. ``content`` are its bytes, mapped, held, or
    fetched where they are read. ``remote`` are the files of a model at an address, where ``path`` is its
    place among them.
    """

    name: str
    path: Path | None
    content: "mmap.mmap | bytes | Fetched"
    remote: "Mirror | None" = None

    @property
    def short(self) -> str:
        """What it is called without its folders."""
        return self.name if self.path is None else self.path.name

    @property
    def place(self) -> str | None:
        """Where another process finds it: its path or address; None for what is in memory."""
        if self.remote is not None:
            return self.remote.address
        return None if self.path is None else str(self.path)

    @property
    def byte_count(self) -> int:
        """How many bytes it has."""
        return len(self.content)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder that external weights lie below; none for what is in memory."""
        return () if self.path is None else (self.path.parent,)

    def sha256(self) -> str:
        """Return the hash of the bytes (external data not included); what is not there yet is fetched."""
        return self._sha256

    @functools.cached_property
    def _sha256(self) -> str:
        if self.remote is not None:
            self.remote.model.fetch(0, self.byte_count)
            self.remote.check()
        if self.path is None:
            assert isinstance(self.content, mmap.mmap | bytes)
            return hashlib.sha256(self.content).hexdigest()
        return digest_of(self.path)

    def announce(self) -> None:
        """Say that all weights will be read: what is too large to be fetched is refused before the first.

        Raises
        ------
        UnreadableError
            It is.
        """
        if self.remote is not None:
            self.remote.announce()

    @contextlib.contextmanager
    def on_disk(self, content: bytes | None = None) -> Iterator[str]:
        """Give a path under which the bytes are while this lasts, or others in their place."""
        if self.path is not None and content is None:
            if self.remote is not None:
                self.remote.complete()
            yield str(self.path)
            return
        with tempfile.TemporaryDirectory(prefix="onnxtop-") as folder:
            place = Path(folder, "model.onnx")
            place.write_bytes(self.content[:] if content is None else content)
            yield str(place)


def opened(
    model: Given | ModelFile,
    name: str | None = None,
    *,
    max_download: float = MOST_DOWNLOAD,
    limits: Mapping[str, float] = UNCHANGED,
) -> ModelFile:
    """Open what a model was given as; a path or address is called by another name if one is given.

    Of what is at an address at most so many GiB are fetched, its external data included; ``limits`` are those
    of `Limits` that are not as usual.

    Raises
    ------
    LimitError
        The file is larger than the limit.
    UnreadableError
        There is no file, or the system or a server does not give it.
    MissingLibraryError
        What reads models at such addresses is not installed.
    FormatError
        It is empty, or plainly something else than an ONNX model.
    UsageError
        A model can be given as none of this kind.
    """
    file = model if isinstance(model, ModelFile) else _opened(model, name, max_download)
    with named(file.name):
        asked(Limits, None, limits).check("file", file.byte_count / GIB)
    return file


def _opened(model: Given, name: str | None, max_download: float) -> ModelFile:
    if isinstance(model, str) and model == STDIN:
        return _standard_input()
    if isinstance(model, str) and is_address(model):
        name = name or called(model)
        with named(name):
            return _elsewhere(model, name, max_download)
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        with named(name or path):
            return _file(path, name or path)
    title, content = _held(model)
    with named(title):
        refuse_foreign(content[:HEAD])
    return ModelFile(title, None, content)


_CHUNK = 2**20


def _file(place: str, name: str) -> ModelFile:
    path = Path(place)
    try:
        if is_special(path) and not os.path.isdir(path):
            raise ModelError(
                "wanted an ONNX file, found a pipe or device; copy what it holds to a file, or "
                "send it to standard input and name it -"
            )
        with path.open("rb") as file:
            refuse_foreign(file.read(HEAD))
            return ModelFile(name, path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ModelError:
        raise
    except OSError as error:
        raise unreadable(error) from None
    except ValueError:
        raise ModelError("wanted an ONNX file, found a path that cannot be one; check the path") from None


def _elsewhere(address: str, name: str, most: float) -> ModelFile:
    """Open what is at an address."""
    from onnxtop.reader.mirror import Mirror  # loads what fetches

    mirror = Mirror(address, most)
    refuse_foreign(bytes(mirror.model[:HEAD]))
    return ModelFile(name, mirror.path, mirror.model, mirror)


_TAKEN: "WeakKeyDictionary[TextIO, ModelFile]" = WeakKeyDictionary()
"""What came on standard input: it comes once, and a model may be asked for again."""


def _standard_input() -> ModelFile:
    """Return the model that comes on standard input."""
    name = called(STDIN)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"{name}: wanted a model on standard input, found none; send one: ... < model.onnx")
    with named(name):
        if sys.stdin not in _TAKEN:
            _TAKEN[sys.stdin] = ModelFile(name, None, _taken(sys.stdin))
        found = _TAKEN[sys.stdin]
        refuse_foreign(bytes(found.content[:HEAD]))
        return found


def _taken(stream: TextIO) -> bytes | mmap.mmap:
    """Take what comes into a file that goes with whoever maps it."""
    with tempfile.TemporaryFile(prefix="onnxtop-") as file:
        try:
            shutil.copyfileobj(stream.buffer, file, _CHUNK)
            file.flush()
        except OSError as error:
            raise unreadable(error) from None
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.tell() else b""


def _held(model: Any) -> tuple[str, bytes]:
    """Return the name and the bytes of what is no path."""
    if isinstance(model, ModelProto):
        try:
            return "<ModelProto>", model.SerializeToString(deterministic=True)
        except (ValueError, EncodeError) as error:
            raise FormatError(
                f"wanted a ModelProto of less than 2 GiB, found one that cannot be written ({error}); save "
                "it with external data and give the path"
            ) from None
    if isinstance(model, bytes | bytearray | memoryview):
        return "<bytes>", bytes(model)
    content = _read(model) if callable(getattr(model, "read", None)) else None
    if not isinstance(content, bytes):
        found = "a file opened as text" if isinstance(content, str) else f"{type(model).__name__}"
        raise UsageError(f"wanted a model as path, bytes, binary file or ModelProto, found {found}")
    name = getattr(model, "name", None)
    return (name if isinstance(name, str) else "<file>"), content


def _read(file: Any) -> Any:
    """Return what a file object gives: bytes, or a text if it was opened as one."""
    try:
        return file.read()
    except UnicodeDecodeError:
        return ""
    except ValueError as error:  # it is closed, or was opened to be written
        raise UsageError(
            f"wanted a binary file that is open to be read, found one that says: {error}"
        ) from None
    except OSError as error:
        raise unreadable(error) from None
