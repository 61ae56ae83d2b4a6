"""The bytes of a file as a protocol buffer, or what they are instead."""

import mmap
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError, Message
from onnx import ModelProto

from onnxtop.errors import FormatError
from onnxtop.reader import wire
from onnxtop.reader.limits import DEFAULTS, Limits

if TYPE_CHECKING:
    from onnxtop.reader.remote import Fetched

_FOREIGN = (
    ((b"version https://git-lfs",), "a Git LFS pointer", "run 'git lfs pull' to get the model itself"),
    ((b"<!doctype", b"<html", b"<?xml"), "a web page", "the download went wrong: get the file itself"),
    ((b"pk\x03\x04",), "a zip archive (PyTorch and Keras save such)", "export the model to ONNX"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle", "export the model to ONNX"),
    ((b"\x89hdf",), "an HDF5 file (Keras saves such)", "export the model to ONNX"),
    ((b"\x1f\x8b",), "a gzip archive", "unpack it first"),
)


def refuse_foreign(head: bytes) -> None:
    """Name the files that are often taken for ONNX models."""
    start = head.lstrip().lower()
    if not head:
        raise FormatError("wanted an ONNX model, found an empty file; export or copy it again")
    if head[4:8] == b"ORTM":
        raise FormatError(
            "wanted an ONNX model, found ONNX Runtime's own .ort format; give the .onnx file it was made from"
        )
    if head[4:8] == b"TFL3":
        raise FormatError("wanted an ONNX model, found a TensorFlow Lite model; convert it with tf2onnx")
    for marks, found, advice in _FOREIGN:
        if start.startswith(marks) or head.startswith(marks):
            raise FormatError(f"wanted an ONNX model, found {found}; {advice}")


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
        raise FormatError(
            f"wanted an ONNX model, found a file that breaks off or is no protocol buffer ({error}); "
            "export or copy it again"
        ) from None
    if not _is_text(proto):
        raise FormatError("wanted an ONNX model, found names that are no UTF-8 text; the file is damaged")
    if not proto.HasField("graph") or not (proto.ir_version or proto.opset_import):
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
