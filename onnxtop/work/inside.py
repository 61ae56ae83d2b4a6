"""A process from within: what it does between one piece and the next, and how it ends with its parent."""

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, NoReturn

from onnxtop.errors import NoProcessError
from onnxtop.work.crews import GRACE
from onnxtop.work.endings import ADVICE, ENDED, THREADLESS
from onnxtop.work.limits import leave_no_dump, limit_growth
from onnxtop.work.speech import AT, GIVES, failure, packed

_NO_THREAD = f"wanted a thread to share out the work, found that the system starts no more; {ADVICE}"
_THREADLESS_WORDS = "can't start new thread"
"""What Python says then."""
_SCARCE = 2**30
"""Bytes below which memory may be too little for a library that is loaded later."""
_ALGEBRA = 128
"""Rows of matrices that are so large that their product takes the memory of linear algebra."""
_PACE = 0.2
"""Seconds between two words on progress."""


class _State:
    """What a process has: where it speaks, when it last did, whether it works and has been told to end."""

    connection: "Connection[Any, Any] | None" = None
    spoke = 0.0
    busy = ended = False


def tell_share(what: str, done: int, total: int) -> None:
    """Say how much is done of the piece that this process works on; nobody hears it elsewhere."""
    if _State.connection is None or not total or time.monotonic() - _State.spoke < _PACE:
        return
    _State.spoke = time.monotonic()
    _say(packed(AT, what, done / total))


def _say(words: bytes) -> None:
    assert _State.connection is not None
    with undisturbed():
        _State.connection.send_bytes(words)


def work_off(
    connection: "Connection[Any, Any]",
    function: Callable[[Any], Any],
    memory: float,
    mask: Sequence[int],
    stdin: int | None,
) -> NoReturn:
    """Do one piece after the other, until there is nobody for whom."""
    _prepare(connection, memory, mask, stdin)
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        while not _State.ended:
            piece = connection.recv()
            _say(_done(function, piece))
    os._exit(ENDED)  # whatever it had begun has been put in order


def _done(function: Callable[[Any], Any], piece: Any) -> bytes:
    """Do a piece; return what is said of it."""
    _State.busy = True
    try:
        return packed(GIVES, function(piece))
    except Exception as error:
        told = NoProcessError(_NO_THREAD) if _THREADLESS_WORDS in str(error) else error
        told.add_note("".join(traceback.format_exception(error)))
        return failure(told)
    finally:
        _State.busy = False


def _prepare(
    connection: "Connection[Any, Any]", memory: float, mask: Sequence[int], stdin: int | None
) -> None:
    """Be quiet, keep to its memory, leave Ctrl-C to the parent, which the terminal tells as well."""
    _State.connection = connection
    _hush(stdin)
    leave_no_dump()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    watch_by(_outlive_nobody)
    if memory < _SCARCE:
        _load_algebra()
    limit_growth(memory)  # behind all that a process needs: what fails before is no want of memory


def watch_by(watcher: Callable[[], object]) -> None:
    """Have a thread see to it that this process outlives nobody; without one it ends at once."""
    try:
        threading.Thread(target=watcher, daemon=True).start()
    except RuntimeError:
        os._exit(THREADLESS)


def _load_algebra() -> None:
    """Have the libraries of linear algebra take their memory, which they ask for again and again without end.

    That is OpenBLAS, of which NumPy and SciPy have one each: as it is loaded, and at its first product.
    """
    import numpy as np  # here: who starts processes needs neither
    from scipy.linalg import blas

    square = np.ones((_ALGEBRA, _ALGEBRA))
    np.matmul(square, square)
    blas.dgemm(1.0, square, square)


def _hush(stdin: int | None) -> None:
    """Give what is printed to nobody, and have the standard input that the parent had."""
    faulthandler.disable()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(nowhere, number)
    if stdin is not None:
        os.dup2(stdin, 0)
        sys.stdin = os.fdopen(0, closefd=False)


def _outlive_nobody() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(ENDED)


def _end(number: int, frame: FrameType | None) -> None:
    if _State.ended or not _State.busy:
        os._exit(ENDED)
    _State.ended = True
    raise KeyboardInterrupt


@contextlib.contextmanager
def undisturbed() -> Iterator[Sequence[int]]:
    """Let no signal cut off what is sent or heard, nor reach a process before it is ready for it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield ()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield tuple(map(int, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
