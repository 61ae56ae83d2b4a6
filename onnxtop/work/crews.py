"""Who works: this process itself, its threads, processes of its own; executors of the standard library.

A crew has one function, handed over once, before any work: processes that are copies of this one have it
already. What is handed over for each piece of work is the piece.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

GRACE = 0.5
"""Seconds that a process or thread has to end what it began itself, before it is ended."""


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

    def share(self, number: int) -> float:
        """Return how much of a piece is done, as far as that can be seen while it is worked on."""
        return 0.0

    def loss(self, future: "Future[Any]") -> str | None:
        """Return why there will be no result of a piece, if that is what became of it."""
        return None

    def death(self, error: BaseException) -> str | None:
        """Return how a worker came to its end if an error says so, of all pieces that were in hand."""
        return None

    def tend(self) -> None:  # noqa: B027 (for many crews there is nothing to do)
        """Look after what is in hand: called now and then."""

    def renew(self) -> None:  # noqa: B027 (for many crews there is nothing to do)
        """Replace workers that died."""

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


class Processes(Crew):
    """Processes of their own; they end with this one, whatever ends it.

    Raises
    ------
    OSError
        The system starts none.
    """

    def __init__(self, function: Callable[[Any], Any], size: int, n_pieces: int) -> None:
        self.size = size
        self._function = function
        self._shares: Any = multiprocessing.RawArray("d", n_pieces)
        self._begin()

    def _begin(self) -> None:
        others = multiprocessing.active_children()
        self._others = {each.pid for each in others}
        self._pool = ProcessPoolExecutor(
            self.size, _context(), initializer=_prepare, initargs=(self._function, self._shares)
        )
        try:
            self._pool.submit(_ready)  # starts them all, where they are copies of this process
        except (OSError, RuntimeError) as error:  # no more processes, or not even a thread to look after them
            for each in self._children():  # which would wait for work, and this process for them
                each.kill()
            raise OSError(str(error)) from error
        self._processes = self._children()

    def _children(self) -> list[BaseProcess]:
        return [each for each in multiprocessing.active_children() if each.pid not in self._others]

    def submit(self, number: int, piece: Any) -> "Future[Any]":
        """Give a piece to a process."""
        future = self._pool.submit(_work, number, piece)
        if len(self._processes) < self.size:  # those that are no copies start one by one
            self._processes = self._children()
        return future

    def share(self, number: int) -> float:
        """Return what the process says that works on it; see `tell_share`."""
        return float(self._shares[number])

    def death(self, error: BaseException) -> str | None:
        """Say how the process ended that is gone; all others are gone with it, and have to be renewed."""
        if not isinstance(error, BrokenProcessPool):
            return None
        for each in self._processes:
            each.join(GRACE)
        codes = [each.exitcode for each in self._processes]
        own = [code for code in codes if code not in (None, 0, -signal.SIGTERM, _ENDED)]
        return ending(own[0] if own else -signal.SIGTERM)

    def renew(self) -> None:
        """Start processes anew."""
        self._pool.shutdown()
        self._begin()

    def stop(self) -> None:
        """Tell all processes to end; those that do not within the grace are ended."""
        for each in self._processes:
            each.terminate()
        end = time.monotonic() + GRACE
        for each in self._processes:
            each.join(max(end - time.monotonic(), 0.0))
            each.kill()
        self._pool.shutdown(cancel_futures=True)


def ending(code: int) -> str:
    """Say how a process ended, by its exit code.

    >>> ending(-9)
    'was ended by SIGKILL, as a system does that runs out of memory'
    >>> ending(3)
    'ended itself with code 3'
    """
    if code >= 0:
        return f"ended itself with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", as a system does that runs out of memory" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def _context() -> Any:
    """Return how processes start: as copies, which costs least, where that is safe: with one thread."""
    tasks = Path("/proc/self/task")
    alone = sys.platform == "linux" and tasks.is_dir() and len(list(tasks.iterdir())) == 1
    return multiprocessing.get_context(
        "fork" if alone else "forkserver" if sys.platform == "linux" else "spawn"
    )


# What follows runs in the processes.

_ENDED = 113
"""Exit code of a process that was told to end."""


class _Ended(BaseException):
    """The process has been told to end."""


class _State:
    """What a process has: its function, the piece that it is in, and where it says how far it has come."""

    function: Callable[[Any], Any]
    shares: Any = None
    piece: int | None = None


def tell_share(what: str, done: int, total: int) -> None:
    """Say how much is done of the piece that this process works on; nobody hears it elsewhere."""
    if _State.shares is not None and _State.piece is not None and total:
        _State.shares[_State.piece] = done / total


def _prepare(function: Callable[[Any], Any], shares: Any) -> None:
    """Leave Ctrl-C to the parent, which the terminal tells as well, and end with it."""
    _State.function, _State.shares = function, shares
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _end(number: int, frame: FrameType | None) -> None:
    if _State.piece is None:
        os._exit(_ENDED)
    raise _Ended


def _ready() -> None:
    pass


def _work(number: int, piece: Any) -> Any:
    with contextlib.suppress(_Ended):
        _State.piece = number
        try:
            return _State.function(piece)
        finally:
            _State.piece = None
    os._exit(_ENDED)  # whatever it had begun has been put in order
