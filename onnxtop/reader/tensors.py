"""Any tensor of an ONNX file, inline or external, to a NumPy array.

Large tensors are mapped from the file that holds them, never read as a whole, and never from outside the
model's folder or a folder that the caller allows.
"""

import math
import mmap
import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import SparseTensorProto, TensorProto, numpy_helper

from onnxtop.errors import ExternalDataError, FormatError, MissingExternalDataError
from onnxtop.options import said
from onnxtop.reader.dequantize import unpack
from onnxtop.reader.file import seen
from onnxtop.reader.limits import DEFAULTS, GIB, Limits
from onnxtop.reader.model_file import ModelFile
from onnxtop.reader.protos import Stored, element_count
from onnxtop.reader.wire import INLINE
from onnxtop.work.content import digest_of_elements

if TYPE_CHECKING:
    from onnxtop.reader.mirror import Fetched

Array = NDArray[Any]

# Types whose bytes are the array's bytes; all others are unpacked by onnx.
_PLAIN: dict[int, np.dtype[Any]] = {
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.DOUBLE: np.dtype("<f8"),
    TensorProto.FLOAT16: np.dtype("<f2"),
    TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16),
    TensorProto.INT8: np.dtype("i1"),
    TensorProto.UINT8: np.dtype("u1"),
    TensorProto.INT16: np.dtype("<i2"),
    TensorProto.UINT16: np.dtype("<u2"),
    TensorProto.INT32: np.dtype("<i4"),
    TensorProto.UINT32: np.dtype("<u4"),
    TensorProto.INT64: np.dtype("<i8"),
    TensorProto.UINT64: np.dtype("<u8"),
    TensorProto.BOOL: np.dtype("?"),
}
_BITS: dict[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}
for _name in ("INT2", "UINT2"):  # since onnx 1.20
    if hasattr(TensorProto, _name):
        _BITS[getattr(TensorProto, _name)] = 2
MOST_AXES = 64
"""Axes that an array can have, since NumPy 2."""
_LARGE = 2**20
"""Bytes of a tensor behind which is read on."""
_LOOKS, _LOOKED_AT = 4, 64
"""So many runs of so many bytes tell most tensors apart; each may be a page of the file that is read anew."""
_READ_ON = 2**26
"""Bytes that are read on, at most."""
_DATA_FIELDS = (
    "raw_data",
    "float_data",
    "int32_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "string_data",
)


def dtype_name(data_type: int) -> str:
    """Return the name of an ONNX data type as its users write it: ``float32``, ``int8``, ``float8e4m3fn``."""
    name = TensorProto.DataType.Name(data_type).lower() if data_type in TensorProto.DataType.values() else "?"
    return {"float": "float32", "double": "float64"}.get(name, name)


@dataclass(frozen=True)
class _Place:
    """Where a tensor's bytes stand: offset and length in another file, or in the model's own if None."""

    path: Path | None
    offset: int
    length: int


@dataclass(frozen=True)
class Content:
    """What a tensor holds, without its elements: their type and digest, and its shape."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    digest: str

    @property
    def byte_count(self) -> int:
        """How many bytes its elements take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


