"""Comma-separated values: a row a checkpoint, a column a figure, by the names that these have in a logger."""

import csv
import io

from onnxtop.render import RenderOptions
from onnxtop.render.report.csv import cell
from onnxtop.results.trace import Trace


def render(trace: Trace, options: RenderOptions) -> str:
    """Render all checkpoints under one header row, as RFC 4180 has it."""
    rows = list(trace.rows())
    columns = dict.fromkeys(["checkpoint", "step", "path", "error", *(name for row in rows for name in row)])
    buffer = io.StringIO()
    table = csv.writer(buffer)
    table.writerow([cell(name) for name in columns])
    table.writerows([cell(row.get(name)) for name in columns] for row in rows)
    return buffer.getvalue()
