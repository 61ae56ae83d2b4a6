"""What a process says to the one that it works for, read here so that none of its code is run."""

import dataclasses
import functools
import importlib
import io
import pickle
import sys
import warnings
from enum import Enum
from multiprocessing.reduction import ForkingPickler
from pathlib import PurePath
from typing import Any

AT, GIVES, FAILS = "at", "gives", "fails"
"""What a process says: where it stands, what came of a piece."""


def packed(*words: Any) -> bytes:
    """Return what is said, as it is sent."""
    return bytes(ForkingPickler.dumps(words))


def failure(error: Exception) -> bytes:
    """Return what is said of an error, also of one that no other process can read."""
    try:
        words = packed(FAILS, error)
        ForkingPickler.loads(words)
    except Exception:  # whatever an error may hold
        return packed(FAILS, RuntimeError(f"{type(error).__name__}: {error}"))
    return words


class _Reader(pickle.Unpickler):
    """Reads what a process says: values, and no code that it would have run here.

    It may have been taken over by the file that it works on. The classes of results are made, errors, and
    arrays; nothing else is looked up, or called, by a name that it sends.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return a class of values by its name; UnpicklingError if it is none."""
        whole = sys.modules.get(module)
        if whole is None and module.partition(".")[0] == __name__.partition(".")[0]:
            whole = importlib.import_module(module)
        value = functools.reduce(lambda at, part: getattr(at, part, None), name.split("."), whole)
        if (module.partition(".")[0], name) not in _MAKERS and not _is_value(value):
            raise pickle.UnpicklingError(f"{module}.{name} is no value")
        return value


def _is_value(kind: Any) -> bool:
    """Tell a class whose instances do nothing when they are made."""
    if not isinstance(kind, type):
        return False
    own = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    frozen = dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    simple = frozen or hasattr(kind, "_fields")
    return (own and simple) or issubclass(kind, BaseException | Enum | PurePath) or kind in _PLAIN


_PLAIN = (set, frozenset, bytearray, complex, warnings.WarningMessage)
_MAKERS = frozenset(("numpy", name) for name in ("_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype"))
"""What makes arrays of bytes."""


_NO_ANSWER = (
    *(pickle.UnpicklingError, ArithmeticError, AttributeError, ImportError),
    *(LookupError, TypeError, ValueError),
)
"""What reading words raises that are none, or that name what there is not."""


def unpacked(words: bytes) -> Any:
    """Return what a process has said.

    Raises
    ------
    EOFError
        It is nothing that a process says that is well.
    """
    try:
        return _Reader(io.BytesIO(words)).load()
    except _NO_ANSWER as error:
        raise EOFError(f"it gave no answer: {error}") from error
