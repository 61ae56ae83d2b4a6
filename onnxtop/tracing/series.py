"""Files in the order of training, each with a name that tells it from the others."""

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxtop.errors import UnreadableError, UsageError
from onnxtop.options import said
from onnxtop.tracing.options import TraceOptions
from onnxtop.work.folders import models_below


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint's file, its short name, and its step if names tell one."""

    path: str
    name: str
    step: float | None = None


def files(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the files that paths name, a folder by what is below it.

    Raises
    ------
    UnreadableError
        A folder cannot be listed.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else paths
    return [file for path in several for file in _below(path)]


def _below(path: str | os.PathLike[str]) -> list[str]:
    if not os.path.isdir(path):
        return [os.fspath(path)]
    found, refused = models_below(path)
    if refused:
        error = refused[0]
        raise UnreadableError(
            f"{error.filename}: wanted a folder of checkpoints, found one that cannot be read: "
            f"{error.strerror}; change its permissions, or name the folders beside it"
        )
    return found


def placed(paths: Sequence[str], options: TraceOptions) -> list[CheckpointFile]:
    """Return the checkpoints in their order.

    Raises
    ------
    UsageError
        A name has no step where the label looks for one.
    """
    names = short_names(paths)
    places = [
        CheckpointFile(path, name, step_of(path, options)) for path, name in zip(paths, names, strict=True)
    ]
    if options.label is not None:
        return sorted(places, key=lambda place: (place.step, natural(place.path)))
    if options.order == "mtime":
        return sorted(places, key=lambda place: (_changed(place.path), natural(place.path)))
    return places if options.order == "given" else sorted(places, key=lambda place: natural(place.path))


def step_of(path: str, options: TraceOptions) -> float | None:
    """Return the number that the label finds in a file's name, None if there is no label."""
    if options.pattern is None:
        return None
    match = options.pattern.search(Path(path).name) or options.pattern.search(path)
    if match is None:
        raise UsageError(f"{path}: wanted a name in which {said(options.label)} finds the step, found none")
    told = match[1] if "step" not in options.pattern.groupindex else match["step"]
    step = None if told is None else as_number(told)
    if step is None or not math.isfinite(step):
        raise UsageError(f"{path}: wanted a number where {said(options.label)} has its group, found {told!r}")
    return step


def as_number(text: str) -> float | None:
    """Return the number that a text is, None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key by which numbers in texts are in order.

    >>> sorted(["step_10", "step_9", "step_09b"], key=natural)
    ['step_09b', 'step_9', 'step_10']
    """
    parts = re.split(r"([0-9]+)", text)
    return [(1, int(part), part) if number % 2 else (0, 0, part) for number, part in enumerate(parts)]


def short_names(paths: Sequence[str]) -> list[str]:
    """Return what tells files apart: their names without suffix, with folders where these are needed.

    >>> short_names(["run/a.onnx", "run/b.onnx"]), short_names(["run/1/m.onnx", "run/2/m.onnx"])
    (['a', 'b'], ['1/m', '2/m'])
    """
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    whole = [os.path.normpath(path) for path in paths]
    try:
        shared = os.path.commonpath(whole) if len(set(whole)) > 1 else ""
    except ValueError:  # on several drives
        shared = ""
    names = (os.path.relpath(path, shared) if shared else path for path in whole)
    return [Path(name).with_suffix("").as_posix() for name in names]


def _changed(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:  # reading it says what is wrong
        return 0
