"""The options of this room as keywords, for type checkers; made by ``tests/keywords.py``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from onnxtop.auditing.keywords import AuditKeywords
from onnxtop.auditing.options import AuditOptions
from onnxtop.execution.options import RunOptions
from onnxtop.results.diff import DiffSettings
from onnxtop.work.options import WorkOptions


class DiffKeywords(TypedDict, total=False):
    """Keywords for `DiffOptions`."""

    settings: DiffSettings
    allow_external: tuple[str | Path, ...]
    max_download: float
    limits: Mapping[str, float]
    peepholes: bool
    input_shapes: Mapping[str, tuple[int, ...]]
    dims: Mapping[str, int]
    running: RunOptions
    work: WorkOptions
    tolerance: float
    np_tolerance: float
    permuted_ok: bool
    seed: int
    execute: bool
    samples: str | Path | None
    draws: int
    memory_limit: float | None
    jobs: int | None
    memory: float | None
    time_limit: float | None
    scheduler: str | None
    cache: str | Path | None
    apart: bool


class GateKeywords(AuditKeywords, total=False):
    """Keywords for `GateOptions`."""

    fail_on: Literal["error", "warning", "never"]
    select: tuple[str, ...]
    ignore: tuple[str, ...]
    compare: Literal["values", "structure"]
    severity: Mapping[str, str]
    thresholds: Mapping[str, Any]
    tolerances: Mapping[str, float]
    ignore_layers: Mapping[str, Any]
    audit: AuditOptions
