"""Who works: this process itself, or its threads; processes of its own are in `onnxtop.work.processes`.

A crew has one function, handed over once, before any work. What is handed over for each piece of work is the
piece.
"""

import contextlib
import ctypes
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait as wait_for
from dataclasses import dataclass
from typing import Any

from onnxtop.errors import ModelError

GRACE = 0.5
"""Seconds that a process or thread has to end what it began itself, before it is ended."""


@dataclass(frozen=True)
class Lost:
    """What stands in the place of a result that there is none of.

    Attributes
    ----------
    reason
        How its worker died; None if the work was stopped before.
    begun
        Whether somebody had begun with it.
    error
        Of which kind an error is that says so.
    """

    reason: str | None = None
    begun: bool = True
    error: type[ModelError] = ModelError


class Crew(ABC):
    """Whoever works on pieces, several at a time.

    Attributes
    ----------
    size
        How many work at a time.
    """

    size = 1

    @abstractmethod
    def submit(self, number: int, piece: Any) -> "Future[Any]":
        """Begin with a piece, or put it behind those that were begun."""

    def share(self, number: int) -> tuple[str, float]:
        """Return what a piece is at and how much of it is done, as far as that can be seen meanwhile."""
        return "", 0.0

    def loss(self, future: "Future[Any]") -> Lost | None:
        """Return why there will be no result of a piece, if that is what became of it."""
        return None

    def wait(self, futures: "Collection[Future[Any]]", seconds: float) -> None:
        """Wait until one of these is done, but not longer, and look after what is in hand."""
        wait_for(futures, seconds, FIRST_COMPLETED)

    def stop(self) -> None:  # noqa: B027 (for many crews there is nothing to do)
        """End at once whatever is worked on, or was to be."""


class Here(Crew):
    """The caller itself: a piece is done when it has been submitted."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def submit(self, number: int, piece: Any) -> "Future[Any]":
        """Do a piece; only an interrupt is raised at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(self._function(piece))
        except Exception as error:
            future.set_exception(error)
        return future


class Busy:
    """The threads that work on a piece of something, to be interrupted together."""

    def __init__(self) -> None:
        self._threads: set[int] = set()

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Count this thread among them."""
        own = threading.get_ident()
        self._threads.add(own)
        try:
            yield
        finally:
            self._threads.discard(own)

    def interrupt(self) -> None:
        """Interrupt them, as Ctrl-C interrupts the main thread; never the one that asks."""
        for thread in self._threads - {threading.get_ident()}:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt)
            )


class Threads(Crew):
    """Threads of this process, for pieces that spend their time where NumPy lets others run beside it."""

    def __init__(self, function: Callable[[Any], Any], size: int) -> None:
        self.size = size
        self._function = function
        self._pool = ThreadPoolExecutor(size)
        self._busy = Busy()
        self._given: set[Future[Any]] = set()

    def submit(self, number: int, piece: Any) -> "Future[Any]":
        """Give a piece to a thread; where the system starts none any more it is done at once."""
        try:
            future = self._pool.submit(self._watched, piece)
            self._given.add(future)
            future.add_done_callback(self._given.discard)
            return future
        except RuntimeError:
            self._pool.shutdown(wait=False)  # those that there are go on with what they have
            return Here(self._function).submit(number, piece)

    def _watched(self, piece: Any) -> Any:
        with self._busy.here():
            return self._function(piece)

    def stop(self) -> None:
        """Drop what waits; what does not end within the grace is interrupted, as Ctrl-C does the main thread.

        An interrupt may come where a file has been opened and nobody holds it yet, which then is closed late.
        """
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait_for(list(self._given), GRACE)
        self._busy.interrupt()
        self._pool.shutdown()
