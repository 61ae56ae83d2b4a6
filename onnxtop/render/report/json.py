"""The JSON report: strict, stable, the same bytes for the same results."""

import json
import re
from collections.abc import Sequence
from typing import Any

from onnxtop._version import __version__
from onnxtop.render import FailedModel, RenderOptions, Result
from onnxtop.results.report import SCHEMA_VERSION, Report

__all__ = ["plain", "render", "strict"]

_UNSAFE = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""What JSON may hold as it is and yet no terminal or encoder should meet: DEL, C1, bidi, lone surrogates."""


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render one model as its object, several (or none) as a list under ``reports``."""
    reports = [plain(result) for result in results]
    if len(reports) == 1:
        return strict(reports[0], indent=2) + "\n"
    tool = next((report["tool"] for report in reports if "tool" in report), None)
    unknown = {"name": "onnxtop", "version": __version__, "algorithms": {}}
    whole = {"schema_version": SCHEMA_VERSION, "tool": tool or unknown, "reports": reports}
    return strict(whole, indent=2) + "\n"


def plain(result: Result) -> dict[str, Any]:
    """Return the plain JSON values of one model, analysed or failed."""
    if isinstance(result, Report):
        return result.to_dict()
    return _failure(result)


def strict(value: Any, indent: int | None = None) -> str:
    """Write strict JSON that any terminal may show and any encoder encode.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _failure(failed: FailedModel) -> dict[str, Any]:
    return {"model": {"path": failed.path}, "error": {"code": failed.code, "message": failed.message}}
