"""A process for one job: started, watched, ended; nothing of it stays."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from onnxtop.errors import NoProcessError, UsageError
from onnxtop.execution.job import Answer, Job
from onnxtop.results.plain import built, plain
from onnxtop.results.run import RunFailure
from onnxtop.work.endings import ADVICE, THREADLESS, ending
from onnxtop.work.limits import NO_MEMORY, THREADS

_TAIL = 4000
"""Characters of what a process said last that are looked at."""


_NO_MORE = "wanted a process to run it, found that the system starts no {}: {}; " + ADVICE
_OUT_OF_MEMORY = (*NO_MEMORY, "MemoryError", "out of memory", "start new thread")


def ask(job: Job, seconds: float) -> Answer:
    """Have a job done in a process of its own; that it did not end well is an answer too.

    Raises
    ------
    UsageError
        The data cannot be read, or does not fit.
    NoProcessError
        The system starts no process, or no thread.
    """
    with _process() as process:
        heard, said = _listener(process.stdout), _listener(process.stderr)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(plain(job)) + "\n")
            process.stdin.flush()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            if (early := heard.answer()) is not None:
                return early
            late = RunFailure("time", f"not done after {seconds:g} s; see --time-limit", heard.number())
            return Answer(failure=late)
        answer = heard.answer()
        if answer is None:
            failure = _death(process.returncode, said.text(), heard.number())
            return Answer(failure=failure)
    if answer.misuse is not None:
        raise UsageError(answer.misuse)
    return answer


@contextlib.contextmanager
def _process() -> Iterator["subprocess.Popen[str]"]:
    """Start the process, in a group of its own; end it, whatever happens."""
    # the same modules as here, and none from the folder that one happens to stand in
    places = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "onnxtop.execution.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": places, **dict.fromkeys(THREADS, "1")},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        told = _NO_MORE.format("process", error.strerror or error)
        files = error.errno in (errno.EMFILE, errno.ENFILE)  # of open files, pipes to it among them
        raise NoProcessError(told.replace(ADVICE, "see ulimit -n") if files else told) from None
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


@dataclass(eq=False)
class _Listener:
    """Hears what a process says while it runs, so that it never waits for us; keeps the end of it."""

    pipe: IO[str] | None
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.pipe is not None
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in self.pipe:
                self.lines.append(line)
                del self.lines[:-100]

    def text(self) -> str:
        self._thread.join(5)
        return "".join(self.lines)[-_TAIL:]

    def answer(self) -> Answer | None:
        """Return the last answer, None if there was none."""
        self._thread.join(1)
        told = [line for line in list(self.lines) if line.startswith('{"answer"') and line.endswith("\n")]
        answer: Answer | None = built(Answer, json.loads(told[-1])["answer"]) if told else None
        return answer

    def number(self) -> int:
        """Return which model was worked on last."""
        told = [line for line in list(self.lines) if line.startswith('{"model"')]
        return int(json.loads(told[-1])["model"]) if told else 0


def _listener(pipe: IO[str] | None) -> _Listener:
    try:
        return _Listener(pipe)
    except RuntimeError as error:
        raise NoProcessError(_NO_MORE.format("thread", error)) from None


def _death(code: int, said: str, number: int) -> RunFailure:
    """Say how a process ended that gave no answer.

    Raises
    ------
    NoProcessError
        It could not begin, whatever it was to do.
    """
    if code == THREADLESS:
        raise NoProcessError(_NO_MORE.format("thread", "it ended itself"))
    if any(word in said for word in _OUT_OF_MEMORY):
        return RunFailure("memory", "the process ran out of memory; see --memory-limit", number)
    return RunFailure("died", f"the process {ending(code)}", number)
