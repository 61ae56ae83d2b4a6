"""Pieces of work shared out: results in the order of the pieces, whoever did which, and when.

::

    with Workers(options) as pool:
        for result in pool.map(function, pieces, sizes):
            ...

A piece that is large begins early, so that nobody waits for it in the end; the others begin in their order,
so that results come as they are wanted. No piece begins that would take more memory than there is, but one by
itself. Where the work is done apart, what a piece does to its worker is done to that piece alone.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from onnxtop.work.crews import GRACE, Crew, Here, Lost, Threads
from onnxtop.work.inside import tell_share
from onnxtop.work.machine import free_memory
from onnxtop.work.options import WorkOptions, processors
from onnxtop.work.processes import Again, Bounds, Processes

Piece = TypeVar("Piece")
Result = TypeVar("Result")

Progress = Callable[[int, float, str], None]
"""Called with the number of a piece, how much of it is done, and what it is at if somebody says it."""

_TICK = 0.2
"""Seconds between two looks at what is not done yet."""
_LARGE = 32
"""A piece is large from this part of what one worker has to do."""
_QUEUE = 2
"""Pieces that are handed over for each worker, so that it has the next when it is done with one."""
_MOST = 0.8
"""The part of the free memory that may be used where nobody says how much."""
_GIB = 2**30
_PARTS = 10_000
"""How finely is told how much of a piece is done."""


class Results(Iterator[Result | Lost], Generic[Result]):
    """The results of a `Workers.map`, in the order of the pieces."""

    def __init__(
        self,
        crew: Crew,
        pieces: Sequence[Any],
        sizes: Sequence[float],
        budget: float,
        progress: Progress | None,
    ) -> None:
        self._crew, self._pieces, self._sizes, self._budget = crew, pieces, sizes, budget
        self._progress = progress
        self._waiting = _order(sizes, crew.size)
        self._running: dict[Future[Result], int] = {}
        self._done: dict[int, Future[Result] | Lost] = {}
        self._begun: set[int] = set()
        self._next = 0
        self._stopped = False

    def __next__(self) -> Result | Lost:
        """Return the next result, or what stands in its place; an error of the function is raised."""
        if (number := self._next) == len(self._pieces):
            raise StopIteration
        while not self._stopped:
            self._begin()
            self._collect(0.0 if number in self._done else _TICK)
            if number in self._done:
                break
        self._next += 1
        done = self._done.pop(number, None) or Lost(begun=number in self._begun)
        self._begun.discard(number)
        return done if isinstance(done, Lost) else done.result()

    def stop(self) -> None:
        """End the work at once: what is done is still given, in the place of the rest is `Lost`."""
        if not self._stopped:
            self._stopped = True
            self._crew.stop()
            for future in [each for each in self._running if each.done() and not each.cancelled()]:
                if future.exception() is None:
                    self._done[self._running[future]] = future

    def _begin(self) -> None:
        """Hand over pieces, as many as can be worked on."""
        while (queue := self._queue()) is not None:
            number = queue.popleft()
            self._begun.add(number)
            self._running[self._crew.submit(number, self._pieces[number])] = number

    def _queue(self) -> "deque[int] | None":
        """Return the queue whose first piece may begin, None if none may."""
        if len(self._running) >= (_QUEUE * self._crew.size if self._crew.size > 1 else 1):
            return None
        taken = sum(self._sizes[number] for number in self._running.values())
        fitting = (
            queue
            for queue in self._waiting
            if queue and (not self._running or taken + self._sizes[queue[0]] <= self._budget)
        )
        return next(fitting, None)

    def _collect(self, seconds: float) -> None:
        """Wait until something is done, or a while has passed in which progress may have been made."""
        self._crew.wait(self._running, seconds)
        for future, number in list(self._running.items()):
            if not future.done():
                what, share = self._crew.share(number)
                self._tell(number, share, what)
                continue
            loss = self._crew.loss(future)
            self._done[self._running.pop(future)] = future if loss is None else loss
            self._tell(number, 1.0)

    def _tell(self, number: int, share: float, what: str = "") -> None:
        if self._progress is not None:
            self._progress(number, share, what)


def whole(results: Results[Result]) -> Iterator[Result]:
    """Yield results of which none may be missing.

    Raises
    ------
    ModelError
        One is: its worker died.
    """
    for result in results:
        if isinstance(result, Lost):
            raise result.error(f"a process that worked on it {result.reason or 'was stopped'}")
        yield result


def once(
    work_on: Callable[..., Result],
    names: Sequence[str],
    options: WorkOptions,
    progress: Callable[[str, int, int], None] | None,
    *,
    seconds: float,
    grace: float = GRACE,
) -> Result:
    """Return what work on some models gives that is one piece, done here or apart; its errors are raised.

    It is called with ``progress`` alone. An interrupt ends it, and so does the end of its seconds; what it
    still gives within the ``grace`` is returned.

    Raises
    ------
    ModelError
        The process that did it is gone.
    """
    tell = progress or (lambda what, done, total: None)
    work = partial(_once, work_on, tell_share if options.apart else tell)
    alone = replace(options, jobs=1, scheduler=None)
    with Workers(alone, seconds=seconds, grace=grace, gives=True) as pool:
        results = pool.map(work, [None], [0.0], partial(_at, tell))
        try:
            result = next(results)
        except KeyboardInterrupt:
            results.stop()
            result = next(results)
    if isinstance(result, Lost):
        if result.reason is None:
            raise KeyboardInterrupt
        it = "it" if len(names) == 1 else "them"
        raise result.error(f"{', '.join(names)}: the process that analysed {it} {result.reason}")
    return result


def _at(tell: Callable[[str, int, int], None], number: int, share: float, what: str) -> None:
    if what:
        tell(what, round(share * _PARTS), _PARTS)


def _once(work_on: Callable[..., Result], progress: Callable[[str, int, int], None], _: None) -> Result:
    return work_on(progress=progress)


def _order(sizes: Sequence[float], workers: int) -> "tuple[deque[int], deque[int]]":
    """Return the numbers of the large pieces, the largest first, and those of the others in their order.

    >>> _order([1, 900, 1, 2000, 1], workers=2)
    (deque([3, 1]), deque([0, 2, 4]))
    """
    least = sum(sizes) / (workers * _LARGE)
    large = [number for number, size in enumerate(sizes) if workers > 1 and size > least]
    others = [number for number, size in enumerate(sizes) if workers == 1 or size <= least]
    return deque(sorted(large, key=lambda number: -sizes[number])), deque(others)


class Workers:
    """Whoever is there to work: to be used in a ``with``, behind which nobody works any more.

    Attributes
    ----------
    alone
        Whether one piece is done after the other, in this process or in one apart.
    """

    def __init__(
        self,
        options: WorkOptions,
        *,
        threads: bool = False,
        seconds: float = math.inf,
        grace: float = GRACE,
        gives: bool = False,
        again: Again | None = None,
    ) -> None:
        """Take this process alone, its ``threads``, or processes of its own.

        A process has so many ``seconds`` for a piece, and when all is stopped so many of ``grace`` to give
        what it has of one; whether it ``gives`` that at the end of its seconds too. Where it died, ``again``
        is asked whether to do its piece once more.
        """
        self._options = options
        self._threads = threads
        self._seconds, self._grace, self._gives, self._again = seconds, grace, gives, again
        self._jobs = options.jobs or processors()
        self._results: list[Results[Any]] = []

    def __enter__(self) -> "Workers":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is not done."""
        for results in self._results:
            results.stop()

    @property
    def alone(self) -> bool:
        """Whether one piece is done after the other."""
        return self._jobs == 1 and self._options.scheduler is None

    def map(
        self,
        function: Callable[[Piece], Result],
        pieces: Sequence[Piece],
        sizes: Sequence[float],
        progress: Progress | None = None,
    ) -> Results[Result]:
        """Return the results of a function for pieces of work, in their order, as they are done.

        Parameters
        ----------
        function
            What is done with a piece; it pickles, and so do pieces and results, but for threads.
        pieces, sizes
            The work, and for each piece the bytes of memory that it takes.
        progress
            Called with the number of a piece and how much of it is done: when it is, and now and then before.
        """
        budget = _budget(self._options)
        results: Results[Result] = Results(self._crew(function, len(pieces)), pieces, sizes, budget, progress)
        self._results.append(results)
        return results

    def _crew(self, function: Callable[[Any], Any], n_pieces: int) -> Crew:
        if self._options.scheduler is not None and n_pieces > 1:
            from onnxtop.work.cluster import Cluster  # loads Dask

            return Cluster(function, self._options.scheduler)
        size = min(self._jobs, n_pieces)
        apart = self._options.apart and not self._threads
        if size <= 1 and not (apart and n_pieces):
            return Here(function)
        if self._threads:
            return Threads(function, size)
        most, asked = _budget(self._options) if apart else math.inf, self._options.memory
        hint = "" if asked is None or not apart else f"; it had {asked:g} GiB, see --memory"
        bounds = Bounds(self._seconds, most, self._grace, self._gives, hint)
        try:
            return Processes(function, size, bounds, self._again)
        except OSError:  # the system starts no more processes
            return Here(function)


def _budget(options: WorkOptions) -> float:
    """Return how many bytes of memory pieces may take together; nobody knows of a cluster."""
    if options.memory is None and options.scheduler is not None:
        return math.inf
    return _MOST * free_memory() if options.memory is None else options.memory * _GIB
