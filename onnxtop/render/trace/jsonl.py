"""JSON lines: a checkpoint a line, written when it is measured."""

from collections.abc import Sequence
from typing import Any

from onnxtop.render import RenderOptions
from onnxtop.render.json import strict
from onnxtop.results.envelope import failure
from onnxtop.results.outcome import FailedModel
from onnxtop.results.plain import plain
from onnxtop.results.report import SCHEMA_VERSION
from onnxtop.results.trace import Step, Trace


def render(found: Trace | Sequence[Step], options: RenderOptions) -> str:
    """Render each checkpoint, or what stands in its place, of a run or a part of one."""
    steps = found.checkpoints if isinstance(found, Trace) else found
    return "".join(strict(_line(step)) + "\n" for step in steps)


def _line(step: Step) -> dict[str, Any]:
    told = failure(step) if isinstance(step, FailedModel) else {"checkpoint": plain(step)}
    return {"schema_version": SCHEMA_VERSION, **told}
