"""The state file of a run: minima, polished points and paths found so far, written whole after each."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.landscape.paths import LossPath, Saddle
from onnxtop.landscape.polish import Certificate
from onnxtop.landscape.search import Found
from onnxtop.loss.data import Data
from onnxtop.loss.descent import Floats
from onnxtop.results.landscape import Top
from onnxtop.work.files import write_file


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
        """Open the state of an earlier run of the same kind, or start a new one.

        Raises
        ------
        UsageError
            The file belongs to another run, or is no state file.
        """
        state = cls(None if path is None else Path(path), key)
        if state.path is None or not os.path.exists(state.path):
            return state
        try:
            with np.load(state.path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if about["key"] != key:
                    raise UsageError(
                        f"{path}: this state is of another run (other models, data or options); remove it or "
                        "name another file"
                    )
                state.minima = {name: file[f"minimum_{i}"] for i, name in enumerate(about["minima"])}
                state.polished = {
                    mark: (file[f"polished_{i}"], Certificate(**values))
                    for i, (mark, values) in enumerate(about["polished"].items())
                }
                state.found = [_unpacked(item, file, i) for i, item in enumerate(about["found"])]
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{path}: this is no state file of a loss barcode: {error}") from None
        return state

    def save(self) -> None:
        """Write the file in one step: it is never seen half-written."""
        if self.path is None:
            return
        arrays: dict[str, Any] = {f"minimum_{i}": theta for i, theta in enumerate(self.minima.values())}
        arrays |= {f"polished_{i}": theta for i, (theta, _) in enumerate(self.polished.values())}
        about = json.dumps(
            {
                "key": self.key,
                "minima": list(self.minima),
                "polished": {mark: asdict(certificate) for mark, (_, certificate) in self.polished.items()},
                "found": [_packed(item, arrays, i) for i, item in enumerate(self.found)],
            }
        )
        try:
            write_file(self.path, lambda file: np.savez(file, about=np.array(about), **arrays))
        except OSError as error:
            raise UsageError(f"{self.path}: the state cannot be written: {error.strerror or error}") from None


_ARRAYS = ("points", "positions", "losses")


def _packed(item: Found, arrays: dict[str, Any], number: int) -> dict[str, Any]:
    """Return what a path is but for its arrays, which are put beside."""
    values = asdict(item)
    arrays.update({f"{name}_{number}": values["path"].pop(name) for name in _ARRAYS})
    if values["path"]["saddle"] is not None:
        arrays[f"top_{number}"] = values["path"]["saddle"].pop("point")
    return values


def _unpacked(values: dict[str, Any], arrays: Mapping[str, Any], number: int) -> Found:
    path = values.pop("path")
    saddle = path.pop("saddle")
    if saddle is not None:
        saddle = Saddle(**{**saddle, "outcome": Top(saddle["outcome"])}, point=arrays[f"top_{number}"])
    own = {name: arrays[f"{name}_{number}"] for name in _ARRAYS}
    return Found(**values, path=LossPath(**path, **own, saddle=saddle))


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
            array = np.asarray(arrays[name])
            digest.update(f"{name}_{split}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
