"""A constant by its content: type, shape and digest; its elements are read again where they are wanted."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int | None, ...]

_CHUNK = 2**20
_SMALL_BYTES = 2**16  # arrays that are kept, and not read or computed again


@dataclass(frozen=True, eq=False)
class Constant:
    """One constant; ``read`` gives its elements, from the file or computed anew.

    ``made`` is a digest of the operations that computed it, but for those that move or decode elements; ""
    for what is stored.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    digest: str
    read: Callable[[], Array]
    made: str = ""

    @property
    def size(self) -> int:
        """How many elements it has."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_number(self) -> bool:
        """Whether it is one number, whatever its rank."""
        return self.size == 1 and self.dtype.kind in "iufb"

    @property
    def is_float(self) -> bool:
        """Whether its elements are floats, those of ml_dtypes included."""
        return is_float(self.dtype)

    @property
    def number(self) -> float:
        """The one number."""
        return float(self.read().ravel()[0])

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}:{self.digest}"


def is_float(dtype: np.dtype[Any]) -> bool:
    """Tell whether a type holds floats, those of ml_dtypes included."""
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def constant_of(array: Array, read: Callable[[], Array] | None = None, made: str = "") -> Constant:
    """Return an array as a constant; a large one is read again by ``read``, if that is given."""
    digest = _digest(array)
    if read is None or array.nbytes <= _SMALL_BYTES:
        kept = np.array(array)
        read = lambda: kept  # noqa: E731
    return Constant(array.dtype, tuple(array.shape), digest, read, made)


def _digest(array: Array) -> str:
    """Return a digest of the elements in their order, whatever the strides."""
    state = hashlib.blake2b(digest_size=16)
    if array.dtype.kind in "OSU":
        state.update(repr(array.tolist()).encode())
        return state.hexdigest()
    if array.flags.c_contiguous:
        state.update(array.reshape(-1).view(np.uint8).data)
        return state.hexdigest()
    if array.nbytes <= _CHUNK or array.ndim < 2:
        state.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return state.hexdigest()
    rows = max(1, _CHUNK * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        state.update(np.ascontiguousarray(array[start : start + rows]).reshape(-1).view(np.uint8).data)
    return state.hexdigest()
