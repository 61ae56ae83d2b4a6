"""Progress on stderr, for work that turns out to be long."""

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress, TaskID

PATIENCE = 0.5
"""Seconds without a sign: shorter work shows none, and never loads rich."""


def wanted(quiet: bool, no_progress: bool) -> bool:
    """Tell whether progress can be shown and nobody minds."""
    if quiet or no_progress or sys.stderr is None:  # None: it is closed
        return False
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class ProgressLine:
    """One line that says which layer is measured; erased by ``stop``, drawn anew by the next call.

    Over many models it shows their share of all bytes, and how long the rest takes at this pace. A ``page``
    that grows above it is erased with it.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.title = ""
        self.before, self.share, self.last = 0.0, 1.0, 0.0
        self.sizes: Sequence[int] = ()
        self.whole, self.ended = 1, 0
        self.parts: dict[int, float] = {}
        self.drawn: tuple[Progress, TaskID] | None = None
        self.page: GrowingPage | None = None
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
        self.started = time.monotonic()
        self.due = self.started + PATIENCE

    @property
    def late(self) -> bool:
        """Whether the work has taken so long that somebody may want to see something."""
        return self.enabled and time.monotonic() >= self.due

    def expect(self, sizes: Sequence[int]) -> None:
        """Say how large the models are that will be worked on."""
        self.sizes, self.whole = sizes, sum(sizes) or 1
        self.ended, self.parts = 0, {}

    def begin(self, title: str, number: int) -> None:
        """Say which of them is next."""
        self.title = title
        self.before, self.share = sum(self.sizes[:number]) / self.whole, self.sizes[number] / self.whole

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` weights are measured and ``what`` is next."""
        self._show(what, self.before + self.share * min(done / total if total else 0.0, 1.0))

    def at(self, number: int, share: float, what: str) -> None:
        """Show how far the one has come that is worked on, where somebody says it."""
        if what:
            self._show(what, self.before + self.share * share)

    def along(self, number: int, share: float) -> None:
        """Show how far one of several models has come that are worked on at a time."""
        self.before += (share - self.parts.pop(number, 0.0)) * self.sizes[number] / self.whole
        if share < 1.0:
            self.parts[number] = share
        else:
            self.ended += 1
        self.title = f"{self.ended}/{len(self.sizes)}"
        self._show("models", min(max(self.before, self.last), 1.0))

    def _show(self, what: str, share: float) -> None:
        if not self.late:
            return
        from onnxtop.render.cells import UNICODE

        if share < self.last:  # another piece of work
            self.started = time.monotonic()
        self.last = share
        left = remaining(time.monotonic() - self.started, share)
        label = f"{UNICODE.short(self.title, 30)} {UNICODE.short(what, 24)}"
        if self.drawn is None:
            self.drawn = _draw(label)
        progress, task = self.drawn
        progress.update(task, description=label, completed=share, left=left)

    def stop(self) -> None:
        """Erase the line, so that something else can be written."""
        if self.drawn is not None:
            self.drawn[0].stop()
            self.drawn = None
        if self.page is not None:
            self.page.stop()


def remaining(seconds: float, share: float) -> str:
    """Say how long the rest takes at the pace so far; nothing before the first hundredth is done.

    >>> remaining(30.0, 0.25), remaining(60.0, 0.01), remaining(1.0, 0.001)
    ('1:30 left', '1:39:00 left', '')
    """
    if share < 0.01:
        return ""
    minutes, rest = divmod(round(seconds * (1 - share) / share), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def _draw(label: str) -> "tuple[Progress, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(16),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task(label, total=1.0, left="")
    progress.start()
    return progress, task


class GrowingPage:
    """A page on stdout that is drawn anew in its place, and erased by ``stop``."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled and os.environ.get("TERM") != "dumb"
        self.drawn: Live | None = None

    def show(self, page: str) -> None:
        """Draw a page in the place of the last."""
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        if self.drawn is None:
            self.drawn = Live(
                console=Console(),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self.drawn.start()
        self.drawn.update(Text.from_ansi(page), refresh=True)

    def stop(self) -> None:
        """Erase the page, so that it can be written to stay."""
        if self.drawn is not None:
            self.drawn.stop()
            self.drawn = None
