"""What makes a loss barcode: the version of its measure."""

from onnxtop.results.report import this_tool

ALGORITHMS = {"loss_barcode": 4}
"""Raised whenever the same files and options may give another value."""

TOOL = this_tool(ALGORITHMS)
