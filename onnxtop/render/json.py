"""What every JSON document has in common: strict, stable, the same bytes for the same results."""

import json
import math
import re
from typing import Any

_UNSAFE = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""What JSON may hold as it is and yet no terminal or encoder should meet: DEL, C1, bidi, lone surrogates."""


_quoted = json.encoder.encode_basestring
_plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def strict(value: Any, indent: int | None = None) -> str:
    """Write strict JSON that any terminal may show and any encoder encode.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    text = _plain(value) if indent is None else _indented(value, "\n", " " * indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _indented(value: Any, margin: str, step: str) -> str:
    """Write what ``json.dumps`` writes with an indent, which it does far slower than without one."""
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    inner = margin + step
    if isinstance(value, dict):
        parts = [f"{_quoted(_key(key))}: {_indented(item, inner, step)}" for key, item in value.items()]
        return f"{{{inner}{f',{inner}'.join(parts)}{margin}}}" if parts else "{}"
    if isinstance(value, (list, tuple)):
        parts = [_indented(item, inner, step) for item in value]
        return f"[{inner}{f',{inner}'.join(parts)}{margin}]" if parts else "[]"
    return _plain(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else _plain(key)


def document(value: Any) -> str:
    """Write one indented document."""
    return strict(value, indent=2) + "\n"
