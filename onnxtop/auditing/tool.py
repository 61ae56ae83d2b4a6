"""What makes a report: its name, its version, and those of its measures."""

from onnxtop.auditing.options import AuditOptions, settings_of
from onnxtop.results.envelope import Head
from onnxtop.results.report import this_tool

ALGORITHMS = {"neural_persistence": 1, "null_model": 3, "deep_graph_persistence": 2}
"""Version of each measure: raised whenever the same file and options may give another value."""

TOOL = this_tool(ALGORITHMS)


def head_of(options: AuditOptions) -> Head:
    """Return what all reports with these options have in common."""
    return Head(TOOL, settings_of(options))
