"""What a process may take, kept by the system: memory, and no dump of a crash left behind."""

import contextlib
import math
from pathlib import Path

NO_MEMORY = ("failed to map segment", "bad_alloc", "annot allocate memory", "without exception set")
"""What libraries say that find no memory while they are loaded."""

THREADS = tuple(f"{library}_NUM_THREADS" for library in ("OMP", "OPENBLAS", "MKL"))
"""Variables of the environment that say on how many threads linear algebra runs."""

_PAGE_COUNTS = Path("/proc/self/statm")


def limit_address_space(memory: float) -> None:
    """Limit all that this process may have in its address space, in bytes, whatever else limits it."""
    _limit("RLIMIT_AS", memory)
    _limit("RLIMIT_DATA", memory)


def limit_growth(memory: float) -> None:
    """Limit what this process may allocate from now on, in bytes; files that it maps are nobody's memory.

    Systems without such a count (macOS, Windows) do not keep it.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(_PAGE_COUNTS.read_text(encoding="ascii").split()[5])  # data and stack
        _limit("RLIMIT_DATA", memory + pages * _page())


def leave_no_dump() -> None:
    """Write nothing to disk when this process crashes."""
    _limit("RLIMIT_CORE", 0)


def has_time_limit() -> bool:
    """Tell whether the system kills this process, and what it starts, after some seconds of CPU time."""
    with contextlib.suppress(ImportError):
        import resource  # not on every system

        return resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY
    return False


def _page() -> int:
    import resource

    return resource.getpagesize()


def _limit(name: str, most: float) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on every system

        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if math.isfinite(most):
            soft = int(most) if hard == resource.RLIM_INFINITY else min(int(most), hard)
            resource.setrlimit(kind, (soft, hard))
