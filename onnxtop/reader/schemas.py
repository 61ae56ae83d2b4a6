"""What ONNX says of an operation, in whatever version a file, which may be damaged, claims to have."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import onnx


def schema(op_type: str, opset: int, domain: str = "") -> onnx.defs.OpSchema:
    """Return an operation as the opset has it, or the newest where the opset has none, or is none.

    Raises
    ------
    KeyError
        No opset has it.
    """
    if not onnx.defs.has(op_type, domain):
        raise KeyError(op_type)
    try:
        return onnx.defs.get_schema(op_type, opset, domain)
    except (onnx.defs.SchemaError, TypeError):  # TypeError: a damaged file's opset of 64 bits
        return onnx.defs.get_schema(op_type, domain)


@cache
def since(op_type: str, opset: int) -> int:
    """Return the version in which an operation of ONNX last changed, 0 where the opset has none."""
    try:
        return int(onnx.defs.get_schema(op_type, opset).since_version)
    except (onnx.defs.SchemaError, TypeError):  # TypeError as above
        return 0


def history(op_type: str) -> Iterator[onnx.defs.OpSchema]:
    """Yield what ONNX says of an operation: in its newest version, then in each before that."""
    version = since(op_type, onnx.defs.onnx_opset_version())
    while version:
        yield schema(op_type, version)
        version = since(op_type, version - 1)


def first_and_newest(op_type: str) -> Iterator[onnx.defs.OpSchema]:
    """Yield what ONNX says of an operation, in its newest version and in the first of all."""
    for version in (onnx.defs.onnx_opset_version(), 1) if onnx.defs.has(op_type) else ():
        with contextlib.suppress(onnx.defs.SchemaError):  # most are younger than the first
            yield onnx.defs.get_schema(op_type, version)


_ACTIVATIONS: Mapping[str, tuple[bytes, ...]] = {
    "GRU": (b"Sigmoid", b"Tanh"),
    "LSTM": (b"Sigmoid", b"Tanh", b"Tanh"),
    "RNN": (b"Tanh",),
}
"""What goes without saying in each direction: ONNX writes it in its text, of RNN alone in its schema."""

RECURRENT = frozenset(_ACTIVATIONS)
"""ONNX's operations that go along a sequence, with a state."""


def has_default_activations(op_type: str, attributes: Mapping[str, Any]) -> bool:
    """Tell whether a recurrent operation's activations are those that go without saying."""
    named = tuple(attributes.get("activations") or ())
    directions = 2 if attributes.get("direction") == b"bidirectional" else 1
    every = _ACTIVATIONS[op_type] * directions
    return not named or named[: len(every)] == every
