"""New checkpoints of a folder as they appear, each when its file is whole.

A writer may take its time, cut a file short, replace it or take it away. So nothing is read before two looks
in a row have found the same sizes and times, of the model and of the files beside it; then a copy is taken,
and what is read is the copy. A copy that does not load is of a file that is not whole yet: it is tried again
when the file changes. What else fails would fail again, and takes the checkpoint's place. That the system
starts no process is no checkpoint's fault: it ends the watch.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

from onnxtop.errors import (
    NOT_THE_PATH,
    ExternalDataError,
    FormatError,
    ModelError,
    NoProcessError,
    OnnxtopError,
    UnreadableError,
    UsageError,
)
from onnxtop.reader.locations import files_of
from onnxtop.results.outcome import FailedModel
from onnxtop.results.trace import Step
from onnxtop.tracing.cache import content
from onnxtop.tracing.series import CheckpointFile, natural, step_of as series_step
from onnxtop.tracing.story import Series
from onnxtop.work.folders import models_below

_NOT_WHOLE = (FormatError, ExternalDataError, UnreadableError)
"""Errors of a file that may be written still."""
_PARTLY = "a file that it keeps weights in is not there"

Marks = tuple[tuple[int, int, int], ...]
"""Bytes, time and number of each file of a checkpoint, whatever it is called."""
Signature = tuple[tuple[str, int, int, int], ...]
"""The same with the name of each file first: other ones are another checkpoint."""


class Watch:
    """A folder that is looked at again and again.

    Attributes
    ----------
    waiting
        Why a file that is there has not been measured, by its path.
    """

    def __init__(
        self,
        folder: str,
        series: Series,
        interval: float,
        step_of: Callable[[str], float | None] | None = None,
    ) -> None:
        self.folder, self.series, self.interval = Path(folder), series, interval
        self._step_of = step_of or partial(series_step, options=series.options)
        self.waiting: dict[str, FailedModel] = {}
        self._seen: dict[str, Signature | None] = {}
        self._done: dict[str, Signature] = {}
        self._measured_files: set[Marks] = set()
        self._contents: dict[str, list[str]] = {}
        self._beside: dict[str, tuple[Signature, list[Path]]] = {}
        self._copies: list[tempfile.TemporaryDirectory[str]] = []

    def steps(self) -> Generator[Step, None, None]:
        """Yield checkpoints for ever: what each gave, or why there are no figures of it.

        Raises
        ------
        ModelError
            There is no room for a copy, or the system starts no process that measures it.
        UsageError
            Nothing can be measured as it is asked for.
        """
        try:
            while True:
                for path in self._whole():
                    step = self._measured(path)
                    if step is not None:
                        yield step
                time.sleep(self.interval)
        finally:
            for copy in self._copies:
                copy.cleanup()

    def _whole(self) -> list[str]:
        """Return the files that are new or changed, and stood still since the last look, in order."""
        paths, refused = self._files()
        now = {path: self._signature(path) for path in paths}
        still = [path for path, mark in now.items() if mark is not None and mark == self._seen.get(path)]
        self._seen = now
        new = [path for path in still if now[path] != self._done.get(path) and not self._is_renamed(path)]
        for gone in self.waiting.keys() - now.keys():
            del self.waiting[gone]
        for path in (path for path, mark in now.items() if mark is None):
            self.waiting[path] = FailedModel(path, ModelError.exit_code, _PARTLY)
        for error in refused:
            folder = str(error.filename)
            self.waiting[folder] = FailedModel(
                folder, ModelError.exit_code, f"cannot be read: {error.strerror}"
            )
        return sorted(new, key=natural)

    def _is_renamed(self, path: str) -> bool:
        """Tell whether what was measured has only got another name."""
        mark = self._seen[path]
        assert mark is not None
        if path in self._done or _marks(mark) not in self._measured_files:
            return False
        self._done[path] = mark
        return True

    def _files(self) -> tuple[list[str], list[OSError]]:
        """Return the models below the folder, and why others in it may not be read; it must be itself."""
        with contextlib.suppress(FileNotFoundError):  # it may come again
            os.scandir(self.folder).close()
        paths, refused = models_below(self.folder)
        return paths, [error for error in refused if not isinstance(error, FileNotFoundError)]

    def _signature(self, path: str) -> Signature | None:
        """Return what tells a checkpoint's files from others; None if one of them is not there."""
        try:
            own = (_mark(Path(path)),)
            if self._beside.get(path, ((), []))[0] != own:
                self._beside[path] = own, files_of(Path(path))
            return (*own, *map(_mark, self._beside[path][1]))
        except OSError:
            return None

    def _measured(self, path: str) -> Step | None:
        """Measure a copy of a file; None if it is not whole, or holds what it held before."""
        mark = self._seen[path]
        assert mark is not None
        copy = tempfile.TemporaryDirectory(prefix="onnxtop-", ignore_cleanup_errors=True)
        self._copies.append(copy)
        try:
            file = _copied(path, self._beside[path][1], Path(copy.name))
            if self._signature(path) != mark:
                return None
            known = self._contents.setdefault(path, [])
            holds = content(Path(file))
            self._done[path] = mark
            self._measured_files.add(_marks(mark))
            if known and known[-1] == holds:
                return None
            return self._added(path, file, holds)
        except FileNotFoundError:  # it has gone away meanwhile
            return None
        except OSError as error:
            if error.errno in NOT_THE_PATH:
                reason = f"found none in {copy.name}: {error.strerror}; free some, or set TMPDIR"
                raise ModelError(f"{path}: wanted room for a copy, {reason}") from None
            self.waiting[path] = FailedModel(path, ModelError.exit_code, f"cannot be read: {error.strerror}")
            return None
        finally:
            self._drop_copies()

    def _added(self, path: str, file: str, holds: str) -> Step | None:
        known = self._contents[path]
        name = Path(os.path.relpath(path, self.folder)).with_suffix("").as_posix()
        try:
            place = CheckpointFile(path, f"{name} ({len(known) + 1})" if known else name, self._step_of(path))
            step: Step = self.series.add(self.series.source(place, file))
        except _NOT_WHOLE as error:
            self.waiting[path] = _failure(path, file, error)
            return None
        except NoProcessError as error:
            raise NoProcessError(f"{path}: {_failure(path, file, error).message}") from None
        except OnnxtopError as error:
            if isinstance(error, UsageError) and not self.series.points:
                raise
            step = _failure(path, file, error)
            self.series.fail(step)
        known.append(holds)
        self.waiting.pop(path, None)
        return step

    def _drop_copies(self) -> None:
        """Take away all copies but that of the last checkpoint: the next is compared with it."""
        last = None if self.series.last is None else Path(self.series.last.file)
        for copy in [each for each in self._copies if last is None or Path(each.name) not in last.parents]:
            self._copies.remove(copy)
            copy.cleanup()


def _failure(path: str, file: str, error: OnnxtopError) -> FailedModel:
    """Return what is said of a checkpoint by its own name, whose bytes are in another file."""
    message = str(error).removeprefix(f"{file}: ").removeprefix(f"{path}: ")
    return FailedModel(path, error.exit_code, message)


def _marks(signature: Signature) -> Marks:
    return tuple((size, time, number) for _, size, time, number in signature)


def _mark(path: Path) -> tuple[str, int, int, int]:
    found = path.stat()
    return str(path), found.st_size, found.st_mtime_ns, found.st_ino


def _copied(path: str, beside: list[Path], folder: Path) -> str:
    """Copy a model and what is below its folder; return the copy, or the model if files stand elsewhere."""
    home = Path(path).parent.resolve()
    if not all(each.is_relative_to(home) for each in beside):
        return path
    places = {Path(path): Path(Path(path).name), **{each: each.relative_to(home) for each in beside}}
    for source, place in places.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return str(folder / Path(path).name)
