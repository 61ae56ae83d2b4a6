"""Processes as a crew: each may die of the piece that it works on, and no other piece is lost by that.

A process is warm: it does one piece after the other, and is replaced only when it died. On Linux it is a copy
of this one, which costs least, as long as this one has a single thread: then no lock is held in it for ever.
Nothing here starts a thread, so that it stays so. Whoever waits for results hears the processes meanwhile.

What libraries print in a process is not shown: it is no result, and no part of a message.
"""

import contextlib
import dataclasses
import faulthandler
import functools
import importlib
import io
import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path, PurePath
from types import FrameType
from typing import Any, NoReturn

from onnxtop.errors import ModelError, NoProcessError
from onnxtop.work.crews import GRACE, Crew, Lost
from onnxtop.work.limits import has_time_limit, leave_no_dump, limit_growth


@dataclass(frozen=True)
class Bounds:
    """What a process may take for a piece: seconds, bytes; and when it is told to end, seconds to do so.

    Whether it ``gives`` what it has in these too when its own seconds are over: else it is ended. The
    ``hint`` is what to look at where it dies of having no more memory, which libraries do in many ways.
    """

    seconds: float = math.inf
    memory: float = math.inf
    grace: float = GRACE
    gives: bool = False
    hint: str = ""


Again = Callable[[], bool]
"""Asked when a process died: whether it may be of something else than its piece, which then is done again."""


