"""What was measured of checkpoints before: an answer for each, and the one that training came from.

A run that was interrupted has lost nothing, and several runs may share what is remembered.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from onnxtop.auditing.options import AuditOptions
from onnxtop.auditing.recall import Question
from onnxtop.reader.locations import files_of
from onnxtop.results.trace import Checkpoint
from onnxtop.tracing.measuring import MeasuredFile
from onnxtop.work.content import combined, digest_of
from onnxtop.work.options import WorkOptions
from onnxtop.work.store import Store

TRACE_ALGORITHM = 1
"""Raised whenever the same files and options may give another trace, or it is written otherwise."""


class Cache:
    """Measured checkpoints of series with the same options."""

    def __init__(self, options: AuditOptions, store: Store) -> None:
        held = () if options.data is None or not store else _held(Path(options.data))
        asked = replace(options, data=None, allow_external=(), work=WorkOptions())
        self._about = ("checkpoint", TRACE_ALGORITHM, asked, held)
        self._allowed = options.allow_external
        self._store = store

    def get(self, source: MeasuredFile, before: MeasuredFile | None) -> Checkpoint | None:
        """Return what was measured of a checkpoint after the one before, None if nothing whole is known."""
        question = self._question(source, before)
        known: Checkpoint | None = question.known(question.key()) if self._store else None
        return None if known is None else _renamed(known, source)

    def measured(
        self, source: MeasuredFile, before: MeasuredFile | None, measure: Callable[[], Checkpoint]
    ) -> Checkpoint:
        """Return what is known of a checkpoint, or else is measured and remembered."""
        if not self._store:
            return measure()
        return _renamed(self._question(source, before).answered(measure), source)

    def _question(self, source: MeasuredFile, before: MeasuredFile | None) -> Question:
        files = (source.file,) if before is None else (source.file, before.file)
        return Question(self._store, self._about, files, (Checkpoint,), self._allowed)


def _renamed(known: Checkpoint, source: MeasuredFile) -> Checkpoint:
    place = source.place
    return replace(known, path=place.path, name=place.name, step=place.step)


def content(file: Path) -> str:
    """Return the digest of a model and of the files beside it that it keeps weights in."""
    return combined(map(digest_of, (file, *files_of(file))))


def _held(data: Path) -> tuple[tuple[str, str], ...]:
    """Return of a file, or of all files of a folder, names and digests.

    Names say which class or which input it is. Nothing if there is neither, which is told elsewhere.
    """
    folder = data if os.path.isdir(data) else data.parent
    files = sorted(data.rglob("*")) if os.path.isdir(data) else [data]
    return tuple((str(each.relative_to(folder)), digest_of(each)) for each in files if os.path.isfile(each))