class TensorFiles:
    """Reads the tensors of one model: the file itself, its folder, and folders allowed beside it.

    Files are mapped when first needed and stay mapped as long as this object lives.
    """

    def __init__(
        self, file: ModelFile, allow_external: Iterable[str | Path] = (), limits: Limits = DEFAULTS
    ) -> None:
        self._file = file
        self._limits = limits
        self._folders = [folder.resolve() for folder in (*file.folders, *map(Path, allow_external))]
        self._maps: dict[Path, mmap.mmap | Fetched] = {}
        self._sparse: dict[int, tuple[TensorProto, SparseTensorProto]] = {}  # by id
        self._contents: dict[int, tuple[TensorProto, Content]] = {}
        self._arrays: dict[int, tuple[weakref.ref[Array], TensorProto]] = {}

    def register_sparse(self, sparse: SparseTensorProto) -> TensorProto:
        """Return a tensor that stands for a sparse one, whose zeros are written out only when it is read."""
        tensor = TensorProto(name=sparse.values.name, data_type=sparse.values.data_type, dims=sparse.dims)
        tensor.data_location = TensorProto.EXTERNAL
        self._sparse[id(tensor)] = tensor, sparse
        return tensor

    def is_sparse(self, tensor: TensorProto) -> bool:
        """Tell whether a tensor stands for a sparse one."""
        return id(tensor) in self._sparse

    def is_beside(self, tensor: TensorProto) -> bool:
        """Tell whether a tensor's bytes stand in another file than the model."""
        locations = [entry.value for entry in tensor.external_data if entry.key == "location"]
        beside = tensor.data_location == TensorProto.EXTERNAL and locations[:1] != [INLINE]
        return beside and not self.is_sparse(tensor)

    def check(self, tensor: TensorProto) -> None:
        """Raise unless the tensor's bytes are there, are allowed to be read, and fit its dims.

        A tensor with dims and no data at all passes: real files hold such; `has_data` tells.
        """
        if len(tensor.dims) > MOST_AXES:
            raise FormatError(
                f"wanted tensors of at most {MOST_AXES} axes, found {tensor.name!r} with {len(tensor.dims)}; "
                "export the model again"
            )
        if any(dim < 0 for dim in tensor.dims):
            raise FormatError(
                f"tensor {tensor.name!r} has a negative dimension {said(tuple(tensor.dims))}; export it again"
            )
        if self.is_sparse(tensor):
            return
        wanted = stored_bytes(tensor)
        if tensor.data_location == TensorProto.EXTERNAL:
            found: int | None = self._place(tensor).length
        else:
            found = len(tensor.raw_data) if tensor.HasField("raw_data") else None
            count = _typed_count(tensor)
            if found is None and count not in (None, element_count(tensor)):
                raise FormatError(_misfit(tensor, f"{said(element_count(tensor))} values", f"{count}"))
        if wanted is not None and found is not None and found != wanted and self.has_data(tensor):
            raise FormatError(_misfit(tensor, f"{said(wanted)} bytes", f"{found}"))

    def bring_in(self, tensor: TensorProto) -> None:
        """Have a tensor hold its bytes itself, wherever they are.

        Raises
        ------
        FormatError, ExternalDataError
            It makes no sense, or they are not there or not to be read.
        """
        if tensor.data_location == TensorProto.EXTERNAL:
            self.check(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(self.wanted(tensor)), tensor.name))

    def plain(self, stored: Stored) -> TensorProto:
        """Return a tensor as it is, and a sparse one with its zeros written out.

        Raises
        ------
        FormatError
            It makes no sense, or is too large then.
        """
        if not isinstance(stored, SparseTensorProto):
            return stored
        dense = self.wanted(self.register_sparse(stored))
        return numpy_helper.from_array(dense, stored.values.name)

    def has_data(self, tensor: TensorProto) -> bool:
        """Tell whether the tensor holds values: some files declare dims and leave the data out."""
        if element_count(tensor) == 0 or tensor.data_location == TensorProto.EXTERNAL:
            return True
        return any(len(getattr(tensor, name)) for name in _DATA_FIELDS)

    def read(self, tensor: TensorProto, *, aligned: bool = True) -> Array:
        """Return the tensor as a read-only array of its own shape and type, aligned.

        Large float tensors are views of the mapped file where their bytes are aligned there, copies where
        not; with ``aligned`` false views there too, which is enough for who only goes over the bytes.

        Raises
        ------
        ValueError
            It makes no sense: of a type that nobody knows, too few values, indices that do not fit.
        """
        try:
            return self._values(tensor, aligned)
        except (TypeError, LookupError, RuntimeError) as error:  # onnx raises whatever NumPy does
            raise ValueError(str(error)) from None

    def _values(self, tensor: TensorProto, aligned: bool) -> Array:
        if self.is_sparse(tensor):
            return self._dense(self._sparse[id(tensor)][1])
        plain = _PLAIN.get(tensor.data_type)
        if tensor.data_location == TensorProto.EXTERNAL:
            place = self._place(tensor)
            self._read_on(place)
            raw = self._bytes(place)
        elif tensor.HasField("raw_data") and plain is not None:
            raw = memoryview(tensor.raw_data)
        else:
            return numpy_helper.to_array(tensor)
        if tensor.data_type in _BITS:
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            codes = unpack(np.frombuffer(raw, np.uint8), _BITS[tensor.data_type], element_count(tensor))
            return codes.view(kind).reshape(tuple(tensor.dims))
        if plain is None:
            inline = TensorProto(
                name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=bytes(raw)
            )
            return numpy_helper.to_array(inline)
        flat = np.frombuffer(raw, dtype=plain)
        if aligned and not flat.flags.aligned:
            flat = flat.copy()
            flat.flags.writeable = False
        self._arrays[id(flat)] = weakref.ref(flat), tensor
        return flat.reshape(tuple(tensor.dims))

    def _bytes(self, place: _Place) -> memoryview:
        return seen(self._map(place.path))[place.offset : place.offset + place.length]

    def look(self, tensor: TensorProto) -> bytes | None:
        """Return what tensors of the same bytes have in common: type, dims and a few of the bytes.

        None where the bytes are not simply those of the elements, or not as many as they should be.
        """
        if self.is_sparse(tensor) or tensor.data_type not in _PLAIN:
            return None
        beside = tensor.data_location == TensorProto.EXTERNAL
        raw = self._bytes(self._place(tensor)) if beside else memoryview(tensor.raw_data)
        if not raw or len(raw) != stored_bytes(tensor):
            return None
        starts = np.linspace(0, max(len(raw) - _LOOKED_AT, 0), _LOOKS).astype(np.intp).tolist()
        said = repr((tensor.data_type, *tensor.dims))
        return said.encode() + b"".join(raw[start : start + _LOOKED_AT] for start in starts)

    def type_of(self, tensor: TensorProto) -> np.dtype[Any]:
        """Return the type of the array of a tensor whose bytes are those of its elements."""
        return _PLAIN[tensor.data_type]

    def content(self, tensor: TensorProto) -> Content:
        """Return what a tensor holds; its bytes are hashed once, by whoever asks first.

        Raises
        ------
        ValueError
            It makes no sense, as in `read`.
        """
        if id(tensor) not in self._contents:
            array = self.read(tensor, aligned=False)
            content = Content(array.dtype, array.shape, digest_of_elements(array))
            self._contents[id(tensor)] = tensor, content
        return self._contents[id(tensor)][1]

    def digest_of(self, array: Array) -> str:
        """Return the digest of an array's elements, that of a tensor's content where it is all of one."""
        whole = array
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        known, tensor = self._arrays.get(id(whole), (None, None))
        all_of_it = array.flags.c_contiguous and array.nbytes == whole.nbytes
        if tensor is None or known is None or known() is not whole or not all_of_it:
            return digest_of_elements(array)
        return self.content(tensor).digest

    def wanted(self, tensor: TensorProto) -> Array:
        """Return a tensor that nothing can be done without.

        Raises
        ------
        FormatError
            It makes no sense.
        """
        try:
            return self.read(tensor)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise FormatError(
                f"wanted the values of tensor {tensor.name!r}, found what cannot be read: {reason}; "
                "export the model again"
            ) from None

    def _dense(self, sparse: SparseTensorProto) -> Array:
        """Write out the zeros of a sparse tensor; ValueError if it makes no sense, or is too large then."""
        values, indices = self._values(sparse.values, True), self._values(sparse.indices, True)
        needed = element_count(sparse) * values.itemsize
        if needed > self._limits.constant_bytes:
            raise ValueError(f"its zeros written out want {self._limits.most('constants', needed / GIB)}")
        dense = np.zeros(tuple(sparse.dims), values.dtype)
        dense[np.unravel_index(indices, dense.shape) if indices.ndim == 1 else tuple(indices.T)] = values
        return dense

    def _place(self, tensor: TensorProto) -> _Place:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        path = None if location == INLINE else self._allowed(tensor.name, location)
        try:
            size = self._file.byte_count if path is None else self._size(path)
            offset = int(entries.get("offset") or 0)
            length = int(entries["length"]) if entries.get("length") else stored_bytes(tensor)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise (MissingExternalDataError if missing else ExternalDataError)(
                f"wanted the weights of tensor {tensor.name!r} in {location!r} beside the model: "
                f"{error.strerror or error}; copy that file next to the model"
            ) from None
        except ValueError:
            raise FormatError(
                f"external data of tensor {tensor.name!r} has an offset or length that is no number"
            ) from None
        length = size - offset if length is None else length
        if offset < 0 or length < 0 or offset + length > size:
            raise ExternalDataError(
                f"wanted bytes {said(offset)} to {said(offset + length)} of {location!r} for tensor "
                f"{tensor.name!r}, found {size} bytes in all; the file was cut off or belongs to another "
                "model: copy it again"
            )
        return _Place(path, offset, length)

    def _allowed(self, name: str, location: str) -> Path:
        """Return the real path of an external file, refusing any that lies outside the allowed folders."""
        if not location or "\0" in location:
            raise FormatError(f"external data of tensor {name!r} names no file; export the model again")
        if not self._folders:
            raise ExternalDataError(
                f"wanted the weights of tensor {name!r} in {location!r}, found a model in memory, which has "
                "no folder; name that of its weights: allow_external=[...]"
            )
        try:
            path = self._located(location).resolve()
            irregular = os.path.exists(path) and not os.path.isfile(path)
        except (OSError, RuntimeError) as error:  # a name too long, a link to itself
            raise ExternalDataError(
                f"external data of tensor {name!r} is at a place that cannot be: {location[:80]!r} "
                f"({error!s:.80}); export the model again"
            ) from None
        if not any(path.is_relative_to(folder) for folder in self._folders):
            raise ExternalDataError(
                f"external data of tensor {name!r} lies outside the model's folder: {location!r}; "
                "if you trust it, name its folder with --allow-external DIR"
            )
        if irregular:
            raise ExternalDataError(f"external data of tensor {name!r}: {location!r} is not a regular file")
        return path

    def _located(self, location: str) -> Path:
        """Return where an external file should be: of a model in memory in the first folder that has it."""
        places = [folder / location for folder in self._file.folders or self._folders]
        return next((place for place in places[:-1] if os.path.exists(place)), places[-1])

    def _size(self, path: Path) -> int:
        """Return the size of a file beside the model; raises OSError."""
        fetched = self._fetched(path)
        return path.stat().st_size if fetched is None else len(fetched)

    def _fetched(self, path: Path) -> "Fetched | None":
        return None if self._file.remote is None else self._file.remote.file(path)

    def _map(self, path: Path | None) -> "mmap.mmap | bytes | Fetched":
        if path is not None and path not in self._maps:
            self._maps[path] = self._fetched(path) or _mapped(path)
        content = self._file.content if path is None else self._maps[path]
        pages = content if isinstance(content, mmap.mmap | bytes) else content.mapped
        if hasattr(mmap, "MADV_DONTNEED") and isinstance(pages, mmap.mmap):
            # Pages of tensors read before are dropped: memory stays near one layer. Views still in use fetch
            # theirs again from the system's cache.
            pages.madvise(mmap.MADV_DONTNEED)
        return content

    def _read_on(self, place: _Place) -> None:
        """Have what stands behind a large tensor read while it is worked on: mostly the next layer's."""
        if place.length < _LARGE:
            return
        content = self._map(place.path)
        begin = place.offset + place.length
        end = min(begin + min(place.length, _READ_ON), len(content))
        if isinstance(content, mmap.mmap):
            if hasattr(mmap, "MADV_WILLNEED") and begin < end:
                start = begin - begin % mmap.PAGESIZE
                content.madvise(mmap.MADV_WILLNEED, start, end - start)
        elif not isinstance(content, bytes):
            content.fetch_behind(begin - place.length, begin, end)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def stored_bytes(tensor: TensorProto) -> int | None:
    """Return how many bytes the dims and the type declare; None for strings and unknown types."""
    if tensor.data_type in _BITS:
        return -(-element_count(tensor) * _BITS[tensor.data_type] // 8)
    if tensor.data_type in _PLAIN:
        return element_count(tensor) * _PLAIN[tensor.data_type].itemsize
    try:
        return element_count(tensor) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError):
        return None


def _typed_count(tensor: TensorProto) -> int | None:
    """Return how many values the typed field holds, None where one value is not one field entry."""
    if tensor.data_type not in _PLAIN:
        return None
    held = [len(getattr(tensor, name)) for name in _DATA_FIELDS[1:-1]]
    return max(held) or None


def _misfit(tensor: TensorProto, wanted: str, found: str) -> str:
    dims = shorten(" x ".join(map(str, tensor.dims)), 120) or "scalar"
    return (
        f"tensor {tensor.name!r} ({dims} {dtype_name(tensor.data_type)}) wants {wanted}, found {found}; "
        "the file is damaged: export or copy it again"
    )
