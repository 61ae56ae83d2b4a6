"""What every JSON document has in common: strict, stable, the same bytes for the same results."""

import json
import re
from typing import Any

_UNSAFE = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""What JSON may hold as it is and yet no terminal or encoder should meet: DEL, C1, bidi, lone surrogates."""


def strict(value: Any, indent: int | None = None) -> str:
    """Write strict JSON that any terminal may show and any encoder encode.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def document(value: Any) -> str:
    """Write one indented document."""
    return strict(value, indent=2) + "\n"
