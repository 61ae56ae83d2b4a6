"""The options of this room as keywords, for type checkers; made by ``tests/keywords.py``."""

from pathlib import Path
from typing import Literal

from onnxtop.auditing.keywords import AuditKeywords
from onnxtop.auditing.options import AuditOptions
from onnxtop.tracing.stopping import StoppingOptions


class TraceKeywords(AuditKeywords, total=False):
    """Keywords for `TraceOptions`."""

    order: Literal["name", "mtime", "given"]
    label: str | None
    metric_file: str | Path | None
    log: tuple[str, ...]
    audit: AuditOptions
    stopping: StoppingOptions
    patience: int
    min_delta: float
    burn_in: int
    measure: Literal["np", "dgp"]
