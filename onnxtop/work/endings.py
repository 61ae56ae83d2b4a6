"""How a process came to its end, in words, by its exit code."""

import signal

from onnxtop.work.limits import has_time_limit

ADVICE = "end others, or see ulimit -u"
"""What to do where the system starts no more of them."""
ENDED, THREADLESS = 113, 114
"""Exit codes of a process that was told to end, and of one that cannot see to it that it outlives nobody."""
_NO_LIBRARY = 127
"""The exit code by which the system's loader ends a process that needs a part of a library which it lacks."""
_MEANINGS = {
    ENDED: "was told to end, by SIGTERM",
    THREADLESS: f"ended itself: the system starts no more threads; {ADVICE}",
}
_TIME_IS_UP = ", at the limit that is set of CPU time; see ulimit -t"
_HINTS = {
    "SIGKILL": ", as a system does that runs out of memory",
    "SIGBUS": ", as of a file that is cut off while it is read",
    "SIGXCPU": _TIME_IS_UP,
}


def ending(code: int, hint: str = "") -> str:
    """Say how a process ended, by its exit code, with a hint behind it where it may be for want of memory.

    >>> ending(-11, "; see --memory")
    'was ended by SIGSEGV; see --memory'
    >>> ending(3)
    'ended itself with code 3'
    >>> ending(ENDED, "; see --memory")
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
