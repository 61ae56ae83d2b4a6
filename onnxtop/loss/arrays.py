"""Arrays in .npy and .npz files, which may come from strangers.

What is stored as it is is mapped; what is compressed is read, up to a limit. Nothing is allocated before what
the header of an array declares has been found to be there, and no Python objects are made.

The formats are those of ``numpy.lib.format`` and of zip (PKWARE APPNOTE).
"""

import ast
import contextlib
import math
import mmap
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.gradient.graph import Array
from onnxtop.reader.foreign import HEAD, kind_of, kind_of_text
from onnxtop.reader.locations import is_model
from onnxtop.work.beside import regular

MOST_UNPACKED = 2**30
"""Bytes that the compressed arrays of a file may have together: one deflates a thousand zeros to a byte."""

_LONGEST = 10_000  # characters of an array's header, as NumPy reads
_MAGIC = b"\x93NUMPY"
_ARCHIVE = (b"PK\3\4", b"PK\5\6")
_LENGTHS = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}  # bytes of a header's length, by the version of the format
_TYPE = re.compile(r"[<>|=]?([biufc][0-9]{1,2}|[SUV][1-9][0-9]{0,8}|[mM]8(\[[0-9]{0,9}[a-zA-Z]{1,2}\])?)")
_ENCRYPTED = 1  # a bit of a member's flags
_LOCAL, _NAME_AT = 30, 26  # bytes of a member's local header, and where the lengths stand of what follows it
_PIECE = 2**20
_NAME = 80  # characters of a name that are told


def read_npy(path: Path) -> Array:
    """Return the array of an .npy file, mapped.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It holds something else.
    """
    content = _mapped(path)
    _check_start(path, content, _MAGIC)
    return _viewed(content, 0, len(content))


def read_npz(path: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name; those that are not compressed share one map.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It holds something else, or more than may be unpacked.
    """
    content = _mapped(path)
    _check_start(path, content, *_ARCHIVE)
    with _as_value_errors(), zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if each.filename.endswith(".npy")]
        if not members:
            raise ValueError("there are no arrays in it")
        _check_members(members)
        return {each.filename.removesuffix(".npy"): _member(content, archive, each) for each in members}


@contextlib.contextmanager
def _as_value_errors() -> Iterator[None]:
    """Say of what is no sound archive that its value is wrong, as the other readers do."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"the archive is damaged: {error}") from None


def _member(content: mmap.mmap, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    stored = member.compress_type == zipfile.ZIP_STORED
    try:
        return _stored(content, member) if stored else _unpacked(archive, member)
    except ValueError as error:
        raise ValueError(f"{member.filename[:_NAME]!r}: {error}") from None


def _mapped(path: Path) -> mmap.mmap:
    if not regular(path).st_size:
        raise ValueError("it is empty")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _check_start(path: Path, content: mmap.mmap, *marks: bytes) -> None:
    """Say of a file that begins as another kind what it is, where that can be told.

    Raises
    ------
    UsageError
        It is of another kind.
    """
    head = content[:HEAD]
    if head.startswith(marks):
        return
    kind = kind_of(head) or kind_of_text(head)
    found = "an ONNX model" if is_model(path) else kind and kind.found
    if found:
        one = marks == (_MAGIC,)
        wanted = "an array as np.save writes it" if one else "arrays as np.savez writes them"
        names = "it so" if one else "them so, by the names of the model's inputs"
        raise UsageError(f"{path}: wanted {wanted}, found {found}; save {names}")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = Counter(each.filename for each in members)
    for each in members:
        name = each.filename[:_NAME]
        if each.flag_bits & _ENCRYPTED:
            raise ValueError(f"{name!r} is encrypted: save it without a password")
        if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name!r} is compressed by method {each.compress_type}: save it with np.savez")
        if names[each.filename] > 1:
            raise ValueError(
                f"{name!r} is in it {names[each.filename]} times: save it again, with one of them"
            )
    total = sum(each.file_size for each in members if each.compress_type != zipfile.ZIP_STORED)
    if total > MOST_UNPACKED:
        raise ValueError(
            f"its compressed arrays have {total:,} bytes, where at most {MOST_UNPACKED:,} are unpacked: save "
            "them with np.savez, as they are"
        )


@dataclass(frozen=True)
class _Layout:
    """What a header declares; ``nbytes`` are those of the elements."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Any
    nbytes: int

    def view(self, content: mmap.mmap | bytearray, start: int) -> Array:
        return np.ndarray(self.shape, self.dtype, content if self.nbytes else None, start, order=self.order)


def _viewed(content: mmap.mmap, start: int, stop: int) -> Array:
    """Return the array that stands between two places of what is mapped."""
    content.seek(start)
    layout = _layout(content, stop - start)
    return layout.view(content, content.tell())


def _stored(content: mmap.mmap, member: zipfile.ZipInfo) -> Array:
    start = member.header_offset + _LOCAL
    lengths = content[start - _LOCAL + _NAME_AT : start]
    start += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if start + member.file_size > len(content):
        raise ValueError("it goes beyond the end of the file, which is damaged: copy it again")
    return _viewed(content, start, start + member.file_size)


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as file:
        layout = _layout(file, member.file_size)
        content = bytearray(layout.nbytes)
        for start in range(0, layout.nbytes, _PIECE):
            stop = min(start + _PIECE, layout.nbytes)
            piece = file.read(stop - start)
            if len(piece) < stop - start:
                raise ValueError("it is cut off or damaged, save it again")
            content[start:stop] = piece
        while file.read(_PIECE):  # at its end the checksum is compared
            pass
    return layout.view(content, 0)


def _layout(file: IO[bytes] | mmap.mmap, length: int) -> _Layout:
    """Read the header of an array, of which so many bytes are there from here on."""
    magic = file.read(len(_MAGIC) + 2)
    width = _LENGTHS.get(magic.removeprefix(_MAGIC))
    if width is None:
        raise ValueError("wanted an array as np.save writes it, found none")
    count = int.from_bytes(file.read(width), "little")
    if count > _LONGEST:
        raise ValueError(f"wanted the header of an array, found one of {count:,} characters")
    header = file.read(count)
    dtype, shape, order = _declared(header.decode("latin1" if width == 2 else "utf-8"))
    spread = math.prod(max(size, 1) for size in shape) * dtype.itemsize
    nbytes = math.prod(shape) * dtype.itemsize
    held = length - len(magic) - width - count
    if spread > sys.maxsize or nbytes > held:
        raise ValueError(
            f"it declares more numbers than there can be in the {max(held, 0):,} bytes that it holds: it is "
            "cut off or damaged, save it again"
        )
    return _Layout(dtype, shape, order, nbytes)


def _declared(header: str) -> tuple[np.dtype[Any], tuple[int, ...], str]:
    """Return type, shape and order of an array as its header says."""
    try:
        values = ast.literal_eval(header.strip())
        descr, fortran, shape = values["descr"], values["fortran_order"], values["shape"]
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("wanted the header of an array, found none that can be read") from None
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("wanted the shape of an array in its header, found none")
    return _type(descr), shape, "F" if fortran is True else "C"


def _type(descr: object) -> np.dtype[Any]:
    """Return the type that a header names: of numbers, times or texts of one length."""
    if isinstance(descr, str) and _TYPE.fullmatch(descr):
        with contextlib.suppress(TypeError):
            return np.dtype(descr)
    objects = ", which are not loaded" if "O" in str(descr) else ""
    what = "Python objects" if objects else f"the type {str(descr)[:_NAME]}"
    raise ValueError(f"wanted numbers, found {what}{objects}")
