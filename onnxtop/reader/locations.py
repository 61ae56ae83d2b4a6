"""Which models keep weights in a file: read off their outlines, never told by names."""

import functools
import os
from pathlib import Path

from onnxtop.errors import OnnxtopError
from onnxtop.reader import wire
from onnxtop.reader.file import seen
from onnxtop.reader.limits import DEFAULTS
from onnxtop.reader.model_file import opened


def models_of(data: Path) -> list[Path]:
    """Return the models beside a file or in a folder above it that refer to it; their paths are absolute.

    A location leads from a model's folder downwards. What is no model, or cannot be read, refers to nothing.
    """
    wanted = data.resolve()
    return [
        model
        for folder in Path(os.path.abspath(data)).parents  # noqa: PTH100 (without its "..")
        for model in sorted(folder.glob("*"))
        if model.suffix.lower() == ".onnx" and wanted in _locations(model)
    ]


def is_model(given: Path | bytes) -> bool:
    """Tell whether a file, or bytes, hold a model."""
    return _named(given) is not None


@functools.cache
def _locations(model: Path) -> frozenset[Path]:
    return frozenset(files_of(model))


def files_of(model: Path) -> list[Path]:
    """Return the real paths of the files that a model keeps weights in, beside itself, sorted."""
    return sorted(filter(None, {_real(model, location) for location in locations_of(model)}))


def locations_of(model: Path | str) -> list[str]:
    """Return where a model, also one at an address, keeps weights, seen from its folder; sorted."""
    return sorted(_named(model) or ())


def _real(model: Path, location: str) -> Path | None:
    try:
        return (model.parent / location).resolve()
    except (OSError, ValueError):  # a name that no file can have
        return None


def _named(model: Path | str | bytes) -> set[str] | None:
    """Return the locations that a model names; None if it is no model. No library in C++ looks at it."""
    try:
        return wire.locations(seen(opened(model).content), DEFAULTS)
    except (OnnxtopError, ValueError):
        return None
