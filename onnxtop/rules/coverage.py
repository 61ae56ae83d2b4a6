"""OT0: what was read of the model at all."""

import math

from onnxtop.results.report import Report
from onnxtop.rules.rule import Found, Policy, rule


@rule(
    "OT001",
    "warning",
    what="The model holds weight tensors and none of them could be read.",
    why="A report without layers says nothing about the model; the skipped weights carry the reasons.",
    how="Elements of weight tensors analysed are zero while some are skipped.",
    source="onnxtop's coverage account",
)
def no_weights_read(report: Report, policy: Policy) -> Found:
    if report.coverage.skipped and not report.coverage.parameters_analysed:
        yield None, f"none of the {len(report.coverage.skipped)} weight tensors could be read"


@rule(
    "OT002",
    "note",
    what="ONNX's own checker rejects the model.",
    why="Runtimes are often more lenient, and many such models run; another runtime may refuse it.",
    how="`onnx.checker.check_model`, without its costly parts.",
    false_alarms="Common: custom operations without a domain, graphs left unsorted by old exporters.",
    source="ONNX specification",
)
def checker_complaint(report: Report, policy: Policy) -> Found:
    if report.model.complaint:
        yield None, f"onnx.checker rejects the model: {report.model.complaint}"


@rule(
    "OT003",
    "warning",
    what="Less of the weights could be read than `coverage.fraction` asks for.",
    why="Findings and figures speak for the weights that were read, and only for those.",
    how="Elements analysed over elements of all weight tensors.",
    false_alarms="Models made of operations that this version does not read; each skip carries its reason.",
    source="onnxtop's coverage account",
)
def low_coverage(report: Report, policy: Policy) -> Found:
    fraction, band = report.coverage.fraction, policy.band("coverage.fraction")
    if fraction and band.excludes(fraction):
        share = math.floor(fraction * 1000) / 10  # never rounded up to what is wanted
        yield None, f"{share}% of the weights could be read, wanted {band}: the figures are of a part"
