"""The smallest file that still fails in the same way: fields leave it one by one, the largest first."""

from collections.abc import Callable
from functools import partial

from tests.fuzz.wire import Field, fields_of, message

Still = Callable[[bytes], bool]


def minimised(data: bytes, still: Still, tries: int = 200) -> bytes:
    """Return what is left of a file that fails when no field of it can go; ``still`` tells whether it fails.

    Where a file is no message, its end and its beginning go as far as they can.
    """
    left = tries

    def counted(smaller: bytes) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and still(smaller)

    data = _without_fields(data, counted)
    return data if fields_of(data) is not None else _without_ends(data, counted)


def _without_fields(data: bytes, still: Still) -> bytes:
    fields = fields_of(data)
    if fields is None:
        return data
    fields = _runs_removed(fields, still)
    for place in sorted(range(len(fields)), key=lambda place: -len(fields[place].body)):
        field = fields[place]
        if len(field.body) < 4 or field.fields is None:
            continue

        before, after = fields[:place], fields[place + 1 :]
        holds = partial(_holds, before, field, after, still)
        fields = [*before, Field(field.number, field.kind, _without_fields(field.body, holds)), *after]
    return message(fields)


def _holds(before: list[Field], field: Field, after: list[Field], still: Still, body: bytes) -> bool:
    """Tell whether a file still fails where a field of it has another content."""
    return still(message([*before, Field(field.number, field.kind, body), *after]))


def _runs_removed(fields: list[Field], still: Still) -> list[Field]:
    """Remove runs of fields, halves first and single ones last."""
    size = max(1, len(fields) // 2)
    while fields:
        at = 0
        while at < len(fields):
            fewer = fields[:at] + fields[at + size :]
            if still(message(fewer)):
                fields = fewer
            else:
                at += size
        if size == 1:
            break
        size //= 2
    return fields


def _without_ends(data: bytes, still: Still) -> bytes:
    size = len(data) // 2
    while size:
        for smaller in (data[:-size], data[size:]):
            if len(smaller) < len(data) and still(smaller):
                data = smaller
                break
        else:
            size //= 2
        size = min(size, len(data) // 2)
    return data
