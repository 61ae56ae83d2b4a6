"""What computes: what has to be the same in two processes, or at two times, whose results are."""

import functools
import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from onnxtop._version import __version__
from onnxtop.work.limits import THREADS

_LIBRARIES = ("ml_dtypes", "networkx", "numpy", "onnx", "onnxruntime", "scipy", "distributed")


@functools.cache
def about() -> Mapping[str, str]:
    """Return the versions of what computes, the kind of machine, and how many threads linear algebra may use.

    Between two releases the version stays the same; a digest of the program's own source does not.
    """
    own = {"onnxtop": __version__, "source of onnxtop": _source()[:12]}
    own |= {"Python": platform.python_version(), "machine": platform.machine()}
    libraries = {name: version_of(name) for name in _LIBRARIES}
    return own | libraries | {name: os.environ.get(name, "not set") for name in THREADS}


def version_of(library: str) -> str:
    """Return the version of a library; a word where there is none, or no package manager installed it."""
    from importlib import metadata  # loads much, for who remembers or shares results

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _source() -> str:
    state = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()