class DiedError(Exception):
    """A process came to its end by the piece that it worked on, or for want of what any process needs."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.reason)
        self.lost = lost


@dataclass(frozen=True, eq=False)
class _Task:
    number: int
    piece: Any
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(eq=False)
class _Hand:
    """A process, and what it works on, ``since`` when; one that is ``late`` has been told to end."""

    process: BaseProcess
    connection: "Connection[Any, Any]"
    task: _Task | None = None
    since: float = 0.0
    share: tuple[str, float] = ("", 0.0)
    late: bool = False

    def give(self, task: _Task) -> None:
        self.task, self.since, self.share = task, time.monotonic(), ("", 0.0)
        with contextlib.suppress(OSError):  # it is gone, which is heard when one listens
            self.connection.send(task.piece)

    def hear(self) -> None:
        """Take what it has said.

        Raises
        ------
        EOFError, OSError
            It is gone, perhaps in the midst of a word.
        """
        while self.connection.poll():
            kind, *said = _unpacked(self.connection.recv_bytes())
            if kind == _AT:
                self.share = (said[0], said[1])
            elif self.task is not None:
                future, self.task = self.task.future, None
                (future.set_result if kind == _GIVES else future.set_exception)(said[0])

    def end(self, grace: float) -> None:
        """Tell it to end, and end it where it does not."""
        self.process.terminate()
        self.process.join(grace)
        self.bury()

    def bury(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class Processes(Crew):
    """Processes of their own; they end with this one, whatever ends it.

    Raises
    ------
    OSError
        The system starts none.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        size: int,
        bounds: Bounds | None = None,
        again: Again | None = None,
    ) -> None:
        self.size = size
        self._function = function
        self._bounds = bounds or Bounds()
        self._again = again or (lambda: False)
        self._waiting: deque[_Task] = deque()
        self._hands: list[_Hand] = []
        self._start()

    def _start(self) -> _Hand:
        context = _context()
        ours, theirs = context.Pipe()
        with _undisturbed() as mask, _standard_input() as stdin:
            arguments = (theirs, self._function, self._bounds, mask, stdin)
            try:
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
            except (OSError, AssertionError) as error:  # the latter: in a process that may have none
                ours.close()
                raise OSError(str(error)) from error
            finally:
                theirs.close()
            self._hands.append(_Hand(process, ours))
        return self._hands[-1]

    def submit(self, number: int, piece: Any) -> "Future[Any]":
        """Give a piece to a process; where the system starts none any more nobody does it."""
        task = _Task(number, piece)
        self._waiting.append(task)
        self._hand_out()
        return task.future

    def _hand_out(self) -> None:
        """Give pieces to those that have none: nobody gets one that would wait for another."""
        while self._waiting and (hand := self._free()) is not None:
            hand.give(self._waiting.popleft())

    def _free(self) -> _Hand | None:
        """Return a process that has nothing to do, a new one if there is room, None if there is none."""
        if idle := next((hand for hand in self._hands if hand.task is None), None):
            return idle
        if len(self._hands) == self.size:
            return None
        try:
            return self._start()
        except OSError as error:  # there are as many as there can be
            if not self._hands:
                reason = f"cannot be replaced: the system starts no process: {error}; {ADVICE}"
                self._refuse(Lost(reason, error=NoProcessError))
            return None

    def _refuse(self, lost: Lost) -> None:
        """Say of all pieces that wait that nobody will do them."""
        for task in self._waiting:
            task.future.set_exception(DiedError(lost))
        self._waiting.clear()

    def wait(self, futures: "Collection[Future[Any]]", seconds: float) -> None:
        """Hear the processes, bury those that died, and end those that take too long."""
        if not any(each.done() for each in futures):
            wait(self._signs(), seconds)
        with _undisturbed():
            self._hear()
            for hand in [each for each in self._hands if self._is_late(each)]:
                self._hurry(hand)
        self._hand_out()

    def _hurry(self, hand: _Hand) -> None:
        """End a process whose time is over, where it may give what it has not before the grace is."""
        if self._bounds.gives and not hand.late:
            hand.process.terminate()
        elif not hand.late or self._seconds_of(hand) > self._bounds.seconds + self._bounds.grace:
            hand.end(GRACE)
            self._lose(hand, self._too_late())
        hand.late = True

    def _too_late(self) -> Lost:
        return Lost(f"was ended after {self._bounds.seconds:g} s; see --time-limit")

    def _ended(self, code: int) -> Lost:
        error = NoProcessError if code == THREADLESS else ModelError
        return Lost(ending(code, self._bounds.hint), error=error)

    def _signs(self) -> list[Any]:
        """Return what shows that a process has said something, or has ended."""
        return [each for hand in self._hands for each in (hand.connection, hand.process.sentinel)]

    def _hear(self) -> None:
        for hand in list(self._hands):
            try:
                hand.hear()
                dead = not hand.process.is_alive() and not hand.connection.poll()
            except (EOFError, OSError):
                dead = True
            if dead:
                hand.process.join(GRACE)
                hand.bury()
                self._lose(hand, self._too_late() if hand.late else self._ended(hand.process.exitcode or 0))
            elif hand.late and hand.task is None:  # it has given what it had
                hand.end(GRACE)
                self._hands.remove(hand)

    def _is_late(self, hand: _Hand) -> bool:
        return hand.task is not None and self._seconds_of(hand) > self._bounds.seconds

    def _seconds_of(self, hand: _Hand) -> float:
        return time.monotonic() - hand.since

    def _lose(self, hand: _Hand, lost: Lost) -> None:
        """Say that a piece is lost that a process died of; one that could not begin leaves it to others."""
        self._hands.remove(hand)
        fewer = lost.error is NoProcessError and bool(self._hands)
        if fewer:
            self.size = len(self._hands)
        if hand.task is not None and (fewer or self._again()):
            self._waiting.appendleft(hand.task)
        elif hand.task is not None:
            hand.task.future.set_exception(DiedError(lost))

    def share(self, number: int) -> tuple[str, float]:
        """Return what the process says that works on it; see `tell_share`."""
        at = (hand.share for hand in self._hands if hand.task is not None and hand.task.number == number)
        return next(at, ("", 0.0))

    def loss(self, future: "Future[Any]") -> Lost | None:
        """Say how the process ended that worked on it."""
        error = future.exception()
        return error.lost if isinstance(error, DiedError) else None

    def stop(self) -> None:
        """Tell all processes to end, and hear what they still give; those that do not in time are ended."""
        self._waiting.clear()
        for hand in self._hands:
            hand.process.terminate()
        end = time.monotonic() + self._bounds.grace
        while self._hands and (left := end - time.monotonic()) > 0:
            wait(self._signs(), left)
            self._hear()
        for hand in self._hands:
            hand.bury()
        self._hands.clear()


