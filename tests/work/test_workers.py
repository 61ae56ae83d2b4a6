"""Work shared out: the same results in the same order, whoever does it, and whoever dies of it."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from onnxtop.errors import NoProcessError
from onnxtop.work.about import about
from onnxtop.work.cluster import _interrupt, _work
from onnxtop.work.crews import Crew, Lost, Threads
from onnxtop.work.endings import ending
from onnxtop.work.options import WorkOptions
from onnxtop.work.processes import Processes
from onnxtop.work.workers import Results, Workers, whole

KINDS = [
    (WorkOptions(), False),
    (WorkOptions(jobs=3), True),
    (WorkOptions(jobs=2), False),
    (WorkOptions(apart=True), False),
]


def square(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 13:
        raise ValueError("thirteen")
    return number * number


@pytest.mark.parametrize(("options", "threads"), KINDS, ids=["here", "threads", "processes", "apart"])
def test_results_come_in_the_order_of_the_pieces(options: WorkOptions, threads: bool) -> None:
    pieces, shares = [3, 1, 13, 2], {}
    with Workers(options, threads=threads) as pool:
        results = pool.map(
            square, pieces, [1, 1, 9, 1], lambda number, share, _: shares.update({number: share})
        )
        assert [next(results), next(results)] == [9, 1]
        with pytest.raises(ValueError, match="thirteen"):
            next(results)
        assert list(results) == [4]
    assert shares == dict.fromkeys(range(4), 1.0)


def test_a_piece_that_kills_its_worker_is_lost_alone() -> None:
    with Workers(WorkOptions(jobs=2)) as pool:
        found = list(pool.map(square, [1, 7, 2, 3], [1, 1, 1, 1]))
    assert found == [1, Lost("was ended by SIGKILL, as a system does that runs out of memory"), 4, 9]


def test_no_result_may_be_missing_of_a_whole() -> None:
    assert list(whole(iter([1, 2]))) == [1, 2]  # type: ignore[arg-type]
    with pytest.raises(Exception, match="a process that worked on it ended itself with code 3"):
        list(whole(iter([1, Lost("ended itself with code 3")])))  # type: ignore[arg-type]


class Slow(Crew):
    """Two workers who are done when the test says so."""

    size = 2

    def __init__(self) -> None:
        self.hands: dict[int, Future[int]] = {}
        self.log: list[int] = []
        self.stopped = False

    def submit(self, number: int, piece: int) -> "Future[int]":
        self.log.append(number)
        self.hands[number] = Future()
        return self.hands[number]

    def stop(self) -> None:
        self.stopped = True
        for each in self.hands.values():
            each.cancel()


def test_no_more_is_begun_than_memory_allows_and_large_pieces_first() -> None:
    crew = Slow()
    sizes = [1, 60, 1, 90, 200, 1]
    results: Results[int] = Results(crew, list(range(6)), sizes, 100, None)
    in_hand = []
    while len(crew.log) < 6 or any(not each.done() for each in crew.hands.values()):
        results._begin()
        hands = [number for number, each in crew.hands.items() if not each.done()]
        in_hand.append(hands)
        crew.hands[hands[0]].set_result(0)
        results._collect(0.0)
    assert in_hand[0] == [4]  # too large for the budget, and so by itself
    assert in_hand[1] == [3, 0, 2, 5]  # small ones fill what the next large one cannot have
    assert all(sum(sizes[each] for each in hands) <= 100 for hands in in_hand[1:])
    assert crew.log == [4, 3, 0, 2, 5, 1]


def test_what_is_done_when_the_work_is_stopped_is_given() -> None:
    crew = Slow()
    results: Results[int] = Results(crew, [0, 1, 2, 3, 4, 5], [1] * 6, 100, None)
    results._begin()
    crew.hands[1].set_result(11)
    results.stop()
    results.stop()
    assert crew.stopped
    assert list(results) == [Lost(), 11, Lost(), Lost(), Lost(begun=False), Lost(begun=False)]


class Dying(Slow):
    """Workers who die of whatever they work on."""

    def loss(self, future: "Future[int]") -> Lost:
        return Lost(str(future.exception()))


def test_what_a_worker_died_of_is_lost_and_nothing_else_changes() -> None:
    crew = Dying()
    results: Results[int] = Results(crew, [0, 1], [1] * 2, 100, None)
    results._begin()
    for number in range(2):
        crew.hands[number].set_exception(RuntimeError(f"died of {number}"))
    assert list(results) == [Lost("died of 0"), Lost("died of 1")]


def test_what_a_signal_says() -> None:
    hint = "; it had 1 GiB, see --memory"
    killed = "was ended by SIGKILL, as a system does that runs out of memory"
    assert ending(-signal.SIGKILL, hint) == f"{killed}{hint}"
    assert ending(127, hint) == f"ended itself with code 127, as where there is no memory for a library{hint}"
    time_is_up = "at the limit that is set of CPU time; see ulimit -t"
    assert ending(-signal.SIGXCPU, hint) == f"was ended by SIGXCPU, {time_is_up}"
    assert ending(-signal.SIGTERM) == "was ended by SIGTERM"
    assert ending(-99) == "was ended by signal 99"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_process_that_is_killed_where_its_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (60, 60))
    told = "was ended by SIGKILL, at the limit that is set of CPU time; see ulimit -t"
    assert ending(-signal.SIGKILL, "; see --memory") == told


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxtop.work.processes._context", lambda: multiprocessing.get_context("fork"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is no copy")
def test_a_process_that_gets_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    forked(monkeypatch)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with Workers(WorkOptions(jobs=2)) as pool:
        found = list(pool.map(square, [1, 2, 3], [1, 1, 1]))
    reason = "ended itself: the system starts no more threads; end others, or see ulimit -u"
    assert found == [Lost(reason, error=NoProcessError)] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is no copy")
def test_others_do_what_a_process_without_a_thread_was_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    forked(monkeypatch)
    crew = Processes(square, 2)
    futures = [crew.submit(0, 1)]
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    futures += [crew.submit(1, 2), crew.submit(2, 3)]
    while not all(each.done() for each in futures):
        crew.wait(futures, 0.1)
    assert [each.result() for each in futures] == [1, 4, 9]
    assert crew.size == 1
    crew.stop()


def share_out(piece: int) -> int:
    threading.Thread(target=print).start()
    return piece


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process is no copy")
def test_work_that_gets_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    forked(monkeypatch)
    starts = iter([True])
    real = threading.Thread.start
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: real(thread) if next(starts, False) else no_thread(thread)
    )
    with Workers(WorkOptions(apart=True)) as pool:
        results = pool.map(share_out, [1], [1])
        with pytest.raises(NoProcessError, match="wanted a thread to share out the work, found that"):
            next(results)


def wait_a_minute(piece: int) -> None:
    time.sleep(60 if piece else 0)


def test_processes_end_at_once() -> None:
    crew = Processes(wait_a_minute, 2)
    futures = [crew.submit(number, 1) for number in range(3)]
    processes = [hand.process for hand in crew._hands]
    crew.wait(futures, 0.01)
    crew.stop()
    assert [each.is_alive() for each in processes] == [False, False]


def count_for_ever(piece: int) -> None:
    while True:
        piece += 1


def test_threads_are_interrupted() -> None:
    crew = Threads(count_for_ever, 2)
    futures = [crew.submit(number, 0) for number in range(3)]
    while not any(each.running() for each in futures):
        time.sleep(0.001)
    crew.stop()
    assert all(each.done() for each in futures)


def test_only_its_own_threads_are_interrupted() -> None:
    done = threading.Event()
    crew, other = Threads(count_for_ever, 1), Threads(lambda piece: done.wait(60), 1)
    waiting, counting = other.submit(0, 0), crew.submit(0, 0)
    while not (waiting.running() and counting.running()):
        time.sleep(0.001)
    with other._busy.here(), crew._busy.here():  # whoever asks may work on a piece as well
        crew.stop()
    assert isinstance(counting.exception(), KeyboardInterrupt)
    done.set()
    assert waiting.result() is True
    other.stop()


def test_a_worker_of_a_cluster_stops_for_who_asked_and_gives_no_result() -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            _work(count_for_ever, str(Path.cwd()), about(), "asks", 0)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    _interrupt("somebody else")
    thread.join(0.1)
    assert thread.is_alive()
    while thread.is_alive():
        _interrupt("asks")  # the thread may not have begun
        thread.join(0.01)
    assert [type(error).__name__ for error in failed] == ["_StoppedError"]


ORPHANS = """
import os, time
from onnxtop.work.options import WorkOptions
from onnxtop.work.processes import Bounds, Processes
from onnxtop.work.workers import Workers

