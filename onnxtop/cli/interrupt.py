"""Ctrl-C and SIGTERM: the first ends the work, and what is done is written; the second ends all at once."""

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from onnxtop.errors import ENDED
from onnxtop.results.outcome import INTERRUPTED
from onnxtop.work.files import UNFINISHED

_SOON = 0.01
"""Seconds between two looks whether an import has ended."""
_TOGETHER = 0.1
"""Seconds within which signals are one: some who say that time is up say it to a process and to its group."""
_PATIENCE = 10.0
"""Seconds that what does not hear an interrupt may go on: somebody may never read what it writes."""
_HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows


class Interrupts:
    """Both signals as KeyboardInterrupt, where they are `heard`: in the work; elsewhere they wait for it.

    So nothing that is written is cut off, but after a while: into a pipe that nobody reads. Nor is an import:
    of those in the work the end is waited for, since libraries that are no Python do not survive an error
    while they are loaded. One that Python swallows, in a callback, is raised again.
    """

    def __init__(self, cleanup: Callable[[], object]) -> None:
        self.cleanup = cleanup
        self.process = os.getpid()
        self.hearing = self.seen = False
        self.first, self.latest = -math.inf, math.inf
        self.before: dict[signal.Signals, Any] = {}
        self.unraisable = sys.unraisablehook

    def __enter__(self) -> "Interrupts":
        """Take over the signals that are not ignored (as behind nohup); only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            both = (signal.SIGINT, signal.SIGTERM)
            taken = [each for each in both if signal.getsignal(each) is not signal.SIG_IGN]
            self.before = {each: signal.signal(each, self._signalled) for each in taken}
            if _HAS_TIMER:
                self.before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._hear)
            self.unraisable, sys.unraisablehook = sys.unraisablehook, self._swallowed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give them back."""
        if self.before:
            sys.unraisablehook = self.unraisable
            _wake(0)
        for each, handler in self.before.items():
            signal.signal(each, handler)

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Let an interrupt end this, also one that came before, or that a library swallowed."""
        self.hearing = True
        try:
            if self.seen:
                self.latest = math.inf
                raise KeyboardInterrupt
            yield
        finally:
            self.hearing = False

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.seen and os.getpid() == self.process:
            if now < self.first + _TOGETHER:
                return
            self._end()
        self.seen = True
        self.first, self.latest = now, now + _PATIENCE
        self._hear(number, frame)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        """Raise what was seen, where it is heard; while something is imported, look again soon."""
        if self.hearing:
            if not (_HAS_TIMER and _is_importing(frame)):
                self.latest = math.inf  # what was done may take as long as it takes to be written
                raise KeyboardInterrupt
            _wake(_SOON)
        elif (left := self.latest - time.monotonic()) > 0:
            _wake(min(left, _PATIENCE))
        elif os.getpid() == self.process:
            self._end()

    def _swallowed(self, error: "sys.UnraisableHookArgs") -> None:
        if self.seen and issubclass(error.exc_type, KeyboardInterrupt):
            _wake(_SOON)
        else:
            self.unraisable(error)

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            for path in UNFINISHED:
                path.unlink(missing_ok=True)
        self.cleanup()
        with contextlib.suppress(OSError):
            os.write(2, ENDED)
        os._exit(INTERRUPTED)


def _wake(seconds: float) -> None:
    """Have a timer look again so soon; 0 stops it."""
    if _HAS_TIMER:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