ADVICE = "end others, or see ulimit -u"
"""What to do where the system starts no more of them."""
_NO_THREAD = f"wanted a thread to share out the work, found that the system starts no more; {ADVICE}"
_THREADLESS_WORDS = "can't start new thread"
"""What Python says then."""
_TIME_IS_UP = ", at the limit that is set of CPU time; see ulimit -t"
_HINTS = {
    "SIGKILL": ", as a system does that runs out of memory",
    "SIGBUS": ", as of a file that is cut off while it is read",
    "SIGXCPU": _TIME_IS_UP,
}


class _Reader(pickle.Unpickler):
    """Reads what a process says: values, and no code that it would have run here.

    It may have been taken over by the file that it works on. The classes of results are made, errors, and
    arrays; nothing else is looked up, or called, by a name that it sends.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of values by its name; UnpicklingError if it is none."""
        whole = sys.modules.get(module)
        if whole is None and module.partition(".")[0] == __name__.partition(".")[0]:
            whole = importlib.import_module(module)
        value = functools.reduce(lambda at, part: getattr(at, part, None), name.split("."), whole)
        if (module.partition(".")[0], name) not in _MAKERS and not _is_value(value):
            raise pickle.UnpicklingError(f"{module}.{name} is no value")
        return value


def _is_value(kind: Any) -> bool:
    """Tell a class whose instances do nothing when they are made."""
    if not isinstance(kind, type):
        return False
    own = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    frozen = dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    simple = frozen or hasattr(kind, "_fields")
    return (own and simple) or issubclass(kind, BaseException | Enum | PurePath) or kind in _PLAIN


_PLAIN = (set, frozenset, bytearray, complex, warnings.WarningMessage)
_MAKERS = frozenset(("numpy", name) for name in ("_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype"))
"""What makes arrays of bytes."""


_NO_ANSWER = (
    *(pickle.UnpicklingError, ArithmeticError, AttributeError, ImportError),
    *(LookupError, TypeError, ValueError),
)
"""What reading words raises that are none, or that name what there is not."""


def _unpacked(words: bytes) -> Any:
    """Return what a process has said.

    Raises
    ------
    EOFError
        It is nothing that a process says that is well.
    """
    try:
        return _Reader(io.BytesIO(words)).load()
    except _NO_ANSWER as error:
        raise EOFError(f"it gave no answer: {error}") from error


def ending(code: int, hint: str = "") -> str:
    """Say how a process ended, by its exit code, with a hint behind it where it may be for want of memory.

    >>> ending(-11, "; see --memory")
    'was ended by SIGSEGV; see --memory'
    >>> ending(3)
    'ended itself with code 3'
    >>> ending(_ENDED, "; see --memory")
    'was told to end, by SIGTERM'
    >>> ending(THREADLESS)
    'ended itself: the system starts no more threads; end others, or see ulimit -u'
    """
    if code in _MEANINGS:
        return _MEANINGS[code]
    if code >= 0:
        told = ", as where there is no memory for a library" if code == _NO_LIBRARY else ""
        return f"ended itself with code {code}{told}{hint}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    told = _HINTS.get(name, "")
    if name == "SIGKILL" and has_time_limit():  # which a system keeps so where it is not told to warn before
        told = _TIME_IS_UP
    return f"was ended by {name}{told}{'' if told == _TIME_IS_UP else hint}"


def _context() -> Any:
    """Return how processes start: as copies, which costs least, where that is safe: with one thread."""
    return multiprocessing.get_context(
        "fork" if is_single() else "forkserver" if sys.platform == "linux" else "spawn"
    )


