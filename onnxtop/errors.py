"""Every error that onnxtop raises on purpose, in one tree.

::

    OnnxtopError                exit code
    ├── UsageError              2  options or configuration that make no sense
    │   └── MissingLibraryError 2  what was asked for needs a library that is not installed
    ├── ModelError              3  a model could not be analysed
    │   ├── FormatError         3  the file is not an ONNX model, or is cut off
    │   └── ExternalDataError   3  external weights are missing, cut off or outside the allowed folders
    └── NothingToAnalyseError   4  no weight tensors, or a folder without models

A message says what was wanted, what was found and what to do, on one line.
"""


class OnnxtopError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command line returns for it."""

    exit_code = 5


class UsageError(OnnxtopError, ValueError):
    """Options, arguments or configuration that make no sense."""

    exit_code = 2


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


class ModelError(OnnxtopError):
    """A model could not be analysed."""

    exit_code = 3


class FormatError(ModelError):
    """The file is not an ONNX model, or is cut off."""


class ExternalDataError(ModelError):
    """External weights are missing, cut off, or outside the folders that may be read."""


class NothingToAnalyseError(OnnxtopError):
    """There are no weight tensors in the model, or no models in the folder."""

    exit_code = 4
