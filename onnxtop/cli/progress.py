"""Progress on stderr, for work that turns out to be long."""

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 0.5
"""Seconds without a sign: shorter work shows none, and never loads rich."""


def wanted(quiet: bool, no_progress: bool) -> bool:
    """Tell whether progress can be shown and nobody minds."""
    if quiet or no_progress or sys.stderr is None:  # None: it is closed
        return False
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class ProgressLine:
    """One line that says which layer is measured; erased by ``stop``, drawn anew by the next call."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.title = ""
        self.drawn: tuple[Progress, TaskID] | None = None
        self.wait()

    def __enter__(self) -> "ProgressLine":
        """Start to wait."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Erase the line, whatever happened."""
        self.stop()

    def wait(self) -> None:
        """Begin to wait, once more where the libraries that the work needs are loaded by now."""
        self.due = time.monotonic() + PATIENCE

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` weights are measured and ``what`` is next."""
        if not self.enabled or time.monotonic() < self.due:
            return
        from onnxtop.render.cells import UNICODE

        label = f"{UNICODE.short(self.title, 30)} {UNICODE.short(what, 24)}"
        if self.drawn is None:
            self.drawn = _draw(label, total)
        progress, task = self.drawn
        progress.update(task, description=label, completed=done, total=total)

    def stop(self) -> None:
        """Erase the line, so that something else can be written."""
        if self.drawn is not None:
            self.drawn[0].stop()
            self.drawn = None


def _draw(label: str, total: int) -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(16), TaskProgressColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(label, total=total)
    progress.start()
    return progress, task
