"""Files beside a model, whoever named them: such as have an end, no more of them than there may be."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from onnxtop.errors import OnnxtopError, unusable


def regular(path: str | os.PathLike[str]) -> os.stat_result:
    """Return what the system says of a file that can be read to its end.

    Raises
    ------
    OSError
        It is not there, or a folder, or a pipe or device: what these give may never come, or never end.
    """
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        reason = "it is a pipe or device: copy what it holds to a file"
        raise OSError(errno.EINVAL, reason, os.fspath(path))
    return status


def read_bytes(path: str | os.PathLike[str], most: int) -> bytes:
    """Return what is in a regular file.

    Raises
    ------
    OSError
        It cannot be read to its end, or holds more than so many bytes.
    """
    size = regular(path).st_size
    if size > most:
        reason = f"it has {size:,} bytes, where at most {most:,} are read"
        raise OSError(errno.EFBIG, reason, os.fspath(path))
    return Path(path).read_bytes()


@contextlib.contextmanager
def usable(path: str | os.PathLike[str], wanted: str) -> Iterator[None]:
    """Say of a file that cannot be read, or holds something else, what was wanted of it.

    >>> with usable("scores.csv", "scores as CSV"):
    ...     raise ValueError("line 7 has no end")
    Traceback (most recent call last):
    onnxtop.errors.UsageError: scores.csv: wanted scores as CSV, found what cannot be read: line 7 has no end
    """
    try:
        yield
    except OnnxtopError:
        raise
    except FileNotFoundError as error:
        raise unusable(error, f"{path}: wanted {wanted}, found none: there is no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise unusable(error, f"{path}: wanted {wanted}, found what cannot be read: {reason}") from None
