"""What a model can be given as: a path, bytes, a binary file object, a ModelProto; and its bytes.

A file is mapped, so that a model of any size is read without being held in memory. What is in memory already
has no folder: its external weights are looked for in the folders that the caller allows.
"""

import contextlib
import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from google.protobuf.message import EncodeError
from onnx import ModelProto

from onnxtop.errors import FormatError, ModelError, UsageError, named, unreadable
from onnxtop.reader.file import refuse_foreign
from onnxtop.work.content import digest_of

Given: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | ModelProto


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The file that a model is read from, or what is in memory in its place.

    ``name`` is what it is called: its path as it was given, or ``<bytes>``, ``<ModelProto>``. ``path`` is
    None for one that is in memory. ``content`` are its bytes, mapped or held.
    """

    name: str
    path: Path | None
    content: mmap.mmap | bytes

    @property
    def short(self) -> str:
        """What it is called without its folders."""
        return self.name if self.path is None else self.path.name

    @property
    def byte_count(self) -> int:
        """How many bytes it has."""
        return len(self.content)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder that external weights lie below; none for what is in memory."""
        return () if self.path is None else (self.path.parent,)

    def sha256(self) -> str:
        """Return the hash of the bytes (external data not included)."""
        if self.path is None:
            return hashlib.sha256(self.content).hexdigest()
        return digest_of(self.path)

    @contextlib.contextmanager
    def on_disk(self, content: bytes | None = None) -> Iterator[str]:
        """Give a path under which the bytes are while this lasts, or others in their place."""
        if self.path is not None and content is None:
            yield str(self.path)
            return
        with tempfile.TemporaryDirectory(prefix="onnxtop-") as folder:
            place = Path(folder, "model.onnx")
            place.write_bytes(self.content if content is None else content)
            yield str(place)


def opened(model: Given | ModelFile, name: str | None = None) -> ModelFile:
    """Open what a model was given as; a path is called by another name if one is given.

    Raises
    ------
    UnreadableError
        There is no file, or the system does not give it.
    FormatError
        It is empty, or plainly something else than an ONNX model.
    UsageError
        A model can be given as none of this kind.
    """
    if isinstance(model, ModelFile):
        return model
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        with named(name or path):
            return _file(path, name or path)
    called, content = _held(model)
    with named(called):
        refuse_foreign(content[:_HEAD])
    return ModelFile(called, None, content)


_HEAD = 512


def _file(place: str, name: str) -> ModelFile:
    path = Path(place)
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModelError(
                "wanted an ONNX file, found a pipe or device; copy what it holds to a file first"
            )
        with path.open("rb") as file:
            refuse_foreign(file.read(_HEAD))
            return ModelFile(name, path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ModelError:
        raise
    except OSError as error:
        raise unreadable(error) from None
    except ValueError:
        raise ModelError("wanted an ONNX file, found a path that cannot be one; check the path") from None


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
