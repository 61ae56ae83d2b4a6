"""The state file of a run: minima, polished points and paths found so far, written whole after each."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.landscape.polish import Certificate
from onnxtop.landscape.search import Found
from onnxtop.loss.data import Data
from onnxtop.loss.descent import Floats
from onnxtop.work.beside import regular, usable
from onnxtop.work.files import write_file
from onnxtop.work.values import classes_of, dumps, loads


@dataclass(eq=False)
class State:
    """What is known so far; kept in memory alone if ``path`` is None.

    ``minima`` are trained points by name, ``polished`` where polishing took points, by the marks of their
    starts (`mark_of`), ``found`` the paths in their order; ``key`` tells the run.
    """

    path: Path | None
    key: str
    minima: dict[str, Floats] = field(default_factory=dict)
    polished: dict[str, tuple[Floats, Certificate]] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)

    @classmethod
    def resume(cls, path: str | Path | None, key: str) -> "State":
        """Open the state of an earlier run of the same kind, or start a new one; it is written at once.

        Raises
        ------
        UsageError
            The file belongs to another run, is no state file, is damaged, or cannot be written.
        """
        state = cls(None if path is None else Path(path), key)
        if state.path is None:
            return state
        with usable(state.path, "a state file of a loss barcode"):
            if os.path.exists(state.path):
                state.minima, state.polished, state.found = _read(state.path, key)
        state.save()  # what cannot be written is known before the work
        return state

    def save(self) -> None:
        """Write the file in one step: it is never seen half-written."""
        if self.path is None:
            return
        data = dumps((self.minima, self.polished, self.found))
        lines = [*(line + b"\n" for line in (_MAGIC, *_head(self.key, data))), data]
        try:
            write_file(self.path, lambda file: file.writelines(lines))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"{self.path}: the state cannot be written: {reason}") from None


_LINE = 2**10  # the most bytes of a line before the values
_ROWS = 2**10  # of data, looked at together
_MAGIC = b"onnxtop loss barcode 3"
_KINDS = classes_of(Found, Certificate)


def _head(key: str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what tells the run, and what tells that the rest is whole: its length and its digest."""
    return key.encode(), b"%d" % len(data), hashlib.sha256(data).hexdigest().encode()


def _read(path: Path, key: str) -> tuple[Any, ...]:
    """Return minima, polished points and paths as they were saved."""
    regular(path)
    with path.open("rb") as file:
        if file.read(len(_MAGIC) + 1).rstrip() != _MAGIC:
            raise ValueError("it is another file, or of another version; remove it or name another one")
        own, length, digest = (file.readline(_LINE).rstrip() for _ in range(3))
        if own != key.encode():
            raise UsageError(
                f"{path}: this state is of another run (other models, data or options); remove it or name "
                "another file"
            )
        left = os.fstat(file.fileno()).st_size - file.tell()
        data = file.read(left) if length == b"%d" % left else None  # what is no state may be of any size
    if data is None or (own, length, digest) != _head(key, data):
        raise ValueError("it is cut off or damaged; remove it or name another one")
    values = loads(data, _KINDS)
    if not isinstance(values, tuple):
        raise ValueError("it holds something else; remove it or name another one")
    return values


def mark_of(theta: Floats) -> str:
    """Return what tells one point from another."""
    return hashlib.sha256(theta.tobytes()).hexdigest()


def key_of(thetas: Sequence[Floats], data: Data, settings: str) -> str:
    """Return what tells one run from another: weights in any order, data and settings."""
    digest = hashlib.sha256(settings.encode())
    for mark in sorted(map(mark_of, thetas)):
        digest.update(mark.encode())
    for split, arrays in sorted(data.splits.items()):
        for name in sorted(arrays):
            array = arrays[name]
            digest.update(f"{name}_{split}{array.dtype}{array.shape}".encode())
            for part in (array[start : start + _ROWS] for start in range(0, len(array), _ROWS)):
                digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
