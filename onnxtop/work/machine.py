"""How much of the machine this process may use: what Linux says, and the limits of its control groups.

A container is such a group, and so is a service or a job of a batch system. Groups lie in each other, and a
limit holds for all that is in one: https://docs.kernel.org/admin-guide/cgroup-v2.html. In the first version
of the interface, which some systems still have, every kind of limit has folders of its own.
"""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

_SYSTEM = Path("/proc/meminfo")
_OWN = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")

_MEMORY = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Files that say how many bytes a group may use, and uses, in the second version and in the first."""
_FILES = ("active_file", "inactive_file")
"""Rows of a group's memory that are pages of files that were read: they yield at once."""


def free_memory() -> float:
    """Return how many bytes more this process may use before others have to yield; infinity if unknown."""
    return min((_of_the_system(), *map(_of_a_group, _groups())))


def processor_quota() -> float:
    """Return how many processors' time its groups leave this process; infinity where none has a limit."""
    return min(map(_quota, _groups()), default=math.inf)


def _of_the_system() -> float:
    with contextlib.suppress(OSError, ValueError):
        rows = (line.split() for line in _text(_SYSTEM).splitlines())
        return next((float(row[1]) * 1024 for row in rows if row[0] == "MemAvailable:"), math.inf)
    return math.inf


def _groups() -> Iterator[Path]:
    """Yield the folders of the groups that this process is in, from the innermost out.

    A container may see its own as the outermost and be told its path outside, where nothing is then.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in _OWN.read_text(encoding="utf-8").splitlines():
            _, kinds, path = line.split(":", 2)
            root = _GROUPS / kinds
            inner = root / path.lstrip("/")
            yield from (each for each in (inner, *inner.parents) if each.is_relative_to(root))


def _of_a_group(folder: Path) -> float:
    for names in _MEMORY:
        with contextlib.suppress(OSError, ValueError):
            limit, used = (_number(folder / name) for name in names)
            rows = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
            files = sum(float(rows.get(name, 0)) for name in _FILES)
            return max(limit - max(used - files, 0.0), 0.0)
    return math.inf


def _quota(folder: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        quota, period = map(float, _text(folder / "cpu.max").split())
        return quota / period
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        return quota / period if quota > 0 else math.inf
    return math.inf


def _number(file: Path) -> float:
    return float(_text(file))


def _text(file: Path) -> str:
    return file.read_text(encoding="ascii")
