"""A constant by its content: type, shape and digest; its elements are read again where they are wanted.

A large one of a single model may have a mark in place of its digest: that no other constant of the model
holds the same bytes is enough to tell it from them, and it is hashed only if somebody asks.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from onnxtop.reader.tensors import TensorFiles, stored_bytes
from onnxtop.work.content import digest_of_elements

Array = NDArray[Any]

SMALL_BYTES = 2**16
"""Bytes up to which arrays are kept, and not read or computed again."""


@dataclass(frozen=True, eq=False)
class Constant:
    """One constant; ``read`` gives its elements, from the file or computed anew.

    ``mark`` tells it from others of its type and shape: its digest, or less where ``hash`` gives that.
    ``made`` is a digest of the operations that computed it, but for those that move, round or decode
    elements; "" for what is stored. ``steps`` gives, of what was decoded, how far apart the values of two
    codes that follow each other are at each element; None for what is no code.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    mark: str
    read: Callable[[], Array]
    made: str = ""
    hash: Callable[[], str] | None = None
    steps: Callable[[], Array] | None = None

    @property
    def digest(self) -> str:
        """The digest of its elements."""
        return self.mark if self.hash is None else self.hash()

    @cached_property
    def key(self) -> tuple[str, tuple[int, ...], str]:
        """What constants of one table that are equal have in common, and no others."""
        return str(self.dtype), self.shape, self.mark

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

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
    digest = digest_of_elements(array)
    if read is None or array.nbytes <= SMALL_BYTES:
        kept = np.array(array)
        read = lambda: kept  # noqa: E731
    return Constant(array.dtype, tuple(array.shape), digest, read, made)


def stored(files: TensorFiles, tensor: TensorProto, mark: str = "") -> Constant:
    """Return a tensor of a file as a constant; ValueError if it makes no sense.

    One that has a mark is hashed only if somebody asks.
    """
    if mark:
        dtype, shape = files.type_of(tensor), tuple(tensor.dims)
        return Constant(
            dtype, shape, mark, lambda: files.read(tensor), hash=lambda: files.content(tensor).digest
        )
    content = files.content(tensor)
    if content.byte_count <= SMALL_BYTES:
        return constant_of(files.read(tensor))
    return Constant(content.dtype, content.shape, content.digest, lambda: files.read(tensor))


def marks_of(files: TensorFiles, tensors: Iterable[TensorProto]) -> Mapping[int, str]:
    """Return marks of large tensors, by their ids: where a few bytes tell that no other is equal.

    Of those that hold their elements in another form a few bytes tell nothing.
    """
    large = [tensor for tensor in tensors if (stored_bytes(tensor) or 0) > SMALL_BYTES]
    looks = [files.look(tensor) for tensor in large]
    counts = Counter(looks)
    unseen = {_outline(tensor) for tensor, look in zip(large, looks, strict=True) if look is None}
    return {
        id(tensor): look.hex()
        for tensor, look in zip(large, looks, strict=True)
        if look is not None and counts[look] == 1 and _outline(tensor) not in unseen
    }


def _outline(tensor: TensorProto) -> tuple[int, ...]:
    return (tensor.data_type, *tensor.dims)
