"""The bytes of a file as a protocol buffer, or what they are instead."""

import mmap
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError, Message
from onnx import ModelProto

from onnxtop.errors import FormatError
from onnxtop.reader import wire
from onnxtop.reader.foreign import HEAD, Kind, kind_of, kind_of_text
from onnxtop.reader.limits import DEFAULTS, Limits

if TYPE_CHECKING:
    from onnxtop.reader.mirror import Fetched


def refuse_foreign(head: bytes) -> None:
    """Name the files that are often taken for ONNX models."""
    if not head:
        raise FormatError("wanted an ONNX model, found an empty file; export or copy it again")
    _refuse(kind_of(head))


def _refuse(kind: Kind | None) -> None:
    if kind is not None:
        raise FormatError(f"wanted an ONNX model, found {kind.found}; {kind.advice}")


def parse(content: "mmap.mmap | bytes | Fetched", limits: Limits = DEFAULTS) -> ModelProto:
    """Return the outline of a file's model (see `wire`).

    Raises
    ------
    FormatError
        There is none in it.
    LimitError
        It is larger than the limits.
    """
    try:
        proto = ModelProto.FromString(wire.outline(seen(content), limits))
    except (ValueError, RecursionError, DecodeError) as error:
        _refuse(kind_of_text(bytes(seen(content)[:HEAD])))
        raise FormatError(
            f"wanted an ONNX model, found a file that breaks off or is no protocol buffer ({error}); "
            "export or copy it again"
        ) from None
    if not _is_text(proto):
        raise FormatError("wanted an ONNX model, found names that are no UTF-8 text; the file is damaged")
    if not proto.HasField("graph") or not (proto.ir_version or proto.opset_import):
        _refuse(kind_of_text(bytes(seen(content)[:HEAD])))
        raise FormatError(
            "wanted an ONNX model, found a file without a graph; check that it is the right one"
        )
    return proto


def seen(content: "mmap.mmap | bytes | Fetched") -> "memoryview | Fetched":
    """Return bytes so that a slice copies none of them."""
    return memoryview(content) if isinstance(content, mmap.mmap | bytes) else content


def _is_text(message: Message) -> bool:
    """Tell whether every string is text: protobuf hands over one that is no UTF-8 as bytes."""
    for kind, value in message.ListFields():
        if kind.type not in (kind.TYPE_STRING, kind.TYPE_MESSAGE):
            continue
        for item in (value,) if isinstance(value, str | bytes | Message) else value:
            if isinstance(item, bytes) or (isinstance(item, Message) and not _is_text(item)):
                return False
    return True
