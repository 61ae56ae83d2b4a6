"""What may be asked of a comparison, and of a check, which may have one in it."""

from dataclasses import dataclass, field, fields
from typing import Any

from onnxtop.auditing.options import AuditOptions
from onnxtop.execution.options import RunOptions
from onnxtop.options import MOST_DOWNLOAD, AllowExternal, Checked, Dims, InputShapes, MaxDownload, Peepholes
from onnxtop.reader.limits import LimitValues
from onnxtop.results.diff import DiffSettings
from onnxtop.rules.options import CheckOptions
from onnxtop.work.options import WorkOptions


@dataclass(frozen=True)
class DiffOptions(Checked):
    """How two models are compared: what counts as changed, and how both are read, measured and run."""

    settings: DiffSettings = field(default_factory=DiffSettings)
    allow_external: AllowExternal = ()
    max_download: MaxDownload = MOST_DOWNLOAD
    limits: LimitValues = field(default_factory=dict)
    peepholes: Peepholes = False
    input_shapes: InputShapes = field(default_factory=dict)
    dims: Dims = field(default_factory=dict)
    running: RunOptions = field(default_factory=RunOptions)
    work: WorkOptions = field(default_factory=WorkOptions)


_SHARED = {each.name for each in fields(AuditOptions)} & {each.name for each in fields(DiffOptions)}


def shared(options: AuditOptions | DiffOptions) -> dict[str, Any]:
    """Return the options that audits and comparisons have in common, but for how models are run.

    A comparison runs both models on the same inputs, an audit one model on its own: neither means the other.
    """
    return {name: getattr(options, name) for name in sorted(_SHARED - {"running"})}


@dataclass(frozen=True)
class GateOptions(CheckOptions):
    """How a model is judged, and what of it is measured."""

    audit: AuditOptions = field(default_factory=AuditOptions)
