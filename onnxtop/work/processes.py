"""Processes as a crew: each may die of the piece that it works on, and no other piece is lost by that.

A process is warm: it does one piece after the other, and is replaced only when it died. On Linux it is a copy
of this one, which costs least, as long as this one has a single thread: then no lock is held in it for ever.
Nothing here starts a thread, so that it stays so. Whoever waits for results hears the processes meanwhile.

What libraries print in a process is not shown: it is no result, and no part of a message. What it does is in
`inside`, what it says in `speech`, what is said of its end in `endings`.
"""

import contextlib
import math
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from onnxtop.errors import ModelError, NoProcessError
from onnxtop.work.crews import GRACE, Crew, Lost
from onnxtop.work.endings import ADVICE, THREADLESS, ending
from onnxtop.work.inside import undisturbed, work_off
from onnxtop.work.speech import AT, GIVES, unpacked


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
            kind, *said = unpacked(self.connection.recv_bytes())
            if kind == AT:
                self.share = (said[0], said[1])
            elif self.task is not None:
                future, self.task = self.task.future, None
                (future.set_result if kind == GIVES else future.set_exception)(said[0])

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
        with undisturbed() as mask, _standard_input() as stdin:
            arguments = (theirs, self._function, self._bounds.memory, mask, stdin)
            try:
                process = context.Process(target=work_off, args=arguments, daemon=True)
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
        with undisturbed():
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
