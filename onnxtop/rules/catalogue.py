"""All rules, in the order of their codes.

A rule looks at a report without findings and yields what it found. Families: OT0 load and coverage,
OT1 numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onnxtop.report import Finding, Report

__all__ = ["RULES", "Rule", "apply"]

Found = Iterator[tuple[str | None, str]]
"""Layer name (None for the model) and message."""


@dataclass(frozen=True)
class Rule:
    """One rule: ``find`` yields (layer, message) pairs, ``what`` and ``why`` explain it."""

    code: str
    name: str
    severity: str
    what: str
    why: str
    find: Callable[[Report], Found]


def no_weights_read(report: Report) -> Found:
    """Find a model whose weights are there and cannot be read."""
    if report.coverage.skipped and not report.coverage.parameters_analysed:
        yield None, f"none of the {len(report.coverage.skipped)} weight tensors could be read"


def checker_complaint(report: Report) -> Found:
    """Find a model that ONNX's own checker rejects."""
    if report.model.complaint:
        yield None, f"onnx.checker rejects the model: {report.model.complaint}"


def not_finite(report: Report) -> Found:
    """Find layers that hold NaN or infinity."""
    for layer in report.layers:
        if layer.nonfinite:
            yield (
                layer.name,
                f"{layer.neural_persistence.reason}; the layer is left out of the network's figures",
            )


def all_zero(report: Report) -> Found:
    """Find layers whose every weight is zero."""
    for layer in report.layers:
        if layer.largest == 0:
            yield (
                layer.name,
                f"all {layer.parameters} weights are zero: no input reaches an output through it",
            )


RULES = (
    Rule(
        code="OT001",
        name="no-weights-read",
        severity="warning",
        what="The model holds weight tensors and none of them could be read.",
        why="A report without layers says nothing about the model; the skipped weights carry the reasons.",
        find=no_weights_read,
    ),
    Rule(
        code="OT002",
        name="checker-complaint",
        severity="note",
        what="ONNX's own checker rejects the model.",
        why="Runtimes are often more lenient, and many such models run; another runtime may refuse it.",
        find=checker_complaint,
    ),
    Rule(
        code="OT101",
        name="not-finite",
        severity="error",
        what="A weight is NaN or infinite.",
        why="Everything computed from it is NaN or infinite too: training diverged or the export went wrong.",
        find=not_finite,
    ),
    Rule(
        code="OT102",
        name="all-zero",
        severity="warning",
        what="Every weight of a layer is zero.",
        why="The layer passes nothing on but its bias: it was never filled, or was zeroed on purpose.",
        find=all_zero,
    ),
)
"""The catalogue."""


def apply(report: Report) -> tuple[Finding, ...]:
    """Return the findings of all rules, by code, then in graph order."""
    shapes = {layer.name: layer.shape for layer in report.layers}
    return tuple(
        Finding(
            rule=rule.code,
            severity=rule.severity,
            layer=layer,
            message=message,
            fingerprint=Finding.fingerprint_of(rule.code, layer, shapes.get(layer or "", ())),
        )
        for rule in RULES
        for layer, message in rule.find(report)
    )
