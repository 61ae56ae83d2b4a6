"""The shape of reports on disk: one envelope around one model or many, whatever became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxtop.errors import ModelError, UsageError
from onnxtop.options import said
from onnxtop.results.outcome import (
    FailedModel,
    Outcome,
    Result,
    counts_of,
    counts_of_run,
    path_of,
    verdict_of,
    verdict_of_run,
)
from onnxtop.results.plain import plain
from onnxtop.results.report import SCHEMA_VERSION, Report, Settings, ToolInfo, this_tool


@dataclass(frozen=True)
class Head:
    """What the reports of a run have in common; it stands in the envelope once."""

    tool: ToolInfo
    settings: Settings | None


_UNKNOWN = Head(this_tool(), None)


def header(tool: ToolInfo | None = None) -> dict[str, Any]:
    """Return what a document begins with: the version of its shape, and what made it."""
    return {"schema_version": SCHEMA_VERSION, "tool": plain(tool or this_tool())}


def envelope(
    results: Sequence[Result], fail_on: str | None = None, head: Head | None = None
) -> dict[str, Any]:
    """Return the results of one run as plain JSON values, each in its place.

    ``head`` is told where no report tells it. A run that was interrupted says so, and what it did not reach.

    Raises
    ------
    UsageError
        The reports were not made by one run.
    """
    heads = [Head(each.tool, each.settings) for each in results if isinstance(each, Report)]
    common = next(iter(heads), head or _UNKNOWN)
    if any(each != common for each in heads):
        raise UsageError("wanted reports of one run, found other settings or versions: write them apart")
    missed = [path_of(each) for each in results if verdict_of(each, fail_on) is Outcome.INTERRUPTED]
    return {
        **header(common.tool),
        "settings": plain(common.settings),
        "verdict": verdict_of_run(results, fail_on).value,
        **incomplete(missed),
        "counts": plain(counts_of_run(results, fail_on)),
        "reports": [_entry(each, fail_on) for each in results],
    }


def incomplete(missed: Sequence[str]) -> dict[str, Any]:
    """Return what says that a run was interrupted, and before which models; nothing if it was not."""
    return {"complete": False, "not_reached": list(missed)} if missed else {}


def failure(failed: FailedModel) -> dict[str, Any]:
    """Return what stands in the place of a model that could not be analysed."""
    return {"model": {"path": failed.path}, "error": {"code": failed.code, "message": failed.message}}


def _entry(result: Result, fail_on: str | None) -> dict[str, Any]:
    if isinstance(result, FailedModel):
        return failure(result)
    values = result.to_dict()
    del values["tool"], values["settings"]
    judged = {"verdict": verdict_of(result, fail_on).value, "counts": plain(counts_of(result))}
    return {"model": values.pop("model"), **judged, **values}


def read_envelope(data: Any) -> list[Result]:
    """Read back the results of an envelope.

    Raises
    ------
    UsageError
        The data is no envelope of this schema version, or not a whole one.
    """
    version = data.get("schema_version") if isinstance(data, Mapping) else None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"wanted reports of schema version {SCHEMA_VERSION}, found "
            f"{'what onnxtop did not write' if version is None else said(version)}: "
            f"make {'one' if version is None else 'it anew'} with onnxtop check --write-baseline"
        )
    entries = data.get("reports")
    if not isinstance(entries, list):
        raise UsageError(f"wanted a list of reports, found {entries!r:.40}")
    head = {key: data.get(key) for key in ("tool", "settings")}
    return [_result(entry, head) for entry in entries]


def _result(entry: Any, head: Mapping[str, Any]) -> Result:
    if not isinstance(entry, Mapping):
        raise UsageError(f"wanted a report, found {entry!r:.40}")
    error, model = entry.get("error"), entry.get("model")
    if isinstance(error, Mapping) and isinstance(model, Mapping):
        code = error.get("code")
        failed = code if isinstance(code, int) else ModelError.exit_code
        return FailedModel(str(model.get("path")), failed, str(error.get("message")))
    return Report.from_dict({**entry, **head})
