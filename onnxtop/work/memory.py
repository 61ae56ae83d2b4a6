"""How much memory there is: by Linux' own count, and the limit of the container that this runs in."""

import contextlib
import math
from pathlib import Path

_SYSTEM = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")


def free_memory() -> float:
    """Return how many bytes more this process may use before others have to yield; infinity if unknown."""
    return min(_of_the_system(), _of_the_container())


def _of_the_system() -> float:
    with contextlib.suppress(OSError, ValueError):
        rows = (line.split() for line in _SYSTEM.read_text(encoding="ascii").splitlines())
        return next((float(row[1]) * 1024 for row in rows if row[0] == "MemAvailable:"), math.inf)
    return math.inf


def _of_the_container() -> float:
    with contextlib.suppress(OSError, ValueError):
        limit, used = (float(_read(name)) for name in ("memory.max", "memory.current"))
        rows = dict(line.split() for line in _read("memory.stat").splitlines())
        files = sum(float(rows.get(name, 0)) for name in ("active_file", "inactive_file"))
        return max(limit - max(used - files, 0.0), 0.0)  # pages of files that were read yield at once
    return math.inf


def _read(name: str) -> str:
    return (_CONTAINER / name).read_text(encoding="ascii")