STDOUT = os.dup(1)  # a worker's own goes nowhere

def work(piece):
    os.write(STDOUT, f"{os.getpid()}\\n".encode())
    time.sleep(60)

if __name__ == "__main__":
    with Workers(WorkOptions(jobs=2)) as pool:
        list(pool.map(work, [1, 2], [1, 1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGKILL")
def test_workers_do_not_outlive_who_began_them(tmp_path: Path) -> None:
    (tmp_path / "begin.py").write_text(ORPHANS)
    command = [sys.executable, tmp_path / "begin.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        numbers = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
        assert process.stdout.read() == ""  # which the workers hold open as well
    assert len({*numbers, process.pid}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="no copies of this process")
def test_a_system_that_starts_only_some_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun = os.fork, []

    def fork() -> int:
        if begun:
            raise BlockingIOError("Resource temporarily unavailable")
        begun.append(real())
        return begun[0]

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr("onnxtop.work.processes._context", lambda: multiprocessing.get_context("fork"))
    with Workers(WorkOptions(jobs=2)) as pool:
        assert list(pool.map(square, [1, 2, 3], [1, 1, 1])) == [1, 4, 9]
    for each in multiprocessing.active_children():
        each.join(10)
    with pytest.raises(ProcessLookupError):  # the one that there was does not wait for work
        os.kill(begun[0], 0)


@pytest.mark.parametrize("most", [0, 1])
def test_a_system_that_starts_no_more_threads(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if len(begun) == most:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with Workers(WorkOptions(jobs=3), threads=True) as pool:
        assert list(pool.map(square, [1, 2, 3, 4], [1, 1, 1, 1])) == [1, 4, 9, 16]


def test_a_budget_begins_no_work() -> None:
    assert Workers(WorkOptions(memory=1)).alone


SCARCE = """
import sys
from onnxtop.work.processes import Bounds, Processes

def product(size):
    import numpy as np
    from scipy.linalg import blas
    square = np.ones((size, size))
    return float((square @ square)[0, 0] + blas.dgemm(1.0, square, square)[0, 0])

assert "scipy" not in sys.modules
crew = Processes(product, 1, Bounds(seconds=30, memory=2**24))
future = crew.submit(0, 200)
while not future.done():
    crew.wait([future], 1)
crew.stop()
print(future.result())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it does not bound a process's memory")
def test_linear_algebra_has_its_memory_before_memory_is_bounded() -> None:
    """It would ask for more than there is again and again, until the seconds are over."""
    command = [sys.executable, "-c", SCARCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("400.0\n", "")
