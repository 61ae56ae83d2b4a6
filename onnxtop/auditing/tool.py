"""What makes a report: its name, its version, and those of its measures."""

from onnxtop._version import __version__
from onnxtop.auditing.options import AuditOptions, settings_of
from onnxtop.results.envelope import Head
from onnxtop.results.report import ToolInfo

ALGORITHMS = {"neural_persistence": 1, "null_model": 2, "deep_graph_persistence": 2}
"""Version of each measure: raised whenever the same file and options may give another value."""

TOOL = ToolInfo("onnxtop", __version__, ALGORITHMS)


def head_of(options: AuditOptions) -> Head:
    """Return what all reports with these options have in common."""
    return Head(TOOL, settings_of(options))