def is_single() -> bool:
    """Tell whether this process has one thread, and the system says so."""
    tasks = Path("/proc/self/task")
    return sys.platform == "linux" and os.path.isdir(tasks) and len(list(tasks.iterdir())) == 1


@contextlib.contextmanager
def _undisturbed() -> Iterator[Sequence[int]]:
    """Let no signal cut off what is sent or heard, nor reach a process before it is ready for it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield ()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield tuple(map(int, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _standard_input() -> Iterator[int | None]:
    """Hold on to standard input for a copy of this process: it would get an empty one."""
    try:
        held = os.dup(0) if is_single() else None
    except OSError:  # it is closed
        held = None
    try:
        yield held
    finally:
        if held is not None:
            os.close(held)


# What follows runs in the processes.

_AT, _GIVES, _FAILS = "at", "gives", "fails"
"""What a process says: where it stands, what came of a piece."""
_SCARCE = 2**30
"""Bytes below which memory may be too little for a library that is loaded later."""
_ALGEBRA = 128
"""Rows of matrices that are so large that their product takes the memory of linear algebra."""
_ENDED, THREADLESS = 113, 114
"""Exit codes of a process that was told to end, and of one that cannot see to it that it outlives nobody."""
_NO_LIBRARY = 127
"""The exit code by which the system's loader ends a process that needs a part of a library which it lacks."""
_MEANINGS = {
    _ENDED: "was told to end, by SIGTERM",
    THREADLESS: f"ended itself: the system starts no more threads; {ADVICE}",
}
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
    _say(_packed(_AT, what, done / total))


def _say(words: bytes) -> None:
    assert _State.connection is not None
    with _undisturbed():
        _State.connection.send_bytes(words)


def _packed(*words: Any) -> bytes:
    return bytes(ForkingPickler.dumps(words))


def _work(
    connection: "Connection[Any, Any]",
    function: Callable[[Any], Any],
    bounds: Bounds,
    mask: Sequence[int],
    stdin: int | None,
) -> NoReturn:
    """Do one piece after the other, until there is nobody for whom."""
    _prepare(connection, bounds, mask, stdin)
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        while not _State.ended:
            piece = connection.recv()
            _say(_done(function, piece))
    os._exit(_ENDED)  # whatever it had begun has been put in order


def _done(function: Callable[[Any], Any], piece: Any) -> bytes:
    """Do a piece; return what is said of it."""
    _State.busy = True
    try:
        return _packed(_GIVES, function(piece))
    except Exception as error:
        told = NoProcessError(_NO_THREAD) if _THREADLESS_WORDS in str(error) else error
        told.add_note("".join(traceback.format_exception(error)))
        return _failure(told)
    finally:
        _State.busy = False


def _failure(error: Exception) -> bytes:
    """Return what is said of an error, also of one that no other process can read."""
    try:
        words = _packed(_FAILS, error)
        ForkingPickler.loads(words)
    except Exception:  # whatever an error may hold
        return _packed(_FAILS, RuntimeError(f"{type(error).__name__}: {error}"))
    return words


def _prepare(
    connection: "Connection[Any, Any]", bounds: Bounds, mask: Sequence[int], stdin: int | None
) -> None:
    """Be quiet, keep to the bounds, leave Ctrl-C to the parent, which the terminal tells as well."""
    _State.connection = connection
    _hush(stdin)
    leave_no_dump()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        threading.Thread(target=_outlive_nobody, daemon=True).start()
    except RuntimeError:
        os._exit(THREADLESS)
    if bounds.memory < _SCARCE:
        _load_algebra()
    limit_growth(bounds.memory)  # behind all that a process needs: what fails before is no want of memory


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
    os._exit(_ENDED)


def _end(number: int, frame: FrameType | None) -> None:
    if _State.ended or not _State.busy:
        os._exit(_ENDED)
    _State.ended = True
    raise KeyboardInterrupt
