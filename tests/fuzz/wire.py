"""Protobuf as it stands in a file, message by message, whatever the schema says of it."""

from dataclasses import dataclass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDE = {_FIXED64: 8, _FIXED32: 4}
_MOST = 2**20  # bytes of what may be a message: weights are none


@dataclass(frozen=True)
class Field:
    """A field of a message: its number, its wire type and its content."""

    number: int
    kind: int
    body: bytes

    @property
    def written(self) -> bytes:
        """The field as it stands in a file."""
        size = varint(len(self.body)) if self.kind == _BYTES else b""
        return varint(self.number << 3 | self.kind) + size + self.body

    @property
    def fields(self) -> "list[Field] | None":
        """The fields of what may be a message, None of what is certainly none."""
        if self.kind != _BYTES or not 0 < len(self.body) <= _MOST:
            return None
        return fields_of(self.body)


def varint(value: int) -> bytes:
    """Return a number of 64 bits as protobuf writes it."""
    value &= 2**64 - 1
    written = bytearray()
    while value >= 128:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def number_field(number: int, value: int) -> Field:
    return Field(number, _VARINT, varint(value))


def bytes_field(number: int, body: bytes) -> Field:
    return Field(number, _BYTES, body)


def message(fields: list[Field]) -> bytes:
    return b"".join(field.written for field in fields)


def fields_of(data: bytes) -> list[Field] | None:
    """Return the fields of a message, None if this is none."""
    fields, at = [], 0
    try:
        while at < len(data):
            tag, at = _number(data, at)
            number, kind = tag >> 3, tag & 7
            size, at = _number(data, at) if kind == _BYTES else (_WIDE.get(kind), at)
            end = _number(data, at)[1] if kind == _VARINT else at + (size or 0)
            if not number or end > len(data) or (kind != _VARINT and size is None):
                return None
            fields.append(Field(number, kind, data[at:end]))
            at = end
    except IndexError:
        return None
    return fields


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint that begins somewhere, and where it ends."""
    value = 0
    for place in range(10):
        value |= (data[at + place] & 127) << 7 * place
        if data[at + place] < 128:
            return value, at + place + 1
    raise IndexError("a number of more than ten bytes")
