"""The process that runs models: it limits itself, reads one job, and answers in lines of JSON.

It lives no longer than who started it: what it is told comes through a pipe that stays open until then.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from onnxtop.errors import UsageError
from onnxtop.execution.job import Answer, Job
from onnxtop.results.plain import built, plain
from onnxtop.results.run import RunFailure
from onnxtop.work.inside import watch_by
from onnxtop.work.limits import NO_MEMORY, leave_no_dump, limit_address_space


def main() -> None:
    """Do the job that stands in the first line of the input."""
    answers = _private_output()
    job: Job = built(Job, json.loads(sys.stdin.readline()))
    leave_no_dump()
    watch_by(_end_with_parent)
    limit_address_space(job.memory)  # behind the thread: that there is none is then no want of memory
    at = [0]

    def tell(number: int) -> None:
        if number != at[0]:
            at[0] = number
            _write(answers, {"model": number})

    def answer(found: Answer) -> None:
        _write(answers, {"answer": plain(found)})

    answer(_done(job, tell, answer, at))
    os._exit(0)  # what a library does when it is unloaded is nobody's concern here


def _done(job: Job, tell: Any, answer: Any, at: list[int]) -> Answer:
    from onnxtop.execution.sessions import EndedError

    try:
        if len(job.models) == 1:
            from onnxtop.execution.single import run_single

            return run_single(job, tell)
        from onnxtop.execution.pair import run_pair

        return run_pair(job, tell, answer)
    except EndedError as ended:
        kind = "memory" if _is_memory(ended.failure.reason) else ended.failure.kind
        return Answer(failure=RunFailure(kind, ended.failure.reason, ended.failure.number))
    except UsageError as error:
        return Answer(misuse=str(error))
    except MemoryError:
        return Answer(failure=RunFailure("memory", "there is not enough memory", at[0]))
    except Exception as error:  # whatever it is, the model is not accused of it
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        kind = "memory" if _is_memory(reason) else "inputs"
        return Answer(failure=RunFailure(kind, reason, at[0]))


def _is_memory(reason: str) -> bool:
    words = ("alloc", "array is too big", "maximum supported dimension", *NO_MEMORY)
    return any(word in reason.lower() for word in words)


def _private_output() -> IO[str]:
    """Keep the way to answer for ourselves: what libraries print goes where errors go."""
    kept = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(kept, "w", encoding="utf-8")


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _write(answers: IO[str], value: Mapping[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
