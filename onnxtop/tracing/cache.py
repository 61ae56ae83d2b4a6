"""What was measured before, remembered by what the files hold: never by their names or times.

A checkpoint is a small file of its own in a folder, so that a run that was interrupted has lost nothing and
several runs may share the folder. What does not read back whole is measured anew.
"""

import hashlib
import json
import secrets
from dataclasses import asdict, replace
from pathlib import Path

from onnxtop._version import __version__
from onnxtop.auditing.story import ALGORITHMS
from onnxtop.errors import UsageError
from onnxtop.reader.locations import files_of
from onnxtop.results.plain import built
from onnxtop.results.trace import Checkpoint
from onnxtop.tracing.measuring import Source
from onnxtop.tracing.options import TraceOptions
from onnxtop.work.options import WorkOptions

TRACE_ALGORITHM = 1
"""Raised whenever the same files and options may give another trace, or it is written otherwise."""


class Cache:
    """A folder of measured checkpoints; without one nothing is remembered.

    Raises
    ------
    UsageError
        The folder cannot be made.
    """

    def __init__(self, options: TraceOptions) -> None:
        cache = options.audit.work.cache
        self.folder = None if cache in (None, "off") else Path(cache)
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.folder}: wanted a folder for the cache: {error.strerror}") from None
        about = (
            __version__,
            ALGORITHMS,
            TRACE_ALGORITHM,
            replace(options.audit, data=None, work=WorkOptions()),
        )
        data = options.audit.data
        self._settings = f"{about!r} {_digest([] if data is None else _below(Path(data)))}"

    def get(self, source: Source, before: Source | None) -> Checkpoint | None:
        """Return what was measured of a checkpoint after the one before, None if nothing whole is known."""
        if self.folder is None:
            return None
        try:
            told = json.loads(self._file(source, before).read_text(encoding="utf-8"))
            if told["digest"] != _checksum(told["checkpoint"]):
                return None
            known: Checkpoint = built(Checkpoint, told["checkpoint"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        place = source.place
        return replace(known, path=place.path, name=place.name, step=place.step)

    def put(self, source: Source, before: Source | None, checkpoint: Checkpoint) -> Checkpoint:
        """Remember a checkpoint, unless its file has changed since it was read; return it."""
        if self.folder is None or _digest([Path(source.file)]) != checkpoint.sha256:
            return checkpoint
        target = self._file(source, before)
        values = json.loads(json.dumps(asdict(checkpoint)))
        temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            temporary.write_text(
                json.dumps({"digest": _checksum(values), "checkpoint": values}), encoding="utf-8"
            )
            temporary.replace(target)
        except OSError as error:
            raise UsageError(f"{self.folder}: the cache cannot be written: {error.strerror}") from None
        finally:
            temporary.unlink(missing_ok=True)
        return checkpoint

    def _file(self, source: Source, before: Source | None) -> Path:
        assert self.folder is not None
        parts = [self._settings, *(each and content(Path(each.file)) for each in (source, before))]
        return self.folder / f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.json"


def content(file: Path) -> str:
    """Return the digest of a model and of the files beside it that it keeps weights in."""
    return _digest([file]) + _digest(files_of(file))


def _digest(files: list[Path]) -> str:
    state = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                state.update(chunk)
    return state.hexdigest()


def _below(path: Path) -> list[Path]:
    """Return a file, or all files of a folder, sorted; none if there is neither, which is told elsewhere."""
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())
    return [path] if path.is_file() else []


def _checksum(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
