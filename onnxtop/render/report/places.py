"""Where a finding is shown by a machine: a line of the source, or the first of the model's file.

An .onnx has no lines. Where the exporter noted the line of the source that made a layer, and that line is
here, below the working directory, the finding is shown there.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from onnxtop.results.outcome import Result, path_of
from onnxtop.results.report import Finding, LayerReport, Report
from onnxtop.rules.catalogue import find_rule

_LONGEST = 1 << 24
"""Bytes of a source file above which it is not looked into."""


@dataclass(frozen=True)
class SourcePlace:
    """A line of a file; ``end_column`` is the column behind its last character."""

    path: str
    line: int = 1
    end_column: int = 1


def by_path(results: Sequence[Result]) -> list[Result]:
    """Return the results by path, whichever order the models were named in."""
    return sorted(results, key=path_of)


def title_of(code: str) -> str:
    """Return the code of a rule and its name, if there still is such a rule."""
    rule = find_rule(code)
    return f"{code} {rule.name}" if rule else code


def message_of(report: Report, finding: Finding) -> str:
    """Say what was found where, for a reader who sees the message alone."""
    where = "" if finding.layer is None else f"layer {finding.layer}: "
    return f"{report.model.path}: {where}{finding.message}"


def layer_of(report: Report, finding: Finding) -> LayerReport | None:
    """Return the layer that a finding is about, None if it is about the model."""
    return None if finding.layer is None else report.by_name.get(finding.layer)


def place_of(report: Report, finding: Finding) -> SourcePlace:
    """Return the place of a finding."""
    layer = layer_of(report, finding)
    source = None if layer is None or layer.source is None else _source(layer.source)
    return source or model_place(report.model.path)


def model_place(path: str) -> SourcePlace:
    """Return the first line of a model, its path relative to the working directory if it is below it."""
    return SourcePlace(_below_here(path) or path)


def uri(path: str) -> str:
    """Write a path as a URI: relative below the working directory, else absolute.

    >>> uri("models/a b.onnx")
    'models/a%20b.onnx'
    """
    relative = _below_here(path)
    if relative is not None:
        return quote(_bytes(relative.replace(os.sep, "/")))
    absolute = os.path.abspath(path).replace(os.sep, "/")  # noqa: PTH100 (Path keeps "..")
    return "file://" + quote(_bytes("/" + absolute.lstrip("/")))


def _source(noted: str) -> SourcePlace | None:
    """Return the line of the source, None if it is not below the working directory."""
    path, _, number = noted.rpartition(":")
    relative = _below_here(path)
    if relative is None or not number.isdecimal():
        return None
    file = Path(relative)
    try:
        if not os.path.isfile(file) or file.stat().st_size > _LONGEST:
            return None
        if not file.resolve().is_relative_to(Path.cwd().resolve()):
            return None
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return None
    line = int(number)
    return SourcePlace(relative, line, len(lines[line - 1]) + 1) if 0 < line <= len(lines) else None


def _below_here(path: str) -> str | None:
    """Return a path relative to the working directory, None if it leads out of it."""
    relative = os.path.relpath(path or ".")
    out = relative == os.pardir or relative.startswith(os.pardir + os.sep) or Path(relative).is_absolute()
    return None if out else relative


def _bytes(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")
