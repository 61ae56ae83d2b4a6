"""The outline of an ONNX file: everything but the bytes of its large tensors.

An ONNX file is a protocol buffer, and nearly all of it is tensor data. ``outline`` walks the outermost
levels of the wire format and leaves out each long run of tensor bytes, putting in its place what ONNX itself
uses for data kept elsewhere: ``external_data`` entries, with the location ``INLINE`` and the offset and
length in the same file. So a model of any size loads in the time and memory of its structure, and inline
and external weights are mapped the same way (`onnxtop.reader.tensors`).

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: onnx/onnx.proto.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, overload

from onnxtop.errors import FormatError, LimitError
from onnxtop.reader.limits import GIB, Limits

INLINE = "\0inline"
"""Location of tensor bytes that stay in the model's own file: no file has this name, and no model says it."""

LARGE = 4096
"""Bytes from which tensor data is left out, and a message is looked into."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Message types that can hold tensors: field number -> type of the message in it.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_COUNTED = {"node": "nodes", "tensor": "tensors"}
# TensorProto fields whose wire bytes are the array's bytes: float_data and double_data (packed), raw_data.
_TENSOR_DATA = (4, 9, 10)


class Bytes(Protocol):
    """Bytes of which only those are looked at that are asked for: a memoryview is such."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> memoryview: ...


class _Field(NamedTuple):
    number: int
    wire_type: int
    begin: int  # of the tag
    payload: int  # of the content
    end: int


def outline(data: Bytes, limits: Limits) -> bytes:
    """Return the model with every large tensor's bytes replaced by a reference into ``data``.

    Raises
    ------
    ValueError
        The bytes break off, or are no protocol buffer.
    LimitError
        What is no tensor's bytes is more than the limits.
    FormatError
        A tensor of it says what only a reference into ``data`` says.
    """
    tally = _Tally(limits)
    content = _shrink(data, 0, len(data), "model", tally)
    if content.count(INLINE.encode()) > tally.references:
        raise FormatError(
            f"wanted tensors in the model or in files beside it, found {INLINE!r}, which names no file; "
            "export the model again"
        )
    return content


def locations(data: Bytes, limits: Limits) -> set[str]:
    """Return the locations of external data that tensors name, however deep they stand; no tensor is read.

    Raises
    ------
    ValueError
        The bytes break off, are no protocol buffer, or none that holds a graph.
    LimitError
        There is more to go through than the limits have nodes and tensors.
    """
    at_top: set[int] = set()
    places: set[str] = set()
    waiting = [(0, len(data), "model")]
    left = _FIELDS * (limits.nodes + limits.tensors)
    while waiting:
        begin, end, kind = waiting.pop()
        for field in _fields(data, begin, end):
            left -= 1
            if left < 0:
                raise LimitError(f"wanted {limits.most('nodes')}")
            child = _CHILDREN.get(kind, _NAMING).get(field.number) if field.wire_type == _BYTES else None
            if kind == "model":
                at_top.add(field.number)
            if child == "entry":
                places |= _location(data, field)
            elif child is not None and _may_name(data, field):
                waiting.append((field.payload, field.end, child))
    if _GRAPH not in at_top or at_top.isdisjoint(_ORIGIN):
        raise ValueError("there is no graph")
    return places


_FIELDS = 8
"""So many fields are gone through for each node and tensor there may be, at most."""
_NAMING = {13: "entry"}
"""A tensor's own fields that say where its data are."""
_GRAPH, _ORIGIN = 7, (1, 8)
"""Fields of a model: its graph; its version, and that of its operations."""


def _may_name(data: Bytes, field: _Field) -> bool:
    """Tell a message in which a location may stand: one that is small is searched for the word."""
    large = field.end - field.payload >= LARGE
    return large or b"location" in bytes(data[field.payload : field.end])


def _location(data: Bytes, entry: _Field) -> set[str]:
    """Return the location that an entry of external data is, if it is one.

    Raises
    ------
    ValueError
        It breaks off, or is no text.
    """
    parts = {
        field.number: bytes(data[field.payload : field.end])
        for field in _fields(data, entry.payload, entry.end)
        if field.wire_type == _BYTES
    }
    return {parts.get(2, b"").decode()} if parts.get(1) == b"location" else set()


class _Tally:
    """What of the limits an outline has taken so far."""

    def __init__(self, limits: Limits) -> None:
        self.references = 0
        self._limits = limits
        self._counts = {"structure": 0.0, "nodes": 0, "tensors": 0}

    def add(self, name: str, count: float) -> None:
        self._counts[name] += count
        if self._counts[name] > getattr(self._limits, name):
            raise LimitError(f"wanted {self._limits.most(name)}")


def _shrink(data: Bytes, begin: int, end: int, kind: str, tally: _Tally) -> bytes:
    if kind == "tensor":
        return _shrink_tensor(data, begin, end, tally)
    children = _CHILDREN[kind]
    parts: list[bytes | memoryview] = []
    copied = begin
    for field in _fields(data, begin, end):
        child = children.get(field.number) if field.wire_type == _BYTES else None
        if child in _COUNTED:
            tally.add(_COUNTED[child], 1)
        if child is not None and field.end - field.payload >= LARGE:
            tally.add("structure", (field.begin - copied) / GIB)
            content = _shrink(data, field.payload, field.end, child, tally)
            parts += [data[copied : field.begin], _tag(field.number, _BYTES), _varint(len(content)), content]
            copied = field.end
    tally.add("structure", (end - copied) / GIB)
    parts.append(data[copied:end])
    return b"".join(parts)


def _shrink_tensor(data: Bytes, begin: int, end: int, tally: _Tally) -> bytes:
    large = [
        field
        for field in _fields(data, begin, end)
        if field.number in _TENSOR_DATA and field.wire_type == _BYTES and field.end - field.payload >= LARGE
    ]
    left_out = large[0].end - large[0].begin if len(large) == 1 else 0
    tally.add("structure", (end - begin - left_out) / GIB)
    if len(large) != 1:  # nothing to leave out, or data in several pieces: protobuf itself will join them
        return bytes(data[begin:end])
    (field,) = large
    tally.references += 1
    entries = (("location", INLINE), ("offset", field.payload), ("length", field.end - field.payload))
    reference = b"".join(_delimited(13, _entry(key, str(value))) for key, value in entries)
    external = _tag(14, _VARINT) + b"\1"
    return b"".join([data[begin : field.begin], data[field.end : end], reference, external])


def _fields(data: Bytes, begin: int, end: int) -> Iterator[_Field]:
    position = begin
    while position < end:
        tag, payload = _read_varint(data, position, end)
        wire_type = tag & 7
        if wire_type == _BYTES:
            length, payload = _read_varint(data, payload, end)
            after = payload + length
        elif wire_type == _VARINT:
            _, after = _read_varint(data, payload, end)
        elif wire_type in (_FIXED64, _FIXED32):
            after = payload + (8 if wire_type == _FIXED64 else 4)
        else:
            raise ValueError(f"wire type {wire_type} at byte {position}")
        if after > end:
            raise ValueError(f"field at byte {position} needs {after - end} bytes more than there are")
        yield _Field(tag >> 3, wire_type, position, payload, after)
        position = after


def _read_varint(data: Bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"no number ends before byte {position}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _delimited(number: int, content: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(content)) + content


def _entry(key: str, value: str) -> bytes:
    return _delimited(1, key.encode()) + _delimited(2, value.encode())
