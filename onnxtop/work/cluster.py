"""A Dask cluster as a crew: its workers are processes elsewhere, and see the files at the same paths.

Dask sends functions and results between processes that trust each other; nothing of it is written to a file.
A worker does one piece at a time: it works in the folder in which this process stands.
"""

import contextlib
import logging
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from onnxtop.errors import MissingLibraryError, UsageError
from onnxtop.work.about import about
from onnxtop.work.crews import Busy, Crew, Lost

_PATIENCE = 10
"""Seconds until a scheduler must have answered, and have a worker."""


class Cluster(Crew):
    """The workers of a cluster. A piece whose worker is gone is done by another, a few times.

    Raises
    ------
    UsageError
        There is no scheduler, or it has no worker, or one that is not like this process.
    """

    def __init__(self, function: Callable[[Any], Any], address: str) -> None:
        self._client = _connected(address)
        try:
            _check_workers(self._client, address)
            self.size = len(self._client.scheduler_info(n_workers=-1)["workers"])
            self._pool = self._client.get_executor(pure=False)
            self._function = self._client.submit(_kept, function, pure=False)  # each worker gets it once
            self._last: deque[Future[Any]] = deque(maxlen=2 * self.size)  # no more are in hand
        except BaseException:
            self._client.close()
            raise

    def submit(self, number: int, piece: Any) -> "Future[Any]":
        """Give a piece to the cluster."""
        try:
            future: Future[Any] = self._pool.submit(
                _work, self._function, str(Path.cwd()), about(), self._client.id, piece
            )
        except Exception:  # the client is closed, and says so in several ways
            future = Future()
        self._last.append(future)
        return future

    def wait(self, futures: "Collection[Future[Any]]", seconds: float) -> None:
        """Give up what is in hand where the scheduler is gone: the client has tried to reach it again."""
        super().wait(futures, seconds)
        if self._client.status in ("closing", "closed"):
            for future in self._last:
                if not future.done():
                    future.set_exception(_GoneError())

    def loss(self, future: "Future[Any]") -> Lost | None:
        """Say what happened to a piece that nobody brought to an end."""
        from distributed import KilledWorker

        if future.cancelled() or isinstance(future.exception(), _GoneError):
            return Lost("was cut off: the scheduler is gone")
        if isinstance(future.exception(), KilledWorker):
            return Lost("died, and so did others that tried again")
        return None

    def stop(self) -> None:
        """Drop what waits, and interrupt what runs; a cluster that is gone has done so itself."""
        with contextlib.suppress(Exception):
            if not all(each.done() for each in self._last):
                self._client.run(_interrupt, self._client.id, on_error="ignore")
        with contextlib.suppress(Exception):
            self._pool.shutdown(wait=False)
        with contextlib.suppress(Exception):
            self._client.close(timeout=1)


class _GoneError(Exception):
    """The scheduler does not answer any more."""


class _StoppedError(Exception):
    """A piece was interrupted by who asked for it."""


def _connected(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise MissingLibraryError.of("Dask", "'onnxtop[dask]'") from None
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is to be told is told here
    try:
        client: Any = Client(address, timeout=_PATIENCE, set_as_default=False)
        client.wait_for_workers(1, timeout=_PATIENCE)
    except (OSError, ValueError) as error:  # a time-out is an OSError
        raise UsageError(
            f"--scheduler {address}: wanted a Dask scheduler with workers, found none in {_PATIENCE} s "
            f"({' '.join(str(error).split())[:100]}): start them with dask scheduler and dask worker"
        ) from None
    return client


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers that are not like this process."""
    for worker, there in client.run(about, on_error="return").items():
        if isinstance(there, OSError):
            continue  # it is gone: whoever cannot be reached does no work either
        if isinstance(there, BaseException):
            raise UsageError(f"--scheduler {address}: {worker} cannot run onnxtop: {there}: install it there")
        if complaint := _difference(there):
            raise UsageError(f"--scheduler {address}: {worker} {complaint}")


def _difference(there: Mapping[str, str]) -> str:
    here = about()
    apart = [
        f"{name} {held} here, {there.get(name)} there"
        for name, held in here.items()
        if held != there.get(name)
    ]
    return f"is another: {'; '.join(apart)}: results could differ, make them the same" if apart else ""


# What follows runs in the workers.

_one_at_a_time = threading.Lock()
_busy: defaultdict[str, Busy] = defaultdict(Busy)
"""The threads that work for each client: several may share a worker."""


def _interrupt(client: str) -> None:
    _busy[client].interrupt()


def _kept(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return function


def _work(
    function: Callable[[Any], Any], folder: str, asked: Mapping[str, str], client: str, piece: Any
) -> Any:
    if asked != about():
        raise UsageError(f"a worker differs from who asks it: {dict(about())}, wanted {dict(asked)}")
    with _one_at_a_time, _standing_in(folder), _busy[client].here():
        try:
            return function(piece)
        except KeyboardInterrupt:
            raise _StoppedError from None  # no result: it may still be asked for one


@contextlib.contextmanager
def _standing_in(folder: str) -> Iterator[None]:
    """Work where the asking process stands: names of files mean the same."""
    before = Path.cwd()
    try:
        os.chdir(folder)
    except OSError as error:
        raise UsageError(
            f"a worker has no folder {folder}: {error.strerror}: wanted storage that all share"
        ) from None
    try:
        yield
    finally:
        os.chdir(before)
