"""What was measured of checkpoints before: an answer for each, and the one that training came from.

A run that was interrupted has lost nothing, and several runs may share what is remembered.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.recall import Question
from onnxtop.reader.locations import files_of
from onnxtop.results.trace import Checkpoint
from onnxtop.tracing.measuring import Source
from onnxtop.work.content import combined, digest_of
from onnxtop.work.options import WorkOptions
from onnxtop.work.store import Store

TRACE_ALGORITHM = 1
"""Raised whenever the same files and options may give another trace, or it is written otherwise."""


class Cache:
    """Measured checkpoints of series with the same options."""

    def __init__(self, options: AuditOptions, store: Store) -> None:
        data = [] if options.data is None else _below(Path(options.data))
        held = combined(map(digest_of, data)) if store else ""
        asked = replace(options, data=None, allow_external=(), work=WorkOptions())
        self._about = ("checkpoint", TRACE_ALGORITHM, asked, held)
        self._allowed = options.allow_external
        self._store = store

    def get(self, source: Source, before: Source | None) -> Checkpoint | None:
        """Return what was measured of a checkpoint after the one before, None if nothing whole is known."""
        question = self._question(source, before)
        known: Checkpoint | None = question.known(question.key()) if self._store else None
        return None if known is None else _renamed(known, source)

    def measured(
        self, source: Source, before: Source | None, measure: Callable[[], Checkpoint]
    ) -> Checkpoint:
        """Return what is known of a checkpoint, or else is measured and remembered."""
        if not self._store:
            return measure()
        return _renamed(self._question(source, before).answered(measure), source)

    def _question(self, source: Source, before: Source | None) -> Question:
        files = (source.file,) if before is None else (source.file, before.file)
        return Question(self._store, self._about, files, (Checkpoint,), self._allowed)


def _renamed(known: Checkpoint, source: Source) -> Checkpoint:
    place = source.place
    return replace(known, path=place.path, name=place.name, step=place.step)


def content(file: Path) -> str:
    """Return the digest of a model and of the files beside it that it keeps weights in."""
    return combined(map(digest_of, (file, *files_of(file))))


def _below(path: Path) -> list[Path]:
    """Return a file, or all files of a folder, sorted; none if there is neither, which is told elsewhere."""
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())
    return [path] if path.is_file() else []
