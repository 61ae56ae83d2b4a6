"""Data from disk: .npz, .npy files, folders of images; large files are mapped, not read.

An array whose name ends in ``_test`` belongs to a split of its own: ``x_test`` and ``labels_test`` are the
samples of the split ``test``.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxtop.errors import UsageError
from onnxtop.gradient.graph import Array
from onnxtop.loss.arrays import read_npy, read_npz
from onnxtop.loss.images import classes_in, images_in, read_images
from onnxtop.loss.options import Pixels
from onnxtop.loss.samples import TARGETS
from onnxtop.results.words import MAIN_SPLIT
from onnxtop.work.beside import usable

MAIN = ""
"""Name of the split whose arrays have no ending."""


@dataclass(frozen=True, eq=False)
class Data:
    """Arrays by split, then by name; ``notes`` say what was assumed."""

    splits: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = ()

    def split(self, name: str | None) -> tuple[str, Mapping[str, Any]]:
        """Return a split by name, the main one if None; the only one there is serves as the main one.

        Raises
        ------
        UsageError
            There is no such split.
        """
        if name is None and MAIN not in self.splits and len(self.splits) == 1:
            return next(iter(self.splits.items()))
        wanted = MAIN if name is None else name
        if wanted not in self.splits:
            names = ", ".join(repr(split) for split in self.splits if split) or "none"
            raise UsageError(
                f"wanted {'arrays without an ending' if name is None else f'a split {name!r}'} in the data, "
                f"found the splits {names}; choose one with --split of onnxtop probe, or take the ending off "
                "its names"
            )
        return wanted, self.splits[wanted]


def left_out(split: str, error: UsageError) -> str:
    """Note that a split does not fit the model."""
    return f"split {split or MAIN_SPLIT} is left out: {error}"


def read_data(
    path: str | os.PathLike[str] | Mapping[str, Any],
    labels: str | Path | None = None,
    look: Pixels | None = None,
    *,
    labelled: bool = True,
) -> Data:
    """Read data, or sort arrays that are there already into their splits.

    Parameters
    ----------
    path
        An .npz file with arrays named as the model's inputs and ``labels`` or ``target``; an .npy file with
        the only input, beside ``labels``; a folder of .npy files; a folder with one folder of images a class;
        or arrays by name.
    labels
        An .npy file, for a ``path`` that is one.
    look
        How images are turned into numbers.
    labelled
        Whether there have to be labels or targets.

    Raises
    ------
    UsageError
        The data cannot be read, or names no labels though it has to.
    """
    if labels is not None and (isinstance(path, Mapping) or Path(path).suffix.lower() != ".npy"):
        raise UsageError(
            "--labels goes with one array (.npy); in an .npz file labels or target stand beside it"
        )
    if look is not None and look.is_asked and _holds_arrays(path):
        raise UsageError(
            "--mean and --deviation have no effect on arrays, which are taken as they are: give a folder of "
            "images, or leave them out"
        )
    if isinstance(path, Mapping):
        return Data(_by_split({name: np.asarray(path[name]) for name in path}, labelled))
    path = Path(path)
    notes: tuple[str, ...] = ()
    with usable(path, ".npz, .npy or a folder of images"):
        if os.path.isdir(path):
            arrays, notes = _folder(path, look)
        elif path.suffix.lower() == ".npy":
            arrays = _pair(path, labels) if labels or labelled else {"x": _array(path)}
        else:
            arrays = read_npz(path)
    return Data(_by_split(arrays, labelled), notes)


def _holds_arrays(path: str | os.PathLike[str] | Mapping[str, Any]) -> bool:
    """Tell data that are numbers already from images, whose pixels become some."""
    return isinstance(path, Mapping) or os.path.isfile(path) or bool(_arrays_in(Path(path)))


def _arrays_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def files_of(folder: Path) -> list[Path]:
    """Return the files that a folder of data is read from."""
    return _arrays_in(folder) or [file for each in classes_in(folder) for file in images_in(each)]


def _pair(path: Path, labels: str | Path | None) -> dict[str, Any]:
    if labels is None:
        raise UsageError(
            f"wanted the labels of {path.name} too: save both as .npz, with the labels as 'labels' or "
            "'target'; onnxtop probe also takes them apart, with --labels FILE.npy"
        )
    target = _array(Path(labels))
    return {"x": _array(path), "labels" if _are_labels(target) else "target": target}


def _array(path: Path) -> Array:
    with usable(path, "an array (.npy)"):
        return read_npy(path)


def _are_labels(array: Array) -> bool:
    return array.dtype.kind in "iub"


def _folder(path: Path, look: Pixels | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    if files := _arrays_in(path):
        return {file.stem: _array(file) for file in files}, ()
    images, labels, notes = read_images(path, look or Pixels())
    return {"x": images, "labels": labels}, notes


def _by_split(arrays: Mapping[str, Any], labelled: bool) -> dict[str, dict[str, Any]]:
    """Sort arrays into splits by the endings of the labels' names."""
    splits: dict[str, dict[str, Any]] = {}
    for name in arrays:
        for target in TARGETS:
            if name == target or name.startswith(f"{target}_"):
                splits.setdefault(name.removeprefix(target).removeprefix("_"), {})
    if not splits and not labelled:
        return {MAIN: dict(arrays)}
    if not splits:
        raise UsageError(
            "wanted an array 'labels' or 'target' in the data, found "
            f"{', '.join(map(repr, arrays)) or 'none'}"
        )
    for name, array in arrays.items():
        ending = next((split for split in splits if split and name.endswith(f"_{split}")), MAIN)
        if ending in splits:
            splits[ending][name.removesuffix(f"_{ending}") if ending else name] = array
    return splits
