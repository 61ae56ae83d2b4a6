"""The JSON report: the object of one model, or a list of them."""

from collections.abc import Sequence
from typing import Any

from onnxtop._version import __version__
from onnxtop.render import FailedModel, RenderOptions, Result
from onnxtop.render.json import document, failure
from onnxtop.results.report import SCHEMA_VERSION


def render(results: Sequence[Result], options: RenderOptions) -> str:
    """Render one model as its object, several (or none) as a list under ``reports``."""
    reports = [plain(result) for result in results]
    if len(reports) == 1:
        return document(reports[0])
    tool = next((report["tool"] for report in reports if "tool" in report), None)
    unknown = {"name": "onnxtop", "version": __version__, "algorithms": {}}
    return document({"schema_version": SCHEMA_VERSION, "tool": tool or unknown, "reports": reports})


def plain(result: Result) -> dict[str, Any]:
    """Return the plain JSON values of one model, analysed or failed."""
    return failure(result) if isinstance(result, FailedModel) else result.to_dict()
