"""Which models keep weights in a file: read off their outlines, never told by names."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message
from onnx import TensorProto

from onnxtop.errors import OnnxtopError
from onnxtop.reader.file import parse
from onnxtop.reader.model_file import opened
from onnxtop.reader.wire import INLINE


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


def is_model(path: Path) -> bool:
    """Tell whether a file holds a model."""
    return _outline(path) is not None


@functools.cache
def _locations(model: Path) -> frozenset[Path]:
    return frozenset(files_of(model))


def files_of(model: Path) -> list[Path]:
    """Return the real paths of the files that a model keeps weights in, beside itself, sorted."""
    return sorted(filter(None, {_real(model, location) for location in locations_of(model)}))


def locations_of(model: Path | str) -> list[str]:
    """Return where a model, also one at an address, keeps weights, seen from its folder; sorted."""
    outline = _outline(model)
    found = set()
    for tensor in _tensors(outline) if outline is not None else ():
        if tensor.data_location == TensorProto.EXTERNAL:
            found |= {entry.value for entry in tensor.external_data if entry.key == "location"}
    return sorted(found - {INLINE})


def _real(model: Path, location: str) -> Path | None:
    try:
        return (model.parent / location).resolve()
    except (OSError, ValueError):  # a name that no file can have
        return None


def _outline(model: Path | str) -> Message | None:
    try:
        return parse(opened(model).content)
    except OnnxtopError:
        return None


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Yield the tensors of a message, however deep they stand in it."""
    if isinstance(message, TensorProto):
        yield message
        return
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for item in (value,) if isinstance(value, Message) else value:
                if isinstance(item, Message):
                    yield from _tensors(item)
