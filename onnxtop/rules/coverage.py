"""OT0: what was read of the model at all."""

from onnxtop.results.report import Report
from onnxtop.rules.rule import Found, Policy, Rule

__all__ = ["RULES"]


def no_weights_read(report: Report, policy: Policy) -> Found:
    """Find a model whose weights are there and cannot be read."""
    if report.coverage.skipped and not report.coverage.parameters_analysed:
        yield None, f"none of the {len(report.coverage.skipped)} weight tensors could be read"


def checker_complaint(report: Report, policy: Policy) -> Found:
    """Find a model that ONNX's own checker rejects."""
    if report.model.complaint:
        yield None, f"onnx.checker rejects the model: {report.model.complaint}"


def low_coverage(report: Report, policy: Policy) -> Found:
    """Find a model of which too small a part could be read."""
    fraction, band = report.coverage.fraction, policy.band("coverage.fraction")
    if fraction and band.excludes(fraction):
        yield None, f"{fraction:.1%} of the weights could be read, wanted {band}: the figures are of a part"


RULES = (
    Rule(
        code="OT001",
        name="no-weights-read",
        severity="warning",
        what="The model holds weight tensors and none of them could be read.",
        why="A report without layers says nothing about the model; the skipped weights carry the reasons.",
        how="Elements of weight tensors analysed are zero while some are skipped.",
        source="onnxtop's coverage account",
        false_alarms="None known.",
        find=no_weights_read,
    ),
    Rule(
        code="OT002",
        name="checker-complaint",
        severity="note",
        what="ONNX's own checker rejects the model.",
        why="Runtimes are often more lenient, and many such models run; another runtime may refuse it.",
        how="`onnx.checker.check_model`, without its costly parts.",
        source="ONNX specification",
        false_alarms="Common: custom operations without a domain, graphs left unsorted by old exporters.",
        find=checker_complaint,
    ),
    Rule(
        code="OT003",
        name="low-coverage",
        severity="warning",
        what="Less of the weights could be read than `coverage.fraction` asks for.",
        why="Findings and figures speak for the weights that were read, and only for those.",
        how="Elements analysed over elements of all weight tensors.",
        source="onnxtop's coverage account",
        false_alarms="Models made of operations that this version does not read; each skip carries "
        "its reason.",
        find=low_coverage,
    ),
)
"""The family."""
