"""Every error that onnxtop raises on purpose, in one tree.

::

    OnnxtopError                exit code
    ├── UsageError              2  options or configuration that make no sense
    │   ├── OptionError         2  an option cannot have its value
    │   ├── MissingLibraryError 2  what was asked for needs a library that is not installed
    │   └── MissingInputError   2  data, a baseline or a configuration is not there
    ├── ModelError              3  a model could not be analysed
    │   ├── FormatError         3  the file is not an ONNX model, or is cut off
    │   ├── LimitError          3  the model asks for more than a limit allows
    │   ├── NoProcessError      3  the system starts no process, or no thread, for the work
    │   ├── ExternalDataError   3  external weights are cut off or outside the allowed folders
    │   │   └── MissingExternalDataError  they are not there
    │   └── UnreadableError     3  the system does not give the file:
    │       ├── MissingError    3  it is not there
    │       ├── FolderError     3  it is a folder
    │       └── DeniedError     3  it may not be read
    └── NothingToAnalyseError   4  no weight tensors, or a folder without models

Each is also of the kind of Python's own that says the same: a usage error is a ValueError, what is not there
a FileNotFoundError, and so on. A message says what was wanted, what was found and what to do, on one line.
"""

import contextlib
import errno
from collections.abc import Iterator


class OnnxtopError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command line returns for it."""

    exit_code = 5


class UsageError(OnnxtopError, ValueError):
    """Options, arguments or configuration that make no sense."""

    exit_code = 2


class OptionError(UsageError):
    """An option cannot have its value; ``name`` is that of its field, which the command line calls otherwise.

    >>> raise OptionError.of("batch_size", "wanted a whole number of at least 1, found 0")
    Traceback (most recent call last):
    onnxtop.errors.OptionError: batch_size: wanted a whole number of at least 1, found 0
    """

    name = ""
    reason = ""

    @classmethod
    def of(cls, name: str, reason: str) -> "OptionError":
        """Say which option it is, and what is wrong."""
        error = cls(f"{name}: {reason}")
        error.name, error.reason = name, reason
        return error


class MissingLibraryError(UsageError, ImportError):
    """What was asked for needs a library that is not installed."""

    @classmethod
    def of(cls, name: str, install: str) -> "MissingLibraryError":
        """Say which library it is, and what installs it.

        >>> raise MissingLibraryError.of("Keras", "keras")
        Traceback (most recent call last):
        onnxtop.errors.MissingLibraryError: wanted Keras, found it missing; install it: pip install keras
        """
        return cls(f"wanted {name}, found it missing; install it: pip install {install}")


class MissingInputError(UsageError, FileNotFoundError):
    """A file beside the model is not there: data, a baseline, a configuration."""


class ModelError(OnnxtopError):
    """A model could not be analysed."""

    exit_code = 3


class FormatError(ModelError):
    """The file is not an ONNX model, or is cut off."""


class LimitError(ModelError):
    """The model asks for more than a limit allows."""


class NoProcessError(ModelError):
    """The system starts no process, or no thread in one, for the work on a model: there may be no more."""


class ExternalDataError(ModelError):
    """External weights are missing, cut off, or outside the folders that may be read."""


class MissingExternalDataError(ExternalDataError, FileNotFoundError):
    """The file of external weights is not there."""


class UnreadableError(ModelError, OSError):
    """The system does not give the file of a model."""


class MissingError(UnreadableError, FileNotFoundError):
    """The file of a model is not there."""


class FolderError(UnreadableError, IsADirectoryError):
    """A folder stands where a model was wanted."""


class DeniedError(UnreadableError, PermissionError):
    """The file of a model may not be read."""


class NothingToAnalyseError(OnnxtopError):
    """There are no weight tensors in the model, or no models in the folder."""

    exit_code = 4


ENDED = b"onnxtop: error: interrupted\n"
"""What is said where a run ends at once: before there is work, or without waiting for it."""

NOT_THE_PATH = {errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.ENOSPC, errno.ENOMEM, errno.EIO}
"""What the system says where no other path would help."""
_UNREADABLE = {
    FileNotFoundError: MissingError,
    IsADirectoryError: FolderError,
    PermissionError: DeniedError,
}


def unreadable(error: OSError) -> UnreadableError:
    """Return the error that says of a model what the system's own says of its file.

    >>> raise unreadable(FileNotFoundError(2, "No such file or directory"))
    Traceback (most recent call last):
    onnxtop.errors.MissingError: wanted an ONNX file, found none to read: No such file or directory; ...
    """
    kind = _UNREADABLE.get(type(error), UnreadableError)
    advice = "" if error.errno in NOT_THE_PATH else "; check the path"
    return kind(f"wanted an ONNX file, found none to read: {error.strerror or error}{advice}")


def unusable(error: Exception, message: str) -> UsageError:
    """Return what says that a file beside the model cannot be read, or is not even there."""
    return (MissingInputError if isinstance(error, FileNotFoundError) else UsageError)(message)


def misread(error: Exception) -> str:
    """Say why a text cannot be read, where Python's own words are about Python."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has too many digits" if "integer string conversion" in str(error) else str(error)


@contextlib.contextmanager
def named(name: str, role: str = "") -> Iterator[None]:
    """Say of which model an error is, once, and what the model is there for.

    >>> with named("a.onnx"):
    ...     raise FormatError("wanted an ONNX model")
    Traceback (most recent call last):
    onnxtop.errors.FormatError: a.onnx: wanted an ONNX model
    """
    try:
        yield
    except OnnxtopError as error:
        raise type(error)(f"{role}{name}: {str(error).removeprefix(f'{name}: ')}") from error
